//! A window that is being decoded: the prompt, the search, and again if the result is not to be
//! trusted.

use std::sync::Arc;

use super::beam::{BeamOptions, BeamSearch, Next};
use super::draw::{Draw, DrawOptions, Found};
use super::fallback::{Quality, compression_ratio};
use super::random::Random;
use super::task::{Decoded, Options, Task, Window};
use super::{DecodingError, Rules};
use crate::backend::cpu::Cpu;
use crate::decoder::{State, Turn};
use crate::tokenizer::strip;

/// A window that is being decoded. It is apart from the network: it says which tokens to run, and
/// chooses the next ones by their logits.
#[derive(Debug)]
pub(super) struct Running {
    task: Arc<Task>,
    pub(super) state: State,
    prompt: Vec<u32>,
    /// Places in the prompt: `<|startoftranscript|>`, behind which it is said whether there is speech,
    /// and the last.
    wanted: [usize; 2],
    random: Random,
    /// Which temperature is tried.
    attempt: usize,
    no_speech: f32,
    /// Nothing while the prompt is being run.
    search: Option<Search>,
    /// The next token of each sequence.
    tokens: Vec<u32>,
}

impl Running {
    /// Begins to decode the window that the state has.
    pub(super) fn new(
        task: &Arc<Task>,
        window: Window<'_>,
        state: State,
    ) -> Result<Self, DecodingError> {
        task.stop.check()?;
        let (prompt, start) = task.prompt(window)?;
        let mut running = Self {
            state,
            wanted: [start, prompt.len() - 1],
            prompt,
            random: Random::new(task.options().seed),
            attempt: 0,
            no_speech: 0.0,
            search: None,
            tokens: Vec::new(),
            task: Arc::clone(task),
        };
        running.state.rewind(0);
        // The next ones are steps, which are checked by the search.
        running.turn().check()?;
        Ok(running)
    }

    /// What the decoder is to run.
    pub(super) fn turn(&mut self) -> Turn<'_> {
        match self.search {
            None => Turn::prompt(&mut self.state, &self.prompt, &self.wanted),
            Some(_) => Turn::step(&mut self.state, &self.tokens),
        }
    }

    /// Chooses, when the decoder has run the [`Running::turn`]; returns the result if this was the end.
    pub(super) fn advance(&mut self) -> Result<Option<Decoded>, DecodingError> {
        let Self { task, state, random, .. } = self;
        task.stop.check()?;
        let search = match &mut self.search {
            Some(search) => search,
            None => {
                self.no_speech = task.no_speech(state);
                state.drop_logits(1);
                let temperature = task.options().temperatures[self.attempt];
                self.search.insert(Search::new(task, temperature, state.len()))
            }
        };
        match search.advance(&task.cpu, &task.rules, random, state)? {
            Next::Continue { parents, tokens } => {
                state.reorder(&parents);
                self.tokens = tokens;
                Ok(None)
            }
            Next::Done => self.finish(),
        }
    }

    /// The result, unless it is better to try again.
    fn finish(&mut self) -> Result<Option<Decoded>, DecodingError> {
        let Options { temperatures, thresholds, .. } = self.task.options();
        let found = self.search.take().and_then(Search::best).ok_or(DecodingError::NoToken)?;
        let text = self.task.tokenizer.decode(&found.tokens);
        let quality = Quality {
            compression_ratio: compression_ratio(strip(&text)),
            log_probability: found.log_probability / (found.tokens.len() + 1) as f32,
            no_speech: self.no_speech,
        };
        if thresholds.fails(&quality) && self.attempt + 1 < temperatures.len() {
            self.attempt += 1;
            self.state.rewind(0);
            return Ok(None);
        }
        let temperature = temperatures[self.attempt];
        Ok(Some(Decoded { tokens: found.tokens, quality, temperature }))
    }
}

#[derive(Debug)]
enum Search {
    Draw(Draw),
    Beam(BeamSearch, u32),
}

impl Search {
    /// Behind a prompt of so many tokens.
    fn new(task: &Task, temperature: f32, prompt: usize) -> Self {
        let &Options { beams, patience, length_penalty, best_of, .. } = task.options();
        let end = task.tokenizer.special().end;
        let max_tokens = task.room(prompt);
        if temperature == 0.0 && beams > 1 {
            let options = BeamOptions { beams, patience, length_penalty, max_tokens, end };
            return Self::Beam(BeamSearch::new(options), end);
        }
        let count = if temperature == 0.0 { 1 } else { best_of };
        Self::Draw(Draw::new(DrawOptions { count, temperature, max_tokens, length_penalty, end }))
    }

    fn advance(
        &mut self,
        cpu: &Cpu,
        rules: &Rules,
        random: &mut Random,
        state: &mut State,
    ) -> Result<Next, DecodingError> {
        let logits = state.logits_mut();
        match self {
            Self::Draw(draw) => draw.advance(cpu, rules, random, logits),
            Self::Beam(search, _) => {
                let vocabulary = logits.len() / search.running().count().max(1);
                let rows = logits.chunks_exact_mut(vocabulary.max(1));
                for (sequence, row) in search.running().zip(rows) {
                    log_softmax(cpu, row);
                    rules.apply(cpu, sequence, row);
                }
                Ok(search.advance(logits))
            }
        }
    }

    fn best(self) -> Option<Found> {
        match self {
            Self::Draw(draw) => draw.best(),
            Self::Beam(search, end) => {
                let best = search.best()?;
                let mut tokens = best.tokens;
                if tokens.last() == Some(&end) {
                    tokens.pop();
                }
                Some(Found { tokens, log_probability: best.log_probability })
            }
        }
    }
}

/// Logits become log-probabilities.
fn log_softmax(cpu: &Cpu, logits: &mut [f32]) {
    let sum = cpu.log_sum_exp(logits);
    logits.iter_mut().for_each(|logit| *logit -= sum);
}
