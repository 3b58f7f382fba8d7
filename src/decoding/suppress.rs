//! Tokens that are never chosen, or not as the first.

use super::GenerationConfig;
use crate::tokenizer::Tokenizer;

/// Forbids tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suppress {
    /// Always.
    pub always: Vec<u32>,
    /// As the first token.
    pub first: Vec<u32>,
}

impl Suppress {
    /// What the checkpoint says, or else what OpenAI's programs do: annotations are never chosen, and
    /// neither a blank nor the end first. The special tokens that only prompts have never are.
    pub fn new(tokenizer: &Tokenizer, config: &GenerationConfig) -> Self {
        let special = tokenizer.special();
        let of = |tokens: &[i64]| tokens.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let mut always: Vec<u32> =
            config.suppress_tokens.as_deref().map_or_else(|| tokenizer.non_speech(), of);
        always.extend([special.start, special.translate, special.transcribe, special.previous]);
        always.extend(special.start_of_lm.into_iter().chain(special.no_speech));
        always.sort_unstable();
        always.dedup();
        let blank = || {
            let mut tokens = tokenizer.encode(" ").unwrap_or_default();
            tokens.push(special.end);
            tokens
        };
        let first = config.begin_suppress_tokens.as_deref().map_or_else(blank, of);
        Self { always, first }
    }

    /// Applies it to the logits of the next token, of which `sampled` were chosen already.
    pub fn apply(&self, sampled: &[u32], logits: &mut [f32]) {
        let first: &[u32] = if sampled.is_empty() { &self.first } else { &[] };
        for token in self.always.iter().chain(first) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_forbidden() {
        let rule = Suppress { always: vec![1, 99], first: vec![0] };
        let mut logits = [1.0, 2.0, 3.0];
        rule.apply(&[], &mut logits);
        assert_eq!(logits, [f32::NEG_INFINITY, f32::NEG_INFINITY, 3.0]);
        let mut logits = [1.0, 2.0, 3.0];
        rule.apply(&[2], &mut logits);
        assert_eq!(logits, [1.0, f32::NEG_INFINITY, 3.0]);
    }

    #[test]
    fn the_checkpoint_is_asked_first() {
        let tokenizer = Tokenizer::synthetic(51865);
        let own = Suppress::new(&tokenizer, &GenerationConfig::default());
        assert_eq!(own.first, [220, 50257]);
        assert!(own.always.contains(&2), "a hash mark annotates");
        let config = GenerationConfig {
            suppress_tokens: Some(vec![5, -1]),
            begin_suppress_tokens: Some(vec![7]),
            ..GenerationConfig::default()
        };
        let said = Suppress::new(&tokenizer, &config);
        assert_eq!(said.first, [7]);
        assert_eq!(said.always, [5, 50258, 50358, 50359, 50360, 50361, 50362]);
    }
}
