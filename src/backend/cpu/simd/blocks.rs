//! aarch64's multiplications of rows that lie together: dot products of four bytes (`dotprod`), and
//! blocks of 2 × 2 sums of eight bytes (`i8mm`) or four bf16 (`bf16`).
//!
//! A tile of sums is [`ROWS`] × [`COLUMNS`], 24 of the 32 registers. An operand is groups of as many
//! rows: step after step of K, the few bytes of a step of one row after those of the row before. So a
//! tile reads both its operands in order, whole registers at a time, and needs no broadcast: an
//! instruction takes the word of a row out of a register, or the rows of two. Rows that there are not
//! are multiplied like others, in fours, and their sums left alone.
//!
//! The intrinsics are not stable, but the assembler knows the instructions: see [`instructions`].
//! No time was measured on hardware.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;
use std::marker::PhantomData;

use bytemuck::Pod;
use half::bf16;

use super::Geometry;

/// Rows that lie together, and columns of a panel.
pub(in super::super) const ROWS: usize = 12;
pub(in super::super) const COLUMNS: usize = 8;

/// A register as it lies in memory.
type Register = [u32; 4];
/// The sums of a tile as 32-bit words, row by row.
pub(in super::super) type Words = [[Register; COLUMNS / 4]; ROWS];

/// What multiplies rows that lie together.
pub(in super::super) trait Together: Copy {
    /// What sums are.
    type Sum: Pod;
    /// Bytes of a step of one row.
    const STEP: usize;
    /// Multiplies up to [`ROWS`] rows and a panel, both of them steps.
    fn multiply(self, a: &[u8], rows: usize, panel: &[u8], sums: &mut Words);
}

/// How operands lie for elements of so many bytes.
pub(super) fn geometry<T: Together>(_: T, bytes: usize) -> Geometry {
    let step = T::STEP / bytes;
    Geometry { panel: COLUMNS, rows: ROWS, group: step, step, offset: 0 }
}

/// Proof that the processor has dot products of bytes.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Dot(());

impl Dot {
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }
}

impl Together for Dot {
    type Sum = i32;
    const STEP: usize = 4;

    #[inline(always)]
    fn multiply(self, a: &[u8], rows: usize, panel: &[u8], sums: &mut Words) {
        let (a, panel) = (bytemuck::cast_slice(a), bytemuck::cast_slice(panel));
        // SAFETY: `self` proves the feature.
        unsafe {
            match rows {
                ..=4 => dots::<1>(a, panel, sums),
                5..=8 => dots::<2>(a, panel, sums),
                _ => dots::<3>(a, panel, sums),
            }
        }
    }
}

/// Proof that the processor multiplies blocks of bytes and of bf16, as all do from Armv8.6 on.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Blocks<T>(PhantomData<T>);

impl<T> Blocks<T> {
    pub(super) fn detect() -> Option<Self> {
        (is_aarch64_feature_detected!("i8mm") && is_aarch64_feature_detected!("bf16"))
            .then_some(Self(PhantomData))
    }

    #[inline(always)]
    fn tile<const BF16: bool>(self, a: &[u8], rows: usize, panel: &[u8], sums: &mut Words) {
        let (a, panel) = (bytemuck::cast_slice(a), bytemuck::cast_slice(panel));
        // SAFETY: `self` proves the features.
        unsafe {
            match rows {
                ..=4 => blocks::<BF16, 2>(a, panel, sums),
                5..=8 => blocks::<BF16, 4>(a, panel, sums),
                _ => blocks::<BF16, 6>(a, panel, sums),
            }
        }
    }
}

impl Together for Blocks<i8> {
    type Sum = i32;
    const STEP: usize = 8;

    #[inline(always)]
    fn multiply(self, a: &[u8], rows: usize, panel: &[u8], sums: &mut Words) {
        self.tile::<false>(a, rows, panel, sums);
    }
}

impl Together for Blocks<bf16> {
    type Sum = f32;
    const STEP: usize = 8;

    #[inline(always)]
    fn multiply(self, a: &[u8], rows: usize, panel: &[u8], sums: &mut Words) {
        self.tile::<true>(a, rows, panel, sums);
    }
}

