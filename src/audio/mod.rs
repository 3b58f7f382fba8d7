//! From a sound file to what Whisper listens to.
//!
//! [`open`] reads WAV, FLAC, MP3 and Ogg Vorbis of any sample rate and channel count. It mixes the
//! channels to one, resamples to 16 kHz and hands out [`Window`]s of 30 seconds; it holds little
//! more than one of them, however long the recording. [`LogMel`] turns a window into the
//! spectrogram that the encoder takes.
//!
//! ```no_run
//! use tilewright::audio::{self, LogMel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mel = LogMel::new(80)?;
//! let mut talk = audio::open("talk.flac")?;
//! while let Some(window) = talk.next_window()? {
//!     let features = mel.compute(&window.samples);
//!     println!("{:.0} s: {} numbers", window.start_seconds(), features.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is an error, and what is not
//!
//! A file that is no sound file, holds no sample, or announces an impossible sample rate or channel
//! count is an error when it is opened. A sample that is not a number, or far too large to be
//! sound, is an error when it is reached. A recording that is *shorter than its header says* (the
//! recorder lost power, the download broke off) is not: what is there is used, a warning goes to
//! `tracing`, and [`AudioReader::missing_seconds`] tells how much is absent. Nor are damaged MP3,
//! FLAC or Vorbis packets: they become silence, so that all later times stay right (as far as the
//! file tells where its packets belong, and up to a minute in all), and are counted by
//! [`AudioReader::damaged_packets`].
//!
//! # Limits
//!
//! Only the first audio track of a file is read. Channels are mixed by their mean, without regard
//! to loudspeaker positions. A recording that changes its sample rate midway is an error.

mod decode;
mod error;
mod mel;
mod pipe;
mod reader;
mod resample;
mod wav;

pub use error::{AudioError, Problem};
pub use mel::{LogMel, UnsupportedBins, Workspace};
pub use reader::{AudioReader, Window, from_bytes, from_pipe, from_samples, open};

/// Samples per second of everything that [`AudioReader`] hands out: what Whisper was trained on.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples from one frame of the spectrogram to the next: 10 ms.
pub const HOP: usize = 160;

/// Samples that one frame of the spectrogram looks at: 25 ms.
pub const N_FFT: usize = 400;

/// Samples of a full window: 30 s.
pub const WINDOW_SAMPLES: usize = 480_000;

/// Frames of the spectrogram of a window, always: shorter windows are padded with silence.
pub const WINDOW_FRAMES: usize = WINDOW_SAMPLES / HOP;

/// The lowest sample rate that is taken for one.
pub const MIN_INPUT_RATE: u32 = 1_000;

/// The highest sample rate that is taken for one.
pub const MAX_INPUT_RATE: u32 = 768_000;

/// The most channels of a recording: as many as WAV has names for.
pub const MAX_CHANNELS: usize = 26;

/// The largest magnitude of a sample that is taken for sound. Sound lies in −1..1; integers that
/// were stored as floats without scaling reach 2³¹ and are harmless, the spectrogram of 10³⁰ is not.
pub const MAX_MAGNITUDE: f32 = 1e10;
