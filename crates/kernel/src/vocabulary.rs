//! The words of the house: devices, precisions, tiles, shapes and epilogues.

use std::fmt;

/// An AMD NPU that a target can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
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

/// Element types of one target: what the activations and weights are stored in.
///
/// The result is bf16 in either case; sums are i32 for i8 and f32 for bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MicroTile {
    /// Rows of A and C.
    pub r: usize,
    /// Columns of A, rows of B.
    pub s: usize,
    /// Columns of B and C.
    pub t: usize,
}

/// What a core does to its sums before it narrows them to bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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

/// A matmul: M × K activations times K × N weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Shape {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.m, self.k, self.n)
    }
}
