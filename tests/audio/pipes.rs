//! Sound that comes through a pipe: used as it comes, in pieces of any size, with headers that could not
//! know how long it would be.

use std::fs;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, channel};

use tilewright::audio::{self, AudioReader};

use super::support::{Wav, all, file, noise, pcm16, sine};

/// Gives bytes in pieces of changing size, each as it arrives.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.at % 1000 + 1;
        let left = &self.bytes[self.at..];
        let got = left.len().min(size).min(buffer.len());
        buffer[..got].copy_from_slice(&left[..got]);
        self.at += got;
        Ok(got)
    }
}

fn from_pipe(bytes: Vec<u8>) -> AudioReader {
    audio::from_pipe("it", Pieces { bytes, at: 0 }).unwrap()
}

#[test]
fn every_format_is_the_same_as_from_a_file() {
    for name in ["telephone.wav", "tone.flac", "tone.mp3", "tone.ogg", "long.flac"] {
        let bytes = fs::read(file("tests/data").join(name)).unwrap();
        let expected = all(audio::from_bytes("it", bytes.clone()).unwrap());
        let got = all(from_pipe(bytes));
        assert_eq!(got.len(), expected.len(), "{name}");
        assert!(got == expected, "{name}");
    }
}

#[test]
fn channels_are_mixed_and_rates_changed() {
    let sound = sine(440.0, 0.5, 44_100, 3 * 44_100);
    let both: Vec<f32> = sound.iter().flat_map(|s| [*s, s / 2.0]).collect();
    let bytes = Wav { channels: 2, rate: 44_100, ..Wav::PCM16 }.with(pcm16(&both));
    assert!(all(from_pipe(bytes.clone())) == all(audio::from_bytes("it", bytes).unwrap()));
}

#[test]
fn sizes_that_nobody_could_know_count_for_none() {
    let samples = noise(100_000);
    // ffmpeg; programs that write zeros; arecord; sox; a size beyond all others.
    for (riff_size, data_size) in [
        (u32::MAX, u32::MAX),
        (0, 0),
        (36, 0),
        (0x7FFF_FF24, 0x7FFF_FF00),
        (0x7FFF_F024, 0x7FFF_F000),
        (0x8000_0024, 0x8000_0000),
    ] {
        let wav = Wav { riff_size: Some(riff_size), data_size: Some(data_size), ..Wav::PCM16 };
        let mut reader = from_pipe(wav.with(pcm16(&samples)));
        assert_eq!(reader.announced_seconds(), None, "{data_size:x}");
        let count: usize = reader.by_ref().map(|window| window.unwrap().samples.len()).sum();
        assert_eq!(count, samples.len(), "{data_size:x}");
        assert_eq!(reader.missing_seconds(), None, "{data_size:x}");
    }
}

#[test]
fn a_size_that_is_known_counts() {
    let samples = noise(16_000);
    let short = Wav { data_size: Some(64_000), ..Wav::PCM16 }.with(pcm16(&samples));
    let mut reader = from_pipe(short);
    assert_eq!(reader.announced_seconds(), Some(2.0));
    assert_eq!(reader.by_ref().count(), 1);
    assert_eq!(reader.missing_seconds(), Some(1.0));
    // What is behind the sound is none.
    let mut long = Wav::PCM16.with(pcm16(&samples));
    long.extend(b"LIST\x04\0\0\0INFO");
    assert_eq!(all(from_pipe(long)).len(), 16_000);
}

#[test]
fn a_header_that_skips_far_does_not_wait_for_the_end() {
    let mut bytes = Wav::PCM16.header(0);
    bytes.truncate(36);
    bytes.extend(b"JUNK\0\0\0\x7f");
    bytes.extend(vec![0; 3 << 20]);
    assert!(audio::from_pipe("it", Pieces { bytes, at: 0 }).is_err());
}

/// Bytes as another thread sends them.
struct Sent {
    pieces: Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.pieces.recv().unwrap_or_default();
        }
        let got = self.rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&self.rest[..got]);
        self.rest.drain(..got);
        Ok(got)
    }
}

#[test]
fn what_has_come_is_there_before_the_rest() {
    let (send, pieces) = channel();
    let endless = Wav { riff_size: Some(u32::MAX), data_size: Some(u32::MAX), ..Wav::PCM16 };
    let samples = noise(32_000);
    send.send(endless.with(pcm16(&samples[..16_000]))).unwrap();
    let mut reader = audio::from_pipe("it", Sent { pieces, rest: Vec::new() }).unwrap();
    let mut heard = Vec::new();
    // All but what fills no packet yet: more would wait for ever.
    while heard.len() < 16_000 - 1152 {
        assert!(reader.append_to(&mut heard).unwrap());
    }
    send.send(pcm16(&samples[16_000..])).unwrap();
    drop(send);
    while reader.append_to(&mut heard).unwrap() {}
    assert_eq!(heard.len(), 32_000);
}
