//! Attention in vectors of f32.
//!
//! Keys and values are packed into panels once. Then blocks of rows are taken in parallel, a tile of
//! rows at a time: its scores against all keys, which fit the second-level cache, their softmax in
//! place, and their product with the values. The largest thing in memory is a tile's worth of scores
//! for each task.

use rayon::prelude::*;

use super::super::gemm::{block_rows, row_stride};
use super::super::math::exponentials;
use super::super::simd::{Level, MAX_LANES, Simd, Work, panel};
use super::super::tile::{self, MAX_ROWS, Rows};
use super::super::workspace::Workspace;
use super::Attention;

impl Attention {
    /// Runs a window on the current pool.
    pub(super) fn in_vectors(
        &self,
        level: Level,
        qkv: &[f32],
        out: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let geometry = level.geometry();
        let (width, head, valid) = (geometry.panel, self.head_size(), self.valid);
        let key_panels = valid.div_ceil(width);
        let value_panels = head.div_ceil(width);
        let keys = workspace.keys.get::<f32>(self.heads * key_panels * head * width);
        let values = workspace.values.get::<f32>(self.heads * value_panels * valid * width);
        rayon::join(
            || {
                keys.par_chunks_mut(head * width).enumerate().for_each(|(i, into)| {
                    let (head, panel) = (i / key_panels, i % key_panels);
                    self.pack_keys(qkv, head, panel * width, width, into);
                });
            },
            || {
                values.par_chunks_mut(valid * width).enumerate().for_each(|(i, into)| {
                    let (head, panel) = (i / value_panels, i % value_panels);
                    self.pack_values(qkv, head, panel * width, width, into);
                });
            },
        );
        let (keys, values) = (&*keys, &*values);
        let block = block_rows(valid, geometry.rows);
        let stride = row_stride(key_panels * width);
        let task = MAX_ROWS * (stride + row_stride(head));
        let scores = workspace.scores.get::<f32>(valid.div_ceil(block) * task);
        out.par_chunks_mut(block * self.d_model)
            .zip(scores.par_chunks_mut(task))
            .enumerate()
            .for_each(|(i, (out, scores))| {
                let (scores, queries) = scores.split_at_mut(MAX_ROWS * stride);
                let first = i * block;
                level.run(Task { shape: self, qkv, first, keys, values, scores, queries, out });
            });
    }

    /// A part of a head of a row: 0 for its query, 1 for its key, 2 for its value.
    #[inline(always)]
    fn part<'a>(&self, qkv: &'a [f32], row: usize, part: usize, head: usize) -> &'a [f32] {
        let size = self.head_size();
        &qkv[row * 3 * self.d_model + part * self.d_model + head * size..][..size]
    }

    /// Elements × keys of a panel.
    fn pack_keys(&self, qkv: &[f32], head: usize, first: usize, width: usize, into: &mut [f32]) {
        for column in 0..width {
            if first + column < self.valid {
                let key = self.part(qkv, first + column, 1, head);
                for (x, into) in key.iter().zip(into[column..].iter_mut().step_by(width)) {
                    *into = *x;
                }
            } else {
                into[column..].iter_mut().step_by(width).for_each(|x| *x = 0.0);
            }
        }
    }

    /// Keys × elements of a panel.
    fn pack_values(&self, qkv: &[f32], head: usize, first: usize, width: usize, into: &mut [f32]) {
        for (row, into) in into.chunks_exact_mut(width).enumerate() {
            let value = &self.part(qkv, row, 2, head)[first..];
            let (filled, rest) = into.split_at_mut(width.min(value.len()));
            filled.copy_from_slice(&value[..filled.len()]);
            rest.fill(0.0);
        }
    }
}

/// Some rows of queries.
struct Task<'a> {
    shape: &'a Attention,
    qkv: &'a [f32],
    first: usize,
    keys: &'a [f32],
    values: &'a [f32],
    scores: &'a mut [f32],
    queries: &'a mut [f32],
    out: &'a mut [f32],
}

impl Work for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = self.out.len() / self.shape.d_model;
        for head in 0..self.shape.heads {
            let mut row = 0;
            while row < rows {
                let count = S::ROWS.min(rows - row);
                self.score(s, head, row, count);
                self.weigh(s, head, row, count);
                row += count;
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn stride<S: Simd>(&self) -> usize {
        row_stride(self.shape.valid.next_multiple_of(panel::<S>()))
    }

    /// Scores of a tile of rows against all keys, in units of log₂.
    #[inline(always)]
    fn score<S: Simd>(&mut self, s: S, head: usize, row: usize, rows: usize) {
        let size = self.shape.head_size();
        let query_stride = row_stride(size);
        let scale = std::f32::consts::LOG2_E / (size as f32).sqrt();
        for i in 0..rows {
            let query = self.shape.part(self.qkv, self.first + row + i, 0, head);
            let to = &mut self.queries[i * query_stride..][..size];
            for (to, x) in to.iter_mut().zip(query) {
                *to = x * scale;
            }
        }
        let queries = Rows { elements: &*self.queries, stride: query_stride };
        let width = panel::<S>();
        let stride = self.stride::<S>();
        let panels = self.shape.valid.div_ceil(width);
        let keys = &self.keys[head * panels * size * width..][..panels * size * width];
        for (panel, keys) in keys.chunks_exact(size * width).enumerate() {
            tile::floats(s, queries, rows, keys, &mut self.scores[panel * width..], stride);
        }
    }

    /// Softmax of a tile's scores and the values weighted by it.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, s: S, head: usize, row: usize, rows: usize) {
        let (size, valid, d_model) = (self.shape.head_size(), self.shape.valid, self.shape.d_model);
        let stride = self.stride::<S>();
        let mut inverse = [0.0; MAX_ROWS];
        for (i, inverse) in inverse.iter_mut().enumerate().take(rows) {
            let scores = &mut self.scores[i * stride..][..valid.next_multiple_of(S::LANES)];
            *inverse = 1.0 / exponentials(s, scores, valid);
        }
        let scores = Rows { elements: &*self.scores, stride };
        let width = panel::<S>();
        let panels = size.div_ceil(width);
        let values = &self.values[head * panels * valid * width..][..panels * valid * width];
        let mut sums = [0.0; MAX_ROWS * 2 * MAX_LANES];
        for (panel, values) in values.chunks_exact(valid * width).enumerate() {
            tile::floats(s, scores, rows, values, &mut sums, width);
            let columns = width.min(size - panel * width);
            for i in 0..rows {
                let sums = &mut sums[i * width..][..width];
                for at in [0, S::LANES] {
                    s.store(s.mul(s.load(&sums[at..]), s.splat(inverse[i])), &mut sums[at..]);
                }
                self.out[(row + i) * d_model + head * size + panel * width..][..columns]
                    .copy_from_slice(&sums[..columns]);
            }
        }
    }
}
