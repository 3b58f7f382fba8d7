//! Plain Rust, in a form that compilers turn into the vectors of the baseline: what the others are
//! tested against, and what runs where there is nothing else.

use half::bf16;

use super::super::math::INTEGERS;
use super::{MAX_LANES, Simd, Work};

const LANES: usize = 4;
type F32 = [f32; LANES];
type I32 = [i32; LANES];

/// No instructions beyond the baseline.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Portable;

macro_rules! lanewise {
    ($($name:ident($($x:ident),+) = $result:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($x: F32),+) -> F32 {
            let mut result = [0.0; LANES];
            for (i, result) in result.iter_mut().enumerate() {
                $(let $x = $x[i];)+
                *result = $result;
            }
            result
        }
    )+};
}

/// One rounding where that is an instruction; a call of `fmaf` would be a hundred times slower.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

#[inline(always)]
fn round_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    let bits = if x.is_nan() { bits | 0x0040_0000 } else { rounded };
    f32::from_bits(bits & 0xffff_0000)
}

impl Simd for Portable {
    type F32 = F32;
    type I32 = I32;
    type Word = i32;
    type Weights = I32;

    const LANES: usize = LANES;
    const ROWS: usize = 4;
    const GROUP: usize = 1;
    const OFFSET: i32 = 0;

    #[inline(never)]
    fn outline<W: Work>(self, work: W) -> W::Output {
        work.run(self)
    }

    #[inline(always)]
    fn prefetch<T>(self, _: &[T], _: usize) {}

    #[inline(always)]
    fn splat(self, x: f32) -> F32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> F32 {
        [from[0], from[1], from[2], from[3]]
    }

    #[inline(always)]
    fn load_bf16(self, from: &[bf16]) -> [F32; 2] {
        let from = &from[..2 * LANES];
        let mut vectors = [[0.0; LANES]; 2];
        for i in 0..LANES {
            for (half, vector) in vectors.iter_mut().enumerate() {
                vector[i] = f32::from_bits(u32::from(from[2 * i + half].to_bits()) << 16);
            }
        }
        vectors
    }

    #[inline(always)]
    fn load_i8(self, from: &[i8]) -> [F32; 2] {
        let half = |half: usize| std::array::from_fn(|i| f32::from(from[half * LANES + i]));
        [half(0), half(1)]
    }

    #[inline(always)]
    fn store(self, x: F32, to: &mut [f32]) {
        to[..LANES].copy_from_slice(&x);
    }

    lanewise! {
        add(a, b) = a + b;
        sub(a, b) = a - b;
        mul(a, b) = a * b;
        div(a, b) = a / b;
        min(a, b) = if a < b { a } else { b };
        max(a, b) = if a > b { a } else { b };
        fma(a, b, c) = multiply_add(a, b, c);
        round_bf16(x) = round_bf16(x);
        shift_exponent(x, by) = f32::from_bits(x.to_bits().wrapping_add(by.to_bits() << 23));
    }

    #[inline(always)]
    fn zero(self) -> I32 {
        [0; LANES]
    }

    #[inline(always)]
    fn load_i32(self, from: &[i32]) -> I32 {
        [from[0], from[1], from[2], from[3]]
    }

    #[inline(always)]
    fn to_i32(self, x: F32) -> I32 {
        x.map(|x| ((x + INTEGERS) - INTEGERS) as i32)
    }

    #[inline(always)]
    fn to_f32(self, x: I32) -> F32 {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    fn max_bits(self, a: I32, x: F32) -> I32 {
        let mut max = a;
        for (max, x) in max.iter_mut().zip(x) {
            *max = (*max).max((x.to_bits() & 0x7fff_ffff) as i32);
        }
        max
    }

    #[inline(always)]
    fn lanes_i32(self, x: I32) -> [i32; MAX_LANES] {
        let mut lanes = [0; MAX_LANES];
        lanes[..LANES].copy_from_slice(&x);
        lanes
    }

    #[inline(always)]
    fn pack_words(self, x: [I32; 4], to: &mut [u32]) {
        to[..4 * LANES].copy_from_slice(x.map(|x| x.map(|x| x as u32)).as_flattened());
    }

    #[inline(always)]
    fn word(self, x: u32) -> i32 {
        x as i32
    }

    #[inline(always)]
    fn load_weights(self, from: &[i8]) -> I32 {
        let from = &from[..LANES];
        [from[0].into(), from[1].into(), from[2].into(), from[3].into()]
    }

    #[inline(always)]
    fn dot(self, sum: I32, a: i32, b: I32) -> I32 {
        let mut result = sum;
        for (sum, b) in result.iter_mut().zip(b) {
            *sum += a * b;
        }
        result
    }
}
