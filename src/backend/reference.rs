//! What a kernel has to compute, without an array: exact sums, and results to hold others against.

use half::bf16;
use rayon::prelude::*;
use tilewright_kernel::{Epilogue, KernelInfo, Precision, Shape, WeightsRef};

use super::array::{ArrayError, Geometry, Operand};
use super::cpu::{Cpu, Scaling};

/// Operands of a kernel that every run of it gets: the same each time, of the sizes that occur.
pub(in crate::backend) struct Operands {
    /// M × K values, row by row, of the kernel's precision.
    pub(in crate::backend) a: Vec<f32>,
    /// K × N values, row by row.
    pub(in crate::backend) b: Vec<f32>,
    /// A scale for each row of A; ones for bf16.
    pub(in crate::backend) rows: Vec<f32>,
    /// A scale for each column of B; ones for bf16.
    pub(in crate::backend) columns: Vec<f32>,
    /// A bias for each column.
    pub(in crate::backend) bias: Vec<f32>,
}

impl Operands {
    /// Random ones: i8 over the whole of −127..=127, and scales that take the results to where GELU
    /// bends.
    pub(in crate::backend) fn new(kernel: &KernelInfo) -> Self {
        let Shape { m, k, n } = kernel.shape;
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (m * k * n) as u64);
        let deviation = (k as f32).sqrt();
        match kernel.target.precision {
            Precision::I8 => {
                let mut values = |count: usize| -> Vec<f32> {
                    (0..count).map(|_| (random.bits() % 255) as f32 - 127.0).collect()
                };
                let (a, b) = (values(m * k), values(k * n));
                // Of a product of two such values.
                let spread = 127.0 * 127.0 / 3.0 * deviation;
                let mut scales = |count: usize, scale: f32| -> Vec<f32> {
                    (0..count).map(|_| (1.0 + random.unit() / 2.0) * scale).collect()
                };
                let (rows, columns) = (scales(m, 0.01), scales(n, 300.0 / spread));
                Self { a, b, rows, columns, bias: random.biases(kernel) }
            }
            Precision::Bf16 => {
                let mut values = |count: usize, scale: f32| -> Vec<f32> {
                    let mut value = || bf16::from_f32(random.unit() * scale).to_f32();
                    (0..count).map(|_| value()).collect()
                };
                let (a, b) = (values(m * k, 2.0), values(k * n, 4.0 / deviation));
                let bias = random.biases(kernel);
                Self { a, b, rows: vec![1.0; m], columns: vec![1.0; n], bias }
            }
        }
    }
}

impl Operands {
    /// Packs A into a kernel's buffer.
    pub(in crate::backend) fn pack_activations(
        &self,
        geometry: &Geometry<'_>,
        cpu: &Cpu,
        buffer: &mut [u8],
    ) -> Result<(), ArrayError> {
        match geometry.kernel().target.precision {
            Precision::I8 => {
                let values: Vec<i8> = self.a.iter().map(|&x| x as i8).collect();
                geometry.pack_activations(cpu, Operand::I8(&values, &self.rows), buffer)
            }
            Precision::Bf16 => {
                let operand = Operand::F32(&self.a, Scaling::PerRow);
                geometry.pack_activations(cpu, operand, buffer)
            }
        }
    }

    /// B as a kernel's buffer.
    pub(in crate::backend) fn pack_weights(
        &self,
        geometry: &Geometry<'_>,
    ) -> Result<Vec<u8>, ArrayError> {
        let Self { b, columns: scales, bias, .. } = self;
        match geometry.kernel().target.precision {
            Precision::I8 => {
                let values: Vec<i8> = b.iter().map(|&x| x as i8).collect();
                geometry.pack_narrow_weights(WeightsRef::I8 { values: &values, scales, bias })
            }
            Precision::Bf16 => {
                let values: Vec<bf16> = b.iter().map(|&x| bf16::from_f32(x)).collect();
                geometry.pack_narrow_weights(WeightsRef::Bf16 { values: &values, bias })
            }
        }
    }
}

/// xorshift64*, so that a failure comes back.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 24
    }

    /// Uniform in −1 to 1.
    fn unit(&mut self) -> f32 {
        (self.bits() & 0xff_ffff) as f32 / 8_388_608.0 - 1.0
    }

    fn biases(&mut self, kernel: &KernelInfo) -> Vec<f32> {
        (0..kernel.shape.n).map(|_| self.unit()).collect()
    }
}

/// Sums as the bits of an accumulator, M × N: i32 for i8; for bf16, f32 that is rounded after each
/// addition, in the order of K.
pub(in crate::backend) fn sums(kernel: &KernelInfo, operands: &Operands) -> Vec<u32> {
    let shape = kernel.shape;
    match kernel.target.precision {
        Precision::Bf16 => {
            let mut sums = vec![0.0_f32; shape.m * shape.n];
            add_products(shape, &operands.a, &operands.b, 0..shape.k, &mut sums);
            sums.into_iter().map(f32::to_bits).collect()
        }
        Precision::I8 => {
            let mut sums = vec![0_i32; shape.m * shape.n];
            let mut part = vec![0.0_f32; shape.m * shape.n];
            for start in (0..shape.k).step_by(EXACT) {
                part.fill(0.0);
                let range = start..shape.k.min(start + EXACT);
                add_products(shape, &operands.a, &operands.b, range, &mut part);
                sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += *part as i32);
            }
            sums.into_iter().map(i32::cast_unsigned).collect()
        }
    }
}

