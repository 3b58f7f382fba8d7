//! What attention does with vectors between its products in tiles.
//!
//! A tile of scores has a key in each row and a query in each lane, so the softmax of 32 queries is
//! arithmetic of two vectors a row, without sums or maxima across lanes, and pairs of rows are the
//! pairs of bf16 that the next product takes.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::super::super::math::INTEGERS;
use super::{STEP, TILE, TILE_COLUMNS, Tiles};

/// A number for each of the 32 lanes of a row of a tile's sums.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(in super::super::super) struct Columns(pub(in super::super::super) [f32; TILE_COLUMNS]);

/// 2^f − 1 − f over f: minimax fits of the relative error of 2^f for 0 ≤ f ≤ 1. It is 10⁻⁴ for the
/// first, and 2.1·10⁻³ for the second, half an ulp of bf16.
pub(in super::super::super) const FRACTION: [f32; 3] = [-0.304_575_83, 0.226_308_36, 0.078_267_47];
pub(in super::super::super) const COARSE_FRACTION: [f32; 2] = [-0.334, 0.33];
/// Exponents of bf16 are those of f32: biased by 127, above 7 bits of fraction.
const BIAS: f32 = 127.0;
const ULPS: f32 = 128.0;
/// The least power that is not denormal.
const LEAST: f32 = -126.0;

impl Columns {
    #[inline(always)]
    fn load(&self) -> [__m512; 2] {
        bytemuck::must_cast(self.0)
    }

    #[inline(always)]
    fn from(lanes: [__m512; 2]) -> Self {
        Self(bytemuck::must_cast(lanes))
    }
}

/// Functions whose features a [`Tiles`] proves.
macro_rules! with_features {
    ($($(#[$doc:meta])* $name:ident => $inner:ident($($x:ident: $t:ty),*) $(-> $result:ty)?;)+) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub(in super::super::super) fn $name(self, $($x: $t),*) $(-> $result)? {
            // SAFETY: a `Tiles` exists only where the processor has AVX-512 F, BW, DQ, VL and BF16.
            #[allow(unused_unsafe, reason = "not all of them need any")]
            unsafe {
                $inner($($x),*)
            }
        }
    )+};
}

impl Tiles {
    with_features! {
        /// Asks for bytes to be brought into the second-level cache.
        fetch => fetch(bytes: &[u8]);

        /// The largest score of each column.
        largest => largest(scores: &[f32]) -> Columns;

        /// Multiplies each column by its factor.
        scale => scale(rows: &mut [f32], factors: &Columns);

        /// Sums of columns 0..16 and 16..32 as 32 rows: `into` takes a row of as many floats as there
        /// are sums for a column, 16 or 32, from every `stride`-th on.
        transpose => transpose(sums: &[f32], into: &mut [f32], stride: usize, rows: usize);

        /// A tile's worth of results as rows of A: 16 rows of 64 bytes, twice.
        pack_rows => pack_rows(results: &[f32], into: &mut [u8]);

        /// A tile's worth of results, times a factor, as a panel whose K are the columns: 16 rows of
        /// pairs for each of 32 columns, which were the rows.
        pack_columns => pack_columns(results: &[f32], factor: f32, into: &mut [u8]);

        /// A tile's worth of results as rows of A that were the columns: 16 rows of 64 bytes, twice.
        pack_transposed => pack_transposed(results: &[f32], into: &mut [u8]);
    }

    /// 2^(score − reference), rounded to bf16, of whole pairs of rows of scores: by [`FRACTION`] within
    /// 0.52 ulp, by [`COARSE_FRACTION`] within 1.1, and 2⁻¹²⁶ where it would be less. References are
    /// integers, at most 126 less than a score. Returns each column's total with its powers added;
    /// nothing if a score exceeds its reference by more than `headroom`.
    #[inline(always)]
    pub(in super::super::super) fn powers<const TERMS: usize>(
        self,
        fraction: [f32; TERMS],
        scores: &[f32],
        [reference, total]: [&Columns; 2],
        headroom: f32,
        into: &mut [u32],
    ) -> Option<Columns> {
        // SAFETY: a `Tiles` exists only where the processor has AVX-512 F, BW, DQ, VL and BF16.
        unsafe { powers(fraction, scores, [reference, total], headroom, into) }
    }
}

