//! AVX2 and FMA.
//!
//! Integers are widened to 16 bits as they are loaded and multiplied with `vpmaddwd`, which is
//! exact; the 8-bit `vpmaddubsw` saturates.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use half::bf16;

use super::{MAX_LANES, Simd, Work};

const LANES: usize = 8;

/// Proof that the processor has AVX2 and FMA.
///
/// Invariant: only [`Avx2::detect`] makes one.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

/// Methods that are one expression of intrinsics on registers.
macro_rules! registers {
    ($($name:ident($($x:ident: $t:ty),*) -> $result:ty = $expression:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($x: $t),*) -> $result {
            // SAFETY: the intrinsics touch no memory and need no more than AVX2 and FMA, which the
            // existence of `self` proves.
            unsafe { $expression }
        }
    )+};
}

impl Simd for Avx2 {
    type F32 = __m256;
    type I32 = __m256i;
    type Word = __m256i;
    type Weights = __m256i;

    const LANES: usize = LANES;
    const ROWS: usize = 6;
    const GROUP: usize = 2;
    const OFFSET: i32 = 0;

    registers! {
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        round_bf16(x: __m256) -> __m256 = {
            let bits = _mm256_castps_si256(x);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let rounded = _mm256_castsi256_ps(_mm256_add_epi32(bits, half));
            let quiet = _mm256_or_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x0040_0000)));
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
            let mask = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32));
            _mm256_and_ps(_mm256_blendv_ps(rounded, quiet, nan), mask)
        };
        shift_exponent(x: __m256, by: __m256) -> __m256 = {
            let by = _mm256_slli_epi32::<23>(_mm256_castps_si256(by));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), by))
        };
        zero() -> __m256i = _mm256_setzero_si256();
        to_i32(x: __m256) -> __m256i = _mm256_cvtps_epi32(x);
        to_f32(x: __m256i) -> __m256 = _mm256_cvtepi32_ps(x);
        max_bits(a: __m256i, x: __m256) -> __m256i = {
            let bits = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(i32::MAX));
            _mm256_max_epi32(a, bits)
        };
        word(x: u32) -> __m256i = _mm256_set1_epi32(x as i32);
        dot(sum: __m256i, a: __m256i, b: __m256i) -> __m256i =
            _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }

    fn outline<W: Work>(self, work: W) -> W::Output {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma")]
        fn with_avx2<W: Work>(simd: Avx2, work: W) -> W::Output {
            work.run(simd)
        }
        // SAFETY: an `Avx2` exists only where `detect` found both features.
        unsafe { with_avx2(self, work) }
    }

    #[inline(always)]
    fn prefetch<T>(self, from: &[T], bytes: usize) {
        // SAFETY: a prefetch of any address is harmless; the pointer is not otherwise used.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast::<i8>().wrapping_add(bytes)) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        let from = &from[..LANES];
        // SAFETY: `from` has 8 floats; `self` proves AVX2.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> [__m256; 2] {
        let from = &from[..2 * LANES];
        // SAFETY: `from` has 16 elements of 2 bytes, which is one __m256i; `self` proves AVX2.
        unsafe {
            let pairs = _mm256_loadu_si256(from.as_ptr().cast());
            let high = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            let low = _mm256_slli_epi32::<16>(pairs);
            [_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)]
        }
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8]) -> [__m256; 2] {
        let from = &from[..2 * LANES];
        // SAFETY: `from` has 16 bytes, twice 8; `self` proves AVX2.
        unsafe {
            let low = _mm_loadl_epi64(from.as_ptr().cast());
            let high = _mm_loadl_epi64(from.as_ptr().add(LANES).cast());
            [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)),
            ]
        }
    }

    #[inline(always)]
    fn store(self, x: __m256, to: &mut [f32]) {
        let to = &mut to[..LANES];
        // SAFETY: `to` has 8 floats; `self` proves AVX2.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32]) -> __m256i {
        let from = &from[..LANES];
        // SAFETY: `from` has 8 integers of 4 bytes; `self` proves AVX2.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn lanes_i32(self, x: __m256i) -> [i32; MAX_LANES] {
        let mut lanes = [0; MAX_LANES];
        // SAFETY: `lanes` has at least 8 integers of 4 bytes; `self` proves AVX2.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), x) };
        lanes
    }

    #[inline(always)]
    fn pack_words(self, x: [__m256i; 4], to: &mut [u32]) {
        let to = &mut to[..4 * LANES / Self::GROUP];
        for (x, to) in x.as_chunks::<2>().0.iter().zip(to.as_chunks_mut::<LANES>().0) {
            // SAFETY: `to` has 8 words of 4 bytes, which is one __m256i; `self` proves AVX2.
            unsafe {
                // Packs within each half: in pairs, the results lie at 0, 2, 1 and 3.
                let packed = _mm256_packs_epi32(x[0], x[1]);
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed);
                _mm256_storeu_si256(to.as_mut_ptr().cast(), packed);
            }
        }
    }

    #[inline(always)]
    fn pack_bytes(self, x: [__m256i; 4], offset: u8, to: &mut [u8]) {
        let to = &mut to[..4 * LANES];
        // SAFETY: `to` has 32 bytes, which is one __m256i; `self` proves AVX2.
        unsafe {
            let low = _mm256_packs_epi32(x[0], x[1]);
            let high = _mm256_packs_epi32(x[2], x[3]);
            // Fours of each vector's halves: those of the low halves lie first.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
            let packed = _mm256_add_epi8(packed, _mm256_set1_epi8(offset as i8));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), packed);
        }
    }

    #[inline(always)]
    fn load_weights(self, from: &[i8]) -> __m256i {
        let from = &from[..LANES * Self::GROUP];
        // SAFETY: `from` has 16 bytes, which is one __m128i; `self` proves AVX2.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.as_ptr().cast())) }
    }
}
