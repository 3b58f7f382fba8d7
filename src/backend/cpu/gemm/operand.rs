//! Activations in the order in which an engine reads them.

use half::bf16;

use super::super::math::max_magnitude;
use super::super::norm::{Norm, norm_row};
use super::super::pack::{Spec, scale_of};
#[cfg(target_arch = "aarch64")]
use super::super::simd::blocks::{Blocks, Dot, Together};
use super::super::simd::{Engine, Level, MAX_LANES, Simd, panel};
use super::super::tile::Rows;
use super::{MANY, row_stride};

/// Rows of a tile of activations.
#[cfg(target_arch = "x86_64")]
const TILE: usize = 16;
/// What K is padded to: four vectors of integers, two of bf16.
const INTEGERS: usize = 4 * MAX_LANES;
const PAIRS: usize = 2 * MAX_LANES;

/// How the rows of an operand lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) engine: Engine,
    pub(super) k: usize,
    /// Elements in a word, for words.
    group: usize,
    /// Rows that lie together.
    together: usize,
}

impl Form {
    /// For weights packed at this level.
    pub(super) fn of(level: Level, spec: &Spec) -> Self {
        let geometry = level.geometry_of(spec.numeric);
        let engine = level.engine(spec.numeric);
        let together = match engine {
            #[cfg(target_arch = "x86_64")]
            Engine::ByteTiles(_) | Engine::PairTiles(_) => geometry.rows,
            #[cfg(target_arch = "aarch64")]
            Engine::Dot(_) | Engine::ByteBlocks(_) | Engine::Bf16Blocks(_) => geometry.rows,
            _ => 1,
        };
        Self { engine, k: spec.k, group: geometry.group, together }
    }

    /// Whether its elements are integers.
    fn is_integer(self) -> bool {
        match self.engine {
            Engine::Floats | Engine::Widened => false,
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(_) | Engine::PairTiles(_) => false,
            #[cfg(target_arch = "aarch64")]
            Engine::Bf16Blocks(_) => false,
            _ => true,
        }
    }

    /// Bytes of a row; of tiles, on average.
    fn row_bytes(self) -> usize {
        match self.engine {
            Engine::Floats | Engine::Widened => 4 * row_stride(self.k),
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(_) => 4 * row_stride(self.k.next_multiple_of(PAIRS) / 2),
            #[cfg(target_arch = "x86_64")]
            Engine::ByteTiles(_) => self.k.next_multiple_of(INTEGERS),
            #[cfg(target_arch = "x86_64")]
            Engine::PairTiles(_) => 2 * self.k.next_multiple_of(PAIRS),
            #[cfg(target_arch = "aarch64")]
            Engine::Dot(_) | Engine::ByteBlocks(_) => self.k.next_multiple_of(INTEGERS),
            #[cfg(target_arch = "aarch64")]
            Engine::Bf16Blocks(_) => 2 * self.k.next_multiple_of(PAIRS),
            _ => 4 * row_stride(self.k.next_multiple_of(INTEGERS) / self.group),
        }
    }

    /// Bytes of so many rows.
    pub(super) fn bytes(self, rows: usize) -> usize {
        rows.next_multiple_of(self.together) * self.row_bytes()
    }

    /// Words from one row to the next, where rows lie one behind the other.
    pub(super) fn stride(self) -> usize {
        self.row_bytes() / 4
    }

    /// Where the elements of a row from `at` on lie.
    #[inline(always)]
    fn place(self, row: usize, byte: usize) -> usize {
        match self.engine {
            #[cfg(target_arch = "x86_64")]
            Engine::ByteTiles(_) | Engine::PairTiles(_) => {
                use super::super::simd::tiles::STEP;
                row / TILE * TILE * self.row_bytes()
                    + byte / STEP * TILE * STEP
                    + row % TILE * STEP
                    + byte % STEP
            }
            _ => row * self.row_bytes() + byte,
        }
    }

    /// Copies a few whole steps of a row to where they lie, among those of the rows around it.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    fn scatter<const STEP: usize>(self, row: usize, at: usize, steps: &[u8], to: &mut [u8]) {
        let group = self.together * STEP;
        let first = row / self.together * self.bytes(self.together)
            + at / STEP * group
            + row % self.together * STEP;
        for (i, step) in steps.as_chunks::<STEP>().0.iter().enumerate() {
            to[first + i * group..][..STEP].copy_from_slice(step);
        }
    }
}

