//! What the programs under test and their tests have in common.
//!
//! The programs run nano, the smallest of the models, with xclbins and streams of the stand-in
//! toolchain: `tilewright-nano` is the product's command line, of the same sources, and `npu-proof`
//! goes through XRT by hand. The tests run them on a machine with a simulated NPU.

use tilewright::kernels::TABLE;
use tilewright_kernel::{KernelInfo, TargetInfo};

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

/// Bytes for an argument of a kernel: numbers of either precision, none of them huge.
pub fn pattern(argument: usize, bytes: usize) -> Vec<u8> {
    let mut state = argument as u32 + 1;
    let next = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        // The high byte of a bf16, or of the half of an f32, is one of magnitudes from 0.01 to 2.
        if at % 2 == 1 { 0x3c + byte % 4 + (byte & 0x80) } else { byte }
    };
    (0..bytes).map(next).collect()
}
