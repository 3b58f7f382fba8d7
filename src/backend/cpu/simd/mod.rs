//! Instruction sets, chosen at run time.
//!
//! Operators are written once, over [`Simd`], and instantiated for each kind of vector. A value of
//! a type that implements it is a token: it exists only where the processor has the instructions,
//! so its methods are safe to call. [`Level::run`] enters a function that is compiled with them.
//!
//! What is generic over `Simd` must be inlined into that function: `#[inline(always)]`, and no
//! closures in its loops, which would be compiled without the instructions.
//!
//! Matmuls may have an engine of their own beside the vectors, a token as well: [`Engine`].

use std::fmt;

use half::bf16;

use super::{Numeric, math};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
pub(super) mod blocks;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
pub(super) mod pairs;
mod portable;
#[cfg(target_arch = "x86_64")]
pub(super) mod tiles;
#[cfg(target_arch = "x86_64")]
pub(super) mod vnni256;

#[cfg(target_arch = "x86_64")]
use self::{avx2::Avx2, avx512::Avx512, pairs::Pairs, tiles::Tiles, vnni256::Vnni256};
#[cfg(target_arch = "aarch64")]
use self::{
    blocks::{Blocks, Dot},
    neon::Neon,
};
use portable::Portable;

/// An instruction set that there are kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Rust without intrinsics: any processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// The same with AVX-VNNI for i8.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    Avx512Vnni,
    /// The same with AVX-512 BF16 for bf16.
    Avx512Bf16,
    /// AVX-512 with VNNI, and AMX tiles for i8 and bf16 (Linux).
    Amx,
    /// aarch64 with what each has.
    Neon,
    /// The same with dot products (Armv8.2) for i8.
    NeonDot,
    /// The same with the matrix products of Armv8.6 for i8 and bf16.
    NeonI8mm,
}

impl Isa {
    /// All, those of a processor with the best last.
    pub const ALL: [Self; 9] = [
        Self::Portable,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::Avx512Bf16,
        Self::Amx,
        Self::Neon,
        Self::NeonDot,
        Self::NeonI8mm,
    ];

    /// The name, as in `TILEWRIGHT_ISA`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx",
            Self::Neon => "neon",
            Self::NeonDot => "dotprod",
            Self::NeonI8mm => "i8mm",
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
        let good = |isa: &Self| isa.is_available() && (*isa != Self::Avx512Bf16 || bf16_is_fast());
        Self::ALL.into_iter().rev().find(good).unwrap_or(Self::Portable)
    }
}

/// Whether multiplying pairs of bf16 is faster than widening them: see `pairs.rs`.
#[cfg(target_arch = "x86_64")]
fn bf16_is_fast() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    let vendor = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    vendor.as_flattened() == b"AuthenticAMD"
}