/// Where the scales of rows come from.
#[derive(Clone, Copy)]
pub(super) enum Scales<'a> {
    /// Each row's largest magnitude.
    OfRows,
    /// It is the same for all.
    Same(f32),
    /// They are given, from the first row on, and the rows are integers.
    Given(&'a [f32]),
}

impl Scales<'_> {
    /// From a row on.
    #[inline(always)]
    pub(super) fn from(self, row: usize) -> Self {
        match self {
            Self::Given(scales) => Scales::Given(&scales[row..]),
            other => other,
        }
    }
}

/// Rows to make an operand of.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) rows: Rows<'a, f32>,
    /// What they go through first.
    pub(super) norm: Option<Norm<'a>>,
    pub(super) scaling: Scales<'a>,
}

/// Makes an operand of some rows, and writes the scales of their integers. `normed` is room for a row.
#[inline(always)]
pub(super) fn prepare<S: Simd>(
    s: S,
    form: Form,
    from: Raw<'_>,
    rows: usize,
    normed: &mut [f32],
    to: &mut [u8],
    scales: &mut [f32],
) {
    for row in 0..rows {
        let mut x = from.rows.row(row, form.k);
        if let Some(norm) = from.norm {
            norm_row(s, x, norm, &mut normed[..form.k]);
            x = &normed[..form.k];
        }
        let (scale, divisor) = match from.scaling {
            Scales::OfRows => (None, 1.0),
            Scales::Same(scale) => (Some(scale), scale),
            Scales::Given(scales) => (Some(scales[row]), 1.0),
        };
        prepare_row(s, form, row, x, scale.map(|scale| (scale, divisor)), to, scales);
    }
}

/// Makes an operand of results that lie panel by panel, whose largest magnitudes are known.
///
/// Panel after panel as well: the elements of a row lie pages apart.
#[inline(always)]
pub(super) fn requantise<S: Simd>(
    s: S,
    form: Form,
    results: &[f32],
    maxima: &[[i32; MAX_LANES]],
    to: &mut [u8],
    scales: &mut [f32],
) {
    let rows = maxima.len();
    let x = |row| Panels { results, row, rows, k: form.k };
    if !form.is_integer() {
        for row in 0..rows {
            prepare_row(s, form, row, x(row), None, to, scales);
        }
        return;
    }
    let mut inverses = [0.0; MANY];
    for ((scale, inverse), maxima) in scales.iter_mut().zip(&mut inverses).zip(maxima) {
        let mut largest = 0;
        for lane in &maxima[..S::LANES] {
            largest = if *lane > largest { *lane } else { largest };
        }
        *scale = scale_of(f32::from_bits(largest as u32));
        *inverse = 1.0 / *scale;
    }
    let mut at = 0;
    while at < form.k.next_multiple_of(INTEGERS) {
        for (row, inverse) in inverses[..rows].iter().enumerate() {
            quantise(s, form, row, x(row), at, s.splat(*inverse), to);
        }
        at += 4 * S::LANES;
    }
}

/// Elements of a row.
trait Row: Copy {
    /// A vector of those from `at` on, a multiple of the vector, and zeros behind the last.
    fn load<S: Simd>(self, s: S, at: usize) -> S::F32;
    /// The largest magnitude.
    fn max_magnitude<S: Simd>(self, s: S) -> f32;
}

impl Row for &[f32] {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, at: usize) -> S::F32 {
        if at + S::LANES <= self.len() {
            s.load(&self[at..])
        } else {
            load_up_to(s, if at < self.len() { &self[at..] } else { &[] })
        }
    }

    #[inline(always)]
    fn max_magnitude<S: Simd>(self, s: S) -> f32 {
        max_magnitude(s, self)
    }
}

/// A row of results that lie panel by panel. Columns behind the last are zero.
#[derive(Clone, Copy)]
struct Panels<'a> {
    results: &'a [f32],
    row: usize,
    /// Of a panel.
    rows: usize,
    k: usize,
}

impl Row for Panels<'_> {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, at: usize) -> S::F32 {
        let width = panel::<S>();
        if at < self.k {
            s.load(&self.results[(at / width * self.rows + self.row) * width + at % width..])
        } else {
            s.splat(0.0)
        }
    }

    #[inline(always)]
    fn max_magnitude<S: Simd>(self, s: S) -> f32 {
        let mut max = s.zero();
        let mut at = 0;
        while at < self.k {
            max = s.max_bits(max, self.load(s, at));
            at += S::LANES;
        }
        let mut largest = 0;
        for lane in s.lanes_i32(max) {
            largest = if lane > largest { lane } else { largest };
        }
        f32::from_bits(largest as u32)
    }
}

