//! Which language is spoken.

use super::DecodingError;
use crate::decoder::{Decoder, Scratch, State};
use crate::tokenizer::Special;

/// A language, and how likely it is that it is spoken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detected {
    /// Its code.
    pub code: &'static str,
    /// The probability among all languages.
    pub probability: f32,
}

/// All languages of a checkpoint, the likeliest first, for the window that `state` has; none if it
/// knows English alone.
///
/// # Errors
/// When the decoder fails.
pub fn detect(
    decoder: &Decoder,
    special: &Special,
    state: &mut State,
    scratch: &mut Scratch,
) -> Result<Vec<Detected>, DecodingError> {
    if !special.is_multilingual() {
        return Ok(Vec::new());
    }
    state.rewind(0);
    let logits = decoder.prompt(&[special.start], &[0], state, scratch)?;
    Ok(rank(logits, special))
}

fn rank(logits: &[f32], special: &Special) -> Vec<Detected> {
    let logit = |token: u32| logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    let of = |(token, code): &(u32, &'static str)| (logit(*token), *code);
    let mut languages: Vec<(f32, &'static str)> = special.languages.iter().map(of).collect();
    languages.sort_by(|a, b| b.0.total_cmp(&a.0));
    let max = languages.first().map_or(0.0, |(logit, _)| *logit);
    let sum: f32 = languages.iter().map(|(logit, _)| (logit - max).exp()).sum();
    let detected = |(logit, code): &(f32, &'static str)| Detected {
        code,
        probability: (logit - max).exp() / sum,
    };
    languages.iter().map(detected).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Tokenizer;

    #[test]
    fn only_languages_count() {
        let special = Tokenizer::synthetic(51865).special().clone();
        let mut logits = vec![-20.0; 51865];
        logits[7] = 50.0;
        logits[special.language("de").unwrap() as usize] = 3f32.ln();
        logits[special.language("fr").unwrap() as usize] = 0.0;
        let ranked = rank(&logits, &special);
        assert_eq!((ranked[0].code, ranked[1].code, ranked.len()), ("de", "fr", 99));
        assert!((ranked[0].probability - 0.75).abs() < 1e-6);
    }
}
