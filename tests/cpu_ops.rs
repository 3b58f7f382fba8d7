//! The CPU backend through its public API, with the kernels of the compiled model and with small
//! ones of this file.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tilewright::backend::cpu::{
    Attention, Cpu, CpuError, Isa, LayerNorm, Numeric, Output, Prepared, Scaling, SharedBytes,
    Workspace,
};
use tilewright_kernel::{
    Activations, ActivationsBuffer, Artifact, DesignText, Device, Epilogue, Kernel, KernelInfo,
    Loops, Matrix, Precision, Reference, Shape, TargetInfo, Tile, Weights, WeightsBuffer, bf16,
};

const TILE: Tile = Tile { m: 64, k: 64, n: 64 };
const NO_XCLBIN: Option<&Artifact> = None;

static I8: TargetInfo = target(Precision::I8);
static BF16: TargetInfo = target(Precision::Bf16);

const fn target(precision: Precision) -> TargetInfo {
    TargetInfo {
        model: "test",
        device: Device::Npu2,
        precision,
        tile: TILE,
        micro_tile: Device::Npu2.micro_tile(precision),
        configuration: "",
        design: DesignText { module: "", core_kernel: "" },
        xclbin: NO_XCLBIN,
    }
}

const fn info(target: &'static TargetInfo, shape: Shape, epilogue: Epilogue) -> KernelInfo {
    KernelInfo {
        target,
        op: "test",
        length: None,
        count: 1,
        shape,
        padded: Loops::new(Device::Npu2, TILE, shape).padded(Device::Npu2, TILE),
        loops: Loops::new(Device::Npu2, TILE, shape),
        epilogue,
        sequence: "",
        host_bytes: [0; 3],
        stream: None,
    }
}

/// A kernel of some shape, precision and epilogue (its position in `Epilogue::ALL`).
struct Op<E, const M: usize, const K: usize, const N: usize, const EPILOGUE: usize>(E);

impl<const M: usize, const K: usize, const N: usize, const EPILOGUE: usize> Kernel
    for Op<i8, M, K, N, EPILOGUE>
{
    type A = Activations<i8, M, K>;
    type B = Weights<i8, K, N>;
    type C = Matrix<bf16, M, N>;
    const INFO: &'static KernelInfo =
        &const { info(&I8, Shape { m: M, k: K, n: N }, Epilogue::ALL[EPILOGUE]) };
}

impl<const M: usize, const K: usize, const N: usize, const EPILOGUE: usize> Kernel
    for Op<bf16, M, K, N, EPILOGUE>
{
    type A = Activations<bf16, M, K>;
    type B = Weights<bf16, K, N>;
    type C = Matrix<bf16, M, N>;
    const INFO: &'static KernelInfo =
        &const { info(&BF16, Shape { m: M, k: K, n: N }, Epilogue::ALL[EPILOGUE]) };
}

const PER_ROW: Numeric = Numeric::I8 { activations: Scaling::PerRow };
const NUMERICS: [Numeric; 4] =
    [Numeric::F32, Numeric::Bf16, PER_ROW, Numeric::I8 { activations: Scaling::PerTensor }];

/// With each instruction set of this machine; the test's output says which.
fn cpus() -> Vec<Cpu> {
    let cpus: Vec<_> = Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok()).collect();
    println!("tested: {:?}", cpus.iter().map(Cpu::isa).collect::<Vec<_>>());
    cpus
}

fn noise(seed: u64, length: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(next).collect()
}

fn transposed(weights: &[f32], k: usize) -> Vec<f32> {
    let n = weights.len() / k;
    (0..weights.len()).map(|i| weights[i % n * k + i / n]).collect()
}

