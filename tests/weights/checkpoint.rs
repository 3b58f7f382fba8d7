//! Checkpoints made for the tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use tilewright::weights::{Dimensions, Options, Weights, encoder_tensors};

/// Too small for anything but tests.
pub(crate) const MINI: Dimensions =
    Dimensions { mel_bins: 4, d_model: 8, heads: 2, layers: 2, ffn: 32, positions: 10 };

pub(crate) const BASE: Dimensions =
    Dimensions { mel_bins: 80, d_model: 512, heads: 8, layers: 6, ffn: 2048, positions: 1500 };

#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn bytes_of(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        Dtype::F64 => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        other => panic!("{other} is not made here"),
    }
}

/// The tensors of an encoder with the values of the synthetic weights.
pub(crate) fn tensors(dimensions: &Dimensions, dtype: Dtype) -> BTreeMap<String, Tensor> {
    let weights = Weights::synthetic();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let bytes = bytes_of(dtype, &weights.tensor(&name, &shape).unwrap());
        (name, Tensor { dtype, shape, bytes })
    };
    encoder_tensors(dimensions).into_iter().map(tensor).collect()
}

pub(crate) fn file_of(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let view = |tensor: &'_ Tensor| {
        let Tensor { dtype, shape, .. } = tensor.clone();
        (dtype, shape)
    };
    let views = tensors.iter().map(|(name, tensor)| {
        let (dtype, shape) = view(tensor);
        (name.as_str(), TensorView::new(dtype, shape, &tensor.bytes).unwrap())
    });
    serialize(views, None).unwrap()
}

/// A file with any header.
pub(crate) fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

pub(crate) fn config(dimensions: &Dimensions) -> Value {
    json!({
        "model_type": "whisper",
        "num_mel_bins": dimensions.mel_bins,
        "d_model": dimensions.d_model,
        "encoder_attention_heads": dimensions.heads,
        "encoder_layers": dimensions.layers,
        "encoder_ffn_dim": dimensions.ffn,
        "max_source_positions": dimensions.positions,
        "decoder_layers": dimensions.layers,
        "torch_dtype": "float32",
    })
}

/// A folder that goes away, with its own place for the cache.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// The message of what goes wrong, with this folder's path as `DIR`.
    pub(crate) fn message(&self, error: impl ToString) -> String {
        error.to_string().replace(&self.path().display().to_string(), "DIR")
    }

    /// What opening and checking a path in here says is wrong.
    pub(crate) fn error(&self, name: &str, dimensions: &Dimensions) -> String {
        let opened = Options::new().offline(true).open(self.path().join(name));
        let checked = opened.and_then(|weights| weights.check(dimensions));
        self.message(checked.expect_err("this is wrong"))
    }
}
