//! Windows of 30 seconds, from a file, a pipe, bytes or samples.

use std::fs;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use super::decode::{Decoder, check_rate, check_samples, seconds};
use super::error::{AudioError, Problem};
use super::resample::Resampler;
use super::{HOP, SAMPLE_RATE, WINDOW_FRAMES, WINDOW_SAMPLES};

/// Samples that are taken at once from a slice.
const SLICE: usize = 8192;

/// Opens a sound file.
pub fn open(path: impl AsRef<Path>) -> Result<AudioReader, AudioError> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let fail = |problem| AudioError::new(&name, problem);
    // Before it is opened: a pipe that nobody writes to would be waited for.
    let kind = fs::metadata(path).map_err(|error| fail(Problem::Open(error)))?.file_type();
    if kind.is_dir() {
        return Err(fail(Problem::Directory));
    }
    if !kind.is_file() {
        return Err(fail(Problem::NotAFile));
    }
    let file = fs::File::open(path).map_err(|error| fail(Problem::Open(error)))?;
    AudioReader::new(name, file)
}

/// Reads a sound file that lies in memory; `name` is what errors call it.
pub fn from_bytes(
    name: impl Into<String>,
    bytes: impl Into<Vec<u8>>,
) -> Result<AudioReader, AudioError> {
    AudioReader::new(name, Cursor::new(bytes.into()))
}

/// Reads a sound file as it comes through a pipe: what has come can be used before the rest has. Of
/// WAV, a size that no program could know yet counts as none; `name` is what errors call it.
pub fn from_pipe(
    name: impl Into<String>,
    source: impl Read + Send + 'static,
) -> Result<AudioReader, AudioError> {
    let source = Decoder::of_pipe(source);
    AudioReader::start(name.into(), source.map(|decoder| Source::File(Box::new(decoder))))
}

/// Reads mono samples at any rate, of which sound lies in −1..1; `name` is what errors call them.
pub fn from_samples(
    name: impl Into<String>,
    samples: impl Into<Vec<f32>>,
    rate: u32,
) -> Result<AudioReader, AudioError> {
    let source = Source::Samples { samples: samples.into(), rate, position: 0 };
    AudioReader::start(name.into(), check_rate(rate).map(|()| source))
}

/// A stretch of a recording: up to 30 seconds, 16 kHz, mono.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// The samples: [`WINDOW_SAMPLES`] of them, fewer in the last window. There is no padding;
    /// [`LogMel`](super::LogMel) adds it.
    pub samples: Vec<f32>,
    /// Where the window begins in the recording, in samples of 16 kHz.
    pub start: u64,
}

impl Window {
    /// Where the window begins, in seconds.
    pub fn start_seconds(&self) -> f64 {
        seconds(self.start, SAMPLE_RATE)
    }

    /// How long the sound in it is, in seconds.
    pub fn seconds(&self) -> f64 {
        seconds(self.samples.len() as u64, SAMPLE_RATE)
    }

    /// How many of the spectrogram's 3000 frames begin within the sound.
    pub fn frames(&self) -> usize {
        self.samples.len().div_ceil(HOP).min(WINDOW_FRAMES)
    }
}

/// A recording that is read window by window.
///
/// It is also an iterator over windows. After an error it is at its end.
pub struct AudioReader {
    name: String,
    source: Source,
    resampler: Resampler,
    /// Mono samples at the source's rate, as they come.
    chunk: Vec<f32>,
    /// Samples of 16 kHz that no window has yet, from `used` on.
    ready: Vec<f32>,
    used: usize,
    /// Where the next window begins.
    position: u64,
    ended: bool,
}

enum Source {
    File(Box<Decoder>),
    Samples { samples: Vec<f32>, rate: u32, position: usize },
}

impl AudioReader {
    /// Reads a sound file from anything that can be read and positioned; `name` is what errors
    /// call it.
    pub fn new(
        name: impl Into<String>,
        source: impl Read + Seek + Send + 'static,
    ) -> Result<Self, AudioError> {
        let source = Decoder::new(source);
        Self::start(name.into(), source.map(|decoder| Source::File(Box::new(decoder))))
    }

    /// Reads the first piece: only then is it known that there is sound, and at which rate.
    fn start(name: String, source: Result<Source, Problem>) -> Result<Self, AudioError> {
        let begin = || {
            let (mut source, mut chunk) = (source?, Vec::new());
            if !source.next_chunk(&mut chunk)? {
                return Err(Problem::Empty);
            }
            let mut resampler = Resampler::new(source.rate()).map_err(Problem::Damaged)?;
            let mut ready = Vec::new();
            resampler.push(&chunk, &mut ready).map_err(Problem::Damaged)?;
            Ok((source, chunk, resampler, ready))
        };
        match begin() {
            Ok((source, chunk, resampler, ready)) => Ok(AudioReader {
                name,
                source,
                resampler,
                chunk,
                ready,
                used: 0,
                position: 0,
                ended: false,
            }),
            Err(problem) => Err(AudioError::new(&name, problem)),
        }
    }

