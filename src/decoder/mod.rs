//! The Whisper decoder: from features and the tokens so far to logits of the next token.
//!
//! A [`Decoder`] has the weights, of any checkpoint: layers and vocabulary are those of its tensors.
//! A [`State`] has what is remembered of one window and of the sequences that are decoded for it.
//! States of several windows can go on in one pass over the weights ([`Decoder::run`]).
//! Everything runs on the CPU, through its products with few rows
//! ([`Cpu::linear`]) and attention to what is kept ([`Cpu::recall`], [`Cpu::attend`]).
//!
//! ```no_run
//! use tilewright::backend::cpu::{Cpu, Numeric};
//! use tilewright::decoder::{Decoder, DecoderError, Scratch};
//! use tilewright::weights::{DecoderDimensions, Weights};
//!
//! fn greedy(features: &[f32], prompt: &[u32], end: u32) -> Result<Vec<u32>, DecoderError> {
//!     let weights = Weights::open("openai/whisper-base")?;
//!     let decoder = Decoder::load(Cpu::new()?, Numeric::F32, None, &weights, None)?;
//!     let (mut state, mut scratch) = (decoder.state(1), Scratch::default());
//!     decoder.listen(features, &mut state, &mut scratch)?;
//!     let mut tokens = prompt.to_vec();
//!     let mut logits = decoder.prompt(prompt, &[prompt.len() - 1], &mut state, &mut scratch)?;
//!     loop {
//!         let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
//!         let token = best.map_or(end, |(token, _)| token as u32);
//!         if token == end || tokens.len() == decoder.dimensions().positions {
//!             return Ok(tokens);
//!         }
//!         tokens.push(token);
//!         logits = decoder.step(&[token], &mut state, &mut scratch)?;
//!     }
//! }
//! ```

mod layer;
mod load;
mod scratch;
mod state;
mod turn;

use crate::backend::cpu::{Cpu, CpuError, Linear, MAX_PAST, Numeric, Then};
use crate::weights::{DecoderDimensions, PackCache, Weights, WeightsError};
use layer::Layer;
use load::{Norm, Source};
pub use scratch::Scratch;
pub use state::{MAX_SEQUENCES, State};
pub use turn::Turn;

/// Why a decoder could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// The weights are not those of a decoder.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An operator refused.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The sizes of the decoder are in no file.
    #[error(
        "{weights} do not tell the sizes of a decoder: there is no config.json and no tensor `model.decoder.embed_tokens.weight`"
    )]
    NoDimensions {
        /// Which weights.
        weights: String,
    },
    /// Sizes that no Whisper decoder has.
    #[error("a decoder of these sizes cannot be run: {rule}; it has {dimensions:?}")]
    Dimensions {
        /// What must hold.
        rule: &'static str,
        /// What the weights say.
        dimensions: DecoderDimensions,
    },
    /// Features of another width, or none.
    #[error("features are rows of {width} numbers, {given} were given")]
    Features {
        /// Numbers of a row.
        width: usize,
        /// What was given.
        given: usize,
    },
    /// A token that is not in the vocabulary.
    #[error("there is no token {token} in a vocabulary of {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
    /// More tokens than there are positions.
    #[error("a sequence has at most {positions} tokens, {given} were to be decoded")]
    TooLong {
        /// Positions of the decoder.
        positions: usize,
        /// Tokens of the sequence.
        given: usize,
    },
    /// A step that does not continue the sequences that there are.
    #[error("{given} tokens do not continue {sequences} sequences")]
    Sequences {
        /// Sequences that are decoded.
        sequences: usize,
        /// Tokens that were given.
        given: usize,
    },
}

/// A decoder: its weights, which any number of [`State`]s can use.
#[derive(Debug)]
pub struct Decoder {
    cpu: Cpu,
    numeric: Numeric,
    dimensions: DecoderDimensions,
    /// Vocabulary × width: a row is a token's embedding, and its product with a hidden row the logit.
    tokens: Linear,
    /// Positions × width.
    positions: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
}