fn fetch(bytes: &[u8]) {
    for line in bytes.chunks(STEP) {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }
}

#[target_feature(enable = "avx512f")]
fn largest(scores: &[f32]) -> Columns {
    let mut max = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    for row in scores.as_chunks::<TILE_COLUMNS>().0 {
        let row: &[[f32; 16]; 2] = bytemuck::must_cast_ref(row);
        for (max, row) in max.iter_mut().zip(row) {
            *max = _mm512_max_ps(*max, bytemuck::must_cast(*row));
        }
    }
    Columns::from(max)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn powers<const TERMS: usize>(
    fraction: [f32; TERMS],
    scores: &[f32],
    [reference, total]: [&Columns; 2],
    headroom: f32,
    into: &mut [u32],
) -> Option<Columns> {
    /// Rounds down, and reports nothing.
    const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    let fraction = fraction.map(|x| _mm512_set1_ps(x));
    let reference = reference.load();
    let least = reference.map(|x| _mm512_add_ps(x, _mm512_set1_ps(LEAST)));
    // The bits of a bf16 as an integer in the lowest bits of a float.
    let offset = reference.map(|x| {
        let bias = _mm512_sub_ps(_mm512_set1_ps(BIAS), x);
        _mm512_fmadd_ps(bias, _mm512_set1_ps(ULPS), _mm512_set1_ps(INTEGERS))
    });
    let mut max = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    let mut sums = total.load();
    let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let pairs = scores.as_chunks::<{ 2 * TILE_COLUMNS }>().0;
    for (pair, into) in pairs.iter().zip(into.as_chunks_mut::<TILE_COLUMNS>().0) {
        let pair: &[[[f32; 16]; 2]; 2] = bytemuck::must_cast_ref(pair);
        let into: &mut [[u32; 16]; 2] = bytemuck::must_cast_mut(into);
        for i in 0..2 {
            let mut bits = [_mm512_setzero_si512(); 2];
            for (bits, row) in bits.iter_mut().zip(pair) {
                let x = bytemuck::must_cast(row[i]);
                max[i] = _mm512_max_ps(max[i], x);
                let x = _mm512_max_ps(x, least[i]);
                // 2^x is 1 + f times a power of two, and that is what bits say of x + bias; what is
                // left of 2^f is added to x.
                let f = _mm512_reduce_ps::<DOWN>(x);
                let mut y = fraction[TERMS - 1];
                for term in (0..TERMS - 1).rev() {
                    y = _mm512_fmadd_ps(y, f, fraction[term]);
                }
                let y = _mm512_fmadd_ps(y, f, x);
                *bits = _mm512_castps_si512(_mm512_fmadd_ps(y, _mm512_set1_ps(ULPS), offset[i]));
            }
            let odd = _mm512_slli_epi32::<16>(bits[1]);
            let both = _mm512_mask_blend_epi16(0xaaaa_aaaa, bits[0], odd);
            let even = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both));
            let odd = _mm512_castsi512_ps(_mm512_and_si512(both, high));
            sums[i] = _mm512_add_ps(sums[i], _mm512_add_ps(even, odd));
            into[i] = bytemuck::must_cast(both);
        }
    }
    let exceeds = |i: usize| {
        let limit = _mm512_add_ps(reference[i], _mm512_set1_ps(headroom));
        _mm512_cmp_ps_mask::<_CMP_GT_OQ>(max[i], limit)
    };
    if exceeds(0) | exceeds(1) == 0 { Some(Columns::from(sums)) } else { None }
}

#[target_feature(enable = "avx512f")]
fn scale(rows: &mut [f32], factors: &Columns) {
    let factors = factors.load();
    for row in rows.as_chunks_mut::<TILE_COLUMNS>().0 {
        let row: &mut [[f32; 16]; 2] = bytemuck::must_cast_mut(row);
        for (row, factor) in row.iter_mut().zip(factors) {
            *row = bytemuck::must_cast(_mm512_mul_ps(bytemuck::must_cast(*row), factor));
        }
    }
}

