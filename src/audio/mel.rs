//! The log-mel spectrogram, as Hugging Face's `WhisperFeatureExtractor` computes it.

use std::f64::consts::PI;
use std::sync::Arc;

use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::{HOP, N_FFT, SAMPLE_RATE, WINDOW_FRAMES, WINDOW_SAMPLES};

/// Frequencies of the transform of one frame.
const FREQUENCIES: usize = N_FFT / 2 + 1;

/// Frames that are filtered side by side, so that one operation serves them all.
const GROUP: usize = 16;

/// Groups of a window; the last is half full.
const GROUPS: usize = WINDOW_FRAMES.div_ceil(GROUP);

/// Silence of this length is put before and after the window, by reflection.
const MARGIN: usize = N_FFT / 2;

/// The least energy: its logarithm is −10.
const FLOOR: f32 = 1e-10;

/// How far below the loudest point of the window everything is cut off, in powers of ten.
const RANGE: f32 = 8.0;

/// One group of frames under way: power by frequency, then by frame.
type Power = [[f32; GROUP]; FREQUENCIES];

/// Computes log-mel spectrograms of 30-second windows.
///
/// The samples are padded with silence or cut to [`WINDOW_SAMPLES`], reflected by 200 at both
/// ends, cut into frames of [`N_FFT`] every [`HOP`] under a periodic Hann window. The power
/// spectrum of each goes through triangular filters, equally spaced and of equal area on Slaney's
/// mel scale from 0 to 8000 Hz. Of the result x, log₁₀(max(x, 10⁻¹⁰)) is cut off at 8 below the
/// window's maximum, and becomes (x + 4) / 4.
///
/// It is shared freely between threads; what changes is in the [`Workspace`].
pub struct LogMel {
    filters: Vec<Filter>,
    hann: Vec<f32>,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// A number of mel bins that no Whisper has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Whisper has no model with {0} mel bins: 80 (tiny to large-v2) or 128 (large-v3, turbo)")]
pub struct UnsupportedBins(pub usize);

/// A triangular filter: its weights from frequency `first` on; outside them it is zero.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

/// The memory that [`LogMel::compute_into`] works in. It allocates on first use and not again.
#[derive(Default)]
pub struct Workspace {
    lanes: Vec<Lane>,
    /// Logarithms by group, bin and frame of the group.
    logs: Vec<f32>,
}

/// The memory of one of the parallel workers.
struct Lane {
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    power: Box<Power>,
    loudest: f32,
}

impl LogMel {
    /// Prepares filters and transform. Whisper has 80 bins, from large-v3 on 128.
    pub fn new(bins: usize) -> Result<Self, UnsupportedBins> {
        if !matches!(bins, 80 | 128) {
            return Err(UnsupportedBins(bins));
        }
        let hann = |i: usize| (0.5 - 0.5 * (2.0 * PI * i as f64 / N_FFT as f64).cos()) as f32;
        Ok(LogMel {
            filters: filters(bins),
            hann: (0..N_FFT).map(hann).collect(),
            fft: RealFftPlanner::new().plan_fft_forward(N_FFT),
        })
    }

    /// The number of mel bins.
    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// The spectrogram of up to [`WINDOW_SAMPLES`] of finite samples: [bins, 3000], row by row.
    pub fn compute(&self, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::new();
        self.compute_into(samples, &mut Workspace::default(), &mut out);
        out
    }

    /// [`compute`](Self::compute) that uses memory again: `out` is replaced.
    pub fn compute_into(&self, samples: &[f32], workspace: &mut Workspace, out: &mut Vec<f32>) {
        let samples = samples.get(..WINDOW_SAMPLES).unwrap_or(samples);
        // The frames that see a sample; all others are silence and alike.
        let sounding = (samples.len() + MARGIN).div_ceil(HOP).min(WINDOW_FRAMES);
        let groups = sounding.div_ceil(GROUP);
        workspace.prepare(self);
        let loudest = self.logarithms(samples, sounding, workspace);

        out.resize(self.bins() * WINDOW_FRAMES, 0.0);
        let cut = loudest.max(log10(FLOOR)) - RANGE;
        let finish = move |log: f32| (log.max(cut) + 4.0) / 4.0;
        let (logs, size) = (&workspace.logs, self.bins() * GROUP);
        out.par_chunks_exact_mut(WINDOW_FRAMES).enumerate().for_each(|(bin, row)| {
            let (sound, silence) = row.split_at_mut((groups * GROUP).min(WINDOW_FRAMES));
            let pieces = logs.chunks_exact(size).filter_map(|group| group.chunks(GROUP).nth(bin));
            for (out, logs) in sound.chunks_mut(GROUP).zip(pieces) {
                for (out, &log) in out.iter_mut().zip(logs) {
                    *out = finish(log);
                }
            }
            silence.fill(finish(log10(FLOOR)));
        });
    }

