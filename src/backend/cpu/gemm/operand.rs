//! Activations in the order in which an engine reads them.

use half::bf16;

use super::super::math::max_magnitude;
use super::super::norm::{Norm, norm_row};
use super::super::pack::{Spec, scale_of};
#[cfg(target_arch = "aarch64")]
use super::super::simd::blocks::{Blocks, Dot, Together};
use super::super::simd::{Engine, Level, MAX_LANES, Simd};
use super::super::tile::Rows;
use super::row_stride;

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
        match form.engine {
            Engine::Floats => {
                let to = &mut to[row * form.row_bytes()..][..4 * form.k];
                to.copy_from_slice(bytemuck::cast_slice(x));
            }
            Engine::Widened => {
                let to = bytemuck::cast_slice_mut(&mut to[row * form.row_bytes()..]);
                for (x, to) in x.chunks(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
                    let x = load_up_to(s, x);
                    s.store(s.round_bf16(x), to);
                }
            }
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(_) | Engine::PairTiles(_) => narrow(s, form, row, x, to),
            #[cfg(target_arch = "aarch64")]
            Engine::Bf16Blocks(_) => narrow(s, form, row, x, to),
            _ => {
                let (scale, divisor) = match from.scaling {
                    Scales::OfRows => {
                        let scale = scale_of(max_magnitude(s, x));
                        (scale, scale)
                    }
                    Scales::Same(scale) => (scale, scale),
                    Scales::Given(scales) => (scales[row], 1.0),
                };
                scales[row] = scale;
                // Within these bounds nothing of `Simd::divide` is lost below or above what f32 holds.
                if (1e-30..1e30).contains(&divisor) {
                    quantise::<S, true>(s, form, row, x, divisor, to);
                } else {
                    quantise::<S, false>(s, form, row, x, divisor, to);
                }
            }
        }
    }
}

/// Rounds a row to bf16.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn narrow<S: Simd>(s: S, form: Form, row: usize, x: &[f32], to: &mut [u8]) {
    let mut at = 0;
    while at < form.k.next_multiple_of(PAIRS) {
        let x = [load_at(s, x, at), load_at(s, x, at + S::LANES)];
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

/// Divides a row by a scale and rounds it to −127..=127.
#[inline(always)]
fn quantise<S: Simd, const FAST: bool>(
    s: S,
    form: Form,
    row: usize,
    x: &[f32],
    scale: f32,
    to: &mut [u8],
) {
    let inverse = s.splat(1.0 / scale);
    let (low, high, scale) = (s.splat(-127.0), s.splat(127.0), s.splat(scale));
    let mut at = 0;
    while at < form.k.next_multiple_of(INTEGERS) {
        let mut integers = [s.zero(); 4];
        for (i, integers) in integers.iter_mut().enumerate() {
            let x = load_at(s, x, at + i * S::LANES);
            // A quotient, not a product with the inverse: bit for bit what the NPU's host code does.
            let x = if FAST { s.divide(x, scale, inverse) } else { s.div(x, scale) };
            *integers = s.to_i32(s.min(s.max(x, low), high));
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
        at += 4 * S::LANES;
    }
}

/// A vector of the elements from `at` on, and zeros behind the last.
#[inline(always)]
fn load_at<S: Simd>(s: S, x: &[f32], at: usize) -> S::F32 {
    if at + S::LANES <= x.len() {
        s.load(&x[at..])
    } else {
        load_up_to(s, if at < x.len() { &x[at..] } else { &[] })
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
