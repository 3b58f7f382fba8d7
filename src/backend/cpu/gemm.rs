//! C = epilogue(A × B): blocks of rows in parallel, each against every panel of weights.
//!
//! A block's rows stay in the second-level cache, and a panel in the first or second, while the
//! block's tiles pass over it. All of K is summed in registers, so a sum leaves them once, through
//! the epilogue.

use bytemuck::Pod;
use half::bf16;
use rayon::prelude::*;
use tilewright_kernel::Epilogue;

use super::math::{gelu, max_magnitude};
use super::pack::{PackedWeights, View, scale_of};
use super::simd::{Level, MAX_LANES, Simd, Work, panel};
use super::tile::{self, Element, MAX_ROWS, Rows};
use super::workspace::Workspace;
use super::{Numeric, Output, Scaling};

/// The most rows of a block: as many as leave room in the second-level cache with K = 5120.
const MAX_BLOCK: usize = 96;

/// A matmul whose operands have been checked.
pub(super) struct Matmul<'a> {
    pub(super) level: Level,
    pub(super) weights: &'a PackedWeights,
    pub(super) a: Rows<'a, f32>,
    pub(super) rows: usize,
    /// Scales of rows whose elements are integers already.
    pub(super) scales: Option<&'a [f32]>,
    pub(super) output: Output,
    pub(super) narrow: bool,
}

impl Matmul<'_> {
    /// Runs it on the current pool.
    pub(super) fn run(&self, c: &mut [f32], workspace: &mut Workspace) {
        let spec = self.weights.spec();
        if self.rows == 0 || spec.n == 0 {
            return;
        }
        let block = block_rows(self.rows, self.weights.geometry().rows);
        let blocks = c[..self.rows * spec.n].par_chunks_mut(block * spec.n).enumerate();
        let stride = row_stride(spec.k);
        match spec.numeric {
            Numeric::F32 => blocks.for_each(|(i, c)| {
                self.level.run(FloatBlock(self.block(i * block, c)));
            }),
            Numeric::Bf16 => {
                let rounded = workspace.activations.get::<f32>(self.rows * stride);
                blocks.zip(rounded.par_chunks_mut(block * stride)).for_each(|((i, c), rounded)| {
                    self.level.run(RoundedBlock { block: self.block(i * block, c), rounded });
                });
            }
            Numeric::I8 { activations } => {
                let scaling = match (self.scales, activations) {
                    (Some(scales), _) => Scales::Given(scales),
                    (None, Scaling::PerRow) => Scales::OfRows,
                    (None, Scaling::PerTensor) => Scales::Same(scale_of(self.max_magnitude(block))),
                };
                let stride = self.word_stride();
                let words = workspace.activations.get::<u32>(self.rows * stride);
                let scales = workspace.scales.get::<f32>(self.rows);
                blocks
                    .zip(words.par_chunks_mut(block * stride).zip(scales.par_chunks_mut(block)))
                    .for_each(|((i, c), (words, scales))| {
                        let (first, block) = (i * block, self.block(i * block, c));
                        let block = IntegerBlock { block, first, words, stride, scales, scaling };
                        self.level.run(block);
                    });
            }
        }
    }

    fn block<'b>(&'b self, row: usize, c: &'b mut [f32]) -> Block<'b> {
        let spec = self.weights.spec();
        Block {
            a: self.a.from(row),
            rows: c.len() / spec.n,
            k: spec.k,
            n: spec.n,
            weights: self.weights.view(),
            gelu: spec.epilogue == Epilogue::BiasGelu,
            narrow: self.narrow,
            add: self.output == Output::Add,
            c,
        }
    }

    /// Words from one row to the next.
    fn word_stride(&self) -> usize {
        let group = self.weights.geometry().group;
        row_stride(self.weights.spec().k.next_multiple_of(MAX_LANES).div_ceil(group))
    }

    fn max_magnitude(&self, block: usize) -> f32 {
        struct Max<'a>(Rows<'a, f32>, usize, usize);
        impl Work for Max<'_> {
            type Output = u32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> u32 {
                let mut max = 0;
                for row in 0..self.1 {
                    let row = max_magnitude(s, self.0.row(row, self.2)).to_bits();
                    max = if row > max { row } else { max };
                }
                max
            }
        }
        let k = self.weights.spec().k;
        let max = (0..self.rows.div_ceil(block))
            .into_par_iter()
            .map(|i| {
                let rows = block.min(self.rows - i * block);
                self.level.run(Max(self.a.from(i * block), rows, k))
            })
            .max();
        f32::from_bits(max.unwrap_or(0))
    }
}

/// Rows of a task: four tasks for each thread, of whole tiles, if the rows suffice. Results do not
/// depend on it.
pub(super) fn block_rows(rows: usize, tile: usize) -> usize {
    let share = rows.div_ceil(4 * rayon::current_num_threads());
    share.next_multiple_of(tile).min(MAX_BLOCK.next_multiple_of(tile))
}

/// Elements of four bytes from one row to the next: whole cache lines, an odd number of them, so
/// that the rows of a tile do not share the same few sets of the cache.
pub(super) fn row_stride(length: usize) -> usize {
    (length.div_ceil(16) | 1) * 16
}

/// Some rows of a matmul.
struct Block<'a> {
    a: Rows<'a, f32>,
    rows: usize,
    k: usize,
    n: usize,
    weights: View<'a>,
    gelu: bool,
    narrow: bool,
    add: bool,
    c: &'a mut [f32],
}

/// Sums of a tile's worth of rows.
#[repr(align(64))]
struct Sums([f32; MAX_ROWS * 2 * MAX_LANES]);

