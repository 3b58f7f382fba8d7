//! An engine that does what prompts tell it to.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tilewright::decoding::DecodingError;
use tilewright::decoding::Passes;
use tilewright::encoder::Counts;
use tilewright::server::{Counters, Engine};
use tilewright::transcribe::{Event, Samples, Settings, Stop, TranscribeError};
use tilewright::transcript::{Segment, TimedWord, Transcript};

/// Two segments for any recording. The prompt `wait` waits between them until it is released or
/// stopped, `fail` fails there, `panic` panics and `flood` says more and more.
#[derive(Default)]
pub(super) struct Played {
    pub(super) released: AtomicBool,
    pub(super) begun: AtomicUsize,
    /// How many have come to where they wait or say more and more: only those are told to stop there.
    pub(super) midway: AtomicUsize,
    /// How many of these were stopped.
    pub(super) stopped: AtomicUsize,
}

fn segment(id: usize, text: &str) -> Segment {
    let words = vec![TimedWord { word: text.to_owned(), start: 0.0, end: 1.0, probability: 0.5 }];
    let (start, end) = (id as f64, id as f64 + 1.0);
    Segment { id, start, end, text: text.to_owned(), words: Some(words), ..Segment::default() }
}

/// What is always said.
pub(super) fn transcript(settings: &Settings, seconds: f64) -> Transcript {
    let mut segments = vec![segment(0, " Hello,"), segment(1, " you. ")];
    for segment in segments.iter_mut().filter(|_| !settings.words) {
        segment.words = None;
    }
    let language = settings.language.clone().unwrap_or_else(|| "en".to_owned());
    Transcript { task: "transcribe", language, duration: seconds, segments }
}

impl Played {
    fn wait(&self, stop: &Stop) -> Result<(), TranscribeError> {
        self.midway.fetch_add(1, Ordering::SeqCst);
        while !self.released.load(Ordering::SeqCst) {
            if stop.is_stopped() {
                self.stopped.fetch_add(1, Ordering::SeqCst);
                return Err(TranscribeError::Stopped);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn flood(&self, stop: &Stop, on: &mut dyn FnMut(Event<'_>)) -> Result<(), TranscribeError> {
        self.midway.fetch_add(1, Ordering::SeqCst);
        while !stop.is_stopped() {
            on(Event::Segment(&segment(0, &"so much ".repeat(4 << 10))));
        }
        self.stopped.fetch_add(1, Ordering::SeqCst);
        Err(TranscribeError::Stopped)
    }
}

impl Engine for Played {
    fn check(&self, settings: &Settings) -> Result<(), TranscribeError> {
        match settings.language.as_deref() {
            Some("yue") => Err(DecodingError::Language("yue".to_owned()).into()),
            _ => Ok(()),
        }
    }

    fn transcribe(
        &self,
        samples: &mut dyn Samples,
        settings: &Settings,
        stop: &Stop,
        on: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Transcript, TranscribeError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut heard = Vec::new();
        while samples.more(&mut heard)? {}
        if stop.is_stopped() {
            return Err(TranscribeError::Stopped);
        }
        let transcript = transcript(settings, heard.len() as f64 / 16e3);
        on(Event::Segment(&transcript.segments[0]));
        match settings.initial_prompt.as_deref() {
            Some("wait") => self.wait(stop)?,
            Some("fail") => return Err(DecodingError::NoToken.into()),
            Some("panic") => panic!("as it was told to"),
            Some("flood") => self.flood(stop, on)?,
            _ => {}
        }
        on(Event::Segment(&transcript.segments[1]));
        Ok(transcript)
    }

    fn counters(&self) -> Counters {
        Counters {
            encoder: Counts { windows: 5, calls: 2 },
            decoder: Passes { turns: 60, passes: 11 },
        }
    }
}
