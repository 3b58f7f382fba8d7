//! Long recordings, window by window, in constant memory.

use std::io::{self, Read, Seek, SeekFrom};

use tilewright::audio::{self, AudioReader, HOP, WINDOW_FRAMES, WINDOW_SAMPLES, Window};

use super::support::{Wav, noise};

#[test]
fn ninety_five_seconds_are_four_windows() {
    let samples = noise(95 * 16_000);
    let reader = audio::from_samples("talk", samples.clone(), 16_000).unwrap();
    let windows: Vec<Window> = reader.map(Result::unwrap).collect();
    let lengths: Vec<usize> = windows.iter().map(|w| w.samples.len()).collect();
    assert_eq!(lengths, [WINDOW_SAMPLES, WINDOW_SAMPLES, WINDOW_SAMPLES, 80_000]);
    let starts: Vec<f64> = windows.iter().map(Window::start_seconds).collect();
    assert_eq!(starts, [0.0, 30.0, 60.0, 90.0]);
    assert_eq!((windows[3].seconds(), windows[3].frames()), (5.0, 500));
    assert_eq!(windows[0].frames(), WINDOW_FRAMES);
    let joined: Vec<f32> = windows.into_iter().flat_map(|w| w.samples).collect();
    assert!(joined == samples);
}

#[test]
fn whole_windows_leave_no_empty_one() {
    let samples = vec![0.5; 2 * WINDOW_SAMPLES];
    let reader = audio::from_samples("talk", samples, 16_000).unwrap();
    assert_eq!(reader.map(|w| w.unwrap().samples.len()).collect::<Vec<_>>(), [WINDOW_SAMPLES; 2]);
}

#[test]
fn a_single_sample_is_a_window() {
    let mut reader = audio::from_samples("click", [1.0], 16_000).unwrap();
    let window = reader.next_window().unwrap().unwrap();
    assert_eq!((&window.samples[..], window.frames()), (&[1.0][..], 1));
    assert!(reader.next_window().unwrap().is_none());
    assert!(reader.next_window().unwrap().is_none());
}

#[test]
fn resampled_windows_join_without_a_seam() {
    let second = 44_100;
    let samples = super::support::sine(440.0, 0.5, second, 65 * second as usize);
    let reader = audio::from_samples("tone", samples, second).unwrap();
    let joined: Vec<f32> = reader.flat_map(|w| w.unwrap().samples).collect();
    let truth = super::support::sine(440.0, 0.5, 16_000, 65 * 16_000);
    assert_eq!(joined.len(), truth.len());
    let worst = joined.iter().zip(&truth).skip(1000).take(truth.len() - 2000);
    let worst = worst.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-4, "{worst}");
}

#[test]
fn a_window_is_used_again() {
    let mut reader = audio::from_samples("talk", noise(1_000_000), 16_000).unwrap();
    let mut window = Window::default();
    assert!(reader.next_window_into(&mut window).unwrap());
    let memory = window.samples.as_ptr();
    assert!(reader.next_window_into(&mut window).unwrap());
    assert_eq!((window.samples.as_ptr(), window.start), (memory, WINDOW_SAMPLES as u64));
    assert!(reader.next_window_into(&mut window).unwrap());
    assert_eq!((window.samples.len(), window.frames()), (40_000, 40_000 / HOP));
    assert!(!reader.next_window_into(&mut window).unwrap());
}

/// A WAV file of any length that exists nowhere: its bytes are made when they are read.
struct Endless {
    header: Vec<u8>,
    len: u64,
    position: u64,
}

impl Endless {
    fn new(wav: Wav, seconds: u64) -> Self {
        let data = seconds * u64::from(wav.rate) * u64::from(wav.channels * wav.bits / 8);
        let header = wav.header(u32::try_from(data).unwrap_or(u32::MAX));
        Endless { len: header.len() as u64 + data, header, position: 0 }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = buffer.len().min((self.len - self.position.min(self.len)) as usize);
        for (byte, at) in buffer[..got].iter_mut().zip(self.position..) {
            let made = (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
            *byte = self.header.get(at as usize).copied().unwrap_or(made);
        }
        self.position += got as u64;
        Ok(got)
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.len.checked_add_signed(by).unwrap(),
            SeekFrom::Current(by) => self.position.checked_add_signed(by).unwrap(),
        };
        Ok(self.position)
    }
}

/// Reads it all, and checks at each window how much is held. Returns the windows' number.
fn drain(wav: Wav, hours: f64) -> usize {
    let seconds = (3600.0 * hours) as u64;
    let mut reader = AudioReader::new("endless", Endless::new(wav, seconds)).unwrap();
    let (mut window, mut windows, mut samples) = (Window::default(), 0, 0);
    let mut resident = 0;
    while reader.next_window_into(&mut window).unwrap() {
        windows += 1;
        samples += window.samples.len() as u64;
        assert_eq!(window.samples.capacity(), WINDOW_SAMPLES);
        assert!(reader.held_samples() <= 8192, "{}", reader.held_samples());
        if windows == 3 {
            resident = peak_kilobytes();
        }
    }
    assert_eq!(samples, seconds * 16_000);
    assert_eq!(reader.missing_seconds(), None);
    println!("{hours} h: grew by {} kB after the third window", peak_kilobytes() - resident);
    windows
}

/// The process's peak resident memory, where the system tells it.
fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn a_long_recording_is_never_held() {
    assert_eq!(drain(Wav::PCM16, 0.25), 30);
    assert_eq!(drain(Wav { rate: 8_000, bits: 8, ..Wav::PCM16 }, 0.25), 30);
}

/// 6.4 GB, more than a WAV header can say: `cargo test --release --test audio -- --ignored
/// --nocapture ten_hours`
#[test]
#[ignore = "takes long"]
fn ten_hours_of_cd_quality() {
    assert_eq!(drain(Wav { rate: 44_100, channels: 2, ..Wav::PCM16 }, 10.0), 1200);
}