    /// Fills the workspace with the logarithms of the sounding frames; returns the largest.
    fn logarithms(&self, samples: &[f32], sounding: usize, workspace: &mut Workspace) -> f32 {
        let size = self.bins() * GROUP;
        let groups = sounding.div_ceil(GROUP);
        let share = groups.div_ceil(workspace.lanes.len().max(1)).max(1);
        workspace
            .lanes
            .par_iter_mut()
            .zip(workspace.logs.par_chunks_mut(share * size))
            .enumerate()
            .map(|(worker, (lane, logs))| {
                lane.loudest = f32::NEG_INFINITY;
                let first = worker * share;
                for (group, logs) in (first..groups).zip(logs.chunks_exact_mut(size)) {
                    self.group(samples, group, sounding, lane, logs);
                }
                lane.loudest
            })
            .reduce(|| f32::NEG_INFINITY, f32::max)
    }

    /// The logarithms of one group of frames.
    fn group(
        &self,
        samples: &[f32],
        group: usize,
        sounding: usize,
        lane: &mut Lane,
        logs: &mut [f32],
    ) {
        for column in 0..GROUP {
            let frame = group * GROUP + column;
            if frame < sounding {
                self.power(samples, frame, column, lane);
            } else {
                lane.power.iter_mut().for_each(|row| row[column] = 0.0);
            }
        }
        for (filter, logs) in self.filters.iter().zip(logs.chunks_exact_mut(GROUP)) {
            let mut energy = [0.0; GROUP];
            let power = lane.power.get(filter.first..).unwrap_or_default();
            for (weight, power) in filter.weights.iter().zip(power) {
                for (energy, power) in energy.iter_mut().zip(power) {
                    *energy += weight * power;
                }
            }
            for (log, energy) in logs.iter_mut().zip(energy) {
                *log = log10(energy.max(FLOOR));
            }
            lane.loudest = logs.iter().copied().fold(lane.loudest, f32::max);
        }
    }

    /// The power spectrum of one frame, into a column of the group.
    fn power(&self, samples: &[f32], frame: usize, column: usize, lane: &mut Lane) {
        let begin = frame * HOP;
        let inside = begin.checked_sub(MARGIN).and_then(|from| samples.get(from..from + N_FFT));
        match inside {
            Some(inside) => {
                for ((out, sample), hann) in lane.frame.iter_mut().zip(inside).zip(&self.hann) {
                    *out = sample * hann;
                }
            }
            None => {
                for ((out, i), hann) in lane.frame.iter_mut().zip(begin..).zip(&self.hann) {
                    *out = samples.get(reflected(i)).map_or(0.0, |sample| sample * hann);
                }
            }
        }
        // It fails for buffers of other lengths only, and these were made by the transform itself.
        let done =
            self.fft.process_with_scratch(&mut lane.frame, &mut lane.spectrum, &mut lane.scratch);
        debug_assert!(done.is_ok());
        for (row, value) in lane.power.iter_mut().zip(&lane.spectrum) {
            row[column] = value.norm_sqr();
        }
    }
}

impl Workspace {
    /// Makes room for `mel`; the second time there is enough.
    fn prepare(&mut self, mel: &LogMel) {
        if self.lanes.is_empty() {
            // Some more shares than threads, so that a thread that is held up does not hold up all.
            self.lanes.resize_with(4 * rayon::current_num_threads(), || Lane::new(&*mel.fft));
        }
        self.logs.resize(GROUPS * mel.bins() * GROUP, 0.0);
    }
}

impl Lane {
    fn new(fft: &dyn RealToComplex<f32>) -> Self {
        Lane {
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            power: Box::new([[0.0; GROUP]; FREQUENCIES]),
            loudest: f32::NEG_INFINITY,
        }
    }
}

impl std::fmt::Debug for LogMel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogMel").field("bins", &self.bins()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("workers", &self.lanes.len()).finish_non_exhaustive()
    }
}

