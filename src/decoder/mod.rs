//! The Whisper decoder: from features and the tokens so far to logits of the next token.
//!
//! A [`Decoder`] has the weights, of any checkpoint: layers and vocabulary are those of its tensors.
//! A [`State`] has what is remembered of one window and of the sequences that are decoded for it.
//! Everything runs on the CPU, through its products with few rows
//! ([`Cpu::linear`]) and attention to what is kept ([`Cpu::recall`], [`Cpu::attend`]).
//!
//! ```no_run
//! use tilewright::backend::cpu::{Cpu, Numeric};
//! use tilewright::decoder::{Decoder, DecoderError};
//! use tilewright::weights::{DecoderDimensions, Weights};
//!
//! fn greedy(features: &[f32], prompt: &[u32], end: u32) -> Result<Vec<u32>, DecoderError> {
//!     let weights = Weights::open("openai/whisper-base")?;
//!     let decoder = Decoder::load(Cpu::new()?, Numeric::F32, None, &weights, None)?;
//!     let mut state = decoder.state(1);
//!     decoder.listen(features, &mut state)?;
//!     let mut tokens = prompt.to_vec();
//!     let mut logits = decoder.prompt(prompt, &[prompt.len() - 1], &mut state)?;
//!     loop {
//!         let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
//!         let token = best.map_or(end, |(token, _)| token as u32);
//!         if token == end || tokens.len() == decoder.dimensions().positions {
//!             return Ok(tokens);
//!         }
//!         tokens.push(token);
//!         logits = decoder.step(&[token], &mut state)?;
//!     }
//! }
//! ```

mod layer;
mod load;
mod state;

use crate::backend::cpu::{Cpu, CpuError, Linear, MAX_PAST, Numeric, Then};
use crate::weights::{DecoderDimensions, PackCache, Weights, WeightsError};
use layer::Layer;
use load::{Norm, Source};
use state::Rows;
pub use state::{MAX_SEQUENCES, State};

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
    pub fn listen(&self, features: &[f32], state: &mut State) -> Result<(), DecoderError> {
        let width = self.dimensions.d_model;
        if features.is_empty() || !features.len().is_multiple_of(width) {
            return Err(DecoderError::Features { width, given: features.len() });
        }
        state.rewind(0);
        let mut projected = [vec![0.0; features.len()], vec![0.0; features.len()]];
        for (i, layer) in self.layers.iter().enumerate() {
            layer.listen(&self.cpu, i, features, &mut projected, state)?;
        }
        let heads = crate::backend::cpu::Heads {
            count: self.dimensions.heads,
            size: width / self.dimensions.heads,
        };
        state.buffers.recall.reserve(state.slots, heads, features.len() / width);
        Ok(())
    }

    /// Decodes tokens that are known, one behind the other, as the beginning of the only sequence or
    /// behind what there is of it. Returns the logits after those of them whose places are `wanted`,
    /// row by row, each of as many numbers as the vocabulary has tokens.
    ///
    /// # Errors
    /// When a token is none, there are too many, or several sequences are being decoded.
    pub fn prompt<'s>(
        &self,
        tokens: &[u32],
        wanted: &[usize],
        state: &'s mut State,
    ) -> Result<&'s [f32], DecoderError> {
        if state.sequences != 1 || wanted.iter().any(|place| *place >= tokens.len()) {
            let (sequences, given) = (state.sequences, tokens.len());
            return Err(DecoderError::Sequences { sequences, given });
        }
        self.run(tokens, Rows::Prompt(tokens.len()), state)?;
        self.logits(wanted, state)
    }

    /// Decodes one more token of each sequence, and returns the logits of the next ones: sequences ×
    /// vocabulary.
    ///
    /// # Errors
    /// When a token is none, sequences have as many as there are positions, or `tokens` are not as
    /// many as there are sequences.
    pub fn step<'s>(
        &self,
        tokens: &[u32],
        state: &'s mut State,
    ) -> Result<&'s [f32], DecoderError> {
        if tokens.len() != state.sequences {
            let (sequences, given) = (state.sequences, tokens.len());
            return Err(DecoderError::Sequences { sequences, given });
        }
        self.run(tokens, Rows::Step(tokens.len()), state)?;
        let all: [usize; MAX_SEQUENCES] = std::array::from_fn(|i| i);
        self.logits(&all[..tokens.len()], state)
    }

    /// All layers and the last norm.
    fn run(&self, tokens: &[u32], rows: Rows, state: &mut State) -> Result<(), DecoderError> {
        let DecoderDimensions { d_model, vocabulary, positions, .. } = self.dimensions;
        let new = match rows {
            Rows::Prompt(count) => count,
            Rows::Step(_) => 1,
        };
        let given = state.length + new;
        if given > positions {
            return Err(DecoderError::TooLong { positions, given });
        }
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(DecoderError::Token { token: *token, vocabulary });
        }
        state.buffers.resize(tokens.len(), &self.dimensions);
        let hidden = state.buffers.hidden.chunks_exact_mut(d_model);
        for (i, (token, hidden)) in tokens.iter().zip(hidden).enumerate() {
            self.tokens.row(*token as usize, hidden)?;
            let at = state.length + if matches!(rows, Rows::Prompt(_)) { i } else { 0 };
            let position = &self.positions[at * d_model..][..d_model];
            hidden.iter_mut().zip(position).for_each(|(x, position)| *x += position);
        }
        state.place(rows);
        for (i, layer) in self.layers.iter().enumerate() {
            layer.run(&self.cpu, i, rows, state)?;
        }
        let buffers = &mut state.buffers;
        self.norm.run(&self.cpu, &buffers.hidden, &mut buffers.normed)?;
        state.length = given;
        Ok(())
    }

    /// Logits of some rows of the last run.
    fn logits<'s>(
        &self,
        wanted: &[usize],
        state: &'s mut State,
    ) -> Result<&'s [f32], DecoderError> {
        let DecoderDimensions { d_model, vocabulary, .. } = self.dimensions;
        let buffers = &mut state.buffers;
        for (i, place) in wanted.iter().enumerate() {
            let row = &buffers.normed[place * d_model..][..d_model];
            buffers.query[i * d_model..][..d_model].copy_from_slice(row);
        }
        state.logits.resize(wanted.len() * vocabulary, 0.0);
        let rows = &buffers.query[..wanted.len() * d_model];
        self.cpu.linear(&self.tokens, rows, Then::Store, &mut state.logits, &mut buffers.linear)?;
        Ok(&state.logits)
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
