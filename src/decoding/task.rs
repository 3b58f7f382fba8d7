//! Decoding a window: the prompt, the search, and again if the result is not to be trusted.

use super::beam::{BeamOptions, BeamSearch, Next};
use super::fallback::{Quality, Thresholds, compression_ratio};
use super::language::{Detected, detect};
use super::random::Random;
use super::rules::Rules;
use super::sample::{self, Choice};
use super::{DecodingError, GenerationConfig, Stop, Suppress, TimestampRules};
use crate::backend::cpu::Cpu;
use crate::decoder::{Decoder, MAX_SEQUENCES, State};
use crate::tokenizer::{Special, Tokenizer, strip};

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
    /// See [`BeamOptions::patience`].
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
pub struct Task<'a> {
    decoder: &'a Decoder,
    tokenizer: &'a Tokenizer,
    rules: Rules,
    options: Options,
    stop: Stop,
}

/// Tokens and their log-probability.
struct Found {
    tokens: Vec<u32>,
    log_probability: f32,
}

impl<'a> Task<'a> {
    /// With a checkpoint's decoder, tokenizer and configuration.
    ///
    /// # Errors
    /// When these do not fit each other, or an option makes no sense.
    pub fn new(
        decoder: &'a Decoder,
        tokenizer: &'a Tokenizer,
        config: &GenerationConfig,
        options: Options,
    ) -> Result<Self, DecodingError> {
        options.check()?;
        let special = tokenizer.special();
        let vocabulary = decoder.dimensions().vocabulary;
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
        Ok(Self { decoder, tokenizer, rules, options, stop: Stop::default() })
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

    /// Memory for the task.
    pub fn state(&self) -> State {
        self.decoder.state(self.options.sequences())
    }

    /// All languages, the likeliest first, for the window that `state` has; none if the checkpoint
    /// knows English alone.
    ///
    /// # Errors
    /// When the decoder fails.
    pub fn detect(&self, state: &mut State) -> Result<Vec<Detected>, DecodingError> {
        if !self.tokenizer.special().is_multilingual() {
            return Ok(Vec::new());
        }
        detect(self.decoder, state, self.tokenizer.special())
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

    /// Decodes the window that `state` has.
    ///
    /// # Errors
    /// When the decoder fails, its logits are no numbers, or it is stopped.
    pub fn decode(&self, window: Window<'_>, state: &mut State) -> Result<Decoded, DecodingError> {
        let mut random = Random::new(self.options.seed);
        let mut decoded = None;
        for temperature in &self.options.temperatures {
            let result = self.attempt(window, *temperature, &mut random, state)?;
            let fails = self.options.thresholds.fails(&result.quality);
            decoded = Some(result);
            if !fails {
                break;
            }
        }
        decoded.ok_or(DecodingError::NoToken)
    }

    fn attempt(
        &self,
        window: Window<'_>,
        temperature: f32,
        random: &mut Random,
        state: &mut State,
    ) -> Result<Decoded, DecodingError> {
        self.stop.check()?;
        let no_speech = self.begin(window, state)?;
        let found = if temperature == 0.0 && self.options.beams > 1 {
            self.search(state)?
        } else {
            let count = if temperature == 0.0 { 1 } else { self.options.best_of };
            self.draw(count, temperature, random, state)?
        };
        let text = self.tokenizer.decode(&found.tokens);
        let quality = Quality {
            compression_ratio: compression_ratio(strip(&text)),
            log_probability: found.log_probability / (found.tokens.len() + 1) as f32,
            no_speech,
        };
        Ok(Decoded { tokens: found.tokens, quality, temperature })
    }

    /// Decodes the prompt; the logits of the first token are then those of the state. Returns the
    /// probability of no speech.
    fn begin(&self, window: Window<'_>, state: &mut State) -> Result<f32, DecodingError> {
        let special = self.tokenizer.special();
        let instructions = self.instructions(window.language)?;
        let mut prompt = Vec::new();
        // Half of the positions are for what was said before.
        let room = (self.decoder.dimensions().positions / 2).saturating_sub(1);
        let previous = &window.previous[window.previous.len().saturating_sub(room)..];
        if !previous.is_empty() {
            prompt.push(special.previous);
            prompt.extend(previous);
        }
        let start = prompt.len();
        prompt.extend(instructions);
        state.rewind(0);
        let cpu = self.decoder.cpu();
        let vocabulary = self.decoder.dimensions().vocabulary;
        let logits = self.decoder.prompt(&prompt, &[start, prompt.len() - 1], state)?;
        let at_start = &logits[..vocabulary];
        let no_speech = special.no_speech.and_then(|token| at_start.get(token as usize));
        let no_speech = no_speech.map_or(0.0, |logit| (logit - cpu.log_sum_exp(at_start)).exp());
        state.drop_logits(1);
        Ok(no_speech)
    }

    /// The most tokens, the end included, behind a prompt. The last takes no position, as nothing
    /// follows it.
    fn room(&self, state: &State) -> usize {
        let positions = self.decoder.dimensions().positions;
        let most = self.options.max_tokens.unwrap_or(positions / 2).max(1);
        most.min(positions - state.len() + 1)
    }

    /// Sequences that grow by the likeliest token, or one at random; of several the best.
    fn draw(
        &self,
        count: usize,
        temperature: f32,
        random: &mut Random,
        state: &mut State,
    ) -> Result<Found, DecodingError> {
        let (cpu, room) = (self.decoder.cpu(), self.room(state));
        let end = self.tokenizer.special().end;
        let mut running = vec![Found { tokens: Vec::new(), log_probability: 0.0 }];
        let mut finished: Vec<Found> = Vec::new();
        let mut choose = |logits: &[f32]| match temperature {
            0.0 => sample::likeliest(&cpu, logits),
            _ => sample::at_random(&cpu, logits, temperature, random),
        };
        let vocabulary = self.decoder.dimensions().vocabulary;
        for length in 1..=room {
            let (mut parents, mut next) = (Vec::new(), Vec::new());
            let mut grown = Vec::new();
            let rows = state.logits_mut().chunks_exact_mut(vocabulary);
            for (parent, (sequence, logits)) in running.iter().zip(rows).enumerate() {
                self.rules.apply(&cpu, &sequence.tokens, logits);
                let copies = if length == 1 { count } else { 1 };
                for _ in 0..copies {
                    let choice = choose(logits).ok_or(DecodingError::NoToken)?;
                    let Choice { token, log_probability } = choice;
                    let log_probability = sequence.log_probability + log_probability;
                    let mut tokens = sequence.tokens.clone();
                    if token == end {
                        finished.push(Found { tokens, log_probability });
                        continue;
                    }
                    tokens.push(token);
                    grown.push(Found { tokens, log_probability });
                    parents.push(parent);
                    next.push(token);
                }
            }
            running = grown;
            if running.is_empty() || length == room {
                break;
            }
            self.stop.check()?;
            state.reorder(&parents);
            self.decoder.step(&next, state)?;
        }
        finished.append(&mut running);
        let score = |found: &Found| {
            let length = found.tokens.len().max(1) as f32;
            found.log_probability / length.powf(self.options.length_penalty)
        };
        let best = finished.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)));
        best.ok_or(DecodingError::NoToken)
    }

    fn search(&self, state: &mut State) -> Result<Found, DecodingError> {
        let cpu = self.decoder.cpu();
        let Special { end, .. } = *self.tokenizer.special();
        let Options { beams, patience, length_penalty, .. } = self.options;
        let max_tokens = self.room(state);
        let options = BeamOptions { beams, patience, length_penalty, max_tokens, end };
        let mut search = BeamSearch::new(options);
        let vocabulary = self.decoder.dimensions().vocabulary;
        loop {
            let rows = state.logits_mut().chunks_exact_mut(vocabulary);
            for (sequence, row) in search.running().zip(rows) {
                log_softmax(&cpu, row);
                self.rules.apply(&cpu, sequence, row);
            }
            match search.advance(state.logits_mut()) {
                Next::Done => break,
                Next::Continue { parents, tokens } => {
                    self.stop.check()?;
                    state.reorder(&parents);
                    self.decoder.step(&tokens, state)?;
                }
            }
        }
        let best = search.best().ok_or(DecodingError::NoToken)?;
        let mut tokens = best.tokens;
        if tokens.last() == Some(&end) {
            tokens.pop();
        }
        Ok(Found { tokens, log_probability: best.log_probability })
    }
}

/// Logits become log-probabilities.
fn log_softmax(cpu: &Cpu, logits: &mut [f32]) {
    let sum = cpu.log_sum_exp(logits);
    logits.iter_mut().for_each(|logit| *logit -= sum);
}
