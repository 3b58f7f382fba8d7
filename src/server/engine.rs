//! What is served.

use crate::decoding::Passes;
use crate::encoder::Counts;
use crate::transcribe::{Event, Samples, Settings, Stop, TranscribeError, Transcriber};
use crate::transcript::Transcript;

/// What the server asks of a [`Transcriber`]; tests play one that fails, waits or panics.
pub trait Engine: Send + Sync + 'static {
    /// See [`Transcriber::check`].
    ///
    /// # Errors
    /// When the settings make no sense.
    fn check(&self, settings: &Settings) -> Result<(), TranscribeError>;

    /// See [`Transcriber::transcribe`]; it is called by several threads at the same time.
    ///
    /// # Errors
    /// When the recording is damaged, something fails or it is stopped.
    fn transcribe(
        &self,
        samples: &mut dyn Samples,
        settings: &Settings,
        stop: &Stop,
        on: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Transcript, TranscribeError>;

    /// What it has done so far.
    fn counters(&self) -> Counters;
}

/// What an [`Engine`] has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of its encoder.
    pub encoder: Counts,
    /// Of its decoder.
    pub decoder: Passes,
}

impl Engine for Transcriber {
    fn check(&self, settings: &Settings) -> Result<(), TranscribeError> {
        Self::check(self, settings)
    }

    fn transcribe(
        &self,
        samples: &mut dyn Samples,
        settings: &Settings,
        stop: &Stop,
        on: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Transcript, TranscribeError> {
        Self::transcribe(self, samples, settings, stop, on)
    }

    fn counters(&self) -> Counters {
        Counters { encoder: self.encoder().counts(), decoder: self.decoder().passes() }
    }
}
