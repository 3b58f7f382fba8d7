//! Where an encoder's matmuls run: the CPU, a simulated NPU, or an NPU.

use tilewright::backend::array::{Array, ArrayError};
use tilewright::backend::cpu::Cpu;
use tilewright::backend::npu::{self, Description, Npu, NpuError};
use tilewright::backend::sim::Sim;
use tilewright::encoder::{self, Encode, EncoderError, Matmuls};
use tilewright::kernels::TABLE;
use tilewright::weights::Weights;
use tilewright_kernel::{Device, Precision, TargetInfo};

use super::{BackendArg, EncodeArgs, PrecisionArg};
use crate::cli::complain;
use crate::cli::error::CliError;

/// An encoder and what it runs on.
pub(super) struct Placed {
    pub(super) encoder: Box<dyn Encode>,
    pub(super) target: &'static TargetInfo,
    /// The backend's name.
    pub(super) backend: &'static str,
    /// The NPU, if it runs on one.
    pub(super) npu: Option<OnNpu>,
}

/// The NPU that an encoder runs on.
pub(super) struct OnNpu {
    pub(super) device: Description,
    pub(super) xclbin_hash: &'static str,
}

impl Placed {
    /// Loads the encoder where it was asked for; for `auto`, on an NPU if there is one that works.
    pub(super) fn new(args: &EncodeArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
        if args.target.is_some() && matches!(args.backend, BackendArg::Auto | BackendArg::Cpu) {
            return Err(CliError::TargetOfNoArray);
        }
        match args.backend {
            BackendArg::Cpu => Self::on_cpu(args, cpu, weights),
            BackendArg::Sim => Self::on_simulator(args, cpu, weights),
            BackendArg::Npu => Self::on_npu(args, cpu, weights),
            // There is no choice to speak of: no NPU multiplies in f32.
            BackendArg::Auto if args.precision() == PrecisionArg::F32 => {
                Self::on_cpu(args, cpu, weights)
            }
            BackendArg::Auto => match Self::on_npu(args, cpu, weights) {
                Err(error) if of_npu(&error).is_some() => Self::instead(args, cpu, weights, &error),
                placed => placed,
            },
        }
    }

    /// Loads the encoder for the CPU, and says why.
    fn instead(
        args: &EncodeArgs,
        cpu: Cpu,
        weights: &Weights,
        why: &CliError,
    ) -> Result<Self, CliError> {
        if let Some(why) = of_npu(why) {
            complain(&format!("note: running on the CPU, as {why}"));
        }
        Self::on_cpu(args, cpu, weights)
    }

    /// For an encoder that failed: one for the CPU, if the NPU was not asked for and is the reason.
    pub(super) fn fall_back(
        &self,
        args: &EncodeArgs,
        cpu: Cpu,
        weights: &Weights,
        error: CliError,
    ) -> Result<Self, CliError> {
        if args.backend == BackendArg::Auto && self.backend == "npu" && of_npu(&error).is_some() {
            return Self::instead(args, cpu, weights, &error);
        }
        Err(error)
    }

    fn on_cpu(args: &EncodeArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
        let target = target(weights, args, None)?;
        let encoder = load(args, target, cpu, args.numeric(), weights)?;
        Ok(Self { encoder, target, backend: "cpu", npu: None })
    }

    fn on_simulator(args: &EncodeArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
        let target = target(weights, args, None)?;
        let array = Array::new(Box::new(Sim::new(target)?), cpu);
        let encoder = load(args, target, cpu, Matmuls::Array(array, args.scaling()), weights)?;
        Ok(Self { encoder, target, backend: "sim", npu: None })
    }

    fn on_npu(args: &EncodeArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
        // Where nothing was compiled there is no need to look for a device.
        let first = target(weights, args, None)?;
        if TABLE.targets.iter().all(|target| target.xclbin.is_none()) {
            return Err(CliError::Npu(NpuError::NotCompiled { target: first.name() }));
        }
        let device = npu::detect()?;
        let target = match device.generation.filter(|_| args.target.is_none()) {
            Some(generation) => target(weights, args, Some(generation)).map_err(|error| {
                let CliError::NoTarget { precision } = error else { return error };
                CliError::Npu(NpuError::Generation { found: device.name, precision })
            })?,
            None => first,
        };
        let length = length(args, target);
        let kernels = TABLE.of(target.model, target.device, target.precision);
        let npu = Npu::open(target, kernels.filter(|kernel| kernel.length == length))?;
        let used = OnNpu { device: npu.description().clone(), xclbin_hash: npu.xclbin_hash() };
        let matmuls = Matmuls::Array(Array::new(Box::new(npu), cpu), args.scaling());
        let encoder = load(args, target, cpu, matmuls, weights)?;
        Ok(Self { encoder, target, backend: "npu", npu: Some(used) })
    }
}

/// What an NPU did wrong, if that is what an error is about.
fn of_npu(error: &CliError) -> Option<&NpuError> {
    match error {
        CliError::Npu(error) => Some(error),
        CliError::Encoder(EncoderError::Array(ArrayError::Device(error))) => error.downcast_ref(),
        _ => None,
    }
}

/// The compiled target of the precision, of the name if there is one, and of the device, whose sizes
/// are those of the weights; of those that fit none, the first, whose error then names the sizes.
fn target(
    weights: &Weights,
    args: &EncodeArgs,
    device: Option<Device>,
) -> Result<&'static TargetInfo, CliError> {
    let precision = match args.precision() {
        PrecisionArg::I8 => Some(Precision::I8),
        PrecisionArg::Bf16 => Some(Precision::Bf16),
        // The reference has no kernels of its own: it takes the shapes of any.
        PrecisionArg::F32 if matches!(args.backend, BackendArg::Auto | BackendArg::Cpu) => None,
        PrecisionArg::F32 => return Err(CliError::NoF32),
    };
    let fits = |target: &&TargetInfo| {
        precision.is_none_or(|p| p == target.precision)
            && device.is_none_or(|device| device == target.device)
            && args.target.as_ref().is_none_or(|name| *name == target.name())
    };
    let mut targets = TABLE.targets.iter().copied().filter(fits);
    let first = targets.clone().next();
    let same = |target: &&TargetInfo| {
        let wanted = weights.dimensions();
        wanted.is_some() && encoder::dimensions(target) == wanted
    };
    targets.find(same).or(first).ok_or_else(|| match &args.target {
        Some(name) => {
            let mut known: Vec<String> = TABLE.targets.iter().map(|target| target.name()).collect();
            known.sort();
            known.dedup();
            CliError::NoSuchTarget { name: name.clone(), precision: args.precision_name(), known }
        }
        None => CliError::NoTarget { precision: args.precision_name() },
    })
}

fn length(args: &EncodeArgs, target: &TargetInfo) -> Option<usize> {
    let lengths = TABLE.of(target.model, target.device, target.precision);
    args.audio_ctx.or_else(|| lengths.filter_map(|kernel| kernel.length).max())
}

fn load(
    args: &EncodeArgs,
    target: &'static TargetInfo,
    cpu: Cpu,
    matmuls: impl Into<Matmuls>,
    weights: &Weights,
) -> Result<Box<dyn Encode>, CliError> {
    let cache = weights.pack_cache()?;
    let length = length(args, target);
    Ok(encoder::load(target, length, cpu, matmuls, weights, Some(&cache))?)
}
