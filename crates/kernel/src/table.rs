//! The dispatch table: kernels as types and as data.

use half::bf16;

use crate::{
    ActivationsBuffer, ActivationsRef, Device, Epilogue, MicroTile, Precision, Shape, Tile,
    WeightsBuffer, WeightsRef,
};

/// How often the array goes round for one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Loops {
    /// Tiles of K.
    pub k_tiles: usize,
    /// Blocks of `4·m` rows.
    pub row_blocks: usize,
    /// Blocks of `columns·n` columns.
    pub column_blocks: usize,
}

impl Loops {
    /// The loop counts of a shape; the last block of each may be padding in part.
    pub const fn new(device: Device, tile: Tile, shape: Shape) -> Self {
        Self {
            k_tiles: shape.k.div_ceil(tile.k),
            row_blocks: shape.m.div_ceil(tile.m * Device::ROWS),
            column_blocks: shape.n.div_ceil(tile.n * device.columns()),
        }
    }

    /// Output tiles of each core.
    pub const fn output_tiles(&self) -> usize {
        self.row_blocks * self.column_blocks
    }

    /// The shape that the array runs.
    pub const fn padded(&self, device: Device, tile: Tile) -> Shape {
        Shape {
            m: self.row_blocks * tile.m * Device::ROWS,
            k: self.k_tiles * tile.k,
            n: self.column_blocks * tile.n * device.columns(),
        }
    }
}

/// A compiled xclbin.
#[derive(Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its contents.
    pub bytes: &'static [u8],
    /// BLAKE3 of the contents, in hexadecimal.
    pub hash: &'static str,
}

/// The instruction stream of one runtime sequence.
#[derive(Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its contents: little-endian words of 32 bits.
    pub bytes: &'static [u8],
    /// BLAKE3 of the contents, in hexadecimal.
    pub hash: &'static str,
    /// [`Artifact::hash`] of the xclbin that it was compiled with, the only one it may run on.
    pub xclbin_hash: &'static str,
}

/// The text that a design was compiled from, and that a simulator runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DesignText {
    /// The MLIR-AIE module: the static configuration and a runtime sequence for each exact shape.
    pub module: &'static str,
    /// C++ source of the core kernel.
    pub core_kernel: &'static str,
}

impl std::fmt::Debug for DesignText {
    /// Its size: the text would bury whatever it is printed with.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DesignText({} + {} bytes)", self.module.len(), self.core_kernel.len())
    }
}

/// One model on one target.
#[derive(Debug, PartialEq, Eq)]
pub struct TargetInfo {
    /// Name of the model.
    pub model: &'static str,
    /// The device.
    pub device: Device,
    /// Element types.
    pub precision: Precision,
    /// Block of one core.
    pub tile: Tile,
    /// Block of one instruction.
    pub micro_tile: MicroTile,
    /// BLAKE3 of the static configuration and its core kernel, in hexadecimal. It does not depend on
    /// any shape: targets that agree in it share their xclbin.
    pub configuration: &'static str,
    /// What is compiled, and simulated.
    pub design: DesignText,
    /// The compiled configuration, if the build had a toolchain.
    pub xclbin: Option<&'static Artifact>,
}

impl TargetInfo {
    /// `npu1-i8`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.device, self.precision)
    }
}

/// A kernel as data.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelInfo {
    /// The model and target that it belongs to.
    pub target: &'static TargetInfo,
    /// Name of the op.
    pub op: &'static str,
    /// Value of the model's list dimension (the audio length), if the op depends on it.
    pub length: Option<usize>,
    /// Runs in one pass of the model.
    pub count: usize,
    /// Exact shape.
    pub shape: Shape,
    /// Shape that the array runs.
    pub padded: Shape,
    /// Loop counts.
    pub loops: Loops,
    /// What follows the sums.
    pub epilogue: Epilogue,
    /// Symbol of the runtime sequence.
    pub sequence: &'static str,
    /// Bytes of the packed host buffers A, B and C.
    pub host_bytes: [usize; 3],
    /// The compiled sequence, if the build had a toolchain.
    pub stream: Option<&'static Stream>,
}

/// All kernels of a `model.toml`.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Every model × target.
    pub targets: &'static [&'static TargetInfo],
    /// Every op at every length, for each of the targets, in the same order.
    pub kernels: &'static [&'static [KernelInfo]],
}

impl Table {
    /// All kernels of all targets.
    pub fn kernels(&self) -> impl Iterator<Item = &'static KernelInfo> + use<> {
        self.kernels.iter().copied().flatten()
    }

    /// The kernels of a model on a device at a precision.
    pub fn of<'a>(
        &self,
        model: &'a str,
        device: Device,
        precision: Precision,
    ) -> impl Iterator<Item = &'static KernelInfo> + 'a {
        self.kernels().filter(move |kernel| {
            let target = kernel.target;
            target.model == model && target.device == device && target.precision == precision
        })
    }

    /// The kernel of an op at a length; `None` for an op that depends on no length.
    pub fn find(
        &self,
        model: &str,
        device: Device,
        precision: Precision,
        op: &str,
        length: Option<usize>,
    ) -> Option<&'static KernelInfo> {
        self.of(model, device, precision).find(|kernel| kernel.op == op && kernel.length == length)
    }
}

/// An op of a model at one exact shape, on one target.
///
/// A dispatch table implements it for each; nothing else should. The operands carry M, K, N and the
/// element type, so that a wrong shape does not compile.
#[diagnostic::on_unimplemented(
    message = "model.toml declares no such kernel: `{Self}`",
    label = "not among the compiled lengths",
    note = "add the length to the model's list in model.toml and build again"
)]
pub trait Kernel {
    /// [`crate::Activations`] of M × K.
    type A: ActivationsBuffer;
    /// [`crate::Weights`] of K × N.
    type B: WeightsBuffer;
    /// [`crate::Matrix`] of M × N.
    type C: AsRef<[bf16]> + AsMut<[bf16]> + Default;
    /// The same as data.
    const INFO: &'static KernelInfo;

    /// Multiplies on a backend: C = epilogue(A × B).
    ///
    /// # Errors
    /// What the backend reports.
    fn run<R: Backend + ?Sized>(
        backend: &R,
        a: &Self::A,
        b: &Self::B,
        c: &mut Self::C,
    ) -> Result<(), R::Error> {
        backend.run(Self::INFO, a.view(), b.view(), c.as_mut())
    }
}

/// What runs kernels.
pub trait Backend {
    /// Why a kernel could not be run.
    type Error: std::error::Error;

    /// Runs a kernel: `c`, M × N row by row, becomes epilogue(`a` × `b`).
    ///
    /// [`Kernel::run`] is the way to call it that cannot be given a wrong shape.
    ///
    /// # Errors
    /// As the backend defines them; operands that are not of the kernel's shape and precision are
    /// an error, not a panic.
    fn run(
        &self,
        kernel: &KernelInfo,
        a: ActivationsRef<'_>,
        b: WeightsRef<'_>,
        c: &mut [bf16],
    ) -> Result<(), Self::Error>;
}
