//! Features against those of Hugging Face's Whisper in f32, on the same synthetic weights.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use accuracy::{NUMERICS, goldens, measure, measure_decoder};
use tilewright::backend::cpu::Numeric;

/// The least cosine and the largest absolute error at each precision.
struct Bounds {
    f32: (f64, f64),
    bf16: f64,
    i8: f64,
}

const SMALL: Bounds = Bounds { f32: (0.999_999, 2e-3), bf16: 0.9999, i8: 0.9995 };
const LAYERS_32: Bounds = Bounds { f32: (0.999_999, 2e-3), bf16: 0.998, i8: 0.995 };

fn holds(size: &str, bounds: &Bounds) {
    let goldens = goldens();
    if !goldens.is_dir() {
        skip(format_args!("there are no goldens at {}; set TILEWRIGHT_GOLDENS", goldens.display()));
        return;
    }
    for (name, numeric) in NUMERICS.into_iter().take(3) {
        let distance = measure(&goldens, size, numeric, 1).unwrap().distance;
        let (cosine, max_abs) = match numeric {
            Numeric::F32 => bounds.f32,
            Numeric::Bf16 => (bounds.bf16, f64::INFINITY),
            Numeric::I8 { .. } => (bounds.i8, f64::INFINITY),
        };
        assert!(distance.cosine >= cosine, "{size} {name}: {distance:?}");
        assert!(distance.max_abs <= max_abs, "{size} {name}: {distance:?}");
    }
}

/// First logits within 10⁻³ in f32 and 2 % otherwise, and the same tokens when the likeliest is taken
/// each time.
fn decodes(size: &str) {
    let goldens = goldens();
    if !goldens.is_dir() {
        skip(format_args!("there are no goldens at {}; set TILEWRIGHT_GOLDENS", goldens.display()));
        return;
    }
    for (name, numeric) in NUMERICS.into_iter().take(3) {
        let measured = measure_decoder(&goldens, size, numeric).unwrap();
        let distance = measured.distance;
        match numeric {
            Numeric::F32 => assert!(distance.max_abs < 1e-3, "{size} {name}: {distance:?}"),
            _ => assert!(distance.relative < 2e-2, "{size} {name}: {distance:?}"),
        }
        assert_eq!(measured.greedy, measured.reference, "{size} {name}");
    }
}

#[test]
fn the_decoder_of_nano() {
    decodes("nano");
}

#[test]
fn the_decoder_of_tiny() {
    decodes("tiny");
}

#[test]
fn the_decoder_of_base() {
    decodes("base");
}

#[test]
fn nano() {
    holds("nano", &SMALL);
}

#[test]
fn tiny() {
    holds("tiny", &SMALL);
}

#[test]
fn base() {
    holds("base", &SMALL);
}

#[test]
#[ignore = "minutes: cargo test --release -p accuracy -- --ignored"]
fn the_larger_sizes() {
    holds("small", &LAYERS_32);
    holds("medium", &LAYERS_32);
    holds("large-v3-turbo", &LAYERS_32);
}

/// Says on standard error that something is not tested; unlike `eprintln!`, the test runner shows it.
fn skip(reason: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
