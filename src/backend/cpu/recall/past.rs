//! Attention to the tokens of sequences that grow.

use rayon::prelude::*;

use super::super::error::check_length;
use super::super::math::exponentials;
use super::super::simd::{MAX_LANES, Simd, Work};
use super::super::{Cpu, CpuError};
use super::Heads;

/// Keys and values of sequences that grow.
///
/// Both are slots × heads × positions × size: each sequence has a slot, and those that share a
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

    /// Where the key and the value of a head are at a position, of so many that there is room for.
    #[inline(always)]
    fn row(&self, head: usize, position: usize, positions: usize) -> usize {
        let (Heads { count, size }, slot) = (self.past.heads, usize::from(self.slots[position]));
        ((slot * count + head) * positions + position) * size
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
        let (count, positions) = (seen.slots.len(), seen.past.positions());
        for (position, score) in scores.iter_mut().enumerate().take(count) {
            let row = seen.row(head, position, positions);
            *score = dot(s, query, &keys[row..][..size]) * scale;
        }
        let inverse = 1.0 / exponentials(s, &mut scores[..count.next_multiple_of(S::LANES)], count);
        out.fill(0.0);
        for (position, score) in scores.iter().enumerate().take(count) {
            let row = seen.row(head, position, positions);
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
