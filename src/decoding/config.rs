//! `generation_config.json`: what a checkpoint says about decoding.

use std::path::Path;

use serde::Deserialize;

use super::DecodingError;
use crate::weights::Weights;

/// Real ones have up to 5 kB.
const LIMIT: u64 = 1 << 20;

/// The fields that matter here; each may be absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Tokens that are never chosen.
    pub suppress_tokens: Option<Vec<i64>>,
    /// Tokens that are not chosen first.
    pub begin_suppress_tokens: Option<Vec<i64>>,
    /// The latest first timestamp, in positions.
    pub max_initial_timestamp_index: Option<u32>,
    /// Layers and heads whose attention follows the words in time.
    pub alignment_heads: Option<Vec<(usize, usize)>>,
    /// Whether it knows other languages than English.
    pub is_multilingual: Option<bool>,
}

impl GenerationConfig {
    /// That of a checkpoint; all absent where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or is malformed.
    pub fn of(weights: &Weights) -> Result<Self, DecodingError> {
        match weights.neighbour("generation_config.json", LIMIT)? {
            Some((path, json)) => Self::from_json(&path, &json),
            None => Ok(Self::default()),
        }
    }

    /// From the contents of a `generation_config.json`; errors call it `path`.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn from_json(path: &Path, json: &[u8]) -> Result<Self, DecodingError> {
        serde_json::from_slice(json).map_err(|error| DecodingError::Config {
            path: path.display().to_string(),
            reason: error.to_string(),
        })
    }
}