/// As a backend, with narrowed operands, and as operators with the narrow switch: both give what
/// the reference does, up to one rounding to bf16 that may fall the other way.
fn agrees_with_the_reference<K: Kernel>(numeric: Numeric) {
    let Shape { m, k, n } = K::INFO.shape;
    let (a, weights, bias) = (noise(1, m * k), noise(2, n * k), noise(3, n));
    let left = K::A::from_f32(&a).unwrap();
    let right = K::B::from_f32(&transposed(&weights, k), &bias).unwrap();
    let mut expected = K::C::default();
    K::run(&Reference, &left, &right, &mut expected).unwrap();
    let close = |found: &[f32]| {
        let mut differ = 0;
        for (x, y) in found.iter().zip(expected.as_ref()) {
            let y = y.to_f32();
            assert!((x - y).abs() <= y.abs() / 128.0 + 1e-6, "{x} {y}");
            differ += usize::from(*x != y);
        }
        assert!(differ <= m * n / 40 + 1, "{differ} of {} differ", m * n);
    };
    let bias = (K::INFO.epilogue != Epilogue::None).then_some(bias.as_slice());
    for cpu in cpus() {
        let mut found = K::C::default();
        K::run(&cpu, &left, &right, &mut found).unwrap();
        close(&found.as_ref().iter().map(|x| x.to_f32()).collect::<Vec<_>>());
        let prepared = cpu.prepare::<K>(numeric, &weights, bias).unwrap();
        let mut c = vec![f32::NAN; m * n];
        let mut workspace = Workspace::new();
        cpu.narrow(true).matmul(&prepared, &a, Output::Store, &mut c, &mut workspace).unwrap();
        close(&c);
    }
}

#[test]
fn results_are_those_of_the_reference_backend() {
    agrees_with_the_reference::<Op<i8, 25, 70, 67, 0>>(PER_ROW);
    agrees_with_the_reference::<Op<i8, 37, 128, 96, 1>>(PER_ROW);
    agrees_with_the_reference::<Op<i8, 12, 33, 31, 2>>(PER_ROW);
    agrees_with_the_reference::<Op<bf16, 25, 70, 67, 0>>(Numeric::Bf16);
    agrees_with_the_reference::<Op<bf16, 37, 128, 96, 1>>(Numeric::Bf16);
    agrees_with_the_reference::<Op<bf16, 12, 33, 31, 2>>(Numeric::Bf16);
}

fn run<K: Kernel>(cpu: &Cpu, b: &Prepared<K>, a: &[f32], workspace: &mut Workspace) -> Vec<f32> {
    let mut c = vec![0.5; a.len() / K::INFO.shape.k * K::INFO.shape.n];
    cpu.matmul(b, a, Output::Add, &mut c, workspace).unwrap();
    c
}

type Small = Op<i8, 100, 70, 90, 2>;

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (a, weights, bias) = (noise(1, 100 * 70), noise(2, 90 * 70), noise(3, 90));
    let (d, rows) = (96, 111);
    let qkv = noise(4, rows * 3 * d);
    for cpu in cpus() {
        for numeric in NUMERICS {
            let results: Vec<_> = [1, 2, 3, 16]
                .into_iter()
                .map(|threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    pool.unwrap().install(|| {
                        let b = cpu.prepare::<Small>(numeric, &weights, Some(&bias)).unwrap();
                        let mut workspace = Workspace::new();
                        let c = run(&cpu, &b, &a, &mut workspace);
                        let mut out = vec![0.0; rows * d];
                        let shape = Attention { heads: 3, d_model: d, rows, valid: 101, numeric };
                        cpu.attention(&shape, &qkv, &mut out, &mut workspace).unwrap();
                        (c, out)
                    })
                })
                .collect();
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{numeric:?}");
        }
    }
}

#[test]
fn windows_one_behind_the_other_give_what_each_gives_alone() {
    let (a, weights) = (noise(1, 3 * 100 * 70), noise(2, 90 * 70));
    for cpu in cpus() {
        for numeric in [Numeric::F32, Numeric::Bf16, PER_ROW] {
            let b = cpu.prepare::<Small>(numeric, &weights, None).unwrap();
            let mut workspace = Workspace::new();
            let together = run(&cpu, &b, &a, &mut workspace);
            let alone: Vec<_> =
                a.chunks(100 * 70).flat_map(|a| run(&cpu, &b, a, &mut workspace)).collect();
            assert_eq!(together, alone);
        }
    }
}

