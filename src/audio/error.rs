//! What can be wrong with a sound file.

use std::io;

use super::{MAX_CHANNELS, MAX_INPUT_RATE, MIN_INPUT_RATE};

/// What is wrong with a recording: its name, the reason, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` {problem}")]
pub struct AudioError {
    name: String,
    #[source]
    problem: Problem,
}

impl AudioError {
    pub(crate) fn new(name: &str, problem: Problem) -> Self {
        AudioError { name: name.to_owned(), problem }
    }

    /// The file's path, or the name that the caller gave to the bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The reason.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// The reason of an [`AudioError`]. Its text continues a sentence that begins with the file's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(#[source] io::Error),
    /// A directory was named.
    #[error("is a directory: name a sound file inside it")]
    Directory,
    /// A pipe or device was named.
    #[error("is not a regular file, and reading sound needs one: save it to a file first")]
    NotAFile,
    /// Reading failed midway.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// No supported container was recognised.
    #[error(
        "is not a sound file that can be read here ({0}). WAV, FLAC, MP3 and Ogg Vorbis can: \
         convert it with `ffmpeg -i IN OUT.wav`"
    )]
    NotAudio(String),
    /// The container is supported, what it holds is not.
    #[error(
        "holds sound in a coding that cannot be read here ({0}). PCM, FLAC, MP3 and Vorbis can: \
         convert it with `ffmpeg -i IN OUT.wav`"
    )]
    Coding(String),
    /// There is not one sample.
    #[error("holds no sound (0 samples): record or convert it again")]
    Empty,
    /// The header announces no channel.
    #[error("announces 0 channels: its header is wrong, convert or record it again")]
    NoChannels,
    /// More channels than a recording has.
    #[error(
        "announces {0} channels, more than {MAX_CHANNELS}: its header is wrong, or mix it down \
         with `ffmpeg -i IN -ac 1 OUT.wav`"
    )]
    TooManyChannels(usize),
    /// A sample rate of 0 or out of all proportion.
    #[error(
        "announces a sample rate of {0} Hz, outside {MIN_INPUT_RATE} to {MAX_INPUT_RATE}: its \
         header is wrong, convert or record it again"
    )]
    SampleRate(u32),
    /// A sample that is no sound: NaN, infinite, or enormous.
    #[error(
        "holds a sample that is {value} at {seconds:.3} s, where sound lies in -1 to 1: the \
         program that wrote it computed nonsense there, cut that part out or make it again"
    )]
    Sample {
        /// The sample.
        value: f32,
        /// Where it is.
        seconds: f64,
    },
    /// The sample rate changes midway.
    #[error(
        "changes its sample rate from {from} to {to} Hz at {seconds:.3} s: convert it with \
         `ffmpeg -i IN OUT.wav`"
    )]
    RateChange {
        /// The rate until there.
        from: u32,
        /// The rate from there on.
        to: u32,
        /// Where it changes.
        seconds: f64,
    },
    /// The decoder gave up.
    #[error(
        "is damaged ({0}): copy or download it again, or repair it with `ffmpeg -i IN OUT.wav`"
    )]
    Damaged(String),
}
