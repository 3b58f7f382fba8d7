//! A matrix times few rows: what a decoder multiplies for each token.
//!
//! With one row nothing is used twice, so the time is that of reading the weights: they are divided
//! by outputs among the threads, and read once for all rows. Each result is that of one thread and
//! adds its products in the order of the inputs, so it does not depend on their number, nor on the
//! rows beside it.
//!
//! For i8 the same reason makes finer activations cheap: what is left when a row was rounded to
//! −127..=127 is rounded once more, in units of 1/254, and multiplied as a row of its own. Rows with
//! outliers then lose no more than the weights do, whose error per channel is a fifth of theirs.

mod pack;
#[cfg(test)]
mod tests;

use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use super::error::check_length;
use super::gemm::row_stride;
use super::math::{gelu, max_magnitude};
use super::pack::{SharedBytes, scale_of};
use super::simd::{Level, MAX_LANES, Simd, Work, panel};
use super::tile::{self, Rows};
use super::workspace::Buffer;
use super::{Cpu, CpuError, Numeric, Scaling};
pub use pack::Linear;

/// Bytes of weights times rows that are worth another thread's while.
const GRAIN: usize = 48 << 10;

/// Units of the second part of a row in one of the first.
const FINE: f32 = 254.0;

/// What a product does with its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// Overwrites.
    Store,
    /// Adds to what is there: a residual connection.
    Add,
    /// Overwrites with their GELU.
    Gelu,
}

/// Scratch memory of products with few rows. It grows to what the largest needs.
#[derive(Debug, Default)]
pub struct LinearWorkspace {
    /// Rows, as they are multiplied.
    operand: Buffer,
    scales: Buffer,
    /// Results, panel by panel.
    sums: Buffer,
}

impl Cpu {
    /// Packs outputs × inputs weights, row by row as Hugging Face stores them, and a bias for each
    /// output, for products with few rows.
    ///
    /// # Errors
    /// When lengths do not fit, or a weight is not finite.
    pub fn prepare_linear(
        &self,
        numeric: Numeric,
        shape: [usize; 2],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Linear, CpuError> {
        Linear::pack(self.level, numeric, shape, weights, bias)
    }

    /// Weights that were packed before, used where they lie: see [`Cpu::load`].
    ///
    /// # Errors
    /// When they were packed for another shape, precision, instruction set or version of the layout.
    pub fn load_linear(
        &self,
        numeric: Numeric,
        shape: [usize; 2],
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<Linear, CpuError> {
        Linear::from_bytes(self.level, numeric, shape, bytes, range)
    }

    /// C = A · Wᵀ + bias for rows A of `weights.inputs()` elements and rows C of `weights.outputs()`.
    ///
    /// # Errors
    /// When lengths do not fit, or the weights were packed for another instruction set.
    pub fn linear(
        &self,
        weights: &Linear,
        a: &[f32],
        then: Then,
        c: &mut [f32],
        workspace: &mut LinearWorkspace,
    ) -> Result<(), CpuError> {
        if weights.isa() != self.isa() {
            let (expected, found) = (self.isa().to_string(), weights.isa().to_string());
            return Err(CpuError::Packed { field: "the instruction set", expected, found });
        }
        let (inputs, outputs) = (weights.inputs(), weights.outputs());
        if inputs == 0 || outputs == 0 {
            let rule = "there are inputs and outputs";
            return Err(CpuError::Geometry { what: "a product with few rows", rule });
        }
        let rows = a.len() / inputs;
        check_length("A", rows * inputs, a.len())?;
        check_length("C", rows * outputs, c.len())?;
        if rows > 0 {
            Product { level: self.level, weights, rows, then }.run(a, c, workspace);
        }
        Ok(())
    }
}

/// A product whose operands have been checked.
#[derive(Clone, Copy)]
struct Product<'a> {
    level: Level,
    weights: &'a Linear,
    rows: usize,
    then: Then,
}

/// Rows as they are multiplied.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Floats(Rows<'a, f32>),
    Rounded(Rows<'a, f32>),
    Words(Rows<'a, u32>, &'a [f32]),
}

impl Product<'_> {
    /// Rows that each row is multiplied as.
    fn parts(self) -> usize {
        match self.weights.numeric() {
            Numeric::I8 { activations: Scaling::PerRow } => 2,
            _ => 1,
        }
    }

    fn run(self, a: &[f32], c: &mut [f32], workspace: &mut LinearWorkspace) {
        let (inputs, outputs, width) =
            (self.weights.inputs(), self.weights.outputs(), self.weights.width());
        let stride = row_stride(inputs.next_multiple_of(4 * MAX_LANES));
        let LinearWorkspace { operand, scales, sums } = workspace;
        let operand = match self.weights.numeric() {
            Numeric::F32 => Operand::Floats(Rows { elements: a, stride: inputs }),
            Numeric::Bf16 => {
                let to = operand.get::<f32>(self.rows * stride);
                self.level.run(Round { a, inputs, to, stride });
                Operand::Rounded(Rows { elements: to, stride })
            }
            Numeric::I8 { activations } => {
                let parts = self.parts();
                let to = operand.get::<u32>(self.rows * parts * stride);
                let scales = scales.get::<f32>(self.rows);
                self.level.run(Quantise { a, inputs, activations, parts, to, stride, scales });
                Operand::Words(Rows { elements: to, stride }, scales)
            }
        };
        let panels = outputs.div_ceil(width);
        let block = self.parts() * self.rows * width;
        let sums = sums.get::<f32>(panels * block);
        let threads = rayon::current_num_threads();
        let work = panels * self.weights.panel_bytes() * self.rows * self.parts();
        let tasks = (work / GRAIN).clamp(1, 4 * threads).min(panels);
        let chunk = panels.div_ceil(tasks);
        if threads == 1 || tasks == 1 {
            self.level.run(Panels { product: self, operand, first: 0, sums });
        } else {
            sums.par_chunks_mut(chunk * block).enumerate().for_each(|(i, sums)| {
                self.level.run(Panels { product: self, operand, first: i * chunk, sums });
            });
        }
        for (row, c) in c.chunks_exact_mut(outputs).enumerate() {
            let sums = sums.chunks_exact(width).skip(row).step_by(block / width);
            for (c, sums) in c.chunks_mut(width).zip(sums) {
                if self.then == Then::Add {
                    c.iter_mut().zip(sums).for_each(|(c, x)| *c += x);
                } else {
                    c.copy_from_slice(&sums[..c.len()]);
                }
            }
        }
    }
}

