//! From sound to text: windows, one behind the other, each beginning where the last one's speech ends.
//!
//! As OpenAI's `transcribe`: a window of 30 seconds is encoded and decoded, its tokens are cut into
//! segments at their timestamps, and the next window begins at the last of these. What was said
//! before is the prompt of what follows, unless it came at a high temperature.
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
mod segments;
mod silence;
mod sound;
mod threads;
mod words;

use crate::audio::{AudioError, HOP, LogMel, SAMPLE_RATE, UnsupportedBins, Workspace};
use crate::backend::cpu::{Cpu, Numeric};
use crate::decoder::{Decoder, DecoderError, State};
pub use crate::decoding::Stop;
use crate::decoding::{Decoded, DecodingError, GenerationConfig, Options, Task, TaskKind, Window};
use crate::encoder::{EncoderError, SharedEncoder};
use crate::tokenizer::{Tokenizer, TokenizerError, strip};
use crate::transcript::{Segment, Transcript};
use crate::weights::{DecoderDimensions, PackCache, Weights};
use align::Request;
use segments::Cuts;
use sound::Sound;
pub use sound::{RawSamples, Samples};
use threads::Pools;

/// Seconds of a frame of the spectrogram.
const FRAME: f64 = HOP as f64 / SAMPLE_RATE as f64;
/// Above this temperature text is no prompt of what follows.
const TOO_HOT: f32 = 0.5;

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
/// Its operators run on the rayon pool that it is called from. Called from a thread of none, it has
/// pools of its own, of as many threads as the global one.
pub struct Transcriber {
    encoder: SharedEncoder,
    decoder: Decoder,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    log_mel: LogMel,
    pools: Pools,
}

impl Transcriber {
    /// With an encoder that is loaded, and the decoder and tokenizer of the same weights. Of synthetic
    /// weights the decoder is the one that goes with the encoder.
    ///
    /// # Errors
    /// All that is wrong with the weights.
    pub fn new(
        encoder: impl Into<SharedEncoder>,
        cpu: Cpu,
        numeric: Numeric,
        weights: &Weights,
        cache: Option<&PackCache>,
    ) -> Result<Self, TranscribeError> {
        let encoder = encoder.into();
        let sizes = encoder.dimensions();
        let synthetic = weights.is_synthetic().then(|| DecoderDimensions::of(&sizes, None));
        let decoder = Decoder::load(cpu, numeric, synthetic, weights, cache)?;
        let DecoderDimensions { d_model, vocabulary, .. } = decoder.dimensions();
        if d_model != sizes.d_model {
            return Err(TranscribeError::Widths { encoder: sizes.d_model, decoder: d_model });
        }
        let tokenizer = Tokenizer::of(weights, vocabulary)?;
        let config = GenerationConfig::of(weights)?;
        let log_mel = LogMel::new(sizes.mel_bins)?;
        let pools = Pools::new(rayon::current_num_threads());
        Ok(Self { encoder, decoder, tokenizer, config, log_mel, pools })
    }

    /// With so many threads for each recording, where it has pools of its own.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { pools: Pools::new(threads), ..self }
    }

    /// The encoder, which others may share.
    pub fn encoder(&self) -> &SharedEncoder {
        &self.encoder
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The sizes of the decoder.
    pub fn decoder(&self) -> DecoderDimensions {
        self.decoder.dimensions()
    }

    /// Whether settings make sense for the checkpoint.
    ///
    /// # Errors
    /// When they do not: [`Transcriber::transcribe`] would say the same.
    pub fn check(&self, settings: &Settings) -> Result<(), TranscribeError> {
        self.task(settings).map(drop)
    }

    fn task(&self, settings: &Settings) -> Result<Task<'_>, TranscribeError> {
        let options = settings.decoding.clone();
        let task = Task::new(&self.decoder, &self.tokenizer, &self.config, options)?;
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
        align::heads(self.config.alignment_heads.as_deref(), &self.decoder)
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
        self.pools.run(|| self.transcribe_here(samples, settings, stop, on))
    }

    fn transcribe_here(
        &self,
        samples: &mut dyn Samples,
        settings: &Settings,
        stop: &Stop,
        on: &mut (dyn FnMut(Event<'_>) + Send),
    ) -> Result<Transcript, TranscribeError> {
        let Self { encoder, decoder, tokenizer, log_mel, .. } = self;
        let task = self.task(settings)?.until(stop.clone());
        let mut said = Said::default();
        if let Some(prompt) = &settings.initial_prompt {
            said.tokens = tokenizer.encode(&format!(" {}", prompt.trim()))?;
        }
        let heads = if settings.words { self.heads()? } else { Vec::new() };
        let mut run = Run {
            state: task.state(),
            task,
            decoder,
            tokenizer,
            settings,
            heads,
            language: settings.language.clone(),
            said,
            segments: Vec::new(),
            last_speech: 0.0,
        };
        let mut sound = Sound::new(samples);
        let window = 2 * encoder.positions();
        let (mut seek, mut background) = (0u64, None);
        let (mut workspace, mut mel) = (Workspace::default(), Vec::new());
        loop {
            stop.check()?;
            let mut samples = sound.at(seek * HOP as u64, window * HOP)?;
            // Less than a frame is no sound.
            if samples.len() < HOP {
                break;
            }
            if settings.skip_silence {
                let speech = silence::first_speech(samples, &mut background);
                let silent = speech.as_ref().map_or(samples.len(), |speech| speech.start);
                if silent >= HOP {
                    seek += silent.div_ceil(HOP) as u64;
                    on(Event::Position(seek as f64 * FRAME));
                    continue;
                }
                samples = &samples[..speech.map_or(0, |speech| speech.end)];
            }
            let frames = (samples.len() / HOP).clamp(1, window);
            log_mel.compute_into(&samples[..frames * HOP], &mut workspace, &mut mel);
            let features = encoder.encode(std::mem::take(&mut mel))?;
            decoder.listen(&features, &mut run.state)?;
            // Features are about as large: the memory is used again.
            mel = features;
            seek += run.window(seek, frames, on)?.clamp(1, frames as u64);
            on(Event::Position(seek as f64 * FRAME));
        }
        Ok(Transcript {
            task: match settings.decoding.task {
                TaskKind::Transcribe => "transcribe",
                TaskKind::Translate => "translate",
            },
            language: run.language.unwrap_or_else(|| "en".to_owned()),
            duration: sound.length() as f64 / f64::from(SAMPLE_RATE),
            segments: run.segments,
        })
    }
}

/// What was said so far, as tokens.
#[derive(Debug, Default)]
struct Said {
    tokens: Vec<u32>,
    /// What is before is no prompt any more.
    from: usize,
}

/// A recording on its way.
struct Run<'a> {
    task: Task<'a>,
    decoder: &'a Decoder,
    tokenizer: &'a Tokenizer,
    settings: &'a Settings,
    heads: Vec<(usize, usize)>,
    state: State,
    language: Option<String>,
    said: Said,
    segments: Vec<Segment>,
    last_speech: f64,
}

