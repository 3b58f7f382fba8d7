//! Text and Whisper's tokens.
//!
//! A [`Tokenizer`] is made of a checkpoint's `tokenizer.json`, of which vocabulary, merges and added
//! tokens are read, see the source of `file`. Text becomes tokens through the `tokenizers` crate;
//! tokens become text through a table of bytes, as a token may end within a character. [`Special`]
//! tokens say what the decoder is to do, and when something was said.
//!
//! Without a checkpoint, [`Tokenizer::synthetic`] has Whisper's tokens at their places, and
//! made-up syllables for text.

mod bytes;
mod file;
mod languages;
mod special;
mod words;

use std::path::{Path, PathBuf};

use crate::weights::{Weights, WeightsError};
use bytes::Alphabet;
use file::File;
pub use languages::{LANGUAGES, language_code, language_name};
pub use special::Special;
pub(crate) use words::strip;
pub use words::{Word, split_words};

/// The largest of Whisper's has 4 MB.
const LIMIT: u64 = 64 << 20;

/// Why there is no tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The checkpoint has none.
    #[error(
        "{weights} has no tokenizer.json beside it\n  = help: put the one of the checkpoint's repository there"
    )]
    Missing {
        /// Which weights.
        weights: String,
    },
    /// It could not be read.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// It is no tokenizer.
    #[error("{}: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not Whisper's.
    #[error("{}: it has no token `{token}`, which Whisper's have", .path.display())]
    NotWhisper {
        /// The file.
        path: PathBuf,
        /// The token that is missing.
        token: &'static str,
    },
    /// It has special tokens that the decoder has not.
    #[error(
        "{}: token {token} is a special one, and the decoder has {vocabulary} tokens: they are not of the same checkpoint", .path.display()
    )]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// The number of the token.
        token: u32,
        /// Tokens of the decoder.
        vocabulary: usize,
    },
    /// Text that cannot be made tokens of.
    #[error("cannot tokenise the prompt: {0}")]
    Encode(String),
}

/// Text to tokens and back.
pub struct Tokenizer {
    /// What each token of text stands for.
    bytes: Vec<Box<[u8]>>,
    special: Special,
    encoder: Option<Box<tokenizers::Tokenizer>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("tokens", &self.bytes.len())
            .field("special", &self.special)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// The tokenizer of a checkpoint with so many tokens, or a synthetic one for synthetic weights.
    ///
    /// # Errors
    /// When the checkpoint has none, or not Whisper's.
    pub fn of(weights: &Weights, vocabulary: usize) -> Result<Self, TokenizerError> {
        if weights.is_synthetic() {
            return Ok(Self::synthetic(vocabulary));
        }
        match weights.neighbour("tokenizer.json", LIMIT)? {
            Some((path, json)) => Self::from_json(&path, &json, vocabulary),
            None => Err(TokenizerError::Missing { weights: weights.to_string() }),
        }
    }

    /// From the contents of a `tokenizer.json`; errors call it `path`.
    ///
    /// # Errors
    /// When it is malformed, or not Whisper's.
    pub fn from_json(path: &Path, json: &[u8], vocabulary: usize) -> Result<Self, TokenizerError> {
        let malformed = |reason| TokenizerError::Malformed { path: path.to_owned(), reason };
        let file = File::parse(json).map_err(malformed)?;
        let special = Special::find(|token| file.id(token), vocabulary)
            .map_err(|token| TokenizerError::NotWhisper { path: path.to_owned(), token })?;
        if let Some(token) = special.all().find(|id| *id as usize >= vocabulary) {
            let path = path.to_owned();
            return Err(TokenizerError::Vocabulary { path, token, vocabulary });
        }
        let alphabet = Alphabet::new();
        let mut bytes = vec![Box::default(); special.end as usize];
        for (token, id) in file.tokens() {
            if let Some(bytes) = bytes.get_mut(id as usize) {
                *bytes = alphabet.bytes(token);
            }
        }
        let encoder = file.encoder().map_err(malformed)?;
        Ok(Self { bytes, special, encoder: Some(Box::new(encoder)) })
    }

    /// Whisper's tokens without a checkpoint: single bytes and special tokens are where they are in all
    /// multilingual checkpoints of such a vocabulary, all other text is made up.
    pub fn synthetic(vocabulary: usize) -> Self {
        let special = Special::usual(vocabulary);
        let alphabet = Alphabet::new();
        let of = |token: u32| match alphabet.byte(token) {
            Some(byte) => [byte].into(),
            None => bytes::syllables(token).into_bytes().into(),
        };
        Self { bytes: (0..special.end).map(of).collect(), special, encoder: None }
    }

    /// The tokens that are no text.
    pub fn special(&self) -> &Special {
        &self.special
    }

    /// The tokens of a text, none of them special.
    ///
    /// # Errors
    /// When the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match &self.encoder {
            Some(encoder) => {
                let encoding = encoder.encode_fast(text, false);
                let encoding = encoding.map_err(|e| TokenizerError::Encode(e.to_string()))?;
                let mut ids = encoding.get_ids().to_vec();
                ids.retain(|id| *id < self.special.end);
                Ok(ids)
            }
            None => {
                let alphabet = Alphabet::new();
                Ok(text.bytes().map(|byte| alphabet.token(byte)).collect())
            }
        }
    }

    /// The bytes of a token of text; none for special tokens.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], |bytes| bytes)
    }

    /// The text of tokens, without the special ones. What is no UTF-8 becomes U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| self.bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Tokens that annotate rather than transcribe: ♪, brackets, runs of dashes and the like, as
    /// OpenAI's `non_speech_tokens` finds them. Hyphens and single quotes are among them at the
    /// beginning of a word only.
    pub fn non_speech(&self) -> Vec<u32> {
        const SYMBOLS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> \
                               -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        const NOTES: &str = "♩ ♪ ♫ ♬ ♭ ♮ ♯";
        let encode = |text: &str| self.encode(text).unwrap_or_default();
        let mut tokens: Vec<u32> =
            [" -", " '"].iter().filter_map(|text| encode(text).first().copied()).collect();
        for symbol in SYMBOLS.split(' ').chain(NOTES.split(' ')) {
            for text in [symbol.to_owned(), format!(" {symbol}")] {
                let ids = encode(&text);
                // Of a note that is several tokens the first is that of all notes.
                if let [id] | [id, _, ..] = ids[..]
                    && (ids.len() == 1 || NOTES.contains(symbol))
                {
                    tokens.push(id);
                }
            }
        }
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

#[cfg(test)]
mod tests;