    /// The next window, or nothing at the end.
    pub fn next_window(&mut self) -> Result<Option<Window>, AudioError> {
        let mut window = Window::default();
        Ok(self.next_window_into(&mut window)?.then_some(window))
    }

    /// Replaces `window` by the next one, and `false` at the end. Its memory is used again.
    pub fn next_window_into(&mut self, window: &mut Window) -> Result<bool, AudioError> {
        window.samples.clear();
        window.samples.reserve(WINDOW_SAMPLES);
        window.start = self.position;
        while window.samples.len() < WINDOW_SAMPLES {
            if self.used == self.ready.len() && !self.refill()? {
                break;
            }
            let ready = self.ready.get(self.used..).unwrap_or_default();
            let take = ready.len().min(WINDOW_SAMPLES - window.samples.len());
            window.samples.extend(ready.iter().take(take));
            self.used += take;
        }
        self.position += window.samples.len() as u64;
        Ok(!window.samples.is_empty())
    }

    /// Appends the next samples, as many as come at once, and `false` at the end: sooner than a window
    /// is full.
    pub fn append_to(&mut self, samples: &mut Vec<f32>) -> Result<bool, AudioError> {
        if self.used == self.ready.len() && !self.refill()? {
            return Ok(false);
        }
        let ready = self.ready.get(self.used..).unwrap_or_default();
        samples.extend_from_slice(ready);
        self.position += ready.len() as u64;
        self.used = self.ready.len();
        Ok(true)
    }

    /// The recording's own sample rate.
    pub fn source_rate(&self) -> u32 {
        self.source.rate()
    }

    /// How long the recording is according to its header, where that says so exactly: WAV, FLAC
    /// and mostly Ogg do, MP3 does not.
    pub fn announced_seconds(&self) -> Option<f64> {
        self.source.announced().map(|samples| seconds(samples, self.source.rate()))
    }

    /// How much shorter than announced the recording was; nothing before it has ended.
    pub fn missing_seconds(&self) -> Option<f64> {
        let missing = self.source.announced()?.checked_sub(self.source.decoded())?;
        (self.ended && missing > 0).then(|| seconds(missing, self.source.rate()))
    }

    /// How many damaged packets were replaced by silence so far.
    pub fn damaged_packets(&self) -> u64 {
        match &self.source {
            Source::File(decoder) => decoder.damaged(),
            Source::Samples { .. } => 0,
        }
    }

    /// How many samples the reader holds between two windows: what remains of a decoded packet.
    pub fn held_samples(&self) -> usize {
        self.ready.len() - self.used
    }

    /// Replaces the used-up samples by new ones; `false` when there are none.
    fn refill(&mut self) -> Result<bool, AudioError> {
        self.ready.clear();
        self.used = 0;
        while self.ready.is_empty() && !self.ended {
            if let Err(problem) = self.advance() {
                self.ended = true;
                self.ready.clear();
                return Err(AudioError::new(&self.name, problem));
            }
        }
        Ok(!self.ready.is_empty())
    }

    /// One piece further.
    fn advance(&mut self) -> Result<(), Problem> {
        if self.source.next_chunk(&mut self.chunk)? {
            return self.resampler.push(&self.chunk, &mut self.ready).map_err(Problem::Damaged);
        }
        self.ended = true;
        self.warn();
        self.resampler.finish(&mut self.ready).map_err(Problem::Damaged)
    }

    /// Says what was not as it should be, once, at the end.
    fn warn(&self) {
        if let Some(missing) = self.missing_seconds() {
            let name = &self.name;
            tracing::warn!("`{name}` is {missing:.3} s shorter than its header announces");
        }
        if self.damaged_packets() > 0 {
            let (name, packets) = (&self.name, self.damaged_packets());
            tracing::warn!("`{name}`: {packets} damaged packets were replaced by silence");
        }
    }
}

impl Iterator for AudioReader {
    type Item = Result<Window, AudioError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_window().transpose()
    }
}

impl std::fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader")
            .field("name", &self.name)
            .field("source_rate", &self.source_rate())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Source {
    fn next_chunk(&mut self, chunk: &mut Vec<f32>) -> Result<bool, Problem> {
        match self {
            Source::File(decoder) => decoder.next_chunk(chunk),
            Source::Samples { samples, rate, position } => {
                chunk.clear();
                chunk.extend(samples.iter().skip(*position).take(SLICE));
                check_samples(chunk, *position as u64, *rate)?;
                *position += chunk.len();
                Ok(!chunk.is_empty())
            }
        }
    }

    fn rate(&self) -> u32 {
        match self {
            Source::File(decoder) => decoder.rate(),
            Source::Samples { rate, .. } => *rate,
        }
    }

    fn announced(&self) -> Option<u64> {
        match self {
            Source::File(decoder) => decoder.announced(),
            Source::Samples { samples, .. } => Some(samples.len() as u64),
        }
    }

    fn decoded(&self) -> u64 {
        match self {
            Source::File(decoder) => decoder.decoded(),
            Source::Samples { position, .. } => *position as u64,
        }
    }
}