/// `R` registers of four rows.
#[target_feature(enable = "neon,dotprod")]
fn dots<const R: usize>(a: &[[Register; 3]], panel: &[[Register; 2]], out: &mut Words) {
    use instructions::sdot;

    let mut sums = [[[zero(); 2]; 4]; R];
    for (a, b) in a.iter().zip(panel) {
        let b = [load(&b[0]), load(&b[1])];
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = load(a);
            for column in 0..2 {
                sums[0][column] = sdot::<0>(sums[0][column], b[column], a);
                sums[1][column] = sdot::<1>(sums[1][column], b[column], a);
                sums[2][column] = sdot::<2>(sums[2][column], b[column], a);
                sums[3][column] = sdot::<3>(sums[3][column], b[column], a);
            }
        }
    }
    for (sums, out) in sums.as_flattened().iter().zip(out) {
        store(sums[0], &mut out[0]);
        store(sums[1], &mut out[1]);
    }
}

/// `R` registers of two rows.
#[target_feature(enable = "neon,i8mm,bf16")]
fn blocks<const BF16: bool, const R: usize>(
    a: &[[Register; 6]],
    panel: &[[Register; 4]],
    out: &mut Words,
) {
    use instructions::{bfmmla, smmla};

    let mut sums = [[zero(); 4]; R];
    for (a, b) in a.iter().zip(panel) {
        let b = [load(&b[0]), load(&b[1]), load(&b[2]), load(&b[3])];
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = load(a);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = if BF16 { bfmmla(*sum, a, b) } else { smmla(*sum, a, b) };
            }
        }
    }
    // A register of sums is two columns of a row, then the same of the row below.
    for (sums, out) in sums.iter().zip(out.as_chunks_mut::<2>().0) {
        for (half, sums) in sums.as_chunks::<2>().0.iter().enumerate() {
            let (left, right) = (vreinterpretq_u64_u32(sums[0]), vreinterpretq_u64_u32(sums[1]));
            store(vreinterpretq_u32_u64(vzip1q_u64(left, right)), &mut out[0][half]);
            store(vreinterpretq_u32_u64(vzip2q_u64(left, right)), &mut out[1][half]);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> uint32x4_t {
    vdupq_n_u32(0)
}

#[inline]
#[target_feature(enable = "neon")]
fn load(from: &Register) -> uint32x4_t {
    // SAFETY: there are 4 words.
    unsafe { vld1q_u32(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(x: uint32x4_t, to: &mut Register) {
    // SAFETY: there are 4 words.
    unsafe { vst1q_u32(to.as_mut_ptr(), x) }
}

/// Instructions whose intrinsics are not stable (rust-lang/rust 117223, 117224; there are none of bf16).
///
/// Invariant: each is compiled with the feature that it needs, and an instruction reads and writes the
/// registers that are named and nothing else. So whoever may call a function here may run it.
mod instructions {
    use std::arch::aarch64::uint32x4_t;
    use std::arch::asm;

    /// Adds to each word the products of its four bytes in `b` and those of word `WORD` of `a`.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(super) fn sdot<const WORD: usize>(
        mut sum: uint32x4_t,
        b: uint32x4_t,
        a: uint32x4_t,
    ) -> uint32x4_t {
        const { assert!(WORD < 4) };
        // SAFETY: by the invariant above.
        unsafe {
            asm!(
                "sdot {sum:v}.4s, {b:v}.16b, {a:v}.4b[{word}]",
                sum = inout(vreg) sum,
                b = in(vreg) b,
                a = in(vreg) a,
                word = const WORD,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }

    /// Adds the products of two rows of eight bytes and two columns: four sums, row by row.
    #[inline]
    #[target_feature(enable = "neon,i8mm")]
    pub(super) fn smmla(mut sum: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: by the invariant above.
        unsafe {
            asm!(
                "smmla {sum:v}.4s, {a:v}.16b, {b:v}.16b",
                sum = inout(vreg) sum,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }

    /// Adds the products of two rows of four bf16 and two columns: four sums in f32, row by row.
    #[inline]
    #[target_feature(enable = "neon,bf16")]
    pub(super) fn bfmmla(mut sum: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        // SAFETY: by the invariant above.
        unsafe {
            asm!(
                "bfmmla {sum:v}.4s, {a:v}.8h, {b:v}.8h",
                sum = inout(vreg) sum,
                a = in(vreg) a,
                b = in(vreg) b,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}
