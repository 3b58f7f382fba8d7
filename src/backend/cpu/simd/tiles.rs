//! AMX: tiles of 16 rows of 64 bytes, multiplied by a unit of their own beside the vector units.
//!
//! The intrinsics are not stable, but the assembler knows the instructions. A [`Session`] configures
//! the tiles of its thread and releases them when it ends; [`Session::multiply`] is one product of two
//! by two tiles over all of K, whose sums end up in memory, in the first-level cache.
//!
//! Vector instructions between the products were tried for the epilogue and for the softmax, and gained
//! nothing (Sapphire Rapids): a product holds one of the two ports that wide vectors go through for all
//! of its 16 cycles, so no more than 16 of them are free.
//!
//! # Invariants
//! - A [`Tiles`] exists only where the processor has AMX for i8 and bf16 and AVX-512 with BF16, the
//!   system saves its state, and this process was permitted to use it.
//! - A [`Session`] exists only on a thread whose tiles are configured as [`CONFIGURATION`] says: it
//!   cannot be sent to another, and its drop releases them. Whoever holds one must not call into the
//!   thread pool, which might run a task that ends with another session's drop on this thread.
//! - Tile registers keep their contents from one `asm!` to the next. The compiler never touches them:
//!   nothing is compiled with AMX enabled. Between `multiply` calls nothing is kept.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

use bytemuck::{Pod, Zeroable};

use super::avx512::Avx512;

mod columns;

pub(in super::super) use columns::{COARSE_FRACTION, Columns, FRACTION};

/// Rows of activations that are multiplied at a time: two tiles.
pub(in super::super) const TILE_ROWS: usize = 32;
/// Columns of weights that are multiplied at a time: two tiles.
pub(in super::super) const TILE_COLUMNS: usize = 32;
/// Bytes of a row of a tile.
pub(in super::super) const STEP: usize = 64;
/// Bytes of a tile.
pub(in super::super) const TILE: usize = 16 * STEP;

/// Proof that this process may use AMX, and that the processor has AVX-512 with BF16.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Tiles(());

impl Tiles {
    /// Asks the processor, and once per process the system.
    pub(in super::super) fn detect() -> Option<Self> {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        let vectors = Avx512::detect().is_some() && is_x86_feature_detected!("avx512bf16");
        let permitted = PERMITTED.get_or_init(|| vectors && processor_has_tiles() && permission());
        permitted.then_some(Self(()))
    }

    /// Configures this thread's tiles.
    #[inline(always)]
    pub(in super::super) fn start(self) -> Session {
        // SAFETY: `self` proves that the instruction may be used; the configuration is 64 bytes of a
        // palette and sizes that `processor_has_tiles` found supported.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &CONFIGURATION, options(nostack, readonly, preserves_flags));
        }
        Session { thread: PhantomData }
    }
}

/// Palette 1, all eight tiles with 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static CONFIGURATION: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = STEP as u8;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Configuration(bytes)
};

fn processor_has_tiles() -> bool {
    /// AMX-BF16, AMX-TILE, AMX-INT8 in EDX of leaf 7.
    const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// Configuration and data of tiles, beside the registers of AVX-512.
    const SAVED: u64 = 0b11 << 17 | 0b1110_0110;
    // The detection macro also finds out whether there is `xgetbv`.
    if !is_x86_feature_detected!("avx512f") || __cpuid_count(0, 0).eax < 0x1d {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    let palette = __cpuid_count(0x1d, 1);
    // SAFETY: AVX-512 was found usable, for which the system has to have enabled XSAVE.
    let saved = unsafe { xcr0() };
    features & FEATURES == FEATURES
        && saved & SAVED == SAVED
        && palette.eax >> 16 == TILE as u32
        && palette.ebx == (8 << 16 | STEP as u32)
        && palette.ecx & 0xffff >= 16
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: the feature is enabled; register 0 always exists.
    unsafe { _xgetbv(0) }
}

/// Asks Linux to save the tiles of this process's threads, without which their use is a fault.
#[cfg(target_os = "linux")]
fn permission() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: a system call that touches no memory of this process; kernels that do not know the
    // request return an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Other systems are not asked yet.
#[cfg(not(target_os = "linux"))]
fn permission() -> bool {
    false
}

/// What tiles hold.
pub(in super::super) trait Product {
    /// What sums are.
    type Sum: Pod;
    /// The four products of a step: tiles 0 to 3 += tiles of A × tiles of B.
    ///
    /// # Safety
    /// A [`Session`] of this thread exists; `a` and `a + second` are two tiles, `b` is a step of a
    /// panel: 16 rows of two tiles side by side.
    unsafe fn step(a: *const u8, second: usize, b: *const u8);
}

/// Signed bytes; sums are exact in i32.
pub(in super::super) struct Bytes;
/// Pairs of bf16; sums are f32.
pub(in super::super) struct Bf16Pairs;

macro_rules! product {
    ($type:ty, $sum:ty, $instruction:literal) => {
        impl Product for $type {
            type Sum = $sum;
            #[inline(always)]
            unsafe fn step(a: *const u8, second: usize, b: *const u8) {
                // SAFETY: by the contract all four tiles may be read, and tiles are configured.
                unsafe {
                    asm!(
                        "tileloadd tmm4, [{a} + {a_stride}*1]",
                        "tileloadd tmm6, [{b} + {b_stride}*1]",
                        concat!($instruction, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{b} + {b_stride}*1 + 64]",
                        concat!($instruction, " tmm1, tmm4, tmm7"),
                        "tileloadd tmm5, [{a2} + {a_stride}*1]",
                        concat!($instruction, " tmm2, tmm5, tmm6"),
                        concat!($instruction, " tmm3, tmm5, tmm7"),
                        a = in(reg) a,
                        a2 = in(reg) a.add(second),
                        b = in(reg) b,
                        a_stride = in(reg) STEP,
                        b_stride = in(reg) 2 * STEP,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack, readonly, preserves_flags),
                    );
                }
            }
        }
    };
}

