//! Attention of a few queries to keys and values that are kept: what a decoder attends to.
//!
//! Two kinds. The [`Memory`] of a window holds keys and values of all its positions, packed once for
//! all tokens: a head's keys are panels of positions and its values panels of elements, so both
//! products are those of a matrix with few rows. The *past* of a sequence grows by a token at a time
//! and stays as it comes, row by row; sequences that share a beginning share its rows.

use half::bf16;
use rayon::prelude::*;

use super::error::check_length;
use super::gemm::row_stride;
use super::math::exp2;
use super::simd::{Level, MAX_LANES, Simd, Work, panel};
use super::tile::{self, Element, Rows};
use super::workspace::Buffer;
use super::{Cpu, CpuError, Numeric};

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

/// Keys and values of all positions of a window, packed.
///
/// With [`Numeric::F32`] they are floats, otherwise bf16: to read them is most of the work.
#[derive(Debug)]
pub struct Memory {
    heads: Heads,
    narrow: bool,
    positions: usize,
    /// The vectors they are packed for.
    panel: usize,
    keys: Buffer,
    values: Buffer,
}

impl Memory {
    /// Without positions yet.
    pub fn new(numeric: Numeric, heads: Heads) -> Self {
        let narrow = numeric != Numeric::F32;
        let (keys, values) = (Buffer::default(), Buffer::default());
        Self { heads, narrow, positions: 0, panel: 0, keys, values }
    }

    /// Positions that it holds.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// Scratch memory of attention to a [`Memory`]. It grows to what the largest needs.
#[derive(Debug, Default)]
pub struct RecallWorkspace {
    /// For each head: scores, queries, results.
    heads: Buffer,
}

impl RecallWorkspace {
    /// Room for so many queries at a time and a memory of so many positions.
    pub fn reserve(&mut self, rows: usize, heads: Heads, positions: usize) {
        let Layout { task, .. } = Layout::new(2 * MAX_LANES, heads.size, positions, rows);
        self.heads.get::<f32>(heads.count * task);
    }
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
    /// Replaces what a memory holds: keys and values are positions × heads × size.
    ///
    /// # Errors
    /// When lengths do not fit.
    pub fn remember(
        &self,
        keys: &[f32],
        values: &[f32],
        memory: &mut Memory,
    ) -> Result<(), CpuError> {
        memory.heads.check()?;
        let width = memory.heads.width();
        check_length("keys", keys.len() / width * width, keys.len())?;
        check_length("values", keys.len(), values.len())?;
        memory.positions = keys.len() / width;
        memory.panel = self.level.geometry().panel;
        if memory.narrow {
            pack::<bf16>(self.level, memory, keys, values);
        } else {
            pack::<f32>(self.level, memory, keys, values);
        }
        Ok(())
    }

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
                probe.look(mine, layout, recall.rows, recall.memory.positions);
            }
        }
        Ok(())
    }
}

impl Probe {
    /// Takes the probabilities from the scratch memory of all heads.
    fn look(&mut self, scratch: &[f32], layout: Layout, rows: usize, positions: usize) {
        self.probabilities.clear();
        for head in &self.heads {
            let scores = &scratch[head * layout.task..][..rows * layout.scores];
            for scores in scores.chunks_exact(layout.scores) {
                let scores = &scores[..positions];
                let sum: f32 = scores.iter().sum();
                self.probabilities.extend(scores.iter().map(|x| x / sum));
            }
        }
    }
}

/// Packs keys and values head by head.
fn pack<E: Element + bytemuck::Pod>(
    level: Level,
    memory: &mut Memory,
    keys: &[f32],
    values: &[f32],
) {
    let Memory { heads, positions, panel: width, .. } = *memory;
    let (key_panels, value_panels) = (positions.div_ceil(width), heads.size.div_ceil(width));
    let of_keys = (key_panels * heads.size * width).max(1);
    let of_values = (value_panels * positions * width).max(1);
    let into_keys = memory.keys.get::<E>(heads.count * of_keys).par_chunks_mut(of_keys);
    let into_values = memory.values.get::<E>(heads.count * of_values).par_chunks_mut(of_values);
    into_keys.zip(into_values).enumerate().for_each(|(head, (into_keys, into_values))| {
        level.run(PackHead { heads, head, keys, values, into_keys, into_values });
    });
}

