//! Every operator, for every instruction set that the machine has, against naive loops in f64 and
//! against the portable one, at shapes that are no multiple of anything.

use tilewright_kernel::Epilogue;

use super::gemm::{FeedForward, Matmul, SelfAttention};
use super::pack::{PackedWeights, Spec, scale_of};
use super::simd::Level;
use super::tile::Rows;
use super::*;

const I8: Numeric = Numeric::I8 { activations: Scaling::PerRow };
const I8_TENSOR: Numeric = Numeric::I8 { activations: Scaling::PerTensor };

/// The instruction sets of this machine; the test's output says which.
fn levels() -> Vec<Level> {
    let levels: Vec<_> = Isa::ALL.into_iter().filter_map(Level::new).collect();
    println!("tested: {:?}", levels.iter().map(|level| level.isa()).collect::<Vec<_>>());
    levels
}

/// Numbers of −1..1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn many(&mut self, length: usize) -> Vec<f32> {
        (0..length).map(|_| self.next()).collect()
    }

    fn below(&mut self, end: usize) -> usize {
        (self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99), self.0 >> 33).1
            as usize
            % end
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    rows: usize,
    k: usize,
    n: usize,
    epilogue: Epilogue,
    output: Output,
}

/// Shapes around the edges of tiles and panels, then random ones.
fn cases() -> Vec<Case> {
    let edges = [
        (1, 1, 1),
        (12, 4, 32),
        (13, 5, 33),
        (6, 16, 16),
        (11, 63, 31),
        (25, 64, 65),
        (70, 130, 97),
        (65, 96, 32),
    ];
    let mut noise = Noise(7);
    let random: Vec<_> =
        (0..14).map(|_| (1 + noise.below(40), 1 + noise.below(150), 1 + noise.below(80))).collect();
    let mut cases = Vec::new();
    for (i, (rows, k, n)) in edges.into_iter().chain(random).enumerate() {
        let output = if i % 2 == 0 { Output::Store } else { Output::Add };
        cases.push(Case { rows, k, n, epilogue: Epilogue::ALL[i % 3], output });
    }
    cases
}

impl Case {
    fn spec(&self, numeric: Numeric) -> Spec {
        Spec { numeric, epilogue: self.epilogue, k: self.k, n: self.n }
    }

    fn bias<'a>(&self, bias: &'a [f32]) -> Option<&'a [f32]> {
        (self.epilogue != Epilogue::None).then_some(bias)
    }

    fn run(&self, level: Level, weights: &PackedWeights, a: &[f32], c: &[f32]) -> Vec<f32> {
        let mut c = c.to_vec();
        let matmul = Matmul {
            level,
            weights,
            a: Rows { elements: a, stride: self.k },
            rows: self.rows,
            norm: None,
            scales: None,
            output: self.output,
            narrow: false,
        };
        matmul.run(&mut c, &mut Workspace::new());
        c
    }

    /// Naive, in f64.
    fn expected(
        &self,
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
        bias: &[f32],
        c: &[f32],
    ) -> Vec<f64> {
        let mut expected = Vec::new();
        for row in 0..self.rows {
            for column in 0..self.n {
                let mut y: f64 = (0..self.k).map(|at| a(row, at) * b(column, at)).sum();
                if self.epilogue != Epilogue::None {
                    y += f64::from(bias[column]);
                }
                if self.epilogue == Epilogue::BiasGelu {
                    y = 0.5 * y * libm::erfc(-y * std::f64::consts::FRAC_1_SQRT_2);
                }
                if self.output == Output::Add {
                    y += f64::from(c[row * self.n + column]);
                }
                expected.push(y);
            }
        }
        expected
    }
}

fn worst(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let error = |(x, y): (&f32, &f64)| {
        assert!(x.is_finite(), "{x}");
        (f64::from(*x) - y).abs()
    };
    found.iter().zip(expected).map(error).fold(0.0, f64::max)
}

