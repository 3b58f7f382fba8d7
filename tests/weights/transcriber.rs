//! Whole checkpoints, decoder and texts included, that are not what they should be.

use std::collections::BTreeMap;

use safetensors::Dtype;
use serde_json::{Value, json};
use tilewright::backend::cpu::{Cpu, Numeric};
use tilewright::decoder::DecoderError;
use tilewright::decoding::{DecodingError, Options as Decoding};
use tilewright::encoder::{Encode, EncoderError, Observer};
use tilewright::transcribe::{RawSamples, Settings, Stop, TranscribeError, Transcriber};
use tilewright::transcript::Transcript;
use tilewright::weights::{DecoderDimensions, Dimensions, Options, Weights, decoder_tensors};
use tilewright_kernel::KernelInfo;

use crate::checkpoint::{Folder, Tensor, bytes_of, config, file_of};

/// A fifth of a second at a time.
const ENCODER: Dimensions =
    Dimensions { mel_bins: 80, d_model: 64, heads: 2, layers: 1, ffn: 64, positions: 10 };

/// The letters and the space.
const TEXT: u32 = 27;

const DECODER: DecoderDimensions =
    DecoderDimensions { d_model: 64, heads: 2, layers: 2, ffn: 64, vocabulary: 45, positions: 16 };

/// An encoder of a width that hears the same in every window.
struct Deaf {
    width: usize,
    features: Vec<f32>,
}

impl Deaf {
    fn new(width: usize) -> Self {
        let features = (0..ENCODER.positions * width).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0);
        Self { width, features: features.collect() }
    }
}

impl Encode for Deaf {
    fn encode(&mut self, _: &[f32], _: &mut dyn Observer) -> Result<&[f32], EncoderError> {
        Ok(&self.features)
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions { d_model: self.width, ..ENCODER }
    }

    fn positions(&self) -> usize {
        ENCODER.positions
    }

    fn kernels(&self) -> [&'static KernelInfo; 4] {
        unimplemented!("nobody asks")
    }
}

/// The tensors of a decoder with the values of the synthetic weights.
fn tensors(sizes: &DecoderDimensions) -> BTreeMap<String, Tensor> {
    let weights = Weights::synthetic();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let bytes = bytes_of(Dtype::F32, &weights.tensor(&name, &shape).unwrap());
        (name, Tensor { dtype: Dtype::F32, shape, bytes })
    };
    decoder_tensors(sizes).into_iter().map(tensor).collect()
}

/// What a `config.json` says about such a decoder.
fn decoder_config(sizes: &DecoderDimensions) -> Value {
    let mut config = config(&ENCODER);
    for (key, value) in [
        ("decoder_layers", sizes.layers),
        ("decoder_attention_heads", sizes.heads),
        ("decoder_ffn_dim", sizes.ffn),
        ("vocab_size", sizes.vocabulary),
        ("max_target_positions", sizes.positions),
    ] {
        config[key] = value.into();
    }
    config
}

/// Tokens of one letter, and Whisper's special ones behind them.
fn tokenizer() -> Value {
    let letters = ('a'..='z').chain(['Ġ']).map(String::from);
    let vocabulary: serde_json::Map<_, _> =
        letters.zip(0..).map(|(letter, id)| (letter, Value::from(id))).collect();
    let special = ["endoftext", "startoftranscript", "translate", "transcribe", "startofprev"];
    let special = special.into_iter().chain(["nospeech", "notimestamps"]).zip(TEXT..);
    let added: Vec<Value> =
        special.map(|(name, id)| json!({"id": id, "content": format!("<|{name}|>")})).collect();
    json!({"model": {"vocab": vocabulary, "merges": []}, "added_tokens": added})
}

/// A checkpoint that decodes letters until there is no room for more.
fn checkpoint(sizes: &DecoderDimensions) -> Folder {
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&tensors(sizes)));
    folder.write("config.json", decoder_config(sizes).to_string());
    folder.write("tokenizer.json", tokenizer().to_string());
    generation(&folder, json!({}));
    folder
}

/// Writes `generation_config.json` with these fields besides.
fn generation(folder: &Folder, fields: Value) {
    let mut all = json!({"suppress_tokens": Vec::from_iter(TEXT..DECODER.vocabulary as u32)});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    folder.write("generation_config.json", all.to_string());
}

fn transcriber(folder: &Folder, width: usize) -> Result<Transcriber, TranscribeError> {
    let weights = Options::new().cache(folder.path()).open(folder.path()).unwrap();
    let encoder: Box<dyn Encode> = Box::new(Deaf::new(width));
    Transcriber::new(encoder, Cpu::new().unwrap(), Numeric::F32, &weights, None)
}

/// As many tokens as there is room for, tried once.
fn settings(words: bool) -> Settings {
    let decoding = Decoding {
        timestamps: false,
        temperatures: vec![0.0],
        max_tokens: Some(usize::MAX),
        ..Decoding::default()
    };
    Settings { decoding, words, condition_on_previous: false, ..Settings::default() }
}

/// Half a second.
fn transcribe(folder: &Folder, settings: &Settings) -> Result<Transcript, TranscribeError> {
    let sound = vec![1; 16_000];
    transcriber(folder, ENCODER.d_model)?.transcribe(
        &mut RawSamples::new(&sound[..]),
        settings,
        &Stop::default(),
        &mut |_| {},
    )
}

