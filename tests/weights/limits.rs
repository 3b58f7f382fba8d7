//! How large the texts of a checkpoint may be.

use std::fs::OpenOptions;

use safetensors::Dtype;
use serde_json::json;
use tilewright::decoding::GenerationConfig;
use tilewright::tokenizer::Tokenizer;
use tilewright::weights::{Options, Weights};

use crate::checkpoint::{Folder, MINI, config, file_of, tensors};

/// What a reader says of a file that is filled up with spaces to its limit, and of one more byte.
fn at_the_limit(folder: &Folder, name: &str, limit: usize, read: impl Fn() -> Result<(), String>) {
    let path = folder.path().join(name);
    let mut text = std::fs::read(&path).unwrap();
    text.resize(limit, b' ');
    std::fs::write(&path, &text).unwrap();
    assert_eq!(read(), Ok(()), "{name}");
    // A hole: more than a test should write, and than a reader should read.
    for length in [limit as u64 + 1, 1 << 40] {
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        if file.set_len(length).is_err() {
            continue;
        }
        let message = folder.message(read().unwrap_err());
        let expected =
            format!("DIR/{name} has {length} bytes, more than the {limit} that make sense");
        assert_eq!(message, expected);
    }
    std::fs::write(&path, text.trim_ascii_end()).unwrap();
}

#[test]
fn small_files_are_small() {
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    folder.write("config.json", config(&MINI).to_string());
    folder.write("generation_config.json", r#"{"suppress_tokens": [1]}"#);
    let open = || Options::new().cache(folder.path()).open(folder.path());
    let opens = || open().map(drop).map_err(|error| error.to_string());
    at_the_limit(&folder, "config.json", 1 << 20, opens);

    let generation = || {
        let config = GenerationConfig::of(&open().unwrap()).map_err(|error| error.to_string())?;
        assert_eq!(config.suppress_tokens, Some(vec![1]));
        Ok(())
    };
    at_the_limit(&folder, "generation_config.json", 1 << 20, generation);
}

#[test]
fn an_index_and_a_tokenizer_are_larger() {
    let folder = Folder::new();
    let all = tensors(&MINI, Dtype::F32);
    folder.write("all.safetensors", file_of(&all));
    let map: serde_json::Map<_, _> =
        all.into_keys().map(|name| (name, json!("all.safetensors"))).collect();
    folder.write("model.safetensors.index.json", json!({"weight_map": map}).to_string());
    let opens = || Weights::open(folder.path()).map(drop).map_err(|error| error.to_string());
    at_the_limit(&folder, "model.safetensors.index.json", 8 << 20, opens);

    // Of no use, and read to its end to find out.
    folder.write("tokenizer.json", "{}");
    let tokenizer = || {
        let error = Tokenizer::of(&Weights::open(folder.path()).unwrap(), 100).unwrap_err();
        let error = error.to_string();
        if error.contains("missing field `model`") { Ok(()) } else { Err(error) }
    };
    at_the_limit(&folder, "tokenizer.json", 64 << 20, tokenizer);
}
