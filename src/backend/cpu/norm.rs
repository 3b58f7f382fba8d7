//! LayerNorm, on its own or as what the rows of a matmul go through first.

use rayon::prelude::*;

use super::gemm::block_rows;
use super::simd::{Level, Simd, Work};

/// What is added to the variance.
const EPSILON: f32 = 1e-5;

/// The weights of a LayerNorm: as many scales as shifts.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
}

/// Normalises rows of as many elements as there are weights. Lengths have been checked.
pub(super) fn layer_norm(level: Level, x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    let d = norm.weight.len();
    if d == 0 {
        return;
    }
    let block = block_rows(x.len() / d, 1) * d;
    x.par_chunks(block.max(1))
        .zip(out.par_chunks_mut(block.max(1)))
        .for_each(|(x, out)| level.run(Rows { x, norm, out }));
}

struct Rows<'a> {
    x: &'a [f32],
    norm: Norm<'a>,
    out: &'a mut [f32],
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let d = self.norm.weight.len();
        for (x, out) in self.x.chunks_exact(d).zip(self.out.chunks_exact_mut(d)) {
            norm_row(s, x, self.norm, out);
        }
    }
}

/// Normalises a row.
#[inline(always)]
pub(super) fn norm_row<S: Simd>(s: S, x: &[f32], norm: Norm<'_>, out: &mut [f32]) {
    let mean = sum(s, x, 0.0, false) / x.len() as f32;
    let variance = sum(s, x, mean, true) / x.len() as f32;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    normalise(s, x, mean, scale, norm, out);
}

/// The sum of x − `mean`, or of its squares.
#[inline(always)]
fn sum<S: Simd>(s: S, x: &[f32], mean: f32, squares: bool) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let chunks = x.chunks_exact(4 * S::LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (i, sum) in sums.iter_mut().enumerate() {
            let x = s.sub(s.load(&chunk[i * S::LANES..]), s.splat(mean));
            *sum = if squares { s.fma(x, x, *sum) } else { s.add(*sum, x) };
        }
    }
    let halves = [s.add(sums[0], sums[1]), s.add(sums[2], sums[3])];
    let mut total = s.sum_lanes(s.add(halves[0], halves[1]));
    for x in rest {
        let x = x - mean;
        total += if squares { x * x } else { x };
    }
    total
}

#[inline(always)]
fn normalise<S: Simd>(s: S, x: &[f32], mean: f32, scale: f32, norm: Norm<'_>, out: &mut [f32]) {
    let Norm { weight, bias } = norm;
    let vectors = x.len() / S::LANES * S::LANES;
    let mut at = 0;
    while at < vectors {
        let x = s.mul(s.sub(s.load(&x[at..]), s.splat(mean)), s.splat(scale));
        s.store(s.fma(x, s.load(&weight[at..]), s.load(&bias[at..])), &mut out[at..]);
        at += S::LANES;
    }
    for at in vectors..x.len() {
        out[at] = (x[at] - mean) * scale * weight[at] + bias[at];
    }
}
