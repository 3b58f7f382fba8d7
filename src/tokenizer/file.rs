//! `tokenizer.json`: what of it makes Whisper's tokens.
//!
//! Vocabulary, merges and added tokens are read, and nothing else. How text is cut and spelled is the
//! same in all of Whisper's; the patterns, replacements and padding that such a file may ask for could
//! be made to take any time and any memory.

use std::collections::HashMap;

use serde::Deserialize;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// The fields that matter.
#[derive(Deserialize)]
pub(super) struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
}

/// A token that no merges lead to.
#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

/// Two tokens that become one, as files have written them over time.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

impl File {
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    /// The number of a token.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        let added = self.added_tokens.iter().find(|added| added.content == token);
        added.map(|added| added.id).or_else(|| self.model.vocab.get(token).copied())
    }

    /// All tokens with their numbers.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        let vocab = self.model.vocab.iter().map(|(token, id)| (&token[..], *id));
        vocab.chain(self.added_tokens.iter().map(|added| (&added.content[..], added.id)))
    }

    /// What makes tokens of text. Of what looks like a special token it makes tokens of text, too.
    pub(super) fn encoder(self) -> Result<tokenizers::Tokenizer, String> {
        let Model { vocab, merges } = self.model;
        let merges = merges.into_iter().map(|merge| pair(merge, &vocab));
        let merges = merges.collect::<Result<Merges, _>>()?;
        let vocab: Vocab = vocab.into_iter().collect();
        let bpe = BPE::builder().vocab_and_merges(vocab, merges).build();
        let bpe = bpe.map_err(|error| error.to_string())?;
        let mut encoder = tokenizers::Tokenizer::new(bpe);
        encoder.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        Ok(encoder)
    }
}

/// The parts of a merge, if they and the whole are tokens, which the library takes for granted.
fn pair(merge: Merge, vocab: &HashMap<String, u32>) -> Result<(String, String), String> {
    let (first, second) = match merge {
        Merge::Pair(first, second) => (first, second),
        Merge::Line(line) => match line.split_once(' ') {
            Some((first, second)) => (first.to_owned(), second.to_owned()),
            None => return Err(format!("the merge `{}` is no pair", line.escape_debug())),
        },
    };
    let whole = format!("{first}{second}");
    let missing = [&first, &second, &whole].into_iter().find(|token| !vocab.contains_key(*token));
    if let Some(token) = missing {
        let [first, second, token] = [&first, &second, token].map(|token| token.escape_debug());
        return Err(format!("`{first} {second}` is a merge, and `{token}` is no token"));
    }
    Ok((first, second))
}
