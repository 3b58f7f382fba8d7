//! Where timestamps may stand, and where they must.

use crate::backend::cpu::Cpu;
use crate::tokenizer::Special;

/// The rules of timestamps, as in OpenAI's `ApplyTimestampRules`:
///
/// - `<|notimestamps|>` is not chosen;
/// - they come in pairs, the end of a stretch of speech and the beginning of the next, but for the
///   first and for the last, behind which is the end;
/// - they do not decrease, and a stretch is not empty;
/// - the first token is one, and not later than the initial limit;
/// - if all of them together are likelier than any token of text, one is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampRules {
    end: u32,
    no_timestamps: u32,
    first: u32,
    initial: Option<u32>,
}

impl TimestampRules {
    /// With an initial limit in positions, or none.
    pub fn new(special: &Special, initial: Option<u32>) -> Self {
        let Special { end, no_timestamps, first_timestamp: first, .. } = *special;
        Self { end, no_timestamps, first, initial }
    }

    /// Applies them to the logits of the next token, of which `sampled` were chosen already.
    pub fn apply(&self, cpu: &Cpu, sampled: &[u32], logits: &mut [f32]) {
        let Self { end, no_timestamps, first, initial } = *self;
        let length = logits.len();
        let mut forbid = |from: usize, to: usize| {
            let to = to.min(length);
            logits[from.min(to)..to].fill(f32::NEG_INFINITY);
        };
        let [end, no_timestamps, begin] = [end, no_timestamps, first].map(|id| id as usize);
        forbid(no_timestamps, no_timestamps + 1);

        let is_timestamp = |token: &u32| *token >= first;
        let last_is = sampled.last().is_some_and(is_timestamp);
        let before_is = sampled.len() < 2 || is_timestamp(&sampled[sampled.len() - 2]);
        match (last_is, before_is) {
            // A pair is complete: text follows.
            (true, true) => forbid(begin, length),
            // Half a pair: the other half follows, or the end.
            (true, false) => forbid(0, end),
            (false, _) => {}
        }
        if let Some(last) = sampled.iter().rev().find(|token| is_timestamp(token)) {
            let half = last_is && !before_is;
            forbid(begin, *last as usize + usize::from(!half));
        }
        if sampled.is_empty() {
            forbid(0, begin);
            if let Some(initial) = initial {
                forbid(begin.saturating_add(initial as usize).saturating_add(1), length);
            }
        }
        if begin < length {
            let (text, timestamps) = logits.split_at_mut(begin);
            // Both without the same normalisation, which changes nothing.
            let likeliest = cpu.largest(text).map_or(f32::NEG_INFINITY, |(_, logit)| logit);
            if cpu.log_sum_exp(timestamps) > likeliest {
                text.fill(f32::NEG_INFINITY);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Isa;
    use crate::tokenizer::Tokenizer;

    /// A vocabulary of 4 texts, the end, `<|notimestamps|>` and 6 timestamps from 10 on.
    fn rules(initial: Option<u32>) -> TimestampRules {
        TimestampRules { end: 4, no_timestamps: 9, first: 10, initial }
    }

    /// The tokens that are allowed after some were chosen.
    fn allowed(rules: TimestampRules, sampled: &[u32], logits: [f32; 16]) -> Vec<usize> {
        let cpu = Cpu::with_isa(Isa::Portable).unwrap();
        let mut logits = logits;
        rules.apply(&cpu, sampled, &mut logits);
        (0..16).filter(|i| logits[*i] > f32::NEG_INFINITY).collect()
    }

    /// Text is far likelier than timestamps.
    const TEXT: [f32; 16] =
        [9.0, 8.0, 7.0, 6.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

    #[test]
    fn the_first_is_a_timestamp_within_the_limit() {
        assert_eq!(allowed(rules(Some(2)), &[], TEXT), [10, 11, 12]);
        assert_eq!(allowed(rules(None), &[], TEXT), [10, 11, 12, 13, 14, 15]);
    }

    #[test]
    fn text_follows_a_pair_and_the_other_half_or_the_end_follows_half_of_one() {
        assert_eq!(allowed(rules(None), &[10], TEXT), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(allowed(rules(None), &[10, 1, 12, 12], TEXT), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        // The next stretch may begin when this one ends.
        assert_eq!(allowed(rules(None), &[10, 1, 12], TEXT), [4, 5, 6, 7, 8, 12, 13, 14, 15]);
    }

    #[test]
    fn timestamps_do_not_decrease_and_no_stretch_is_empty() {
        let after = allowed(rules(None), &[12, 1], TEXT);
        assert_eq!(after, [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15]);
    }

    #[test]
    fn if_all_timestamps_are_likelier_than_any_text_one_is_chosen() {
        let mut logits = TEXT;
        // Six of them at 7.5 are as likely as one at 9.29, which is more than 9.
        logits[10..].fill(7.5);
        assert_eq!(allowed(rules(None), &[10, 1], logits), [11, 12, 13, 14, 15]);
        logits[10..].fill(7.0);
        assert!(allowed(rules(None), &[10, 1], logits).contains(&0));
    }

    #[test]
    fn the_tokens_are_those_of_the_tokenizer() {
        let special = Tokenizer::synthetic(51865).special().clone();
        let rules = TimestampRules::new(&special, Some(50));
        let cpu = Cpu::with_isa(Isa::Portable).unwrap();
        let mut logits = vec![0.0; 51865];
        rules.apply(&cpu, &[], &mut logits);
        let allowed: Vec<_> = (0..51865).filter(|i| logits[*i] == 0.0).collect();
        assert_eq!(allowed, (50364..=50414).collect::<Vec<_>>());
    }
}