/// Makes an operand of a row. Integers are divided by a divisor and then have a scale; if none is
/// given, both are what the largest magnitude asks for.
#[inline(always)]
fn prepare_row<S: Simd>(
    s: S,
    form: Form,
    row: usize,
    x: impl Row,
    scale: Option<(f32, f32)>,
    to: &mut [u8],
    scales: &mut [f32],
) {
    match form.engine {
        Engine::Floats | Engine::Widened => {
            let round = matches!(form.engine, Engine::Widened);
            let to = bytemuck::cast_slice_mut(&mut to[row * form.row_bytes()..]);
            for (i, to) in to[..row_stride(form.k)].chunks_exact_mut(S::LANES).enumerate() {
                let x = x.load(s, i * S::LANES);
                s.store(if round { s.round_bf16(x) } else { x }, to);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Engine::Pairs(_) | Engine::PairTiles(_) => narrow(s, form, row, x, to),
        #[cfg(target_arch = "aarch64")]
        Engine::Bf16Blocks(_) => narrow(s, form, row, x, to),
        _ => {
            let (scale, divisor) = match scale {
                Some(given) => given,
                None => {
                    let scale = scale_of(x.max_magnitude(s));
                    (scale, scale)
                }
            };
            scales[row] = scale;
            let inverse = s.splat(1.0 / divisor);
            let mut at = 0;
            while at < form.k.next_multiple_of(INTEGERS) {
                quantise(s, form, row, x, at, inverse, to);
                at += 4 * S::LANES;
            }
        }
    }
}

/// Rounds a row to bf16.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn narrow<S: Simd>(s: S, form: Form, row: usize, x: impl Row, to: &mut [u8]) {
    let mut at = 0;
    while at < form.k.next_multiple_of(PAIRS) {
        let x = [x.load(s, at), x.load(s, at + S::LANES)];
        match form.engine {
            #[cfg(target_arch = "aarch64")]
            Engine::Bf16Blocks(_) => {
                let mut steps = [bf16::ZERO; 2 * MAX_LANES];
                let steps = &mut steps[..2 * S::LANES];
                s.pack_bf16(x, steps);
                form.scatter::<{ Blocks::<bf16>::STEP }>(
                    row,
                    2 * at,
                    bytemuck::cast_slice(steps),
                    to,
                );
            }
            _ => {
                let to = &mut to[form.place(row, 2 * at)..][..4 * S::LANES];
                s.pack_bf16(x, bytemuck::cast_slice_mut::<u8, bf16>(to));
            }
        }
        at += 2 * S::LANES;
    }
}

/// Multiplies the four vectors of a row from `at` on with the inverse of its scale and rounds them to
/// −127..=127. NaN becomes −127; its row's scale is NaN.
#[inline(always)]
fn quantise<S: Simd>(
    s: S,
    form: Form,
    row: usize,
    x: impl Row,
    at: usize,
    inverse: S::F32,
    to: &mut [u8],
) {
    let low = s.splat(-127.0);
    let mut integers = [s.zero(); 4];
    for (i, integers) in integers.iter_mut().enumerate() {
        let x = x.load(s, at + i * S::LANES);
        // The largest is 127, within rounding: it needs no limit.
        *integers = s.to_i32(s.max(s.mul(x, inverse), low));
    }
    match form.engine {
        Engine::Words => {
            let to = &mut to[form.place(row, 4 * at / S::GROUP)..][..16 * S::LANES / S::GROUP];
            s.pack_words(integers, bytemuck::cast_slice_mut(to));
        }
        #[cfg(target_arch = "x86_64")]
        Engine::Vnni256(_) => s.pack_bytes(integers, 128, &mut to[form.place(row, at)..]),
        #[cfg(target_arch = "aarch64")]
        Engine::Dot(_) | Engine::ByteBlocks(_) => {
            let mut steps = [0; 4 * MAX_LANES];
            let steps = &mut steps[..4 * S::LANES];
            s.pack_bytes(integers, 0, steps);
            match form.engine {
                Engine::Dot(_) => form.scatter::<{ Dot::STEP }>(row, at, steps, to),
                _ => form.scatter::<{ Blocks::<i8>::STEP }>(row, at, steps, to),
            }
        }
        _ => s.pack_bytes(integers, 0, &mut to[form.place(row, at)..]),
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
