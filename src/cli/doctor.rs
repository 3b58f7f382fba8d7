//! `tilewright doctor`: what an NPU needs, what of it is there, and what to do about the rest.

mod facts;
mod judge;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::output;
use super::status::Status;
use facts::Facts;
use judge::{Check, State};

/// Check what an NPU needs: driver, permission, XRT, toolchain; and say what to do
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Exit status:
  0 the NPU would work, for all that can be seen without running anything on it   1 it would not

JSON:
  { npu_works, checks: [{ check, state, found, debian, ubuntu }] }
  state is ok, missing (the NPU does not work without) or optional (only a build, or only speed,
  suffers). debian and ubuntu say what to do there; left out where nothing is to be done.";

/// The JSON object; its keys stay what they are.
#[derive(Serialize)]
struct Report {
    npu_works: bool,
    checks: Vec<Check>,
}

/// Looks, judges, prints.
pub(crate) fn run(args: &DoctorArgs) -> Result<Status, CliError> {
    let checks = judge::judge(&Facts::gather());
    let npu_works = checks.iter().all(|check| check.state != State::Missing);
    let report = Report { npu_works, checks };
    let text = if args.json {
        let text = serde_json::to_string_pretty(&report);
        text.map_err(|error| CliError::Stdout(error.into()))? + "\n"
    } else {
        report.text()
    };
    output::print(&text)?;
    Ok(if npu_works { Status::Done } else { Status::Failed })
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        for Check { check, state, found, remedy } in &self.checks {
            let _ = writeln!(text, "{check:14} {:9} {found}", state.name());
            let Some(remedy) = remedy else { continue };
            let indent = " ".repeat(25);
            if remedy.debian == remedy.ubuntu {
                let _ = writeln!(text, "{indent}-> {}", remedy.debian);
            } else {
                let _ = writeln!(text, "{indent}-> Debian: {}", remedy.debian);
                let _ = writeln!(text, "{indent}-> Ubuntu: {}", remedy.ubuntu);
            }
        }
        let outcome = if self.npu_works {
            "The NPU would work."
        } else {
            "The NPU would not work. The CPU and the simulator do without."
        };
        let _ = writeln!(text, "\n{outcome}");
        text
    }
}
