//! AVX-512 BF16: pairs of bf16 multiplied and added to f32.
//!
//! On Intel's processors of 2023 `vdpbf16ps` runs once in two cycles where FMA runs twice in one, so
//! there the widened weights of the other path are twice as fast; on AMD's since Zen 4 it is this one.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::tile::Rows;

/// Columns of a panel: two vectors.
const WIDTH: usize = 32;

/// Proof that the processor has AVX-512 F and BF16.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Pairs(());

impl Pairs {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16"))
            .then_some(Self(()))
    }

    /// Products of rows of pairs and a panel of steps of 32 pairs: row i of `sums` starts at 32 · i.
    pub(in super::super) fn multiply(
        self,
        a: Rows<'_, u32>,
        rows: usize,
        panel: &[u32],
        sums: &mut [f32],
    ) {
        let mut row = 0;
        while row < rows {
            let (a, sums) = (a.from(row), &mut sums[row * WIDTH..]);
            // SAFETY: `self` proves the features.
            row += unsafe {
                match rows - row {
                    12.. => tile::<12>(a, panel, sums),
                    4.. => tile::<4>(a, panel, sums),
                    _ => tile::<1>(a, panel, sums),
                }
            };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn tile<const R: usize>(a: Rows<'_, u32>, panel: &[u32], out: &mut [f32]) -> usize {
    a.check(R, panel.len() / WIDTH);
    let out = &mut out[..R * WIDTH];
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    for (at, b) in panel.as_chunks::<WIDTH>().0.iter().enumerate() {
        // SAFETY: a step is two vectors; the element is there, as `check` found; both types are 32
        // times 16 bits, without a meaning of their own.
        unsafe {
            let left =
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.as_ptr().cast()));
            let right = _mm512_loadu_si512(b[WIDTH / 2..].as_ptr().cast());
            let right = std::mem::transmute::<__m512i, __m512bh>(right);
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_epi32(*a.elements.get_unchecked(i * a.stride + at) as i32);
                let x = std::mem::transmute::<__m512i, __m512bh>(x);
                sums[0] = _mm512_dpbf16_ps(sums[0], x, left);
                sums[1] = _mm512_dpbf16_ps(sums[1], x, right);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.as_chunks_mut::<WIDTH>().0) {
        // SAFETY: `out` has 32 floats: two vectors.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(out[WIDTH / 2..].as_mut_ptr(), sums[1]);
        }
    }
    R
}