/// Fused operators give the bits of the operators one after the other, whatever the threads.
#[test]
fn fused_operators_are_the_operators_one_after_the_other() {
    type Up = Op<i8, 101, 70, 130, 2>;
    type Down = Op<i8, 101, 130, 70, 1>;
    let (weight, bias) = (noise(5, 70), noise(6, 70));
    let norm = LayerNorm { weight: &weight, bias: &bias };
    let (up, down) = (noise(1, 130 * 70), noise(2, 70 * 130));
    let (up_bias, down_bias, x) = (noise(3, 130), noise(4, 70), noise(7, 2 * 101 * 70));
    for cpu in cpus() {
        for cpu in [cpu, cpu.narrow(true)] {
            for numeric in NUMERICS {
                let up = cpu.prepare::<Up>(numeric, &up, Some(&up_bias)).unwrap();
                let down = cpu.prepare::<Down>(numeric, &down, Some(&down_bias)).unwrap();
                let mut workspace = Workspace::new();
                let mut normed = vec![0.0; x.len()];
                cpu.layer_norm(&x, &weight, &bias, &mut normed).unwrap();
                let mut between = vec![0.0; 2 * 101 * 130];
                let store = Output::Store;
                cpu.matmul(&up, &normed, store, &mut between, &mut workspace).unwrap();
                let mut fused = vec![f32::NAN; between.len()];
                cpu.normed_matmul(&up, norm, &x, store, &mut fused, &mut workspace).unwrap();
                assert_eq!(fused, between, "{numeric:?} on {}", cpu.isa());
                let mut expected = x.clone();
                cpu.matmul(&down, &between, Output::Add, &mut expected, &mut workspace).unwrap();
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                    let mut found = x.clone();
                    pool.unwrap().install(|| {
                        cpu.feed_forward(&up, &down, norm, &mut found, &mut workspace).unwrap();
                    });
                    assert_eq!(found, expected, "{numeric:?} on {}", cpu.isa());
                }
            }
        }
    }
}

/// Heads of whole tiles, and not: with as many windows as one, whatever the threads, and up to the
/// roundings of bf16 the operators one after the other.
#[test]
fn self_attention_is_its_operators_one_after_the_other() {
    fn check<Q: Kernel, O: Kernel>(heads: usize) {
        let (rows, d) = (O::INFO.shape.m, O::INFO.shape.k);
        let (weight, bias) = (noise(5, d), noise(6, d));
        let norm = LayerNorm { weight: &weight, bias: &bias };
        let scaled = |seed, length| -> Vec<f32> {
            noise(seed, length).iter().map(|x| x * (3.0 / d as f32).sqrt()).collect()
        };
        let (qkv, out) = (scaled(1, 3 * d * d), scaled(2, d * d));
        let (qkv_bias, out_bias, x) = (noise(3, 3 * d), noise(4, d), noise(7, 2 * rows * d));
        for (cpu, numeric) in cpus().into_iter().flat_map(|cpu| NUMERICS.map(|n| (cpu, n))) {
            let shape = Attention { heads, d_model: d, rows, valid: rows, numeric };
            let qkv = cpu.prepare::<Q>(numeric, &qkv, Some(&qkv_bias)).unwrap();
            let out = cpu.prepare::<O>(numeric, &out, Some(&out_bias)).unwrap();
            let mut workspace = Workspace::new();
            let mut between = vec![0.0; 3 * x.len()];
            let (store, add) = (Output::Store, Output::Add);
            cpu.normed_matmul(&qkv, norm, &x, store, &mut between, &mut workspace).unwrap();
            let mut attended = vec![0.0; x.len()];
            cpu.attention(&shape, &between, &mut attended, &mut workspace).unwrap();
            let mut expected = x.clone();
            cpu.matmul(&out, &attended, add, &mut expected, &mut workspace).unwrap();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let mut found = x.clone();
                pool.unwrap().install(|| {
                    cpu.self_attention(&qkv, &out, norm, &shape, &mut found, &mut workspace)
                        .unwrap();
                });
                // A bit lost on the way may be an integer more in an operand of i8. PerTensor scales
                // are those of a window, and here of both.
                let per_tensor = matches!(numeric, Numeric::I8 { activations: Scaling::PerTensor });
                let tolerance = if per_tensor { 5e-2 } else { 1e-5 };
                let error = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
                let error = error.fold(0.0, f32::max);
                assert!(error < tolerance, "{numeric:?} on {}: {error}", cpu.isa());
            }
        }
    }
    check::<Op<i8, 101, 128, 384, 1>, Op<i8, 101, 128, 128, 1>>(2);
    check::<Op<i8, 37, 60, 180, 1>, Op<i8, 37, 60, 60, 1>>(3);
}

