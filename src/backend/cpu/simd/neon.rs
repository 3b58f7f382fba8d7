//! NEON, which every aarch64 has.
//!
//! Integers are multiplied to 16 bits: two products of −127..=127 and −128..=127 fit their sum. Where
//! there are dot products of bytes, `blocks.rs` multiplies instead.
//!
//! Nothing is prefetched: panels are read in order. No time was measured on aarch64.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

use half::bf16;

use super::{MAX_LANES, Simd, Work};

const LANES: usize = 4;

/// Proof that the processor has NEON, in the byte order that words of bytes count on.
///
/// Invariant: only [`Neon::detect`] makes one.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        (cfg!(target_endian = "little") && is_aarch64_feature_detected!("neon")).then_some(Self(()))
    }
}

/// Methods that are one expression of intrinsics on registers.
macro_rules! registers {
    ($($name:ident($($x:ident: $t:ty),*) -> $result:ty = $expression:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($x: $t),*) -> $result {
            // SAFETY: the intrinsics touch no memory and need no more than NEON, which the existence
            // of `self` proves.
            unsafe { $expression }
        }
    )+};
}

impl Simd for Neon {
    type F32 = float32x4_t;
    type I32 = int32x4_t;
    /// The first two bytes and the last two, each in every column.
    type Word = [int8x8_t; 2];
    /// The first two bytes of every column, and the last two.
    type Weights = [int8x8_t; 2];

    const LANES: usize = LANES;
    const ROWS: usize = 12;
    const GROUP: usize = 4;
    const OFFSET: i32 = 0;

