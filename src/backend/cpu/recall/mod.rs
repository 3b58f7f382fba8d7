//! Attention of a few queries to keys and values that are kept: what a decoder attends to.
//!
//! Two kinds. The [`Memory`] of a window holds keys and values of all its positions, packed once for
//! all tokens: a head's keys are panels of positions and its values panels of elements, so both
//! products are those of a matrix with few rows. The *past* of a sequence grows by a token at a time
//! and stays as it comes, row by row; sequences that share a beginning share its rows.

mod memory;
mod past;
#[cfg(test)]
mod tests;

use half::bf16;
use rayon::prelude::*;

use super::error::check_length;
use super::gemm::row_stride;
use super::math::exponentials;
use super::simd::{Simd, Work, panel};
use super::tile::{self, Rows};
use super::workspace::Buffer;
use super::{Cpu, CpuError, Numeric};
use memory::Kept;
pub use memory::Memory;
pub use past::{MAX_PAST, Past, Seen};

/// How the heads of an attention lie in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Heads.
    pub count: usize,
    /// Width of each.
    pub size: usize,
}

impl Heads {
    fn width(self) -> usize {
        self.count * self.size
    }

    fn check(self) -> Result<(), CpuError> {
        if self.count > 0 && self.size > 0 {
            return Ok(());
        }
        let rule = "there is at least one head, and a width";
        Err(CpuError::Geometry { what: "attention", rule })
    }
}

/// Scratch memory of attention to a [`Memory`]. It grows to what the largest needs.
#[derive(Debug, Default)]
pub struct RecallWorkspace {
    /// For each head: scores, queries, results.
    heads: Buffer,
}

/// Probabilities that some heads gave the positions, for word timestamps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Probe {
    /// The heads.
    pub heads: Vec<usize>,
    /// Heads × queries × positions.
    pub probabilities: Vec<f32>,
}

/// Some queries to a memory: see [`Cpu::recall`].
#[derive(Debug)]
pub struct Recall<'a> {
    /// What is attended to.
    pub memory: &'a Memory,
    /// Queries.
    pub rows: usize,
    /// Looks at their attention.
    pub probe: Option<&'a mut Probe>,
}

/// Where the parts of a head's scratch memory are, in floats.
#[derive(Debug, Clone, Copy)]
struct Layout {
    scores: usize,
    queries: usize,
    sums: usize,
    /// All of a head.
    task: usize,
}

impl Layout {
    fn new(panel: usize, size: usize, positions: usize, rows: usize) -> Self {
        let scores = row_stride(positions.next_multiple_of(panel));
        let queries = row_stride(size);
        let sums = rows * size.next_multiple_of(panel);
        Self { scores, queries, sums, task: rows * (scores + queries) + sums }
    }
}

impl Cpu {
    /// softmax(Q·Kᵀ / √size) · V of each head for some queries, each heads × size, over all positions
    /// of a memory: the first of these for as many queries as it says, then the next. The probabilities
    /// of the heads of each `probe` are written to it.
    ///
    /// # Errors
    /// When lengths do not fit, or a memory is empty, of another instruction set or of other heads.
    pub fn recall(
        &self,
        recalls: &mut [Recall<'_>],
        queries: &[f32],
        out: &mut [f32],
        workspace: &mut RecallWorkspace,
    ) -> Result<(), CpuError> {
        let Some(heads) = recalls.first().map(|recall| recall.memory.heads) else {
            return Ok(());
        };
        let rule = |holds: bool, rule| {
            if holds { Ok(()) } else { Err(CpuError::Geometry { what: "attention", rule }) }
        };
        let width = heads.width();
        for Recall { memory, probe, .. } in &*recalls {
            rule(memory.positions > 0, "a memory has positions")?;
            rule(memory.heads == heads, "all memories have the same heads")?;
            let panel = self.level.geometry().panel;
            rule(memory.panel == panel, "a memory is of the same instruction set")?;
            let probed = probe.as_ref().is_none_or(|p| p.heads.iter().all(|h| *h < heads.count));
            rule(probed, "a probed head is below their number")?;
        }
        let rows: usize = recalls.iter().map(|recall| recall.rows).sum();
        check_length("queries", rows * width, queries.len())?;
        check_length("the output of attention", queries.len(), out.len())?;
        let layout = |recall: &Recall<'_>| {
            let Memory { panel, positions, .. } = *recall.memory;
            Layout::new(panel, heads.size, positions, recall.rows)
        };
        let all = recalls.iter().map(|recall| heads.count * layout(recall).task).sum();
        let scratch = workspace.heads.get::<f32>(all);

        let mut tasks = Vec::with_capacity(recalls.len() * heads.count);
        let (mut rest, mut queries) = (&mut *scratch, queries);
        for recall in &*recalls {
            let (memory, rows, layout) = (recall.memory, recall.rows, layout(recall));
            let (mine, others) = rest.split_at_mut(heads.count * layout.task);
            let (these, next) = queries.split_at(rows * width);
            (rest, queries) = (others, next);
            let scratch = mine.chunks_exact_mut(layout.task.max(1)).enumerate();
            let head =
                |(head, scratch)| Head { memory, queries: these, head, rows, layout, scratch };
            tasks.extend(scratch.map(head));
        }
        let threads = rayon::current_num_threads();
        if threads == 1 {
            tasks.into_iter().for_each(|head| self.level.run(head));
        } else {
            let share = tasks.len().div_ceil(threads).div_ceil(2);
            tasks.into_par_iter().with_min_len(share).for_each(|head| self.level.run(head));
        }

        let (mut rest, mut out) = (&*scratch, out);
        for recall in recalls {
            let layout = layout(recall);
            let (mine, others) = rest.split_at(heads.count * layout.task);
            let (these, next) = out.split_at_mut(recall.rows * width);
            (rest, out) = (others, next);
            for (head, scratch) in mine.chunks_exact(layout.task.max(1)).enumerate() {
                let sums = &scratch[layout.task - layout.sums..];
                let sums = sums.chunks_exact(heads.size.next_multiple_of(recall.memory.panel));
                for (out, sums) in these.chunks_exact_mut(width).zip(sums) {
                    out[head * heads.size..][..heads.size].copy_from_slice(&sums[..heads.size]);
                }
            }
            if let Some(probe) = &mut recall.probe {
                probe.look(mine, layout, recall.rows, recall.memory);
            }
        }
        Ok(())
    }
}

