//! Windows on a decoder of one narrow layer: prompts and lengths at their limits.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::backend::cpu::{Cpu, Numeric, Threads};
use crate::decoder::{Decoder, Scratch, State};
use crate::tokenizer::Tokenizer;
use crate::weights::{DecoderDimensions, Weights};

fn decoder(vocabulary: usize, positions: usize) -> Decoder {
    let sizes =
        DecoderDimensions { d_model: 64, heads: 1, layers: 1, ffn: 64, vocabulary, positions };
    let weights = Weights::synthetic();
    Decoder::load(Cpu::new().unwrap(), Numeric::F32, Some(sizes), &weights, None).unwrap()
}

/// Once, whatever comes.
pub(super) fn options(max_tokens: Option<usize>) -> Options {
    Options { temperatures: vec![0.0], max_tokens, timestamps: false, ..Options::default() }
}

pub(super) fn shared(vocabulary: usize, positions: usize) -> SharedDecoder {
    SharedDecoder::new(decoder(vocabulary, positions), Threads::new(2))
}

pub(super) fn tokenizer() -> Arc<Tokenizer> {
    Arc::new(Tokenizer::synthetic(51865))
}

pub(super) fn task(
    decoder: &SharedDecoder,
    tokenizer: &Arc<Tokenizer>,
    options: Options,
) -> Arc<Task> {
    let config = GenerationConfig::default();
    Arc::new(Task::new(decoder.decoder(), tokenizer, &config, options).unwrap())
}

/// A window that sounds like this.
pub(super) fn hearing(decoder: &SharedDecoder, task: &Task, sound: f32) -> State {
    let mut state = decoder.state(task);
    let features: Vec<f32> = (0..64 * 20).map(|i| (i as f32 * sound).sin()).collect();
    decoder.decoder().listen(&features, &mut state, &mut Scratch::default()).unwrap();
    state
}

/// OpenAI's `DecodingTask` stops behind `n_ctx` + 1 tokens: the last is decoded and followed by none.
#[test]
fn a_window_has_the_tokens_that_are_left_behind_the_prompt() {
    let (decoder, tokenizer) = (shared(51865, 448), tokenizer());
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
            let state = hearing(&decoder, &task, 0.25);
            let window = Window { language: "en", previous };
            let (decoded, _) = decoder.decode(&task, window, state).unwrap();
            // The end may come before; with these weights it does not.
            assert_eq!(decoded.tokens.len(), expected, "{beams} beams, at most {max_tokens:?}");
        }
    }
}

#[test]
fn a_decoder_of_few_positions_decodes_what_fits_or_says_so() {
    let tokenizer = tokenizer();
    for positions in 1..8 {
        let decoder = shared(51865, positions);
        let task = task(&decoder, &tokenizer, options(None));
        let state = hearing(&decoder, &task, 0.25);
        let window = Window { language: "en", previous: &[5; 9] };
        match decoder.decode(&task, window, state) {
            Ok((decoded, _)) => assert!((1..=3).contains(&decoded.tokens.len()), "{positions}"),
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
    let decoder = shared(51864, 448);
    let task = task(&decoder, &Arc::new(tokenizer), options(None));
    assert_eq!(task.instructions("en").unwrap(), [50257, 50261]);
    let message = task.instructions("de").unwrap_err().to_string();
    assert_eq!(message, "the checkpoint has no language `de`");
}

/// Windows on a decoder that they share: what they are decoded to does not depend on the others, however
/// many there are and whatever each is asked for.
#[test]
fn windows_that_share_a_decoder_are_decoded_as_alone() {
    let (decoder, tokenizer) = (shared(51865, 448), tokenizer());
    let drawn = Options { temperatures: vec![0.7], best_of: 3, seed: 5, ..options(Some(20)) };
    let fallback = Options { temperatures: vec![0.0, 0.5], ..options(Some(15)) };
    let timestamps = Options { timestamps: true, ..options(Some(30)) };
    let beams = Options { beams: 4, ..options(Some(25)) };
    let kinds = [options(Some(40)), drawn, fallback, timestamps, beams];
    let decode = |i: usize| {
        let task = task(&decoder, &tokenizer, kinds[i % kinds.len()].clone());
        let state = hearing(&decoder, &task, 0.1 + 0.05 * i as f32);
        let previous: Vec<u32> = (0..i as u32 * 9).collect();
        let window = Window { language: "en", previous: &previous };
        let (decoded, state) = decoder.decode(&task, window, state).unwrap();
        decoder.keep(state);
        decoded
    };
    let alone: Vec<Decoded> = (0..20).map(decode).collect();
    let before = decoder.passes();
    assert_eq!(before.turns, before.passes);
    // At the same time: none begins before all are there.
    let barrier = std::sync::Barrier::new(20);
    let together: Vec<Decoded> = std::thread::scope(|scope| {
        let (barrier, decode) = (&barrier, &decode);
        let each = |i| {
            scope.spawn(move || {
                barrier.wait();
                decode(i)
            })
        };
        let all: Vec<_> = (0..20).map(each).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(together, alone);
    assert_eq!(decoder.passes().turns, 2 * before.turns);
}

#[test]
fn a_window_that_fails_spoils_no_other() {
    let (decoder, tokenizer) = (shared(51865, 448), tokenizer());
    let stop = Stop::default();
    let config = GenerationConfig::default();
    let stopped = Task::new(decoder.decoder(), &tokenizer, &config, options(None)).unwrap();
    let (good, stopped) =
        (task(&decoder, &tokenizer, options(Some(30))), stopped.until(stop.clone()));
    let stopped = Arc::new(stopped);
    let window = Window { language: "en", previous: &[] };
    let expected = decoder.decode(&good, window, hearing(&decoder, &good, 0.3)).unwrap().0;
    std::thread::scope(|scope| {
        // Without a window there is nothing to attend to.
        let deaf = scope.spawn(|| decoder.decode(&good, window, decoder.decoder().state(1)));
        let foreign = scope.spawn(|| {
            let other = shared(51865, 100);
            let state = hearing(&other, &good, 0.3);
            decoder.decode(&good, window, state)
        });
        let stopped = scope.spawn(|| {
            let state = hearing(&decoder, &stopped, 0.2);
            stop.stop();
            decoder.decode(&stopped, window, state)
        });
        let others = [(); 4]
            .map(|()| scope.spawn(|| decoder.decode(&good, window, hearing(&decoder, &good, 0.3))));
        assert!(matches!(deaf.join().unwrap(), Err(DecodingError::Decoder(_))));
        assert!(matches!(foreign.join().unwrap(), Err(DecodingError::Decoder(_))));
        assert!(matches!(stopped.join().unwrap(), Err(DecodingError::Stopped)));
        for other in others {
            assert_eq!(other.join().unwrap().unwrap().0, expected);
        }
    });
}

#[test]
fn memory_is_used_again_where_it_fits() {
    let (decoder, tokenizer) = (shared(51865, 448), tokenizer());
    let one = task(&decoder, &tokenizer, options(None));
    let five = task(&decoder, &tokenizer, Options { beams: 5, ..options(None) });
    decoder.keep(hearing(&decoder, &five, 0.5));
    assert_eq!(decoder.state(&one).max_sequences(), 1);
    // What is kept has heard a window.
    let mut again = decoder.state(&five);
    let turn = crate::decoder::Turn::prompt(&mut again, &[1], &[0]);
    assert!(turn.check().is_ok());
    assert_eq!(decoder.state(&five).max_sequences(), 5);
}
