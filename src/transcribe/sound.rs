//! The sound from some place on, read as it is needed.

use std::io::Read;

use crate::audio::{AudioError, AudioReader, Problem};

/// Where samples come from: 16 kHz, one channel.
pub trait Samples: Send {
    /// Appends some more; `false` at the end.
    ///
    /// # Errors
    /// When the recording is damaged.
    fn more(&mut self, into: &mut Vec<f32>) -> Result<bool, AudioError>;
}

impl Samples for AudioReader {
    fn more(&mut self, into: &mut Vec<f32>) -> Result<bool, AudioError> {
        self.append_to(into)
    }
}

/// Signed 16-bit little-endian samples at 16 kHz without a header, as they arrive.
#[derive(Debug)]
pub struct RawSamples<R> {
    source: R,
    /// The first byte of a sample that was cut in two.
    half: Option<u8>,
}

impl<R: Read> RawSamples<R> {
    /// From a pipe.
    pub fn new(source: R) -> Self {
        Self { source, half: None }
    }
}

impl<R: Read + Send> Samples for RawSamples<R> {
    fn more(&mut self, into: &mut Vec<f32>) -> Result<bool, AudioError> {
        let mut bytes = [0; 32 << 10];
        let start = usize::from(self.half.is_some());
        if let Some(half) = self.half.take() {
            bytes[0] = half;
        }
        let count = loop {
            match self.source.read(&mut bytes[start..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(AudioError::new("the samples", Problem::Read(error))),
                Ok(count) => break count,
            }
        };
        let (samples, rest) = bytes[..start + count].as_chunks::<2>();
        if count > 0 {
            self.half = rest.first().copied();
        }
        into.extend(samples.iter().map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32768.0));
        Ok(count > 0)
    }
}

/// A part of a recording that moves towards its end.
pub(super) struct Sound<'a> {
    source: &'a mut dyn Samples,
    samples: Vec<f32>,
    /// Where `samples` begin.
    start: u64,
    ended: bool,
}

impl<'a> Sound<'a> {
    pub(super) fn new(source: &'a mut dyn Samples) -> Self {
        Self { source, samples: Vec::new(), start: 0, ended: false }
    }

    /// At most so many samples from `from` on, which is never before where it was; fewer only at the
    /// end.
    pub(super) fn at(&mut self, from: u64, count: usize) -> Result<&[f32], AudioError> {
        loop {
            let skipped = from.saturating_sub(self.start).min(self.samples.len() as u64);
            self.samples.drain(..skipped as usize);
            self.start += skipped;
            if self.ended || (self.start == from && self.samples.len() >= count) {
                break;
            }
            self.ended = !self.source.more(&mut self.samples)?;
        }
        Ok(&self.samples[..count.min(self.samples.len())])
    }

    /// All samples so far.
    pub(super) fn length(&self) -> u64 {
        self.start + self.samples.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio;

    #[test]
    fn parts_are_those_of_the_recording() {
        let all: Vec<f32> = (0..1_000_000).map(|i| i as f32 / 1e6).collect();
        let mut reader = audio::from_samples("ramp", all.clone(), 16_000).unwrap();
        let mut sound = Sound::new(&mut reader);
        for (from, count) in [(0, 10), (5, 480_000), (700_000, 100), (999_990, 480_000)] {
            let end = (from + count).min(all.len());
            assert_eq!(sound.at(from as u64, count).unwrap(), &all[from..end]);
        }
        assert!(sound.at(2_000_000, 10).unwrap().is_empty());
        assert_eq!(sound.length(), 1_000_000);
    }

    #[test]
    fn raw_samples_may_be_cut_anywhere() {
        struct Dribble(Vec<u8>);
        impl Read for Dribble {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                let count = self.0.len().min(3).min(to.len());
                to[..count].copy_from_slice(&self.0[..count]);
                self.0.drain(..count);
                Ok(count)
            }
        }
        let values = [0i16, 16384, -32768, 1, 2, -1, 7];
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut source = RawSamples::new(Dribble(bytes));
        let mut samples = Vec::new();
        while source.more(&mut samples).unwrap() {}
        assert_eq!(samples, values.map(|value| f32::from(value) / 32768.0));
    }

    #[test]
    fn samples_that_cannot_be_read_are_not_taken_for_the_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the disk is gone"))
            }
        }
        let mut source = RawSamples::new((&[7, 0][..]).chain(Broken));
        let mut samples = Vec::new();
        assert!(source.more(&mut samples).unwrap());
        let error = source.more(&mut samples).unwrap_err();
        assert_eq!(error.to_string(), "`the samples` cannot be read: the disk is gone");
    }
}
