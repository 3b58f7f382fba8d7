//! Files that are not as they should be: each has its message, or is used as far as it goes.

use std::fs;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use tilewright::audio::{self, AudioReader};

use super::support::{Wav, all, file, noise, pcm16, sine};

/// The message of opening, or else of reading to the end.
fn message(bytes: impl Into<Vec<u8>>) -> String {
    match audio::from_bytes("it", bytes) {
        Ok(mut reader) => reader.find_map(Result::err).expect("it should fail").to_string(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn assert_message(bytes: impl Into<Vec<u8>>, expected: &str) {
    let message = message(bytes);
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_missing_file() {
    let error = audio::open("no/such/file.wav").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("`no/such/file.wav` cannot be opened: "), "{message}");
    assert_eq!(error.name(), "no/such/file.wav");
}

#[test]
fn a_directory() {
    let message = audio::open(file("src")).unwrap_err().to_string();
    assert!(message.ends_with("src` is a directory: name a sound file inside it"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_device() {
    let message = audio::open("/dev/null").unwrap_err().to_string();
    assert!(message.starts_with("`/dev/null` is not a regular file"), "{message}");
}

/// Of all that is no file, one that cannot be opened at all, where opening a pipe would wait for a writer.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket.wav");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let message = audio::open(&path).unwrap_err().to_string();
    assert!(message.contains("socket.wav` is not a regular file"), "{message}");
}

#[test]
fn what_is_not_audio() {
    let expected = "`it` is not a sound file that can be read here (";
    let text = "All work and no play makes Jack a dull boy. ".repeat(1000);
    assert_message([], expected);
    assert_message(b"R".to_vec(), expected);
    assert_message(text, expected);
    assert_message(vec![0; 100_000], expected);
    assert_message(b"\x7fELF\x02\x01\x01".repeat(500), expected);
    assert_message(
        noise(20_000).iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>(),
        expected,
    );
    let message = message(b"RIFF\xff\xff\xff\xffAVI LIST".to_vec());
    assert!(message.starts_with(expected), "{message}");
    assert!(message.ends_with("convert it with `ffmpeg -i IN OUT.wav`"), "{message}");
}

#[test]
fn noise_is_not_taken_for_mp3() {
    // MP3 has no magic number, only a pattern of 11 bits that noise is full of.
    for seed in 0..20u64 {
        let mut state = seed;
        let mut byte = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..300_000).map(|_| byte()).collect();
        assert!(audio::from_bytes("it", bytes).is_err(), "seed {seed} was taken for sound");
    }
}

#[test]
fn codings_that_are_not_supported() {
    let opus = fs::read(file("tests/data/opus.ogg")).unwrap();
    assert_message(opus, "`it` holds sound in a coding that cannot be read here (");
}

#[test]
fn no_sound() {
    let expected = "`it` holds no sound (0 samples): record or convert it again";
    assert_eq!(message(Wav::PCM16.with([])), expected);
    // A header that promises much, and half a sample.
    assert_eq!(message(Wav { data_size: Some(1_000_000), ..Wav::PCM16 }.with([1])), expected);
    let error = audio::from_samples("it", [], 16_000).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn headers_with_impossible_numbers() {
    let sound = pcm16(&noise(1000));
    let with = |wav: Wav| wav.with(sound.clone());
    assert_message(with(Wav { channels: 0, ..Wav::PCM16 }), "`it` announces 0 channels: ");
    assert_message(
        with(Wav { channels: 27, ..Wav::PCM16 }),
        "`it` announces 27 channels, more than 26: ",
    );
    // These numbers overflow in the decoder, which must not get to see them.
    assert_message(
        with(Wav { channels: 32_767, ..Wav::PCM16 }),
        "`it` announces 32767 channels, more than 26: ",
    );
    for rate in [0, 999, 768_001, u32::MAX] {
        let expected = format!("`it` announces a sample rate of {rate} Hz, outside 1000 to 768000");
        assert_message(with(Wav { rate, ..Wav::PCM16 }), &expected);
        let error = audio::from_samples("it", [0.0], rate).unwrap_err();
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let expected = "`it` is not a sound file that can be read here (";
    assert_message(with(Wav { bits: 12, ..Wav::PCM16 }), expected);
    assert_message(with(Wav { tag: 0x55, ..Wav::PCM16 }), expected);
}

#[test]
fn samples_that_are_no_sound() {
    for (bad, name) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
        (1e30, "1000000000000000000000000000000"),
    ] {
        let mut samples = noise(20_000);
        samples[16_000] = bad;
        let expected = format!("`it` holds a sample that is {name} at 1.000 s, where sound lies");
        let wav = Wav { tag: 3, bits: 32, ..Wav::PCM16 };
        assert_message(wav.with(samples.iter().flat_map(|s| s.to_le_bytes())), &expected);
        let wav = Wav { tag: 3, bits: 64, ..Wav::PCM16 };
        assert_message(
            wav.with(samples.iter().flat_map(|s| f64::from(*s).to_le_bytes())),
            &expected,
        );
        let mut reader = audio::from_samples("it", samples, 16_000).unwrap();
        let error = reader.next_window().unwrap_err().to_string();
        assert!(error.starts_with(&expected), "{error}");
        // After an error there is nothing more.
        assert!(reader.next_window().unwrap().is_none());
    }
}

#[test]
fn a_recording_that_broke_off_is_used_as_far_as_it_goes() {
    let samples = sine(440.0, 0.5, 16_000, 16_000);
    let mut bytes = Wav { data_size: Some(64_000), ..Wav::PCM16 }.with(pcm16(&samples));
    bytes.push(7); // half a sample
    let mut reader = audio::from_bytes("it", bytes).unwrap();
    assert_eq!((reader.announced_seconds(), reader.missing_seconds()), (Some(2.0), None));
    assert_eq!(reader.next_window().unwrap().unwrap().samples.len(), 16_000);
    assert!(reader.next_window().unwrap().is_none());
    assert_eq!(reader.missing_seconds(), Some(1.0));
}

#[test]
fn a_header_that_was_never_finished_does_not_matter() {
    let sound = pcm16(&noise(12_345));
    for (riff_size, data_size) in [
        (0, 0),               // a recorder that lost power
        (u32::MAX, u32::MAX), // a program that writes to a pipe
        (u32::MAX, 0),
        (36, 24_690), // the outer size was forgotten
        (1, u32::MAX),
    ] {
        let wav = Wav { riff_size: Some(riff_size), data_size: Some(data_size), ..Wav::PCM16 };
        let reader = audio::from_bytes("it", wav.with(sound.clone())).unwrap();
        assert_eq!(all(reader).len(), 12_345, "{riff_size} {data_size}");
    }
}

#[test]
fn any_beginning_of_a_file_is_read_or_refused() {
    for name in ["tone.flac", "tone.mp3", "tone.ogg", "telephone.wav"] {
        let bytes = fs::read(file("tests/data").join(name)).unwrap();
        let whole = all(audio::from_bytes("it", bytes.clone()).unwrap()).len();
        for cut in (0..bytes.len()).step_by(bytes.len() / 60) {
            if let Ok(reader) = audio::from_bytes("it", &bytes[..cut]) {
                let read = all(reader).len();
                assert!((1..=whole).contains(&read), "{name} cut at {cut}: {read} of {whole}");
            }
        }
        if name == "tone.ogg" {
            continue; // its sound is a single page, which counts whole or not at all
        }
        let half = all(audio::from_bytes("it", &bytes[..bytes.len() * 2 / 3]).unwrap()).len();
        assert!(half > whole / 4, "{name}: {half} of {whole}");
    }
}

#[test]
fn a_damaged_packet_becomes_silence_and_times_stay_right() {
    let mut bytes = fs::read(file("tests/data/long.flac")).unwrap();
    let whole = all(audio::from_bytes("it", bytes.clone()).unwrap());
    let end = bytes.len() - 1000;
    bytes[end - 40..end].fill(0x55);
    let mut reader = audio::from_bytes("it", bytes).unwrap();
    let damaged = reader.next_window().unwrap().unwrap().samples;
    assert_eq!((damaged.len(), reader.damaged_packets()), (whole.len(), 1));
    let silent = damaged.iter().zip(&whole).filter(|(a, b)| a != b).count();
    assert!((400..=1024).contains(&silent), "{silent}");
    assert!(damaged.iter().zip(&whole).all(|(a, b)| a == b || *a == 0.0));
}

#[test]
fn a_damaged_mp3_plays_on() {
    let mut bytes = fs::read(file("tests/data/tone.mp3")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0x55);
    let mut reader = audio::from_bytes("it", bytes).unwrap();
    let samples = reader.next_window().unwrap().unwrap().samples.len();
    assert!((3_000..=6_402).contains(&samples) && reader.damaged_packets() > 0, "{samples}");
}

/// Found by fuzzing: in both, symphonia-codec-vorbis 0.6.1 panics in release builds too (`floor.rs`
/// divides by zero, `codebook.rs` asserts).
#[test]
fn a_panic_in_the_decoder_is_a_damaged_file() {
    for name in ["divides-by-zero.ogg", "breaks-assertion.ogg"] {
        let bytes = fs::read(file("tests/data").join(name)).unwrap();
        assert_message(bytes, "`it` is damaged (the decoder failed on it): copy or download it");
    }
}

/// A disk that fails.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.position() > 100_000 {
            return Err(io::Error::other("the disk is on fire"));
        }
        self.0.read(buffer)
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_disk_that_fails_is_not_the_end_of_the_recording() {
    let source = Failing(Cursor::new(Wav::PCM16.with(pcm16(&noise(200_000)))));
    let mut reader = AudioReader::new("it", source).unwrap();
    let error = reader.next_window().unwrap_err().to_string();
    assert_eq!(error, "`it` cannot be read: the disk is on fire");
}
