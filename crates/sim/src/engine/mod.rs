//! Runs a netlist: deterministic discrete events in cycles of the array.

use std::time::Duration;

use crate::functions::Functions;
use crate::netlist::Netlist;
use crate::text::Span;

/// Bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations of cores and sequences, and events.
    pub steps: u64,
    /// Wall-clock time.
    pub time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 20_000_000_000, time: None }
    }
}

/// An array that was configured with a design and keeps its state from sequence to sequence.
pub struct Simulator<'a> {
    netlist: &'a Netlist,
    functions: Functions,
    limits: Limits,
}

/// What a sequence did.
#[derive(Debug, Clone)]
pub struct Run {
    /// Cycles from its first instruction to its last, launch floor not included.
    pub cycles: u64,
    /// The same in microseconds at the device's clock.
    pub microseconds: f64,
    /// What was wrong with it although it came to an end.
    pub findings: Vec<Finding>,
}

/// Something that a design does wrong, seen while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// The operation.
    pub span: Span,
    /// What happened, with the names of everything in it.
    pub message: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// Two parties use a buffer at the same time and one of them writes.
    Race,
    /// A descriptor is written anew while a transfer uses it.
    DescriptorReuse,
    /// Bytes are used that nothing has written.
    Uninitialised,
    /// A task is sent to a queue that is full.
    QueueOverflow,
    /// A transfer goes on when the sequence has ended, and nothing waits for it.
    Unfinished,
}

/// Why a sequence did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Everything waits for something that will never come.
    #[error("{0}")]
    Hang(String),
    /// The design, the call or a function is at fault.
    #[error("{0}")]
    Design(String),
    /// [`Limits`] were reached.
    #[error("{0}")]
    Limit(String),
}

impl<'a> Simulator<'a> {
    /// Configures the array: cores begin to run and wait, buffers hold what the design gives them.
    ///
    /// # Errors
    /// When a core calls a function that is not registered.
    pub fn new(
        netlist: &'a Netlist,
        functions: Functions,
        limits: Limits,
    ) -> Result<Self, RunError> {
        Ok(Self { netlist, functions, limits })
    }

    /// Runs a runtime sequence on host buffers, one per argument of the sequence.
    ///
    /// # Errors
    /// When it hangs, breaks a rule that cannot be passed over, or exceeds the limits.
    pub fn run(&mut self, sequence: &str, arguments: &mut [&mut [u8]]) -> Result<Run, RunError> {
        let _ = (self.netlist, &self.functions, self.limits, sequence, arguments);
        Err(RunError::Design("the engine is not there yet".to_owned()))
    }
}