#[target_feature(enable = "avx512f")]
fn transpose(sums: &[f32], into: &mut [f32], stride: usize, rows: usize) {
    let sums: &[[[f32; 16]; 2]] = bytemuck::cast_slice(sums);
    for (block, sums) in sums.chunks_exact(16).enumerate() {
        for half in 0..2 {
            let mut vectors = [_mm512_setzero_si512(); 16];
            for (vector, row) in vectors.iter_mut().zip(sums) {
                *vector = bytemuck::must_cast(row[half]);
            }
            let vectors = transposed(vectors);
            for (i, vector) in vectors.into_iter().enumerate().take(rows.saturating_sub(16 * half))
            {
                let into = &mut into[(16 * half + i) * stride + 16 * block..][..16];
                into.copy_from_slice(&bytemuck::must_cast::<_, [f32; 16]>(vector));
            }
        }
    }
}

/// Results of 32 rows, two vectors each.
type Results = [[[f32; 16]; 2]];

#[target_feature(enable = "avx512f,avx512bf16")]
fn pack_rows(results: &[f32], into: &mut [u8]) {
    let results: &Results = bytemuck::cast_slice(results);
    for (row, into) in results.iter().zip(into[..2 * TILE].as_chunks_mut::<STEP>().0) {
        *into = bytemuck::must_cast(both(row[0], row[1]));
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn pack_columns(results: &[f32], factor: f32, into: &mut [u8]) {
    let results: &Results = bytemuck::cast_slice(results);
    let factor = _mm512_set1_ps(factor);
    let into: &mut [[[u8; STEP]; 2]] = bytemuck::cast_slice_mut(&mut into[..2 * TILE]);
    for half in 0..2 {
        let mut vectors = [_mm512_setzero_si512(); 16];
        for (vector, row) in vectors.iter_mut().zip(&results[16 * half..][..16]) {
            let row =
                row.map(|x| bytemuck::must_cast(_mm512_mul_ps(bytemuck::must_cast(x), factor)));
            *vector = both(row[0], row[1]);
        }
        for (vector, into) in transposed(vectors).into_iter().zip(&mut *into) {
            into[half] = bytemuck::must_cast(vector);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn pack_transposed(results: &[f32], into: &mut [u8]) {
    let results: &Results = bytemuck::cast_slice(results);
    let into = into[..2 * TILE].as_chunks_mut::<STEP>().0;
    // From the elements of one row and then those of the next to pairs of both.
    let mut order = [0_u16; 32];
    for (i, order) in order.iter_mut().enumerate() {
        *order = (i / 2 + i % 2 * 16) as u16;
    }
    let order: __m512i = bytemuck::must_cast(order);
    for (half, into) in into.chunks_exact_mut(16).enumerate() {
        let mut vectors = [_mm512_setzero_si512(); 16];
        for (vector, rows) in vectors.iter_mut().zip(results.as_chunks::<2>().0) {
            let both = both(rows[0][half], rows[1][half]);
            *vector = _mm512_permutexvar_epi16(order, both);
        }
        for (vector, into) in transposed(vectors).into_iter().zip(into) {
            *into = bytemuck::must_cast(vector);
        }
    }
}

/// Two vectors rounded to bf16, ties to even, one behind the other.
#[target_feature(enable = "avx512f,avx512bf16")]
fn both(first: [f32; 16], second: [f32; 16]) -> __m512i {
    let pairs = _mm512_cvtne2ps_pbh(bytemuck::must_cast(second), bytemuck::must_cast(first));
    // SAFETY: both types are 64 bytes without a meaning of their own.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(pairs) }
}

/// Lane i of vector j becomes lane j of vector i.
#[target_feature(enable = "avx512f")]
fn transposed(v: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = v;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    let mut fours = pairs;
    for i in 0..4 {
        for j in 0..2 {
            let (a, b) = (pairs[4 * i + j], pairs[4 * i + 2 + j]);
            fours[4 * i + 2 * j] = _mm512_unpacklo_epi64(a, b);
            fours[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(a, b);
        }
    }
    // Vector 4 i + j holds, in each quarter q, lanes 4 q + j of vectors 4 i to 4 i + 3.
    let mut out = fours;
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let low = [_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c, d)];
        let high = [_mm512_shuffle_i32x4::<0xee>(a, b), _mm512_shuffle_i32x4::<0xee>(c, d)];
        out[j] = _mm512_shuffle_i32x4::<0x88>(low[0], low[1]);
        out[4 + j] = _mm512_shuffle_i32x4::<0xdd>(low[0], low[1]);
        out[8 + j] = _mm512_shuffle_i32x4::<0x88>(high[0], high[1]);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(high[0], high[1]);
    }
    out
}
