//! Attention in tiles of bf16, with the softmax online.
//!
//! Rows are taken in groups of 32. Of each group and head, the queries, the keys and the values are
//! packed the way the tiles read them. Scores are multiplied with keys as rows and queries as columns,
//! so that the softmax runs down the columns, lane by lane, and its weights are the panel that the
//! transposed values are multiplied with. A block of scores and of weights fits the first-level cache,
//! and no more of them exists at a time.
//!
//! Weights are powers of two relative to a reference, an integer near the largest score of a query.
//! Floats keep their precision at any size, so it is enough to move the reference when a score exceeds
//! it by more than [`HEADROOM`], and sums with it: with most inputs, never after the first block.

use std::ops::Range;

use rayon::prelude::*;

use super::super::Numeric;
use super::super::simd::tiles::{
    Bf16Pairs, COARSE_FRACTION, Columns, FRACTION, Pair, STEP, Session, Start, TILE, TILE_COLUMNS,
    TILE_ROWS, TileSums, Tiles,
};
use super::super::simd::{Engine, Level, Simd, Work};
use super::super::workspace::Workspace;
use super::Attention;

/// Rows that are packed together.
pub(in super::super) const GROUP: usize = TILE_ROWS;
/// Bytes of a group's part of 32 channels, as queries, keys or values.
const BLOCK: usize = 2 * TILE;
/// Groups of keys whose scores are computed before their softmax.
const AHEAD: usize = 2;
/// The largest head, in blocks of 32 channels.
const MAX_BLOCKS: usize = 4;
/// How far a score may exceed the reference, in powers of two. Sums of powers, times values of any
/// size that makes sense, are far from overflow.
const HEADROOM: f32 = 48.0;
/// The most bytes of results of a task: as many as leave room for a head's keys and values in the
/// second-level cache.
const MAX_RESULTS: usize = 800 << 10;

/// An attention in tiles.
#[derive(Clone, Copy)]
pub(in super::super) struct InTiles {
    tiles: Tiles,
    heads: usize,
    d_model: usize,
    valid: usize,
    /// Of 32 channels of a head.
    blocks: usize,
    /// Whether weights are within an ulp: what else is of integers loses far more.
    coarse: bool,
}

impl InTiles {
    /// If the machine has tiles, bf16 is exact enough, and heads are whole blocks.
    pub(in super::super) fn new(level: Level, shape: &Attention) -> Option<Self> {
        let Engine::PairTiles(tiles) = level.engine(Numeric::Bf16) else { return None };
        let &Attention { heads, d_model, valid, numeric, .. } = shape;
        let size = shape.head_size();
        let blocks = size / TILE_COLUMNS;
        let fits = size.is_multiple_of(TILE_COLUMNS) && (1..=MAX_BLOCKS).contains(&blocks);
        let suits = fits && numeric != Numeric::F32;
        let coarse = matches!(numeric, Numeric::I8 { .. });
        suits.then_some(Self { tiles, heads, d_model, valid, blocks, coarse })
    }

    /// Blocks of a row of queries, keys and values.
    fn panels(&self) -> usize {
        3 * self.d_model / TILE_COLUMNS
    }

    /// Bytes of so many packed rows.
    pub(in super::super) fn bytes(&self, rows: usize) -> usize {
        rows.div_ceil(GROUP) * self.group_bytes()
    }

    /// Bytes of a packed group. They are an odd number of blocks, so that a head's keys and values,
    /// one block of each group, do not share a few sets of the second-level cache.
    fn group_bytes(&self) -> usize {
        (self.panels() | 1) * BLOCK
    }

    /// Rows of a task: whole groups, two tasks for each thread if there are enough.
    pub(in super::super) fn task_rows(&self) -> usize {
        let share = self.valid.div_ceil(2 * rayon::current_num_threads());
        let most = MAX_RESULTS / (4 * self.d_model) / GROUP * GROUP;
        share.next_multiple_of(GROUP).min(most.max(GROUP))
    }

