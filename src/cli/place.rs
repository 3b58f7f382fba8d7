//! Where an encoder's matmuls run: the CPU, a simulated NPU, or an NPU.

mod or_else;

use std::sync::Arc;

use clap::{Args, ValueEnum};
use tilewright::backend::array::{Array, ArrayError};
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::backend::npu::{self, Description, Npu, NpuError};
use tilewright::backend::sim::Sim;
use tilewright::encoder::{self, Encode, EncoderError, Matmuls};
use tilewright::kernels::TABLE;
use tilewright::weights::Weights;
use tilewright_kernel::{Device, Precision, TargetInfo};

use super::complain;
use super::error::CliError;
use or_else::OrElse;

/// How and on what an encoder multiplies.
#[derive(Args, Clone)]
pub(crate) struct PlaceArgs {
    /// How to multiply [default: i8, or the precision of --target]
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,

    /// What activations share a scale in i8; per-tensor is for comparison, as it loses accuracy
    #[arg(long, value_enum, default_value_t = ScalingArg::PerRow)]
    scales: ScalingArg,

    /// What the matmuls run on, all else runs on the CPU. auto takes an NPU if there is one that
    /// works, and says so if not; npu fails then. sim simulates one, with a C++ compiler
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    backend: BackendArg,

    /// The compiled target of the array, like npu2-i8 [default: that of the NPU; for sim the first
    /// of the precision]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// A shorter compiled context, in positions of 20 ms; windows are as long as it
    #[arg(long, value_name = "N")]
    pub(crate) audio_ctx: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    I8,
    Bf16,
    F32,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ScalingArg {
    PerRow,
    PerTensor,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    Auto,
    Cpu,
    Sim,
    Npu,
}

impl PlaceArgs {
    fn scaling(&self) -> Scaling {
        match self.scales {
            ScalingArg::PerRow => Scaling::PerRow,
            ScalingArg::PerTensor => Scaling::PerTensor,
        }
    }

    /// What was asked for, or what the named target has.
    fn precision(&self) -> PrecisionArg {
        let named = self.target.as_deref().unwrap_or_default();
        let of_target = if named.ends_with("bf16") { PrecisionArg::Bf16 } else { PrecisionArg::I8 };
        self.precision.unwrap_or(of_target)
    }

    pub(crate) fn numeric(&self) -> Numeric {
        match self.precision() {
            PrecisionArg::I8 => Numeric::I8 { activations: self.scaling() },
            PrecisionArg::Bf16 => Numeric::Bf16,
            PrecisionArg::F32 => Numeric::F32,
        }
    }

    pub(crate) fn precision_name(&self) -> &'static str {
        match (self.precision(), self.scales) {
            (PrecisionArg::F32, _) => "f32",
            (PrecisionArg::Bf16, _) => "bf16",
            (PrecisionArg::I8, ScalingArg::PerRow) => "i8",
            (PrecisionArg::I8, ScalingArg::PerTensor) => "i8 per tensor",
        }
    }
}

/// An encoder and what it runs on.
pub(crate) struct Placed {
    pub(crate) encoder: Box<dyn Encode>,
    pub(crate) target: &'static TargetInfo,
    /// The backend's name.
    pub(crate) backend: &'static str,
    /// The NPU, if it runs on one.
    pub(crate) npu: Option<OnNpu>,
}

/// The NPU that an encoder runs on.
pub(crate) struct OnNpu {
    pub(crate) device: Description,
    pub(crate) xclbin_hash: &'static str,
}

impl Placed {
    /// Loads the encoder where it was asked for; for `auto`, on an NPU if there is one that works.
    pub(crate) fn new(args: &PlaceArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
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
        args: &PlaceArgs,
        cpu: Cpu,
        weights: &Weights,
        why: &CliError,
    ) -> Result<Self, CliError> {
        match of_npu(why) {
            Some(why) => Self::because(args, cpu, weights, why),
            None => Self::on_cpu(args, cpu, weights),
        }
    }

    fn because(
        args: &PlaceArgs,
        cpu: Cpu,
        weights: &Weights,
        why: &NpuError,
    ) -> Result<Self, CliError> {
        complain(&format!("note: running on the CPU, as {why}"));
        Self::on_cpu(args, cpu, weights)
    }

    /// The encoder, which goes on on the CPU if the NPU fails that nobody asked for.
    pub(crate) fn or_else_on_cpu(
        self,
        args: &PlaceArgs,
        cpu: Cpu,
        weights: &Arc<Weights>,
    ) -> Box<dyn Encode> {
        if args.backend != BackendArg::Auto || self.backend != "npu" {
            return self.encoder;
        }
        let (args, weights) = (args.clone(), Arc::clone(weights));
        let instead = move |error: &EncoderError| {
            let why = npu_error(error)?;
            match Self::because(&args, cpu, &weights, why) {
                Ok(placed) => Some(placed.encoder),
                Err(error) => {
                    complain(&error.to_string());
                    None
                }
            }
        };
        Box::new(OrElse::new(self.encoder, Box::new(instead)))
    }

    /// For an encoder that failed: one for the CPU, if the NPU was not asked for and is the reason.
    pub(crate) fn fall_back(
        &self,
        args: &PlaceArgs,
        cpu: Cpu,
        weights: &Weights,
        error: CliError,
    ) -> Result<Self, CliError> {
        if args.backend == BackendArg::Auto && self.backend == "npu" && of_npu(&error).is_some() {
            return Self::instead(args, cpu, weights, &error);
        }
        Err(error)
    }

    fn on_cpu(args: &PlaceArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
        let target = target(weights, args, None)?;
        let encoder = load(args, target, cpu, args.numeric(), weights)?;
        Ok(Self { encoder, target, backend: "cpu", npu: None })
    }

    fn on_simulator(args: &PlaceArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
        let target = target(weights, args, None)?;
        let array = Array::new(Box::new(Sim::new(target)?), cpu);
        let encoder = load(args, target, cpu, Matmuls::Array(array, args.scaling()), weights)?;
        Ok(Self { encoder, target, backend: "sim", npu: None })
    }

    fn on_npu(args: &PlaceArgs, cpu: Cpu, weights: &Weights) -> Result<Self, CliError> {
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
        CliError::Encoder(error) => npu_error(error),
        _ => None,
    }
}

fn npu_error(error: &EncoderError) -> Option<&NpuError> {
    match error {
        EncoderError::Array(ArrayError::Device(error)) => error.downcast_ref(),
        _ => None,
    }
}

/// The compiled target of the precision, of the name if there is one, and of the device, whose sizes
/// are those of the weights; of those that fit none, the first, whose error then names the sizes.
fn target(
    weights: &Weights,
    args: &PlaceArgs,
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

fn length(args: &PlaceArgs, target: &TargetInfo) -> Option<usize> {
    let lengths = TABLE.of(target.model, target.device, target.precision);
    args.audio_ctx.or_else(|| lengths.filter_map(|kernel| kernel.length).max())
}

fn load(
    args: &PlaceArgs,
    target: &'static TargetInfo,
    cpu: Cpu,
    matmuls: impl Into<Matmuls>,
    weights: &Weights,
) -> Result<Box<dyn Encode>, CliError> {
    let cache = weights.pack_cache()?;
    let length = length(args, target);
    Ok(encoder::load(target, length, cpu, matmuls, weights, Some(&cache))?)
}
