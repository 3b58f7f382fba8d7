//! Why an operator could not be prepared or run.

use thiserror::Error;
use tilewright_kernel::Shape;

use super::Isa;

/// Why an operator could not be prepared or run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CpuError {
    /// A slice of the wrong length.
    #[error("{what} has {given} elements where {expected} are needed")]
    Length {
        /// Which operand.
        what: &'static str,
        /// How many elements it needs.
        expected: usize,
        /// How many it has.
        given: usize,
    },
    /// A matmul of anything but whole windows.
    #[error(
        "A has {given} elements, which is no whole number of windows of {} × {} (kernel {shape})",
        shape.m, shape.k
    )]
    Windows {
        /// The kernel's shape.
        shape: Shape,
        /// How many elements A has.
        given: usize,
    },
    /// A bias for a kernel that adds none.
    #[error("a bias was given to a kernel whose epilogue in model.toml is \"none\"")]
    UnusedBias,
    /// Weights that no scale represents.
    #[error("the weights of output channel {channel} are not all finite")]
    NotFinite {
        /// The first such channel.
        channel: usize,
    },
    /// Sizes that the operator does not have.
    #[error("{what}: {rule}")]
    Geometry {
        /// Which operator.
        what: &'static str,
        /// What must hold.
        rule: &'static str,
    },
    /// An instruction set that this machine does not have.
    #[error("this machine has no {isa}; it has {}", available(.isa))]
    Unavailable {
        /// The instruction set that was asked for.
        isa: Isa,
    },
    /// A name of no instruction set.
    #[error("TILEWRIGHT_ISA is {given:?}, which is none of {}", known())]
    UnknownIsa {
        /// The name.
        given: String,
    },
    /// Stored weights that are not what is asked for.
    #[error("packed weights: {field} is {found}, {expected} is needed; pack the weights again")]
    Packed {
        /// Which field of the header, or the length.
        field: &'static str,
        /// What is needed.
        expected: String,
        /// What was found.
        found: String,
    },
}

fn known() -> String {
    Isa::ALL.map(|isa| format!("{:?}", isa.name())).join(", ")
}

fn available(_: &Isa) -> String {
    let names: Vec<_> =
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
    names.join(", ")
}

/// Checks a length.
pub(super) fn check_length(
    what: &'static str,
    expected: usize,
    given: usize,
) -> Result<(), CpuError> {
    if expected == given { Ok(()) } else { Err(CpuError::Length { what, expected, given }) }
}
