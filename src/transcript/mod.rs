//! What was said and when, and the formats it is written in.
//!
//! ```
//! use tilewright::transcript::{Format, Segment, Transcript};
//!
//! let segment = Segment { start: 0.0, end: 1.5, text: " Hello.".to_owned(), ..Segment::default() };
//! let transcript = Transcript { segments: vec![segment], ..Transcript::default() };
//! assert_eq!(transcript.render(Format::Srt), "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n");
//! ```

mod json;
mod subtitles;
mod tsv;

#[cfg(feature = "server")]
pub(crate) use json::Verbose;
use serde::Serialize;

/// A stretch of speech.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Segment {
    /// Its number, from 0.
    pub id: usize,
    /// Where its window begins, in frames of 10 ms.
    pub seek: u64,
    /// When it begins, in seconds.
    pub start: f64,
    /// When it ends, in seconds.
    pub end: f64,
    /// The text, with the space before it.
    pub text: String,
    /// The tokens, timestamps among them.
    pub tokens: Vec<u32>,
    /// The temperature that gave it.
    pub temperature: f32,
    /// Mean log-probability of the tokens of its window.
    pub avg_logprob: f32,
    /// How well the text of its window compresses.
    pub compression_ratio: f32,
    /// Probability that its window has no speech.
    pub no_speech_prob: f32,
    /// When each word was said, if that was asked for.
    #[serde(skip)]
    pub words: Option<Vec<TimedWord>>,
}

impl Segment {
    /// The text in one line, without the space around it and without control characters.
    pub fn line(&self) -> String {
        plain(&self.text, false)
    }
}

/// A word, and when it was said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimedWord {
    /// The text, with the space before it.
    pub word: String,
    /// When it begins, in seconds.
    pub start: f64,
    /// When it ends, in seconds.
    pub end: f64,
    /// Mean probability of its tokens.
    #[serde(skip)]
    pub probability: f32,
}

/// All that was said in a recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// "transcribe" or "translate".
    pub task: &'static str,
    /// Code of the language.
    pub language: String,
    /// Seconds of the recording.
    pub duration: f64,
    /// The stretches, in order.
    pub segments: Vec<Segment>,
}

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A line for each segment.
    Text,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// The fields of OpenAI's `verbose_json`.
    Json,
    /// Start and end in milliseconds, and the text, between tabs.
    Tsv,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [Self::Text, Self::Srt, Self::Vtt, Self::Json, Self::Tsv];

    /// The extension of files of it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
            Self::Tsv => "tsv",
        }
    }
}

impl Transcript {
    /// The whole text in one line.
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| &segment.text[..]).collect()
    }

    /// The contents of a file of a format.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.segments.iter().map(|segment| segment.line() + "\n").collect(),
            Format::Srt => subtitles::srt(self),
            Format::Vtt => subtitles::vtt(self),
            Format::Json => json::render(self),
            Format::Tsv => tsv::render(self),
        }
    }
}

/// A segment's text as files hold it: control characters but tabs are spaces, and so are the ends of
/// lines unless there may be `lines`, which a newline then ends.
fn plain(text: &str, lines: bool) -> String {
    let shown = |c: char| match c {
        '\t' => c,
        '\n' | '\r' | '\u{2028}' | '\u{2029}' if lines => '\n',
        '\u{2028}' | '\u{2029}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    text.trim().chars().map(shown).collect()
}

#[cfg(test)]
mod tests;
