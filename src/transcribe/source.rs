//! The windows of a recording.

use super::silence;
use super::sound::{Samples, Sound};
use super::{FRAME, TranscribeError};
use crate::audio::HOP;

/// A recording, from which windows are taken one after the other.
pub(super) struct Source<'a> {
    sound: Sound<'a>,
    /// The most frames of a window.
    window: usize,
    /// Where the next window begins, in frames.
    seek: u64,
    skips_silence: bool,
    /// The level of the background, once it is known.
    background: Option<f32>,
    /// Frames of the last window.
    frames: u64,
}

/// Where a window is in the recording.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Where it begins, in frames.
    pub(super) seek: u64,
    /// How many frames it has: one at least.
    pub(super) frames: usize,
}

impl Place {
    /// Where it ends, in seconds.
    pub(super) fn end(self) -> f64 {
        (self.seek + self.frames as u64) as f64 * FRAME
    }
}

/// What comes next.
pub(super) enum Part<'a> {
    /// The next window, and its samples.
    Window(Place, &'a [f32]),
    /// Some silence, which was skipped.
    Silence,
    /// Nothing.
    End,
}

impl<'a> Source<'a> {
    /// Windows of at most so many frames.
    pub(super) fn new(samples: &'a mut dyn Samples, window: usize, skips_silence: bool) -> Self {
        let sound = Sound::new(samples);
        Self { sound, window, seek: 0, skips_silence, background: None, frames: 0 }
    }

    /// What comes next: the same window again, unless [`Source::advance`] was called.
    pub(super) fn next(&mut self) -> Result<Part<'_>, TranscribeError> {
        let mut samples = self.sound.at(self.seek * HOP as u64, self.window * HOP)?;
        // Less than a frame is no sound.
        if samples.len() < HOP {
            return Ok(Part::End);
        }
        if self.skips_silence {
            let speech = silence::first_speech(samples, &mut self.background);
            let silent = speech.as_ref().map_or(samples.len(), |speech| speech.start);
            if silent >= HOP {
                self.seek += silent.div_ceil(HOP) as u64;
                return Ok(Part::Silence);
            }
            samples = &samples[..speech.map_or(0, |speech| speech.end)];
        }
        let frames = (samples.len() / HOP).clamp(1, self.window);
        self.frames = frames as u64;
        Ok(Part::Window(Place { seek: self.seek, frames }, &samples[..frames * HOP]))
    }

    /// The next window begins so many frames behind the beginning of the last one: one at least, and at
    /// most where that ends.
    pub(super) fn advance(&mut self, frames: u64) {
        self.seek += frames.clamp(1, self.frames);
    }

    /// What is before the next window, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.seek as f64 * FRAME
    }

    /// All samples so far.
    pub(super) fn samples(&self) -> u64 {
        self.sound.length()
    }
}