#[test]
fn a_feed_forward_network_may_mix_precisions() {
    type Up = Op<i8, 101, 70, 130, 2>;
    type Down = Op<i8, 101, 130, 70, 1>;
    let (weight, bias) = (noise(5, 70), noise(6, 70));
    let norm = LayerNorm { weight: &weight, bias: &bias };
    let (up, down, x) = (noise(1, 130 * 70), noise(2, 70 * 130), noise(7, 101 * 70));
    for cpu in cpus() {
        for (first, second) in [(Numeric::F32, PER_ROW), (PER_ROW, Numeric::Bf16)] {
            let up = cpu.prepare::<Up>(first, &up, None).unwrap();
            let down = cpu.prepare::<Down>(second, &down, None).unwrap();
            let mut workspace = Workspace::new();
            let mut between = vec![0.0; 101 * 130];
            let store = Output::Store;
            cpu.normed_matmul(&up, norm, &x, store, &mut between, &mut workspace).unwrap();
            let mut expected = x.clone();
            cpu.matmul(&down, &between, Output::Add, &mut expected, &mut workspace).unwrap();
            let mut found = x.clone();
            cpu.feed_forward(&up, &down, norm, &mut found, &mut workspace).unwrap();
            assert_eq!(found, expected, "{first:?} and {second:?} on {}", cpu.isa());
        }
    }
}

#[test]
fn matmuls_that_do_not_fit_each_other_are_refused() {
    type Up = Op<i8, 3, 4, 8, 2>;
    type Other = Op<i8, 3, 9, 4, 1>;
    let cpu = Cpu::new().unwrap();
    let up = cpu.prepare::<Up>(PER_ROW, &[1.0; 32], None).unwrap();
    let other = cpu.prepare::<Other>(PER_ROW, &[1.0; 36], None).unwrap();
    let norm = LayerNorm { weight: &[1.0; 4], bias: &[0.0; 4] };
    let mut workspace = Workspace::new();
    let error = cpu.feed_forward(&up, &other, norm, &mut [0.0; 12], &mut workspace).unwrap_err();
    let expected = "a feed-forward network: the second matmul takes what the first gives, and gives what it takes";
    assert_eq!(error.to_string(), expected);
    let norm = LayerNorm { weight: &[1.0; 5], bias: &[0.0; 4] };
    let (a, mut c) = ([0.0; 12], [0.0; 24]);
    let error = cpu.normed_matmul(&up, norm, &a, Output::Store, &mut c, &mut workspace);
    assert_eq!(
        error.unwrap_err().to_string(),
        "the weight of LayerNorm has 5 elements where 4 are needed"
    );
}

#[test]
fn a_workspace_stops_growing_after_the_first_window() {
    let (a, weights) = (noise(1, 100 * 70), noise(2, 90 * 70));
    for cpu in cpus() {
        let b = cpu.prepare::<Small>(PER_ROW, &weights, None).unwrap();
        let mut workspace = Workspace::new();
        let first = run(&cpu, &b, &a, &mut workspace);
        let bytes = workspace.bytes();
        assert!(bytes > 0);
        assert_eq!(run(&cpu, &b, &a, &mut workspace), first);
        assert_eq!(workspace.bytes(), bytes);
    }
}

/// Bytes at some distance from a cache line.
#[derive(Clone)]
struct Shifted(Vec<u8>, usize);

impl Shifted {
    fn new(bytes: &[u8], shift: usize) -> Self {
        let mut all = vec![0; bytes.len() + 128];
        let start = (64 - all.as_ptr().addr() % 64) % 64 + shift;
        all[start..start + bytes.len()].copy_from_slice(bytes);
        Self(all, start)
    }
}

impl AsRef<[u8]> for Shifted {
    fn as_ref(&self) -> &[u8] {
        &self.0[self.1..]
    }
}

