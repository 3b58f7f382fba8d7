//! The rule of the synthetic weights, against a second implementation and against results.

use std::path::{Path, PathBuf};

use tilewright::weights::{Tensor, Weights};

/// Name, shape, the first, sixth and last value, and a digest of all, as bits: computed by a program
/// in Python that shares nothing with this one but the rule.
type Vector = (&'static str, &'static [usize], [u32; 3], u64);

#[rustfmt::skip]
const VECTORS: [Vector; 15] = [
    ("model.encoder.conv1.weight", &[64, 80, 3], [0xbde08b3e, 0x3d16abbd, 0x3d9f86df], 0x32f84885afad85bb),
    ("model.encoder.conv1.bias", &[64], [0x3db4f755, 0xbdb6e5a3, 0x3d2ecb1c], 0x3d62ee7e04949d0f),
    ("model.encoder.conv2.weight", &[64, 64, 3], [0x3dce3d1e, 0x3d42edbd, 0xbdbd70c8], 0x4e0bfe9c940e1228),
    ("model.encoder.embed_positions.weight", &[1500, 64], [0x3e97b0bd, 0xbdd23f6d, 0xbe956634], 0x397430464b59315a),
    ("model.encoder.layers.0.self_attn_layer_norm.weight", &[512], [0x3f858b73, 0x40910f46, 0x3f7b7a43], 0x38add5a1a0da83e9),
    ("model.encoder.layers.0.self_attn_layer_norm.bias", &[512], [0xbd615d28, 0x3d0cd024, 0x3c981962], 0xc393cd61ff2c8375),
    ("model.encoder.layers.5.self_attn.q_proj.weight", &[64, 64], [0x3e476099, 0x3ea5e3db, 0xbea0a054], 0xe2deb313acb148d8),
    ("model.encoder.layers.5.self_attn.k_proj.weight", &[64, 64], [0xbe278115, 0xbe57d615, 0xbdbefad9], 0x1b65e5efa24058e3),
    ("model.encoder.layers.5.self_attn.v_proj.weight", &[64, 64], [0xbd4b0ed6, 0x3db05647, 0x3e047974], 0x2a14d6df99ab206e),
    ("model.encoder.layers.5.self_attn.v_proj.bias", &[64], [0x3d88b662, 0xbdbd1da9, 0x3ba66655], 0x359014371ec4d820),
    ("model.encoder.layers.5.self_attn.out_proj.weight", &[512, 512], [0xbd091a37, 0xbcd680b0, 0x3cb83172], 0x4ad3c88f96d49ab5),
    ("model.encoder.layers.1.fc1.weight", &[256, 64], [0xbe0062d7, 0xbe404015, 0x3e409b00], 0x26b377a39c262f88),
    ("model.encoder.layers.1.fc2.weight", &[64, 256], [0x3d23b31f, 0xbd2f213e, 0x3d3a9e38], 0x9087d5b57ea94330),
    ("model.encoder.layer_norm.weight", &[64], [0x3f8574e0, 0x407bc994, 0x3f6584f7], 0x86800618a2e4ea42),
    ("model.decoder.embed_tokens.weight", &[1000, 384], [0xbdce4fa4, 0xbcd3993c, 0x3c841daf], 0xe3a42a24c2c4734b),
];

fn digest(values: &[f32]) -> u64 {
    values.iter().fold(0u64, |digest, value| {
        let value = u64::from(value.to_bits()) + 1;
        digest.wrapping_mul(0x0000_0100_0000_01B3).wrapping_add(value)
    })
}

#[test]
fn values_are_those_of_the_rule_bit_by_bit() {
    let weights = Weights::synthetic();
    assert!(weights.is_synthetic());
    for (name, shape, picks, all) in VECTORS {
        let tensor = weights.tensor(name, shape).unwrap();
        let bits = |i: usize| tensor[i].to_bits();
        assert_eq!([bits(0), bits(5), bits(tensor.len() - 1)], picks, "{name}");
        assert_eq!(digest(&tensor), all, "{name}");
    }
}

