//! Any bytes as the text of a design: read, or refused with a place and a help, without a panic.
//!
//! `mkdir -p fuzz/corpus/design && cp generated/*/*/design.mlir fuzz/corpus/design`, each under its
//! own name, then `cargo +nightly fuzz run design -- -rss_limit_mb=1024 -timeout=10`
#![no_main]

use libfuzzer_sys::fuzz_target;
use tilewright_sim::text::{Source, parse};

fuzz_target!(|text: &str| {
    if let Err(error) = parse(&Source::new("fuzz.mlir", text)) {
        assert!(error.to_string().starts_with("fuzz.mlir:"));
        assert!(!error.message().is_empty() && !error.help().is_empty());
        assert!(error.line() <= text.lines().count().max(1) + 1);
    }
});
