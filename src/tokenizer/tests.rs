//! Tokenizers, made-up and of a small `tokenizer.json`.

use std::path::Path;

use super::*;

#[test]
fn synthetic_text_survives_and_bytes_are_where_whisper_has_them() {
    let tokenizer = Tokenizer::synthetic(51865);
    let text = "Grüße, 世界! ♪";
    let tokens = tokenizer.encode(text).unwrap();
    assert_eq!(tokenizer.decode(&tokens), text);
    // As in every multilingual checkpoint: the space is 220, and an exclamation mark 0.
    assert_eq!(tokenizer.encode(" !").unwrap(), [220, 0]);
    assert_eq!(tokenizer.decode(&[50257, 50258, 0, 50364]), "!");
    let mut all: Vec<String> = (256..50257).map(|id| tokenizer.decode(&[id])).collect();
    all.sort_unstable();
    all.dedup();
    assert!(all.len() > 33_000, "{}", all.len());
}

#[test]
fn special_tokens_are_where_whisper_has_them() {
    // From the vocabulary of openai/whisper-base.
    let special = Special::usual(51865);
    assert_eq!((special.end, special.start, special.transcribe), (50257, 50258, 50359));
    assert_eq!((special.translate, special.previous), (50358, 50361));
    assert_eq!((special.no_speech, special.no_timestamps), (Some(50362), 50363));
    assert_eq!((special.language("en"), special.language("su")), (Some(50259), Some(50357)));
    assert_eq!((special.language("yue"), special.first_timestamp), (None, 50364));
    // And of openai/whisper-large-v3.
    let special = Special::usual(51866);
    assert_eq!((special.language("yue"), special.no_timestamps), (Some(50358), 50364));
    assert_eq!(special.position(special.first_timestamp + 50), Some(50));
}

/// A byte-level BPE with a handful of tokens and Whisper's special ones.
fn small() -> String {
    let alphabet = Alphabet::new();
    let spell = |byte: u8| {
        let token = alphabet.token(byte);
        let code = if token < 188 { u32::from(byte) } else { 0x100 + token - 188 };
        char::from_u32(code).unwrap()
    };
    let mut vocab: Vec<String> =
        (0..=255u8).map(|i| spell(alphabet.byte(i.into()).unwrap()).into()).collect();
    let merges = [("Ġ", "h"), ("e", "l"), ("Ġh", "el"), ("l", "o"), ("Ġhel", "lo")];
    vocab.extend(merges.iter().map(|(a, b)| format!("{a}{b}")));
    let added: Vec<String> = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>"]
        .into_iter()
        .chain(["<|transcribe|>", "<|startofprev|>", "<|nocaptions|>", "<|notimestamps|>"])
        .map(str::to_owned)
        .collect();
    let tokens: serde_json::Map<_, _> =
        vocab.iter().enumerate().map(|(i, token)| (token.clone(), i.into())).collect();
    let added: Vec<_> = added
        .iter()
        .enumerate()
        .map(|(i, content)| {
            serde_json::json!({ "id": vocab.len() + i, "content": content, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false })
        })
        .collect();
    let merges: Vec<_> = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": added, "post_processor": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": true },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "vocab": tokens,
            "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "merges": merges },
    })
    .to_string()
}

#[test]
fn a_file_is_read_as_its_own_library_reads_it() {
    let json = small();
    let tokenizer = Tokenizer::from_json(Path::new("t.json"), json.as_bytes(), 51865).unwrap();
    let reference = tokenizers::Tokenizer::from_bytes(json.as_bytes()).unwrap();
    for text in [" hello hello", "Grüße, 世界!", "a\tb\u{ad}c", ""] {
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokens, reference.encode(text, false).unwrap().get_ids());
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_eq!(tokenizer.decode(&tokens), reference.decode(&tokens, true).unwrap());
    }
    assert_eq!(tokenizer.encode(" hello").unwrap(), [260]);
    let special = tokenizer.special();
    assert_eq!((special.end, special.no_speech, special.start_of_lm), (261, Some(267), None));
    assert_eq!(special.languages, [(263, "en")]);
}

#[test]
fn what_is_no_tokenizer_of_whisper_is_an_error_that_says_so() {
    let read = |json: &str| Tokenizer::from_json(Path::new("t.json"), json.as_bytes(), 51865);
    assert!(read("{}").unwrap_err().to_string().starts_with("t.json: "));
    let other = small().replace("<|startofprev|>", "<|other|>");
    let message = read(&other).unwrap_err().to_string();
    assert_eq!(message, "t.json: it has no token `<|startofprev|>`, which Whisper's have");
}

/// A file like [`small`], with some of it changed.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut json = serde_json::from_str(&small()).unwrap();
    change(&mut json);
    json.to_string()
}

