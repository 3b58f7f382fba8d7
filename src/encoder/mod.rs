//! The Whisper encoder: from the log-mel spectrogram of a window to its features.
//!
//! Two convolutions with GELU, positions, then layers of self-attention and a feed-forward network,
//! each behind a LayerNorm and with a residual connection, and a last LayerNorm. Query, key and value
//! are one fused matmul, so a layer has four, and each is a call of the generated kernel of its exact
//! shape: [`EncoderOps`] names them.
//!
//! ```no_run
//! use tilewright::audio::{self, LogMel};
//! use tilewright::backend::cpu::{Cpu, Numeric};
//! use tilewright::encoder::{self, Nobody};
//! use tilewright::kernels::TABLE;
//! use tilewright::weights::Weights;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = Weights::synthetic();
//! let length = TABLE.kernels().filter_map(|kernel| kernel.length).max();
//! let mut encoder =
//!     encoder::load(TABLE.targets[0], length, Cpu::new()?, Numeric::F32, &weights, None)?;
//! let mel = LogMel::new(encoder.dimensions().mel_bins)?;
//! let mut talk = audio::open("talk.flac")?;
//! while let Some(window) = talk.next_window()? {
//!     let mel = mel.compute(&window.samples);
//!     let features = encoder.encode(&mel, &mut Nobody)?;
//!     println!("{} numbers", features.len());
//! }
//! # Ok(())
//! # }
//! ```

mod compare;
mod layer;
mod matmul;
mod observe;
mod ops;
mod shared;
mod smooth;
mod stem;

use tilewright_kernel::{Kernel, KernelInfo, TargetInfo};

use crate::audio::WINDOW_FRAMES;
use crate::backend::array::ArrayError;
use crate::backend::cpu::{Cpu, CpuError};
use crate::kernels::{self, Pass};
use crate::weights::{Dimensions, PackCache, Weights, WeightsError};
pub use compare::Distance;
use layer::{Buffers, Layer, Norm};
pub use matmul::Matmuls;
use matmul::Scratch;
use observe::timed;
pub use observe::{Nobody, Observer, Profile};
pub use ops::EncoderOps;
pub use shared::{Counts, SharedEncoder};
use stem::Stem;

/// Why an encoder could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// The weights are not those of this encoder.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// An operator refused.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The array that the matmuls run on refused.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// Weights that were loaded for the CPU are multiplied on an array, or the other way round: a
    /// fault of this library.
    #[error("weights are not where their matmul runs")]
    Elsewhere,
    /// Nothing was compiled for this target and length.
    #[error(
        "no kernels of {model} on {target}{} are compiled in; the lengths are {lengths:?}",
        length.map_or_else(String::new, |length| format!(" at length {length}"))
    )]
    NotCompiled {
        /// The model.
        model: &'static str,
        /// Device and precision.
        target: String,
        /// The length that was asked for.
        length: Option<usize>,
        /// The lengths that there are.
        lengths: Vec<usize>,
    },
    /// A spectrogram of the wrong size.
    #[error("a spectrogram has {expected} numbers for each window, {given} were given")]
    Mel {
        /// Bins × frames of a window.
        expected: usize,
        /// What was given.
        given: usize,
    },
}

/// An encoder of any size: what is left of [`Encoder`] when the size is not known.
pub trait Encode: Send {
    /// Encodes windows, each bins × [`WINDOW_FRAMES`], one behind the other; of each, the first
    /// two frames per position are looked at. The features are positions × width for each window.
    ///
    /// # Errors
    /// When `mel` is no whole number of windows.
    fn encode(&mut self, mel: &[f32], observer: &mut dyn Observer) -> Result<&[f32], EncoderError>;

    /// The sizes of the model.
    fn dimensions(&self) -> Dimensions;

    /// Rows of the features of a window.
    fn positions(&self) -> usize;

