//! Attention to a window and to a past, against the formula in f64.

use super::*;
use crate::backend::cpu::{Isa, Scaling};

const I8: Numeric = Numeric::I8 { activations: Scaling::PerRow };

fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

fn everyone() -> impl Iterator<Item = Cpu> {
    Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok())
}

/// One head of one query in f64: its result, and the probabilities.
fn naive(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> (Vec<f64>, Vec<f64>) {
    let dot = |key: &&[f32]| -> f64 {
        query.iter().zip(*key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum()
    };
    let scale = (query.len() as f64).sqrt();
    let scores: Vec<f64> = keys.iter().map(|key| (dot(key) / scale).exp()).collect();
    let sum: f64 = scores.iter().sum();
    let weights: Vec<f64> = scores.iter().map(|score| score / sum).collect();
    let at = |i: usize| weights.iter().zip(values).map(|(w, v)| w * f64::from(v[i])).sum();
    ((0..query.len()).map(at).collect(), weights)
}

#[test]
fn a_memory_is_recalled_as_the_formula_says() {
    for cpu in everyone() {
        for (heads, positions, rows) in [(2, 37, 1), (3, 100, 5), (1, 3, 14), (2, 64, 2)] {
            for (numeric, tolerance) in [(Numeric::F32, 1e-5), (Numeric::Bf16, 3e-2), (I8, 5e-2)] {
                let heads = Heads { count: heads, size: 24 };
                let width = heads.width();
                let [keys, values] = [1, 2].map(|seed| numbers(seed, positions * width));
                let queries = numbers(3, rows * width);
                let mut memory = Memory::new(numeric, heads);
                cpu.remember(&keys, &values, &mut memory).unwrap();
                let mut out = vec![0.0; queries.len()];
                let mut probe = Probe { heads: vec![heads.count - 1], ..Probe::default() };
                let mut workspace = RecallWorkspace::default();
                let mut recall = [Recall { memory: &memory, rows, probe: Some(&mut probe) }];
                cpu.recall(&mut recall, &queries, &mut out, &mut workspace).unwrap();
                for (row, query) in queries.chunks_exact(width).enumerate() {
                    for head in 0..heads.count {
                        let part = head * 24..(head + 1) * 24;
                        let of = |x: &'_ [f32]| -> Vec<Vec<f32>> {
                            x.chunks_exact(width).map(|x| x[part.clone()].to_vec()).collect()
                        };
                        let (keys, values) = (of(&keys), of(&values));
                        let [keys, values] =
                            [&keys, &values].map(|x| x.iter().map(|x| &x[..]).collect::<Vec<_>>());
                        let (result, weights) = naive(&query[part.clone()], &keys, &values);
                        let got = &out[row * width..][..width][part];
                        for (got, expected) in got.iter().zip(result) {
                            let error = (f64::from(*got) - expected).abs();
                            assert!(error < tolerance, "{}: {got} {expected}", cpu.isa());
                        }
                        if probe.heads == [head] {
                            let got = &probe.probabilities[row * positions..][..positions];
                            for (got, expected) in got.iter().zip(weights) {
                                assert!((f64::from(*got) - expected).abs() < tolerance);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An element that is larger in all keys, and a position that is larger in all its elements but has no
/// weight, cost i8 nothing of the others.
#[test]
fn outliers_spoil_no_other() {
    let heads = Heads { count: 1, size: 32 };
    let (positions, element, position) = (50, 3, 7);
    let [mut keys, mut values] = [1, 2].map(|seed| numbers(seed, positions * 32));
    let mut query = numbers(3, 32);
    keys.iter_mut().skip(element).step_by(32).for_each(|x| *x *= 1000.0);
    query[element] /= 1000.0;
    let outlier = position * 32..(position + 1) * 32;
    for (key, query) in keys[outlier.clone()].iter_mut().zip(&query) {
        *key = -100.0 * query;
    }
    values[outlier].iter_mut().for_each(|x| *x *= 1000.0);
    let [k, v] = [&keys, &values].map(|x| x.chunks_exact(32).collect::<Vec<_>>());
    let (expected, weights) = naive(&query, &k, &v);
    assert!(weights[position] < 1e-9, "{}", weights[position]);
    for cpu in everyone() {
        let mut memory = Memory::new(I8, heads);
        cpu.remember(&keys, &values, &mut memory).unwrap();
        let (mut out, mut workspace) = ([0.0; 32], RecallWorkspace::default());
        let mut recall = [Recall { memory: &memory, rows: 1, probe: None }];
        cpu.recall(&mut recall, &query, &mut out, &mut workspace).unwrap();
        for (got, expected) in out.iter().zip(&expected) {
            assert!((f64::from(*got) - expected).abs() < 3e-2, "{}: {got} {expected}", cpu.isa());
        }
    }
}

/// What is no number does not become one.
#[test]
fn broken_keys_and_values_stay_broken() {
    let heads = Heads { count: 1, size: 16 };
    for (cpu, broken) in everyone().flat_map(|cpu| [f32::NAN, f32::INFINITY].map(|x| (cpu, x))) {
        for numeric in [Numeric::F32, Numeric::Bf16, I8] {
            for of_values in [false, true] {
                let [mut keys, mut values] = [1, 2].map(|seed| numbers(seed, 40 * 16));
                (if of_values { &mut values } else { &mut keys })[5 * 16 + 3] = broken;
                let mut memory = Memory::new(numeric, heads);
                cpu.remember(&keys, &values, &mut memory).unwrap();
                let (mut out, mut workspace) = ([0.0; 16], RecallWorkspace::default());
                let mut recall = [Recall { memory: &memory, rows: 1, probe: None }];
                cpu.recall(&mut recall, &[1.0; 16], &mut out, &mut workspace).unwrap();
                let isa = cpu.isa();
                assert!(!out[3].is_finite(), "{isa} {numeric:?} {of_values}: {out:?}");
            }
        }
    }
}

/// Several windows at once are what each of them is alone, to the bit.
#[test]
fn memories_do_not_disturb_each_other() {
    for (cpu, numeric) in
        everyone().flat_map(|cpu| [Numeric::F32, Numeric::Bf16, I8].map(|n| (cpu, n)))
    {
        let heads = Heads { count: 3, size: 24 };
        let width = heads.width();
        let (sizes, rows) = ([37, 5, 64], [2, 1, 5]);
        let memories = sizes.map(|positions| {
            let [keys, values] = [1, 2].map(|seed| numbers(seed, positions * width));
            let mut memory = Memory::new(numeric, heads);
            cpu.remember(&keys, &values, &mut memory).unwrap();
            memory
        });
        let queries = numbers(3, rows.iter().sum::<usize>() * width);
        let mut workspace = RecallWorkspace::default();
        let mut together = vec![0.0; queries.len()];
        let mut probes = [(); 3].map(|()| Probe { heads: vec![2, 0], ..Probe::default() });
        let parts = memories.iter().zip(rows).zip(&mut probes);
        let mut recalls: Vec<_> = parts
            .map(|((memory, rows), probe)| Recall { memory, rows, probe: Some(probe) })
            .collect();
        cpu.recall(&mut recalls, &queries, &mut together, &mut workspace).unwrap();
        let mut at = 0;
        for ((memory, rows), together_probe) in memories.iter().zip(rows).zip(&probes) {
            let mut alone = vec![0.0; rows * width];
            let mut probe = Probe { heads: vec![2, 0], ..Probe::default() };
            let mut recall = [Recall { memory, rows, probe: Some(&mut probe) }];
            let these = &queries[at..][..rows * width];
            cpu.recall(&mut recall, these, &mut alone, &mut workspace).unwrap();
            assert_eq!(together[at..][..rows * width], alone, "{}", cpu.isa());
            assert_eq!(*together_probe, probe);
            at += rows * width;
        }
    }
}

#[test]
fn a_past_is_attended_to_slot_by_slot() {
    for cpu in everyone() {
        let heads = Heads { count: 2, size: 20 };
        let (width, slots, positions) = (heads.width(), 3, 9);
        let [keys, values] = [1, 2].map(|seed| numbers(seed, positions * slots * width));
        let past = Past { keys: &keys, values: &values, slots, heads };
        let see = |slots| Seen { past, slots };
        let seen: [&[u8]; 3] = [&[0, 0, 2, 1], &[0], &[0, 1, 1, 1, 1, 1, 1, 1, 2]];
        let queries = numbers(3, seen.len() * width);
        let mut out = vec![0.0; queries.len()];
        cpu.attend(&seen.map(see), &queries, &mut out).unwrap();
        for (row, seen) in seen.iter().enumerate() {
            for head in 0..heads.count {
                let part = |x: &'_ [f32], i: usize| x[i * 20..][..20].to_vec();
                let place = |(at, slot): (usize, &u8)| {
                    (usize::from(*slot) * heads.count + head) * positions + at
                };
                let rows = seen.iter().enumerate().map(place);
                let k: Vec<_> = rows.clone().map(|i| part(&keys, i)).collect();
                let v: Vec<_> = rows.map(|i| part(&values, i)).collect();
                let [k, v] = [&k, &v].map(|x| x.iter().map(|x| &x[..]).collect::<Vec<_>>());
                let query = &queries[row * width + head * 20..][..20];
                let (expected, _) = naive(query, &k, &v);
                let got = &out[row * width + head * 20..][..20];
                for (got, expected) in got.iter().zip(expected) {
                    assert!((f64::from(*got) - expected).abs() < 1e-5, "{}", cpu.isa());
                }
            }
        }
        let mut refused =
            |slots| cpu.attend(&[see(slots)], &queries[..width], &mut out[..width]).is_err();
        assert!(refused(&[3]) && refused(&[]) && refused(&[0; 10]));
    }
}