impl Decoder {
    /// Checks all tensors, then packs them, or takes from the cache what was packed before. The sizes
    /// are those that the weights say, unless they are given.
    ///
    /// # Errors
    /// All that is wrong with the weights.
    pub fn load(
        cpu: Cpu,
        numeric: Numeric,
        dimensions: Option<DecoderDimensions>,
        weights: &Weights,
        cache: Option<&PackCache>,
    ) -> Result<Self, DecoderError> {
        let dimensions = dimensions.or_else(|| weights.decoder_dimensions());
        let dimensions = dimensions
            .ok_or_else(|| DecoderError::NoDimensions { weights: weights.to_string() })?;
        check(dimensions)?;
        weights.check_decoder(&dimensions)?;
        let source = Source { cpu, numeric, weights, cache };
        let DecoderDimensions { d_model, layers, vocabulary, positions, .. } = dimensions;
        let name = "model.decoder.embed_tokens.weight";
        let shape = [vocabulary, d_model];
        let tokens =
            source.matrix(name, shape, || Ok((weights.tensor(name, &shape)?.into_vec(), None)))?;
        let name = "model.decoder.embed_positions.weight";
        let positions = weights.tensor(name, &[positions, d_model])?.into_vec();
        let layers = (0..layers).map(|i| Layer::load(&source, &dimensions, i));
        Ok(Self {
            cpu,
            numeric,
            dimensions,
            tokens,
            positions,
            layers: layers.collect::<Result<_, _>>()?,
            norm: source.norm("model.decoder.layer_norm", d_model)?,
        })
    }

    /// The sizes.
    pub fn dimensions(&self) -> DecoderDimensions {
        self.dimensions
    }

    /// The processor it runs on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Memory for a window and at most so many sequences (and [`MAX_SEQUENCES`]), without a window yet.
    pub fn state(&self, sequences: usize) -> State {
        State::new(self.dimensions, self.numeric, sequences)
    }

    /// Computes the keys and values of a window, whose features are positions × width, and forgets all
    /// tokens.
    ///
    /// # Errors
    /// When `features` is no whole number of rows.
    pub fn listen(
        &self,
        features: &[f32],
        state: &mut State,
        scratch: &mut Scratch,
    ) -> Result<(), DecoderError> {
        let width = self.dimensions.d_model;
        if features.is_empty() || !features.len().is_multiple_of(width) {
            return Err(DecoderError::Features { width, given: features.len() });
        }
        state.rewind(0);
        scratch.window.iter_mut().for_each(|rows| rows.resize(features.len(), 0.0));
        let mut layers = self.layers.iter().enumerate();
        layers.try_for_each(|(i, layer)| layer.listen(&self.cpu, i, features, state, scratch))
    }

