//! AVX-VNNI: four products of bytes at a time in 256-bit vectors, on processors without AVX-512.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::tile::Rows;

/// Columns of a panel: two vectors.
const WIDTH: usize = 16;

/// Proof that the processor has AVX2 and AVX-VNNI.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Vnni256(());

impl Vnni256 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"))
            .then_some(Self(()))
    }

    /// Products of rows of words, four unsigned bytes each, and a panel of steps of 16 words of four
    /// signed ones, which start at `start`: row i of `sums` starts at 16 · i.
    pub(in super::super) fn multiply(
        self,
        a: Rows<'_, u32>,
        rows: usize,
        panel: &[u32],
        start: &[i32],
        sums: &mut [i32],
    ) {
        let mut row = 0;
        while row < rows {
            let (a, sums) = (a.from(row), &mut sums[row * WIDTH..]);
            // SAFETY: `self` proves the features.
            row += unsafe {
                match rows - row {
                    6.. => tile::<6>(a, panel, start, sums),
                    2.. => tile::<2>(a, panel, start, sums),
                    _ => tile::<1>(a, panel, start, sums),
                }
            };
        }
    }
}

#[target_feature(enable = "avx2,avxvnni")]
fn tile<const R: usize>(a: Rows<'_, u32>, panel: &[u32], start: &[i32], out: &mut [i32]) -> usize {
    a.check(R, panel.len() / WIDTH);
    let (start, out) = (&start[..WIDTH], &mut out[..R * WIDTH]);
    // SAFETY: there are two vectors of eight.
    let start = unsafe {
        [
            _mm256_loadu_si256(start.as_ptr().cast()),
            _mm256_loadu_si256(start[WIDTH / 2..].as_ptr().cast()),
        ]
    };
    let mut sums = [start; R];
    for (at, b) in panel.as_chunks::<WIDTH>().0.iter().enumerate() {
        // SAFETY: a step is two vectors; the element is there, as `check` found.
        unsafe {
            let left = _mm256_loadu_si256(b.as_ptr().cast());
            let right = _mm256_loadu_si256(b[WIDTH / 2..].as_ptr().cast());
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(*a.elements.get_unchecked(i * a.stride + at) as i32);
                sums[0] = _mm256_dpbusd_avx_epi32(sums[0], x, left);
                sums[1] = _mm256_dpbusd_avx_epi32(sums[1], x, right);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.as_chunks_mut::<WIDTH>().0) {
        // SAFETY: `out` has 16 integers: two vectors.
        unsafe {
            _mm256_storeu_si256(out.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(out[WIDTH / 2..].as_mut_ptr().cast(), sums[1]);
        }
    }
    R
}