    /// The kernels of a pass, each once.
    fn kernels(&self) -> [&'static KernelInfo; 4];
}

/// Loads an encoder for the kernels of a target at a length. `matmuls` says what its matmuls run on:
/// a [`Numeric`](crate::backend::cpu::Numeric) for the CPU, or an array.
///
/// # Errors
/// When there are no such kernels, and as [`Encoder::load`].
pub fn load(
    target: &'static TargetInfo,
    length: Option<usize>,
    cpu: Cpu,
    matmuls: impl Into<Matmuls>,
    weights: &Weights,
    cache: Option<&PackCache>,
) -> Result<Box<dyn Encode>, EncoderError> {
    let load = Load { cpu, matmuls: matmuls.into(), weights, cache };
    kernels::dispatch(target, length, load).unwrap_or_else(|| {
        let of_target = kernels::TABLE.of(target.model, target.device, target.precision);
        let mut lengths: Vec<usize> = of_target.filter_map(|kernel| kernel.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Err(EncoderError::NotCompiled {
            model: target.model,
            target: target.name(),
            length,
            lengths,
        })
    })
}

/// The sizes of a compiled model.
pub fn dimensions(target: &TargetInfo) -> Option<Dimensions> {
    let lengths = kernels::TABLE.of(target.model, target.device, target.precision);
    let length = lengths.filter_map(|kernel| kernel.length).max();
    kernels::dispatch(target, length, Sizes)
}

struct Load<'a> {
    cpu: Cpu,
    matmuls: Matmuls,
    weights: &'a Weights,
    cache: Option<&'a PackCache>,
}

impl kernels::Visitor for Load<'_> {
    type Output = Result<Box<dyn Encode>, EncoderError>;

    fn visit<P: Pass>(self) -> Self::Output {
        let encoder = Encoder::<P>::load(self.cpu, self.matmuls, self.weights, self.cache)?;
        Ok(Box::new(encoder))
    }
}

struct Sizes;

impl kernels::Visitor for Sizes {
    type Output = Dimensions;

    fn visit<P: Pass>(self) -> Dimensions {
        <P as EncoderOps>::dimensions()
    }
}

/// An encoder whose matmuls are the kernels of `O`.
pub struct Encoder<O: EncoderOps> {
    cpu: Cpu,
    matmuls: Matmuls,
    stem: Stem,
    layers: Vec<Layer<O>>,
    norm: Norm,
    buffers: Buffers,
    scratch: Scratch,
}

impl<O: EncoderOps> Encoder<O> {
    /// Checks all tensors, then packs them for the kernels, or takes from the cache what was packed
    /// before.
    ///
    /// # Errors
    /// All that is wrong with the weights.
    pub fn load(
        cpu: Cpu,
        matmuls: impl Into<Matmuls>,
        weights: &Weights,
        cache: Option<&PackCache>,
    ) -> Result<Self, EncoderError> {
        weights.check(&O::dimensions())?;
        let mut matmuls = matmuls.into();
        let source = layer::Source { cpu, numeric: matmuls.numeric(), weights, cache };
        let layers = (0..O::LAYERS).map(|i| Layer::load(&source, &mut matmuls, i));
        Ok(Self {
            cpu,
            layers: layers.collect::<Result<_, _>>()?,
            matmuls,
            stem: Stem::load::<O>(&source)?,
            norm: source.norm("model.encoder.layer_norm", O::D_MODEL)?,
            buffers: Buffers::default(),
            scratch: Scratch::default(),
        })
    }
}

impl<O: EncoderOps> Encode for Encoder<O> {
    fn encode(&mut self, mel: &[f32], observer: &mut dyn Observer) -> Result<&[f32], EncoderError> {
        let window = O::MEL_BINS * WINDOW_FRAMES;
        if mel.is_empty() || !mel.len().is_multiple_of(window) {
            return Err(EncoderError::Mel { expected: window, given: mel.len() });
        }
        let Self { cpu, matmuls, stem, layers, norm, buffers, scratch } = self;
        buffers.resize::<O>(mel.len() / window);
        stem.run::<O>(cpu, mel, &mut buffers.hidden, &mut scratch.workspace, observer)?;
        for (i, layer) in layers.iter().enumerate() {
            observer.hidden(i, &buffers.hidden);
            layer.run(cpu, matmuls, &mut buffers.hidden, scratch, observer)?;
        }
        let Buffers { hidden, features, .. } = buffers;
        timed(observer, "layer_norm", || norm.run(cpu, hidden, features))?;
        observer.hidden(layers.len(), features);
        Ok(features)
    }

    fn dimensions(&self) -> Dimensions {
        O::dimensions()
    }

    fn positions(&self) -> usize {
        O::positions()
    }

    fn kernels(&self) -> [&'static KernelInfo; 4] {
        [O::AttnQkv::INFO, O::AttnOut::INFO, O::FfnUp::INFO, O::FfnDown::INFO]
    }
}
