//! From logits to text: how Whisper chooses tokens.
//!
//! [`Rules`] forbid tokens: those that are suppressed, and timestamps where they make no sense. What
//! is left is chosen from by [`sample`] (the likeliest, or at random) or by [`beam`] search. A
//! [`Window`] is decoded by [`SharedDecoder::decode`], again at a higher temperature if the result is
//! repetitive or unlikely, see [`fallback`].
//!
//! The rules are those of OpenAI's `whisper/decoding.py`; the beam search is that of transformers'
//! `generate`, whose results it has been compared with.

pub mod beam;
mod config;
mod draw;
pub mod fallback;
mod language;
mod random;
mod rules;
mod running;
pub mod sample;
mod shared;
mod stop;
mod suppress;
mod task;
mod timestamps;
mod zlib;

pub use config::GenerationConfig;
pub use language::{Detected, detect};
pub use random::Random;
pub use rules::Rules;
pub use shared::{Passes, SharedDecoder};
pub use stop::Stop;
pub use suppress::Suppress;
pub use task::{Decoded, Options, Task, TaskKind, Window};
pub use timestamps::TimestampRules;

use crate::decoder::DecoderError;
use crate::tokenizer::TokenizerError;
use crate::weights::WeightsError;

/// Why a window could not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodingError {
    /// The decoder refused.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// The tokenizer refused.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The checkpoint's tokens are more than the decoder has.
    #[error(
        "the tokenizer has token {token}, the decoder {vocabulary} tokens: they are not of the same checkpoint"
    )]
    Vocabulary {
        /// A token that the decoder lacks.
        token: u32,
        /// Tokens of the decoder.
        vocabulary: usize,
    },
    /// A language that the checkpoint does not know; some know English alone.
    #[error("the checkpoint has no language `{0}`")]
    Language(String),
    /// A task that the checkpoint was not trained for.
    #[error("the checkpoint knows English alone and does not translate")]
    Translate,
    /// An option of no meaning.
    #[error("{option}: {rule}")]
    Option {
        /// Which.
        option: &'static str,
        /// What must hold.
        rule: &'static str,
    },
    /// `generation_config.json` cannot be read.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// It is malformed.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Heads of attention that the decoder has not.
    #[error(
        "generation_config.json names head {head} of layer {layer} to tell the times of words, the decoder has {heads} in each of {layers} layers"
    )]
    Heads {
        /// A layer that is named.
        layer: usize,
        /// A head of it.
        head: usize,
        /// Layers of the decoder.
        layers: usize,
        /// Heads of each.
        heads: usize,
    },
    /// No token is allowed, or all logits are NaN: the weights are broken.
    #[error("no token can follow: the logits are not numbers")]
    NoToken,
    /// See [`Stop`].
    #[error("the transcription was stopped")]
    Stopped,
}

#[cfg(test)]
mod tests;