impl Run<'_> {
    /// Decodes the window that the state has, of so many frames, and returns how many frames further
    /// the next one begins.
    fn window(
        &mut self,
        seek: u64,
        frames: usize,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<u64, TranscribeError> {
        let language = self.language(on)?;
        let previous = &self.said.tokens[self.said.from..];
        let window = Window { language: &language, previous };
        let decoded = self.task.decode(window, &mut self.state)?;
        if self.settings.decoding.thresholds.leaves_out(&decoded.quality) {
            return Ok(frames as u64);
        }
        let special = self.tokenizer.special();
        let Cuts { cuts, advance, complete } =
            segments::cut(&decoded.tokens, special, frames as u32);
        let mut advance = u64::from(advance);
        let mut segments: Vec<Segment> =
            cuts.into_iter().map(|cut| self.segment(cut, seek, &decoded)).collect();
        if self.settings.words {
            self.words(&mut segments, &language, seek, (frames / 2).max(1))?;
            let last = segments.iter().rev().find_map(|s| s.words.as_ref()?.last());
            // Without words, where the last stretch ends.
            let end = last.map(|word| word.end).or_else(|| Some(segments.last()?.end));
            if let Some(end) = end {
                self.last_speech = end;
                let frame = (end / FRAME).round() as u64;
                if !complete && frame > seek {
                    advance = frame - seek;
                }
            }
        }
        // What takes no time or has no text was not said.
        segments.retain(|segment| segment.start < segment.end && !strip(&segment.text).is_empty());
        for mut segment in segments {
            segment.id = self.segments.len();
            self.said.tokens.extend(&segment.tokens);
            on(Event::Segment(&segment));
            self.segments.push(segment);
        }
        if !self.settings.condition_on_previous || decoded.temperature > TOO_HOT {
            self.said.from = self.said.tokens.len();
        }
        Ok(advance)
    }

    /// The language, which the first window tells if nobody has.
    fn language(&mut self, on: &mut dyn FnMut(Event<'_>)) -> Result<String, TranscribeError> {
        if let Some(language) = &self.language {
            return Ok(language.clone());
        }
        let likeliest = self.task.detect(&mut self.state)?.into_iter().next();
        let language = likeliest.map_or("en", |detected| {
            on(Event::Language(detected.code, detected.probability));
            detected.code
        });
        self.language = Some(language.to_owned());
        Ok(language.to_owned())
    }

    fn segment(&self, cut: segments::Cut, seek: u64, decoded: &Decoded) -> Segment {
        let time = |frame: u32| (seek + u64::from(frame)) as f64 * FRAME;
        Segment {
            id: 0,
            seek,
            start: time(cut.start),
            end: time(cut.end),
            text: self.tokenizer.decode(&cut.tokens),
            tokens: cut.tokens,
            temperature: decoded.temperature,
            avg_logprob: decoded.quality.log_probability,
            compression_ratio: decoded.quality.compression_ratio,
            no_speech_prob: decoded.quality.no_speech,
            words: None,
        }
    }

    fn words(
        &mut self,
        segments: &mut [Segment],
        language: &str,
        seek: u64,
        positions: usize,
    ) -> Result<(), TranscribeError> {
        let special = self.tokenizer.special();
        let tokens = segments.iter().flat_map(|segment| &segment.tokens);
        let text: Vec<u32> = tokens.copied().filter(|token| *token < special.end).collect();
        if text.is_empty() {
            return Ok(());
        }
        let mut instructions = self.task.instructions(language)?;
        if instructions.last() != Some(&special.no_timestamps) {
            instructions.push(special.no_timestamps);
        }
        let request = Request {
            instructions: &instructions,
            text: &text,
            end: special.end,
            heads: &self.heads,
            positions,
        };
        let aligned = align::align(self.decoder, &request, &mut self.state)?;
        let offset = seek as f64 * FRAME;
        words::add_words(segments, &aligned, self.tokenizer, language, offset, self.last_speech);
        Ok(())
    }
}
