//! What the devices can do and what it costs: limits and rates, each with its source.
//!
//! Everything that depends on the hardware and not on a model stands in this file, as data. The
//! devices themselves, with their geometry, are part of the vocabulary in `tilewright-kernel`.

use std::fmt;

use serde::Serialize;
pub use tilewright_kernel::{Device, Epilogue, MicroTile, Precision, Shape, Tile};

/// Architecture name for Peano's `--target=<arch>-none-unknown-elf`.
pub const fn core_arch(device: Device) -> &'static str {
    match device {
        Device::Npu1 => "aie2",
        Device::Npu2 => "aie2p",
    }
}

/// What one tile of the array offers.
///
/// Source: MLIR-AIE's target model (`AIETargetModel.cpp`, 2026-03), the same for both devices.
/// The wrap of a memtile is 1023 in hardware; MLIR-AIE's verifier of static descriptors refuses
/// more than 512.
pub const fn limits(kind: TileKind) -> TileLimits {
    match kind {
        TileKind::Shim => TileLimits {
            memory: 0,
            descriptors: 16,
            locks: 16,
            channels: 2,
            dimensions: 3,
            iteration: true,
            wrap: 1023,
            step: 1 << 20,
        },
        TileKind::Memtile => TileLimits {
            memory: 512 << 10,
            descriptors: 48,
            locks: 64,
            channels: 6,
            dimensions: 4,
            iteration: false,
            wrap: 512,
            step: 1 << 17,
        },
        TileKind::Core => TileLimits {
            memory: 64 << 10,
            descriptors: 16,
            locks: 16,
            channels: 2,
            dimensions: 3,
            iteration: true,
            wrap: 255,
            step: 1 << 13,
        },
    }
}

/// What work costs on this device: the constants of the cost model.
pub const fn costs(device: Device) -> Costs {
    match device {
        Device::Npu1 => Costs { clock_mhz: 1000.0, dram_bytes_per_us: 15_000.0, store_bytes: 32.0 },
        Device::Npu2 => Costs { clock_mhz: 1800.0, dram_bytes_per_us: 50_000.0, store_bytes: 64.0 },
    }
}

/// Multiply-accumulates per cycle of one core at its peak.
///
/// Plain bf16 on AIE2P is disputed (32 to 128 by source). 32 is what the AIE API's own emulation of
/// its `mmul` can reach at most (`aie2p/emulated_mmul_intrinsics.hpp`: eight 32-lane multiplications
/// for 4×8×8); an assumption until it is measured.
pub const fn peak_macs(device: Device, precision: Precision) -> f64 {
    match (device, precision) {
        (Device::Npu1, Precision::I8) => 256.0,
        (Device::Npu1, Precision::Bf16) => 128.0,
        (Device::Npu2, Precision::I8) => 512.0,
        (Device::Npu2, Precision::Bf16) => 32.0,
    }
}

/// The kinds of tiles that the array is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TileKind {
    /// Connects a column to host memory; row 0.
    Shim,
    /// Shared memory of a column; row 1.
    Memtile,
    /// Computes; rows 2 and up.
    Core,
}

impl fmt::Display for TileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shim => "shim",
            Self::Memtile => "memtile",
            Self::Core => "core",
        })
    }
}

/// What one tile offers, see [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileLimits {
    /// Data memory in bytes, on a core with the stack.
    pub memory: usize,
    /// Buffer descriptors; on a memtile half of them serve even channels, half odd ones.
    pub descriptors: usize,
    /// Locks.
    pub locks: usize,
    /// DMA channels per direction.
    pub channels: usize,
    /// Dimensions of a descriptor.
    pub dimensions: usize,
    /// Whether there is an iteration (a repeat with a stride) on top of the dimensions.
    pub iteration: bool,
    /// Largest size of the two innermost dimensions; the innermost counts 4-byte words.
    pub wrap: usize,
    /// Largest stride, in 4-byte words.
    pub step: usize,
}

/// Largest value of a lock. Source: MLIR-AIE's target model.
pub const MAX_LOCK_VALUE: usize = 63;
/// Largest size of the iteration dimension of a descriptor.
pub const MAX_ITERATION: usize = 64;
/// How often a task may run its descriptors: the register counts 255 repeats after the first run.
pub const MAX_RUNS: usize = 256;
/// Tasks that one DMA channel queues.
pub const TASK_QUEUE: usize = 4;
/// Largest host buffer: offsets into it are patched as 32-bit signed numbers.
pub const MAX_HOST_BYTES: u64 = 1 << 31;
/// Bytes of a vector register, which AIE2P loads and stores at multiples of its size only.
pub const VECTOR_BYTES: usize = 64;
/// One of the four banks of a core's data memory, which a stack must not outgrow.
pub const CORE_BANK: usize = 16 << 10;

/// Rates that bound a kernel, see [`costs`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// Clock of the array in MHz: cycles per microsecond.
    pub clock_mhz: f64,
    /// DRAM bandwidth that the whole array sees, in bytes per microsecond (arXiv 2512.13282).
    pub dram_bytes_per_us: f64,
    /// Bytes that a core stores per cycle.
    pub store_bytes: f64,
}
