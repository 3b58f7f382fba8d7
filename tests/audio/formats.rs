//! Every kind of file, and how channels become one.

use std::fs;

use tilewright::audio::{self, AudioReader, SAMPLE_RATE};

use super::support::{Wav, all, amplitude, file, noise, pcm16, sine};

/// 440 Hz at 0.375 for 0.4 s, which is what the files of tests/data hold once mixed.
fn assert_tone(mut reader: AudioReader, tolerance: f64) {
    let name = format!("{reader:?}");
    let samples = reader.next_window().unwrap().unwrap().samples;
    assert!(reader.next_window().unwrap().is_none());
    assert_eq!((reader.damaged_packets(), reader.missing_seconds()), (0, None), "{name}");
    let expected = 6400;
    assert!(samples.len().abs_diff(expected) <= 2, "{name}: {} samples", samples.len());
    let middle = &samples[1600..4800]; // 88 periods
    let ours = amplitude(middle, 440.0, SAMPLE_RATE);
    assert!((ours - 0.375).abs() < tolerance, "{name}: amplitude {ours}");
    // And nothing else.
    let power: f64 = middle.iter().map(|s| f64::from(s * s)).sum::<f64>() / middle.len() as f64;
    assert!((power - ours * ours / 2.0).abs() < tolerance * 0.1, "{name}: power {power}");
}

#[test]
fn flac() {
    assert_tone(audio::open(file("tests/data/tone.flac")).unwrap(), 1e-4);
}

#[test]
fn mp3() {
    assert_tone(audio::open(file("tests/data/tone.mp3")).unwrap(), 5e-3);
}

#[test]
fn ogg_vorbis() {
    assert_tone(audio::open(file("tests/data/tone.ogg")).unwrap(), 1e-2);
}

#[test]
fn telephone_mu_law() {
    let reader = audio::open(file("tests/data/telephone.wav")).unwrap();
    assert_eq!(reader.source_rate(), 8_000);
    assert_tone(reader, 2e-2);
}

#[test]
fn formats_are_recognised_by_content_and_not_by_name() {
    let bytes = fs::read(file("tests/data/tone.flac")).unwrap();
    assert_tone(audio::from_bytes("upload", bytes).unwrap(), 1e-4);
}

#[test]
fn the_sample_of_the_repository() {
    let reader = audio::open(file("samples/speech.wav")).unwrap();
    let announced = reader.announced_seconds().unwrap();
    let bytes = fs::read(file("samples/speech.wav")).unwrap();
    let truth: Vec<f32> = bytes[44..]
        .chunks_exact(2)
        .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0)
        .collect();
    assert_eq!((announced * 16_000.0).round(), truth.len() as f64);
    assert!(all(reader) == truth, "16-bit, 16 kHz, mono must pass unchanged");
}

#[test]
fn every_width_of_wav_sample() {
    let samples = noise(5000);
    type Encode = fn(f32) -> Vec<u8>;
    let widths: [(u16, u16, Encode, f32); 6] = [
        (1, 8, |s| vec![(s * 128.0 + 128.0) as u8], 1.0 / 128.0),
        (1, 16, |s| ((s * 32768.0) as i16).to_le_bytes().to_vec(), 1.0 / 32768.0),
        (1, 24, |s| ((s * 8388608.0) as i32).to_le_bytes()[..3].to_vec(), 1e-6),
        (1, 32, |s| ((f64::from(s) * 2147483648.0) as i32).to_le_bytes().to_vec(), 1e-7),
        (3, 32, |s| s.to_le_bytes().to_vec(), 0.0),
        (3, 64, |s| f64::from(s).to_le_bytes().to_vec(), 0.0),
    ];
    for (tag, bits, encode, tolerance) in widths {
        let wav = Wav { tag, bits, ..Wav::PCM16 };
        let bytes = wav.with(samples.iter().flat_map(|&s| encode(s)));
        let ours = all(audio::from_bytes("test", bytes).unwrap());
        assert_eq!(ours.len(), samples.len());
        let worst = ours.iter().zip(&samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{bits} bits, format {tag}: {worst}");
    }
}

#[test]
fn channels_are_mixed_by_their_mean() {
    for channels in [1u16, 2, 3, 6, 8] {
        let wav = Wav { tag: 3, bits: 32, channels, ..Wav::PCM16 };
        // Channel c holds c + 1 eighths of the tone.
        let tone = sine(440.0, 0.5, SAMPLE_RATE, 4000);
        let frames = tone.iter().flat_map(|s| (1..=channels).map(move |c| s * f32::from(c) / 8.0));
        let bytes = wav.with(frames.flat_map(f32::to_le_bytes));
        let ours = all(audio::from_bytes("test", bytes).unwrap());
        let gain = f32::from(channels + 1) / 16.0;
        let worst = ours.iter().zip(&tone).map(|(a, b)| (a - b * gain).abs()).fold(0.0, f32::max);
        assert!(ours.len() == 4000 && worst < 1e-6, "{channels} channels: {worst}");
    }
}

#[test]
fn chunks_that_nobody_needs_do_no_harm() {
    let sound = pcm16(&noise(1000));
    let plain = Wav::PCM16.with(sound.clone());
    // A malformed `fact`, a `LIST` that lies about its inner sizes, a chunk of odd length.
    let mut chunks =
        b"fact\x02\0\0\0abLIST\x0e\0\0\0INFOIART\xff\xff\xff\x7fabodd \x01\0\0\0x\0".to_vec();
    chunks.extend(&plain[36..]);
    let mut bytes = plain[..36].to_vec();
    bytes.extend(chunks);
    assert!(
        all(audio::from_bytes("a", bytes).unwrap()) == all(audio::from_bytes("b", plain).unwrap())
    );
}

#[test]
fn wav_beyond_four_gigabytes_is_read_by_its_long_size() {
    let sound = pcm16(&noise(1000));
    let wav = Wav { data_size: Some(u32::MAX), riff_size: Some(u32::MAX), ..Wav::PCM16 };
    let plain = wav.with(sound.clone());
    let mut bytes = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    bytes.extend(0u64.to_le_bytes());
    bytes.extend((sound.len() as u64).to_le_bytes());
    bytes.extend([0; 12]);
    bytes.extend(&plain[12..]);
    bytes.extend(b"LIST\x04\0\0\0INFO");
    assert_eq!(all(audio::from_bytes("long", bytes).unwrap()).len(), 1000);
}
