//! Why an array could not be used.

use thiserror::Error;
use tilewright_kernel::Shape;

/// Why a kernel could not be prepared for an array or run on it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArrayError {
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
    /// Elements of another precision than the kernel's.
    #[error("an operand of the other precision does not fit a kernel of {precision}")]
    Precision {
        /// The kernel's.
        precision: tilewright_kernel::Precision,
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
    /// A kernel whose numbers contradict each other, or are beyond what is packed here.
    #[error("kernel {sequence}: {rule}")]
    Kernel {
        /// Its sequence.
        sequence: &'static str,
        /// What must hold.
        rule: &'static str,
    },
    /// A kernel of another target than the one that is loaded.
    #[error("a kernel of {given} cannot run on an array that is configured for {loaded}")]
    Target {
        /// The kernel's target.
        given: String,
        /// That of the array.
        loaded: String,
    },
    /// What runs the kernels failed.
    #[error(transparent)]
    Device(Box<dyn std::error::Error + Send + Sync>),
}

/// Checks a length.
pub(super) fn check_length(
    what: &'static str,
    expected: usize,
    given: usize,
) -> Result<(), ArrayError> {
    if expected == given { Ok(()) } else { Err(ArrayError::Length { what, expected, given }) }
}
