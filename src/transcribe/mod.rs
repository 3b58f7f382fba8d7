//! From sound to text: windows, one behind the other, each beginning where the last one's speech ends.
//!
//! As OpenAI's `transcribe`: a window of 30 seconds is encoded and decoded, its tokens are cut into
//! segments at their timestamps, and the next window begins at the last of these. What was said
//! before is the prompt of what follows, unless it came at a high temperature.
//!
//! Windows of which none depends on another are transcribed several at a time, see [`Settings::batch`].
//!
//! A difference: a window's spectrogram is that of its sound alone, as Hugging Face's. It is scaled by
//! the loudest sound in the window, not in the whole recording, as that is not known while it is read,
//! and behind the end of the recording it is that of silence. With such spectrograms
//! `tests/transformers` holds all else against OpenAI's program.
//!
//! ```no_run
//! use tilewright::audio;
//! use tilewright::backend::cpu::{Cpu, Numeric};
//! use tilewright::encoder;
//! use tilewright::kernels::TABLE;
//! use tilewright::transcribe::{Event, Settings, Stop, Transcriber};
//! use tilewright::transcript::Format;
//! use tilewright::weights::Weights;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let weights = Weights::open("openai/whisper-base")?;
//! let (cpu, numeric) = (Cpu::new()?, Numeric::F32);
//! let encoder = encoder::load(TABLE.targets[0], Some(1500), cpu, numeric, &weights, None)?;
//! let transcriber = Transcriber::new(encoder, cpu, numeric, &weights, None)?;
//! let mut talk = audio::open("talk.flac")?;
//! let settings = Settings::default();
//! let transcript = transcriber.transcribe(&mut talk, &settings, &Stop::default(), &mut |event| {
//!     if let Event::Segment(segment) = event {
//!         println!("{:.2} {}", segment.start, segment.text);
//!     }
//! })?;
//! print!("{}", transcript.render(Format::Srt));
//! # Ok(())
//! # }
//! ```

mod align;
mod orderless;
mod recording;
mod segments;
mod silence;
mod sound;
mod source;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use crate::audio::{AudioError, HOP, LogMel, SAMPLE_RATE, UnsupportedBins};
use crate::backend::cpu::{Cpu, Numeric, Threads};
use crate::decoder::{Decoder, DecoderError};
pub use crate::decoding::Stop;
use crate::decoding::{DecodingError, GenerationConfig, Options, SharedDecoder, Task, TaskKind};
use crate::encoder::{Encode, EncoderError, SharedEncoder};
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::transcript::{Segment, Transcript};
use crate::weights::{DecoderDimensions, PackCache, Weights};
use recording::{Recording, Story};
pub use sound::{RawSamples, Samples};
use source::Source;

/// Seconds of a frame of the spectrogram.
const FRAME: f64 = HOP as f64 / SAMPLE_RATE as f64;

/// Why a recording could not be transcribed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscribeError {
    /// The recording is damaged.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The encoder refused.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// A window could not be decoded.
    #[error(transparent)]
    Decoding(DecodingError),
    /// The encoder and the decoder are not of the same checkpoint.
    #[error(
        "the encoder's features are {encoder} wide, the decoder's {decoder}: they are not of the same checkpoint"
    )]
    Widths {
        /// Width of the encoder.
        encoder: usize,
        /// Width of the decoder.
        decoder: usize,
    },
    /// There is no spectrogram of so many bins.
    #[error(transparent)]
    Bins(#[from] UnsupportedBins),
    /// See [`Stop`].
    #[error("the transcription was stopped")]
    Stopped,
}

impl From<DecodingError> for TranscribeError {
    fn from(error: DecodingError) -> Self {
        match error {
            DecodingError::Stopped => Self::Stopped,
            error => Self::Decoding(error),
        }
    }
}

impl From<DecoderError> for TranscribeError {
    fn from(error: DecoderError) -> Self {
        Self::Decoding(error.into())
    }
}

impl From<TokenizerError> for TranscribeError {
    fn from(error: TokenizerError) -> Self {
        Self::Decoding(error.into())
    }
}

/// How to transcribe.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How windows are decoded.
    pub decoding: Options,
    /// Code of the language; that of the first window's speech unless given.
    pub language: Option<String>,
    /// Whether what was said before is the prompt of what follows.
    pub condition_on_previous: bool,
    /// Text before the first window: names, or a style.
    pub initial_prompt: Option<String>,
    /// Whether it is found out when each word was said.
    pub words: bool,
    /// Whether silence is skipped: by its energy, see the source of `silence`.
    pub skip_silence: bool,
    /// Whether a window begins where the one before ends, not where its last timestamp is. A word may
    /// then be cut in two, less likely with `skip_silence`, which ends windows in pauses.
    pub fixed_windows: bool,
    /// Windows of a recording that are transcribed at the same time if none depends on another:
    /// without `condition_on_previous` and `words`, and with `fixed_windows` or without timestamps.
    /// Each takes memory of its own.
    pub batch: usize,
}

