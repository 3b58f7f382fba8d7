//! What becomes of sums: scaled, biased, through GELU, rounded, stored or added.

use bytemuck::Pod;

#[cfg(target_arch = "x86_64")]
use super::super::attention::tiles::{GROUP, InTiles};
use super::super::math::gelu;
use super::super::pack::View;
#[cfg(target_arch = "x86_64")]
use super::super::simd::tiles::TILE_COLUMNS;
use super::super::simd::{MAX_LANES, Simd, panel};

/// Which GELU.
const NONE: u8 = 0;
const EXACT: u8 = 1;
/// Of integers, whose results have other errors by far.
const FAST: u8 = 2;

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
    pub(super) c: &'a mut [f32],
    pub(super) lie: Lie,
    /// A vector for each row, of its largest magnitudes so far, if they are of interest.
    pub(super) maxima: Option<&'a mut [[i32; MAX_LANES]]>,
    /// By an engine that multiplies in tiles.
    #[cfg(target_arch = "x86_64")]
    pub(super) heads: Option<Heads<'a>>,
}

/// Where a tile of results is packed as queries, keys or values when it is finished.
#[cfg(target_arch = "x86_64")]
pub(super) struct Heads<'a> {
    pub(super) tiles: &'a InTiles,
    /// From the task's first row on.
    pub(super) bytes: &'a mut [u8],
    /// The block's first row in the task.
    pub(super) first: usize,
}

/// How results lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lie {
    /// From a row to the next.
    stride: usize,
    /// From a panel to the next.
    panel: usize,
    /// Whether there is room for whole panels.
    whole: bool,
}

impl Lie {
    /// Row by row, of so many columns.
    pub(super) fn rows<S: Simd>(columns: usize) -> Self {
        Self { stride: columns, panel: panel::<S>(), whole: false }
    }

    /// Panel by panel, of so many rows each: what is written together lies together.
    pub(super) fn panels<S: Simd>(rows: usize) -> Self {
        Self { stride: panel::<S>(), panel: rows * panel::<S>(), whole: true }
    }

    /// Each panel in the place of the one before.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn panel<S: Simd>() -> Self {
        Self { stride: panel::<S>(), panel: 0, whole: true }
    }
}

impl Epilogue<'_> {
    /// Rows of a panel from `row` on, a tile, are finished.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn finished(&mut self, row: usize, rows: usize, panel: usize) {
        if let Some(Heads { tiles, bytes, first }) = &mut self.heads {
            let results = &mut self.c[row * TILE_COLUMNS..][..GROUP * TILE_COLUMNS];
            tiles.pack(results, *first + row, rows, panel, bytes);
        }
    }

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
        match (self.gelu, self.scales) {
            (false, _) => self.rows::<S, T, NONE>(s, sums, row, rows, panel),
            (true, None) => self.rows::<S, T, EXACT>(s, sums, row, rows, panel),
            (true, Some(_)) => self.rows::<S, T, FAST>(s, sums, row, rows, panel),
        }
    }

    #[inline(always)]
    fn rows<S: Simd, T: Sum, const GELU: u8>(
        &mut self,
        s: S,
        sums: &[T],
        row: usize,
        rows: usize,
        panel: usize,
    ) {
        let width = super::panel::<S>();
        let first = panel * width;
        let Lie { stride, panel: next, whole } = self.lie;
        let columns = if whole { width } else { width.min(stride - first) };
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
        let c = &mut self.c[row * stride + panel * next..];
        let (narrow, add) = (self.narrow, self.add);
        let mut maxima = self.maxima.as_deref_mut().map(|maxima| &mut maxima[row..][..rows]);
        let scales = self.scales.map(|scales| &scales[row..][..rows]);
        let scale = |i: usize| scales.map_or(1.0, |scales| scales[i]);
        let mut i = 0;
        while i + 4 <= rows && columns == width {
            let scales = [scale(i), scale(i + 1), scale(i + 2), scale(i + 3)];
            let sums = &sums[i * width..][..4 * width];
            let (one, rest) = c[i * stride..].split_at_mut(stride);
            let (two, rest) = rest.split_at_mut(stride);
            let (three, four) = rest.split_at_mut(stride);
            let mut c = [one, two, three, four];
            finish_rows::<S, T, GELU, 4>(s, sums, scales, &column, narrow, add, &mut c);
            if let Some(maxima) = &mut maxima {
                track(s, &c, &mut maxima[i..]);
            }
            i += 4;
        }
        while i < rows {
            let scales = [scale(i)];
            let sums = &sums[i * width..][..width];
            let c = &mut c[i * stride..][..columns];
            let mut edge = [0.0; 2 * MAX_LANES];
            edge[..columns].copy_from_slice(c);
            let mut rows = [&mut edge[..width]];
            finish_rows::<S, T, GELU, 1>(s, sums, scales, &column, narrow, add, &mut rows);
            if let Some(maxima) = &mut maxima {
                track(s, &rows, &mut maxima[i..]);
            }
            c.copy_from_slice(&edge[..columns]);
            i += 1;
        }
    }
}

/// What the columns of a panel are scaled by, and what is added to them.
struct Columns<S: Simd> {
    scales: [S::F32; 2],
    bias: [S::F32; 2],
}

/// Both vectors of some rows of a panel.
#[inline(always)]
fn finish_rows<S: Simd, T: Sum, const GELU: u8, const R: usize>(
    s: S,
    sums: &[T],
    scales: [f32; R],
    columns: &Columns<S>,
    narrow: bool,
    add: bool,
    c: &mut [&mut [f32]; R],
) {
    for half in [0, 1] {
        let at = half * S::LANES;
        let mut y = [s.splat(0.0); R];
        for i in 0..R {
            let scale = s.mul(s.splat(scales[i]), columns.scales[half]);
            let sums = &sums[2 * S::LANES * i + at..];
            y[i] = s.fma(T::load(s, sums), scale, columns.bias[half]);
        }
        match GELU {
            NONE => {}
            EXACT => y = gelu(s, y),
            _ => y = s.fast_gelu(y),
        }
        if narrow {
            for y in &mut y {
                *y = s.round_bf16(*y);
            }
        }
        for i in 0..R {
            let c = &mut c[i][at..];
            let y = if add { s.add(y[i], s.load(c)) } else { y[i] };
            s.store(y, c);
        }
    }
}

/// Enters rows of a panel into their maxima.
#[inline(always)]
fn track<S: Simd, const R: usize>(s: S, c: &[&mut [f32]; R], maxima: &mut [[i32; MAX_LANES]]) {
    for (c, maxima) in c.iter().zip(maxima) {
        let max = s.max_bits(s.load_i32(maxima), s.load(c));
        *maxima = s.lanes_i32(s.max_bits(max, s.load(&c[S::LANES..])));
    }
}
