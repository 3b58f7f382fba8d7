//! Products with few rows against a naive reference, on every instruction set of this machine.

use super::*;
use crate::backend::cpu::Isa;

const NUMERICS: [Numeric; 4] = [
    Numeric::F32,
    Numeric::Bf16,
    Numeric::I8 { activations: Scaling::PerRow },
    Numeric::I8 { activations: Scaling::PerTensor },
];
/// Inputs and outputs: whole panels, less than a panel, odd ones.
const SHAPES: [[usize; 2]; 5] = [[64, 64], [7, 33], [129, 200], [96, 1], [192, 70]];

fn everyone() -> impl Iterator<Item = Cpu> {
    Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok())
}

fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A row or channel of integers and their scale.
fn integers(x: &[f32], max: f32) -> (Vec<f32>, f32) {
    let scale = max / 127.0;
    (x.iter().map(|x| (x / scale).round_ties_even()).collect(), scale)
}

fn max(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |max, x| x.abs().max(max))
}

/// What a result is in f64, from operands that were rounded as the precision demands.
fn exact(numeric: Numeric, a: &[f32], all: &[f32], w: &[f32], bias: f32) -> f64 {
    let dot = |a: &[f32], w: &[f32]| -> f64 {
        a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum()
    };
    let round = |x: &[f32]| -> Vec<f32> { x.iter().map(|x| bf16::from_f32(*x).to_f32()).collect() };
    let sum = match numeric {
        Numeric::F32 => dot(a, w),
        Numeric::Bf16 => dot(&round(a), &round(w)),
        Numeric::I8 { activations } => {
            let of = if activations == Scaling::PerRow { max(a) } else { max(all) };
            let (w, scale_w) = integers(w, max(w));
            let fine = activations == Scaling::PerRow;
            let (mut whole, scale_a) = integers(a, of);
            if fine {
                for (whole, a) in whole.iter_mut().zip(a) {
                    *whole += ((a / scale_a - *whole) * FINE).round_ties_even() / FINE;
                }
            }
            dot(&whole, &w) * f64::from(scale_a) * f64::from(scale_w)
        }
    };
    sum + f64::from(bias)
}

#[test]
fn results_are_those_of_the_formula() {
    for cpu in everyone() {
        for numeric in NUMERICS {
            for [inputs, outputs] in SHAPES {
                let (w, bias) = (numbers(1, inputs * outputs), numbers(2, outputs));
                let linear =
                    cpu.prepare_linear(numeric, [outputs, inputs], &w, Some(&bias)).unwrap();
                for rows in [1, 2, 5, 13, 24] {
                    let a = numbers(3, rows * inputs);
                    let mut c = numbers(4, rows * outputs);
                    let before = c.clone();
                    let mut workspace = LinearWorkspace::default();
                    cpu.linear(&linear, &a, Then::Add, &mut c, &mut workspace).unwrap();
                    for (i, c) in c.iter().enumerate() {
                        let (row, column) = (i / outputs, i % outputs);
                        let (row, w) =
                            (&a[row * inputs..][..inputs], &w[column * inputs..][..inputs]);
                        let expected = exact(numeric, row, &a, w, bias[column]);
                        let got = f64::from(c - before[i]);
                        let what = format!("{} {numeric:?} {inputs} × {outputs}", cpu.isa());
                        assert!((got - expected).abs() < 2e-5, "{what}: {got}, not {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn gelu_is_applied_after_the_bias() {
    for cpu in everyone() {
        let linear = cpu.prepare_linear(Numeric::F32, [1, 1], &[2.0], Some(&[-1.0])).unwrap();
        let mut c = [0.0; 2];
        cpu.linear(&linear, &[1.0, 0.25], Then::Gelu, &mut c, &mut LinearWorkspace::default())
            .unwrap();
        // x · Φ(x) at 1 and −1/2.
        assert!((c[0] - 0.841_344_7).abs() < 1e-5 && (c[1] + 0.154_268_76).abs() < 1e-5, "{c:?}");
    }
}

#[test]
fn results_depend_on_neither_threads_nor_the_rows_beside() {
    let [inputs, outputs] = [512, 1000];
    for cpu in everyone() {
        for numeric in NUMERICS.into_iter().take(3) {
            let w = numbers(1, inputs * outputs);
            let linear = cpu.prepare_linear(numeric, [outputs, inputs], &w, None).unwrap();
            let a = numbers(3, 5 * inputs);
            let run = |threads: usize, a: &[f32]| {
                let mut c = vec![0.0; a.len() / inputs * outputs];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut workspace = LinearWorkspace::default();
                pool.install(|| cpu.linear(&linear, a, Then::Store, &mut c, &mut workspace))
                    .unwrap();
                c
            };
            let all = run(1, &a);
            assert_eq!(all, run(3, &a));
            assert_eq!(all[4 * outputs..], run(2, &a[4 * inputs..]));
        }
    }
}

#[test]
fn packed_bytes_load_again_and_only_for_what_they_were_made() {
    for cpu in everyone() {
        for numeric in NUMERICS.into_iter().take(3) {
            let w = numbers(1, 40 * 24);
            let linear = cpu.prepare_linear(numeric, [40, 24], &w, None).unwrap();
            let bytes: SharedBytes = std::sync::Arc::new(linear.as_bytes().to_vec());
            let range = 0..linear.as_bytes().len();
            let again = cpu.load_linear(numeric, [40, 24], bytes.clone(), range.clone()).unwrap();
            let (mut first, mut second) = ([0.0; 24], [0.0; 24]);
            linear.row(33, &mut first).unwrap();
            again.row(33, &mut second).unwrap();
            assert_eq!(first, second);
            let error = first.iter().zip(&w[33 * 24..]).map(|(a, b)| (a - b).abs());
            assert!(error.fold(0.0_f32, f32::max) < 5e-3);
            assert!(cpu.load_linear(numeric, [24, 40], bytes.clone(), range.clone()).is_err());
            assert!(cpu.load_linear(numeric, [40, 24], bytes, 1..range.end).is_err());
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let cpu = Cpu::with_isa(Isa::Portable).unwrap();
    assert!(cpu.prepare_linear(Numeric::F32, [2, 2], &[0.0; 3], None).is_err());
    assert!(cpu.prepare_linear(Numeric::F32, [2, 2], &[f32::NAN; 4], None).is_err());
    let linear = cpu.prepare_linear(Numeric::F32, [2, 2], &[0.0; 4], None).unwrap();
    let mut workspace = LinearWorkspace::default();
    assert!(cpu.linear(&linear, &[0.0; 3], Then::Store, &mut [0.0; 2], &mut workspace).is_err());
    assert!(cpu.linear(&linear, &[0.0; 2], Then::Store, &mut [0.0; 3], &mut workspace).is_err());
    assert!(linear.row(2, &mut [0.0; 2]).is_err());
}