    /// Decodes [`Turn::prompt`] alone, and returns its logits, row by row, each of as many numbers as
    /// the vocabulary has tokens.
    ///
    /// # Errors
    /// See [`Turn::check`].
    pub fn prompt<'s>(
        &self,
        tokens: &[u32],
        wanted: &[usize],
        state: &'s mut State,
        scratch: &mut Scratch,
    ) -> Result<&'s [f32], DecoderError> {
        self.run(&mut [Turn::prompt(state, tokens, wanted)], scratch)?;
        Ok(state.logits())
    }

    /// Decodes [`Turn::step`] alone, and returns the logits of the next tokens: sequences × vocabulary.
    ///
    /// # Errors
    /// See [`Turn::check`].
    pub fn step<'s>(
        &self,
        tokens: &[u32],
        state: &'s mut State,
        scratch: &mut Scratch,
    ) -> Result<&'s [f32], DecoderError> {
        self.run(&mut [Turn::step(state, tokens)], scratch)?;
        Ok(state.logits())
    }

    /// Decodes the tokens of several states, each of a window of its own, in one pass over the weights.
    /// Each has then the logits that it would have alone, to the bit.
    ///
    /// # Errors
    /// See [`Turn::check`]; then nothing was decoded.
    pub fn run(&self, turns: &mut [Turn<'_>], scratch: &mut Scratch) -> Result<(), DecoderError> {
        let width = self.dimensions.d_model;
        let foreign = turns.iter().find(|turn| turn.state.dimensions != self.dimensions);
        if let Some(Turn { state: State { dimensions, .. }, .. }) = foreign {
            let rule = "a state is used by the decoder that it was made by";
            return Err(DecoderError::Dimensions { rule, dimensions: *dimensions });
        }
        turns.iter().try_for_each(Turn::check)?;
        scratch.resize(turns.iter().map(|turn| turn.tokens.len()).sum(), &self.dimensions);
        let mut hidden = scratch.hidden.chunks_exact_mut(width);
        for turn in &mut *turns {
            let positions = turn.positions();
            for ((token, position), hidden) in turn.tokens.iter().zip(positions).zip(&mut hidden) {
                self.tokens.row(*token as usize, hidden)?;
                let position = &self.positions[position * width..][..width];
                hidden.iter_mut().zip(position).for_each(|(x, position)| *x += position);
            }
            turn.state.place(turn.rows());
        }
        for (i, layer) in self.layers.iter().enumerate() {
            layer.run(&self.cpu, i, turns, scratch)?;
        }
        self.norm.run(&self.cpu, &scratch.hidden, &mut scratch.normed)?;
        self.logits(turns, scratch)?;
        for turn in turns {
            turn.state.length += turn.rows().growth();
        }
        Ok(())
    }

    /// Logits behind the rows that are wanted.
    fn logits(&self, turns: &mut [Turn<'_>], scratch: &mut Scratch) -> Result<(), DecoderError> {
        let DecoderDimensions { d_model: width, vocabulary, .. } = self.dimensions;
        let Scratch { normed, query, logits, linear, .. } = scratch;
        let (mut first, mut count) = (0, 0);
        query.clear();
        for turn in &mut *turns {
            for row in turn.wanted() {
                query.extend_from_slice(&normed[(first + row) * width..][..width]);
            }
            first += turn.tokens.len();
            let wanted = query.len() / width - count;
            count += wanted;
            turn.state.logits.resize(wanted * vocabulary, 0.0);
        }
        if let [only] = turns {
            let logits = &mut only.state.logits;
            return Ok(self.cpu.linear(&self.tokens, query, Then::Store, logits, linear)?);
        }
        logits.resize(count * vocabulary, 0.0);
        self.cpu.linear(&self.tokens, query, Then::Store, logits, linear)?;
        let mut rest = &logits[..];
        for turn in turns {
            let (mine, others) = rest.split_at(turn.state.logits.len());
            turn.state.logits.copy_from_slice(mine);
            rest = others;
        }
        Ok(())
    }
}

/// More than any model has: large-v3 has 32.
const MAX_LAYERS: usize = 256;

fn check(dimensions: DecoderDimensions) -> Result<(), DecoderError> {
    let DecoderDimensions { d_model, heads, layers, ffn, vocabulary, positions } = dimensions;
    let rule = |holds: bool, rule| {
        if holds { Ok(()) } else { Err(DecoderError::Dimensions { rule, dimensions }) }
    };
    rule(d_model > 0 && heads > 0 && ffn > 0, "widths and heads are above 0")?;
    rule(d_model.is_multiple_of(heads), "heads divide d_model")?;
    rule(layers > 0 && vocabulary > 0, "there are layers and tokens")?;
    // All tensors are listed before any is looked for.
    rule(layers <= MAX_LAYERS, "there are at most 256 layers")?;
    rule((1..=MAX_PAST).contains(&positions), "a sequence has 1 to 448 tokens")
}
