//! Any bytes as a `config.json` beside weights of a few numbers, and as a `generation_config.json`:
//! read and believed as far as the weights bear it out, or refused, without a panic, a hang or an
//! absurd allocation.
//!
//! Seeds: `fuzz/seeds.py`; then
//! `cargo +nightly fuzz run config -- -rss_limit_mb=1024 -timeout=10 -max_len=4096`
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tilewright::backend::cpu::{Cpu, Numeric};
use tilewright::decoder::{Decoder, Scratch};
use tilewright::decoding::{GenerationConfig, Suppress};
use tilewright::tokenizer::Tokenizer;
use tilewright::weights::{DecoderDimensions, Dimensions, Options, decoder_tensors};

const SIZES: DecoderDimensions =
    DecoderDimensions { d_model: 64, heads: 1, layers: 1, ffn: 64, vocabulary: 70, positions: 8 };
const ENCODER: Dimensions =
    Dimensions { mel_bins: 80, d_model: 64, heads: 1, layers: 1, ffn: 64, positions: 10 };

/// A folder with the weights of a decoder.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a temporary folder");
    let (mut header, mut end) = (Vec::new(), 0);
    for (name, shape) in decoder_tensors(&SIZES) {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header.push(format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + end, 0);
    fs::write(folder.path().join("model.safetensors"), file).expect("a file");
    folder
});

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::synthetic(51865));

fuzz_target!(|json: &[u8]| {
    fs::write(FOLDER.path().join("config.json"), json).expect("a file");
    if let Ok(weights) = Options::new().open(FOLDER.path()) {
        let _ = weights.check(&ENCODER).map_err(|error| error.to_string());
        let cpu = Cpu::new().expect("a processor");
        match Decoder::load(cpu, Numeric::F32, None, &weights, None) {
            Ok(decoder) => {
                let (mut state, mut scratch) = (decoder.state(2), Scratch::default());
                decoder.listen(&[0.5; 640], &mut state, &mut scratch).expect("ten positions");
                decoder.prompt(&[1, 2], &[1], &mut state, &mut scratch).expect("two tokens");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    match GenerationConfig::from_json(Path::new("fuzz"), json) {
        Ok(config) => {
            let suppress = Suppress::new(&TOKENIZER, &config);
            suppress.apply(&[], &mut [0.0; 100]);
        }
        Err(error) => assert!(error.to_string().starts_with("fuzz: ")),
    }
});
