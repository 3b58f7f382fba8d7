//! What becomes of sums: scaled, biased, through GELU, rounded, stored or added.

use bytemuck::Pod;

use super::super::math::gelu;
use super::super::pack::View;
use super::super::simd::{MAX_LANES, Simd};

/// Sums as an engine leaves them.
pub(super) trait Sum: Pod {
    /// A vector of them as floats.
    fn load<S: Simd>(s: S, sums: &[Self]) -> S::F32;
}

impl Sum for f32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, sums: &[f32]) -> S::F32 {
        s.load(sums)
    }
}

impl Sum for i32 {
    #[inline(always)]
    fn load<S: Simd>(s: S, sums: &[i32]) -> S::F32 {
        s.to_f32(s.load_i32(sums))
    }
}

/// Where results go and what happens on the way.
pub(super) struct Epilogue<'a> {
    pub(super) weights: View<'a>,
    /// Of each row, for integers.
    pub(super) scales: Option<&'a [f32]>,
    pub(super) gelu: bool,
    pub(super) narrow: bool,
    pub(super) add: bool,
    /// Columns of the result.
    pub(super) n: usize,
    /// The result, row by row.
    pub(super) c: &'a mut [f32],
    /// From one of its rows to the next.
    pub(super) stride: usize,
}

impl Epilogue<'_> {
    /// From sums of `rows` rows of a panel, `2 · S::LANES` wide, to the rows from `row` on.
    #[inline(always)]
    pub(super) fn finish<S: Simd, T: Sum>(
        &mut self,
        s: S,
        sums: &[T],
        row: usize,
        rows: usize,
        panel: usize,
    ) {
        if self.gelu {
            self.rows::<S, T, true>(s, sums, row, rows, panel);
        } else {
            self.rows::<S, T, false>(s, sums, row, rows, panel);
        }
    }

    #[inline(always)]
    fn rows<S: Simd, T: Sum, const GELU: bool>(
        &mut self,
        s: S,
        sums: &[T],
        row: usize,
        rows: usize,
        panel: usize,
    ) {
        let width = super::panel::<S>();
        let first = panel * width;
        let columns = width.min(self.stride - first);
        let column = Columns {
            scales: [
                s.load(&self.weights.scales[first..]),
                s.load(&self.weights.scales[first + S::LANES..]),
            ],
            bias: [
                s.load(&self.weights.bias[first..]),
                s.load(&self.weights.bias[first + S::LANES..]),
            ],
        };
        let sums = &sums[..rows * width];
        let c = &mut self.c[row * self.stride + first..];
        for i in 0..rows {
            let scale = s.splat(match self.scales {
                Some(scales) => scales[row + i],
                None => 1.0,
            });
            let sums = &sums[i * width..][..width];
            let c = &mut c[i * self.stride..][..columns];
            if columns == width {
                let (narrow, add) = (self.narrow, self.add);
                finish_row::<S, T, GELU>(s, sums, scale, &column, narrow, add, c);
            } else {
                let mut edge = [0.0; 2 * MAX_LANES];
                edge[..columns].copy_from_slice(c);
                let (narrow, add) = (self.narrow, self.add);
                finish_row::<S, T, GELU>(s, sums, scale, &column, narrow, add, &mut edge[..width]);
                c.copy_from_slice(&edge[..columns]);
            }
        }
    }
}

/// What the columns of a panel are scaled by, and what is added to them.
struct Columns<S: Simd> {
    scales: [S::F32; 2],
    bias: [S::F32; 2],
}

/// Both vectors of a row of a panel.
#[inline(always)]
fn finish_row<S: Simd, T: Sum, const GELU: bool>(
    s: S,
    sums: &[T],
    scale: S::F32,
    columns: &Columns<S>,
    narrow: bool,
    add: bool,
    c: &mut [f32],
) {
    let (sums, c) = (&sums[..2 * S::LANES], &mut c[..2 * S::LANES]);
    for half in [0, 1] {
        let at = half * S::LANES;
        let scale = s.mul(scale, columns.scales[half]);
        let mut y = s.fma(T::load(s, &sums[at..]), scale, columns.bias[half]);
        if GELU {
            y = gelu(s, y);
        }
        if narrow {
            y = s.round_bf16(y);
        }
        if add {
            y = s.add(y, s.load(&c[at..]));
        }
        s.store(y, &mut c[at..]);
    }
}
