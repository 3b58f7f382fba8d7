//! Sequences that grow by the likeliest token, or by one at random.

use super::beam::Next;
use super::random::Random;
use super::sample::{self, Choice};
use super::{DecodingError, Rules};
use crate::backend::cpu::Cpu;

/// Tokens and their log-probability.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) tokens: Vec<u32>,
    pub(super) log_probability: f32,
}

/// How to draw.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrawOptions {
    /// Sequences, of which the best is taken.
    pub(super) count: usize,
    /// At 0 the likeliest token is chosen.
    pub(super) temperature: f32,
    /// The most tokens of a sequence, its end included.
    pub(super) max_tokens: usize,
    /// See [`Options::length_penalty`](super::Options::length_penalty).
    pub(super) length_penalty: f32,
    /// The token that ends a sequence.
    pub(super) end: u32,
}

/// Sequences that are being drawn.
#[derive(Debug)]
pub(super) struct Draw {
    options: DrawOptions,
    /// Tokens of those that grow.
    length: usize,
    running: Vec<Found>,
    finished: Vec<Found>,
}

impl Draw {
    /// Begins with an empty sequence.
    pub(super) fn new(options: DrawOptions) -> Self {
        Self { options, length: 0, running: vec![Found::default()], finished: Vec::new() }
    }

    /// Chooses by the logits of the next token of each running sequence, row by row.
    pub(super) fn advance(
        &mut self,
        cpu: &Cpu,
        rules: &Rules,
        random: &mut Random,
        logits: &mut [f32],
    ) -> Result<Next, DecodingError> {
        let DrawOptions { count, temperature, max_tokens, end, .. } = self.options;
        let mut choose = |logits: &[f32]| match temperature {
            0.0 => sample::likeliest(cpu, logits),
            _ => sample::at_random(cpu, logits, temperature, random),
        };
        let vocabulary = logits.len() / self.running.len().max(1);
        let rows = logits.chunks_exact_mut(vocabulary.max(1));
        // From the empty sequence all the others come.
        let copies = if self.length == 0 { count } else { 1 };
        self.length += 1;
        let (mut parents, mut next, mut grown) = (Vec::new(), Vec::new(), Vec::new());
        for (parent, (sequence, logits)) in self.running.iter().zip(rows).enumerate() {
            rules.apply(cpu, &sequence.tokens, logits);
            for _ in 0..copies {
                let choice = choose(logits).ok_or(DecodingError::NoToken)?;
                let Choice { token, log_probability } = choice;
                let log_probability = sequence.log_probability + log_probability;
                let mut tokens = sequence.tokens.clone();
                if token == end {
                    self.finished.push(Found { tokens, log_probability });
                    continue;
                }
                tokens.push(token);
                grown.push(Found { tokens, log_probability });
                parents.push(parent);
                next.push(token);
            }
        }
        self.running = grown;
        let is_done = self.running.is_empty() || self.length == max_tokens;
        Ok(if is_done { Next::Done } else { Next::Continue { parents, tokens: next } })
    }

    /// The best sequence.
    pub(super) fn best(mut self) -> Option<Found> {
        self.finished.append(&mut self.running);
        let score = |found: &Found| {
            let length = found.tokens.len().max(1) as f32;
            found.log_probability / length.powf(self.options.length_penalty)
        };
        self.finished.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)))
    }
}