#[test]
fn the_prefix_may_be_left_out() {
    let weights = Weights::synthetic();
    let long = weights.tensor("model.encoder.conv1.bias", &[64]).unwrap();
    assert_eq!(long[..], weights.tensor("encoder.conv1.bias", &[64]).unwrap()[..]);
}

#[test]
fn absurd_shapes_are_errors() {
    let weights = Weights::synthetic();
    for shape in [&[usize::MAX, 2][..], &[usize::MAX / 8], &[1 << 62]] {
        let error = weights.tensor("encoder.conv1.weight", shape).unwrap_err();
        assert!(error.to_string().contains("larger than memory"), "{error}");
    }
    assert!(weights.tensor("x", &[0, usize::MAX, usize::MAX]).unwrap().is_empty());
    assert_eq!(weights.tensor("x", &[]).unwrap().len(), 1);
}

/// Where reference results are, which come with no checkout.
fn goldens() -> Option<PathBuf> {
    let named = std::env::var_os("TILEWRIGHT_GOLDENS").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let near = ["../shared/goldens", "../../shared/goldens"].map(|path| root.join(path));
    named.into_iter().chain(near).find(|folder| folder.join("nano.safetensors").is_file())
}

const D: usize = 64;
const HEADS: usize = 2;
const POSITIONS: usize = 1500;

/// The first layer of an encoder of 64 channels, computed the slow way: what transformers computed
/// with these weights at seven positions, before and after the layer.
#[test]
fn a_layer_computed_with_them_is_what_transformers_computes() {
    let Some(goldens) = goldens() else {
        skip(format_args!("no reference results; TILEWRIGHT_GOLDENS names their folder"));
        return;
    };
    let nano = Weights::open(goldens.join("nano.safetensors")).unwrap();
    let expected = nano.tensor("hidden.rows", &[3, 7, D]).unwrap();
    let rows: Vec<usize> = {
        let bytes = std::fs::read(goldens.join("nano.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let index = file.tensor("hidden.row_index").unwrap();
        index
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|row| i64::from_le_bytes(*row) as usize)
            .collect()
    };
    let mel = Weights::open(goldens.join("mel80.safetensors")).unwrap();
    let hidden = stem(&mel.tensor("mel", &[80, 3000]).unwrap());
    let input: Vec<f32> =
        rows.iter().flat_map(|&row| hidden[row * D..][..D].iter().copied()).collect();
    assert_close(&input, &expected[..7 * D]);
    assert_close(&layer(&hidden, &rows), &expected[7 * D..14 * D]);
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let error = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error < 2e-4, "off by {error}");
}

fn get(name: &str, shape: &[usize]) -> Tensor<'static> {
    static WEIGHTS: std::sync::LazyLock<Weights> = std::sync::LazyLock::new(Weights::synthetic);
    WEIGHTS.tensor(&format!("model.encoder.{name}"), shape).unwrap()
}

/// Both convolutions and the positions: rows of `D` values.
fn stem(mel: &[f32]) -> Vec<f32> {
    let first = convolve(mel, 80, "conv1", 1);
    let by_channel = |i: usize| first[i % 3000 * D + i / 3000];
    let first: Vec<f32> = (0..D * 3000).map(by_channel).collect();
    let mut hidden = convolve(&first, D, "conv2", 2);
    let positions = get("embed_positions.weight", &[POSITIONS, D]);
    hidden.iter_mut().zip(positions.iter()).for_each(|(value, position)| *value += position);
    hidden
}

