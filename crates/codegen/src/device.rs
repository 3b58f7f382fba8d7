//! The devices and what they can do: geometry, limits and costs, each with its source.
//!
//! Everything that depends on the hardware and not on a model stands in this file, as data.

use std::fmt;

use serde::Serialize;

/// An AMD NPU that a target can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// XDNA1: Phoenix and Hawk Point, 4 columns of AIE2 cores.
    Npu1,
    /// XDNA2: Strix, Strix Halo and Krackan, 8 columns of AIE2P cores.
    Npu2,
}

impl Device {
    /// All devices, in the order of their generation.
    pub const ALL: [Self; 2] = [Self::Npu1, Self::Npu2];

    /// The name in `model.toml`, which is also MLIR-AIE's name of the device.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Npu1 => "npu1",
            Self::Npu2 => "npu2",
        }
    }

    /// Columns of the array, each one shim, one memtile and [`Device::ROWS`] cores.
    pub const fn columns(self) -> usize {
        match self {
            Self::Npu1 => 4,
            Self::Npu2 => 8,
        }
    }

    /// Rows of cores.
    pub const ROWS: usize = 4;

    /// Number of cores of the array.
    pub const fn cores(self) -> usize {
        self.columns() * Self::ROWS
    }

    /// Architecture name for Peano's `--target=<arch>-none-unknown-elf`.
    pub const fn core_arch(self) -> &'static str {
        match self {
            Self::Npu1 => "aie2",
            Self::Npu2 => "aie2p",
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
    pub const fn costs(self) -> Costs {
        match self {
            Self::Npu1 => {
                Costs { clock_mhz: 1000.0, dram_bytes_per_us: 15_000.0, store_bytes: 32.0 }
            }
            Self::Npu2 => {
                Costs { clock_mhz: 1800.0, dram_bytes_per_us: 50_000.0, store_bytes: 64.0 }
            }
        }
    }

    /// Multiply-accumulates per cycle of one core at its peak.
    ///
    /// Plain bf16 on AIE2P is disputed (32 to 128 by source); 64 is the middle and an assumption.
    pub const fn peak_macs(self, precision: Precision) -> f64 {
        match (self, precision) {
            (Self::Npu1, Precision::I8) => 256.0,
            (Self::Npu1, Precision::Bf16) => 128.0,
            (Self::Npu2, Precision::I8) => 512.0,
            (Self::Npu2, Precision::Bf16) => 64.0,
        }
    }

    /// The micro-tile that one multiply instruction of a core works on.
    ///
    /// Source: MLIR-AIE's stock kernels and `aie_api`'s `mmul` tables. On AIE2P bf16 is the exact
    /// 4×8×8 mode, not the 8×8×8 one that emulates it with block floating point.
    pub const fn micro_tile(self, precision: Precision) -> MicroTile {
        match (self, precision) {
            (Self::Npu1, Precision::I8) => MicroTile { r: 4, s: 8, t: 8 },
            (Self::Npu1, Precision::Bf16) => MicroTile { r: 4, s: 8, t: 4 },
            (Self::Npu2, Precision::I8) => MicroTile { r: 8, s: 8, t: 8 },
            (Self::Npu2, Precision::Bf16) => MicroTile { r: 4, s: 8, t: 8 },
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// What one tile offers, see [`Device::limits`].
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
/// One of the four banks of a core's data memory, which a stack must not outgrow.
pub const CORE_BANK: usize = 16 << 10;

/// Rates that bound a kernel, see [`Device::costs`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// Clock of the array in MHz: cycles per microsecond.
    pub clock_mhz: f64,
    /// DRAM bandwidth that the whole array sees, in bytes per microsecond (arXiv 2512.13282).
    pub dram_bytes_per_us: f64,
    /// Bytes that a core stores per cycle.
    pub store_bytes: f64,
}

/// Element types of one target: what the activations and weights are stored in.
///
/// The result is bf16 in either case; sums are i32 for i8 and f32 for bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Symmetric 8-bit integers with a scale per row of A and per column of B.
    I8,
    /// bfloat16, without scales.
    Bf16,
}

impl Precision {
    /// Both precisions.
    pub const ALL: [Self; 2] = [Self::I8, Self::Bf16];

    /// The name in `model.toml`, which is also MLIR's name of the element type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I8 => "i8",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of one element of A or B.
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::Bf16 => 2,
        }
    }

    /// MLIR's name of the accumulator's element type, 4 bytes wide.
    pub const fn accumulator(self) -> &'static str {
        match self {
            Self::I8 => "i32",
            Self::Bf16 => "f32",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The m × k × n block of a matmul that one core holds at a time, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Tile {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.m, self.k, self.n)
    }
}

/// The r × s × t block that one multiply instruction works on, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct MicroTile {
    /// Rows of A and C.
    pub r: usize,
    /// Columns of A, rows of B.
    pub s: usize,
    /// Columns of B and C.
    pub t: usize,
}

/// What a core does to its sums before it narrows them to bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Epilogue {
    /// Scales only.
    None,
    /// Scales, then the bias of the column.
    Bias,
    /// Scales, bias, then the exact (erf) GELU.
    BiasGelu,
}

impl Epilogue {
    /// All epilogues; the position is the value of the core's runtime parameter.
    pub const ALL: [Self; 3] = [Self::None, Self::Bias, Self::BiasGelu];

    /// The name in `model.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bias => "bias",
            Self::BiasGelu => "bias_gelu",
        }
    }

    /// The value of the core's runtime parameter.
    pub const fn code(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Bias => 1,
            Self::BiasGelu => 2,
        }
    }
}

impl fmt::Display for Epilogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