impl Settings {
    /// Whether no window depends on another.
    fn is_orderless(&self) -> bool {
        let fixed = self.fixed_windows || !self.decoding.timestamps;
        fixed && !self.condition_on_previous && !self.words
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            decoding: Options::default(),
            language: None,
            condition_on_previous: true,
            initial_prompt: None,
            words: false,
            skip_silence: false,
            fixed_windows: false,
            batch: 8,
        }
    }
}

/// What happens while a recording is transcribed.
#[derive(Debug)]
pub enum Event<'a> {
    /// The language, and how likely it is.
    Language(&'static str, f32),
    /// A segment is done.
    Segment(&'a Segment),
    /// So many seconds of the recording are done.
    Position(f64),
}

/// A checkpoint that transcribes: any number of recordings at the same time, each on a thread of its
/// own.
///
/// All of them share a pool of threads, on which the operators run: of as many as the rayon pool has
/// that [`Transcriber::new`] is called from. Windows that wait for the encoder at the same time are one
/// call of it, and windows that are decoded at the same time share each pass over the weights.
pub struct Transcriber {
    encoder: SharedEncoder,
    decoder: SharedDecoder,
    tokenizer: Arc<Tokenizer>,
    config: GenerationConfig,
    log_mel: LogMel,
    threads: Threads,
}

impl Transcriber {
    /// With an encoder that is loaded, and the decoder and tokenizer of the same weights. Of synthetic
    /// weights the decoder is the one that goes with the encoder.
    ///
    /// # Errors
    /// All that is wrong with the weights.
    pub fn new(
        encoder: Box<dyn Encode>,
        cpu: Cpu,
        numeric: Numeric,
        weights: &Weights,
        cache: Option<&PackCache>,
    ) -> Result<Self, TranscribeError> {
        let sizes = encoder.dimensions();
        let synthetic = weights.is_synthetic().then(|| DecoderDimensions::of(&sizes, None));
        let decoder = Decoder::load(cpu, numeric, synthetic, weights, cache)?;
        let DecoderDimensions { d_model, vocabulary, .. } = decoder.dimensions();
        if d_model != sizes.d_model {
            return Err(TranscribeError::Widths { encoder: sizes.d_model, decoder: d_model });
        }
        let tokenizer = Arc::new(Tokenizer::of(weights, vocabulary)?);
        let config = GenerationConfig::of(weights)?;
        let log_mel = LogMel::new(sizes.mel_bins)?;
        let threads = Threads::new(rayon::current_num_threads());
        let encoder = SharedEncoder::new(encoder, threads.clone());
        let decoder = SharedDecoder::new(decoder, threads.clone());
        Ok(Self { encoder, decoder, tokenizer, config, log_mel, threads })
    }

    /// The encoder, which others may share.
    pub fn encoder(&self) -> &SharedEncoder {
        &self.encoder
    }

    /// The decoder, which others may share.
    pub fn decoder(&self) -> &SharedDecoder {
        &self.decoder
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether settings make sense for the checkpoint.
    ///
    /// # Errors
    /// When they do not: [`Transcriber::transcribe`] would say the same.
    pub fn check(&self, settings: &Settings) -> Result<(), TranscribeError> {
        self.task(settings).map(drop)
    }

    fn task(&self, settings: &Settings) -> Result<Task, TranscribeError> {
        let options = settings.decoding.clone();
        let decoder = self.decoder.decoder();
        let task = Task::new(decoder, &self.tokenizer, &self.config, options)?;
        if let Some(language) = &settings.language {
            task.instructions(language)?;
        }
        if settings.words {
            self.heads()?;
        }
        Ok(task)
    }

    /// The heads whose attention follows the words.
    fn heads(&self) -> Result<Vec<(usize, usize)>, DecodingError> {
        align::heads(self.config.alignment_heads.as_deref(), self.decoder.decoder())
    }

    /// Transcribes a recording, and tells what happens.
    ///
    /// # Errors
    /// When the recording is damaged, settings make no sense, something fails or it is stopped.
    pub fn transcribe(
        &self,
        samples: &mut dyn Samples,
        settings: &Settings,
        stop: &Stop,
        on: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Transcript, TranscribeError> {
        Threads::outside(|| self.transcribe_here(samples, settings, stop, on))
    }

    fn transcribe_here(
        &self,
        samples: &mut dyn Samples,
        settings: &Settings,
        stop: &Stop,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<Transcript, TranscribeError> {
        let heads = if settings.words { self.heads()? } else { Vec::new() };
        let task = Arc::new(self.task(settings)?.until(stop.clone()));
        let recording = Recording { transcriber: self, task, settings, stop, heads };
        let mut source = Source::new(samples, 2 * self.encoder.positions(), settings.skip_silence);
        let mut story = Story::begin(settings, &self.tokenizer)?;
        if settings.is_orderless() {
            orderless::transcribe(&recording, &mut source, &mut story, on)?;
        } else {
            recording.transcribe(&mut source, &mut story, on)?;
        }
        Ok(Transcript {
            task: match settings.decoding.task {
                TaskKind::Transcribe => "transcribe",
                TaskKind::Translate => "translate",
            },
            language: story.language.unwrap_or_else(|| "en".to_owned()),
            duration: source.samples() as f64 / f64::from(SAMPLE_RATE),
            segments: story.segments,
        })
    }
}
