//! Memory for what lies between the operators.

use crate::backend::cpu::{LinearWorkspace, RecallWorkspace, Workspace};
use crate::weights::DecoderDimensions;

/// Scratch memory of a [`Decoder`](super::Decoder): of no use between two calls. It grows to what the
/// largest needs.
#[derive(Debug, Default)]
pub struct Scratch {
    // Row by row.
    pub(super) hidden: Vec<f32>,
    pub(super) normed: Vec<f32>,
    pub(super) qkv: Vec<f32>,
    pub(super) query: Vec<f32>,
    pub(super) attended: Vec<f32>,
    pub(super) between: Vec<f32>,
    /// Of rows whose states get them afterwards.
    pub(super) logits: Vec<f32>,
    pub(super) linear: LinearWorkspace,
    pub(super) recall: RecallWorkspace,
    /// Keys and values of all positions of a window.
    pub(super) window: [Vec<f32>; 2],
    pub(super) dense: Workspace,
}

impl Scratch {
    /// So many rows.
    pub(super) fn resize(&mut self, rows: usize, dimensions: &DecoderDimensions) {
        let DecoderDimensions { d_model, ffn, .. } = *dimensions;
        for (buffer, width) in [
            (&mut self.hidden, d_model),
            (&mut self.normed, d_model),
            (&mut self.qkv, 3 * d_model),
            (&mut self.query, d_model),
            (&mut self.attended, d_model),
            (&mut self.between, ffn),
        ] {
            buffer.resize(rows * width, 0.0);
        }
    }
}