/// The sample that stands at `i` of the window with its margins: the margins mirror the window,
/// without repeating its first and last sample.
fn reflected(i: usize) -> usize {
    const LAST: usize = WINDOW_SAMPLES - 1;
    match i.checked_sub(MARGIN) {
        None => MARGIN - i,
        Some(i) if i <= LAST => i,
        Some(i) => 2 * LAST - i,
    }
}

/// Triangles over the transform's frequencies, with corners equally spaced on the mel scale, each
/// scaled to equal area.
fn filters(bins: usize) -> Vec<Filter> {
    let top = f64::from(SAMPLE_RATE) / 2.0;
    let step = hertz_to_mel(top) / (bins + 1) as f64;
    let corner = |i: usize| mel_to_hertz(i as f64 * step);
    (0..bins)
        .map(|bin| {
            let (low, mid, high) = (corner(bin), corner(bin + 1), corner(bin + 2));
            let weight = |k: usize| {
                let hertz = k as f64 * top / (FREQUENCIES - 1) as f64;
                let triangle = ((hertz - low) / (mid - low)).min((high - hertz) / (high - mid));
                (triangle.max(0.0) * 2.0 / (high - low)) as f32
            };
            let inside = |k: &usize| weight(*k) > 0.0;
            let first = (0..FREQUENCIES).find(inside).unwrap_or(0);
            let weights = (first..FREQUENCIES).take_while(inside).map(weight).collect();
            Filter { first, weights }
        })
        .collect()
}

/// Where Slaney's scale turns from linear to logarithmic, in mel and in hertz.
const KNEE: (f64, f64) = (15.0, 1000.0);

/// Mels per unit of ln(hertz) above the knee.
fn slope() -> f64 {
    27.0 / 6.4f64.ln()
}

fn hertz_to_mel(hertz: f64) -> f64 {
    let (mel, knee) = KNEE;
    if hertz < knee { hertz * mel / knee } else { mel + (hertz / knee).ln() * slope() }
}

fn mel_to_hertz(mels: f64) -> f64 {
    let (mel, knee) = KNEE;
    if mels < mel { mels * knee / mel } else { knee * ((mels - mel) / slope()).exp() }
}

/// log₁₀ of a positive normal number, to within 1e-6: without a call or a branch, so that it
/// vectorises. The polynomial for ln(1 + t), |t| ≤ √2 − 1, is that of Moshier's Cephes library.
fn log10(x: f32) -> f32 {
    const ROOT_HALF: u32 = 0x3f35_04f3;
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(ROOT_HALF) as i32) >> 23;
    let t = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32)) - 1.0;
    let mut p = 7.037_683_6e-2;
    for c in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        p = p * t + c;
    }
    let ln = t - 0.5 * t * t + t * t * t * p;
    ln * std::f32::consts::LOG10_E + exponent as f32 * std::f32::consts::LOG10_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_is_close_to_the_exact_one() {
        let mut worst = 0f64;
        for i in 0..2_000_000 {
            let x = 10f64.powf(-10.0 + 30.0 * f64::from(i) / 2e6) as f32;
            worst = worst.max(
                (f64::from(log10(x)) - f64::from(x).log10()).abs()
                    / f64::from(x).log10().abs().max(1.0),
            );
        }
        assert!(worst < 1e-6, "{worst}");
    }

    #[test]
    fn the_margins_mirror_the_window() {
        assert_eq!([0, 199, 200, 201].map(reflected), [200, 1, 0, 1]);
        let end = MARGIN + WINDOW_SAMPLES;
        assert_eq!([end - 1, end, end + 199].map(reflected), [479_999, 479_998, 479_799]);
    }

    #[test]
    fn filters_have_unit_area_on_the_scale_of_hertz() {
        // Slaney's normalisation: where a triangle spans many frequencies, its weights times
        // their distance of 40 Hz sum up to one.
        for bins in [80, 128] {
            let filters = filters(bins);
            let widest = filters.last().map_or(0.0, |f| 40.0 * f.weights.iter().sum::<f32>());
            assert!((widest - 1.0).abs() < 0.02, "{bins}: {widest}");
        }
    }
}
