//! A simulated NPU: the design that goes to the compiler, run as text.
//!
//! [`Sim`] configures an array with the design of a target and runs its kernels on packed buffers,
//! as an NPU would: the same runtime sequences, the same core kernels, compiled for this machine.
//! The array keeps its state from kernel to kernel. Times are those of the simulated array.
//!
//! [`Verifier`] holds every kernel against a reference.
//!
//! ```no_run
//! use tilewright::backend::array::Array;
//! use tilewright::backend::cpu::{Cpu, Scaling};
//! use tilewright::backend::sim::Sim;
//! use tilewright::encoder::{self, Matmuls};
//! use tilewright::kernels::TABLE;
//! use tilewright::weights::Weights;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (cpu, target) = (Cpu::new()?, TABLE.targets[0]);
//! let array = Array::new(Box::new(Sim::new(target)?), cpu);
//! let matmuls = Matmuls::Array(array, Scaling::PerRow);
//! let encoder = encoder::load(target, Some(1500), cpu, matmuls, &Weights::synthetic(), None)?;
//! # let _ = encoder;
//! # Ok(())
//! # }
//! ```
//!
//! It needs a C++ compiler at run time, for the core kernels.

mod verify;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use half::bf16;
use tilewright_codegen::plan::array::Layout;
use tilewright_kernel::{ActivationsRef, Backend, KernelInfo, TargetInfo, WeightsRef};
use tilewright_sim::engine::{Finding, Limits, Run, RunError, Simulator};
use tilewright_sim::functions::{Functions, GemmError, gemm};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{self, Source};

use crate::backend::array::{ArrayError, Device, DeviceTime, Geometry, Operand, WeightsId};
use crate::backend::cpu::{Cpu, CpuError, SharedBytes};
pub use verify::{HostTimes, Verified, Verifier, WrongSum};

/// Why a target could not be simulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The design cannot be read, or is none that the array can have.
    #[error("the design of {target} cannot be simulated: {source}")]
    Design {
        /// The target.
        target: String,
        /// Why.
        source: RunError,
    },
    /// The core kernel could not be compiled for this machine.
    #[error("the core kernel of {target}: {source}")]
    Kernel {
        /// The target.
        target: String,
        /// Why.
        source: GemmError,
    },
    /// A kernel did not come to its end.
    #[error("{sequence} on {target}: {source}")]
    Run {
        /// The runtime sequence.
        sequence: &'static str,
        /// The target.
        target: String,
        /// Why.
        source: RunError,
    },
    /// Operands that do not fit.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// The processor that packs for the array.
    #[error(transparent)]
    Cpu(#[from] CpuError),
}

impl SimError {
    /// Whether a kernel waits for something that never comes.
    pub fn is_hang(&self) -> bool {
        matches!(self, Self::Run { source: RunError::Hang(_), .. })
    }
}

impl From<SimError> for ArrayError {
    fn from(error: SimError) -> Self {
        Self::Device(Box::new(error))
    }
}

/// What the buffer C holds before a run: what is not written is not a number.
const UNWRITTEN: u8 = 0xff;

/// A simulated array that is configured with the design of a target.
pub struct Sim {
    target: &'static TargetInfo,
    simulator: Simulator,
    weights: Vec<SharedBytes>,
    /// Host buffers A, B and C, as large as the largest kernel so far needs them.
    buffers: [Vec<u8>; 3],
    /// Bytes of C of the kernel that ran last.
    output: usize,
    /// Time of that kernel.
    time: Duration,
    findings: Vec<String>,
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim").field("target", &self.target.name()).finish_non_exhaustive()
    }
}

impl Sim {
    /// Reads the design of a target, compiles its core kernel for this machine, unless that was done
    /// before, and configures an array.
    ///
    /// # Errors
    /// When one of these fails: see [`SimError`].
    pub fn new(target: &'static TargetInfo) -> Result<Self, SimError> {
        Self::with_functions(target, |functions| functions)
    }

    /// The same with other core functions.
    fn with_functions(
        target: &'static TargetInfo,
        change: impl FnOnce(Functions) -> Functions,
    ) -> Result<Self, SimError> {
        let layout = layout(target);
        let functions = gemm(&layout, Some(target.design.core_kernel), None)
            .map_err(|source| SimError::Kernel { target: target.name(), source })?;
        let configured = netlist(target).and_then(|netlist| {
            Simulator::new(Arc::new(netlist), change(functions), Limits::default())
        });
        let simulator =
            configured.map_err(|source| SimError::Design { target: target.name(), source })?;
        Ok(Self {
            target,
            simulator,
            weights: Vec::new(),
            buffers: [const { Vec::new() }; 3],
            output: 0,
            time: Duration::ZERO,
            findings: Vec::new(),
        })
    }