fn bf16(x: f32) -> f64 {
    half::bf16::from_f32(x).to_f64()
}

/// The kernel crate's rule, for weights.
fn quantised(x: f32, scale: f32) -> f64 {
    f64::from((x / scale).round_ties_even().clamp(-127.0, 127.0)) * f64::from(scale)
}

/// Activations are multiplied with the inverse, which is faster.
fn activation(x: f32, scale: f32) -> f64 {
    f64::from((x * (1.0 / scale)).round_ties_even()) * f64::from(scale)
}

fn max(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |max, x| max.max(x.abs()))
}

#[test]
fn matmuls_against_naive_ones() {
    let mut noise = Noise(1);
    let mut worsts = [0.0_f64; 4];
    for case in cases() {
        let a = noise.many(case.rows * case.k);
        let weights = noise.many(case.n * case.k);
        let bias = noise.many(case.n);
        let c = noise.many(case.rows * case.n);
        let row = |i: usize| &a[i * case.k..][..case.k];
        let channel = |i: usize| &weights[i * case.k..][..case.k];
        let scales: Vec<_> = (0..case.n).map(|n| scale_of(max(channel(n)))).collect();
        let rows: Vec<_> = (0..case.rows).map(|m| scale_of(max(row(m)))).collect();
        let tensor = scale_of(max(&a));
        let b = |n: usize, at: usize| quantised(channel(n)[at], scales[n]);
        for (i, numeric) in [Numeric::F32, Numeric::Bf16, I8, I8_TENSOR].into_iter().enumerate() {
            let exact = |x: f32| f64::from(x);
            let expected = match i {
                0 => case.expected(
                    |m, at| exact(row(m)[at]),
                    |n, at| exact(channel(n)[at]),
                    &bias,
                    &c,
                ),
                1 => {
                    case.expected(|m, at| bf16(row(m)[at]), |n, at| bf16(channel(n)[at]), &bias, &c)
                }
                2 => case.expected(|m, at| activation(row(m)[at], rows[m]), b, &bias, &c),
                _ => case.expected(|m, at| activation(row(m)[at], tensor), b, &bias, &c),
            };
            for level in levels() {
                let packed =
                    PackedWeights::pack(level, case.spec(numeric), &weights, case.bias(&bias))
                        .unwrap();
                let found = case.run(level, &packed, &a, &c);
                let error = worst(&found, &expected);
                assert!(error < 1e-5, "{case:?} {numeric:?} on {}: {error:e}", level.isa());
                worsts[i] = worsts[i].max(error);
            }
        }
    }
    println!(
        "largest errors of f32, bf16, i8, i8 per tensor: {:?}",
        worsts.map(|x| format!("{x:.1e}"))
    );
}

/// Whole numbers with a 127 in each row and channel have scale 1, so results are the sums.
#[test]
fn sums_of_integers_are_exact() {
    let mut noise = Noise(3);
    for fill in ["random", "largest", "alternating", "opposite"] {
        for (rows, k, n) in [(1, 1, 1), (13, 7, 33), (14, 130, 40), (5, 1040, 17), (3, 5120, 35)] {
            let mut value = |i: usize, other: bool| match fill {
                "random" => (noise.next() * 127.0).round(),
                "largest" => 127.0,
                "alternating" => [127.0, -127.0][(i + usize::from(other)) % 2],
                _ => [127.0, -127.0][usize::from(other)],
            };
            let mut a: Vec<_> = (0..rows * k).map(|i| value(i, false)).collect();
            let mut weights: Vec<_> = (0..n * k).map(|i| value(i, true)).collect();
            for row in a.chunks_mut(k).chain(weights.chunks_mut(k)) {
                row[k / 2] = 127.0_f32.copysign(row[k / 2]);
            }
            let case = Case { rows, k, n, epilogue: Epilogue::None, output: Output::Store };
            let expected: Vec<_> = (0..rows * n)
                .map(|i| {
                    let products =
                        (0..k).map(|at| a[i / n * k + at] as i32 * weights[i % n * k + at] as i32);
                    products.sum::<i32>() as f32
                })
                .collect();
            for level in levels() {
                let packed = PackedWeights::pack(level, case.spec(I8), &weights, None).unwrap();
                let found = case.run(level, &packed, &a, &vec![f32::NAN; rows * n]);
                assert_eq!(found, expected, "{fill} {case:?} on {}", level.isa());
            }
        }
    }
}