    registers! {
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        // Not `fmin` and `fmax`, which return a NaN whichever operand it is.
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        bound(x: float32x4_t, limit: f32) -> float32x4_t =
            vminq_f32(vmaxq_f32(x, vdupq_n_f32(-limit)), vdupq_n_f32(limit));
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        round_bf16(x: float32x4_t) -> float32x4_t = {
            let bits = vreinterpretq_u32_f32(x);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
            let bits = vbslq_u32(vceqq_f32(x, x), rounded, quiet);
            vreinterpretq_f32_u32(vandq_u32(bits, vdupq_n_u32(0xffff_0000)))
        };
        shift_exponent(x: float32x4_t, by: float32x4_t) -> float32x4_t = {
            let by = vshlq_n_s32::<23>(vreinterpretq_s32_f32(by));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), by))
        };
        zero() -> int32x4_t = vdupq_n_s32(0);
        to_i32(x: float32x4_t) -> int32x4_t = vcvtnq_s32_f32(x);
        to_f32(x: int32x4_t) -> float32x4_t = vcvtq_f32_s32(x);
        max_bits(a: int32x4_t, x: float32x4_t) -> int32x4_t =
            vmaxq_s32(a, vandq_s32(vreinterpretq_s32_f32(x), vdupq_n_s32(i32::MAX)));
        sum_lanes(x: float32x4_t) -> f32 = vaddvq_f32(x);
        max_lanes(x: float32x4_t) -> f32 = vmaxvq_f32(x);
        word(x: u32) -> [int8x8_t; 2] = [
            vreinterpret_s8_s16(vdup_n_s16(x as i16)),
            vreinterpret_s8_s16(vdup_n_s16((x >> 16) as i16)),
        ];
        dot(sum: int32x4_t, a: [int8x8_t; 2], b: [int8x8_t; 2]) -> int32x4_t =
            vpadalq_s16(sum, vmlal_s8(vmull_s8(a[0], b[0]), a[1], b[1]));
    }

    fn outline<W: Work>(self, work: W) -> W::Output {
        #[inline(never)]
        #[target_feature(enable = "neon")]
        fn with_neon<W: Work>(simd: Neon, work: W) -> W::Output {
            work.run(simd)
        }
        // SAFETY: a `Neon` exists only where `detect` found the feature.
        unsafe { with_neon(self, work) }
    }

    #[inline(always)]
    fn prefetch<T>(self, _: &[T], _: usize) {}

    #[inline(always)]
    fn load(self, from: &[f32]) -> float32x4_t {
        let from = &from[..LANES];
        // SAFETY: `from` has 4 floats; `self` proves NEON.
        unsafe { vld1q_f32(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> [float32x4_t; 2] {
        let from = &from[..2 * LANES];
        // SAFETY: `from` has 8 elements of 2 bytes; `self` proves NEON.
        unsafe {
            let pairs = vreinterpretq_u32_u16(vld1q_u16(from.as_ptr().cast()));
            let high = vandq_u32(pairs, vdupq_n_u32(0xffff_0000));
            [vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs)), vreinterpretq_f32_u32(high)]
        }
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8]) -> [float32x4_t; 2] {
        let from = &from[..2 * LANES];
        // SAFETY: `from` has 8 bytes; `self` proves NEON.
        unsafe {
            let wide = vmovl_s8(vld1_s8(from.as_ptr()));
            [vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_high_s16(wide))]
        }
    }

    #[inline(always)]
    fn store(self, x: float32x4_t, to: &mut [f32]) {
        let to = &mut to[..LANES];
        // SAFETY: `to` has 4 floats; `self` proves NEON.
        unsafe { vst1q_f32(to.as_mut_ptr(), x) }
    }

    #[inline(always)]
    fn pack_bf16(self, x: [float32x4_t; 2], to: &mut [bf16]) {
        let to = &mut to[..2 * LANES];
        let (low, high) = (self.round_bf16(x[0]), self.round_bf16(x[1]));
        // SAFETY: `to` has 8 elements of 2 bytes; `self` proves NEON.
        unsafe {
            let low = vshrn_n_u32::<16>(vreinterpretq_u32_f32(low));
            let high = vshrn_n_u32::<16>(vreinterpretq_u32_f32(high));
            vst1q_u16(to.as_mut_ptr().cast(), vcombine_u16(low, high));
        }
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32]) -> int32x4_t {
        let from = &from[..LANES];
        // SAFETY: `from` has 4 integers; `self` proves NEON.
        unsafe { vld1q_s32(from.as_ptr()) }
    }

    #[inline(always)]
    fn lanes_i32(self, x: int32x4_t) -> [i32; MAX_LANES] {
        let mut lanes = [0; MAX_LANES];
        // SAFETY: `lanes` has at least 4 integers; `self` proves NEON.
        unsafe { vst1q_s32(lanes.as_mut_ptr(), x) };
        lanes
    }

    #[inline(always)]
    fn pack_words(self, x: [int32x4_t; 4], to: &mut [u32]) {
        self.pack_bytes(x, 0, bytemuck::cast_slice_mut(to));
    }

    #[inline(always)]
    fn pack_bytes(self, x: [int32x4_t; 4], offset: u8, to: &mut [u8]) {
        let to = &mut to[..4 * LANES];
        // SAFETY: `to` has 16 bytes; `self` proves NEON.
        unsafe {
            let low = vcombine_s16(vmovn_s32(x[0]), vmovn_s32(x[1]));
            let high = vcombine_s16(vmovn_s32(x[2]), vmovn_s32(x[3]));
            let packed = vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
            vst1q_u8(to.as_mut_ptr(), vaddq_u8(packed, vdupq_n_u8(offset)));
        }
    }

    #[inline(always)]
    fn load_weights(self, from: &[i8]) -> [int8x8_t; 2] {
        let from = &from[..LANES * Self::GROUP];
        // SAFETY: `from` has 16 bytes; `self` proves NEON.
        unsafe {
            let columns = vreinterpretq_s32_s8(vld1q_s8(from.as_ptr()));
            let (first, last) = (vmovn_s32(columns), vshrn_n_s32::<16>(columns));
            [vreinterpret_s8_s16(first), vreinterpret_s8_s16(last)]
        }
    }
}
