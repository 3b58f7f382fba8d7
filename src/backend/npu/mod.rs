//! An AMD NPU, through XRT.
//!
//! [`Npu`] loads the xclbin of a target once and keeps one context. Streams, weights and the buffers
//! of activations stay there: a call uploads nothing but activations, which are packed straight into
//! mapped buffers. Of those each stream has two pairs, so that a window is packed while the one before
//! runs.
//!
//! Nothing is believed that was not seen:
//! - a stream runs only on the xclbin that it was compiled with, by their hashes;
//! - each shape runs once on known operands before anything else, see [`NpuError::SelfTest`];
//! - a run that does not end, or fails, takes the context with it. It is set up anew once, with all
//!   that it had, and the run is repeated; the next failure is the last.
//!
//! ```no_run
//! use tilewright::backend::array::Array;
//! use tilewright::backend::cpu::{Cpu, Scaling};
//! use tilewright::backend::npu::Npu;
//! use tilewright::encoder::{self, Matmuls};
//! use tilewright::kernels::TABLE;
//! use tilewright::weights::Weights;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (cpu, target) = (Cpu::new()?, TABLE.targets[0]);
//! let length = Some(1500);
//! let kernels = TABLE.of(target.model, target.device, target.precision);
//! let npu = Npu::open(target, kernels.filter(|kernel| kernel.length == length))?;
//! println!("{:?}", npu.description());
//! let matmuls = Matmuls::Array(Array::new(Box::new(npu), cpu), Scaling::PerRow);
//! let encoder = encoder::load(target, length, cpu, matmuls, &Weights::synthetic(), None)?;
//! # let _ = encoder;
//! # Ok(())
//! # }
//! ```

mod artifacts;
mod error;
mod hardware;
mod self_test;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tilewright_kernel::{KernelInfo, TargetInfo};

use crate::backend::array::{ArrayError, Device, DeviceTime, WeightsId};
use crate::backend::cpu::{Cpu, SharedBytes};
use artifacts::Xclbin;
pub use error::NpuError;
pub use hardware::Description;
use hardware::{BufferId, DEPTH, Hardware, ProgramId, Session};

/// The variable that says how many seconds a run may take.
const TIMEOUT: &str = "TILEWRIGHT_NPU_TIMEOUT";

/// How long a run is waited for: more than the two seconds after which the driver resets the array.
fn timeout() -> Duration {
    const DEFAULT: Duration = Duration::from_secs(10);
    let seconds = std::env::var(TIMEOUT).ok().and_then(|text| text.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(DEFAULT)
}

/// What NPU there is, without a context on it.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn detect() -> Result<Description, NpuError> {
    Ok(session::Xrt::open()?.description().clone())
}

/// Version and place of the XRT that serves NPUs here.
///
/// # Errors
/// When there is none.
pub fn xrt() -> Result<String, NpuError> {
    let found = tilewright_xrt::find()?;
    Ok(format!("{}, {}", found.version, found.path.display()))
}

/// The limit for locked memory in bytes, none if there is none.
pub fn memlock() -> Option<u64> {
    tilewright_xrt::memlock()
}

/// A kernel that the session has.
struct Loaded {
    kernel: &'static KernelInfo,
    program: ProgramId,
}

/// Weights that the session has, and where they come from, to upload them once more.
struct Kept {
    packed: SharedBytes,
    buffer: BufferId,
}

fn gone(failed: &Option<String>, given_up: &Option<String>) -> NpuError {
    let told = |why: &Option<String>| why.clone().unwrap_or_default();
    NpuError::GivenUp { first: told(failed), second: told(given_up) }
}

/// An NPU that is configured for a target.
pub struct Npu {
    target: &'static TargetInfo,
    xclbin: Xclbin,
    cpu: Cpu,
    hardware: Box<dyn Hardware>,
    /// None after it was given up.
    session: Option<Box<dyn Session>>,
    loaded: Vec<Loaded>,
    kept: Vec<Kept>,
    /// Why it was set up anew, if it was.
    failed: Option<String>,
    /// Why it was given up, if it was.
    given_up: Option<String>,
}

impl std::fmt::Debug for Npu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Npu")
            .field("target", &self.target.name())
            .field("device", self.description())
            .finish_non_exhaustive()
    }
}

impl Npu {
    /// Opens the NPU, loads a target and some of its kernels, and tests each of them.
    ///
    /// # Errors
    /// When there is no NPU, it is of another generation, the build had no toolchain, or a test
    /// fails.
    pub fn open(
        target: &'static TargetInfo,
        kernels: impl IntoIterator<Item = &'static KernelInfo>,
    ) -> Result<Self, NpuError> {
        // Whether there is anything to run is known without the device.
        let xclbin = Xclbin::of(target)?;
        Self::with(xclbin, target, Box::new(session::Xrt::open()?), kernels)
    }

    fn with(
        xclbin: Xclbin,
        target: &'static TargetInfo,
        mut hardware: Box<dyn Hardware>,
        kernels: impl IntoIterator<Item = &'static KernelInfo>,
    ) -> Result<Self, NpuError> {
        let description = hardware.description();
        if description.generation.is_some_and(|found| found != target.device) {
            let found = description.name.clone();
            return Err(NpuError::OtherGeneration { target: target.name(), found });
        }
        let session = Some(hardware.open(xclbin.artifact.bytes)?);
        let mut npu = Self {
            target,
            xclbin,
            cpu: Cpu::new()?,
            hardware,
            session,
            loaded: Vec::new(),
            kept: Vec::new(),
            failed: None,
            given_up: None,
        };
        kernels.into_iter().try_for_each(|kernel| npu.load(kernel))?;
        Ok(npu)
    }

