//! Any bytes as a sound file, and as what comes through a pipe: read as windows, each turned into a
//! spectrogram.
//!
//! `mkdir -p fuzz/corpus/audio && cp tests/data/* fuzz/corpus/audio`, then
//! `cargo +nightly fuzz run audio -- -rss_limit_mb=1024 -timeout=10`
#![no_main]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::panic;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::fuzz_target;
use tilewright::audio::{
    self, AudioError, AudioReader, LogMel, MAX_MAGNITUDE, WINDOW_FRAMES, WINDOW_SAMPLES,
};

static MEL: LazyLock<LogMel> = LazyLock::new(|| LogMel::new(80).expect("80 bins"));

/// A few bytes can stand for hours of silence, which is not worth the fuzzer's time.
const WINDOWS: usize = 8;

/// Gives each Ogg page its checksum, which no mutation hits: else the Vorbis decoder is never reached.
fn sign_pages(bytes: &mut [u8]) {
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"OggS") && at + 27 <= bytes.len() {
        let body = at + 27 + usize::from(bytes[at + 26]);
        let Some(segments) = bytes.get(at + 27..body) else { return };
        let end = body + segments.iter().map(|&n| usize::from(n)).sum::<usize>();
        let Some(page) = bytes.get_mut(at..end) else { return };
        page[22..26].fill(0);
        let crc = page.iter().fold(0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
                if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
            })
        });
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

/// A panic of the decoding library that the reader catches is a finding for that library's authors:
/// it is shown once. One that escapes the reader still ends the run.
fn tolerate_caught_panics() {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        if SEEN.lock().is_ok_and(|mut seen| seen.insert(place)) {
            eprintln!("PANIC {info}\n{}", std::backtrace::Backtrace::force_capture());
        }
    }));
}

fuzz_target!(init: tolerate_caught_panics(), |bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    sign_pages(&mut bytes);
    read(audio::from_pipe("fuzz", Cursor::new(bytes.clone())));
    read(audio::from_bytes("fuzz", bytes));
});

fn read(opened: Result<AudioReader, AudioError>) {
    let Ok(mut reader) = opened else { return };
    for number in 0..WINDOWS {
        let window = match reader.next_window() {
            Ok(Some(window)) => window,
            Ok(None) => break,
            Err(error) => {
                assert!(error.to_string().starts_with("`fuzz` "));
                assert!(reader.next_window().is_ok_and(|window| window.is_none()));
                return;
            }
        };
        assert!((1..=WINDOW_SAMPLES).contains(&window.samples.len()));
        assert_eq!(window.start, (number * WINDOW_SAMPLES) as u64);
        // Resampling overshoots a little.
        assert!(window.samples.iter().all(|s| s.abs() <= 4.0 * MAX_MAGNITUDE));
        assert!(reader.held_samples() <= 4 * WINDOW_SAMPLES);
        if number == 0 {
            let mel = MEL.compute(&window.samples);
            assert_eq!(mel.len(), 80 * WINDOW_FRAMES);
            assert!(mel.iter().all(|v| v.is_finite()));
        }
    }
}
