//! Giving up what is being decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::DecodingError;

/// Stops a transcription from another thread; copies are of the same one. It is looked at before
/// every window and every token.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    is_stopped: Arc<AtomicBool>,
}

impl Stop {
    /// Stops, for good.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Says whether to go on.
    pub(crate) fn check(&self) -> Result<(), DecodingError> {
        if self.is_stopped() { Err(DecodingError::Stopped) } else { Ok(()) }
    }
}
