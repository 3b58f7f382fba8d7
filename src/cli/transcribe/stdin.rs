//! Standard input, used as it comes.

use std::io::{self, Cursor, Read, Stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;
use tilewright::audio;
use tilewright::transcribe::{RawSamples, Samples};

use crate::cli::complain;
use crate::cli::error::CliError;

/// Where and how files begin: those that can be read, and others, which are said not to be, where as
/// samples they would be noise.
const BEGINNINGS: [(usize, &[u8]); 13] = [
    (0, b"RIFF"),
    (0, b"RF64"),
    (0, b"BW64"),
    (0, b"fLaC"),
    (0, b"OggS"),
    (0, b"ID3"),
    (4, b"ftyp"),             // MP4
    (0, b"\x1A\x45\xDF\xA3"), // Matroska, WebM
    (0, b"FORM"),             // AIFF
    (0, b".snd"),             // AU
    (0, b"caff"),
    (0, b"riff"),             // Wave64
    (0, b"\x30\x26\xB2\x75"), // ASF, of which WMA is
];

/// A recording or samples.
pub(super) fn open() -> Result<Box<dyn Samples>, CliError> {
    let mut input = Input::new().map_err(CliError::Stdin)?;
    let mut first = Vec::new();
    input.by_ref().take(8).read_to_end(&mut first).map_err(CliError::Stdin)?;
    let is_mp3 = matches!(first[..], [0xFF, second, ..] if second & 0xE6 == 0xE2);
    let begins = |(at, with): (usize, &[u8])| first.get(at..).is_some_and(|b| b.starts_with(with));
    let is_recording = is_mp3 || BEGINNINGS.into_iter().any(begins);
    let all = Cursor::new(first).chain(input);
    if is_recording {
        return Ok(Box::new(audio::from_pipe("standard input", all)?));
    }
    Ok(Box::new(RawSamples::new(all)))
}

/// Standard input until Ctrl-C, with which who speaks into a microphone ends: what was heard until then
/// is still transcribed. The second one ends the program.
struct Input {
    stdin: Stdin,
    interrupted: Arc<AtomicBool>,
    ended: bool,
}

impl Input {
    fn new() -> io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        // In this order, so that the first does not find itself to be the second.
        flag::register_conditional_default(SIGINT, Arc::clone(&interrupted))?;
        flag::register(SIGINT, Arc::clone(&interrupted))?;
        Ok(Self { stdin: io::stdin(), interrupted, ended: false })
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let is_interrupted = || self.interrupted.load(Ordering::SeqCst);
        // What records hears Ctrl-C as well, and ends.
        let count = if is_interrupted() { 0 } else { self.stdin.read(into)? };
        if count == 0 && !into.is_empty() && is_interrupted() && !self.ended {
            self.ended = true;
            complain("interrupted: transcribing what was heard; Ctrl-C again leaves it");
        }
        Ok(count)
    }
}