/// Keys and values of a head to pack.
struct PackHead<'a, E> {
    heads: Heads,
    head: usize,
    keys: &'a [f32],
    values: &'a [f32],
    into_keys: &'a mut [E],
    into_values: &'a mut [E],
}

impl<E: Element + bytemuck::Pod> Work for PackHead<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { heads, head, keys, values, into_keys, into_values } = self;
        let (size, row, width) = (heads.size, heads.width(), panel::<S>());
        let positions = keys.len() / row;
        // Rounded as vectors, and then put in their places.
        let mut narrow = vec![E::narrow(0.0); size.next_multiple_of(width)];
        for (panel, into) in into_keys.chunks_exact_mut(size * width).enumerate() {
            for column in 0..width {
                let position = panel * width + column;
                if position < positions {
                    let key = &keys[position * row + head * size..][..size];
                    for (to, x) in narrow.iter_mut().zip(key) {
                        *to = E::narrow(*x);
                    }
                } else {
                    narrow.fill(E::narrow(0.0));
                }
                let slots = into[E::slot(column, width)..].iter_mut().step_by(width);
                for (slot, x) in slots.zip(&narrow[..size]) {
                    *slot = *x;
                }
            }
        }
        // Behind the last element of a value there is nothing.
        narrow.fill(E::narrow(0.0));
        for position in 0..positions {
            let value = &values[position * row + head * size..][..size];
            for (to, x) in narrow.iter_mut().zip(value) {
                *to = E::narrow(*x);
            }
            for (panel, narrow) in narrow.chunks_exact(width).enumerate() {
                let into = &mut into_values[(panel * positions + position) * width..][..width];
                for (column, x) in narrow.iter().enumerate() {
                    into[E::slot(column, width)] = *x;
                }
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
        if self.memory.narrow {
            self.of::<S, bf16>(s);
        } else {
            self.of::<S, f32>(s);
        }
    }
}

impl Head<'_> {
    #[inline(always)]
    fn of<S: Simd, E: Element + bytemuck::Pod>(self, s: S) {
        let Self { memory, queries, head, rows, layout, scratch } = self;
        let Memory { heads, positions, .. } = *memory;
        let (size, width) = (heads.size, panel::<S>());
        let (scores, rest) = scratch.split_at_mut(rows * layout.scores);
        let (scaled, sums) = rest.split_at_mut(rows * layout.queries);
        let scale = std::f32::consts::LOG2_E / (size as f32).sqrt();
        let queries = queries.chunks_exact(heads.width());
        for (query, to) in queries.zip(scaled.chunks_exact_mut(layout.queries)) {
            for (to, x) in to.iter_mut().zip(&query[head * size..][..size]) {
                *to = x * scale;
            }
        }
        let part = |buffer, panels: usize, of: usize| {
            let all: &[E] = bytemuck::cast_slice(AsRef::<[u8]>::as_ref(buffer));
            &all[head * panels * of..][..panels * of]
        };
        let keys = part(&memory.keys, positions.div_ceil(width), size * width);
        let values = part(&memory.values, size.div_ceil(width), positions * width);
        let scaled = Rows { elements: &*scaled, stride: layout.queries };
        for (at, keys) in keys.chunks_exact(size * width).enumerate() {
            tile::floats(s, scaled, rows, keys, &mut scores[at * width..], layout.scores);
        }
        // Inverse sums of exponentials stand where a row's result will.
        let stride = size.next_multiple_of(width);
        for (row, scores) in scores.chunks_exact_mut(layout.scores).enumerate() {
            let scores = &mut scores[..positions.next_multiple_of(S::LANES)];
            sums[row * stride] = 1.0 / exponentials(s, scores, positions);
        }
        weigh(s, scores, layout.scores, rows, values, positions, sums, stride);
    }
}

/// The values weighted by the scores of each row, divided by the sum of those, whose inverse stands
/// in the first element of the row's result.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "all of them are slices and their strides")]
fn weigh<S: Simd, E: Element>(
    s: S,
    scores: &[f32],
    scores_stride: usize,
    rows: usize,
    values: &[E],
    positions: usize,
    sums: &mut [f32],
    stride: usize,
) {
    let width = panel::<S>();
    let mut row = 0;
    while row < rows {
        let count = if rows - row < S::ROWS { rows - row } else { S::ROWS };
        let mut inverse = [0.0; tile::MAX_ROWS];
        for (i, inverse) in inverse.iter_mut().enumerate().take(count) {
            *inverse = sums[(row + i) * stride];
        }
        let scores = Rows { elements: &scores[row * scores_stride..], stride: scores_stride };
        for (at, values) in values.chunks_exact(positions * width).enumerate() {
            let sums = &mut sums[row * stride + at * width..];
            tile::floats(s, scores, count, values, sums, stride);
            for (i, inverse) in inverse.iter().enumerate().take(count) {
                let sums = &mut sums[i * stride..][..width];
                for half in [0, S::LANES] {
                    s.store(s.mul(s.load(&sums[half..]), s.splat(*inverse)), &mut sums[half..]);
                }
            }
        }
        row += count;
    }
}