    /// Packs 32 rows of 32 columns of queries, keys or values, of which so many rows are valid; the
    /// others become zero. `row` is the first one's and a multiple of 32, `bytes` starts at row 0.
    #[inline(always)]
    pub(in super::super) fn pack(
        &self,
        results: &mut [f32],
        row: usize,
        rows: usize,
        panel: usize,
        bytes: &mut [u8],
    ) {
        results[rows * TILE_COLUMNS..].fill(0.0);
        let into = &mut bytes[row / GROUP * self.group_bytes() + panel * BLOCK..][..BLOCK];
        match panel / (self.panels() / 3) {
            0 => {
                // Scores are in units of log₂.
                let size = (self.blocks * TILE_COLUMNS) as f32;
                self.tiles.pack_columns(results, std::f32::consts::LOG2_E / size.sqrt(), into);
            }
            1 => self.tiles.pack_rows(results, into),
            _ => self.tiles.pack_transposed(results, into),
        }
    }

    /// Runs a window of rows of f32 on the current pool.
    pub(super) fn run(
        &self,
        level: Level,
        qkv: &[f32],
        out: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let packed = workspace.packed.get::<u8>(self.bytes(self.valid));
        packed.par_chunks_mut(self.group_bytes()).enumerate().for_each(|(i, into)| {
            let first = i * GROUP;
            let rows = GROUP.min(self.valid - first);
            level.run(Pack { shape: self, qkv: &qkv[first * 3 * self.d_model..], rows, into });
        });
        let (packed, task) = (&*packed, self.task_rows());
        out.par_chunks_mut(task * self.d_model).enumerate().for_each(|(i, out)| {
            level.run(Attend { shape: self, packed, first: i * task, out });
        });
    }
}

/// Rows of f32 to pack.
struct Pack<'a> {
    shape: &'a InTiles,
    qkv: &'a [f32],
    rows: usize,
    into: &'a mut [u8],
}

impl Work for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let mut block = TileSums::ZERO;
        for panel in 0..self.shape.panels() {
            let width = 3 * self.shape.d_model;
            let rows = self.qkv.chunks_exact(width).take(self.rows);
            for (row, to) in rows.zip(block.get_mut::<f32>().chunks_exact_mut(TILE_COLUMNS)) {
                to.copy_from_slice(&row[panel * TILE_COLUMNS..][..TILE_COLUMNS]);
            }
            self.shape.pack(block.get_mut(), 0, self.rows, panel, self.into);
        }
    }
}

/// Attention of some rows to all.
pub(in super::super) struct Attend<'a> {
    pub(in super::super) shape: &'a InTiles,
    pub(in super::super) packed: &'a [u8],
    /// The first row, a multiple of 32.
    pub(in super::super) first: usize,
    /// The results, row by row.
    pub(in super::super) out: &'a mut [f32],
}

impl Work for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { shape, packed, first, out } = self;
        let mut session = shape.tiles.start();
        let mut scratch = Scratch::ZERO;
        let part = |part: usize, head: usize, group: usize| {
            let panel = (part * shape.heads + head) * shape.blocks;
            &packed[group * shape.group_bytes() + panel * BLOCK..]
        };
        let groups = out.len().div_ceil(GROUP * shape.d_model);
        for head in 0..shape.heads {
            for (i, out) in out.chunks_mut(GROUP * shape.d_model).enumerate() {
                let all = shape.valid.div_ceil(GROUP);
                let last = head + 1 == shape.heads;
                let parts = Parts {
                    queries: &part(0, head, first / GROUP + i)[..shape.blocks * BLOCK],
                    keys: part(1, head, 0),
                    values: part(2, head, 0),
                    next: if last {
                        [&[]; 2]
                    } else {
                        [1, 2].map(|which| part(which, head + 1, 0))
                    },
                    fetch: if last { 0..0 } else { all * i / groups..all * (i + 1) / groups },
                    stride: shape.group_bytes(),
                    blocks: shape.blocks,
                    valid: shape.valid,
                    coarse: shape.coarse,
                };
                attend(shape.tiles, &mut session, &parts, &mut scratch);
                let rows = out.len() / shape.d_model;
                for (block, sums) in scratch.sums[..shape.blocks].iter().enumerate() {
                    let column = (head * shape.blocks + block) * TILE_COLUMNS;
                    shape.tiles.transpose(sums.get(), &mut out[column..], shape.d_model, rows);
                }
            }
        }
    }
}

/// What a group of queries needs of a head.
struct Parts<'a> {
    queries: &'a [u8],
    /// From the first group on.
    keys: &'a [u8],
    values: &'a [u8],
    /// Keys and values of the next head, and the groups of them to bring into the cache meanwhile.
    next: [&'a [u8]; 2],
    fetch: Range<usize>,
    /// From a group to the next.
    stride: usize,
    blocks: usize,
    /// Keys that count.
    valid: usize,
    coarse: bool,
}

