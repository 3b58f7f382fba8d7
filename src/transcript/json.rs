//! JSON with the fields of OpenAI's `verbose_json`.

use serde::Serialize;

use super::{Segment, TimedWord, Transcript};
use crate::tokenizer::language_name;

/// The fields of `verbose_json`.
#[derive(Serialize)]
pub(crate) struct Verbose<'a> {
    task: &'a str,
    language: &'a str,
    duration: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<&'a [Segment]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<&'a TimedWord>>,
}

impl<'a> Verbose<'a> {
    /// Those of a transcript, with segments or without. The language goes by its name, words are those
    /// of all segments.
    pub(crate) fn of(transcript: &'a Transcript, with_segments: bool) -> Self {
        let Transcript { task, language, duration, segments } = transcript;
        let has_words = segments.iter().any(|segment| segment.words.is_some());
        let words = || segments.iter().flat_map(|segment| segment.words.iter().flatten());
        Self {
            task,
            language: language_name(language).unwrap_or(language),
            duration: *duration,
            text: transcript.text().trim().to_owned(),
            segments: with_segments.then_some(segments),
            words: has_words.then(|| words().collect()),
        }
    }
}

pub(super) fn render(transcript: &Transcript) -> String {
    // Nothing of it can fail to be written to a string: there are no maps and no numbers but finite.
    serde_json::to_string_pretty(&Verbose::of(transcript, true)).unwrap_or_default() + "\n"
}
