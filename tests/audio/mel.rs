//! The spectrogram against Hugging Face's and against its definition.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;
use std::time::Instant;

use tilewright::audio::{self, HOP, LogMel, N_FFT, WINDOW_FRAMES, WINDOW_SAMPLES, Workspace};

use super::support::{file, noise, sine};

const TOLERANCE: f32 = 1e-4;

fn spectrogram(path: &Path, bins: usize) -> Vec<f32> {
    let window = audio::open(path).unwrap().next_window().unwrap().unwrap();
    LogMel::new(bins).unwrap().compute(&window.samples)
}

fn largest_difference(ours: impl IntoIterator<Item = f32>, reference: &[f32]) -> f32 {
    let differences = ours.into_iter().zip(reference).map(|(a, b)| (a - b).abs());
    // `max` would let NaN pass.
    differences.fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

/// The tensor `mel` of a safetensors file that holds nothing else.
fn tensor(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    assert_eq!(json["mel"]["dtype"], "F32");
    floats(&bytes[8 + header..])
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Beside the repository lie the complete outputs of torch's implementation.
#[test]
fn whole_spectrograms_are_those_of_hugging_face() {
    let goldens = file("../shared/goldens");
    for bins in [80, 128] {
        let golden = goldens.join(format!("mel{bins}.safetensors"));
        if !golden.exists() {
            skip(format_args!("no {}, only frames of it are compared", golden.display()));
            continue;
        }
        let ours = spectrogram(&goldens.join("speech.wav"), bins);
        let reference = tensor(&golden);
        assert_eq!(ours.len(), reference.len());
        let difference = largest_difference(ours, &reference);
        println!("{bins} bins: max absolute error {difference:e}");
        assert!(difference <= TOLERANCE, "{bins} bins: {difference}");
    }
}

/// `tests/data/make.sh` made these with numpy's implementation.
#[test]
fn frames_are_those_of_hugging_face() {
    let frames = [0, 1, 2, 100, 333, 500, 700, 900, 1050, 1203, 1205, 2999];
    for bins in [80, 128] {
        let ours = spectrogram(&file("samples/speech.wav"), bins);
        let reference = floats(&fs::read(file(&format!("tests/data/mel{bins}.f32"))).unwrap());
        assert_eq!(reference.len(), frames.len() * bins);
        let ours = frames.iter().flat_map(|&t| ours.iter().skip(t).step_by(WINDOW_FRAMES));
        let difference = largest_difference(ours.copied(), &reference);
        println!("{bins} bins: max absolute error {difference:e}");
        assert!(difference <= TOLERANCE, "{bins} bins: {difference}");
    }
}

/// The definition, written down plainly in f64, of some frames: before cutting off and scaling.
fn naive(samples: &[f32], bins: usize, frames: &[usize]) -> Vec<Vec<f64>> {
    let to_mel = |f: f64| if f < 1e3 { f * 3.0 / 200.0 } else { 15.0 + (f / 1e3).log(6.4) * 27.0 };
    let to_hz =
        |m: f64| if m < 15.0 { m * 200.0 / 3.0 } else { 1e3 * 6.4f64.powf((m - 15.0) / 27.0) };
    let corners: Vec<f64> =
        (0..bins + 2).map(|i| to_hz(to_mel(8000.0) * i as f64 / (bins + 1) as f64)).collect();
    let padded = |i: isize| {
        let last = WINDOW_SAMPLES as isize - 1;
        let i = if i < 0 { -i } else { i };
        let i = if i > last { 2 * last - i } else { i };
        samples.get(i as usize).map_or(0.0, |&s| f64::from(s))
    };
    let frame = |&t: &usize| {
        let x: Vec<f64> = (0..N_FFT)
            .map(|n| {
                let hann = 0.5 - 0.5 * (TAU * n as f64 / N_FFT as f64).cos();
                hann * padded((t * HOP + n) as isize - 200)
            })
            .collect();
        let power = |k: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, x) in x.iter().enumerate() {
                let phase = TAU * ((k * n) % N_FFT) as f64 / N_FFT as f64;
                (re, im) = (re + x * phase.cos(), im - x * phase.sin());
            }
            re * re + im * im
        };
        let power: Vec<f64> = (0..=N_FFT / 2).map(power).collect();
        let bin = |c: &[f64]| {
            let weight = |k: usize| {
                let f = 40.0 * k as f64;
                let triangle = ((f - c[0]) / (c[1] - c[0])).min((c[2] - f) / (c[2] - c[1]));
                triangle.max(0.0) * 2.0 / (c[2] - c[0])
            };
            let energy: f64 = power.iter().enumerate().map(|(k, p)| weight(k) * p).sum();
            energy.max(1e-10).log10()
        };
        corners.windows(3).map(bin).collect()
    };
    frames.iter().map(frame).collect()
}

