//! AVX-512 with VNNI.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes, so activations carry an offset of 128, which the
//! start value of the sums takes off again. bf16 is widened and multiplied with FMA: `vdpbf16ps` runs
//! once in two cycles where FMA runs twice in one (Sapphire Rapids), and rounds on its own terms; see
//! `pairs.rs`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use half::bf16;

use super::super::math::{GELU, GELU_STEPS, INTEGERS};
use super::{MAX_LANES, Simd, Work};

const LANES: usize = 16;

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI, AVX2 and FMA.
///
/// Invariant: only [`Avx512::detect`] makes one.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        all.then_some(Self(()))
    }
}

/// Methods that are one expression of intrinsics on registers.
macro_rules! registers {
    ($($name:ident($($x:ident: $t:ty),*) -> $result:ty = $expression:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($x: $t),*) -> $result {
            // SAFETY: the intrinsics touch no memory and need no more features than the existence
            // of `self` proves.
            unsafe { $expression }
        }
    )+};
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    type Word = __m512i;
    type Weights = __m512i;

    const LANES: usize = LANES;
    const ROWS: usize = 12;
    const GROUP: usize = 4;
    const OFFSET: i32 = 128;

    registers! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        round_bf16(x: __m512) -> __m512 = {
            let bits = _mm512_castps_si512(x);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_add_epi32(bits, half);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            let mask = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let bits = _mm512_mask_blend_epi32(nan, rounded, quiet);
            _mm512_castsi512_ps(_mm512_and_si512(bits, mask))
        };
        shift_exponent(x: __m512, by: __m512) -> __m512 = {
            let by = _mm512_slli_epi32::<23>(_mm512_castps_si512(by));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), by))
        };
        zero() -> __m512i = _mm512_setzero_si512();
        to_i32(x: __m512) -> __m512i = _mm512_cvtps_epi32(x);
        to_f32(x: __m512i) -> __m512 = _mm512_cvtepi32_ps(x);
        max_bits(a: __m512i, x: __m512) -> __m512i = {
            let bits = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MAX));
            _mm512_max_epi32(a, bits)
        };
        word(x: u32) -> __m512i = _mm512_set1_epi32(x as i32);
        dot(sum: __m512i, a: __m512i, b: __m512i) -> __m512i = _mm512_dpbusd_epi32(sum, a, b);
    }

    fn outline<W: Work>(self, work: W) -> W::Output {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
        fn with_avx512<W: Work>(simd: Avx512, work: W) -> W::Output {
            work.run(simd)
        }
        // SAFETY: an `Avx512` exists only where `detect` found all of these features.
        unsafe { with_avx512(self, work) }
    }

    #[inline(always)]
    fn prefetch<T>(self, from: &[T], bytes: usize) {
        // SAFETY: a prefetch of any address is harmless; the pointer is not otherwise used.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().cast::<i8>().wrapping_add(bytes)) }
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        let from = &from[..LANES];
        // SAFETY: `from` has 16 floats; `self` proves AVX-512.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> [__m512; 2] {
        let from = &from[..2 * LANES];
        // SAFETY: `from` has 32 elements of 2 bytes, which is one __m512i; `self` proves AVX-512.
        unsafe {
            let pairs = _mm512_loadu_si512(from.as_ptr().cast());
            let high = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            let low = _mm512_slli_epi32::<16>(pairs);
            [_mm512_castsi512_ps(low), _mm512_castsi512_ps(high)]
        }
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8]) -> [__m512; 2] {
        let from = &from[..2 * LANES];
        // SAFETY: `from` has 32 bytes, which are two __m128i; `self` proves AVX-512.
        unsafe {
            let low = _mm_loadu_si128(from.as_ptr().cast());
            let high = _mm_loadu_si128(from.as_ptr().add(LANES).cast());
            [
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(low)),
                _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(high)),
            ]
        }
    }

    #[inline(always)]
    fn store(self, x: __m512, to: &mut [f32]) {
        let to = &mut to[..LANES];
        // SAFETY: `to` has 16 floats; `self` proves AVX-512.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32]) -> __m512i {
        let from = &from[..LANES];
        // SAFETY: `from` has 16 integers of 4 bytes; `self` proves AVX-512.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn lanes_i32(self, x: __m512i) -> [i32; MAX_LANES] {
        let mut lanes = [0; MAX_LANES];
        // SAFETY: `lanes` has 16 integers of 4 bytes; `self` proves AVX-512.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), x) };
        lanes
    }

    #[inline(always)]
    fn pack_words(self, x: [__m512i; 4], to: &mut [u32]) {
        self.pack_bytes(x, Self::OFFSET as u8, bytemuck::cast_slice_mut(to));
    }

    #[inline(always)]
    fn pack_bytes(self, x: [__m512i; 4], offset: u8, to: &mut [u8]) {
        let to = &mut to[..4 * LANES];
        // SAFETY: `to` has 64 bytes, which is one __m512i; `self` proves AVX-512 BW.
        unsafe {
            let low = _mm512_packs_epi32(x[0], x[1]);
            let high = _mm512_packs_epi32(x[2], x[3]);
            // Fours of each vector's quarters: those of the first quarters lie first.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let packed = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
            let packed = _mm512_add_epi8(packed, _mm512_set1_epi8(offset as i8));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), packed);
        }
    }

    #[inline(always)]
    fn pack_bf16(self, x: [__m512; 2], to: &mut [bf16]) {
        let to = &mut to[..2 * LANES];
        let (low, high) = (self.round_bf16(x[0]), self.round_bf16(x[1]));
        // SAFETY: `to` has 32 elements of 2 bytes; `self` proves AVX-512 F and BW.
        unsafe {
            let low = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_castps_si512(low)));
            let high = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_castps_si512(high)));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(to[LANES..].as_mut_ptr().cast(), high);
        }
    }

    #[inline(always)]
    fn bound(self, x: __m512, limit: f32) -> __m512 {
        /// The smaller magnitude with the sign of the first.
        const SMALLER: i32 = 0b00_10;
        // SAFETY: no memory is touched; `self` proves AVX-512 DQ.
        unsafe { _mm512_range_ps::<SMALLER>(x, _mm512_set1_ps(limit)) }
    }

    #[inline(always)]
    fn fast_gelu<const N: usize>(self, x: [__m512; N]) -> [__m512; N] {
        /// The smaller magnitude, positive.
        const SMALLER: i32 = 0b10_10;
        const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
        let table: &[[[f32; LANES]; 2]; 4] = bytemuck::must_cast_ref(&GELU.0);
        let mut out = x;
        // SAFETY: no memory is touched; `self` proves AVX-512 F and DQ.
        unsafe {
            let end = _mm512_set1_ps(31.5 / GELU_STEPS);
            let (steps, half) = (_mm512_set1_ps(GELU_STEPS), _mm512_set1_ps(0.5));
            for x in &mut out {
                let bounded = _mm512_range_ps::<SMALLER>(*x, end);
                // The lowest bits are the segment.
                let at = _mm512_fmadd_round_ps::<DOWN>(bounded, steps, _mm512_set1_ps(INTEGERS));
                let at = _mm512_castps_si512(at);
                let magnitude = _mm512_abs_ps(*x);
                let mut y = _mm512_setzero_ps();
                let mut power = 4;
                while power > 0 {
                    power -= 1;
                    let [low, high] = table[power];
                    let low = bytemuck::must_cast(low);
                    let term = _mm512_permutex2var_ps(low, at, bytemuck::must_cast(high));
                    y = if power == 3 { term } else { _mm512_fmadd_ps(y, magnitude, term) };
                }
                *x = _mm512_fmadd_ps(*x, half, y);
            }
        }
        out
    }

    #[inline(always)]
    fn ratio(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: no memory is touched; `self` proves AVX-512 F.
        unsafe {
            // 14 bits of the inverse, made 28 by a step of Newton's: a fifth of a division's time.
            let inverse = _mm512_rcp14_ps(b);
            let error = _mm512_fnmadd_ps(b, inverse, _mm512_set1_ps(1.0));
            _mm512_mul_ps(a, _mm512_fmadd_ps(inverse, error, inverse))
        }
    }

    #[inline(always)]
    fn sum_lanes(self, x: __m512) -> f32 {
        // SAFETY: no memory is touched; `self` proves AVX-512 F.
        unsafe { _mm512_reduce_add_ps(x) }
    }

    #[inline(always)]
    fn max_lanes(self, x: __m512) -> f32 {
        // SAFETY: as above.
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    fn load_weights(self, from: &[i8]) -> __m512i {
        let from = &from[..LANES * Self::GROUP];
        // SAFETY: `from` has 64 bytes; `self` proves AVX-512.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
}
