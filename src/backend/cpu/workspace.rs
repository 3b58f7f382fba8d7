//! Scratch memory that operators share.

use bytemuck::{Pod, Zeroable};

/// The alignment of everything that vectors are loaded from.
pub(super) const ALIGNMENT: usize = 64;

/// One cache line.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line([u8; ALIGNMENT]);

/// Memory that starts on a cache line and never shrinks.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// Room for so many elements, with whatever was left in it.
    pub(super) fn get<T: Pod>(&mut self, length: usize) -> &mut [T] {
        let lines = (length * size_of::<T>()).div_ceil(ALIGNMENT);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines[..lines])[..length]
    }

    fn bytes(&self) -> usize {
        self.lines.capacity() * ALIGNMENT
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }
}

/// Scratch memory of the operators.
///
/// It grows to what the largest operator needs and is never given back before it is dropped, so that
/// after the first window nothing is allocated. One workspace serves one caller at a time; the
/// threads of an operator share it among them.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Matmuls: a block of activations for each task, as the kernel reads them.
    pub(super) activations: Buffer,
    /// Their scales.
    pub(super) scales: Buffer,
    /// A normalised row for each task.
    pub(super) normed: Buffer,
    /// A block of results for each task that are to become activations.
    pub(super) sums: Buffer,
    /// The largest magnitudes of its rows.
    pub(super) maxima: Buffer,
    /// Feed-forward network: activations of the second matmul.
    pub(super) between: Buffer,
    /// Their scales.
    pub(super) between_scales: Buffer,
    /// Attention in tiles: packed queries, keys and values.
    pub(super) packed: Buffer,
    /// Self-attention: queries, keys and values; what is attended to.
    pub(super) qkv: Buffer,
    pub(super) attended: Buffer,
    /// Attention: packed keys.
    pub(super) keys: Buffer,
    /// Attention: packed values.
    pub(super) values: Buffer,
    /// Attention: scores of each task.
    pub(super) scores: Buffer,
    /// Conv stem: padded mel frames, transposed.
    pub(super) frames: Buffer,
    /// Conv stem: padded output of the first convolution.
    pub(super) hidden: Buffer,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let Self {
            activations,
            scales,
            normed,
            sums,
            maxima,
            between,
            between_scales,
            packed,
            qkv,
            attended,
            keys,
            values,
            scores,
            frames,
            hidden,
        } = self;
        let matmuls = [activations, scales, normed, sums, maxima, between, between_scales];
        let others = [packed, qkv, attended, keys, values, scores, frames, hidden];
        matmuls.iter().chain(&others).map(|buffer| buffer.bytes()).sum()
    }
}