#[test]
fn heads_that_the_decoder_lacks_are_named_when_words_are_asked_for() {
    let folder = checkpoint(&DECODER);
    for (heads, layer, head) in [
        (json!([[0, 0], [2, 1]]), 2, 1),
        (json!([[1, 2]]), 1, 2),
        (json!([[u64::MAX, u64::MAX]]), usize::MAX, usize::MAX),
    ] {
        generation(&folder, json!({"alignment_heads": heads}));
        let error = transcribe(&folder, &settings(true)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "generation_config.json names head {head} of layer {layer} to tell the times of \
                 words, the decoder has 2 in each of 2 layers"
            )
        );
        assert!(matches!(error, TranscribeError::Decoding(DecodingError::Heads { .. })));
        // Who checks settings first is told the same.
        let transcriber = transcriber(&folder, ENCODER.d_model).unwrap();
        let early = transcriber.check(&settings(true)).unwrap_err();
        assert_eq!(early.to_string(), error.to_string());
        // Without words nobody looks at them.
        let transcript = transcribe(&folder, &settings(false)).unwrap();
        assert!(!transcript.segments.is_empty());
    }
}

#[test]
fn heads_are_counted_once_and_may_be_none() {
    let folder = checkpoint(&DECODER);
    let with = |heads: Value| {
        generation(&folder, json!({"alignment_heads": heads}));
        transcribe(&folder, &settings(true)).unwrap().segments
    };
    let once = with(json!([[1, 0], [0, 1]]));
    assert_eq!(with(json!([[0, 1], [1, 0], [0, 1]])), once);
    // Those of the upper half of the layers stand in for what the file does not say.
    assert_eq!(with(Value::Null), with(json!([[1, 0], [1, 1]])));
    for segment in with(json!([])) {
        let words = segment.words.unwrap();
        assert!(words.iter().all(|word| word.start.is_finite() && word.end.is_finite()));
    }
    generation(&folder, json!({"alignment_heads": [[-1, 0]]}));
    let error = folder.message(transcribe(&folder, &settings(false)).unwrap_err());
    assert!(
        error.starts_with("DIR/generation_config.json: invalid value: integer `-1`"),
        "{error}"
    );
}

/// The text of a window is aligned as far as a sequence reaches; the rest is there, too, at its end.
#[test]
fn a_text_longer_than_a_sequence_has_all_its_words() {
    for positions in 1..=DECODER.positions {
        let folder = checkpoint(&DecoderDimensions { positions, ..DECODER });
        let transcript = match transcribe(&folder, &settings(true)) {
            Ok(transcript) => transcript,
            // `<|startoftranscript|>`, `<|notimestamps|>` and, to align, `<|endoftext|>`.
            Err(error) if positions < 3 => {
                let expected = format!("a sequence has at most {positions} tokens, ");
                assert!(error.to_string().starts_with(&expected), "{error}");
                continue;
            }
            Err(error) => panic!("{positions}: {error}"),
        };
        // With room for no token of text at all, no word takes time, and so nothing was said.
        assert_eq!(transcript.segments.is_empty(), positions == 3, "{positions}");
        let mut before = 0.0;
        for segment in &transcript.segments {
            // The prompt takes two positions, and the last token none.
            assert_eq!(segment.tokens.len(), positions - 1);
            let words = segment.words.as_ref().unwrap();
            let text: String = words.iter().map(|word| &word.word[..]).collect();
            assert_eq!(text, segment.text);
            for word in words {
                assert!(before <= word.start && word.start <= word.end, "{positions}: {words:?}");
                assert!((0.0..=1.0).contains(&word.probability), "{positions}: {words:?}");
                before = word.start;
            }
            assert!(before <= transcript.duration);
        }
    }
}

#[test]
fn an_encoder_and_a_decoder_of_different_widths() {
    let folder = checkpoint(&DECODER);
    let Err(error) = transcriber(&folder, 128) else { panic!("widths do not matter") };
    assert!(matches!(error, TranscribeError::Widths { encoder: 128, decoder: 64 }));
    assert_eq!(
        error.to_string(),
        "the encoder's features are 128 wide, the decoder's 64: they are not of the same checkpoint"
    );
    // A config.json has one width for both.
    let mut config = decoder_config(&DECODER);
    config["d_model"] = 128.into();
    folder.write("config.json", config.to_string());
    let Err(error) = transcriber(&folder, 128) else { panic!("shapes do not matter") };
    let error = folder.message(error);
    let expected = "tensor `model.decoder.embed_tokens.weight` has the shape [45, 64], the model needs [45, 128]";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn layers_that_no_decoder_has() {
    let folder = checkpoint(&DECODER);
    let refused = |folder: &Folder, layers: usize| {
        let Err(error) = transcriber(folder, ENCODER.d_model) else { panic!("{layers} layers") };
        let expected =
            "a decoder of these sizes cannot be run: there are at most 256 layers; it has ";
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = match error {
            TranscribeError::Decoding(DecodingError::Decoder(error)) => error,
            error => panic!("{error}"),
        };
        let DecoderError::Dimensions { dimensions, .. } = error else { panic!("{error}") };
        assert_eq!(dimensions.layers, layers);
    };
    for layers in [257, 1 << 40, usize::MAX] {
        let sizes = DecoderDimensions { layers, ..DECODER };
        folder.write("config.json", decoder_config(&sizes).to_string());
        refused(&folder, layers);
    }
    // The limit itself is none: then it is the tensors that lack.
    let sizes = DecoderDimensions { layers: 256, ..DECODER };
    folder.write("config.json", decoder_config(&sizes).to_string());
    let Err(error) = transcriber(&folder, ENCODER.d_model) else { panic!("256 layers") };
    assert!(error.to_string().contains("there is no tensor `model.decoder.layers.2."), "{error}");

    // Without a config.json names count the layers.
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    let mut many = tensors(&DECODER);
    let bias = many["model.decoder.layer_norm.bias"].clone();
    many.extend((2..300).map(|i| (format!("model.decoder.layers.{i}.fc2.bias"), bias.clone())));
    folder.write("model.safetensors", file_of(&many));
    refused(&folder, 300);
}