#[test]
fn integer_results_are_the_same_on_all_instruction_sets_to_the_last_rounding() {
    let mut noise = Noise(11);
    for case in cases() {
        let (a, weights) = (noise.many(case.rows * case.k), noise.many(case.n * case.k));
        let (bias, c) = (noise.many(case.n), noise.many(case.rows * case.n));
        let results: Vec<_> = levels()
            .into_iter()
            .map(|level| {
                let packed =
                    PackedWeights::pack(level, case.spec(I8), &weights, case.bias(&bias)).unwrap();
                case.run(level, &packed, &a, &c)
            })
            .collect();
        for other in &results[1..] {
            for (x, y) in results[0].iter().zip(other) {
                // The sums are the same; with FMA the epilogue rounds less often.
                assert!((x - y).abs() <= 2e-6 * x.abs().max(1.0), "{x} {y}");
            }
        }
    }
}

/// What is not a number stays visible: its row is NaN, the others are as without it.
#[test]
fn a_nan_spoils_its_row_and_no_other() {
    let case = Case { rows: 14, k: 20, n: 35, epilogue: Epilogue::BiasGelu, output: Output::Store };
    let mut noise = Noise(5);
    let (mut a, weights) = (noise.many(case.rows * case.k), noise.many(case.n * case.k));
    let (bias, c) = (noise.many(case.n), vec![0.0; case.rows * case.n]);
    for numeric in [Numeric::F32, Numeric::Bf16, I8] {
        for level in levels() {
            let packed =
                PackedWeights::pack(level, case.spec(numeric), &weights, Some(&bias)).unwrap();
            let before = case.run(level, &packed, &a, &c);
            let kept = std::mem::replace(&mut a[3 * case.k + 7], f32::NAN);
            let after = case.run(level, &packed, &a, &c);
            a[3 * case.k + 7] = kept;
            for (i, (before, after)) in before.iter().zip(&after).enumerate() {
                if i / case.n == 3 {
                    assert!(after.is_nan(), "{numeric:?} on {}", level.isa());
                } else {
                    assert_eq!(before, after);
                }
            }
        }
    }
}

