//! Every kernel against a reference, through the whole of the array.
//!
//! A kernel runs three times on the same operands, each time with its own sequence, packing and
//! transfers. Twice its epilogue is replaced by one that hands out the lower and the upper half of
//! each accumulator instead of a result, so that all 32 bits of every sum come to light: they have
//! to be the reference's to the bit, i32 and f32 alike. In the third run the real epilogue's results
//! are held against f64, see [`Verified::ulps`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use half::bf16;
use tilewright_codegen::device;
use tilewright_kernel::{KernelInfo, Precision, Shape, TargetInfo};
use tilewright_sim::engine::{Run, Stats};
use tilewright_sim::functions::{Access, Argument, Function, Functions, Returned};

use super::{Sim, SimError, layout};
use crate::backend::array::{Device, Geometry, Operand};
use crate::backend::cpu::{Cpu, Output, Scaling, SharedBytes};
use crate::backend::reference::{self, Operands};

/// What the epilogue does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Its work.
    Real = 0,
    /// Hands out the lower halves of the sums.
    Low = 1,
    /// Hands out the upper halves.
    High = 2,
}

/// An epilogue that can be told to hand out sums.
struct Spy {
    real: Arc<dyn Function>,
    mode: Arc<AtomicU8>,
}

impl Function for Spy {
    fn call(&self, arguments: &mut [Argument<'_>]) -> Result<Returned, String> {
        let mode = self.mode.load(Ordering::Relaxed);
        if mode == Mode::Real as u8 {
            return self.real.call(arguments);
        }
        let [Argument::Buffer(sums), .., Argument::Buffer(c), Argument::Scalar(_)] = arguments
        else {
            return Err("an epilogue takes sums, parameters, results and a code".to_owned());
        };
        let half = if mode == Mode::Low as u8 { 0 } else { 2 };
        for (sum, c) in sums.chunks_exact(4).zip(c.chunks_exact_mut(2)) {
            c.copy_from_slice(&sum[half..half + 2]);
        }
        Ok(Returned { cycles: 1, value: None })
    }

    fn access(&self) -> &[Access] {
        self.real.access()
    }
}

/// A sum that is not the reference's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WrongSum {
    /// Row of C.
    pub row: usize,
    /// Column of C.
    pub column: usize,
    /// What the array has: an i32, or an f32.
    pub got: f64,
    /// What it has to be.
    pub expected: f64,
}

/// What came of a kernel.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The kernel.
    pub kernel: &'static KernelInfo,
    /// Sums that are not the reference's, to the bit.
    pub wrong_sums: usize,
    /// The first of them.
    pub first_wrong_sum: Option<WrongSum>,
    /// Largest error of a result in units of the last place of bf16, against f64 on the exact sums.
    /// At most 1 is right.
    pub ulps: f64,
    /// Cycles of the array.
    pub cycles: u64,
    /// Microseconds of the array, without the floor of a call.
    pub microseconds: f64,
    /// Useful multiply-accumulates of all that the cores could do in that time, 0 to 1.
    pub utilisation: f64,
    /// What was busiest: a core's functions, a stream, DRAM.
    pub bound: &'static str,
    /// How busy it was, 0 to 1.
    pub busy: f64,
    /// Findings of its runs.
    pub findings: Vec<String>,
    /// Hash of the results, to hold a second run against.
    results: blake3::Hash,
}

impl Verified {
    /// Whether all sums and results are right.
    pub fn is_right(&self) -> bool {
        self.wrong_sums == 0 && self.ulps <= 1.0
    }
}

/// Verifies the kernels of a target, all on the same array.
pub struct Verifier {
    sim: Sim,
    mode: Arc<AtomicU8>,
    cpu: Cpu,
}

impl Verifier {
    /// Configures an array for a target.
    ///
    /// # Errors
    /// As [`Sim::new`].
    pub fn new(target: &'static TargetInfo) -> Result<Self, SimError> {
        let mode = Arc::new(AtomicU8::new(Mode::Real as u8));
        let symbol = layout(target).symbols().epilogue;
        let spied = Arc::clone(&mode);
        let sim = Sim::with_functions(target, |mut functions: Functions| {
            if let Some(real) = functions.get(&symbol).map(Arc::clone) {
                functions.register(symbol, Arc::new(Spy { real, mode: spied }));
            }
            functions
        })?;
        Ok(Self { sim, mode, cpu: Cpu::new()? })
    }

    /// Verifies a kernel.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn verify(&mut self, kernel: &'static KernelInfo) -> Result<Verified, SimError> {
        let geometry = Geometry::new(kernel)?;
        let operands = Operands::new(kernel);
        let weights: SharedBytes = Arc::new(operands.pack_weights(&geometry)?);
        let before = self.sim.findings().len();
        let sums = self.sums(&geometry, &operands, &weights)?;
        let expected = reference::sums(kernel, &operands);
        let n = kernel.shape.n;
        let value = |bits: u32| match kernel.target.precision {
            Precision::I8 => f64::from(bits.cast_signed()),
            Precision::Bf16 => f64::from(f32::from_bits(bits)),
        };
        let mut wrong = sums.iter().zip(&expected).enumerate().filter(|(_, (x, y))| x != y);
        let first = wrong.next();
        let wrong_sums = wrong.count() + usize::from(first.is_some());
        let first_wrong_sum = first.map(|(i, (&got, &expected))| WrongSum {
            row: i / n,
            column: i % n,
            got: value(got),
            expected: value(expected),
        });