impl Block<'_> {
    /// The epilogue: from sums of `rows` rows from `row` on to `c`.
    #[inline(always)]
    fn finish<S: Simd>(
        &mut self,
        s: S,
        sums: &Sums,
        row: usize,
        rows: usize,
        panel: usize,
        scales: Option<&[f32]>,
    ) {
        let width = self::panel::<S>();
        let first = panel * width;
        let columns = width.min(self.n - first);
        let column_scales = &self.weights.scales[first..][..width];
        let bias = &self.weights.bias[first..][..width];
        for i in 0..rows {
            let scale = s.splat(match scales {
                Some(scales) => scales[row + i],
                None => 1.0,
            });
            let sums = &sums.0[i * width..][..width];
            let c = &mut self.c[(row + i) * self.n + first..][..columns];
            let mut edge = [0.0; 2 * MAX_LANES];
            if columns < width {
                edge[..columns].copy_from_slice(c);
            }
            let c = if columns < width { &mut edge[..width] } else { &mut c[..width] };
            for at in [0, S::LANES] {
                let scale = s.mul(scale, s.load(&column_scales[at..]));
                let mut y = s.fma(s.load(&sums[at..]), scale, s.load(&bias[at..]));
                if self.gelu {
                    y = gelu(s, y);
                }
                if self.narrow {
                    y = s.round_bf16(y);
                }
                if self.add {
                    y = s.add(y, s.load(&c[at..]));
                }
                s.store(y, &mut c[at..]);
            }
            if columns < width {
                self.c[(row + i) * self.n + first..][..columns].copy_from_slice(&edge[..columns]);
            }
        }
    }

    /// All panels of float weights.
    #[inline(always)]
    fn multiply_floats<S: Simd, E: Element + Pod>(&mut self, s: S, a: Rows<'_, f32>) {
        let mut sums = Sums([0.0; MAX_ROWS * 2 * MAX_LANES]);
        for panel in 0..self.n.div_ceil(self::panel::<S>()) {
            let weights = self.weights.panel::<E>(panel);
            let mut row = 0;
            while row < self.rows {
                let rows = S::ROWS.min(self.rows - row);
                let stride = self::panel::<S>();
                tile::floats(s, a.from(row), rows, weights, &mut sums.0, stride);
                self.finish(s, &sums, row, rows, panel, None);
                row += rows;
            }
        }
    }
}

/// Rows that are multiplied as they are.
struct FloatBlock<'a>(Block<'a>);

impl Work for FloatBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let a = self.0.a;
        self.0.multiply_floats::<S, f32>(s, a);
    }
}

/// Rows that are rounded to bf16 first.
struct RoundedBlock<'a> {
    block: Block<'a>,
    rounded: &'a mut [f32],
}

impl Work for RoundedBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let k = self.block.k;
        let stride = row_stride(k);
        for row in 0..self.block.rows {
            let from = self.block.a.row(row, k).chunks(S::LANES);
            for (from, to) in from.zip(self.rounded[row * stride..].chunks_exact_mut(S::LANES)) {
                let x = load_up_to(s, from);
                s.store(s.round_bf16(x), to);
            }
        }
        let a = Rows { elements: &*self.rounded, stride };
        self.block.multiply_floats::<S, bf16>(s, a);
    }
}

/// Rows that are quantised first.
struct IntegerBlock<'a> {
    block: Block<'a>,
    /// Its first row.
    first: usize,
    words: &'a mut [u32],
    stride: usize,
    scales: &'a mut [f32],
    scaling: Scales<'a>,
}

/// Where the scales of rows come from.
#[derive(Clone, Copy)]
enum Scales<'a> {
    /// Each row's largest magnitude.
    OfRows,
    /// It is the same for all.
    Same(f32),
    /// They are given, and the rows are integers.
    Given(&'a [f32]),
}

impl Work for IntegerBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Block { a, rows, k, n, .. } = self.block;
        for row in 0..rows {
            let from = a.row(row, k);
            let (scale, divisor) = match self.scaling {
                Scales::OfRows => {
                    let scale = scale_of(max_magnitude(s, from));
                    (scale, scale)
                }
                Scales::Same(scale) => (scale, scale),
                Scales::Given(scales) => (scales[self.first + row], 1.0),
            };
            self.scales[row] = scale;
            quantise(s, from, divisor, &mut self.words[row * self.stride..]);
        }
        let words = Rows { elements: &*self.words, stride: self.stride };
        let mut sums = Sums([0.0; MAX_ROWS * 2 * MAX_LANES]);
        let width = panel::<S>();
        for panel in 0..n.div_ceil(width) {
            let weights = self.block.weights.panel::<i8>(panel);
            let starts = &self.block.weights.starts[panel * width..][..width];
            let mut row = 0;
            while row < rows {
                let count = S::ROWS.min(rows - row);
                tile::integers(s, words.from(row), count, weights, starts, &mut sums.0);
                self.block.finish(s, &sums, row, count, panel, Some(self.scales));
                row += count;
            }
        }
    }
}

/// Divides by the scale, rounds to −127..=127 and packs.
#[inline(always)]
fn quantise<S: Simd>(s: S, from: &[f32], scale: f32, to: &mut [u32]) {
    let (low, high, scale) = (s.splat(-127.0), s.splat(127.0), s.splat(scale));
    for (from, to) in from.chunks(S::LANES).zip(to.chunks_exact_mut(S::LANES / S::GROUP)) {
        // A division, not a product with the inverse: bit for bit what the NPU's host code does.
        let x = s.div(load_up_to(s, from), scale);
        s.store_words(s.to_i32(s.min(s.max(x, low), high)), to);
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