#[test]
fn rows_of_zeros_and_of_nearly_nothing_are_quantised() {
    let case = Case { rows: 3, k: 9, n: 5, epilogue: Epilogue::None, output: Output::Store };
    let mut a = vec![0.0; 27];
    a[9..18].fill(1e-42);
    a[18..].fill(1e-30);
    let weights = vec![1.0; 45];
    for level in levels() {
        let packed = PackedWeights::pack(level, case.spec(I8), &weights, None).unwrap();
        let found = case.run(level, &packed, &a, &[0.0; 15]);
        assert_eq!(found[..10], [0.0; 10]);
        assert!(found[10..].iter().all(|x| (x / 9e-30 - 1.0).abs() < 1e-5), "{found:?}");
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_channel() {
    let spec = Spec { numeric: Numeric::F32, epilogue: Epilogue::Bias, k: 4, n: 3 };
    let mut weights = vec![1.0; 12];
    weights[6] = f32::INFINITY;
    let error = PackedWeights::pack(levels()[0], spec, &weights, None).unwrap_err();
    assert_eq!(error.to_string(), "the weights of output channel 1 are not all finite");
}

#[test]
fn layer_norm_against_a_naive_one() {
    let mut noise = Noise(21);
    let mut largest = 0.0_f64;
    for (rows, d) in [(1, 1), (3, 7), (40, 64), (9, 65), (33, 512), (2, 1281)] {
        let x: Vec<_> = noise.many(rows * d).iter().map(|x| x * 8.0 + 3.0).collect();
        let (weight, bias) = (noise.many(d), noise.many(d));
        let mut expected = Vec::new();
        for row in x.chunks(d) {
            let wide = || row.iter().map(|&x| f64::from(x));
            let mean = wide().sum::<f64>() / d as f64;
            let variance = wide().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
            expected.extend(wide().enumerate().map(|(i, x)| {
                (x - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i]) + f64::from(bias[i])
            }));
        }
        for level in levels() {
            let mut out = vec![f32::NAN; x.len()];
            let norm = norm::Norm { weight: &weight, bias: &bias };
            norm::layer_norm(level, &x, norm, &mut out);
            let error = worst(&out, &expected);
            assert!(error < 5e-6, "{rows} × {d} on {}: {error:e}", level.isa());
            largest = largest.max(error);
        }
    }
    println!("largest error of layer norm: {largest:.1e}");
}

/// In f64, of operands that may be rounded to bf16 first, queries when they are scaled.
fn naive_attention(shape: &Attention, qkv: &[f32], rounded: bool) -> Vec<f64> {
    let (d, size) = (shape.d_model, shape.d_model / shape.heads);
    let at = |row: usize, part: usize, i: usize| {
        let x = qkv[row * 3 * d + part * d + i];
        let scale = if part == 0 { std::f32::consts::LOG2_E / (size as f32).sqrt() } else { 1.0 };
        if rounded {
            f64::from(half::bf16::from_f32(x * scale)) / f64::from(scale)
        } else {
            f64::from(x)
        }
    };
    let mut out = vec![0.0; shape.rows * d];
    for head in 0..shape.heads {
        for row in 0..shape.valid {
            let scores: Vec<f64> = (0..shape.valid)
                .map(|key| {
                    let i = head * size..(head + 1) * size;
                    i.map(|i| at(row, 0, i) * at(key, 1, i)).sum::<f64>() / (size as f64).sqrt()
                })
                .collect();
            let max = scores.iter().fold(f64::NEG_INFINITY, |max, x| max.max(*x));
            let sum: f64 = scores.iter().map(|x| (x - max).exp()).sum();
            for i in head * size..(head + 1) * size {
                out[row * d + i] = (0..shape.valid)
                    .map(|key| (scores[key] - max).exp() / sum * at(key, 2, i))
                    .sum();
            }
        }
    }
    out
}

#[test]
fn attention_against_a_naive_one() {
    let mut noise = Noise(31);
    let (mut largest, mut largest_rounded) = (0.0_f64, [0.0_f64; 2]);
    for (heads, size, rows, valid) in [
        (1, 1, 1, 1),
        (2, 32, 37, 37),
        (3, 64, 50, 41),
        (1, 20, 130, 130),
        (2, 33, 14, 5),
        (1, 8, 4, 0),
        (2, 64, 300, 290),
        (1, 128, 161, 161),
        (3, 32, 129, 129),
    ] {
        let numeric = Numeric::F32;
        let shape = Attention { heads, d_model: heads * size, rows, valid, numeric };
        // Scores of some tens, as of trained models.
        let mut qkv: Vec<_> =
            noise.many(rows * 3 * shape.d_model).iter().map(|x| x * 3.0).collect();
        let expected = naive_attention(&shape, &qkv, false);
        let rounded = naive_attention(&shape, &qkv, true);
        // Padding never matters, whatever it holds.
        qkv[valid * 3 * shape.d_model..].fill(f32::NAN);
        for level in levels() {
            let mut out = vec![f32::NAN; rows * shape.d_model];
            shape.run(level, &qkv, &mut out, &mut Workspace::new()).unwrap();
            let error = worst(&out, &expected);
            assert!(error < 2e-5, "{shape:?} on {}: {error:e}", level.isa());
            assert!(out[valid * shape.d_model..].iter().all(|x| *x == 0.0));
            largest = largest.max(error);
            // In tiles the weights are rounded too, half an ulp of bf16 and a bit, or an ulp beside
            // integers, but their sum is that of the rounded ones.
            for (i, (numeric, most)) in
                [(Numeric::Bf16, 8e-3), (I8, 1.2e-2)].into_iter().enumerate()
            {
                let shape = Attention { numeric, ..shape };
                let mut out = vec![f32::NAN; rows * shape.d_model];
                shape.run(level, &qkv, &mut out, &mut Workspace::new()).unwrap();
                let error = worst(&out, &rounded).min(worst(&out, &expected));
                assert!(error < most, "{shape:?} on {}: {error:e}", level.isa());
                assert!(out[valid * shape.d_model..].iter().all(|x| *x == 0.0));
                largest_rounded[i] = largest_rounded[i].max(error);
            }
        }
    }
    let [bf16, i8] = largest_rounded;
    println!("largest errors of attention: {largest:.1e}, bf16 {bf16:.1e}, i8 {i8:.1e}");
}

#[test]
fn scores_far_apart_neither_overflow_nor_vanish() {
    let (rows, size) = (400, 64);
    let mut noise = Noise(41);
    for numeric in [Numeric::F32, Numeric::Bf16] {
        let shape = Attention { heads: 1, d_model: size, rows, valid: rows, numeric };
        // Later keys are larger: the largest score so far keeps growing, by hundreds.
        let mut qkv = noise.many(rows * 3 * size);
        for (row, qkv) in qkv.chunks_exact_mut(3 * size).enumerate() {
            qkv[..2 * size].iter_mut().for_each(|x| *x *= 1.0 + row as f32 / 8.0);
        }
        let exact = naive_attention(&shape, &qkv, false);
        let rounded = naive_attention(&shape, &qkv, true);
        for level in levels() {
            let mut out = vec![0.0; rows * size];
            shape.run(level, &qkv, &mut out, &mut Workspace::new()).unwrap();
            let error = worst(&out, &exact).min(worst(&out, &rounded));
            // Scores of thousands are rounded before their exponential is taken.
            assert!(error < 2e-2, "{numeric:?} on {}: {error}", level.isa());
        }
    }
}

#[test]
fn the_conv_stem_against_a_naive_one() {
    let (bins, d, rows) = (5, 37, 19);
    let mut noise = Noise(51);
    let (first, second) = (noise.many(d * bins * 3), noise.many(d * d * 3));
    let second: Vec<_> = second.iter().map(|x| x * 0.2).collect();
    let biases = [noise.many(d), noise.many(d)];
    let (mel, positions) = (noise.many(bins * 2 * rows), noise.many(rows * d));
    let gelu = |x: f64| 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let conv =
        |x: &dyn Fn(usize, isize) -> f64, w: &[f32], b: &[f32], inputs, o: usize, t: isize| {
            let mut sum = f64::from(b[o]);
            for i in 0..inputs {
                for tap in 0..3 {
                    sum += f64::from(w[(o * inputs + i) * 3 + tap]) * x(i, t + tap as isize - 1);
                }
            }
            gelu(sum)
        };
    let frames = 2 * rows as isize;
    let inside = |t: isize| (0..frames).contains(&t);
    let input = |i: usize, t: isize| {
        if inside(t) { f64::from(mel[i * frames as usize + t as usize]) } else { 0.0 }
    };
    let hidden: Vec<f64> = (0..frames as usize * d)
        .map(|i| conv(&input, &first, &biases[0], bins, i % d, (i / d) as isize))
        .collect();
    let between = |i: usize, t: isize| if inside(t) { hidden[t as usize * d + i] } else { 0.0 };
    let expected: Vec<f64> = (0..rows * d)
        .map(|i| {
            let y = conv(&between, &second, &biases[1], d, i % d, 2 * (i / d) as isize);
            y + f64::from(positions[i])
        })
        .collect();
    for level in levels() {
        for (numeric, tolerance) in [(Numeric::F32, 1e-5), (Numeric::Bf16, 0.05), (I8, 0.1)] {
            let pack = |inputs, weights: &[f32], bias: &[f32]| {
                PreparedConv::pack(level, numeric, inputs, weights, bias).unwrap()
            };
            let convs = [&pack(bins, &first, &biases[0]), &pack(d, &second, &biases[1])];
            let mut workspace = Workspace::new();
            // Twice the window: results of both are the same, whatever the workspace held before.
            let mel = [mel.as_slice(), &mel].concat();
            let mut out = vec![f32::NAN; 2 * rows * d];
            conv::stem(level, convs, &mel, &positions, &mut out, &mut workspace).unwrap();
            let error = worst(&out[..rows * d], &expected);
            assert!(error < tolerance, "{numeric:?} on {}: {error:e}", level.isa());
            assert_eq!(out[..rows * d], out[rows * d..]);
        }
    }
}

/// With so many threads.
fn threaded<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Few threads have tasks of several blocks, many have tasks of a block each.
#[test]
fn rows_can_be_divided_in_any_way() {
    for level in levels() {
        hold_divisions(level, 64, 96);
        // Tiles take more rows at a time if weights are large.
        if level.isa() == Isa::Amx {
            hold_divisions(level, 512, 2720);
        }
    }
}

/// A feed-forward network and self-attention of such sizes.
fn hold_divisions(level: Level, d: usize, ffn: usize) {
    let rows = 500;
    let mut noise = Noise(71);
    let x = noise.many(rows * d);
    let (weight, bias) = (noise.many(d), noise.many(ffn.max(3 * d)));
    let weights: Vec<_> = noise.many(d * ffn.max(3 * d)).iter().map(|x| x * 0.1).collect();
    for numeric in [Numeric::F32, Numeric::Bf16, I8, I8_TENSOR] {
        let pack = |k, n, epilogue| {
            let spec = Spec { numeric, epilogue, k, n };
            PackedWeights::pack(level, spec, &weights[..n * k], Some(&bias[..n])).unwrap()
        };
        let (up, down) = (pack(d, ffn, Epilogue::BiasGelu), pack(ffn, d, Epilogue::Bias));
        let (qkv, out) = (pack(d, 3 * d, Epilogue::Bias), pack(d, d, Epilogue::Bias));
        let norm = || Norm { weight: &weight, bias: &bias[..d] };
        let fed = |x: &mut [f32], workspace: &mut Workspace| {
            let (up, down, norm) = (&up, &down, norm());
            FeedForward { level, up, down, norm, rows, narrow: false }.run(x, workspace);
        };
        let attended = |x: &mut [f32], workspace: &mut Workspace| {
            let shape = Attention { heads: d / 64, d_model: d, rows, valid: rows, numeric };
            let (qkv, out, shape, norm) = (&qkv, &out, &shape, norm());
            let attention = SelfAttention { level, qkv, out, norm, shape, narrow: false };
            attention.run(x, workspace).unwrap();
        };
        let on = |threads: usize, work: &(dyn Fn(&mut [f32], &mut Workspace) + Sync)| {
            let mut x = x.clone();
            threaded(threads, || work(&mut x, &mut Workspace::new()));
            x
        };
        let what = format!("{numeric:?} on {}", level.isa());
        assert!(on(1, &fed) == on(9, &fed), "{what}");
        assert!(on(1, &attended) == on(9, &attended), "{what}");
        // Matmul by matmul it is the same: nothing is lost between them.
        let apart = |x: &mut [f32], workspace: &mut Workspace| {
            let (given, mut between) = (x.to_vec(), vec![0.0; rows * ffn]);
            let first = Matmul {
                level,
                weights: &up,
                a: Rows { elements: &given, stride: d },
                rows,
                norm: Some(norm()),
                scales: None,
                output: Output::Store,
                narrow: false,
            };
            first.run(&mut between, workspace);
            let (weights, a) = (&down, Rows { elements: &between, stride: ffn });
            Matmul { weights, a, norm: None, output: Output::Add, ..first }.run(x, workspace);
        };
        assert!(on(1, &fed) == on(9, &apart), "{what}");
    }
}

/// Tiles on their own, as attention may use them: sums that start from what is there.
#[cfg(target_arch = "x86_64")]
#[test]
fn tiles_multiply_and_accumulate() {
    use super::simd::tiles::{Bf16Pairs, Bytes, Pair, Start, TileSums, Tiles};
    use super::simd::{Simd, Work};

    struct Twice<'a> {
        tiles: Tiles,
        a: &'a [i8],
        b: &'a [i8],
        sums: &'a mut [TileSums; 2],
    }
    impl Work for Twice<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            // Step after step of the upper tiles, then as many of the lower.
            fn halves(bytes: &[u8]) -> Pair<'_> {
                Pair { bytes, step: 1024, second: bytes.len() / 2 }
            }
            let mut session = self.tiles.start();
            let [integers, floats] = self.sums;
            let (a, b) = (halves(bytemuck::cast_slice(self.a)), bytemuck::cast_slice(self.b));
            session.multiply::<Bytes>(a, b, Start::Zero, integers);
            session.multiply::<Bytes>(a, b, Start::Sums, integers);
            let widen = |x: &[i8]| -> Vec<u16> {
                x.iter().map(|&x| half::bf16::from_f32(f32::from(x)).to_bits()).collect()
            };
            // As bf16, the same bytes are half as many steps, of which each has half as many K.
            let (a, b) = (widen(&self.a[..2 * 16 * 64]), widen(&self.b[..64 * 32]));
            let (a, b) = (halves(bytemuck::cast_slice(&a)), bytemuck::cast_slice(&b));
            session.multiply::<Bf16Pairs>(a, b, Start::Zero, floats);
            session.multiply::<Bf16Pairs>(a, b, Start::Sums, floats);
        }
    }

    let (Some(tiles), Some(level)) = (Tiles::detect(), Level::new(Isa::Amx)) else {
        println!("SKIPPED: this machine has no AMX");
        return;
    };
    let mut noise = Noise(61);
    let mut bytes = |length: usize| -> Vec<i8> {
        (0..length).map(|_| (noise.next() * 127.0).round() as i8).collect()
    };
    const STEPS: usize = 3;
    let (a, b) = (bytes(STEPS * 32 * 64), bytes(STEPS * 64 * 32));
    let mut sums = [TileSums::ZERO; 2];
    level.run(Twice { tiles, a: &a, b: &b, sums: &mut sums });
    for (row, column) in (0..32).flat_map(|row| (0..32).map(move |column| (row, column))) {
        let product = |steps: usize, group: usize, at: usize| {
            let (step, k) = (at / (16 * group), at % (16 * group));
            let left = a[(row / 16 * steps + step) * 16 * 16 * group + row % 16 * 16 * group + k];
            let right = b[(step * 16 + k / group) * 32 * group + column * group + k % group];
            2 * i32::from(left) * i32::from(right)
        };
        let exact: i32 = (0..STEPS * 64).map(|at| product(STEPS, 4, at)).sum();
        assert_eq!(sums[0].get::<i32>()[row * 32 + column], exact);
        // 2 steps of 32: whole numbers below 2²⁴ are exact.
        let exact: i32 = (0..64).map(|at| product(2, 2, at)).sum();
        assert_eq!(sums[1].get::<f32>()[row * 32 + column], exact as f32);
    }
}
