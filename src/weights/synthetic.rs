//! Weights made of nothing but their names.
//!
//! So that every program and test can run, and be compared with every other implementation, without
//! a checkpoint. The rule, for the tensor called `name` (with its prefix `model.`) and the row-major
//! index i, all integers modulo 2^64:
//!
//! ```text
//! u = (splitmix64(fnv1a64(name) + i * 0x9E3779B97F4A7C15) >> 11) / 2^53
//! v = 2u - 1
//! ```
//!
//! | tensor, the first that fits | value |
//! |---|---|
//! | `*layer_norm*.weight` | 1 + 0.2 v, times 4 where i mod 128 = 5 |
//! | `*layer_norm*.bias` | 0.2 v |
//! | other `*.bias` | 0.1 v |
//! | `*embed_positions*` | 0.5 v |
//! | `*embed_tokens*` | v · √3 · 2 / √d_model |
//! | others | v · gain · √(3 / fan_in), gain 1.5 for q_proj and k_proj, 0.5 for out_proj and fc2, else 1 |
//!
//! Computed in `f64` from left to right, then rounded to `f32`. fan_in is the product of all
//! dimensions but the first, d_model the last dimension.

use rayon::prelude::*;

/// What the content hash of synthetic weights is made of: another rule is another checkpoint.
pub const ID: &str = "tilewright synthetic weights, rule 1";

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Elements per task.
const CHUNK: usize = 1 << 15;

/// The tensor of a name and shape; nothing if the shape has more elements than memory can hold.
pub(super) fn tensor(name: &str, shape: &[usize]) -> Option<Vec<f32>> {
    let length = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
    // Asks whether there is room; zeroed memory then costs nothing before it is written.
    Vec::<f32>::new().try_reserve_exact(length).ok()?;
    let mut values = vec![0.0; length];
    let seed = fnv1a64(name);
    let norm = name.contains("layer_norm");
    if norm && name.ends_with(".weight") {
        fill(&mut values, seed, |i, v| (1.0 + 0.2 * v) * if i % 128 == 5 { 4.0 } else { 1.0 });
    } else if norm && name.ends_with(".bias") {
        fill(&mut values, seed, |_, v| 0.2 * v);
    } else if name.ends_with(".bias") {
        fill(&mut values, seed, |_, v| 0.1 * v);
    } else if name.contains("embed_positions") {
        fill(&mut values, seed, |_, v| 0.5 * v);
    } else if name.contains("embed_tokens") {
        let root = shape.last().map_or(1.0, |&d_model| d_model as f64).sqrt();
        fill(&mut values, seed, |_, v| v * 3f64.sqrt() * 2.0 / root);
    } else {
        let fan_in: f64 = shape.iter().skip(1).map(|&n| n as f64).product();
        let gain = gain(name);
        let root = (3.0 / fan_in).sqrt();
        fill(&mut values, seed, |_, v| v * gain * root);
    }
    Some(values)
}

fn gain(name: &str) -> f64 {
    let is = |part: &str| name.contains(part);
    if is("q_proj") || is("k_proj") {
        1.5
    } else if is("out_proj") || is("fc2") {
        0.5
    } else {
        1.0
    }
}

fn fill(values: &mut [f32], seed: u64, value: impl Fn(usize, f64) -> f64 + Sync) {
    let chunk = |(chunk, values): (usize, &mut [f32])| {
        for (i, to) in (chunk * CHUNK..).zip(values) {
            let random = splitmix64(seed.wrapping_add((i as u64).wrapping_mul(GOLDEN)));
            let u = (random >> 11) as f64 / (1u64 << 53) as f64;
            *to = value(i, 2.0 * u - 1.0) as f32;
        }
    };
    if values.len() <= CHUNK {
        return chunk((0, values));
    }
    values.par_chunks_mut(CHUNK).enumerate().for_each(chunk);
}

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

fn splitmix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
