//! Windows on a decoder of one narrow layer: prompts and lengths at their limits.

use std::path::Path;

use super::*;
use crate::backend::cpu::{Cpu, Numeric};
use crate::decoder::{Decoder, State};
use crate::tokenizer::Tokenizer;
use crate::weights::{DecoderDimensions, Weights};

fn decoder(vocabulary: usize, positions: usize) -> Decoder {
    let sizes =
        DecoderDimensions { d_model: 64, heads: 1, layers: 1, ffn: 64, vocabulary, positions };
    let weights = Weights::synthetic();
    Decoder::load(Cpu::new().unwrap(), Numeric::F32, Some(sizes), &weights, None).unwrap()
}

/// Once, whatever comes.
fn options(max_tokens: Option<usize>) -> Options {
    Options { temperatures: vec![0.0], max_tokens, timestamps: false, ..Options::default() }
}

fn task<'a>(decoder: &'a Decoder, tokenizer: &'a Tokenizer, options: Options) -> Task<'a> {
    Task::new(decoder, tokenizer, &GenerationConfig::default(), options).unwrap()
}

fn hearing(task: &Task<'_>, decoder: &Decoder) -> State {
    let mut state = task.state();
    decoder.listen(&[0.25; 64 * 20], &mut state).unwrap();
    state
}

/// OpenAI's `DecodingTask` stops behind `n_ctx` + 1 tokens: the last is decoded and followed by none.
#[test]
fn a_window_has_the_tokens_that_are_left_behind_the_prompt() {
    let (decoder, tokenizer) = (decoder(51865, 448), Tokenizer::synthetic(51865));
    let previous: Vec<u32> = (0..300).collect();
    for beams in [1, 2] {
        for (max_tokens, previous, expected) in [
            (None, &previous[..0], 224),
            // 1 + 223 + 4 tokens of prompt.
            (None, &previous[..], 221),
            (Some(usize::MAX), &previous[..], 221),
            (Some(usize::MAX), &previous[..0], 445),
            (Some(1), &previous[..], 1),
        ] {
            let options = Options { beams, ..options(max_tokens) };
            let task = task(&decoder, &tokenizer, options);
            let mut state = hearing(&task, &decoder);
            let window = Window { language: "en", previous };
            let decoded = task.decode(window, &mut state).unwrap();
            // The end may come before; with these weights it does not.
            assert_eq!(decoded.tokens.len(), expected, "{beams} beams, at most {max_tokens:?}");
        }
    }
}

#[test]
fn a_decoder_of_few_positions_decodes_what_fits_or_says_so() {
    let tokenizer = Tokenizer::synthetic(51865);
    for positions in 1..8 {
        let decoder = decoder(51865, positions);
        let task = task(&decoder, &tokenizer, options(None));
        let mut state = hearing(&task, &decoder);
        let window = Window { language: "en", previous: &[5; 9] };
        match task.decode(window, &mut state) {
            Ok(decoded) => assert!((1..=3).contains(&decoded.tokens.len()), "{positions}"),
            Err(error) => assert!(error.to_string().contains("at most"), "{positions}: {error}"),
        }
    }
}

#[test]
fn what_knows_english_alone_takes_no_other_language() {
    let added = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|translate|>",
        "<|transcribe|>",
        "<|startofprev|>",
        "<|notimestamps|>",
        "<|en|>",
        "<|de|>",
    ];
    let added: Vec<_> = added
        .iter()
        .enumerate()
        .map(|(i, content)| serde_json::json!({ "id": 50256 + i, "content": content }))
        .collect();
    let json = serde_json::json!({
        "added_tokens": added, "model": { "vocab": { "a": 0 }, "merges": [] } });
    let json = json.to_string();
    let tokenizer = Tokenizer::from_json(Path::new("t.json"), json.as_bytes(), 51864).unwrap();
    let decoder = decoder(51864, 448);
    let task = task(&decoder, &tokenizer, options(None));
    assert_eq!(task.instructions("en").unwrap(), [50257, 50261]);
    let message = task.instructions("de").unwrap_err().to_string();
    assert_eq!(message, "the checkpoint has no language `de`");
}