/// Products of i8 whose sum any order of f32 additions gives exactly: it is below 2^24.
const EXACT: usize = 1024;

/// Rows and columns that are summed at a time, in registers.
const ROWS: usize = 4;
const COLUMNS: usize = 16;

/// Adds the products of some of K, one after the other.
fn add_products(
    shape: Shape,
    a: &[f32],
    b: &[f32],
    range: std::ops::Range<usize>,
    sums: &mut [f32],
) {
    let Shape { k, n, .. } = shape;
    sums.par_chunks_mut(ROWS * n).enumerate().for_each(|(block, sums)| {
        let rows = sums.len() / n;
        let a_of = |row: usize, at: usize| a[(block * ROWS + row) * k + at];
        for first in (0..n).step_by(COLUMNS) {
            let width = COLUMNS.min(n - first);
            let mut tile = [[0.0_f32; COLUMNS]; ROWS];
            for (row, tile) in tile.iter_mut().enumerate().take(rows) {
                tile[..width].copy_from_slice(&sums[row * n + first..][..width]);
            }
            for at in range.clone() {
                let mut b_row = [0.0_f32; COLUMNS];
                b_row[..width].copy_from_slice(&b[at * n + first..][..width]);
                for (row, tile) in tile.iter_mut().enumerate().take(rows) {
                    let left = a_of(row, at);
                    for (sum, right) in tile.iter_mut().zip(b_row) {
                        *sum += left * right;
                    }
                }
            }
            for (row, tile) in tile.iter().enumerate().take(rows) {
                sums[row * n + first..][..width].copy_from_slice(&tile[..width]);
            }
        }
    });
}

/// The largest distance of results to what follows from exact sums, in units of the last place of
/// bf16.
///
/// For bf16 the bias is added in f32, as on a core; all else is f64. For i8 the sums are scaled in
/// f64, and what the core's float arithmetic may cost, 2^-15 of the product (2^-22 before GELU) and
/// 2^-23 of the bias, is no error: it only shows where the two cancel.
pub(in crate::backend) fn worst_ulps(
    kernel: &KernelInfo,
    operands: &Operands,
    sums: &[u32],
    results: &[bf16],
) -> f64 {
    let n = kernel.shape.n;
    let activate = |x: f64| match kernel.epilogue {
        Epilogue::BiasGelu => gelu(x),
        Epilogue::None | Epilogue::Bias => x,
    };
    let worst = |worst: f64, (i, (&sum, &got)): (usize, (&u32, &bf16))| {
        let (row, column) = (i / n, i % n);
        let bias = if kernel.epilogue == Epilogue::None { 0.0 } else { operands.bias[column] };
        let (value, slack) = match kernel.target.precision {
            Precision::Bf16 => (f64::from(f32::from_bits(sum) + bias), 0.0),
            Precision::I8 => {
                let scale = f64::from(operands.rows[row]) * f64::from(operands.columns[column]);
                let product = f64::from(sum.cast_signed()) * scale;
                let bias = f64::from(bias);
                let slack = match kernel.epilogue {
                    Epilogue::BiasGelu => (product.abs() + bias.abs()) * 2f64.powi(-22),
                    Epilogue::None | Epilogue::Bias => {
                        product.abs() * 2f64.powi(-15) + bias.abs() * 2f64.powi(-23)
                    }
                };
                (product + bias, slack)
            }
        };
        let exact = activate(value);
        let distance = ulps(got, exact, exact);
        // The distance to an interval around it is no larger.
        if distance <= worst || slack == 0.0 {
            return worst.max(distance);
        }
        let ends = [activate(value - slack), exact, activate(value + slack)];
        let low = ends.into_iter().fold(f64::INFINITY, f64::min);
        let high = ends.into_iter().fold(f64::NEG_INFINITY, f64::max);
        worst.max(ulps(got, low, high))
    };
    let all = sums.par_iter().zip(results).enumerate();
    all.fold(|| 0.0, worst).reduce(|| 0.0, f64::max)
}

/// A result of a kernel on exact sums, before it is rounded.
pub(in crate::backend) fn result(
    kernel: &KernelInfo,
    operands: &Operands,
    index: usize,
    sum: u32,
) -> f64 {
    let (row, column) = (index / kernel.shape.n, index % kernel.shape.n);
    let product = match kernel.target.precision {
        Precision::Bf16 => f64::from(f32::from_bits(sum)),
        Precision::I8 => {
            let scale = f64::from(operands.rows[row]) * f64::from(operands.columns[column]);
            f64::from(sum.cast_signed()) * scale
        }
    };
    match kernel.epilogue {
        Epilogue::None => product,
        Epilogue::Bias => product + f64::from(operands.bias[column]),
        Epilogue::BiasGelu => gelu(product + f64::from(operands.bias[column])),
    }
}

/// x·Φ(x), the exact GELU.
fn gelu(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Smallest normal bf16. What is smaller may come out as anything as small.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Distance of a result to an interval, in units of the last place of bf16 there.
fn ulps(got: bf16, low: f64, high: f64) -> f64 {
    let got = got.to_f64();
    if got.is_nan() {
        return f64::INFINITY;
    }
    let (largest, smallest) = (low.abs().max(high.abs()), low.abs().min(high.abs()));
    if largest < TINY && got.abs() <= TINY {
        return 0.0;
    }
    let unit = 2f64.powi(smallest.max(TINY).log2().floor() as i32 - 7);
    (low - got).max(got - high).max(0.0) / unit
}
