//! Why an NPU could not be used.

use thiserror::Error;
use tilewright_kernel::Shape;

use crate::backend::array::ArrayError;
use crate::backend::cpu::CpuError;

/// Why the kernels of a target cannot run on an NPU.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NpuError {
    /// The build had no toolchain.
    #[error(
        "this program has no kernels of {target} for an NPU: it was built without the toolchain"
    )]
    NotCompiled {
        /// The target.
        target: String,
    },
    /// There is an NPU, of a generation that no target is for.
    #[error("the NPU is {found}, and no kernels of {precision} for it are compiled in")]
    Generation {
        /// The NPU.
        found: String,
        /// The precision that was asked for.
        precision: &'static str,
    },
    /// The kernels of another generation were asked for.
    #[error("kernels of {target} do not run on this NPU, which is {found}")]
    OtherGeneration {
        /// The target.
        target: String,
        /// The NPU.
        found: String,
    },
    /// Bytes that are not those that were compiled.
    #[error("{what} of {target} is damaged: its BLAKE3 is {found} and should be {expected}")]
    Damaged {
        /// Which file.
        what: String,
        /// The target.
        target: String,
        /// The hash that the table has.
        expected: String,
        /// The hash of the bytes.
        found: String,
    },
    /// A stream of another xclbin than the one that is loaded.
    #[error(
        "the stream {sequence} was compiled for the xclbin {compiled}, and {loaded} is loaded: it is \
         not run"
    )]
    Foreign {
        /// The stream.
        sequence: &'static str,
        /// Hash of the xclbin that it is for.
        compiled: String,
        /// Hash of the xclbin that is loaded.
        loaded: String,
    },
    /// XRT, its driver or the device.
    #[error(transparent)]
    Xrt(#[from] tilewright_xrt::Error),
    /// The NPU computed something wrong.
    #[error(
        "the NPU failed its self-test: {op} {shape} has {wrong} of {count} results wrong, first row \
         {row}, column {column}: {got} where {expected} is right; firmware {firmware}"
    )]
    SelfTest {
        /// The op.
        op: &'static str,
        /// Its shape.
        shape: Shape,
        /// Results that are wrong.
        wrong: usize,
        /// Results.
        count: usize,
        /// Row of the first wrong one.
        row: usize,
        /// Column of it.
        column: usize,
        /// What it is.
        got: f32,
        /// What it has to be.
        expected: f32,
        /// Version of the firmware.
        firmware: String,
    },
    /// It failed, was set up anew, and failed again.
    #[error("the NPU was given up: {second}; before that, {first}")]
    GivenUp {
        /// The failure that it was set up anew for.
        first: String,
        /// The one after that.
        second: String,
    },
    /// Operands that do not fit.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// The processor that packs for the array.
    #[error(transparent)]
    Cpu(#[from] CpuError),
}

impl NpuError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Xrt(error) => error.help(),
            Self::NotCompiled { .. } => Some(
                "build again with MLIR-AIE, Peano and XRT installed; tilewright doctor says what is \
                 missing",
            ),
            Self::Generation { .. } => {
                Some("add a [[target]] for it to model.toml and build again")
            }
            Self::OtherGeneration { .. } => Some("leave out --target"),
            Self::Damaged { .. } | Self::Foreign { .. } => {
                Some("build again: cargo clean, then cargo build")
            }
            Self::SelfTest { .. } => Some(
                "update the NPU's firmware and driver; --backend cpu works without. Please report it \
                 with what tilewright doctor --json prints",
            ),
            Self::GivenUp { .. } => Some(
                "dmesg says what the driver saw; modprobe -r amdxdna && modprobe amdxdna resets the \
                 NPU",
            ),
            Self::Array(_) | Self::Cpu(_) => None,
        }
    }
}

impl From<NpuError> for ArrayError {
    fn from(error: NpuError) -> Self {
        match error {
            NpuError::Array(error) => error,
            error => Self::Device(Box::new(error)),
        }
    }
}
