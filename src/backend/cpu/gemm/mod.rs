//! C = epilogue(A × B): blocks of rows in parallel, each against every panel of weights.
//!
//! A task takes some rows, a block at a time that fits the second-level cache: it prepares the block
//! (normalises, quantises, packs), multiplies it, and finishes the sums. The result goes to C, or
//! becomes the operand of the next matmul while it is in the cache: see [`FeedForward`].

#[cfg(target_arch = "aarch64")]
mod blocks;
mod epilogue;
mod feed_forward;
mod multiply;
mod operand;
mod self_attention;

use rayon::prelude::*;
use tilewright_kernel::Epilogue as Finish;

#[cfg(target_arch = "x86_64")]
use super::attention::tiles::InTiles;
use super::math::max_magnitude;
use super::norm::{Norm, norm_row};
use super::pack::{PackedWeights, scale_of};
#[cfg(target_arch = "x86_64")]
use super::simd::tiles::TILE_COLUMNS;
use super::simd::{Engine, Level, MAX_LANES, Simd, Work, panel};
use super::tile::Rows;
use super::workspace::Workspace;
use super::{Numeric, Output, Scaling};
#[cfg(target_arch = "x86_64")]
use epilogue::Heads;
use epilogue::{Epilogue, Lie};
pub(super) use feed_forward::FeedForward;
use multiply::{Operand, multiply};
use operand::{Form, Raw, Scales, prepare, requantise};
pub(super) use self_attention::SelfAttention;

/// The most rows of a task of attention or LayerNorm: as many as leave room in the second-level cache.
const MAX_BLOCK: usize = 96;
/// Rows of a block, about.
const FEW: usize = 64;
/// The most there are.
const MANY: usize = 192;
/// Bytes of weights that fit a second-level cache of 2 MiB beside a block.
const CACHED: usize = 5 << 18;

/// How many rows, about, are taken at a time, and the most bytes of their results that are to become
/// an operand.
///
/// All weights pass by each block, from the third-level cache if they do not fit the second beside it.
/// Tiles are faster than that, so they take many rows then: every processor that has them has a
/// second-level cache of 2 MiB. Others may have 512 KiB.
fn limits(engine: Engine, weights: &PackedWeights) -> (usize, usize) {
    let in_tiles = match engine {
        #[cfg(target_arch = "x86_64")]
        Engine::ByteTiles(_) | Engine::PairTiles(_) => true,
        _ => false,
    };
    if in_tiles && weights.as_bytes().len() > CACHED { (MANY, 2 << 20) } else { (FEW, 256 << 10) }
}

/// A matmul whose operands have been checked.
pub(super) struct Matmul<'a> {
    pub(super) level: Level,
    pub(super) weights: &'a PackedWeights,
    pub(super) a: Rows<'a, f32>,
    pub(super) rows: usize,
    /// What the rows of A go through first.
    pub(super) norm: Option<Norm<'a>>,
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
        let numeric = spec.numeric;
        let scaling = match (self.scales, numeric) {
            (Some(scales), _) => Scales::Given(scales),
            (None, Numeric::I8 { activations: Scaling::PerTensor }) => {
                Scales::Same(scale_of(self.max_magnitude()))
            }
            (None, _) => Scales::OfRows,
        };
        let Self { level, weights, a, rows, norm, narrow, .. } = *self;
        let plan = Plan::new(level, weights, narrow, rows);
        let raw = Raw { rows: a, norm, scaling };
        let add = self.output == Output::Add;
        let (task, scratch) = (plan.task, plan.scratch(workspace));
        c[..rows * spec.n].par_chunks_mut(task * spec.n).zip(scratch).enumerate().for_each(
            |(i, (c, scratch))| {
                let rows = c.len() / spec.n;
                plan.run(Source::Raw(raw), i * task, rows, Sink::Rows { c, add }, scratch);
            },
        );
    }

    fn max_magnitude(&self) -> f32 {
        struct Max<'a, 'b> {
            matmul: &'a Matmul<'b>,
            rows: std::ops::Range<usize>,
        }
        impl Work for Max<'_, '_> {
            type Output = u32;
            #[inline(always)]
            fn run<S: Simd>(self, s: S) -> u32 {
                let k = self.matmul.weights.spec().k;
                let mut max = 0;
                let mut normed = vec![0.0; if self.matmul.norm.is_some() { k } else { 0 }];
                for row in self.rows {
                    let mut x = self.matmul.a.row(row, k);
                    if let Some(norm) = self.matmul.norm {
                        norm_row(s, x, norm, &mut normed);
                        x = &normed;
                    }
                    let row = max_magnitude(s, x).to_bits();
                    max = if row > max { row } else { max };
                }
                max
            }
        }
        let tasks = self.rows.div_ceil(MAX_BLOCK);
        let max = (0..tasks)
            .into_par_iter()
            .map(|i| {
                let rows = i * MAX_BLOCK..((i + 1) * MAX_BLOCK).min(self.rows);
                self.level.run(Max { matmul: self, rows })
            })
            .max();
        f32::from_bits(max.unwrap_or(0))
    }
}

