//! Resampling to 16 kHz, piece by piece.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, Fft, FixedAsync, FixedSync, Indexing, SincInterpolationParameters, WindowFunction,
};

use super::SAMPLE_RATE;

/// Samples of 16 kHz that a block should have at least: its filter then passes up to 7.89 kHz.
const BLOCK: usize = 1024;

/// The longest block that is transformed at once. Rates that share few factors with 16 000 need
/// longer ones to come out even; those are interpolated instead, and end up early or late by less
/// than a sample, because the delay of that filter is no whole number of them.
const MAX_BLOCK: usize = 16_384;

/// Taps of the interpolating filter per factor of rate reduction.
const TAPS: usize = 256;

/// A stream of samples on its way to 16 kHz. At 16 kHz it passes them bit for bit.
pub(super) struct Resampler {
    stage: Option<Stage>,
}

/// The state of a stream whose rate does change.
struct Stage {
    filter: Box<dyn rubato::Resampler<f32>>,
    /// Input that does not fill a block yet.
    block: Vec<f32>,
    output: Vec<f32>,
    /// Output still to drop: the filter's delay.
    delay: usize,
    rate: u32,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// Prepares for a stream at `rate`. The error says what the filter could not be made for; no
    /// rate that [`check_rate`](super::decode::check_rate) lets pass brings it about.
    pub(super) fn new(rate: u32) -> Result<Self, String> {
        let stage = if rate == SAMPLE_RATE { None } else { Some(Stage::new(rate)?) };
        Ok(Resampler { stage })
    }

    /// Takes samples, and appends to `out` what has become ready.
    pub(super) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), String> {
        match &mut self.stage {
            None => out.extend_from_slice(samples),
            Some(stage) => stage.push(samples, out)?,
        }
        Ok(())
    }

    /// The stream has ended: appends what is left, so that `n` samples have become
    /// `n · 16 000 / rate`, rounded up.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        match &mut self.stage {
            None => Ok(()),
            Some(stage) => stage.finish(out),
        }
    }
}

impl Stage {
    fn new(rate: u32) -> Result<Self, String> {
        let filter = filter(rate)?;
        Ok(Stage {
            block: Vec::with_capacity(filter.input_frames_max()),
            output: vec![0.0; filter.output_frames_max()],
            delay: filter.output_delay(),
            filter,
            rate,
            taken: 0,
            given: 0,
        })
    }

    fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) -> Result<(), String> {
        self.taken += samples.len() as u64;
        while !samples.is_empty() {
            let room = self.filter.input_frames_next().saturating_sub(self.block.len());
            let (now, later) = samples.split_at(room.min(samples.len()));
            self.block.extend_from_slice(now);
            samples = later;
            if self.block.len() >= self.filter.input_frames_next() {
                self.run(out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        let total = (self.taken * u64::from(SAMPLE_RATE)).div_ceil(u64::from(self.rate));
        while self.given < total {
            let before = self.given;
            self.run(out)?;
            let surplus = self.given.saturating_sub(total.max(before));
            out.truncate(out.len() - surplus as usize);
            self.given -= surplus;
        }
        Ok(())
    }

    /// Filters the block, filled up with silence where it is not full.
    fn run(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        let frames = self.block.len();
        let room = self.output.len();
        let input = InterleavedSlice::new(&self.block, 1, frames).map_err(|e| e.to_string())?;
        let mut output =
            InterleavedSlice::new_mut(&mut self.output, 1, room).map_err(|e| e.to_string())?;
        let full = frames >= self.filter.input_frames_next();
        let partial = Indexing { partial_len: Some(frames), ..Indexing::default() };
        let (_, made) = self
            .filter
            .process_into_buffer(&input, &mut output, (!full).then_some(&partial))
            .map_err(|e| e.to_string())?;
        self.block.clear();
        let skip = self.delay.min(made);
        self.delay -= skip;
        self.given += (made - skip) as u64;
        out.extend_from_slice(self.output.get(skip..made).unwrap_or_default());
        Ok(())
    }
}

/// The band-limiting filter from `rate` to 16 kHz, one channel, blocks of constant length in.
fn filter(rate: u32) -> Result<Box<dyn rubato::Resampler<f32>>, String> {
    let (from, to) = (rate as usize, SAMPLE_RATE as usize);
    let shared = greatest_common_divisor(from, to);
    let window = WindowFunction::BlackmanHarris2;
    if (from / shared).max(to / shared) <= MAX_BLOCK {
        // As many of the smallest even blocks as make a good filter on the slower side. An even
        // number of them: half a block is the filter's delay, and half a sample more or less
        // would move the sound.
        let blocks = BLOCK.div_ceil(from.min(to) / shared).next_multiple_of(2);
        let block = blocks * (from / shared);
        let fft = Fft::new_custom(from, to, block, 1, 1, window, FixedSync::Both);
        Ok(Box::new(fft.map_err(|e| e.to_string())?))
    } else {
        let taps = TAPS * from.div_ceil(to);
        let sinc = SincInterpolationParameters::new(taps, window);
        let ratio = to as f64 / from as f64;
        let sinc = Async::new_sinc(ratio, 1.0, &sinc, BLOCK, 1, FixedAsync::Input);
        Ok(Box::new(sinc.map_err(|e| e.to_string())?))
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
