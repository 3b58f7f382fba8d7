//! Every operator at the shapes of the compiled model's longest window, with each instruction set
//! that the machine has.
//!
//! `cargo bench --bench cpu_ops` measures; items are multiply-adds, so `Gitem/s` is GMAC/s (for
//! LayerNorm and packing, elements). `RAYON_NUM_THREADS=1` measures one core. Times are wall-clock:
//! on a machine that does other work too, `fastest` is the column to read.
#![allow(clippy::expect_used, missing_docs)]

use divan::Bencher;
use divan::counter::ItemsCount;
use tilewright::backend::cpu::{
    Attention, Cpu, Isa, Numeric, Output, Prepared, Scaling, Workspace,
};
use tilewright::kernels::whisper_base::npu2_i8::{AttnOut, AttnQkv, FfnDown, FfnUp};
use tilewright::kernels::whisper_base::{AUDIO_CTX, D_MODEL, HEADS, LAYERS, MEL_BINS};
use tilewright_kernel::Kernel;

const LENGTH: usize = AUDIO_CTX[0];
const I8: Numeric = Numeric::I8 { activations: Scaling::PerRow };

fn main() {
    divan::main();
}

fn isas() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
}

/// Each instruction set with each precision.
fn paths() -> Vec<String> {
    let numerics = ["f32", "bf16", "i8"];
    isas().iter().flat_map(|isa| numerics.map(|numeric| format!("{isa}-{numeric}"))).collect()
}

fn path(name: &str) -> (Cpu, Numeric) {
    let (isa, numeric) = name.split_once('-').expect("made by paths");
    let isa = Isa::from_name(isa).expect("made by paths");
    let numeric = match numeric {
        "f32" => Numeric::F32,
        "bf16" => Numeric::Bf16,
        _ => I8,
    };
    (Cpu::with_isa(isa).expect("available"), numeric)
}

/// Numbers of −1..1 without a pattern.
fn noise(length: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(next).collect()
}

fn matmul<K: Kernel>(bencher: Bencher<'_, '_>, name: &str, output: Output) {
    let (cpu, numeric) = path(name);
    let shape = K::INFO.shape;
    let weights = noise(shape.n * shape.k);
    let weights = cpu.prepare::<K>(numeric, &weights, Some(&noise(shape.n))).expect("fits");
    let (a, mut c) = (noise(shape.m * shape.k), vec![0.0; shape.m * shape.n]);
    let mut workspace = Workspace::new();
    bencher.counter(ItemsCount::new(shape.m * shape.k * shape.n)).bench_local(|| {
        cpu.matmul(&weights, &a, output, &mut c, &mut workspace).expect("fits");
    });
}

#[divan::bench(args = paths(), sample_count = 15)]
fn attn_qkv(bencher: Bencher<'_, '_>, path: &str) {
    matmul::<AttnQkv<LENGTH>>(bencher, path, Output::Store);
}

#[divan::bench(args = paths(), sample_count = 15)]
fn attn_out(bencher: Bencher<'_, '_>, path: &str) {
    matmul::<AttnOut<LENGTH>>(bencher, path, Output::Add);
}

#[divan::bench(args = paths(), sample_count = 15)]
fn ffn_up(bencher: Bencher<'_, '_>, path: &str) {
    matmul::<FfnUp<LENGTH>>(bencher, path, Output::Store);
}

#[divan::bench(args = paths(), sample_count = 15)]
fn ffn_down(bencher: Bencher<'_, '_>, path: &str) {
    matmul::<FfnDown<LENGTH>>(bencher, path, Output::Add);
}

#[divan::bench(args = isas(), sample_count = 15)]
fn attention(bencher: Bencher<'_, '_>, isa: &Isa) {
    let cpu = Cpu::with_isa(*isa).expect("available");
    let shape = Attention {
        heads: HEADS,
        d_model: D_MODEL,
        rows: LENGTH,
        valid: LENGTH,
        numeric: Numeric::Bf16,
    };
    let (qkv, mut out) = (noise(LENGTH * 3 * D_MODEL), vec![0.0; LENGTH * D_MODEL]);
    let mut workspace = Workspace::new();
    bencher.counter(ItemsCount::new(2 * LENGTH * LENGTH * D_MODEL)).bench_local(|| {
        cpu.attention(&shape, &qkv, &mut out, &mut workspace).expect("fits");
    });
}