#[test]
fn packed_weights_come_back_from_bytes_wherever_they_lie() {
    let (a, weights, bias) = (noise(1, 100 * 70), noise(2, 90 * 70), noise(3, 90));
    for cpu in cpus() {
        for numeric in NUMERICS {
            let b = cpu.prepare::<Small>(numeric, &weights, Some(&bias)).unwrap();
            let mut workspace = Workspace::new();
            let expected = run(&cpu, &b, &a, &mut workspace);
            let length = b.as_bytes().len();
            assert!(length.is_multiple_of(64));
            for shift in [0, 1, 4] {
                let bytes: SharedBytes = Arc::new(Shifted::new(b.as_bytes(), shift));
                let loaded = cpu.load::<Small>(numeric, bytes.clone(), 0..length).unwrap();
                let in_place = loaded.as_bytes().as_ptr() == (*bytes).as_ref().as_ptr();
                assert_eq!(in_place, shift == 0);
                assert_eq!(run(&cpu, &loaded, &a, &mut workspace), expected);
            }
        }
    }
}

#[test]
fn bytes_of_anything_else_are_refused() {
    type Wider = Op<i8, 100, 70, 91, 2>;
    type Plain = Op<i8, 100, 70, 90, 1>;
    let cpu = Cpu::with_isa(Isa::Portable).unwrap();
    let b = cpu.prepare::<Small>(PER_ROW, &noise(2, 90 * 70), None).unwrap();
    let bytes = b.as_bytes();
    let length = bytes.len();
    let shared = |bytes: &[u8]| -> SharedBytes { Arc::new(bytes.to_vec()) };
    let refused = |error: Result<Prepared<Small>, CpuError>| error.unwrap_err().to_string();
    let again = "; pack the weights again";
    assert_eq!(
        refused(cpu.load(Numeric::F32, shared(bytes), 0..length)).split(" is ").next(),
        Some("packed weights: the length")
    );
    let tensor = Numeric::I8 { activations: Scaling::PerTensor };
    assert_eq!(
        refused(cpu.load(tensor, shared(bytes), 0..length)),
        format!("packed weights: the precision is 2, 3 is needed{again}")
    );
    assert_eq!(
        refused(cpu.load(PER_ROW, shared(&bytes[..length - 64]), 0..length)),
        format!(
            "packed weights: the range is 0..{length}, within {} bytes is needed{again}",
            length - 64
        )
    );
    let plain = cpu.load::<Plain>(PER_ROW, shared(bytes), 0..length).unwrap_err();
    assert_eq!(plain.to_string(), format!("packed weights: the epilogue is 2, 1 is needed{again}"));
    assert!(cpu.load::<Wider>(PER_ROW, shared(bytes), 0..length).is_err());
    // Any bit of the header but those that are not used.
    for bit in 0..40 * 8 {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(cpu.load(PER_ROW, shared(&bytes), 0..length));
    }
    for length in 0..64 {
        refused(cpu.load(PER_ROW, shared(&bytes[..length]), 0..length));
    }
}

#[test]
fn weights_are_shared_between_lengths_and_nothing_else() {
    let cpu = Cpu::new().unwrap();
    let b = cpu.prepare::<Small>(PER_ROW, &noise(2, 90 * 70), None).unwrap();
    let shorter = b.share::<Op<i8, 7, 70, 90, 2>>().unwrap();
    assert_eq!(shorter.as_bytes().as_ptr(), b.as_bytes().as_ptr());
    assert!(b.share::<Op<i8, 100, 70, 90, 1>>().is_err());
    assert!(b.share::<Op<i8, 100, 90, 70, 2>>().is_err());
}

