//! What a form asks for: the parameters of OpenAI's API.

use super::{Form, Refusal};
use crate::decoding::TaskKind;
use crate::tokenizer::language_code;
use crate::transcribe::Settings;

/// The name that stands for whatever model is served.
const ANY_MODEL: &str = "whisper-1";
/// Parameters that may be there several times.
const LISTS: [&str; 6] = [
    "timestamp_granularities",
    "include",
    "keywords",
    "languages",
    "known_speaker_names",
    "known_speaker_references",
];

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFormat {
    /// An object with the text.
    Json,
    /// The text.
    Text,
    /// SubRip subtitles.
    Srt,
    /// An object with all that is known.
    VerboseJson,
    /// WebVTT subtitles.
    Vtt,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// How to transcribe.
    pub settings: Settings,
    /// How to answer.
    pub format: ResponseFormat,
    /// Whether the text is sent as it comes.
    pub stream: bool,
    /// Whether segments are part of [`ResponseFormat::VerboseJson`].
    pub segments: bool,
}

impl Params {
    /// Of a form, where `settings` hold what it does not say and `served` is the model that there is.
    ///
    /// # Errors
    /// When a parameter is not known, there twice or makes no sense.
    pub fn of(
        form: &Form,
        task: TaskKind,
        settings: &Settings,
        served: &str,
    ) -> Result<Self, Refusal> {
        let format = ResponseFormat::Json;
        let mut params = Self { settings: settings.clone(), format, stream: false, segments: true };
        params.settings.decoding.task = task;
        let mut granularities = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in &form.fields {
            let plain = name.strip_suffix("[]").unwrap_or(name);
            if !LISTS.contains(&plain) && seen.contains(&&name[..]) {
                return Err(Refusal::field(name, "it is there twice"));
            }
            seen.push(name);
            match plain {
                "timestamp_granularities" => granularities.push(granularity(name, value)?),
                _ => params.set(name, value, served)?,
            }
        }
        params.granularities(&granularities)?;
        if params.stream && matches!(params.format, ResponseFormat::Srt | ResponseFormat::Vtt) {
            return Err(Refusal::field("stream", "subtitles are not streamed: leave it out"));
        }
        Ok(params)
    }

    fn set(&mut self, name: &str, value: &str, served: &str) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal::field(name, reason));
        match name {
            "model" if value == served || value == ANY_MODEL => {}
            "model" => {
                let (name, served) = (value.to_owned(), served.to_owned());
                return Err(Refusal::Model { name, served });
            }
            "language" => self.settings.language = language(name, value)?,
            "prompt" => {
                self.settings.initial_prompt = (!value.is_empty()).then(|| value.to_owned())
            }
            "response_format" => self.format = response_format(name, value)?,
            // At 0 it is the server's settings that say when a higher one is tried.
            "temperature" => {
                let temperature = temperature(name, value)?;
                if temperature > 0.0 {
                    self.settings.decoding.temperatures = vec![temperature];
                }
            }
            "stream" => self.stream = boolean(name, value)?,
            // Whisper listens to windows of 30 seconds anyway.
            "chunking_strategy" if value == "auto" => {}
            "chunking_strategy" => return refuse("`auto` is known"),
            "include" | "include[]" => return refuse("log-probabilities are not sent"),
            "keywords" | "keywords[]" => return refuse("put them into `prompt`"),
            "languages" | "languages[]" => return refuse("name one in `language`, or none"),
            "known_speaker_names"
            | "known_speaker_names[]"
            | "known_speaker_references"
            | "known_speaker_references[]" => return refuse("speakers are not told apart"),
            _ => return refuse("there is no such parameter"),
        }
        Ok(())
    }

    fn granularities(&mut self, asked: &[Granularity]) -> Result<(), Refusal> {
        if asked.is_empty() {
            return Ok(());
        }
        if self.format != ResponseFormat::VerboseJson {
            let reason = "it needs `response_format` to be `verbose_json`";
            return Err(Refusal::field("timestamp_granularities", reason));
        }
        self.segments = asked.contains(&Granularity::Segment);
        if asked.contains(&Granularity::Word) {
            self.settings.words = true;
            // Words are placed between the timestamps of their segment.
            self.settings.decoding.timestamps = true;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Granularity {
    Segment,
    Word,
}

fn granularity(name: &str, value: &str) -> Result<Granularity, Refusal> {
    match value {
        "segment" => Ok(Granularity::Segment),
        "word" => Ok(Granularity::Word),
        _ => Err(Refusal::field(name, "it is `segment` or `word`")),
    }
}

fn response_format(name: &str, value: &str) -> Result<ResponseFormat, Refusal> {
    match value {
        "json" => Ok(ResponseFormat::Json),
        "text" => Ok(ResponseFormat::Text),
        "srt" => Ok(ResponseFormat::Srt),
        "verbose_json" => Ok(ResponseFormat::VerboseJson),
        "vtt" => Ok(ResponseFormat::Vtt),
        _ => Err(Refusal::field(name, "it is `json`, `text`, `srt`, `verbose_json` or `vtt`")),
    }
}

/// The code of a language, by itself or its English name; none is that of the first window.
fn language(name: &str, value: &str) -> Result<Option<String>, Refusal> {
    if value.is_empty() {
        return Ok(None);
    }
    let unknown = || Refusal::field(name, "Whisper knows no such language");
    language_code(value).map(|code| Some(code.to_owned())).ok_or_else(unknown)
}

fn temperature(name: &str, value: &str) -> Result<f32, Refusal> {
    let number = value.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| Refusal::field(name, "it is a number from 0 to 1"))
}

fn boolean(name: &str, value: &str) -> Result<bool, Refusal> {
    match &value.to_ascii_lowercase()[..] {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Refusal::field(name, "it is `true` or `false`")),
    }
}
