//! Instruction sets, chosen at run time.
//!
//! Operators are written once, over [`Simd`], and instantiated for each instruction set. A value of
//! a type that implements it is a token: it exists only where the processor has the instructions,
//! so its methods are safe to call. [`Level::run`] enters a function that is compiled with them.
//!
//! What is generic over `Simd` must be inlined into that function: `#[inline(always)]`, and no
//! closures in its loops, which would be compiled without the instructions.

use std::fmt;

use half::bf16;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
use self::{avx2::Avx2, avx512::Avx512};
use portable::Portable;

/// An instruction set that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Rust without intrinsics: any processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
}

impl Isa {
    /// All, the best last.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The name, as in `TILEWRIGHT_ISA`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The instruction set of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        Level::new(self).is_some()
    }

    /// The best that this machine has.
    pub fn best() -> Self {
        Self::ALL.into_iter().rev().find(|isa| isa.is_available()).unwrap_or(Self::Portable)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The most lanes that any instruction set has.
pub(super) const MAX_LANES: usize = 16;

/// Vectors of an instruction set.
///
/// `load` and `store` panic when the slice is shorter than the vector. Where an operand is NaN, `min`
/// and `max` return their second one, so `max(bound, x)` keeps a NaN of `x`.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// [`Simd::LANES`] floats.
    type F32: Copy;
    /// As many integers.
    type I32: Copy;
    /// A word of activations in each lane.
    type Word: Copy;
    /// A word of weights for each lane.
    type Weights: Copy;

    /// Lanes of a vector: at most [`MAX_LANES`].
    const LANES: usize;
    /// Rows of the tile of sums that fits into the registers, two vectors wide.
    const ROWS: usize;
    /// Activations in a 32-bit word: what one integer multiply-add takes at a time.
    const GROUP: usize;
    /// What is added to the activations in a word.
    const OFFSET: i32;

    /// Runs work in a function of its own, so that registers are allotted to it alone.
    fn outline<W: Work>(self, work: W) -> W::Output;

    /// Asks for the cache line so many bytes behind the start of a slice, which need not be in it.
    fn prefetch<T>(self, from: &[T], bytes: usize);

    fn splat(self, x: f32) -> Self::F32;
    fn load(self, from: &[f32]) -> Self::F32;
    /// Two vectors whose lanes alternate in memory.
    fn load_bf16(self, from: &[bf16]) -> [Self::F32; 2];
    fn store(self, x: Self::F32, to: &mut [f32]);
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where the processor can.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Rounds to bf16, ties to even; a NaN stays one.
    fn round_bf16(self, x: Self::F32) -> Self::F32;
    /// Adds the lowest bits of `by`, a float, to the exponent of `x`.
    fn shift_exponent(self, x: Self::F32, by: Self::F32) -> Self::F32;

    fn zero(self) -> Self::I32;
    fn load_i32(self, from: &[i32]) -> Self::I32;
    /// To nearest, ties to even; |x| must be below 2²².
    fn to_i32(self, x: Self::F32) -> Self::I32;
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// The larger of `a` and the bits of |x|, by which NaN is above infinity and that above all.
    fn max_bits(self, a: Self::I32, x: Self::F32) -> Self::I32;
    fn lanes_i32(self, x: Self::I32) -> [i32; MAX_LANES];

    /// Packs integers of −127..=127 into words, with [`Simd::OFFSET`].
    fn store_words(self, x: Self::I32, to: &mut [u32]);
    fn word(self, x: u32) -> Self::Word;
    /// [`Simd::GROUP`] weights for each lane.
    fn load_weights(self, from: &[i8]) -> Self::Weights;
    /// Adds to each lane the products of its activations and weights, exactly.
    fn dot(self, sum: Self::I32, a: Self::Word, b: Self::Weights) -> Self::I32;

    #[inline(always)]
    fn sum_lanes(self, x: Self::F32) -> f32 {
        let mut lanes = [0.0; MAX_LANES];
        self.store(x, &mut lanes);
        let mut sum = 0.0;
        for lane in lanes {
            sum += lane;
        }
        sum
    }

    #[inline(always)]
    fn max_lanes(self, x: Self::F32) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
        self.store(x, &mut lanes);
        let mut max = lanes[0];
        for lane in lanes {
            max = if lane > max { lane } else { max };
        }
        max
    }
}

/// Columns of a panel of weights: two vectors.
pub(super) const fn panel<S: Simd>() -> usize {
    2 * S::LANES
}

/// Something to do with whatever instruction set there is.
pub(super) trait Work {
    /// What it returns.
    type Output;
    /// Does it. Mark it `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// An instruction set that this machine has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    pub(super) fn new(isa: Isa) -> Option<Self> {
        match isa {
            Isa::Portable => Some(Self::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => None,
        }
    }

    pub(super) fn isa(self) -> Isa {
        match self {
            Self::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Isa::Avx512,
        }
    }

    /// Runs work that is compiled for this instruction set.
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            Self::Portable(simd) => simd.outline(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.outline(work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.outline(work),
        }
    }

    /// How this instruction set wants its weights.
    pub(super) fn geometry(self) -> Geometry {
        struct Ask;
        impl Work for Ask {
            type Output = Geometry;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> Geometry {
                Geometry { panel: panel::<S>(), rows: S::ROWS, group: S::GROUP, offset: S::OFFSET }
            }
        }
        self.run(Ask)
    }
}

/// What [`Simd`]'s constants are for an instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Columns of a panel.
    pub(super) panel: usize,
    /// Rows of a tile of sums.
    pub(super) rows: usize,
    /// Activations in a word.
    pub(super) group: usize,
    /// What is added to activations in a word.
    pub(super) offset: i32,
}