fn read(json: &str) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_json(Path::new("t.json"), json.as_bytes(), 51865)
}

#[test]
fn merges_are_lines_or_pairs_of_tokens() {
    let pairs = changed(|json| {
        let merges = json["model"]["merges"].as_array_mut().unwrap();
        for merge in merges {
            *merge = merge.as_str().unwrap().split(' ').collect::<Vec<_>>().into();
        }
    });
    assert_eq!(read(&pairs).unwrap().encode(" hello").unwrap(), [260]);
    // The library would panic: the whole is longer than any token.
    for (merge, reason) in [
        ("Ġhello hello", "`Ġhello hello` is a merge, and `hello` is no token"),
        ("Ġhello Ġhello", "`Ġhello Ġhello` is a merge, and `ĠhelloĠhello` is no token"),
        ("h", "the merge `h` is no pair"),
    ] {
        let wrong = changed(|json| json["model"]["merges"][0] = merge.into());
        assert_eq!(read(&wrong).unwrap_err().to_string(), format!("t.json: {reason}"));
    }
}

#[test]
fn special_tokens_are_among_those_of_the_decoder() {
    for id in [u32::MAX, 51865] {
        for i in 0..8 {
            let wrong = changed(|json| json["added_tokens"][i]["id"] = id.into());
            let message = read(&wrong).unwrap_err().to_string();
            let start = format!("t.json: token {id} is a special one, and the decoder has 51865");
            assert!(message.starts_with(&start), "{message}");
        }
    }
}

#[test]
fn what_would_take_any_time_and_memory_is_not_read() {
    let bomb = changed(|json| {
        let double = serde_json::json!({ "type": "Replace", "pattern": { "Regex": "." },
            "content": "$0$0" });
        json["normalizer"] =
            serde_json::json!({ "type": "Sequence", "normalizers": vec![double; 60] });
        json["padding"] = serde_json::json!({ "strategy": { "Fixed": u32::MAX }, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a" });
        json["pre_tokenizer"] = serde_json::json!({ "type": "Split", "invert": false,
            "pattern": { "Regex": "((a{1000}){1000}){1000}" }, "behavior": "Isolated" });
    });
    assert_eq!(read(&bomb).unwrap().encode(" hello").unwrap(), [260]);
}

#[test]
fn special_tokens_in_a_text_are_text() {
    let tokenizer = read(&small()).unwrap();
    let text = " hello<|en|><|endoftext|>";
    let tokens = tokenizer.encode(text).unwrap();
    assert!(tokens.iter().all(|token| *token < tokenizer.special().end));
    assert_eq!(tokenizer.decode(&tokens), text);
}

#[test]
fn space_is_what_python_strips() {
    assert_eq!(strip("\x1c \x1f\n a\x1d b\u{3000}\x1e"), "a\x1d b");
}

#[test]
fn words_begin_at_spaces_and_punctuation() {
    let tokenizer = Tokenizer::synthetic(51865);
    let of = |text: &str, language: &str| -> Vec<String> {
        let mut tokens = tokenizer.encode(text).unwrap();
        tokens.push(tokenizer.special().end);
        split_words(&tokenizer, &tokens, language).into_iter().map(|word| word.text).collect()
    };
    assert_eq!(of(" grün, nah", "de"), [" grün", ",", " nah", ""]);
    assert_eq!(of("世界", "zh"), ["世", "界", ""]);
    assert_eq!(of("世界", "en"), ["世界", ""]);
}

/// As OpenAI's `split_tokens_on_unicode` does it: a character that is never completed is a word as soon
/// as that is clear.
#[test]
fn broken_characters_hold_nothing_up() {
    let tokenizer = Tokenizer::synthetic(51865);
    let whole = tokenizer.encode("김").unwrap();
    assert_eq!(whole.len(), 3, "a token for each byte");
    let text = tokenizer.encode(" no").unwrap();
    let of = |tokens: &[&[u32]], language: &str| -> Vec<String> {
        let words = split_words(&tokenizer, &tokens.concat(), language);
        words.into_iter().map(|word| word.text).collect()
    };
    let first = &whole[..1];
    assert_eq!(of(&[&whole, first, &text], "ja").concat(), "김\u{FFFD} no");
    assert_eq!(of(&[&whole, first, &text], "ja")[..2], ["김", "\u{FFFD}"]);
    assert_eq!(of(&[first, first, &whole], "ja"), ["\u{FFFD}", "\u{FFFD}", "김"]);
    assert_eq!(of(&[&text, first, &text], "en"), [" no\u{FFFD}", " no"]);
    // There OpenAI's looks behind the end of the text.
    assert_eq!(of(&[&text, &whole[..2]], "en"), [" no\u{FFFD}\u{FFFD}"]);
}