/// A matmul, and how its rows are divided; results do not depend on it.
#[derive(Clone, Copy)]
struct Plan<'a> {
    level: Level,
    weights: &'a PackedWeights,
    narrow: bool,
    /// What its rows are prepared as.
    form: Form,
    /// Rows of a task.
    task: usize,
    tasks: usize,
    /// Rows of a block.
    block: usize,
    /// Floats of a block's results, if they do not go to rows.
    sums: usize,
}

impl<'a> Plan<'a> {
    /// For so many rows.
    fn new(level: Level, weights: &'a PackedWeights, narrow: bool, rows: usize) -> Self {
        let spec = weights.spec();
        let tile = level.geometry_of(spec.numeric).rows;
        let task = rows.div_ceil(2 * rayon::current_num_threads()).next_multiple_of(tile);
        let form = Form::of(level, spec);
        let (fits, _) = limits(form.engine, weights);
        let block = whole_tiles(fits, tile).min(task);
        Self { level, weights, narrow, form, task, tasks: rows.div_ceil(task), block, sums: 0 }
    }

    /// Whose results become an operand.
    fn for_operand(self) -> Self {
        let Self { level, weights, .. } = self;
        let tile = level.geometry_of(weights.spec().numeric).rows;
        let width = weights.spec().n.next_multiple_of(weights.geometry().panel);
        let (_, most) = limits(self.form.engine, weights);
        let block = whole_tiles(most / (4 * width.max(1)), tile).min(self.block);
        Self { block, sums: block * width, ..self }
    }

    /// Whose results become heads: a panel at a time, in the place of the one before.
    #[cfg(target_arch = "x86_64")]
    fn for_heads(self) -> Self {
        Self { sums: self.block * TILE_COLUMNS, ..self }
    }

    /// With tasks of so many rows, whole tiles.
    #[cfg(target_arch = "x86_64")]
    fn in_tasks_of(self, task: usize, rows: usize) -> Self {
        Self { task, tasks: rows.div_ceil(task), block: self.block.min(task), ..self }
    }

    /// Runs a task: rows of the source from the first on.
    fn run(
        &self,
        source: Source<'_>,
        first: usize,
        rows: usize,
        sink: Sink<'_>,
        scratch: Scratch<'_>,
    ) {
        self.level.run(Task { plan: self, source, first, rows, sink, scratch });
    }

    /// Scratch memory for each task.
    fn scratch<'b>(
        &self,
        workspace: &'b mut Workspace,
    ) -> impl IndexedParallelIterator<Item = Scratch<'b>> + use<'b> {
        // Even where nothing is needed, each task has its part.
        let bytes = self.form.bytes(self.block).max(64);
        let (k, sums) = (self.weights.spec().k.max(1), self.sums.max(1));
        let lanes = MAX_LANES * self.block;
        let operands = workspace.activations.get::<u8>(self.tasks * bytes).par_chunks_mut(bytes);
        let scales = workspace.scales.get::<f32>(self.tasks * self.block);
        let normed = workspace.normed.get::<f32>(self.tasks * k).par_chunks_mut(k);
        let sums = workspace.sums.get::<f32>(self.tasks * sums).par_chunks_mut(sums);
        let maxima = workspace.maxima.get::<i32>(self.tasks * lanes).par_chunks_mut(lanes);
        let rows = operands.zip(scales.par_chunks_mut(self.block)).zip(normed);
        rows.zip(sums.zip(maxima)).map(|(((operand, scales), normed), (sums, maxima))| {
            let (maxima, _) = maxima.as_chunks_mut();
            Scratch { operand, scales, normed, sums, maxima }
        })
    }
}

/// Rows of as many tiles as fit, of one at least.
fn whole_tiles(fits: usize, tile: usize) -> usize {
    (fits / tile).max(1) * tile
}

/// Rows of a task of attention or LayerNorm: four tasks for each thread, of whole tiles, if the rows
/// suffice. Results do not depend on it.
pub(super) fn block_rows(rows: usize, tile: usize) -> usize {
    let share = rows.div_ceil(4 * rayon::current_num_threads());
    share.next_multiple_of(tile).min(MAX_BLOCK.next_multiple_of(tile))
}

