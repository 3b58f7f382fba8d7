//! `config.json`: what a checkpoint says about itself.

use std::path::Path;

use serde::Deserialize;

use super::dimensions::{self, DecoderDimensions, Dimensions};
use super::error::WeightsError;
use super::files;

/// Real ones have 2 kB.
const LIMIT: u64 = 1 << 20;

/// The fields of a Whisper checkpoint's `config.json` that matter here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    num_mel_bins: usize,
    d_model: usize,
    encoder_attention_heads: usize,
    encoder_layers: usize,
    encoder_ffn_dim: usize,
    #[serde(default = "positions")]
    max_source_positions: usize,
    decoder_layers: Option<usize>,
    decoder_attention_heads: Option<usize>,
    decoder_ffn_dim: Option<usize>,
    vocab_size: Option<usize>,
    max_target_positions: Option<usize>,
}

fn positions() -> usize {
    1500
}

#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
}

impl Config {
    /// Reads a file; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, WeightsError> {
        let Some(text) = files::read(path, LIMIT)? else { return Ok(None) };
        let json = |source| WeightsError::Json { path: path.to_owned(), source };
        let kind: Kind = serde_json::from_slice(&text).map_err(json)?;
        match kind.model_type {
            Some(model_type) if model_type != "whisper" => {
                Err(WeightsError::NotWhisper { config: path.to_owned(), model_type })
            }
            _ => serde_json::from_slice(&text).map(Some).map_err(json),
        }
    }

    pub(super) fn dimensions(&self) -> Dimensions {
        Dimensions {
            mel_bins: self.num_mel_bins,
            d_model: self.d_model,
            heads: self.encoder_attention_heads,
            layers: self.encoder_layers,
            ffn: self.encoder_ffn_dim,
            positions: self.max_source_positions,
        }
    }

    /// The sizes of the decoder, if the file says all that OpenAI's decoder of the encoder does not.
    pub(super) fn decoder(&self) -> Option<DecoderDimensions> {
        let usual = DecoderDimensions::of(&self.dimensions(), self.decoder_layers);
        Some(DecoderDimensions {
            layers: self.decoder_layers?,
            heads: self.decoder_attention_heads.unwrap_or(usual.heads),
            ffn: self.decoder_ffn_dim.unwrap_or(usual.ffn),
            vocabulary: self.vocab_size.unwrap_or(usual.vocabulary),
            positions: self.max_target_positions.unwrap_or(usual.positions),
            ..usual
        })
    }

    pub(super) fn preset(&self) -> Option<&'static str> {
        dimensions::preset(&self.dimensions(), self.decoder_layers)
    }
}
