//! What a decoder is given to decode next.

use super::state::Rows;
use super::{DecoderError, State};
use crate::backend::cpu::Recall;
use crate::weights::DecoderDimensions;

/// Tokens by which the sequences of a state go on: see [`Decoder::run`](super::Decoder::run).
#[derive(Debug)]
pub struct Turn<'a> {
    pub(super) state: &'a mut State,
    pub(super) tokens: &'a [u32],
    kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    Prompt {
        /// Places of the tokens behind which there are to be logits.
        wanted: &'a [usize],
    },
    Step,
}

impl<'a> Turn<'a> {
    /// Tokens that are known, one behind the other, as the beginning of the only sequence or behind
    /// what there is of it. There will be logits behind those of them whose places are `wanted`.
    pub fn prompt(state: &'a mut State, tokens: &'a [u32], wanted: &'a [usize]) -> Self {
        Self { state, tokens, kind: Kind::Prompt { wanted } }
    }

    /// One more token of each sequence. There will be logits behind all of them.
    pub fn step(state: &'a mut State, tokens: &'a [u32]) -> Self {
        Self { state, tokens, kind: Kind::Step }
    }

    /// Whether this can be run.
    ///
    /// # Errors
    /// When the state has heard no window, a token is none, there are too many, or they do not continue
    /// the sequences.
    pub fn check(&self) -> Result<(), DecoderError> {
        let DecoderDimensions { d_model, vocabulary, positions, .. } = self.state.dimensions;
        if self.state.window.iter().any(|memory| memory.positions() == 0) {
            return Err(DecoderError::Features { width: d_model, given: 0 });
        }
        let (sequences, given) = (self.state.sequences, self.tokens.len());
        let continues = match self.kind {
            Kind::Prompt { wanted } => {
                sequences == 1 && given > 0 && wanted.iter().all(|place| *place < given)
            }
            Kind::Step => given == sequences,
        };
        if !continues {
            return Err(DecoderError::Sequences { sequences, given });
        }
        let given = self.state.length + self.rows().growth();
        if given > positions {
            return Err(DecoderError::TooLong { positions, given });
        }
        let unknown = self.tokens.iter().find(|token| **token as usize >= vocabulary);
        match unknown {
            Some(token) => Err(DecoderError::Token { token: *token, vocabulary }),
            None => Ok(()),
        }
    }

    pub(super) fn rows(&self) -> Rows {
        match self.kind {
            Kind::Prompt { .. } => Rows::Prompt(self.tokens.len()),
            Kind::Step => Rows::Step(self.tokens.len()),
        }
    }

    /// The position of each token.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, by) = match self.kind {
            Kind::Prompt { .. } => (self.state.length, 1),
            Kind::Step => (self.state.length, 0),
        };
        (0..self.tokens.len()).map(move |i| first + i * by)
    }

    /// The rows behind which there are to be logits, of the rows of this turn.
    pub(super) fn wanted(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (places, all) = match self.kind {
            Kind::Prompt { wanted } => (wanted, 0),
            Kind::Step => (&[][..], self.tokens.len()),
        };
        places.iter().copied().chain(0..all)
    }

    /// The query of each row to the window.
    pub(super) fn recall(&mut self, layer: usize) -> Recall<'_> {
        let rows = self.tokens.len();
        let State { window, probes, .. } = &mut *self.state;
        let probe = &mut probes[layer];
        let probe = (!probe.heads.is_empty()).then_some(probe);
        Recall { memory: &window[layer], rows, probe }
    }
}