/// Replaces scores by 2^(score − largest), those that do not count by 0, and returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, scores: &mut [f32], valid: usize) -> f32 {
    scores[valid..].fill(f32::NEG_INFINITY);
    let mut max = s.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(S::LANES) {
        max = s.max(max, s.load(scores));
    }
    let max = s.splat(s.max_lanes(max));
    let mut sum = s.splat(0.0);
    for scores in scores.chunks_exact_mut(S::LANES) {
        let x = exp2(s, s.sub(s.load(scores), max));
        sum = s.add(sum, x);
        s.store(x, scores);
    }
    s.sum_lanes(sum)
}

/// Keys and values of sequences that grow.
///
/// Both are slots × positions × heads × size: each sequence has a slot, and those that share a
/// beginning share the rows of one.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Keys.
    pub keys: &'a [f32],
    /// Values.
    pub values: &'a [f32],
    /// Sequences that there is room for.
    pub slots: usize,
    /// The heads of a row.
    pub heads: Heads,
}

/// What a query sees of a past.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The past.
    pub past: Past<'a>,
    /// The slot at every position that the query attends to.
    pub slots: &'a [u8],
}

impl Past<'_> {
    fn positions(&self) -> usize {
        self.keys.len() / (self.slots * self.heads.width()).max(1)
    }
}

impl Seen<'_> {
    fn check(&self, heads: Heads) -> Result<(), CpuError> {
        let Self { past, slots } = self;
        check_length("values", past.keys.len(), past.values.len())?;
        let positions = past.positions();
        let rows = !slots.is_empty() && slots.len() <= positions && positions <= MAX_PAST;
        if rows && past.heads == heads && slots.iter().all(|slot| usize::from(*slot) < past.slots) {
            return Ok(());
        }
        let rule = "a query sees rows that there are, and one at least";
        Err(CpuError::Geometry { what: "attention", rule })
    }

    /// Where the keys and values of a head begin.
    fn rows(&self, head: usize) -> impl Iterator<Item = usize> {
        let Past { heads, .. } = self.past;
        let (positions, width) = (self.past.positions(), heads.width());
        let slots = self.slots.iter().enumerate();
        slots.map(move |(position, slot)| {
            (usize::from(*slot) * positions + position) * width + head * heads.size
        })
    }
}

impl Cpu {
    /// softmax(Q·Kᵀ / √size) · V of each head for some queries, each over what it has seen.
    ///
    /// # Errors
    /// When lengths do not fit, heads differ, or a query sees nothing or more than there is.
    pub fn attend(
        &self,
        seen: &[Seen<'_>],
        queries: &[f32],
        out: &mut [f32],
    ) -> Result<(), CpuError> {
        let Some(heads) = seen.first().map(|seen| seen.past.heads) else {
            return Ok(());
        };
        heads.check()?;
        let width = heads.width();
        check_length("queries", seen.len() * width, queries.len())?;
        check_length("the output of attention", queries.len(), out.len())?;
        seen.iter().try_for_each(|seen| seen.check(heads))?;
        let size = heads.size;
        let level = self.level;
        let work = |(i, out): (usize, &mut [f32])| {
            let (row, head) = (i / heads.count, i % heads.count);
            let query = &queries[row * width + head * size..][..size];
            level.run(PastHead { seen: seen[row], head, query, out });
        };
        let all: usize = seen.iter().map(|seen| seen.slots.len()).sum();
        /// Positions times width that are worth another thread's while.
        const GRAIN: usize = 64 << 10;
        if all * width < GRAIN || rayon::current_num_threads() == 1 {
            out.chunks_exact_mut(size).enumerate().for_each(work);
        } else {
            out.par_chunks_exact_mut(size).enumerate().for_each(work);
        }
        Ok(())
    }
}

/// The most positions of a past: those of Whisper's decoder.
pub const MAX_PAST: usize = 448;

/// A head of a query.
struct PastHead<'a> {
    seen: Seen<'a>,
    head: usize,
    query: &'a [f32],
    out: &'a mut [f32],
}

