//! What a decoder remembers while it decodes a window.

use crate::backend::cpu::{Heads, Memory, Numeric, Past, Probe, Seen};
use crate::weights::DecoderDimensions;

/// Sequences of tokens that are decoded together, with all that the decoder remembers of them and of
/// the window: see [`Decoder::state`](super::Decoder::state).
///
/// The memory for the longest sequences is taken once, and serves any number of windows. Sequences
/// that share a beginning share its keys and values: for each sequence a table tells, position by
/// position, in whose row they are, so that [`State::reorder`] copies nothing but the table.
#[derive(Debug)]
pub struct State {
    pub(super) dimensions: DecoderDimensions,
    /// The most sequences.
    pub(super) slots: usize,
    /// Sequences that are decoded now.
    pub(super) sequences: usize,
    /// Tokens of each.
    pub(super) length: usize,
    /// Sequences × positions: the slot that a sequence's keys and values are in.
    table: Vec<u8>,
    spare: Vec<u8>,
    /// Layers × slots × heads × positions × size. The system gives memory that is zero when it is first
    /// written, so a slot that is never used costs nothing.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Of each layer: keys and values of the window.
    pub(super) window: Vec<Memory>,
    /// Of each layer: heads whose attention to the window is looked at.
    pub(super) probes: Vec<Probe>,
    /// Of the last step, row by row.
    pub(super) logits: Vec<f32>,
}

/// Which tokens are decoded in a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows {
    /// So many tokens, one behind the other, of the only sequence.
    Prompt(usize),
    /// One of each sequence.
    Step(usize),
}

impl Rows {
    pub(super) fn count(self) -> usize {
        match self {
            Self::Prompt(count) | Self::Step(count) => count,
        }
    }

    /// By how much the sequences grow.
    pub(super) fn growth(self) -> usize {
        match self {
            Self::Prompt(count) => count,
            Self::Step(_) => 1,
        }
    }
}

impl State {
    pub(super) fn new(dimensions: DecoderDimensions, numeric: Numeric, slots: usize) -> Self {
        let slots = slots.clamp(1, MAX_SEQUENCES);
        let DecoderDimensions { d_model, heads, layers, vocabulary, positions, .. } = dimensions;
        let of_heads = Heads { count: heads, size: d_model / heads.max(1) };
        let rows = layers * slots * positions * d_model;
        Self {
            dimensions,
            slots,
            sequences: 1,
            length: 0,
            table: vec![0; slots * positions],
            spare: vec![0; slots * positions],
            keys: vec![0.0; rows],
            values: vec![0.0; rows],
            window: (0..layers).map(|_| Memory::new(numeric, of_heads)).collect(),
            probes: vec![Probe::default(); layers],
            // Two of a prompt: after its beginning and after its end.
            logits: Vec::with_capacity(slots.max(2) * vocabulary),
        }
    }

    /// Tokens of each sequence.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no tokens yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Sequences that are decoded.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// The most sequences that can be decoded together.
    pub fn max_sequences(&self) -> usize {
        self.slots
    }

    /// Forgets all tokens but the first `length`, which must be those of one sequence alone; the
    /// window stays.
    pub fn rewind(&mut self, length: usize) {
        self.length = length.min(self.length);
        self.sequences = 1;
        self.table.fill(0);
    }

    /// Continues sequence `parents[i]` as sequence `i`, for as many as there are parents: at most as
    /// many as there is room for, each of them a sequence that there is.
    pub fn reorder(&mut self, parents: &[usize]) {
        let positions = self.dimensions.positions;
        let count = parents.len().min(self.slots);
        for (parent, to) in parents.iter().zip(self.spare.chunks_exact_mut(positions)) {
            let from = (*parent).min(self.sequences - 1) * positions;
            to.copy_from_slice(&self.table[from..][..positions]);
        }
        std::mem::swap(&mut self.table, &mut self.spare);
        self.sequences = count.max(1);
    }

    /// The probabilities that heads gave the positions of the window in the last step, of the layers
    /// and heads that are watched.
    pub fn attention(&self) -> impl Iterator<Item = (usize, &Probe)> {
        self.probes.iter().enumerate().filter(|(_, probe)| !probe.heads.is_empty())
    }

    /// The logits of the last run, row by row, each of as many numbers as the vocabulary has tokens.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// A row of them; nothing if there are not so many.
    pub fn row(&self, index: usize) -> &[f32] {
        let vocabulary = self.dimensions.vocabulary;
        self.logits.chunks_exact(vocabulary.max(1)).nth(index).unwrap_or_default()
    }

    /// The same as [`State::logits`], to be worked on.
    pub fn logits_mut(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// Removes the logits of the first rows.
    pub fn drop_logits(&mut self, rows: usize) {
        let end = (rows * self.dimensions.vocabulary).min(self.logits.len());
        self.logits.drain(..end);
    }

    /// Looks at the attention of these heads, each a layer and a head of it, to the window.
    pub fn watch(&mut self, heads: &[(usize, usize)]) {
        for (layer, probe) in self.probes.iter_mut().enumerate() {
            let of_layer = heads.iter().filter(|(of, _)| *of == layer).map(|(_, head)| *head);
            probe.heads = of_layer.filter(|head| *head < self.dimensions.heads).collect();
            probe.probabilities.clear();
        }
    }

    /// Makes room for the keys and values of a step's tokens: writes the table.
    pub(super) fn place(&mut self, rows: Rows) {
        let positions = self.dimensions.positions;
        match rows {
            Rows::Prompt(count) => self.table[self.length..][..count].fill(0),
            Rows::Step(count) => {
                for sequence in 0..count {
                    self.table[sequence * positions + self.length] = sequence as u8;
                }
            }
        }
    }

    /// Keeps the keys and values of a layer: rows of query, key and value side by side.
    pub(super) fn keep(&mut self, layer: usize, rows: Rows, qkv: &[f32]) {
        let DecoderDimensions { d_model, heads, positions, .. } = self.dimensions;
        let size = d_model / heads;
        for (i, row) in qkv.chunks_exact(3 * d_model).enumerate() {
            // Tokens of a prompt are a position apart, those of a step a slot.
            let (slot, position) = match rows {
                Rows::Prompt(_) => (0, self.length + i),
                Rows::Step(_) => (i, self.length),
            };
            let (keys, values) = row[d_model..].split_at(d_model);
            let parts = keys.chunks_exact(size).zip(values.chunks_exact(size));
            for (head, (key, value)) in parts.enumerate() {
                let row = ((layer * self.slots + slot) * heads + head) * positions + position;
                self.keys[row * size..][..size].copy_from_slice(key);
                self.values[row * size..][..size].copy_from_slice(value);
            }
        }
    }

    /// What each row sees of the keys and values of a layer.
    pub(super) fn seen(&self, layer: usize, rows: Rows) -> impl Iterator<Item = Seen<'_>> {
        let DecoderDimensions { d_model, heads, positions, .. } = self.dimensions;
        let all = self.slots * positions * d_model;
        let past = Past {
            keys: &self.keys[layer * all..][..all],
            values: &self.values[layer * all..][..all],
            slots: self.slots,
            heads: Heads { count: heads, size: d_model / heads },
        };
        (0..rows.count()).map(move |row| {
            let slots = match rows {
                Rows::Prompt(_) => &self.table[..=self.length + row],
                Rows::Step(_) => &self.table[row * positions..][..=self.length],
            };
            Seen { past, slots }
        })
    }
}

/// The most sequences of a state: slots are numbered by bytes, and more help nobody.
pub const MAX_SEQUENCES: usize = 64;
