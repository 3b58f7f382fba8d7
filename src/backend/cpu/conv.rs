//! The conv stem: two convolutions of three taps as matmuls.
//!
//! With frames as rows and a row of zeros before and after them, what the taps of one output see is
//! one contiguous run of three rows. So a convolution is a matmul whose rows of A overlap, and
//! nothing is copied for it.

use rayon::prelude::*;
use tilewright_kernel::Epilogue;

use super::error::check_length;
use super::gemm::Matmul;
use super::pack::{PackedWeights, SharedBytes, Spec};
use super::simd::Level;
use super::tile::Rows;
use super::workspace::Workspace;
use super::{CpuError, Numeric, Output};

/// Taps of a convolution.
const TAPS: usize = 3;
/// Positions that are copied at a time.
const COPIED: usize = 64 << 10;

/// A convolution of three taps with padding 1, bias and GELU, packed.
#[derive(Debug, Clone)]
pub struct PreparedConv {
    inputs: usize,
    weights: PackedWeights,
}

impl PreparedConv {
    fn spec(numeric: Numeric, inputs: usize, outputs: usize) -> Spec {
        Spec { numeric, epilogue: Epilogue::BiasGelu, k: TAPS * inputs, n: outputs }
    }

    /// Packs weights of outputs × inputs × 3.
    pub(super) fn pack(
        level: Level,
        numeric: Numeric,
        inputs: usize,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<Self, CpuError> {
        let spec = Self::spec(numeric, inputs, bias.len());
        check_length("the convolution's weights", spec.n * spec.k, weights.len())?;
        // Taps first: as the rows of A have them.
        let mut by_tap = vec![0.0; weights.len()];
        if spec.k > 0 {
            by_tap.par_chunks_mut(spec.k).zip(weights.par_chunks(spec.k)).for_each(|(to, from)| {
                for (i, x) in from.iter().enumerate() {
                    to[i % TAPS * inputs + i / TAPS] = *x;
                }
            });
        }
        Ok(Self { inputs, weights: PackedWeights::pack(level, spec, &by_tap, Some(bias))? })
    }

    pub(super) fn from_bytes(
        level: Level,
        numeric: Numeric,
        inputs: usize,
        outputs: usize,
        bytes: SharedBytes,
        range: std::ops::Range<usize>,
    ) -> Result<Self, CpuError> {
        let spec = Self::spec(numeric, inputs, outputs);
        Ok(Self { inputs, weights: PackedWeights::from_bytes(level, spec, bytes, range)? })
    }

    /// Channels of its input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Channels of its output.
    pub fn outputs(&self) -> usize {
        self.weights.spec().n
    }

    /// The bytes to store for [`Cpu::load_conv`](super::Cpu::load_conv).
    pub fn as_bytes(&self) -> &[u8] {
        self.weights.as_bytes()
    }

    /// The matmul over padded frames, of which each output starts `stride` after the one before.
    fn matmul<'a>(
        &'a self,
        level: Level,
        padded: &'a [f32],
        stride: usize,
        output: Output,
    ) -> Matmul<'a> {
        Matmul {
            level,
            weights: &self.weights,
            a: Rows { elements: padded, stride: stride * self.inputs },
            rows: (padded.len() / self.inputs - TAPS) / stride + 1,
            norm: None,
            scales: None,
            output,
            // The outputs stay f32: no kernel of an NPU narrows them.
            narrow: false,
        }
    }

    pub(super) fn weights(&self) -> &PackedWeights {
        &self.weights
    }
}

/// Both convolutions and the positions, for each window.
pub(super) fn stem(
    level: Level,
    convs: [&PreparedConv; 2],
    mel: &[f32],
    positions: &[f32],
    out: &mut [f32],
    workspace: &mut Workspace,
) -> Result<(), CpuError> {
    let [first, second] = convs;
    let (bins, d) = (first.inputs, second.outputs());
    let rule = |holds: bool, rule| {
        if holds { Ok(()) } else { Err(CpuError::Geometry { what: "the conv stem", rule }) }
    };
    rule(bins > 0 && d > 0, "there are channels")?;
    rule(
        second.inputs == first.outputs(),
        "the second convolution has as many inputs as the first has outputs",
    )?;
    let rows = positions.len() / d;
    rule(rows > 0 && positions.len() == rows * d, "positions are whole rows")?;
    let windows = out.len() / positions.len();
    let frames = 2 * rows;
    check_length("the output of the conv stem", windows * rows * d, out.len())?;
    check_length("the mel spectrogram", windows * bins * frames, mel.len())?;
    let windows = mel.chunks_exact(bins * frames).zip(out.chunks_exact_mut(rows * d));
    for (mel, out) in windows {
        // Taken out so that the matmul can have the rest of the workspace.
        let mut transposed = std::mem::take(&mut workspace.frames);
        let mut hidden = std::mem::take(&mut workspace.hidden);
        let padded = transposed.get::<f32>((frames + 2) * bins);
        transpose(mel, bins, frames, padded);
        let between = hidden.get::<f32>((frames + 2) * second.inputs);
        let inner = pad(between, second.inputs);
        first.matmul(level, padded, 1, Output::Store).run(inner, workspace);
        let parts = out.par_chunks_mut(COPIED).zip(positions.par_chunks(COPIED));
        parts.for_each(|(out, positions)| out.copy_from_slice(positions));
        second.matmul(level, between, 2, Output::Add).run(out, workspace);
        workspace.frames = transposed;
        workspace.hidden = hidden;
    }
    Ok(())
}

/// Clears the first and the last row; returns what is between.
fn pad(rows: &mut [f32], width: usize) -> &mut [f32] {
    let end = rows.len() - width;
    rows[..width].fill(0.0);
    rows[end..].fill(0.0);
    &mut rows[width..end]
}

/// From bins × frames to padded frames × bins.
fn transpose(mel: &[f32], bins: usize, frames: usize, padded: &mut [f32]) {
    /// Frames of a task: a cache line of each bin.
    const BLOCK: usize = 16;
    pad(padded, bins).par_chunks_mut(BLOCK * bins).enumerate().for_each(|(block, into)| {
        for bin in 0..bins {
            let from = &mel[bin * frames + block * BLOCK..][..into.len() / bins];
            for (x, into) in from.iter().zip(into[bin..].iter_mut().step_by(bins)) {
                *into = *x;
            }
        }
    });
}