impl Work for PastHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { seen, head, query, out } = self;
        let Past { keys, values, heads: Heads { size, .. }, .. } = seen.past;
        let scale = std::f32::consts::LOG2_E / (size as f32).sqrt();
        let mut scores = [f32::NEG_INFINITY; MAX_PAST.next_multiple_of(MAX_LANES)];
        for (score, row) in scores.iter_mut().zip(seen.rows(head)) {
            *score = dot(s, query, &keys[row..][..size]) * scale;
        }
        let count = seen.slots.len();
        let inverse = 1.0 / exponentials(s, &mut scores[..count.next_multiple_of(S::LANES)], count);
        out.fill(0.0);
        for (score, row) in scores.iter().zip(seen.rows(head)) {
            add_scaled(s, &values[row..][..size], score * inverse, out);
        }
    }
}

/// The sum of products.
#[inline(always)]
fn dot<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let vectors = a.len() / S::LANES * S::LANES;
    let mut sum = s.splat(0.0);
    let mut at = 0;
    while at < vectors {
        sum = s.fma(s.load(&a[at..]), s.load(&b[at..]), sum);
        at += S::LANES;
    }
    let mut total = s.sum_lanes(sum);
    for at in vectors..a.len() {
        total += a[at] * b[at];
    }
    total
}