        let run = self.run(&geometry, &operands, &weights, Mode::Real)?;
        let mut results = vec![bf16::ZERO; kernel.shape.m * n];
        geometry.unpack_narrow(self.sim.output(), &mut results)?;
        let (bound, busy) = bound(&run);
        Ok(Verified {
            kernel,
            wrong_sums,
            first_wrong_sum,
            ulps: reference::worst_ulps(kernel, &operands, &expected, &results),
            cycles: run.cycles,
            microseconds: run.microseconds,
            utilisation: utilisation(kernel, run.cycles),
            bound,
            busy,
            findings: self.sim.findings()[before..].to_vec(),
            results: blake3::hash(self.sim.output()),
        })
    }

    /// Runs a kernel that was verified before once more on the same operands, on whatever state the
    /// array is in now, and says whether the results are the same, those in the padding too.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn again(&mut self, verified: &Verified) -> Result<bool, SimError> {
        let geometry = Geometry::new(verified.kernel)?;
        let operands = Operands::new(verified.kernel);
        let weights: SharedBytes = Arc::new(operands.pack_weights(&geometry)?);
        self.run(&geometry, &operands, &weights, Mode::Real)?;
        Ok(blake3::hash(self.sim.output()) == verified.results)
    }

    /// All accumulators as their bits.
    fn sums(
        &mut self,
        geometry: &Geometry<'_>,
        operands: &Operands,
        weights: &SharedBytes,
    ) -> Result<Vec<u32>, SimError> {
        let Shape { m, n, .. } = geometry.kernel().shape;
        let mut half = vec![bf16::ZERO; m * n];
        let mut sums = vec![0; m * n];
        for (mode, shift) in [(Mode::Low, 0), (Mode::High, 16)] {
            self.run(geometry, operands, weights, mode)?;
            geometry.unpack_narrow(self.sim.output(), &mut half)?;
            for (sum, half) in sums.iter_mut().zip(&half) {
                *sum |= u32::from(half.to_bits()) << shift;
            }
        }
        Ok(sums)
    }

    fn run(
        &mut self,
        geometry: &Geometry<'_>,
        operands: &Operands,
        weights: &SharedBytes,
        mode: Mode,
    ) -> Result<Run, SimError> {
        self.mode.store(mode as u8, Ordering::Relaxed);
        let kernel = geometry.kernel();
        let input = self.sim.input(kernel)?;
        operands.pack_activations(geometry, &self.cpu, input)?;
        self.sim.launch(kernel, weights)
    }
}

/// What a matmul takes on this machine around its run on an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTimes {
    /// Narrowing and packing activations.
    pub packing: Duration,
    /// Unpacking and widening results.
    pub unpacking: Duration,
}

impl HostTimes {
    /// Measures them for a kernel: the shortest of some rounds, as the machine may have other work.
    ///
    /// # Errors
    /// When the kernel cannot be packed for.
    pub fn measure(kernel: &KernelInfo, cpu: &Cpu) -> Result<Self, SimError> {
        const ROUNDS: usize = 7;
        let geometry = Geometry::new(kernel)?;
        let Shape { m, k, n } = kernel.shape;
        let a: Vec<f32> = (0..m * k).map(|i| (i % 255) as f32 - 127.0).collect();
        let [mut input, output] = [0, 2].map(|i| vec![0; kernel.host_bytes[i]]);
        let mut c = vec![0.0; m * n];
        let mut times = Self { packing: Duration::MAX, unpacking: Duration::MAX };
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let operand = Operand::F32(&a, Scaling::PerRow);
            geometry.pack_activations(cpu, operand, &mut input)?;
            let packed = Instant::now();
            geometry.unpack(cpu, &output, Output::Store, &mut c)?;
            times.unpacking = times.unpacking.min(packed.elapsed());
            times.packing = times.packing.min(packed - start);
        }
        Ok(times)
    }
}

/// Useful multiply-accumulates of all that the cores could do.
fn utilisation(kernel: &KernelInfo, cycles: u64) -> f64 {
    let Shape { m, k, n } = kernel.shape;
    let TargetInfo { device, precision, .. } = kernel.target;
    let peak = device::peak_macs(*device, *precision) * device.cores() as f64;
    (m * k * n) as f64 / (peak * cycles.max(1) as f64)
}

/// What was busiest in a run, and how busy.
fn bound(run: &Run) -> (&'static str, f64) {
    let Stats { cores, channels, dram_busy, .. } = &run.stats;
    let compute = cores.iter().map(|core| core.busy).fold(0.0, f64::max);
    // A stream moves four bytes a cycle.
    let full = 4.0 * run.cycles.max(1) as f64;
    let stream = |letter: &str| {
        let fifo = format!("`{letter}_l");
        let own = channels.iter().filter(|channel| channel.name.contains(&fifo));
        own.map(|channel| channel.bytes as f64 / full).fold(0.0, f64::max)
    };
    let candidates = [
        ("compute", compute),
        ("A stream", stream("A")),
        ("B stream", stream("B")),
        ("C stream", stream("C")),
        ("DRAM", *dram_busy),
    ];
    candidates.into_iter().max_by(|x, y| x.1.total_cmp(&y.1)).unwrap_or(candidates[0])
}
