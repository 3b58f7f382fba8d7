//! The kernels of one encoder at one length, as a trait, so that any dispatch table will do.

use tilewright_kernel::{Kernel, TargetInfo};

use crate::audio::WINDOW_FRAMES;
use crate::kernels::Pass;
use crate::weights::Dimensions;

/// One pass of a Whisper encoder at one length on one target.
///
/// Implemented for every [`Pass`] of this crate's own table. A program with a table of its own, for
/// other sizes than this crate was built for, implements it for a type that wraps its `Pass`.
pub trait EncoderOps: Send + Sync + 'static {
    /// Mel bins of the spectrogram.
    const MEL_BINS: usize;
    /// Width of the hidden values.
    const D_MODEL: usize;
    /// Attention heads.
    const HEADS: usize;
    /// Layers.
    const LAYERS: usize;
    /// Width between the two matmuls of a feed-forward network.
    const FFN: usize;
    /// Positions × width times query, key and value side by side.
    type AttnQkv: Kernel;
    /// Output projection of the attention.
    type AttnOut: Kernel;
    /// First matmul of the feed-forward network, with GELU.
    type FfnUp: Kernel;
    /// Second matmul of the feed-forward network.
    type FfnDown: Kernel;

    /// The model and target.
    fn target() -> &'static TargetInfo;

    /// Positions: frames after the conv stem, half as many as those of the spectrogram.
    fn positions() -> usize {
        Self::AttnQkv::INFO.shape.m
    }

    /// The sizes of the model.
    fn dimensions() -> Dimensions {
        Dimensions {
            mel_bins: Self::MEL_BINS,
            d_model: Self::D_MODEL,
            heads: Self::HEADS,
            layers: Self::LAYERS,
            ffn: Self::FFN,
            positions: WINDOW_FRAMES / 2,
        }
    }
}

impl<P: Pass> EncoderOps for P {
    const MEL_BINS: usize = P::MEL_BINS;
    const D_MODEL: usize = P::D_MODEL;
    const HEADS: usize = P::HEADS;
    const LAYERS: usize = P::LAYERS;
    const FFN: usize = P::FFN;
    type AttnQkv = P::AttnQkv;
    type AttnOut = P::AttnOut;
    type FfnUp = P::FfnUp;
    type FfnDown = P::FfnDown;

    fn target() -> &'static TargetInfo {
        P::target()
    }
}