#[divan::bench(args = paths(), sample_count = 15)]
fn conv_stem(bencher: Bencher<'_, '_>, name: &str) {
    let (cpu, numeric) = path(name);
    let conv = |inputs: usize| {
        let weights = noise(D_MODEL * inputs * 3);
        cpu.prepare_conv(numeric, inputs, &weights, &noise(D_MODEL)).expect("fits")
    };
    let convs = [&conv(MEL_BINS), &conv(D_MODEL)];
    let (mel, positions) = (noise(MEL_BINS * 2 * LENGTH), noise(LENGTH * D_MODEL));
    let mut out = vec![0.0; LENGTH * D_MODEL];
    let mut workspace = Workspace::new();
    let products = LENGTH * D_MODEL * 3 * (2 * MEL_BINS + D_MODEL);
    bencher.counter(ItemsCount::new(products)).bench_local(|| {
        cpu.conv_stem(convs, &mel, &positions, &mut out, &mut workspace).expect("fits");
    });
}

#[divan::bench(args = isas(), sample_count = 50)]
fn layer_norm(bencher: Bencher<'_, '_>, isa: &Isa) {
    let cpu = Cpu::with_isa(*isa).expect("available");
    let (x, weight, bias) = (noise(LENGTH * D_MODEL), noise(D_MODEL), noise(D_MODEL));
    let mut out = vec![0.0; LENGTH * D_MODEL];
    bencher.counter(ItemsCount::new(LENGTH * D_MODEL)).bench_local(|| {
        cpu.layer_norm(&x, &weight, &bias, &mut out).expect("fits");
    });
}

/// Packing, once at load.
#[divan::bench(args = paths(), sample_count = 5)]
fn prepare_ffn_up(bencher: Bencher<'_, '_>, name: &str) {
    let (cpu, numeric) = path(name);
    let shape = FfnUp::<LENGTH>::INFO.shape;
    let (weights, bias) = (noise(shape.n * shape.k), noise(shape.n));
    bencher.counter(ItemsCount::new(weights.len())).bench_local(|| {
        cpu.prepare::<FfnUp<LENGTH>>(numeric, &weights, Some(&bias)).expect("fits")
    });
}

/// Weights that keep activations at the size of their inputs.
fn weights<K: Kernel>(cpu: Cpu, numeric: Numeric) -> Prepared<K> {
    let shape = K::INFO.shape;
    let scaled: Vec<f32> =
        noise(shape.n * shape.k).iter().map(|x| x / (shape.k as f32).sqrt()).collect();
    cpu.prepare(numeric, &scaled, Some(&noise(shape.n))).expect("fits")
}

/// One encoder of base's size, without its final norm: the operators in their order.
#[divan::bench(args = paths(), sample_count = 5)]
fn encoder(bencher: Bencher<'_, '_>, name: &str) {
    let (cpu, numeric) = path(name);
    let mut workspace = Workspace::new();
    let attention = Attention {
        heads: HEADS,
        d_model: D_MODEL,
        rows: LENGTH,
        valid: LENGTH,
        numeric: Numeric::Bf16,
    };
    let qkv = weights::<AttnQkv<LENGTH>>(cpu, numeric);
    let out = weights::<AttnOut<LENGTH>>(cpu, numeric);
    let up = weights::<FfnUp<LENGTH>>(cpu, numeric);
    let down = weights::<FfnDown<LENGTH>>(cpu, numeric);
    let (ones, zeros) = (vec![1.0; D_MODEL], vec![0.0; D_MODEL]);
    let x = noise(LENGTH * D_MODEL);
    let [mut normed, mut heads] = [x.clone(), x.clone()];
    let [mut qkv_rows, mut hidden] =
        [3 * D_MODEL, FfnUp::<LENGTH>::INFO.shape.n].map(|n| vec![0.0; LENGTH * n]);
    bencher.with_inputs(|| x.clone()).bench_local_refs(|x| {
        for _ in 0..LAYERS {
            let workspace = &mut workspace;
            cpu.layer_norm(x, &ones, &zeros, &mut normed).expect("fits");
            cpu.matmul(&qkv, &normed, Output::Store, &mut qkv_rows, workspace).expect("fits");
            cpu.attention(&attention, &qkv_rows, &mut heads, workspace).expect("fits");
            cpu.matmul(&out, &heads, Output::Add, x, workspace).expect("fits");
            cpu.layer_norm(x, &ones, &zeros, &mut normed).expect("fits");
            cpu.matmul(&up, &normed, Output::Store, &mut hidden, workspace).expect("fits");
            cpu.matmul(&down, &hidden, Output::Add, x, workspace).expect("fits");
        }
    });
}
