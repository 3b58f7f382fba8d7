//! Transcriptions, each on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::app::{App, Deadline};
use super::{Params, Refusal};
use crate::audio::{self, AudioError, AudioReader, SAMPLE_RATE};
use crate::transcribe::{Event, Samples, Stop, TranscribeError};
use crate::transcript::{Segment, Transcript};

/// What becomes of a recording.
pub(super) enum Progress {
    /// It is one, and being transcribed.
    Begun,
    /// A segment is done.
    Segment(Segment),
    /// All is done.
    Done(Transcript),
}

/// A transcription that is under way. It ends at the next token when this is dropped.
pub(super) struct Work {
    app: Arc<App>,
    deadline: Deadline,
    progress: UnboundedReceiver<Result<Progress, Refusal>>,
    stop: Stop,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Work {
    /// Transcribes a recording on another thread, which keeps the permits until it is done.
    pub(super) fn begin(
        app: &Arc<App>,
        deadline: Deadline,
        recording: Vec<u8>,
        params: Params,
        permits: [OwnedSemaphorePermit; 2],
    ) -> Self {
        let (sender, progress) = unbounded_channel();
        let stop = Stop::default();
        let job = Job { app: Arc::clone(app), params, stop: stop.clone(), sender };
        tokio::task::spawn_blocking(move || {
            let result = catch_unwind(AssertUnwindSafe(|| job.run(recording)));
            // What panicked has said so on standard error.
            let result = result.unwrap_or(Err(Refusal::Internal));
            // Before the client is told, so that it finds its place free.
            drop(permits);
            job.finish(result);
        });
        Self { app: Arc::clone(app), deadline, progress, stop }
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> Result<Progress, Refusal> {
        let next = self.app.within(self.deadline, self.progress.recv()).await?;
        next.unwrap_or(Err(Refusal::Internal))
    }
}

struct Job {
    app: Arc<App>,
    params: Params,
    stop: Stop,
    sender: UnboundedSender<Result<Progress, Refusal>>,
}

impl Job {
    fn run(&self, recording: Vec<u8>) -> Result<Transcript, Refusal> {
        let limit = self.app.limits().audio.as_secs();
        let reader = audio::from_bytes("file", recording).map_err(Refusal::Audio)?;
        let announced = reader.announced_seconds();
        if announced.is_some_and(|seconds| seconds > limit as f64) {
            return Err(Refusal::Duration { limit, announced });
        }
        self.tell(Ok(Progress::Begun));
        let (left, stop) = (limit * u64::from(SAMPLE_RATE), self.stop.clone());
        let mut samples = Limited { reader, left, is_longer: false, stop };
        let begun = Instant::now();
        let on = &mut |event: Event<'_>| {
            if let Event::Segment(segment) = event {
                self.tell(Ok(Progress::Segment(segment.clone())));
            }
        };
        let result =
            self.app.engine.transcribe(&mut samples, &self.params.settings, &self.stop, on);
        self.app.metrics.ended(begun.elapsed(), &result);
        match result {
            _ if samples.is_longer => Err(Refusal::Duration { limit, announced: None }),
            Err(TranscribeError::Audio(error)) => Err(Refusal::Audio(error)),
            result => result.map_err(Refusal::Failed),
        }
    }

    fn finish(&self, result: Result<Transcript, Refusal>) {
        if let Err(error @ (Refusal::Failed(_) | Refusal::Internal)) = &result
            && !self.stop.is_stopped()
        {
            tracing::error!("{error}");
        }
        self.tell(result.map(Progress::Done));
    }

    /// Tells the client, if it is still there.
    fn tell(&self, progress: Result<Progress, Refusal>) {
        if self.sender.send(progress).is_err() {
            self.stop.stop();
        }
    }
}

/// A recording that is refused as soon as it turns out to be too long.
struct Limited {
    reader: AudioReader,
    /// Samples that there may still be.
    left: u64,
    is_longer: bool,
    stop: Stop,
}

impl Samples for Limited {
    fn more(&mut self, into: &mut Vec<f32>) -> Result<bool, AudioError> {
        let before = into.len();
        let more = self.reader.more(into)?;
        match self.left.checked_sub((into.len() - before) as u64) {
            Some(left) => self.left = left,
            None => {
                self.is_longer = true;
                self.stop.stop();
            }
        }
        Ok(more)
    }
}
