//! What is to be decoded, and how.

use std::sync::Arc;

use super::fallback::{Quality, Thresholds};
use super::rules::Rules;
use super::{DecodingError, GenerationConfig, Stop, Suppress, TimestampRules};
use crate::backend::cpu::Cpu;
use crate::decoder::{Decoder, MAX_SEQUENCES, State};
use crate::tokenizer::Tokenizer;
use crate::weights::DecoderDimensions;

/// What is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TaskKind {
    /// What is said.
    #[default]
    Transcribe,
    /// What it means, in English.
    Translate,
}

/// How to decode.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What to write down.
    pub task: TaskKind,
    /// Whether timestamps are decoded.
    pub timestamps: bool,
    /// Temperatures, tried in this order until a result can be trusted. At 0 the likeliest token is
    /// chosen, or beams are searched.
    pub temperatures: Vec<f32>,
    /// Sequences that are searched at temperature 0; with 1 there is no search.
    pub beams: usize,
    /// See [`BeamOptions::patience`](super::beam::BeamOptions::patience).
    pub patience: f32,
    /// Sequences that are drawn at higher temperatures, of which the best is taken.
    pub best_of: usize,
    /// Sequences are ranked by their log-probability over their length to this power.
    pub length_penalty: f32,
    /// What is trusted.
    pub thresholds: Thresholds,
    /// The latest first timestamp, in seconds, unless the checkpoint says it.
    pub max_initial_timestamp: Option<f32>,
    /// The most tokens of a window; half of the decoder's positions unless given.
    pub max_tokens: Option<usize>,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl Default for Options {
    /// Those of OpenAI's command line, without its beam search.
    fn default() -> Self {
        Self {
            task: TaskKind::Transcribe,
            timestamps: true,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            beams: 1,
            patience: 1.0,
            best_of: 5,
            length_penalty: 1.0,
            thresholds: Thresholds::default(),
            max_initial_timestamp: Some(1.0),
            max_tokens: None,
            seed: 0,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), DecodingError> {
        let rule = |option, holds: bool, rule| {
            if holds { Ok(()) } else { Err(DecodingError::Option { option, rule }) }
        };
        let sequences = |n: usize| (1..=MAX_SEQUENCES).contains(&n);
        let temperature = |t: &f32| (0.0..=10.0).contains(t);
        rule("temperature", !self.temperatures.is_empty(), "there is one at least")?;
        rule("temperature", self.temperatures.iter().all(temperature), "it is from 0 to 10")?;
        rule("beams", sequences(self.beams), "there are 1 to 64")?;
        rule("best of", sequences(self.best_of), "there are 1 to 64")?;
        rule("patience", (1.0..=100.0).contains(&self.patience), "it is from 1 to 100")?;
        rule("length penalty", self.length_penalty.is_finite(), "it is a number")?;
        rule("tokens", self.max_tokens != Some(0), "there is one at least")
    }

    /// The most sequences that are decoded together.
    fn sequences(&self) -> usize {
        let draws = self.temperatures.iter().any(|temperature| *temperature > 0.0);
        self.beams.max(if draws { self.best_of } else { 1 })
    }
}

/// What is known of a window besides its sound.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The code of its language.
    pub language: &'a str,
    /// Tokens of what was said before.
    pub previous: &'a [u32],
}

/// What a window was decoded to.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The tokens, timestamps among them, without the end.
    pub tokens: Vec<u32>,
    /// How good it is.
    pub quality: Quality,
    /// The temperature that gave it.
    pub temperature: f32,
}

/// A task, for any number of windows.
#[derive(Debug)]
pub struct Task {
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) rules: Rules,
    pub(super) cpu: Cpu,
    pub(super) stop: Stop,
    options: Options,
    /// Tokens that a sequence may have.
    positions: usize,
}

impl Task {
    /// With a checkpoint's decoder, tokenizer and configuration.
    ///
    /// # Errors
    /// When these do not fit each other, or an option makes no sense.
    pub fn new(
        decoder: &Decoder,
        tokenizer: &Arc<Tokenizer>,
        config: &GenerationConfig,
        options: Options,
    ) -> Result<Self, DecodingError> {
        options.check()?;
        let special = tokenizer.special();
        let DecoderDimensions { vocabulary, positions, .. } = decoder.dimensions();
        if special.first_timestamp as usize > vocabulary {
            return Err(DecodingError::Vocabulary { token: special.no_timestamps, vocabulary });
        }
        if options.task == TaskKind::Translate && !special.is_multilingual() {
            return Err(DecodingError::Translate);
        }
        let limit = config.max_initial_timestamp_index.or_else(|| {
            options.max_initial_timestamp.map(|seconds| (seconds.max(0.0) / 0.02).round() as u32)
        });
        let timestamps = options.timestamps.then(|| TimestampRules::new(special, limit));
        let rules = Rules { suppress: Suppress::new(tokenizer, config), timestamps };
        let (tokenizer, cpu, stop) = (Arc::clone(tokenizer), decoder.cpu(), Stop::default());
        Ok(Self { tokenizer, rules, cpu, stop, options, positions })
    }

    /// Gives up when it is told to.
    #[must_use]
    pub fn until(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The most sequences that are decoded together for a window.
    pub fn sequences(&self) -> usize {
        self.options.sequences()
    }

    /// The tokens that say what to do: `<|startoftranscript|>`, language, task and whether there are to
    /// be timestamps.
    ///
    /// # Errors
    /// When the checkpoint does not know the language.
    pub fn instructions(&self, language: &str) -> Result<Vec<u32>, DecodingError> {
        let special = self.tokenizer.special();
        let mut tokens = vec![special.start];
        let unknown = || DecodingError::Language(language.to_owned());
        if !special.is_multilingual() && language != "en" {
            return Err(unknown());
        }
        if special.is_multilingual() {
            tokens.push(special.language(language).ok_or_else(unknown)?);
            tokens.push(match self.options.task {
                TaskKind::Transcribe => special.transcribe,
                TaskKind::Translate => special.translate,
            });
        }
        if !self.options.timestamps {
            tokens.push(special.no_timestamps);
        }
        Ok(tokens)
    }

    /// The tokens before those of a window, and where among them `<|startoftranscript|>` is.
    pub(super) fn prompt(&self, window: Window<'_>) -> Result<(Vec<u32>, usize), DecodingError> {
        let instructions = self.instructions(window.language)?;
        let mut prompt = Vec::new();
        // Half of the positions are for what was said before.
        let room = (self.positions / 2).saturating_sub(1);
        let previous = &window.previous[window.previous.len().saturating_sub(room)..];
        if !previous.is_empty() {
            prompt.push(self.tokenizer.special().previous);
            prompt.extend(previous);
        }
        let start = prompt.len();
        prompt.extend(instructions);
        Ok((prompt, start))
    }

    /// The probability of no speech, by the first row of logits: those behind
    /// `<|startoftranscript|>`.
    pub(super) fn no_speech(&self, state: &State) -> f32 {
        let logits = state.row(0);
        let token = self.tokenizer.special().no_speech;
        let logit = token.and_then(|token| logits.get(token as usize));
        logit.map_or(0.0, |logit| (logit - self.cpu.log_sum_exp(logits)).exp())
    }

    /// The most tokens, the end included, behind a prompt of so many. The last takes no position, as
    /// nothing follows it.
    pub(super) fn room(&self, prompt: usize) -> usize {
        let most = self.options.max_tokens.unwrap_or(self.positions / 2).max(1);
        most.min((self.positions + 1).saturating_sub(prompt))
    }
}
