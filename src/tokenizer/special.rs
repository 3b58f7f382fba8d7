//! Tokens that are no text.

use super::languages::LANGUAGES;

/// The tokens that are no text, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Special {
    /// `<|endoftext|>`; all tokens of text are below.
    pub end: u32,
    /// `<|startoftranscript|>`.
    pub start: u32,
    /// `<|translate|>`: to English.
    pub translate: u32,
    /// `<|transcribe|>`.
    pub transcribe: u32,
    /// `<|startoflm|>`.
    pub start_of_lm: Option<u32>,
    /// `<|startofprev|>`: text that was said before follows.
    pub previous: u32,
    /// `<|nospeech|>`.
    pub no_speech: Option<u32>,
    /// `<|notimestamps|>`.
    pub no_timestamps: u32,
    /// `<|0.00|>`; those of later times follow, every 20 ms.
    pub first_timestamp: u32,
    /// The languages' tokens and codes; none if the checkpoint knows English alone.
    pub languages: Vec<(u32, &'static str)>,
}

impl Special {
    /// By their names; the error is the name that is missing.
    pub(super) fn find(
        id: impl Fn(&str) -> Option<u32>,
        vocabulary: usize,
    ) -> Result<Self, &'static str> {
        let need = |name: &'static str| id(name).ok_or(name);
        let no_timestamps = need("<|notimestamps|>")?;
        let language = |(code, _): &(&'static str, _)| Some((id(&format!("<|{code}|>"))?, *code));
        // Those that know English alone have the tokens, but were not trained on them.
        let is_multilingual = vocabulary >= 51865;
        let languages = LANGUAGES.iter().filter(|_| is_multilingual).filter_map(language);
        Ok(Self {
            end: need("<|endoftext|>")?,
            start: need("<|startoftranscript|>")?,
            translate: need("<|translate|>")?,
            transcribe: need("<|transcribe|>")?,
            start_of_lm: id("<|startoflm|>"),
            previous: need("<|startofprev|>")?,
            // Earlier vocabularies call it so.
            no_speech: id("<|nospeech|>").or_else(|| id("<|nocaptions|>")),
            no_timestamps,
            first_timestamp: no_timestamps.saturating_add(1),
            languages: languages.collect(),
        })
    }

    /// Where they are in multilingual checkpoints of such a vocabulary: large-v3's is one larger.
    pub(super) fn usual(vocabulary: usize) -> Self {
        let end = 50257;
        let start = end + 1;
        let count = if vocabulary > 51865 { 100 } else { 99 };
        let after = start + 1 + count;
        let codes = LANGUAGES.iter().map(|(code, _)| *code);
        Self {
            end,
            start,
            translate: after,
            transcribe: after + 1,
            start_of_lm: Some(after + 2),
            previous: after + 3,
            no_speech: Some(after + 4),
            no_timestamps: after + 5,
            first_timestamp: after + 6,
            languages: (start + 1..after).zip(codes).collect(),
        }
    }

    /// All of them but the timestamps.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        let Self { end, start, translate, transcribe, previous, no_timestamps, .. } = *self;
        let named = [end, start, translate, transcribe, previous, no_timestamps].into_iter();
        let rare = self.start_of_lm.into_iter().chain(self.no_speech);
        named.chain(rare).chain(self.languages.iter().map(|(token, _)| *token))
    }

    /// Whether there are several languages to choose from.
    pub fn is_multilingual(&self) -> bool {
        !self.languages.is_empty()
    }

    /// The token of a language.
    pub fn language(&self, code: &str) -> Option<u32> {
        self.languages.iter().find(|(_, other)| *other == code).map(|(token, _)| *token)
    }

    /// Whether a token is a timestamp.
    pub fn is_timestamp(&self, token: u32) -> bool {
        token >= self.first_timestamp
    }

    /// The positions from the beginning of the window that a timestamp stands for.
    pub fn position(&self, token: u32) -> Option<u32> {
        token.checked_sub(self.first_timestamp)
    }
}