#[cfg(not(target_arch = "x86_64"))]
fn bf16_is_fast() -> bool {
    false
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
    /// Two vectors, one behind the other.
    fn load_i8(self, from: &[i8]) -> [Self::F32; 2];
    fn store(self, x: Self::F32, to: &mut [f32]);
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `x`, or what has its sign and the magnitude `limit` if that is less.
    #[inline(always)]
    fn bound(self, x: Self::F32, limit: f32) -> Self::F32 {
        self.min(self.splat(limit), self.max(self.splat(-limit), x))
    }
    /// `a * b + c`, rounded once where the processor can.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// Rounds to bf16, ties to even; a NaN stays one.
    fn round_bf16(self, x: Self::F32) -> Self::F32;
    /// Rounds two vectors and stores them one behind the other.
    #[inline(always)]
    fn pack_bf16(self, x: [Self::F32; 2], to: &mut [bf16]) {
        for (x, to) in x.into_iter().zip(to.chunks_exact_mut(Self::LANES)) {
            let mut lanes = [0.0; MAX_LANES];
            self.store(self.round_bf16(x), &mut lanes);
            for (x, to) in lanes.into_iter().zip(to) {
                *to = bf16::from_bits((x.to_bits() >> 16) as u16);
            }
        }
    }
    /// Adds the lowest bits of `by`, a float, to the exponent of `x`.
    fn shift_exponent(self, x: Self::F32, by: Self::F32) -> Self::F32;

    /// `a / b` within 2 ulp, for |b| of about 1 to 2⁶⁴.
    #[inline(always)]
    fn ratio(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.div(a, b)
    }

    /// As [`math::gelu`], within the same error though not with the same ones: for results that become
    /// integers.
    #[inline(always)]
    fn fast_gelu<const N: usize>(self, x: [Self::F32; N]) -> [Self::F32; N] {
        math::gelu(self, x)
    }

    fn zero(self) -> Self::I32;
    fn load_i32(self, from: &[i32]) -> Self::I32;
    /// To nearest, ties to even; |x| must be below 2²².
    fn to_i32(self, x: Self::F32) -> Self::I32;
    fn to_f32(self, x: Self::I32) -> Self::F32;
    /// The larger of `a` and the bits of |x|, by which NaN is above infinity and that above all.
    fn max_bits(self, a: Self::I32, x: Self::F32) -> Self::I32;
    fn lanes_i32(self, x: Self::I32) -> [i32; MAX_LANES];

    /// Packs four vectors of integers of −127..=127 into words, with [`Simd::OFFSET`].
    fn pack_words(self, x: [Self::I32; 4], to: &mut [u32]);
    /// Packs them into bytes, with this offset.
    #[inline(always)]
    fn pack_bytes(self, x: [Self::I32; 4], offset: u8, to: &mut [u8]) {
        for (x, to) in x.into_iter().zip(to.chunks_exact_mut(Self::LANES)) {
            for (x, to) in self.lanes_i32(x).into_iter().zip(to) {
                *to = (x as u8).wrapping_add(offset);
            }
        }
    }
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
pub(super) struct Level {
    isa: Isa,
    vectors: Vectors,
}

#[derive(Debug, Clone, Copy)]
enum Vectors {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// What multiplies matrices at a precision.
#[derive(Debug, Clone, Copy)]
pub(super) enum Engine {
    /// Vectors of floats.
    Floats,
    /// Vectors of floats, which bf16 is widened to.
    Widened,
    /// Vectors of words: see [`Simd::dot`].
    Words,
    /// Vectors of four bytes.
    #[cfg(target_arch = "x86_64")]
    Vnni256(Vnni256),
    /// Vectors of pairs of bf16.
    #[cfg(target_arch = "x86_64")]
    Pairs(Pairs),
    /// Tiles of bytes.
    #[cfg(target_arch = "x86_64")]
    ByteTiles(Tiles),
    /// Tiles of pairs of bf16.
    #[cfg(target_arch = "x86_64")]
    PairTiles(Tiles),
    /// Rows that lie together by vectors of four bytes.
    #[cfg(target_arch = "aarch64")]
    Dot(Dot),
    /// Two rows by two columns of eight bytes.
    #[cfg(target_arch = "aarch64")]
    ByteBlocks(Blocks<i8>),
    /// Two rows by two columns of four bf16.
    #[cfg(target_arch = "aarch64")]
    Bf16Blocks(Blocks<bf16>),
}

impl Level {
    pub(super) fn new(isa: Isa) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = match isa {
            Isa::Portable => Vectors::Portable(Portable),
            Isa::Avx2 => Vectors::Avx2(Avx2::detect()?),
            Isa::AvxVnni => Vnni256::detect().and(Avx2::detect()).map(Vectors::Avx2)?,
            Isa::Avx512Vnni => Vectors::Avx512(Avx512::detect()?),
            Isa::Avx512Bf16 => Pairs::detect().and(Avx512::detect()).map(Vectors::Avx512)?,
            Isa::Amx => Tiles::detect().and(Avx512::detect()).map(Vectors::Avx512)?,
            Isa::Neon | Isa::NeonDot | Isa::NeonI8mm => return None,
        };
        #[cfg(target_arch = "aarch64")]
        let vectors = match isa {
            Isa::Portable => Vectors::Portable(Portable),
            Isa::Neon => Vectors::Neon(Neon::detect()?),
            Isa::NeonDot => Dot::detect().and(Neon::detect()).map(Vectors::Neon)?,
            Isa::NeonI8mm => Blocks::<i8>::detect().and(Neon::detect()).map(Vectors::Neon)?,
            Isa::Avx2 | Isa::AvxVnni | Isa::Avx512Vnni | Isa::Avx512Bf16 | Isa::Amx => return None,
        };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let vectors = (isa == Isa::Portable).then_some(Vectors::Portable(Portable))?;
        Some(Self { isa, vectors })
    }

    pub(super) fn isa(self) -> Isa {
        self.isa
    }

    /// Runs work that is compiled for this instruction set.
    pub(super) fn run<W: Work>(self, work: W) -> W::Output {
        match self.vectors {
            Vectors::Portable(simd) => simd.outline(work),
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2(simd) => simd.outline(work),
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512(simd) => simd.outline(work),
            #[cfg(target_arch = "aarch64")]
            Vectors::Neon(simd) => simd.outline(work),
        }
    }

    /// What multiplies at a precision.
    pub(super) fn engine(self, numeric: Numeric) -> Engine {
        #[cfg(target_arch = "x86_64")]
        match (self.isa, numeric) {
            (Isa::AvxVnni, Numeric::I8 { .. }) => {
                if let Some(engine) = Vnni256::detect() {
                    return Engine::Vnni256(engine);
                }
            }
            (Isa::Avx512Bf16, Numeric::Bf16) => {
                if let Some(engine) = Pairs::detect() {
                    return Engine::Pairs(engine);
                }
            }
            (Isa::Amx, Numeric::I8 { .. } | Numeric::Bf16) => {
                if let Some(tiles) = Tiles::detect() {
                    return match numeric {
                        Numeric::Bf16 => Engine::PairTiles(tiles),
                        _ => Engine::ByteTiles(tiles),
                    };
                }
            }
            _ => {}
        }
        #[cfg(target_arch = "aarch64")]
        match (self.isa, numeric) {
            (Isa::NeonDot, Numeric::I8 { .. }) => {
                if let Some(engine) = Dot::detect() {
                    return Engine::Dot(engine);
                }
            }
            (Isa::NeonI8mm, Numeric::I8 { .. }) => {
                if let Some(engine) = Blocks::detect() {
                    return Engine::ByteBlocks(engine);
                }
            }
            (Isa::NeonI8mm, Numeric::Bf16) => {
                if let Some(engine) = Blocks::detect() {
                    return Engine::Bf16Blocks(engine);
                }
            }
            _ => {}
        }
        match numeric {
            Numeric::F32 => Engine::Floats,
            Numeric::Bf16 => Engine::Widened,
            Numeric::I8 { .. } => Engine::Words,
        }
    }

    /// How operands lie for the vectors.
    pub(super) fn geometry(self) -> Geometry {
        struct Ask;
        impl Work for Ask {
            type Output = Geometry;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> Geometry {
                let (panel, rows, group) = (panel::<S>(), S::ROWS, S::GROUP);
                Geometry { panel, rows, group, step: group, offset: S::OFFSET }
            }
        }
        self.run(Ask)
    }

    /// How operands lie for what multiplies at a precision.
    pub(super) fn geometry_of(self, numeric: Numeric) -> Geometry {
        let vectors = self.geometry();
        match self.engine(numeric) {
            Engine::Words => vectors,
            Engine::Floats | Engine::Widened => {
                Geometry { group: 1, step: 1, offset: 0, ..vectors }
            }
            #[cfg(target_arch = "x86_64")]
            Engine::Vnni256(_) => Geometry { group: 4, step: 4, offset: 128, ..vectors },
            #[cfg(target_arch = "x86_64")]
            Engine::Pairs(_) => Geometry { group: 2, step: 2, offset: 0, ..vectors },
            #[cfg(target_arch = "x86_64")]
            Engine::ByteTiles(_) | Engine::PairTiles(_) => {
                let bytes = if matches!(numeric, Numeric::Bf16) { 2 } else { 1 };
                Geometry {
                    panel: tiles::TILE_COLUMNS,
                    rows: tiles::TILE_ROWS,
                    group: 4 / bytes,
                    step: tiles::STEP / bytes,
                    offset: 0,
                }
            }
            #[cfg(target_arch = "aarch64")]
            Engine::Dot(engine) => blocks::geometry(engine, 1),
            #[cfg(target_arch = "aarch64")]
            Engine::ByteBlocks(engine) => blocks::geometry(engine, 1),
            #[cfg(target_arch = "aarch64")]
            Engine::Bf16Blocks(engine) => blocks::geometry(engine, 2),
        }
    }
}

/// How operands lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Columns of a panel.
    pub(super) panel: usize,
    /// Rows of a tile of sums.
    pub(super) rows: usize,
    /// Elements of K that lie together in a panel.
    pub(super) group: usize,
    /// What K is padded to a multiple of.
    pub(super) step: usize,
    /// What is added to integer activations.
    pub(super) offset: i32,
}
