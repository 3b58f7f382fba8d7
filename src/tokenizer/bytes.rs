//! GPT-2's bytes: how tokens are spelled in a vocabulary that is text.

use std::fmt::Write;

/// Bytes and the characters that stand for them: those that print for themselves, the others for
/// characters from U+0100 on.
pub(super) struct Alphabet {
    /// In the order of their tokens.
    bytes: Vec<u8>,
}

impl Alphabet {
    pub(super) fn new() -> Self {
        let prints = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
        let all = || 0..=u8::MAX;
        let bytes = all().filter(prints).chain(all().filter(|byte| !prints(byte)));
        Self { bytes: bytes.collect() }
    }

    /// The byte of one of the first 256 tokens.
    pub(super) fn byte(&self, token: u32) -> Option<u8> {
        self.bytes.get(token as usize).copied()
    }

    /// The token of a byte.
    pub(super) fn token(&self, byte: u8) -> u32 {
        self.bytes.iter().position(|other| *other == byte).unwrap_or_default() as u32
    }

    /// The bytes that a spelled token stands for; itself if it is not spelled so.
    pub(super) fn bytes(&self, token: &str) -> Box<[u8]> {
        let printing = self.bytes.len() - 68;
        let byte = |c: char| match u32::from(c) {
            code @ 0x100.. => self.bytes.get(printing + (code - 0x100) as usize).copied(),
            code => u8::try_from(code).ok().filter(|b| self.bytes[..printing].contains(b)),
        };
        let bytes: Option<Vec<u8>> = token.chars().map(byte).collect();
        bytes.unwrap_or_else(|| token.as_bytes().to_vec()).into()
    }
}

/// A made-up word or part of one, another for each token.
pub(super) fn syllables(token: u32) -> String {
    const CONSONANTS: [&str; 16] =
        ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "sh"];
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let mut rest = token as usize - 256;
    // Two of three begin a word.
    let mut text = String::from(if rest % 3 == 2 { "" } else { " " });
    loop {
        let (consonant, vowel) = (rest % 16, rest / 16 % 5);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{}", CONSONANTS[consonant], VOWELS[vowel]);
        rest /= 80;
        if rest == 0 {
            return text;
        }
    }
}
