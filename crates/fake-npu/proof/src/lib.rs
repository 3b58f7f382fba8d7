//! What the program under test and its test have in common.
//!
//! The program runs nano, the smallest of the models, with xclbins and streams of the stand-in
//! toolchain. `tests/proof.rs` runs it on a machine with a simulated NPU.

use tilewright_kernel::{KernelInfo, TargetInfo};

/// The dispatch table of nano.
pub mod kernels {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

use kernels::TABLE;

/// What went wrong.
pub type Error = Box<dyn std::error::Error>;

/// The target of a name: `npu1-i8`.
///
/// # Errors
/// When there is none.
pub fn target(name: &str) -> Result<&'static TargetInfo, Error> {
    let found = TABLE.targets.iter().find(|target| target.name() == name);
    found.copied().ok_or_else(|| format!("there is no target {name}").into())
}

/// The kernels of a target.
pub fn kernels_of(target: &TargetInfo) -> Vec<&'static KernelInfo> {
    TABLE.of(target.model, target.device, target.precision).collect()
}

/// The words of a stream.
pub fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

/// Bytes for an argument of a kernel: small numbers, of either precision.
pub fn pattern(argument: usize, bytes: usize) -> Vec<u8> {
    let mut state = argument as u32 + 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // In bf16 the high bytes 0x3c to 0x3f and what is below make numbers up to 2.
        0x3c + (state >> 24) as u8 % 4
    };
    (0..bytes).map(next).collect()
}