/// Elements of four bytes from one row to the next: whole cache lines, an odd number of them, so
/// that the rows of a tile do not share the same few sets of the cache.
pub(super) fn row_stride(length: usize) -> usize {
    (length.div_ceil(16) | 1) * 16
}

/// Scratch memory of a task.
struct Scratch<'a> {
    /// A block of rows, prepared.
    operand: &'a mut [u8],
    scales: &'a mut [f32],
    /// A row after its norm.
    normed: &'a mut [f32],
    /// Results of a block that become an operand; or of a panel, that become heads.
    sums: &'a mut [f32],
    /// For each row of a block, a vector of its largest magnitudes, if it becomes an operand.
    maxima: &'a mut [[i32; MAX_LANES]],
}

/// What is multiplied.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// Rows to be prepared.
    Raw(Raw<'a>),
    /// Rows that are prepared, with their scales.
    Ready(&'a [u8], &'a [f32]),
}

/// Where results go.
enum Sink<'a> {
    /// To rows, stored or added.
    Rows { c: &'a mut [f32], add: bool },
    /// To the operand of another matmul.
    Operand { form: Form, bytes: &'a mut [u8], scales: &'a mut [f32] },
    /// To queries, keys and values, packed from the task's first row on.
    #[cfg(target_arch = "x86_64")]
    Heads { tiles: &'a InTiles, bytes: &'a mut [u8] },
}

/// Some rows of a matmul.
struct Task<'a> {
    plan: &'a Plan<'a>,
    source: Source<'a>,
    /// Its first row of the source.
    first: usize,
    rows: usize,
    sink: Sink<'a>,
    scratch: Scratch<'a>,
}

impl Work for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut row = 0;
        while row < self.rows {
            let rows = self.plan.block.min(self.rows - row);
            self.block(s, row, rows);
            row += rows;
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn block<S: Simd>(&mut self, s: S, row: usize, rows: usize) {
        let Self { plan, source, first, ref mut sink, ref mut scratch, .. } = *self;
        let Plan { form, weights, narrow, .. } = *plan;
        let first = first + row;
        let (operand, scales) = match source {
            Source::Ready(bytes, scales) => {
                let bytes = &bytes[form.bytes(first)..][..form.bytes(rows)];
                (Operand::Prepared(bytes), &scales[first..])
            }
            Source::Raw(Raw { rows: a, norm: None, .. })
                if matches!(form.engine, Engine::Floats) =>
            {
                (Operand::Floats(a.from(first)), &*scratch.scales)
            }
            Source::Raw(raw) => {
                let raw =
                    Raw { rows: raw.rows.from(first), scaling: raw.scaling.from(first), ..raw };
                let (to, scales) = (&mut *scratch.operand, &mut *scratch.scales);
                prepare(s, form, raw, rows, scratch.normed, to, scales);
                (Operand::Prepared(&*to), &*scales)
            }
        };
        let spec = weights.spec();
        let scales = matches!(spec.numeric, Numeric::I8 { .. }).then_some(scales);
        let (gelu, n) = (spec.epilogue == Finish::BiasGelu, spec.n);
        let weights = weights.view();
        let rows_maxima = &mut scratch.maxima[..rows];
        let mut maxima = None;
        #[cfg(target_arch = "x86_64")]
        let mut heads = None;
        let (c, lie, add) = match sink {
            Sink::Rows { c, add } => (&mut c[row * n..], Lie::rows::<S>(n), *add),
            Sink::Operand { .. } => {
                rows_maxima.fill([0; MAX_LANES]);
                maxima = Some(&mut *rows_maxima);
                (&mut *scratch.sums, Lie::panels::<S>(rows), false)
            }
            #[cfg(target_arch = "x86_64")]
            Sink::Heads { tiles, bytes } => {
                heads = Some(Heads { tiles, bytes, first: row });
                (&mut *scratch.sums, Lie::panel::<S>(), false)
            }
        };
        let mut epilogue = Epilogue {
            weights,
            scales,
            gelu,
            narrow,
            add,
            n,
            c,
            lie,
            maxima,
            #[cfg(target_arch = "x86_64")]
            heads,
        };
        multiply(s, form, operand, rows, &mut epilogue);
        if let Sink::Operand { form: next, bytes, scales } = sink {
            let (to, scales) = (&mut bytes[next.bytes(row)..], &mut scales[row..]);
            requantise(s, *next, scratch.sums, rows_maxima, to, scales);
        }
    }
}
