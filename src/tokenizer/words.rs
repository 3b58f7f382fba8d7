//! Tokens gathered to words.

use super::Tokenizer;

/// A word: its tokens and their text, with the space before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// The tokens.
    pub tokens: Vec<u32>,
}

/// Languages that put no spaces between words.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];

const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Splits tokens into words: at spaces and punctuation or, in languages that do without spaces,
/// wherever characters end. As OpenAI's `split_to_word_tokens` does. Special tokens are words of their
/// own without text.
pub fn split_words(tokenizer: &Tokenizer, tokens: &[u32], language: &str) -> Vec<Word> {
    let characters = split_characters(tokenizer, tokens);
    if WITHOUT_SPACES.contains(&language) {
        return characters;
    }
    let mut words: Vec<Word> = Vec::new();
    for part in characters {
        let special = part.tokens.first().is_some_and(|id| *id >= tokenizer.special().end);
        // As there: one mark, or several that happen to stand in this order.
        let punctuation = PUNCTUATION.contains(strip(&part.text));
        match words.last_mut() {
            Some(word) if !special && !part.text.starts_with(' ') && !punctuation => {
                word.text.push_str(&part.text);
                word.tokens.extend(part.tokens);
            }
            _ => words.push(part),
        }
    }
    words
}

/// A text without space around it, and without what Python's `strip` takes for space: the separators
/// of ASCII, which are tokens.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\x1C'..='\x1F'))
}

/// Gathers tokens until their bytes are whole characters, or what is broken of them is so in the whole
/// text as well.
fn split_characters(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<Word> {
    let broken = |c: char| c == char::REPLACEMENT_CHARACTER;
    let all: Vec<u8> = tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
    let all: Vec<char> = String::from_utf8_lossy(&all).chars().collect();
    let mut words = Vec::new();
    let (mut pending, mut bytes, mut start) = (Vec::new(), Vec::new(), 0);
    for (i, token) in tokens.iter().enumerate() {
        pending.push(*token);
        bytes.extend_from_slice(tokenizer.bytes(*token));
        let text = String::from_utf8_lossy(&bytes);
        let first = text.chars().position(broken);
        let ends = first.is_none_or(|at| all.get(start + at).is_none_or(|c| broken(*c)));
        if ends || i + 1 == tokens.len() {
            start += text.chars().count();
            words.push(Word { text: text.into_owned(), tokens: std::mem::take(&mut pending) });
            bytes.clear();
        }
    }
    words
}