/// `to` += `x` · `by`.
#[inline(always)]
fn add_scaled<S: Simd>(s: S, x: &[f32], by: f32, to: &mut [f32]) {
    let vectors = x.len() / S::LANES * S::LANES;
    let mut at = 0;
    while at < vectors {
        s.store(s.fma(s.load(&x[at..]), s.splat(by), s.load(&to[at..])), &mut to[at..]);
        at += S::LANES;
    }
    for at in vectors..x.len() {
        to[at] += x[at] * by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::Isa;

    fn numbers(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 22) as f32 - 2.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn everyone() -> impl Iterator<Item = Cpu> {
        Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok())
    }

    /// One head of one query in f64: its result, and the probabilities.
    fn naive(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> (Vec<f64>, Vec<f64>) {
        let dot = |key: &&[f32]| -> f64 {
            query.iter().zip(*key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum()
        };
        let scale = (query.len() as f64).sqrt();
        let scores: Vec<f64> = keys.iter().map(|key| (dot(key) / scale).exp()).collect();
        let sum: f64 = scores.iter().sum();
        let weights: Vec<f64> = scores.iter().map(|score| score / sum).collect();
        let at = |i: usize| weights.iter().zip(values).map(|(w, v)| w * f64::from(v[i])).sum();
        ((0..query.len()).map(at).collect(), weights)
    }

    #[test]
    fn a_memory_is_recalled_as_the_formula_says() {
        for cpu in everyone() {
            for (heads, positions, rows) in [(2, 37, 1), (3, 100, 5), (1, 3, 14), (2, 64, 2)] {
                for (numeric, tolerance) in [(Numeric::F32, 1e-5), (Numeric::Bf16, 3e-2)] {
                    let heads = Heads { count: heads, size: 24 };
                    let width = heads.width();
                    let [keys, values] = [1, 2].map(|seed| numbers(seed, positions * width));
                    let queries = numbers(3, rows * width);
                    let mut memory = Memory::new(numeric, heads);
                    cpu.remember(&keys, &values, &mut memory).unwrap();
                    let mut out = vec![0.0; queries.len()];
                    let mut probe = Probe { heads: vec![heads.count - 1], ..Probe::default() };
                    let mut workspace = RecallWorkspace::default();
                    let mut recall = [Recall { memory: &memory, rows, probe: Some(&mut probe) }];
                    cpu.recall(&mut recall, &queries, &mut out, &mut workspace).unwrap();
                    for (row, query) in queries.chunks_exact(width).enumerate() {
                        for head in 0..heads.count {
                            let part = head * 24..(head + 1) * 24;
                            let of = |x: &'_ [f32]| -> Vec<Vec<f32>> {
                                x.chunks_exact(width).map(|x| x[part.clone()].to_vec()).collect()
                            };
                            let (keys, values) = (of(&keys), of(&values));
                            let [keys, values] = [&keys, &values]
                                .map(|x| x.iter().map(|x| &x[..]).collect::<Vec<_>>());
                            let (result, weights) = naive(&query[part.clone()], &keys, &values);
                            let got = &out[row * width..][..width][part];
                            for (got, expected) in got.iter().zip(result) {
                                let error = (f64::from(*got) - expected).abs();
                                assert!(error < tolerance, "{}: {got} {expected}", cpu.isa());
                            }
                            if probe.heads == [head] {
                                let got = &probe.probabilities[row * positions..][..positions];
                                for (got, expected) in got.iter().zip(weights) {
                                    assert!((f64::from(*got) - expected).abs() < tolerance);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Several windows at once are what each of them is alone, to the bit.
    #[test]
    fn memories_do_not_disturb_each_other() {
        for cpu in everyone() {
            let heads = Heads { count: 3, size: 24 };
            let width = heads.width();
            let (sizes, rows) = ([37, 5, 64], [2, 1, 5]);
            let memories = sizes.map(|positions| {
                let [keys, values] = [1, 2].map(|seed| numbers(seed, positions * width));
                let mut memory = Memory::new(Numeric::Bf16, heads);
                cpu.remember(&keys, &values, &mut memory).unwrap();
                memory
            });
            let queries = numbers(3, rows.iter().sum::<usize>() * width);
            let mut workspace = RecallWorkspace::default();
            let mut together = vec![0.0; queries.len()];
            let mut probes = [(); 3].map(|()| Probe { heads: vec![2, 0], ..Probe::default() });
            let parts = memories.iter().zip(rows).zip(&mut probes);
            let mut recalls: Vec<_> = parts
                .map(|((memory, rows), probe)| Recall { memory, rows, probe: Some(probe) })
                .collect();
            cpu.recall(&mut recalls, &queries, &mut together, &mut workspace).unwrap();
            let mut at = 0;
            for ((memory, rows), together_probe) in memories.iter().zip(rows).zip(&probes) {
                let mut alone = vec![0.0; rows * width];
                let mut probe = Probe { heads: vec![2, 0], ..Probe::default() };
                let mut recall = [Recall { memory, rows, probe: Some(&mut probe) }];
                let these = &queries[at..][..rows * width];
                cpu.recall(&mut recall, these, &mut alone, &mut workspace).unwrap();
                assert_eq!(together[at..][..rows * width], alone, "{}", cpu.isa());
                assert_eq!(*together_probe, probe);
                at += rows * width;
            }
        }
    }

    #[test]
    fn a_past_is_attended_to_slot_by_slot() {
        for cpu in everyone() {
            let heads = Heads { count: 2, size: 20 };
            let (width, slots, positions) = (heads.width(), 3, 9);
            let [keys, values] = [1, 2].map(|seed| numbers(seed, positions * slots * width));
            let past = Past { keys: &keys, values: &values, slots, heads };
            let see = |slots| Seen { past, slots };
            let seen: [&[u8]; 3] = [&[0, 0, 2, 1], &[0], &[0, 1, 1, 1, 1, 1, 1, 1, 2]];
            let queries = numbers(3, seen.len() * width);
            let mut out = vec![0.0; queries.len()];
            cpu.attend(&seen.map(see), &queries, &mut out).unwrap();
            for (row, seen) in seen.iter().enumerate() {
                for head in 0..heads.count {
                    let part = |x: &'_ [f32], i: usize| x[i * width + head * 20..][..20].to_vec();
                    let rows =
                        seen.iter().enumerate().map(|(at, slot)| *slot as usize * positions + at);
                    let k: Vec<_> = rows.clone().map(|i| part(&keys, i)).collect();
                    let v: Vec<_> = rows.map(|i| part(&values, i)).collect();
                    let [k, v] = [&k, &v].map(|x| x.iter().map(|x| &x[..]).collect::<Vec<_>>());
                    let (expected, _) = naive(&part(&queries, row), &k, &v);
                    for (got, expected) in part(&out, row).iter().zip(expected) {
                        assert!((f64::from(*got) - expected).abs() < 1e-5, "{}", cpu.isa());
                    }
                }
            }
            let mut refused =
                |slots| cpu.attend(&[see(slots)], &queries[..width], &mut out[..width]).is_err();
            assert!(refused(&[3]) && refused(&[]) && refused(&[0; 10]));
        }
    }
}