#[test]
fn frames_follow_the_definition_up_to_both_edges() {
    let frames = [0, 1, 2, 17, 1500, 2997, 2998, 2999];
    // A full window, one sample less, and one that ends between frames.
    for length in [WINDOW_SAMPLES, WINDOW_SAMPLES - 1, 240_123] {
        let mut samples = noise(length);
        // Not flat: a spectrum that spans several powers of ten.
        for (s, tone) in samples.iter_mut().zip(sine(700.0, 0.9, 16_000, length)) {
            *s = *s * 1e-3 + tone;
        }
        for bins in [80, 128] {
            let ours = LogMel::new(bins).unwrap().compute(&samples);
            let loudest = ours.iter().copied().fold(f32::MIN, f32::max) * 4.0 - 4.0;
            for (t, reference) in frames.into_iter().zip(naive(&samples, bins, &frames)) {
                let reference: Vec<f32> = reference
                    .iter()
                    .map(|log| ((*log as f32).max(loudest - 8.0) + 4.0) / 4.0)
                    .collect();
                let ours = ours.iter().skip(t).step_by(WINDOW_FRAMES).copied();
                let difference = largest_difference(ours, &reference);
                assert!(difference <= TOLERANCE, "{length} {bins} frame {t}: {difference}");
            }
        }
    }
}

#[test]
fn silence_is_the_floor() {
    // log₁₀(10⁻¹⁰) = −10, and (−10 + 4) / 4 = −1.5.
    for samples in [&[][..], &[0.0; 1000], &vec![0.0; WINDOW_SAMPLES]] {
        let mel = LogMel::new(80).unwrap().compute(samples);
        assert_eq!(mel.len(), 80 * WINDOW_FRAMES);
        assert!(mel.iter().all(|v| (v + 1.5).abs() < 1e-6));
    }
}

#[test]
fn samples_beyond_the_window_do_not_count() {
    let long = noise(WINDOW_SAMPLES + 1000);
    let mel = LogMel::new(80).unwrap();
    assert!(mel.compute(&long) == mel.compute(&long[..WINDOW_SAMPLES]));
}

#[test]
fn padding_with_zeros_changes_nothing() {
    let mut samples = noise(100_000);
    let mel = LogMel::new(80).unwrap();
    let short = mel.compute(&samples);
    samples.resize(WINDOW_SAMPLES, 0.0);
    let difference = largest_difference(mel.compute(&samples), &short);
    assert!(difference <= 1e-6, "{difference}");
}

#[test]
fn a_workspace_serves_many_windows_and_any_number_of_bins() {
    let (mut workspace, mut out) = (Workspace::default(), Vec::new());
    let samples = [noise(WINDOW_SAMPLES), noise(5000), sine(440.0, 0.1, 16_000, 200_000)];
    let mel = LogMel::new(128).unwrap();
    mel.compute_into(&samples[0], &mut workspace, &mut out);
    let (memory, capacity) = (out.as_ptr(), out.capacity());
    for bins in [80, 128, 80] {
        let mel = LogMel::new(bins).unwrap();
        for samples in &samples {
            mel.compute_into(samples, &mut workspace, &mut out);
            assert!(out == mel.compute(samples));
            assert_eq!((out.as_ptr(), out.capacity()), (memory, capacity));
        }
    }
}

#[test]
fn other_numbers_of_bins_are_refused() {
    let error = LogMel::new(64).unwrap_err().to_string();
    assert_eq!(
        error,
        "Whisper has no model with 64 mel bins: 80 (tiny to large-v2) or 128 (large-v3, turbo)"
    );
}

/// `cargo test --release --test audio -- --ignored --nocapture time_of`
#[test]
#[ignore = "a measurement"]
fn time_of_a_window() {
    println!("{} threads", rayon::current_num_threads());
    for bins in [80, 128] {
        let (mel, samples) = (LogMel::new(bins).unwrap(), noise(WINDOW_SAMPLES));
        let (mut workspace, mut out) = (Workspace::default(), Vec::new());
        let mut times: Vec<f64> = (0..200)
            .map(|_| {
                let start = Instant::now();
                mel.compute_into(&samples, &mut workspace, &mut out);
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{bins} bins: median {:.2} ms, best {:.2} ms", times[100], times[0]);
    }
}

/// Says on standard error that something is not tested; unlike `eprintln!`, the test runner shows it.
fn skip(reason: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
