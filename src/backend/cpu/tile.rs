//! Tiles of sums that stay in registers: where nearly all of the time goes.
//!
//! A tile is `R` rows of activations times one panel of weights, two vectors wide, over all of K.
//! Each sum adds its products in the order of K, whatever `R` is, so results do not depend on how
//! rows are divided.
#![allow(unsafe_code)]

use half::bf16;

use super::simd::{Simd, Work, panel};
use super::workspace::ALIGNMENT;

/// How far ahead weights are fetched from the second-level cache, in bytes.
const AHEAD: usize = 1024;

/// The most rows of a tile.
pub(super) const MAX_ROWS: usize = 12;

/// Weights that are multiplied as floats.
pub(super) trait Element: Copy + Send + Sync {
    /// Both vectors of a step of a panel.
    fn load<S: Simd>(s: S, step: &[Self]) -> [S::F32; 2];
    /// Where a column lies in a step of a panel of such a width.
    fn slot(column: usize, width: usize) -> usize;
    /// Rounds to this type.
    fn narrow(x: f32) -> Self;
}

impl Element for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, step: &[Self]) -> [S::F32; 2] {
        [s.load(step), s.load(&step[S::LANES..])]
    }

    fn slot(column: usize, _: usize) -> usize {
        column
    }

    fn narrow(x: f32) -> Self {
        x
    }
}

/// The two vectors alternate, so that a shift and a mask widen them.
impl Element for bf16 {
    #[inline(always)]
    fn load<S: Simd>(s: S, step: &[Self]) -> [S::F32; 2] {
        s.load_bf16(step)
    }

    fn slot(column: usize, width: usize) -> usize {
        let lanes = width / 2;
        column % lanes * 2 + column / lanes
    }

    fn narrow(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// Rounds to the nearest integer; what is outside of the range becomes its end.
impl Element for i8 {
    #[inline(always)]
    fn load<S: Simd>(s: S, step: &[Self]) -> [S::F32; 2] {
        s.load_i8(step)
    }

    fn slot(column: usize, _: usize) -> usize {
        column
    }

    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x.round_ties_even() as Self
    }
}

/// Rows of a matrix: each `stride` after the one before.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    /// From the first element of the first row on.
    pub(super) elements: &'a [T],
    /// Elements from one row to the next; rows may overlap.
    pub(super) stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// From a row on.
    #[inline(always)]
    pub(super) fn from(self, row: usize) -> Self {
        Self { elements: &self.elements[row * self.stride..], stride: self.stride }
    }

    /// So many elements of a row.
    #[inline(always)]
    pub(super) fn row(self, row: usize, length: usize) -> &'a [T] {
        &self.elements[row * self.stride..][..length]
    }

    /// Panics unless there are so many rows of such a length.
    #[inline(always)]
    pub(super) fn check(self, rows: usize, length: usize) {
        assert!(rows == 0 || self.elements.len() >= (rows - 1) * self.stride + length);
    }
}

/// Products of rows and a panel of floats: row i of `sums` starts at i · `stride`.
#[inline(always)]
pub(super) fn floats<S: Simd, E: Element>(
    s: S,
    a: Rows<'_, f32>,
    rows: usize,
    panel: &[E],
    sums: &mut [f32],
    stride: usize,
) {
    let mut row = 0;
    while row < rows {
        let (a, sums) = (a.from(row), &mut sums[row * stride..]);
        match tile_rows::<S>(rows - row) {
            12 if S::ROWS == 12 => s.outline(FloatTile::<E, 12> { a, panel, sums, stride }),
            6 if S::ROWS == 6 => s.outline(FloatTile::<E, 6> { a, panel, sums, stride }),
            4 => s.outline(FloatTile::<E, 4> { a, panel, sums, stride }),
            2 => s.outline(FloatTile::<E, 2> { a, panel, sums, stride }),
            _ => s.outline(FloatTile::<E, 1> { a, panel, sums, stride }),
        }
        row += tile_rows::<S>(rows - row);
    }
}

/// Products of rows of words and a panel of integers, which start at `start`, as floats.
#[inline(always)]
pub(super) fn integers<S: Simd>(
    s: S,
    a: Rows<'_, u32>,
    rows: usize,
    panel: &[i8],
    start: &[i32],
    sums: &mut [f32],
) {
    let mut row = 0;
    while row < rows {
        let (a, sums) = (a.from(row), &mut sums[row * self::panel::<S>()..]);
        match tile_rows::<S>(rows - row) {
            12 if S::ROWS == 12 => s.outline(IntegerTile::<12> { a, panel, start, sums }),
            6 if S::ROWS == 6 => s.outline(IntegerTile::<6> { a, panel, start, sums }),
            4 => s.outline(IntegerTile::<4> { a, panel, start, sums }),
            2 => s.outline(IntegerTile::<2> { a, panel, start, sums }),
            _ => s.outline(IntegerTile::<1> { a, panel, start, sums }),
        }
        row += tile_rows::<S>(rows - row);
    }
}

/// Rows of the next tile, when so many are left.
#[inline(always)]
fn tile_rows<S: Simd>(left: usize) -> usize {
    match left {
        _ if left >= S::ROWS => S::ROWS,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

struct FloatTile<'a, E, const R: usize> {
    a: Rows<'a, f32>,
    panel: &'a [E],
    sums: &'a mut [f32],
    stride: usize,
}

impl<E: Element, const R: usize> Work for FloatTile<'_, E, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, panel, sums: out, stride } = self;
        let width = self::panel::<S>();
        a.check(R, panel.len() / width);
        let mut sums = [[s.splat(0.0); 2]; R];
        for (at, b) in panel.chunks_exact(width).enumerate() {
            prefetch(s, b);
            let [left, right] = E::load(s, b);
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: i < R and `at` is below the number of steps: `check` found the element.
                let x = s.splat(unsafe { *a.elements.get_unchecked(i * a.stride + at) });
                sums[0] = s.fma(x, left, sums[0]);
                sums[1] = s.fma(x, right, sums[1]);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let out = &mut out[i * stride..][..width];
            s.store(sums[0], &mut out[..S::LANES]);
            s.store(sums[1], &mut out[S::LANES..]);
        }
    }
}

struct IntegerTile<'a, const R: usize> {
    a: Rows<'a, u32>,
    panel: &'a [i8],
    start: &'a [i32],
    sums: &'a mut [f32],
}

impl<const R: usize> Work for IntegerTile<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, panel, start, sums: out } = self;
        let width = self::panel::<S>();
        let step = width * S::GROUP;
        a.check(R, panel.len() / step);
        let mut sums = [[s.load_i32(start), s.load_i32(&start[S::LANES..])]; R];
        for (at, b) in panel.chunks_exact(step).enumerate() {
            prefetch(s, b);
            let left = s.load_weights(&b[..step / 2]);
            let right = s.load_weights(&b[step / 2..]);
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: i < R and `at` is below the number of steps: `check` found the element.
                let x = s.word(unsafe { *a.elements.get_unchecked(i * a.stride + at) });
                sums[0] = s.dot(sums[0], x, left);
                sums[1] = s.dot(sums[1], x, right);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let out = &mut out[i * width..][..width];
            s.store(s.to_f32(sums[0]), &mut out[..S::LANES]);
            s.store(s.to_f32(sums[1]), &mut out[S::LANES..]);
        }
    }
}

/// Fetches the lines of a step that comes later.
#[inline(always)]
fn prefetch<S: Simd, T>(s: S, step: &[T]) {
    let mut line = 0;
    while line < size_of_val(step) {
        s.prefetch(step, AHEAD + line);
        line += ALIGNMENT;
    }
}