/// What lies in the first-level cache.
struct Scratch {
    /// Keys × queries.
    scores: [TileSums; AHEAD],
    /// Pairs of keys × queries.
    weights: [TileSums; AHEAD / 2],
    /// Channels × queries.
    sums: [TileSums; MAX_BLOCKS],
}

impl Scratch {
    const ZERO: Self = Self {
        scores: [TileSums::ZERO; AHEAD],
        weights: [TileSums::ZERO; AHEAD / 2],
        sums: [TileSums::ZERO; MAX_BLOCKS],
    };
}

/// Leaves the results of 32 queries, channels × queries, in `scratch.sums`.
#[inline(always)]
fn attend(tiles: Tiles, session: &mut Session, parts: &Parts<'_>, scratch: &mut Scratch) {
    let Scratch { scores, weights, sums } = scratch;
    let sums = &mut sums[..parts.blocks];
    let groups = parts.valid.div_ceil(GROUP);
    let mut reference = Columns([0.0; TILE_COLUMNS]);
    let mut total = Columns([0.0; TILE_COLUMNS]);
    let mut first = 0;
    while first < groups {
        let count = AHEAD.min(groups - first);
        let fetch = |part: usize| parts.fetch.start + parts.fetch.len() * part / groups;
        for group in fetch(first)..fetch(first + count) {
            for next in parts.next {
                tiles.fetch(&next[group * parts.stride..][..parts.blocks * BLOCK]);
            }
        }
        for (i, scores) in scores[..count].iter_mut().enumerate() {
            let keys = &parts.keys[(first + i) * parts.stride..][..parts.blocks * BLOCK];
            let keys = Pair { bytes: keys, step: 2 * TILE, second: TILE };
            let start = Start::Zero;
            session.multiply::<Bf16Pairs>(keys, parts.queries, start, scores);
        }
        let scores: &mut [f32] = TileSums::all_mut(&mut scores[..count]);
        // Keys that are none have no weight to speak of: the least power, times zero.
        let valid = (parts.valid - first * GROUP) * TILE_COLUMNS;
        if valid < scores.len() {
            scores[valid..].fill(f32::MIN);
        }
        if first == 0 {
            reference = Columns(tiles.largest(scores).0.map(f32::ceil));
        }
        let weights = TileSums::all_mut(&mut weights[..count.div_ceil(2)]);
        total = loop {
            let sum = if parts.coarse {
                tiles.powers(COARSE_FRACTION, scores, [&reference, &total], HEADROOM, weights)
            } else {
                tiles.powers(FRACTION, scores, [&reference, &total], HEADROOM, weights)
            };
            if let Some(total) = sum {
                break total;
            }
            let factors = raise(&mut reference, &tiles.largest(scores));
            for sums in &mut *sums {
                tiles.scale(sums.get_mut(), &factors);
            }
            for (total, factor) in total.0.iter_mut().zip(factors.0) {
                *total *= factor;
            }
        };
        let weights: &[u8] = bytemuck::cast_slice(&weights[..count * GROUP / 2 * TILE_COLUMNS]);
        let start = if first == 0 { Start::Zero } else { Start::Sums };
        for (block, sums) in sums.iter_mut().enumerate() {
            let values = &parts.values[first * parts.stride + block * BLOCK..];
            let values = Pair { bytes: values, step: parts.stride, second: 16 * STEP };
            session.multiply::<Bf16Pairs>(values, weights, start, sums);
        }
        first += count;
    }
    let inverse = Columns(total.0.map(|total| 1.0 / total));
    for sums in sums {
        tiles.scale(sums.get_mut(), &inverse);
    }
}

/// Moves references to the next integers above the scores that exceed them; returns what sums are
/// multiplied with.
#[cold]
fn raise(reference: &mut Columns, largest: &Columns) -> Columns {
    let mut factors = Columns([1.0; TILE_COLUMNS]);
    for ((factor, reference), largest) in factors.0.iter_mut().zip(&mut reference.0).zip(largest.0)
    {
        let next = reference.max(largest.ceil());
        *factor = (*reference - next).exp2();
        *reference = next;
    }
    factors
}
