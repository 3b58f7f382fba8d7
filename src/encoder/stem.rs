//! The conv stem: from a spectrogram to the input of the first layer.

use super::layer::Source;
use super::observe::{Observer, timed};
use super::{EncoderError, EncoderOps};
use crate::audio::WINDOW_FRAMES;
use crate::backend::cpu::{Cpu, CpuError, PreparedConv, Workspace};

/// Taps of both convolutions.
const TAPS: usize = 3;

pub(super) struct Stem {
    convs: [PreparedConv; 2],
    /// Positions × width, of the compiled length.
    positions: Vec<f32>,
    /// The frames that are looked at, where those are not all.
    frames: Vec<f32>,
}

impl Stem {
    pub(super) fn load<O: EncoderOps>(source: &Source<'_>) -> Result<Self, EncoderError> {
        let name = "model.encoder.embed_positions.weight";
        let all = source.weights.tensor(name, &[O::dimensions().positions, O::D_MODEL])?;
        Ok(Self {
            convs: [
                conv(source, "model.encoder.conv1", O::MEL_BINS, O::D_MODEL)?,
                conv(source, "model.encoder.conv2", O::D_MODEL, O::D_MODEL)?,
            ],
            positions: all[..O::positions() * O::D_MODEL].to_vec(),
            frames: Vec::new(),
        })
    }

    /// Fills the hidden values of all windows.
    pub(super) fn run<O: EncoderOps>(
        &mut self,
        cpu: &Cpu,
        mel: &[f32],
        hidden: &mut [f32],
        workspace: &mut Workspace,
        observer: &mut dyn Observer,
    ) -> Result<(), CpuError> {
        let Self { convs: [first, second], positions, frames } = self;
        timed(observer, "conv_stem", || {
            let looked_at = 2 * O::positions();
            let mel = if looked_at == WINDOW_FRAMES {
                mel
            } else {
                frames.clear();
                mel.chunks_exact(WINDOW_FRAMES).for_each(|bin| frames.extend(&bin[..looked_at]));
                &frames[..]
            };
            cpu.conv_stem([first, second], mel, positions, hidden, workspace)
        })
    }
}

/// Takes a convolution from the cache, or packs it.
fn conv(
    source: &Source<'_>,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> Result<PreparedConv, EncoderError> {
    let bytes = source.packed(&format!("{name} {inputs}×{outputs}"), || {
        let weights = source.weights.tensor(&format!("{name}.weight"), &[outputs, inputs, TAPS])?;
        let bias = source.vector(&format!("{name}.bias"), outputs)?;
        let conv = source.cpu.prepare_conv(source.numeric, inputs, &weights, &bias)?;
        Ok(conv.as_bytes().to_vec())
    })?;
    let range = 0..(*bytes).as_ref().len();
    Ok(source.cpu.load_conv(source.numeric, inputs, outputs, bytes, range)?)
}
