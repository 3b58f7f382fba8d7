//! Exit statuses.

use std::process::ExitCode;

/// How a command ended. Status 2, for arguments that make no sense, is the argument parser's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// It did what it was asked to.
    Done = 0,
    /// It could not.
    Failed = 1,
    /// A simulated design hangs.
    Hang = 3,
    /// A simulated design computes something else than expected.
    Mismatch = 4,
    /// A simulated design does something wrong although its results are right.
    Findings = 5,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
