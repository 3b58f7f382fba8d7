//! Answers: a transcript whole, or its text as it comes.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;

use super::params::{Params, ResponseFormat};
use super::work::{Progress, Work};
use crate::transcript::{Format, Segment, Transcript, Verbose};

/// How often a stream says that it is alive, for what lies between here and the client.
const ALIVE: Duration = Duration::from_secs(15);

/// A JSON text.
pub(super) fn json(value: &impl Serialize) -> String {
    // Nothing of it can fail to be written to a string: there are no maps and no numbers but finite.
    serde_json::to_string(value).unwrap_or_default()
}

/// An answer of a type.
pub(super) fn with_type(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What the API counts.
#[derive(Serialize)]
struct Usage {
    r#type: &'static str,
    seconds: f64,
}

#[derive(Serialize)]
struct Plain<'a> {
    text: &'a str,
    usage: Usage,
}

/// A transcript as it was asked for.
pub(super) fn whole(transcript: &Transcript, params: &Params) -> Response {
    match params.format {
        ResponseFormat::Json => {
            let (text, seconds) = (transcript.text(), transcript.duration);
            let usage = Usage { r#type: "duration", seconds };
            with_type("application/json", json(&Plain { text: text.trim(), usage }))
        }
        ResponseFormat::VerboseJson => {
            let verbose = Verbose::of(transcript, params.segments);
            with_type("application/json", json(&verbose))
        }
        ResponseFormat::Text => text("text/plain; charset=utf-8", transcript, Format::Text),
        ResponseFormat::Srt => text("application/x-subrip; charset=utf-8", transcript, Format::Srt),
        ResponseFormat::Vtt => text("text/vtt; charset=utf-8", transcript, Format::Vtt),
    }
}

fn text(kind: &'static str, transcript: &Transcript, format: Format) -> Response {
    with_type(kind, transcript.render(format))
}

#[derive(Serialize)]
struct Delta<'a> {
    r#type: &'static str,
    delta: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<&'a Segment>,
}

#[derive(Serialize)]
struct Done<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// It has the text too.
    #[serde(flatten)]
    verbose: Option<Verbose<'a>>,
}

/// The text of segments, so cut that all deltas together are the whole text without the space around
/// it.
#[derive(Debug, Default)]
struct Deltas {
    /// Space that belongs to the text if more of it follows.
    space: String,
    has_begun: bool,
}

impl Deltas {
    fn next(&mut self, text: &str) -> String {
        let held = std::mem::take(&mut self.space) + text;
        let text = if self.has_begun { &held } else { held.trim_start() };
        let delta = text.trim_end();
        self.has_begun |= !delta.is_empty();
        self.space = text[delta.len()..].to_owned();
        delta.to_owned()
    }
}

/// A stream on its way.
struct Streaming {
    work: Work,
    verbose: bool,
    segments: bool,
    deltas: Deltas,
}

impl Streaming {
    /// The next event, and whether it is the last.
    async fn next(&mut self) -> (String, bool) {
        loop {
            match self.work.next().await {
                Ok(Progress::Begun) => {}
                Ok(Progress::Segment(segment)) => {
                    let delta = self.deltas.next(&segment.text);
                    let segment = self.verbose.then_some(&segment);
                    return (
                        json(&Delta { r#type: "transcript.text.delta", delta, segment }),
                        false,
                    );
                }
                Ok(Progress::Done(transcript)) => return (self.done(&transcript), true),
                Err(refusal) => return (refusal.json(), true),
            }
        }
    }

    fn done(&self, transcript: &Transcript) -> String {
        let text = transcript.text();
        let verbose = self.verbose.then(|| Verbose::of(transcript, self.segments));
        let text = verbose.is_none().then(|| text.trim());
        json(&Done { r#type: "transcript.text.done", text, verbose })
    }
}

/// The text as it comes, as server-sent events.
pub(super) fn streamed(work: Work, params: &Params) -> Response {
    let verbose = params.format == ResponseFormat::VerboseJson;
    let (segments, deltas) = (params.segments, Deltas::default());
    let streaming = Streaming { work, verbose, segments, deltas };
    let events = stream::unfold(Some(streaming), |streaming| async {
        let mut streaming = streaming?;
        let (event, is_last) = streaming.next().await;
        let event = Ok::<_, Infallible>(Event::default().data(event));
        Some((event, (!is_last).then_some(streaming)))
    });
    let alive = KeepAlive::new().interval(ALIVE).text("alive");
    let mut response = Sse::new(events).keep_alive(alive).into_response();
    // Proxies hold answers back otherwise.
    let header = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(header, HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::Deltas;

    #[test]
    fn deltas_together_are_the_text_without_the_space_around_it() {
        for segments in
            [&[" Hello", " you. ", "", " ", " Bye.  "][..], &["", " "], &[" a", "b", "\nc"]]
        {
            let mut deltas = Deltas::default();
            let text: String = segments.iter().map(|segment| deltas.next(segment)).collect();
            assert_eq!(text, segments.concat().trim());
        }
    }
}