product!(Bytes, i32, "tdpbssd");
product!(Bf16Pairs, f32, "tdpbf16ps");

/// Sums of [`TILE_ROWS`] × [`TILE_COLUMNS`], row by row.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(in super::super) struct TileSums([u32; TILE_ROWS * TILE_COLUMNS]);

impl TileSums {
    /// All zero.
    pub(in super::super) const ZERO: Self = Self([0; TILE_ROWS * TILE_COLUMNS]);

    /// As what the product summed.
    #[inline(always)]
    pub(in super::super) fn get<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.0)
    }

    /// To change them.
    #[inline(always)]
    pub(in super::super) fn get_mut<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl TileSums {
    /// Several, one behind the other.
    #[inline(always)]
    pub(in super::super) fn all_mut<T: Pod>(sums: &mut [Self]) -> &mut [T] {
        bytemuck::cast_slice_mut(sums)
    }
}

/// Two tiles of A, one above the other, for each step of K.
#[derive(Clone, Copy)]
pub(in super::super) struct Pair<'a> {
    /// Where the first tile of the first step starts.
    pub(in super::super) bytes: &'a [u8],
    /// From a step to the next.
    pub(in super::super) step: usize,
    /// From the upper tile to the lower.
    pub(in super::super) second: usize,
}

/// What sums start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Start {
    /// Zero.
    Zero,
    /// What the sums hold.
    Sums,
}

/// This thread's tiles, configured: see the invariants above.
pub(in super::super) struct Session {
    /// A thread's tiles are its own.
    thread: PhantomData<*const ()>,
}

impl Drop for Session {
    #[inline(always)]
    fn drop(&mut self) {
        let Self { thread: PhantomData } = self;
        // SAFETY: a session exists only where AMX may be used.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}

impl Session {
    /// Sums = A × B, or plus what they held.
    ///
    /// `a` is tiles of 16 rows of 64 bytes; `b` is a panel, step after step of 16 rows of 128 bytes:
    /// the four bytes of K (or two bf16) that lie together, for each of 32 columns.
    #[inline(always)]
    pub(in super::super) fn multiply<P: Product>(
        &mut self,
        a: Pair<'_>,
        b: &[u8],
        start: Start,
        sums: &mut TileSums,
    ) {
        let steps = b.len() / (2 * TILE);
        let Pair { bytes: a, step: stride, second } = a;
        assert!(b.len() == 2 * steps * TILE);
        assert!(steps == 0 || (steps - 1) * stride + second + TILE <= a.len());
        match start {
            // SAFETY: tiles are configured: `self` exists.
            Start::Zero => unsafe {
                asm!(
                    "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    options(nostack, nomem, preserves_flags),
                );
            },
            // SAFETY: as above; the four tiles are the quarters of `sums`, 32 rows of 128 bytes.
            Start::Sums => unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {stride}*1]",
                    "tileloadd tmm1, [{sums} + {stride}*1 + 64]",
                    "tileloadd tmm2, [{sums} + {stride}*1 + 2048]",
                    "tileloadd tmm3, [{sums} + {stride}*1 + 2112]",
                    sums = in(reg) &*sums,
                    stride = in(reg) 2 * STEP,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    options(nostack, readonly, preserves_flags),
                );
            },
        }
        for step in 0..steps {
            // SAFETY: `self` exists; by the assertions, both tiles of step `step` lie in `a`, and
            // those of `b` in `b`.
            unsafe {
                P::step(a.as_ptr().add(step * stride), second, b.as_ptr().add(2 * step * TILE));
            }
        }
        // SAFETY: as where they are loaded.
        unsafe {
            asm!(
                "tilestored [{sums} + {stride}*1], tmm0",
                "tilestored [{sums} + {stride}*1 + 64], tmm1",
                "tilestored [{sums} + {stride}*1 + 2048], tmm2",
                "tilestored [{sums} + {stride}*1 + 2112], tmm3",
                sums = in(reg) &mut *sums,
                stride = in(reg) 2 * STEP,
                options(nostack, preserves_flags),
            );
        }
    }
}
