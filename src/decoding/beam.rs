//! Beam search, as transformers' `generate` does it (`_beam_search`, `early_stopping=False`).
//!
//! The search is apart from the network: it is told the log-probabilities of the next tokens and says
//! which sequences to continue with which tokens.

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamOptions {
    /// Sequences that are continued.
    pub beams: usize,
    /// So many times as many finished ones are waited for; at least 1.
    pub patience: f32,
    /// A finished sequence's score is its log-probability over its length to this power.
    pub length_penalty: f32,
    /// The most tokens of a sequence, its end included.
    pub max_tokens: usize,
    /// The token that ends a sequence.
    pub end: u32,
}

/// A sequence, its end included if it has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// ln of its probability.
    pub log_probability: f32,
    /// What it is ranked by.
    pub score: f32,
}

/// A search that is going on.
#[derive(Debug, Clone)]
pub struct BeamSearch {
    options: BeamOptions,
    running: Vec<(Vec<u32>, f32)>,
    /// The best, sorted.
    finished: Vec<Hypothesis>,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    parent: usize,
    token: u32,
    log_probability: f32,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Sequence i continues sequence `parents[i]` with `tokens[i]`.
    Continue {
        /// The sequences that are continued.
        parents: Vec<usize>,
        /// Each one's next token.
        tokens: Vec<u32>,
    },
    /// The best sequence is known.
    Done,
}

impl BeamSearch {
    /// A search that begins with one empty sequence.
    pub fn new(options: BeamOptions) -> Self {
        let running = vec![(Vec::new(), 0.0)];
        Self { options, running, finished: Vec::new(), candidates: Vec::new() }
    }

    /// The sequences that are being continued: the tokens of each.
    pub fn running(&self) -> impl Iterator<Item = &[u32]> {
        self.running.iter().map(|(tokens, _)| &tokens[..])
    }