    /// What it is.
    pub fn description(&self) -> &Description {
        self.hardware.description()
    }

    /// BLAKE3 of the xclbin that is loaded, in hexadecimal.
    pub fn xclbin_hash(&self) -> &'static str {
        self.xclbin.artifact.hash
    }

    /// Uploads a kernel's stream and tests it; does nothing if that was done before.
    ///
    /// # Errors
    /// When its stream is not one of the loaded xclbin, or the test fails.
    pub fn load(&mut self, kernel: &'static KernelInfo) -> Result<(), NpuError> {
        if self.program(kernel).is_some() {
            return Ok(());
        }
        let words = self.xclbin.stream(kernel)?;
        let firmware = self.description().firmware.clone();
        let cpu = self.cpu;
        let session = self.session()?;
        let program = session.load(&words, kernel.host_bytes)?;
        self_test::run(session, program, kernel, &cpu, firmware.as_deref())?;
        self.loaded.push(Loaded { kernel, program });
        Ok(())
    }

    fn session(&mut self) -> Result<&mut dyn Session, NpuError> {
        let Self { session, failed, given_up, .. } = self;
        match session {
            Some(session) => Ok(session.as_mut()),
            None => Err(gone(failed, given_up)),
        }
    }

    fn program(&self, kernel: &KernelInfo) -> Option<ProgramId> {
        // Sequences that are called the same are of different targets, and this has one.
        let same = |loaded: &&Loaded| loaded.kernel.sequence == kernel.sequence;
        self.loaded.iter().find(same).map(|loaded| loaded.program)
    }

    fn loaded(&self, kernel: &KernelInfo) -> Result<ProgramId, ArrayError> {
        let rule = "it was loaded when the NPU was opened";
        self.program(kernel).ok_or(ArrayError::Kernel { sequence: kernel.sequence, rule })
    }

    /// A new context with all that the old one had.
    fn set_up_anew(&mut self) -> Result<(), NpuError> {
        // There may be no other context left for this process.
        self.session = None;
        let mut session = self.hardware.open(self.xclbin.artifact.bytes)?;
        let firmware = self.hardware.description().firmware.clone();
        for Loaded { kernel, program } in &mut self.loaded {
            *program = session.load(&self.xclbin.stream(kernel)?, kernel.host_bytes)?;
            self_test::run(session.as_mut(), *program, kernel, &self.cpu, firmware.as_deref())?;
        }
        for Kept { packed, buffer } in &mut self.kept {
            *buffer = session.keep((**packed).as_ref())?;
        }
        self.session = Some(session);
        Ok(())
    }
}

impl Device for Npu {
    fn name(&self) -> &'static str {
        "npu"
    }

    fn target(&self) -> &'static TargetInfo {
        self.target
    }

    fn keep(&mut self, _: &KernelInfo, packed: SharedBytes) -> Result<WeightsId, ArrayError> {
        let buffer = self.session()?.keep((*packed).as_ref()).map_err(NpuError::from)?;
        self.kept.push(Kept { packed: Arc::clone(&packed), buffer });
        Ok(WeightsId(self.kept.len() - 1))
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn input(&mut self, kernel: &KernelInfo) -> Result<&mut [u8], ArrayError> {
        let program = self.loaded(kernel)?;
        let input = self.session()?.input(program).map_err(NpuError::from)?;
        // A buffer may be longer than what was asked for.
        Ok(&mut input[..kernel.host_bytes[0]])
    }

    fn start(&mut self, kernel: &KernelInfo, weights: WeightsId) -> Result<(), ArrayError> {
        let program = self.loaded(kernel)?;
        let rule = "its weights are kept by the array that it runs on";
        let missing = ArrayError::Kernel { sequence: kernel.sequence, rule };
        let weights = self.kept.get(weights.0).map(|kept| kept.buffer).ok_or(missing)?;
        Ok(self.session()?.start(program, weights).map_err(NpuError::from)?)
    }

    fn finish(&mut self) -> Result<DeviceTime, ArrayError> {
        let time = self.session()?.finish(timeout()).map_err(NpuError::from)?;
        Ok(DeviceTime { time, simulated: false })
    }

    fn output(&self) -> &[u8] {
        self.session.as_ref().map(|session| session.output()).unwrap_or_default()
    }

    fn recover(&mut self, error: ArrayError) -> Result<(), ArrayError> {
        // Only what XRT reports can pass; a mistake of the caller comes back.
        let ArrayError::Device(source) = &error else { return Err(error) };
        let Some(NpuError::Xrt(xrt)) = source.downcast_ref::<NpuError>() else { return Err(error) };
        if matches!(xrt, tilewright_xrt::Error::Argument { .. }) {
            return Err(error);
        }
        let why = xrt.to_string();
        let again = if self.failed.is_none() {
            tracing::warn!("{why}; the NPU is set up anew and the run repeated");
            self.failed = Some(why);
            self.set_up_anew().map_err(|error| error.to_string())
        } else {
            Err(why)
        };
        again.map_err(|why| {
            self.session = None;
            self.given_up = Some(why);
            gone(&self.failed, &self.given_up).into()
        })
    }
}