    /// What was wrong with the runs so far although they came to their end; of findings of the same
    /// kind at the same place, one.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// Runs a kernel on the buffers A and C that are there.
    fn launch(&mut self, kernel: &KernelInfo, weights: &SharedBytes) -> Result<Run, SimError> {
        let packed = (**weights).as_ref();
        let [a, b, c] = &mut self.buffers;
        // A copy, so that nothing that a design does reaches the weights themselves.
        b.clear();
        b.extend_from_slice(packed);
        let [a_bytes, _, c_bytes] = kernel.host_bytes;
        c.clear();
        c.resize(c_bytes, UNWRITTEN);
        a.resize(a_bytes, 0);
        self.output = c_bytes;
        let run = self.simulator.run(kernel.sequence, &mut [a, b, c]);
        let run = run.map_err(|source| SimError::Run {
            sequence: kernel.sequence,
            target: self.target.name(),
            source,
        })?;
        for finding in &run.findings {
            let text = self.describe(finding);
            if !self.findings.contains(&text) {
                tracing::warn!(sequence = kernel.sequence, "{text}");
                self.findings.push(text);
            }
        }
        Ok(run)
    }

    /// A finding with the line of the design.
    fn describe(&self, finding: &Finding) -> String {
        let line = self.simulator.netlist().module.source.line(finding.span);
        format!("{} at line {line}: {}", finding.kind, finding.message)
    }
}

/// The layout that a target was planned with.
fn layout(target: &TargetInfo) -> Layout {
    Layout::new(target.device, target.precision, target.tile)
}

/// The design of a target as a netlist.
fn netlist(target: &TargetInfo) -> Result<Netlist, RunError> {
    let name = format!("{}/{}/design.mlir", target.model, target.name());
    let module = text::parse(&Source::new(&name, target.design.module))?;
    Ok(Netlist::build(module, None)?)
}

impl Device for Sim {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn target(&self) -> &'static TargetInfo {
        self.target
    }

    fn keep(&mut self, _: &KernelInfo, packed: SharedBytes) -> Result<WeightsId, ArrayError> {
        self.weights.push(packed);
        Ok(WeightsId(self.weights.len() - 1))
    }

    fn input(&mut self, kernel: &KernelInfo) -> Result<&mut [u8], ArrayError> {
        let a = &mut self.buffers[0];
        a.resize(kernel.host_bytes[0], 0);
        Ok(a)
    }

    fn start(&mut self, kernel: &KernelInfo, weights: WeightsId) -> Result<(), ArrayError> {
        let packed = self.weights.get(weights.0).map(Arc::clone);
        let rule = "its weights are kept by the array that it runs on";
        let packed = packed.ok_or(ArrayError::Kernel { sequence: kernel.sequence, rule })?;
        let run = self.launch(kernel, &packed)?;
        self.time = Duration::from_secs_f64(run.microseconds * 1e-6);
        Ok(())
    }

    /// It ran when it was started.
    fn finish(&mut self) -> Result<DeviceTime, ArrayError> {
        Ok(DeviceTime { time: self.time, simulated: true })
    }

    fn output(&self) -> &[u8] {
        &self.buffers[2][..self.output]
    }
}

/// A simulated array as a backend of typed kernels: operands narrowed already, results in bf16.
///
/// It packs the weights on each call, for holding backends against each other. An encoder keeps
/// them: see [`Array`](crate::backend::array::Array).
pub struct SimBackend {
    sim: Mutex<Sim>,
    cpu: Cpu,
}

impl SimBackend {
    /// A backend for the kernels of a target.
    ///
    /// # Errors
    /// As [`Sim::new`].
    pub fn new(target: &'static TargetInfo) -> Result<Self, SimError> {
        Ok(Self { sim: Mutex::new(Sim::new(target)?), cpu: Cpu::new()? })
    }
}

impl Backend for SimBackend {
    type Error = SimError;

    fn run(
        &self,
        kernel: &KernelInfo,
        a: ActivationsRef<'_>,
        b: WeightsRef<'_>,
        c: &mut [bf16],
    ) -> Result<(), SimError> {
        let geometry = Geometry::new(kernel)?;
        let a = match a {
            ActivationsRef::I8 { values, scales } => Operand::I8(values, scales),
            ActivationsRef::Bf16 { values } => Operand::Bf16(values),
        };
        let weights: SharedBytes = Arc::new(geometry.pack_narrow_weights(b)?);
        let mut sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner);
        geometry.pack_activations(&self.cpu, a, sim.input(kernel)?)?;
        sim.launch(kernel, &weights)?;
        Ok(geometry.unpack_narrow(sim.output(), c)?)
    }
}
