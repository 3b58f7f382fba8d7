//! Resampling against the formula of what was sampled.

use tilewright::audio::{self, SAMPLE_RATE};

use super::support::{all, amplitude, noise, sine};

/// Rates that are transformed in even blocks.
const RATES: [u32; 12] =
    [1_000, 7_999, 8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000];

/// Rates that share no factor with 16 000.
const INTERPOLATED: [u32; 2] = [44_101, 200_003];

fn resampled(samples: Vec<f32>, rate: u32) -> Vec<f32> {
    all(audio::from_samples("test", samples, rate).unwrap())
}

/// Tones that a rate can hold well.
fn tones(rate: u32) -> impl Iterator<Item = f64> {
    [100.0, 440.0, 3000.0, 7000.0].into_iter().filter(move |f| *f < 0.4 * f64::from(rate))
}

#[test]
fn a_tone_keeps_its_pitch_its_loudness_and_its_place() {
    for rate in RATES {
        for hertz in tones(rate) {
            let ours = resampled(sine(hertz, 0.5, rate, 2 * rate as usize), rate);
            let truth = sine(hertz, 0.5, SAMPLE_RATE, 32_000);
            assert_eq!(ours.len(), truth.len(), "{rate}");
            // Away from the ends, where the tone begins and stops abruptly.
            let worst = ours.iter().zip(&truth).skip(10_000).take(12_000);
            let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{hertz} Hz at {rate}: {worst:e}");
            assert!(worst < 1e-5, "{hertz} Hz at {rate}: {worst}");
        }
    }
}

#[test]
fn interpolated_rates_keep_pitch_and_loudness_and_shift_by_less_than_a_sample() {
    for rate in INTERPOLATED {
        for hertz in tones(rate) {
            let ours = resampled(sine(hertz, 0.5, rate, 2 * rate as usize), rate);
            let loudness = amplitude(&ours[8_000..24_000], hertz, SAMPLE_RATE);
            assert!((loudness - 0.5).abs() < 1e-4, "{hertz} Hz at {rate}: {loudness}");
            let place = crossing(&ours) - crossing(&sine(hertz, 0.5, SAMPLE_RATE, 32_000));
            println!("{hertz} Hz at {rate}: {loudness}, {place} samples late");
            assert!(place.abs() < 1.0, "{hertz} Hz at {rate}: {place} samples late");
        }
    }
}

/// Where a tone first rises through zero after its first half second.
fn crossing(samples: &[f32]) -> f64 {
    let rises = |i: &usize| samples[*i] <= 0.0 && samples[i + 1] > 0.0;
    let i = (8_001..samples.len() - 1).find(rises).unwrap();
    i as f64 - f64::from(samples[i] / (samples[i + 1] - samples[i]))
}

#[test]
fn what_16_khz_cannot_hold_is_removed_and_not_mirrored() {
    for rate in [22_050, 44_100, 44_101, 48_000, 96_000] {
        for hertz in [8_300.0, 9_500.0, 10_900.0] {
            let ours = resampled(sine(hertz, 0.5, rate, rate as usize), rate);
            let middle = &ours[4000..12_000];
            let loudest = middle.iter().fold(0f32, |m, s| m.max(s.abs()));
            assert!(loudest < 1e-4, "{hertz} Hz at {rate}: {loudest}");
        }
    }
}

#[test]
fn telephone_audio_stays_within_its_band() {
    let ours = resampled(sine(1000.0, 0.5, 8_000, 16_000), 8_000);
    let middle = &ours[8_000..24_000];
    assert!((amplitude(middle, 1000.0, SAMPLE_RATE) - 0.5).abs() < 1e-4);
    // The mirror image on the other side of 4 kHz.
    assert!(amplitude(middle, 7000.0, SAMPLE_RATE) < 1e-5);
}

#[test]
fn sixteen_kilohertz_pass_bit_for_bit() {
    let samples = noise(100_001);
    assert!(resampled(samples.clone(), SAMPLE_RATE) == samples);
}

#[test]
fn lengths_are_exact_and_never_zero() {
    for rate in RATES.into_iter().chain(INTERPOLATED) {
        for samples in [1, 2, 999, 1024, 12_345] {
            let ours = resampled(vec![0.25; samples], rate).len() as u64;
            let truth = (samples as u64 * 16_000).div_ceil(u64::from(rate));
            assert_eq!(ours, truth, "{samples} at {rate}");
        }
    }
}