    /// Continues with the log-probabilities of the next token of each running sequence, row by row;
    /// those that are not allowed are −∞.
    pub fn advance(&mut self, log_probabilities: &[f32]) -> Next {
        let BeamOptions { beams, max_tokens, end, length_penalty, .. } = self.options;
        self.gather(log_probabilities);
        let length = self.running.first().map_or(0, |(tokens, _)| tokens.len()) + 1;
        let is_last = length >= max_tokens;
        let power = (length as f32).powf(length_penalty);
        let pool = self.pool();

        // Only the best `beams` may finish: the others are there to be continued.
        for candidate in self.candidates.iter().take(beams) {
            if candidate.token == end || is_last {
                let mut tokens = self.running[candidate.parent].0.clone();
                tokens.push(candidate.token);
                let Candidate { log_probability, .. } = *candidate;
                let score = log_probability / power;
                self.finished.push(Hypothesis { tokens, log_probability, score });
            }
        }
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(pool);

        let goes_on = self.candidates.iter().filter(|candidate| candidate.token != end);
        let chosen: Vec<Candidate> = goes_on.take(beams).copied().collect();
        let best = chosen.first().map(|candidate| candidate.log_probability / power);
        let worst = self.finished.last().filter(|_| self.finished.len() == pool);
        let hopeless = match (best, worst) {
            (Some(best), Some(worst)) => best <= worst.score,
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_last || hopeless {
            return Next::Done;
        }
        let continued = chosen.iter().map(|candidate| {
            let mut tokens = self.running[candidate.parent].0.clone();
            tokens.push(candidate.token);
            (tokens, candidate.log_probability)
        });
        self.running = continued.collect();
        Next::Continue {
            parents: chosen.iter().map(|candidate| candidate.parent).collect(),
            tokens: chosen.iter().map(|candidate| candidate.token).collect(),
        }
    }

    /// The best sequence; the best unfinished one if none is finished.
    pub fn best(mut self) -> Option<Hypothesis> {
        if !self.finished.is_empty() {
            return Some(self.finished.swap_remove(0));
        }
        let (tokens, log_probability) = self.running.into_iter().next()?;
        let power = (tokens.len().max(1) as f32).powf(self.options.length_penalty);
        Some(Hypothesis { tokens, log_probability, score: log_probability / power })
    }

    /// Finished sequences that are waited for.
    fn pool(&self) -> usize {
        let BeamOptions { beams, patience, .. } = self.options;
        ((beams as f32 * patience).round() as usize).max(1)
    }

    /// The best `2 · beams` continuations, sorted.
    fn gather(&mut self, log_probabilities: &[f32]) {
        let keep = 2 * self.options.beams;
        let vocabulary = log_probabilities.len() / self.running.len().max(1);
        self.candidates.clear();
        let rows = log_probabilities.chunks_exact(vocabulary.max(1));
        for (parent, ((_, sum), row)) in self.running.iter().zip(rows).enumerate() {
            let mut least = match self.candidates.get(keep - 1) {
                Some(last) => last.log_probability,
                None => f32::NEG_INFINITY,
            };
            for (token, log_probability) in row.iter().enumerate() {
                let log_probability = log_probability + sum;
                // NaN is never above.
                if log_probability > least {
                    let at =
                        self.candidates.partition_point(|c| c.log_probability >= log_probability);
                    let token = token as u32;
                    self.candidates.insert(at, Candidate { parent, token, log_probability });
                    self.candidates.truncate(keep);
                    if let Some(last) = self.candidates.get(keep - 1) {
                        least = last.log_probability;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BeamOptions =
        BeamOptions { beams: 2, patience: 1.0, length_penalty: 1.0, max_tokens: 4, end: 0 };

    fn ln(p: &[f32]) -> Vec<f32> {
        p.iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn a_worse_beginning_may_lead_to_the_better_sequence() {
        let mut search = BeamSearch::new(OPTIONS);
        let next = search.advance(&ln(&[0.0, 0.6, 0.4]));
        assert_eq!(next, Next::Continue { parents: vec![0, 0], tokens: vec![1, 2] });
        // 1 has no likely continuation; 2 ends with certainty.
        let next = search.advance(&ln(&[0.3, 0.35, 0.35, 1.0, 0.0, 0.0]));
        assert_eq!(next, Next::Continue { parents: vec![0, 0], tokens: vec![1, 2] });
        assert_eq!(search.running().collect::<Vec<_>>(), [[1, 1], [1, 2]]);
        search.advance(&ln(&[0.4, 0.3, 0.3, 0.4, 0.3, 0.3]));
        let best = search.best().unwrap();
        assert_eq!(best.tokens, [2, 0]);
        assert!((best.log_probability - 0.4f32.ln()).abs() < 1e-6);
        assert!((best.score - 0.4f32.ln() / 2.0).abs() < 1e-6);
    }

    #[test]
    fn the_search_ends_when_no_running_sequence_can_win() {
        let mut search = BeamSearch::new(OPTIONS);
        search.advance(&ln(&[0.0, 0.5, 0.5]));
        // Both end: the pool is full, and what still runs is far less likely.
        let next = search.advance(&ln(&[0.9, 0.05, 0.05, 0.9, 0.05, 0.05]));
        assert_eq!(next, Next::Done);
    }

    #[test]
    fn patience_waits_for_more() {
        let mut search = BeamSearch::new(BeamOptions { patience: 2.0, ..OPTIONS });
        search.advance(&ln(&[0.0, 0.5, 0.5]));
        let next = search.advance(&ln(&[0.9, 0.05, 0.05, 0.9, 0.05, 0.05]));
        assert!(matches!(next, Next::Continue { .. }));
    }

    #[test]
    fn at_the_longest_all_are_finished() {
        let mut search = BeamSearch::new(BeamOptions { max_tokens: 1, ..OPTIONS });
        assert_eq!(search.advance(&ln(&[0.1, 0.6, 0.3])), Next::Done);
        assert_eq!(search.best().unwrap().tokens, [1]);
    }

    #[test]
    fn if_nothing_is_allowed_the_search_ends() {
        let mut search = BeamSearch::new(OPTIONS);
        assert_eq!(search.advance(&[f32::NEG_INFINITY; 3]), Next::Done);
        assert!(search.best().unwrap().tokens.is_empty());
    }
}