#[test]
fn wrong_lengths_are_errors_that_say_which() {
    let cpu = Cpu::new().unwrap();
    let error = |result: Result<(), CpuError>| result.unwrap_err().to_string();
    let b = cpu.prepare::<Small>(PER_ROW, &noise(2, 90 * 70), None).unwrap();
    let mut workspace = Workspace::new();
    let mut run = |a: usize, c: usize| {
        let (a, mut c) = (vec![0.0; a], vec![0.0; c]);
        error(cpu.matmul(&b, &a, Output::Store, &mut c, &mut workspace))
    };
    assert_eq!(
        run(6999, 9000),
        "A has 6999 elements, which is no whole number of windows of 100 × 70 (kernel 100×70×90)"
    );
    assert_eq!(run(7000, 9001), "C has 9001 elements where 9000 are needed");
    let prepare = |weights: usize, bias: usize| {
        let (weights, bias) = (vec![0.0; weights], vec![0.0; bias]);
        error(cpu.prepare::<Small>(PER_ROW, &weights, Some(&bias)).map(drop))
    };
    assert_eq!(prepare(6299, 90), "the weight matrix has 6299 elements where 6300 are needed");
    assert_eq!(prepare(6300, 89), "the bias has 89 elements where 90 are needed");
    type NoBias = Op<i8, 1, 1, 1, 0>;
    assert_eq!(
        error(cpu.prepare::<NoBias>(PER_ROW, &[1.0], Some(&[1.0])).map(drop)),
        "a bias was given to a kernel whose epilogue in model.toml is \"none\""
    );
    assert!(cpu.layer_norm(&[0.0; 6], &[1.0; 4], &[0.0; 4], &mut [0.0; 6]).is_err());
    assert!(cpu.layer_norm(&[0.0; 8], &[1.0; 4], &[0.0; 3], &mut [0.0; 8]).is_err());
    assert!(cpu.layer_norm(&[], &[], &[], &mut []).is_ok());
    let attend = |shape: Attention, qkv: usize, out: usize| {
        let mut workspace = Workspace::new();
        error(cpu.attention(&shape, &vec![0.0; qkv], &mut vec![0.0; out], &mut workspace))
    };
    let shape = Attention { heads: 2, d_model: 8, rows: 3, valid: 3, numeric: Numeric::F32 };
    assert_eq!(attend(shape, 71, 24), "qkv has 71 elements where 72 are needed");
    assert_eq!(
        attend(shape, 75, 25),
        "the output of attention has 25 elements where 24 are needed"
    );
    assert_eq!(attend(Attention { heads: 3, ..shape }, 72, 24), "attention: heads divide d_model");
    assert_eq!(
        attend(Attention { valid: 4, ..shape }, 72, 24),
        "attention: no more rows are valid than there are"
    );
}

#[test]
fn weights_of_another_instruction_set_are_an_error() {
    let cpus = cpus();
    let [first, .., last] = cpus.as_slice() else {
        skip(format_args!("this machine has one instruction set"));
        return;
    };
    let b = first.prepare::<Small>(PER_ROW, &noise(2, 90 * 70), None).unwrap();
    let (a, mut c) = (vec![0.0; 7000], vec![0.0; 9000]);
    let error = last.matmul(&b, &a, Output::Store, &mut c, &mut Workspace::new()).unwrap_err();
    assert!(error.to_string().starts_with("packed weights: the instruction set"), "{error}");
}

/// The compiled model's own kernels: exact types, real sizes.
#[test]
fn the_compiled_models_kernels_run() {
    use tilewright::kernels::{Pass, Visitor, dispatch};

    struct Run;
    impl Visitor for Run {
        type Output = ();
        fn visit<P: Pass>(self) {
            let cpu = Cpu::new().unwrap();
            let mut workspace = Workspace::new();
            let shape = P::AttnOut::INFO.shape;
            let (weights, a) = (noise(1, shape.n * shape.k), noise(2, shape.m * shape.k));
            let [exact, i8] = [Numeric::F32, PER_ROW].map(|numeric| {
                let b = cpu.prepare::<P::AttnOut>(numeric, &weights, None).unwrap();
                run(&cpu, &b, &a, &mut workspace)
            });
            let dot = |x: &[f32], y: &[f32]| -> f64 {
                x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            let cosine = dot(&exact, &i8) / (dot(&exact, &exact) * dot(&i8, &i8)).sqrt();
            assert!(cosine > 0.9999, "{cosine}");
        }
    }
    let target = tilewright::kernels::TABLE.targets[0];
    let length = tilewright::kernels::TABLE.kernels[0].iter().filter_map(|k| k.length).min();
    dispatch(target, length, Run).unwrap();
}

/// Says on standard error that something is not tested; unlike `eprintln!`, the test runner shows it.
fn skip(reason: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
