//! Candle's own quantised Whisper, its encoder alone:
//!
//! - `peer-candle convert WEIGHTS.safetensors ENCODER.gguf` quantises what candle quantises;
//! - `peer-candle run CONFIG.json ENCODER.gguf MEL OUT` encodes.

mod protocol;

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor, safetensors};
use candle_transformers::models::whisper::Config;
use candle_transformers::models::whisper::quantized_model::Whisper;
use candle_transformers::quantized_var_builder::VarBuilder;

const FRAMES: usize = 3000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["convert", weights, gguf] => convert(Path::new(weights), Path::new(gguf)),
        ["run", config, gguf, mel, out] => run(config, gguf, Path::new(mel), Path::new(out)),
        _ => bail!("usage: peer-candle convert|run …"),
    }
}

/// Matrices become q8_0; convolutions, biases and norms stay as they are, as candle wants them.
fn convert(weights: &Path, gguf: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    for (name, tensor) in safetensors::load(weights, &Device::Cpu)? {
        let matrix = tensor.rank() == 2 && !name.contains("embed_positions");
        let kind = if matrix { GgmlDType::Q8_0 } else { GgmlDType::F32 };
        tensors.push((name, QTensor::quantize(&tensor, kind)?));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    Ok(gguf_file::write(&mut File::create(gguf)?, &[], &tensors)?)
}

fn run(config: &str, gguf: &str, mel: &Path, out: &Path) -> Result<()> {
    let config: Config = serde_json::from_reader(File::open(config)?)?;
    let shape = (1, config.num_mel_bins, FRAMES);
    let weights = VarBuilder::from_gguf(gguf, &Device::Cpu)?;
    let mut model = Whisper::load(&weights, config)?;
    let mel = Tensor::from_vec(protocol::read(mel)?, shape, &Device::Cpu)?;
    protocol::serve("candle 0.11.1", out, || {
        Ok(model.encoder.forward(&mel, true)?.flatten_all()?.to_vec1()?)
    })
}
