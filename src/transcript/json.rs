//! JSON with the fields of OpenAI's `verbose_json`.

use serde::Serialize;

use super::{Segment, TimedWord, Transcript};
use crate::tokenizer::language_name;

#[derive(Serialize)]
struct Verbose<'a> {
    task: &'a str,
    language: &'a str,
    duration: f64,
    text: String,
    segments: &'a [Segment],
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<&'a TimedWord>>,
}

/// The language goes by its name, words are those of all segments.
pub(super) fn render(transcript: &Transcript) -> String {
    let Transcript { task, language, duration, segments } = transcript;
    let has_words = segments.iter().any(|segment| segment.words.is_some());
    let words = || segments.iter().flat_map(|segment| segment.words.iter().flatten());
    let verbose = Verbose {
        task,
        language: language_name(language).unwrap_or(language),
        duration: *duration,
        text: transcript.text().trim().to_owned(),
        segments,
        words: has_words.then(|| words().collect()),
    };
    // Nothing of it can fail to be written to a string: there are no maps and no numbers but finite.
    serde_json::to_string_pretty(&verbose).unwrap_or_default() + "\n"
}
