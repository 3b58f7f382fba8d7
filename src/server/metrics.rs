//! What Prometheus is told, in its text format.
//!
//! There are a dozen metrics whose names never change, and the format is a page of text: a crate for it
//! would be more to read than this.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::engine::Counters;
use crate::decoding::Passes;
use crate::encoder::Counts;
use crate::transcribe::TranscribeError;
use crate::transcript::Transcript;

/// Upper bounds of the classes of times, in seconds.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// How things stand.
pub(super) struct Now {
    pub(super) running: usize,
    pub(super) waiting: usize,
    pub(super) engine: Counters,
}

/// What is counted.
#[derive(Default)]
pub(super) struct Metrics {
    numbers: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    /// Requests that were answered, by route, method and status.
    requests: BTreeMap<(String, &'static str, u16), u64>,
    in_flight: u64,
    connections: u64,
    /// Transcriptions by how they ended.
    done: u64,
    stopped: u64,
    failed: u64,
    audio_seconds: f64,
    tokens: u64,
    answer: Histogram,
    wait: Histogram,
    transcription: Histogram,
}

#[derive(Default)]
struct Histogram {
    classes: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        // They are cumulative.
        for (class, bound) in self.classes.iter_mut().zip(BOUNDS) {
            *class += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum += seconds;
    }
}

/// Something that is under way, until it is dropped.
pub(super) struct Pending<'a>(&'a Metrics, fn(&mut Numbers) -> &mut u64);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        *self.1(&mut self.0.lock()) -= 1;
    }
}

impl Metrics {
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self, of: fn(&mut Numbers) -> &mut u64) -> Pending<'_> {
        *of(&mut self.lock()) += 1;
        Pending(self, of)
    }

    /// A request came.
    pub(super) fn request(&self) -> Pending<'_> {
        self.pending(|numbers| &mut numbers.in_flight)
    }

    /// A client came.
    pub(super) fn connection(&self) -> Pending<'_> {
        self.pending(|numbers| &mut numbers.connections)
    }

    /// A request was answered: its head was sent.
    pub(super) fn answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let mut numbers = self.lock();
        *numbers.requests.entry((route.to_owned(), method, status)).or_default() += 1;
        numbers.answer.add(took);
    }

    /// A recording waited for its turn.
    pub(super) fn waited(&self, time: Duration) {
        self.lock().wait.add(time);
    }

    /// A transcription ended.
    pub(super) fn ended(&self, took: Duration, result: &Result<Transcript, TranscribeError>) {
        let mut numbers = self.lock();
        match result {
            Ok(transcript) => {
                numbers.done += 1;
                numbers.audio_seconds += transcript.duration;
                let tokens = transcript.segments.iter().map(|segment| segment.tokens.len() as u64);
                numbers.tokens += tokens.sum::<u64>();
                numbers.transcription.add(took);
            }
            Err(TranscribeError::Stopped) => numbers.stopped += 1,
            Err(_) => numbers.failed += 1,
        }
    }

    /// How long a transcription takes, in whole seconds from 1 to 60.
    pub(super) fn seconds_each(&self) -> u64 {
        let Histogram { count, sum, .. } = self.lock().transcription;
        (sum / count.max(1) as f64).ceil().clamp(1.0, 60.0) as u64
    }

    /// All of it, with how things stand.
    pub(super) fn render(&self, now: &Now) -> String {
        let numbers = self.lock();
        let mut text = Text::default();
        text.head("http_requests_total", "counter", "Requests that were answered");
        for ((route, method, status), count) in &numbers.requests {
            text.line(
                "http_requests_total",
                &format!("{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"),
                *count as f64,
            );
        }
        let Numbers { in_flight, connections, audio_seconds, tokens, .. } = *numbers;
        text.gauge("http_requests_in_flight", "Requests without an answer", in_flight as f64);
        text.gauge("connections", "Open connections", connections as f64);
        text.gauge("transcriptions_running", "Recordings at work", now.running as f64);
        text.gauge("transcriptions_waiting", "Recordings read or waiting", now.waiting as f64);
        text.head("transcriptions_total", "counter", "Transcriptions that ended");
        let Numbers { done, stopped, failed, .. } = *numbers;
        for (outcome, count) in [("done", done), ("stopped", stopped), ("failed", failed)] {
            text.line("transcriptions_total", &format!("{{outcome=\"{outcome}\"}}"), count as f64);
        }
        text.counter("audio_seconds_total", "Seconds of audio transcribed", audio_seconds);
        text.counter("tokens_total", "Tokens of transcripts", tokens as f64);
        let Counts { windows, calls } = now.engine.encoder;
        text.counter("encoder_windows_total", "Windows encoded", windows as f64);
        text.counter("encoder_calls_total", "Calls of the encoder", calls as f64);
        let Passes { turns, passes } = now.engine.decoder;
        text.counter("decoder_turns_total", "Turns of windows in the decoder", turns as f64);
        text.counter("decoder_passes_total", "Passes of the decoder", passes as f64);
        text.histogram("answer_seconds", "Request to head of the answer", &numbers.answer);
        text.histogram("wait_seconds", "Waiting for a turn", &numbers.wait);
        text.histogram("transcription_seconds", "Transcribing", &numbers.transcription);
        text.0
    }
}

/// Prometheus' text format.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ =
            writeln!(self.0, "# HELP tilewright_{name} {help}.\n# TYPE tilewright_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "tilewright_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "counter", help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, of: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, class) in BOUNDS.iter().zip(of.classes) {
            self.line(&bucket, &format!("{{le=\"{bound}\"}}"), class as f64);
        }
        self.line(&bucket, "{le=\"+Inf\"}", of.count as f64);
        self.line(&format!("{name}_sum"), "", of.sum);
        self.line(&format!("{name}_count"), "", of.count as f64);
    }
}
