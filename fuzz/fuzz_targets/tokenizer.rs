//! Any bytes as a `tokenizer.json`: read and used, or refused, without a panic, a hang or an absurd
//! allocation.
//!
//! Seeds are small tokenizers of Whisper's form: `fuzz/seeds.py` writes them to `fuzz/corpus`. Then
//! `cargo +nightly fuzz run tokenizer -- -rss_limit_mb=1024 -timeout=10 -max_len=16384`
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tilewright::tokenizer::{Tokenizer, split_words};

const TEXT: &str = " hello, Grüße <|en|> 世界\n\n  lo12'll ♪ <|endoftext|>";

fuzz_target!(|json: &[u8]| {
    for vocabulary in [51865, 300] {
        let tokenizer = match Tokenizer::from_json(Path::new("fuzz"), json, vocabulary) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                assert!(error.to_string().starts_with("fuzz: "));
                continue;
            }
        };
        let special = tokenizer.special();
        let tokens = tokenizer.encode(TEXT).expect("text is tokens");
        assert!(tokens.iter().all(|token| *token < special.end));
        assert!(tokens.len() <= TEXT.len());
        assert!(tokenizer.non_speech().iter().all(|token| *token < special.end));
        assert!(special.languages.iter().all(|(token, _)| (*token as usize) < vocabulary));
        // Any tokens, as a decoder may choose them.
        let rare = [special.end, special.first_timestamp, u32::MAX];
        let any: Vec<u32> = (0..400).chain(rare).collect();
        let _ = tokenizer.decode(&any);
        for language in ["en", "ja"] {
            let words = split_words(&tokenizer, &any, language);
            assert!(words.iter().flat_map(|word| &word.tokens).eq(&any));
        }
    }
});
