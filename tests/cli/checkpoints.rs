//! Checkpoints of a size that is compiled in, with mistakes that only show when text is wanted.

use std::io::Write;

use serde_json::{Value, json};
use tilewright::weights::{DecoderDimensions, Dimensions, decoder_tensors, encoder_tensors};

use crate::{Outcome, Sandbox};

/// whisper-base.
const ENCODER: Dimensions =
    Dimensions { mel_bins: 80, d_model: 512, heads: 8, layers: 6, ffn: 2048, positions: 1500 };

/// Fewer layers and tokens: 26 letters and a space, and Whisper's special ones.
const DECODER: DecoderDimensions = DecoderDimensions {
    d_model: 512,
    heads: 8,
    layers: 2,
    ffn: 2048,
    vocabulary: 45,
    positions: 448,
};

/// A checkpoint in `folder` of the sandbox, whose weights are all 0: a file with a hole.
fn checkpoint(sandbox: &Sandbox, decoder: &DecoderDimensions) {
    std::fs::create_dir(sandbox.path("folder")).expect("the sandbox is writable");
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in encoder_tensors(&ENCODER).into_iter().chain(decoder_tensors(decoder)) {
        let start = end;
        end += 4 * shape.iter().product::<usize>() as u64;
        let tensor = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        header.insert(name, tensor);
    }
    let header = Value::Object(header).to_string();
    let path = sandbox.path("folder/model.safetensors");
    let mut file = std::fs::File::create(path).expect("the sandbox is writable");
    let length = header.len() as u64;
    file.write_all(&length.to_le_bytes()).expect("the sandbox is writable");
    file.write_all(header.as_bytes()).expect("the sandbox is writable");
    file.set_len(8 + length + end).expect("files may have holes");

    let letters = ('a'..='z').chain(['Ġ']).map(String::from);
    let vocabulary: serde_json::Map<_, _> =
        letters.zip(0..).map(|(letter, id)| (letter, Value::from(id))).collect();
    let special = ["endoftext", "startoftranscript", "translate", "transcribe", "startofprev"];
    let special = special.into_iter().chain(["nospeech", "notimestamps"]).zip(27..);
    let added: Vec<Value> =
        special.map(|(name, id)| json!({"id": id, "content": format!("<|{name}|>")})).collect();
    let tokenizer = json!({"model": {"vocab": vocabulary, "merges": []}, "added_tokens": added});
    sandbox.write("folder/tokenizer.json", &tokenizer.to_string());
    write_config(sandbox, decoder.layers as u64);
}

fn write_config(sandbox: &Sandbox, decoder_layers: u64) {
    let config = json!({
        "model_type": "whisper", "num_mel_bins": 80, "d_model": 512, "encoder_layers": 6,
        "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, "vocab_size": DECODER.vocabulary,
        "decoder_layers": decoder_layers,
    });
    sandbox.write("folder/config.json", &config.to_string());
}

/// `transcribe` of a fifth of a second.
fn transcribe(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let samples = sandbox.path("samples");
    std::fs::write(&samples, [1; 6400]).expect("the sandbox is writable");
    let samples = std::fs::File::open(samples).expect("just written");
    let mut command = sandbox.command(&["transcribe", "-", "--weights", "folder"]);
    command.args(["--backend", "cpu", "--max-tokens", "8", "--temperature-increment", "0"]);
    command.args(["--no-speech-threshold", "2", "--logprob-threshold", "-1000"]).args(arguments);
    command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache"));
    Outcome::of(command.stdin(samples))
}

#[test]
fn what_is_wrong_with_a_checkpoint_is_said_with_the_file() {
    let sandbox = Sandbox::new();
    checkpoint(&sandbox, &DECODER);
    let heads = json!({"alignment_heads": [[1, 7], [2, 0]]}).to_string();
    sandbox.write("folder/generation_config.json", &heads);
    let message = transcribe(&sandbox, &["--word-timestamps"]).failure(1);
    assert_eq!(
        message,
        "error: generation_config.json names head 0 of layer 2 to tell the times of words, the \
         decoder has 8 in each of 2 layers\n"
    );
    // Nobody asks for words, so the heads are no matter.
    let outcome = transcribe(&sandbox, &["--format", "json", "--no-timestamps"]);
    let transcript: Value = serde_json::from_str(&outcome.success()).expect("JSON only");
    assert_eq!(transcript["segments"][0]["tokens"].as_array().map(Vec::len), Some(8));

    let large = " ".repeat((1 << 20) + 1);
    sandbox.write("folder/generation_config.json", &large);
    let message = transcribe(&sandbox, &[]).failure(1);
    assert_eq!(
        message,
        "error: folder/generation_config.json has 1048577 bytes, more than the 1048576 that make \
         sense\n"
    );

    write_config(&sandbox, u64::MAX);
    let message = transcribe(&sandbox, &[]).failure(1);
    let expected =
        "error: a decoder of these sizes cannot be run: there are at most 256 layers; it";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn an_encoder_and_a_decoder_of_different_widths_are_told_apart() {
    let sandbox = Sandbox::new();
    checkpoint(&sandbox, &DecoderDimensions { d_model: 384, heads: 6, ..DECODER });
    // Which would say that there is one width.
    std::fs::remove_file(sandbox.path("folder/config.json")).expect("just written");
    let message = transcribe(&sandbox, &[]).failure(1);
    assert_eq!(
        message,
        "error: the encoder's features are 512 wide, the decoder's 384: they are not of the same \
         checkpoint\n"
    );
}

/// Its prompt is a single token where there are to be timestamps.
#[test]
fn a_checkpoint_that_knows_english_alone_transcribes_with_timestamps() {
    let sandbox = Sandbox::new();
    checkpoint(&sandbox, &DECODER);
    let outcome = transcribe(&sandbox, &[]);
    assert_eq!((outcome.status, &outcome.stderr[..]), (Some(0), ""));
}

#[test]
fn what_a_checkpoint_says_besides_its_weights_makes_transcripts_others() {
    let sandbox = Sandbox::new();
    checkpoint(&sandbox, &DECODER);
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/speech.wav");
    let sample = sample.display().to_string();
    let is_done = || {
        let arguments = [&sample[..], "--weights", "folder", "--out", "o", "--backend", "cpu"];
        let mut command = sandbox.command(&["transcribe", "--max-tokens", "2"]);
        command.args(arguments).args(["--temperature-increment", "0"]);
        let outcome = Outcome::of(command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")));
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        outcome.stderr.contains("done before")
    };
    assert!(!is_done() && is_done());
    sandbox.write("folder/generation_config.json", &json!({"suppress_tokens": [0]}).to_string());
    assert!(!is_done() && is_done());
    let tokenizer = sandbox.read("folder/tokenizer.json").replace("\"b\"", "\"B\"");
    sandbox.write("folder/tokenizer.json", &tokenizer);
    assert!(!is_done() && is_done());
}
