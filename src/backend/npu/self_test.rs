//! Each shape once, on known operands, before it is believed.
//!
//! A command that the firmware calls completed may have written zeros, or nothing: both were seen.
//! So C is filled with what is not a number beforehand, and every result is compared.
//!
//! What is looked for is garbage: the tolerance is wider than what `tilewright verify` allows, so
//! that no other order of additions and no multiplier that rounds elsewhere is taken for it.

use half::bf16;
use rayon::prelude::*;
use tilewright_kernel::{KernelInfo, Precision};

use super::hardware::{ProgramId, Session};
use super::{NpuError, timeout};
use crate::backend::array::Geometry;
use crate::backend::cpu::Cpu;
use crate::backend::reference::{self, Operands};

/// Runs a kernel on the device and compares.
pub(super) fn run(
    session: &mut dyn Session,
    program: ProgramId,
    kernel: &KernelInfo,
    cpu: &Cpu,
    firmware: Option<&str>,
) -> Result<(), NpuError> {
    let geometry = Geometry::new(kernel)?;
    let operands = Operands::new(kernel);
    let weights = session.keep(&operands.pack_weights(&geometry)?)?;
    operands.pack_activations(&geometry, cpu, session.input(program)?)?;
    session.poison(program)?;
    session.start(program, weights)?;
    // The device works meanwhile.
    let sums = reference::sums(kernel, &operands);
    session.finish(timeout())?;
    let mut results = vec![bf16::ZERO; sums.len()];
    geometry.unpack_narrow(session.output(), &mut results)?;
    session.release(weights);
    compare(kernel, &operands, &sums, &results, firmware)
}

/// Errors that are no reason to distrust an NPU: of a result, relative to it, and of any, relative
/// to how large results are.
fn tolerances(precision: Precision) -> (f64, f64) {
    match precision {
        // Sums are exact; what follows is rounded to 8 bits.
        Precision::I8 => (2f64.powi(-7), 2f64.powi(-10)),
        // npu2 multiplies with exponents that 8 elements share.
        Precision::Bf16 => (2f64.powi(-7), 2f64.powi(-5)),
    }
}

fn compare(
    kernel: &KernelInfo,
    operands: &Operands,
    sums: &[u32],
    results: &[bf16],
    firmware: Option<&str>,
) -> Result<(), NpuError> {
    let expected: Vec<f64> = sums
        .par_iter()
        .enumerate()
        .map(|(i, &sum)| reference::result(kernel, operands, i, sum))
        .collect();
    let square: f64 = expected.par_iter().map(|value| value * value).sum();
    let size = (square / expected.len().max(1) as f64).sqrt();
    let (relative, absolute) = tolerances(kernel.target.precision);
    let is_wrong = |(got, expected): (&bf16, &f64)| {
        let distance = (got.to_f64() - expected).abs();
        // Not a number is wrong too.
        distance.is_nan() || distance > relative * expected.abs() + absolute * size
    };
    let wrong = || results.iter().zip(&expected).map(is_wrong);
    let Some(first) = wrong().position(|wrong| wrong) else { return Ok(()) };
    Err(NpuError::SelfTest {
        op: kernel.op,
        shape: kernel.shape,
        wrong: wrong().filter(|&wrong| wrong).count(),
        count: results.len(),
        row: first / kernel.shape.n,
        column: first % kernel.shape.n,
        got: results[first].to_f32(),
        expected: expected[first] as f32,
        firmware: firmware.unwrap_or("unknown").to_owned(),
    })
}