/// From [channels, 3000] to rows of `D` values, GELU included.
fn convolve(input: &[f32], channels: usize, name: &str, stride: usize) -> Vec<f32> {
    let weight = get(&format!("{name}.weight"), &[D, channels, 3]);
    let bias = get(&format!("{name}.bias"), &[D]);
    let mut output = Vec::new();
    for row in 0..3000 / stride {
        for to in 0..D {
            let mut sum = bias[to];
            for tap in 0..3 {
                let Some(at) = (row * stride + tap).checked_sub(1).filter(|at| *at < 3000) else {
                    continue;
                };
                for from in 0..channels {
                    sum += weight[(to * channels + from) * 3 + tap] * input[from * 3000 + at];
                }
            }
            output.push(gelu(sum));
        }
    }
    output
}

fn layer(hidden: &[f32], rows: &[usize]) -> Vec<f32> {
    let normed: Vec<f32> =
        hidden.chunks(D).flat_map(|row| norm(row, "layers.0.self_attn_layer_norm")).collect();
    let keys = linear(&normed, D, D, "layers.0.self_attn.k_proj", false);
    let values = linear(&normed, D, D, "layers.0.self_attn.v_proj", true);
    let mut output = Vec::new();
    for &row in rows {
        let query = linear(&normed[row * D..][..D], D, D, "layers.0.self_attn.q_proj", true);
        let mut mixed = vec![0.0; D];
        for head in 0..HEADS {
            let part = head * D / HEADS..(head + 1) * D / HEADS;
            let score = |key: &[f32]| {
                let products = query[part.clone()].iter().zip(&key[part.clone()]);
                products.map(|(q, k)| q * k).sum::<f32>() / (part.len() as f32).sqrt()
            };
            let scores: Vec<f32> = keys.chunks(D).map(score).collect();
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let total: f32 = scores.iter().map(|score| (score - most).exp()).sum();
            for (score, value) in scores.iter().zip(values.chunks(D)) {
                let share = (score - most).exp() / total;
                part.clone().for_each(|i| mixed[i] += share * value[i]);
            }
        }
        let attended = linear(&mixed, D, D, "layers.0.self_attn.out_proj", true);
        let residual: Vec<f32> =
            hidden[row * D..][..D].iter().zip(attended).map(|(a, b)| a + b).collect();
        let up =
            linear(&norm(&residual, "layers.0.final_layer_norm"), D, 4 * D, "layers.0.fc1", true);
        let up: Vec<f32> = up.into_iter().map(gelu).collect();
        let down = linear(&up, 4 * D, D, "layers.0.fc2", true);
        output.extend(residual.iter().zip(down).map(|(a, b)| a + b));
    }
    output
}

fn linear(input: &[f32], from: usize, to: usize, name: &str, has_bias: bool) -> Vec<f32> {
    let weight = get(&format!("{name}.weight"), &[to, from]);
    let bias =
        if has_bias { get(&format!("{name}.bias"), &[to]).into_vec() } else { vec![0.0; to] };
    let dot = |row: &[f32], to: usize| -> f32 {
        row.iter().zip(&weight[to * from..][..from]).map(|(a, b)| a * b).sum()
    };
    input
        .chunks(from)
        .flat_map(|row| (0..to).map(|to| bias[to] + dot(row, to)).collect::<Vec<_>>())
        .collect()
}

fn norm(row: &[f32], name: &str) -> Vec<f32> {
    let [weight, bias] = ["weight", "bias"].map(|part| get(&format!("{name}.{part}"), &[D]));
    let mean = row.iter().sum::<f32>() / D as f32;
    let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / D as f32;
    let scale = 1.0 / (variance + 1e-5).sqrt();
    (0..D).map(|i| (row[i] - mean) * scale * weight[i] + bias[i]).collect()
}

/// By the integral of its derivative's Gaussian, in `f64`.
fn gelu(x: f32) -> f32 {
    (f64::from(x) * 0.5 * (1.0 + libm::erf(f64::from(x) / 2f64.sqrt()))) as f32
}

/// Says on standard error that something is not tested; unlike `eprintln!`, the test runner shows it.
fn skip(reason: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