impl Probe {
    /// Takes the probabilities from the scratch memory of all heads, where each is multiplied by what
    /// its value is to be.
    fn look(&mut self, scratch: &[f32], layout: Layout, rows: usize, memory: &Memory) {
        self.probabilities.clear();
        let padded = memory.padded(memory.positions);
        for head in &self.heads {
            let scores = &scratch[head * layout.task..][..rows * layout.scores];
            let factors = &memory.values.positions[head * padded..][..memory.positions];
            for scores in scores.chunks_exact(layout.scores) {
                let weights = || scores.iter().zip(factors).map(|(score, factor)| score / factor);
                let sum: f32 = weights().sum();
                self.probabilities.extend(weights().map(|weight| weight / sum));
            }
        }
    }
}

/// A head of all queries.
struct Head<'a> {
    memory: &'a Memory,
    queries: &'a [f32],
    head: usize,
    rows: usize,
    layout: Layout,
    scratch: &'a mut [f32],
}

impl Work for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.memory.numeric {
            Numeric::F32 => self.of::<S, f32>(s),
            Numeric::Bf16 => self.of::<S, bf16>(s),
            Numeric::I8 { .. } => self.of::<S, i8>(s),
        }
    }
}

impl Head<'_> {
    #[inline(always)]
    fn of<S: Simd, E: Kept>(self, s: S) {
        let Self { memory, queries, head, rows, layout, scratch } = self;
        let Memory { heads, positions, .. } = *memory;
        let (size, width) = (heads.size, panel::<S>());
        let (scores, rest) = scratch.split_at_mut(rows * layout.scores);
        let (scaled, sums) = rest.split_at_mut(rows * layout.queries);
        let scale = std::f32::consts::LOG2_E / (size as f32).sqrt();
        let queries = queries.chunks_exact(heads.width());
        let (of_keys, of_values) =
            (memory.keys.head::<E>(memory, head), memory.values.head::<E>(memory, head));
        for (query, to) in queries.zip(scaled.chunks_exact_mut(layout.queries)) {
            let query = query[head * size..][..size].iter().zip(of_keys.elements);
            for (to, (x, factor)) in to.iter_mut().zip(query) {
                *to = x * scale * factor;
            }
        }
        let rows_of = Rows { elements: &*scaled, stride: layout.queries };
        for (at, panel) in of_keys.panels.chunks_exact(size * width).enumerate() {
            tile::floats(s, rows_of, rows, panel, &mut scores[at * width..], layout.scores);
        }
        let vectors = positions.next_multiple_of(S::LANES);
        for (row, scores) in scores.chunks_exact_mut(layout.scores).enumerate() {
            let scores = &mut scores[..vectors];
            if E::SCALED {
                multiply(s, scores, of_keys.positions);
            }
            // Where the query was.
            scaled[row * layout.queries] = 1.0 / exponentials(s, scores, positions);
            if E::SCALED {
                multiply(s, scores, of_values.positions);
            }
        }
        let stride = size.next_multiple_of(width);
        let weights = Rows { elements: &*scores, stride: layout.scores };
        for (at, panel) in of_values.panels.chunks_exact(positions * width).enumerate() {
            tile::floats(s, weights, rows, panel, &mut sums[at * width..], stride);
        }
        for (row, sums) in sums.chunks_exact_mut(stride).enumerate() {
            let inverse = s.splat(scaled[row * layout.queries]);
            let parts =
                sums.chunks_exact_mut(S::LANES).zip(of_values.elements.chunks_exact(S::LANES));
            for (sums, factors) in parts {
                s.store(s.mul(s.mul(s.load(sums), inverse), s.load(factors)), sums);
            }
        }
    }
}

/// Multiplies whole vectors in place.
#[inline(always)]
fn multiply<S: Simd>(s: S, x: &mut [f32], by: &[f32]) {
    for (x, by) in x.chunks_exact_mut(S::LANES).zip(by.chunks_exact(S::LANES)) {
        s.store(s.mul(s.load(x), s.load(by)), x);
    }
}