/// Rounds rows to bf16.
struct Round<'a> {
    a: &'a [f32],
    inputs: usize,
    to: &'a mut [f32],
    stride: usize,
}

impl Work for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, inputs, to, stride } = self;
        for (a, to) in a.chunks_exact(inputs).zip(to.chunks_exact_mut(stride)) {
            for (x, to) in a.chunks(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
                let x = load_up_to(s, x);
                s.store(s.round_bf16(x), to);
            }
        }
    }
}

/// Divides rows by their scales and rounds them to words of −127..=127.
struct Quantise<'a> {
    a: &'a [f32],
    inputs: usize,
    activations: Scaling,
    parts: usize,
    to: &'a mut [u32],
    stride: usize,
    scales: &'a mut [f32],
}

impl Work for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, inputs, activations, parts, to, stride, scales } = self;
        let all = max_magnitude(s, a);
        let rows = a.chunks_exact(inputs).zip(to.chunks_exact_mut(parts * stride));
        for ((a, to), scale) in rows.zip(scales) {
            *scale = scale_of(match activations {
                Scaling::PerRow => max_magnitude(s, a),
                Scaling::PerTensor => all,
            });
            let by = s.splat(*scale);
            let (low, high) = (s.splat(-127.0), s.splat(127.0));
            let words = 4 * S::LANES / S::GROUP;
            let (first, second) = to.split_at_mut(stride);
            for (i, x) in a.chunks(4 * S::LANES).enumerate() {
                let (mut integers, mut rest) = ([s.zero(); 4], [s.zero(); 4]);
                for lane in 0..4 {
                    let at = lane * S::LANES;
                    let x = load_up_to(s, &x[if at < x.len() { at } else { x.len() }..]);
                    let x = s.min(s.max(s.div(x, by), low), high);
                    integers[lane] = s.to_i32(x);
                    let left = s.mul(s.sub(x, s.to_f32(integers[lane])), s.splat(FINE));
                    rest[lane] = s.to_i32(s.min(s.max(left, low), high));
                }
                s.pack_words(integers, &mut first[i * words..]);
                if parts == 2 {
                    s.pack_words(rest, &mut second[i * words..]);
                }
            }
        }
    }
}

/// A vector of as many floats as there are, and zeros.
#[inline(always)]
fn load_up_to<S: Simd>(s: S, from: &[f32]) -> S::F32 {
    if from.len() >= S::LANES {
        s.load(from)
    } else {
        let mut lanes = [0.0; MAX_LANES];
        lanes[..from.len()].copy_from_slice(from);
        s.load(&lanes)
    }
}

/// Some panels, each with all rows.
struct Panels<'a> {
    product: Product<'a>,
    operand: Operand<'a>,
    first: usize,
    sums: &'a mut [f32],
}

impl Work for Panels<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { product, operand, first, sums } = self;
        let Product { weights, rows, then, .. } = product;
        let width = panel::<S>();
        let parts = product.parts();
        for (i, sums) in sums.chunks_exact_mut(parts * rows * width).enumerate() {
            let at = first + i;
            let columns = at * width..(at + 1) * width;
            let scales = match operand {
                Operand::Floats(a) => {
                    tile::floats(s, a, rows, weights.panel::<f32>(at), sums, width);
                    None
                }
                Operand::Rounded(a) => {
                    tile::floats(s, a, rows, weights.panel::<bf16>(at), sums, width);
                    None
                }
                Operand::Words(a, scales) => {
                    let start = &weights.starts()[columns.clone()];
                    tile::integers(s, a, parts * rows, weights.panel::<i8>(at), start, sums);
                    Some(scales)
                }
            };
            let (of_columns, bias) = (&weights.scales()[columns.clone()], &weights.bias()[columns]);
            for row in 0..rows {
                let scale = match scales {
                    Some(scales) => scales[row],
                    None => 1.0,
                };
                for half in [0, S::LANES] {
                    let scale = s.mul(s.splat(scale), s.load(&of_columns[half..]));
                    let from = parts * row * width + half;
                    let mut sum = s.load(&sums[from..]);
                    if parts == 2 {
                        sum = s.fma(s.load(&sums[from + width..]), s.splat(1.0 / FINE), sum);
                    }
                    let mut y = s.fma(sum, scale, s.load(&bias[half..]));
                    if then == Then::Gelu {
                        [y] = gelu(s, [y]);
                    }
                    // Behind what is still to be read.
                    s.store(y, &mut sums[row * width + half..]);
                }
            }
        }
    }
}
