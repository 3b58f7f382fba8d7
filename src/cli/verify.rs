//! `tilewright verify`: every kernel of the table, once, in the simulator, against a reference.

mod encoder;
mod report;

use clap::Args;
use indicatif::ProgressBar;
use rayon::prelude::*;
use tilewright::backend::cpu::Cpu;
use tilewright::backend::sim::{SimError, Verified, Verifier};
use tilewright::kernels::TABLE;
use tilewright_kernel::{KernelInfo, TargetInfo};

use super::error::CliError;
use super::output;
use super::status::Status;
use encoder::Prediction;
use report::Report;

/// Run every compiled kernel in the simulator, against a reference
///
/// Packs random operands, streams them through the simulated array and unpacks the results, as on a
/// real NPU, with the core kernels compiled for this machine; it needs a C++ compiler. Then the
/// kernels run once more in another order on the same array, and the time of the whole encoder is
/// predicted.
#[derive(Args)]
#[command(after_help = EXAMPLE, after_long_help = LONG_HELP)]
pub(crate) struct VerifyArgs {
    /// Verify this target only, like npu1-i8; may be given several times
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,

    /// Verify this op only, like ffn_up; may be given several times. The encoder is predicted only
    /// when all are verified
    #[arg(long = "op", value_name = "OP")]
    ops: Vec<String>,

    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "\
Example:
  tilewright verify --target npu1-i8";

const LONG_HELP: &str = "\
Example:
  tilewright verify --target npu1-i8

What is compared:
  sums    Every accumulator, all 32 bits: i8 with an exact i32 sum, bf16 with an f32 sum that is
          rounded after each addition in the order of K. To see them, the kernel runs twice with an
          epilogue that hands out halves of the accumulators in place of results.
  ulp     Results with f64 on the exact sums, in units of the last place of bf16; at most 1 is right.
          bf16 rounds where the core does (bias added in f32). For i8 what the core's float products
          may cost, 2^-15 of the scaled sum, 2^-22 before GELU, is no error.
  again   The results of a second run, in reverse order on the same array: the same to the bit.

Columns:
  array µs  time on the simulated array, without the floor of a call
  use       useful multiply-accumulates of all that the cores could do in that time
  bound     what was busiest in that time, and how busy: a core's functions, a stream, DRAM
  plan µs   what `tilewright plan` predicts without simulating

Exit status:
  0 all right   1 could not verify   2 wrong arguments   3 a kernel hangs
  4 a wrong sum or result            5 a race, an uninitialised read or the like

JSON:
  { kernels: [
    { model, target, op, length, runs, shape: {m, k, n}, padded: {m, k, n}, status, error,
      wrong_sums, first_wrong_sum: { row, column, got, expected }, ulps, again,
      cycles, array_us, utilisation, bound, busy, planned_us, findings: [text] } ],
    encoders: [
    { model, target, length, calls, array_us, launch_us, packing_us, unpacking_us,
      host: [{ operator, us }], host_threads, total_us, aim_us, largest: [{ part, us, on_array }] } ] }
  status is right, hang, mismatch or findings. Of encoders, array_us is simulated, launch_us is the
  floor of a call measured by others, the rest is measured on this machine; null where it is not
  there.";

/// What came of one kernel.
struct Row {
    kernel: &'static KernelInfo,
    outcome: Outcome,
}

enum Outcome {
    /// It came to its end, and whether the second run gave the same.
    Ran(Box<Verified>, bool),
    /// It hangs: who waits for what.
    Hang(String),
}

impl Row {
    fn status(&self) -> Status {
        match &self.outcome {
            Outcome::Hang(_) => Status::Hang,
            Outcome::Ran(verified, again) if !verified.is_right() || !again => Status::Mismatch,
            Outcome::Ran(verified, _) if !verified.findings.is_empty() => Status::Findings,
            Outcome::Ran(..) => Status::Done,
        }
    }
}

/// A target, and those of its kernels that are to be verified.
type Selected = (&'static TargetInfo, Vec<&'static KernelInfo>);

/// Verifies, predicts, prints.
pub(crate) fn run(args: &VerifyArgs) -> Result<Status, CliError> {
    let selected = select(args)?;
    let count = selected.iter().map(|(_, kernels)| kernels.len() as u64).sum();
    let progress = if args.json { ProgressBar::hidden() } else { ProgressBar::new(count) };
    let (report, status) = report(&selected, args.ops.is_empty(), &progress)?;
    output::print(&if args.json { report.json()? } else { report.text() })?;
    Ok(status)
}

/// Verifies kernels, and predicts the encoders that they are all of.
fn report(
    selected: &[Selected],
    predict: bool,
    progress: &ProgressBar,
) -> Result<(Report, Status), CliError> {
    let rows: Vec<Vec<Row>> = selected
        .par_iter()
        .map(|(target, kernels)| verify(target, kernels, progress))
        .collect::<Result<_, _>>()?;
    progress.finish_and_clear();
    let cpu = Cpu::new()?;
    let mut predictions = Vec::new();
    if predict {
        for (target, rows) in selected.iter().map(|(target, _)| *target).zip(&rows) {
            predictions.extend(Prediction::new(target, rows, &cpu, &predictions)?);
        }
    }
    // The gravest of all: a hang leaves nothing else to be said of a kernel.
    let gravest = |status: Status| match status {
        Status::Hang => 3,
        Status::Mismatch => 2,
        Status::Findings => 1,
        Status::Done | Status::Failed => 0,
    };
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let status = rows.iter().map(Row::status).max_by_key(|&status| gravest(status));
    Ok((Report::new(&rows, predictions), status.unwrap_or(Status::Done)))
}

/// The kernels to verify, by target.
fn select(args: &VerifyArgs) -> Result<Vec<Selected>, CliError> {
    let known = |names: &mut dyn Iterator<Item = String>| {
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        names
    };
    let targets = known(&mut TABLE.targets.iter().map(|target| target.name()));
    if let Some(name) = args.targets.iter().find(|name| !targets.contains(name)) {
        return Err(CliError::NotCompiled { what: "target", name: name.clone(), known: targets });
    }
    let ops = known(&mut TABLE.kernels().map(|kernel| kernel.op.to_owned()));
    if let Some(name) = args.ops.iter().find(|name| !ops.contains(name)) {
        return Err(CliError::NotCompiled { what: "op", name: name.clone(), known: ops });
    }
    let wanted =
        |target: &TargetInfo| args.targets.is_empty() || args.targets.contains(&target.name());
    let all = TABLE.targets.iter().copied().zip(TABLE.kernels.iter().copied());
    let selected = all.filter(|(target, _)| wanted(target)).map(|(target, kernels)| {
        let has_op =
            |kernel: &&KernelInfo| args.ops.is_empty() || args.ops.iter().any(|op| op == kernel.op);
        (target, kernels.iter().filter(has_op).collect())
    });
    Ok(selected.collect())
}

/// Verifies kernels of a target on one array, then runs them again, the last first. After a hang the
/// array is of no use, and the next kernel gets another.
fn verify(
    target: &'static TargetInfo,
    kernels: &[&'static KernelInfo],
    progress: &ProgressBar,
) -> Result<Vec<Row>, CliError> {
    let mut verifier = Verifier::new(target)?;
    let mut rows = Vec::new();
    for kernel in kernels.iter().copied() {
        let outcome = match verifier.verify(kernel) {
            Ok(verified) => Outcome::Ran(Box::new(verified), true),
            Err(error) if error.is_hang() => {
                verifier = Verifier::new(target)?;
                Outcome::Hang(hang(&error))
            }
            Err(error) => return Err(error.into()),
        };
        rows.push(Row { kernel, outcome });
        progress.inc(1);
    }
    for row in rows.iter_mut().rev() {
        if let Outcome::Ran(verified, again) = &mut row.outcome {
            match verifier.again(verified) {
                Ok(same) => *again = same,
                Err(error) if error.is_hang() => {
                    verifier = Verifier::new(target)?;
                    let text = format!("the second time: {}", hang(&error));
                    row.outcome = Outcome::Hang(text);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(rows)
}

fn hang(error: &SimError) -> String {
    match error {
        SimError::Run { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
