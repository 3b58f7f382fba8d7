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
mod orderless;
mod segments;
mod silence;
mod sound;
mod source;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use crate::audio::{AudioError, HOP, LogMel, SAMPLE_RATE, UnsupportedBins, Workspace};
use crate::backend::cpu::{Cpu, Numeric, Threads};
use crate::decoder::{Decoder, DecoderError, Scratch, State};
pub use crate::decoding::Stop;
use crate::decoding::{
    self, Decoded, DecodingError, GenerationConfig, Options, SharedDecoder, Task, TaskKind, Window,
};
use crate::encoder::{Encode, EncoderError, SharedEncoder};
use crate::tokenizer::{Tokenizer, TokenizerError, strip};
use crate::transcript::{Segment, Transcript};
use crate::weights::{DecoderDimensions, PackCache, Weights};
use align::Request;
use segments::{Cut, Cuts};
pub use sound::{RawSamples, Samples};
use source::{Part, Place, Source};

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
        let mut story = Story { language: settings.language.clone(), ..Story::default() };
        if let Some(prompt) = &settings.initial_prompt {
            story.said = self.tokenizer.encode(&format!(" {}", prompt.trim()))?;
        }
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

/// A recording that is transcribed.
struct Recording<'a> {
    transcriber: &'a Transcriber,
    task: Arc<Task>,
    settings: &'a Settings,
    stop: &'a Stop,
    heads: Vec<(usize, usize)>,
}

/// What a thread needs to hear windows, one after the other.
struct Ear {
    state: State,
    scratch: Scratch,
    workspace: Workspace,
    /// The spectrogram, and then the features, which are about as large.
    values: Vec<f32>,
}

/// What was transcribed so far.
#[derive(Debug, Default)]
struct Story {
    language: Option<String>,
    /// As tokens.
    said: Vec<u32>,
    /// What is before is no prompt any more.
    prompt_from: usize,
    segments: Vec<Segment>,
    last_speech: f64,
}

impl Story {
    /// Adds what was said in a window.
    fn add(&mut self, segments: Vec<Segment>, on: &mut dyn FnMut(Event<'_>)) {
        for mut segment in segments {
            segment.id = self.segments.len();
            self.said.extend(&segment.tokens);
            on(Event::Segment(&segment));
            self.segments.push(segment);
        }
    }
}

impl Recording<'_> {
    fn ear(&self) -> Ear {
        let state = self.transcriber.decoder.state(&self.task);
        let (scratch, workspace) = (Scratch::default(), Workspace::default());
        Ear { state, scratch, workspace, values: Vec::new() }
    }

    /// From the sound of a window to its spectrogram.
    fn look(&self, sound: &[f32], ear: &mut Ear) {
        let Transcriber { log_mel, threads, .. } = self.transcriber;
        threads.run(|| log_mel.compute_into(sound, &mut ear.workspace, &mut ear.values));
    }

    /// From the spectrogram of a window to its keys and values.
    fn hear(&self, ear: &mut Ear) -> Result<(), TranscribeError> {
        let Transcriber { encoder, decoder, threads, .. } = self.transcriber;
        let Ear { state, scratch, values, .. } = ear;
        *values = encoder.encode(std::mem::take(values))?;
        Ok(threads.run(|| decoder.decoder().listen(values, state, scratch))?)
    }

    /// The language of the window that was heard, which the first one tells if nobody has.
    fn language(
        &self,
        ear: &mut Ear,
        story: &mut Story,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<String, TranscribeError> {
        if let Some(language) = &story.language {
            return Ok(language.clone());
        }
        let Transcriber { decoder, tokenizer, threads, .. } = self.transcriber;
        let Ear { state, scratch, .. } = ear;
        let special = tokenizer.special();
        let detect = || decoding::detect(decoder.decoder(), special, state, scratch);
        let likeliest = threads.run(detect)?.into_iter().next();
        let language = likeliest.map_or("en", |detected| {
            on(Event::Language(detected.code, detected.probability));
            detected.code
        });
        story.language = Some(language.to_owned());
        Ok(language.to_owned())
    }

    /// Decodes the window that was heard.
    fn decode(&self, window: Window<'_>, ear: Ear) -> Result<(Decoded, Ear), TranscribeError> {
        let Ear { state, .. } = ear;
        let (decoded, state) = self.transcriber.decoder.decode(&self.task, window, state)?;
        Ok((decoded, Ear { state, ..ear }))
    }

    /// Window by window, each of which may begin where the last one says, and remember what was said.
    fn transcribe(
        &self,
        source: &mut Source<'_>,
        story: &mut Story,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TranscribeError> {
        let mut ear = self.ear();
        loop {
            self.stop.check()?;
            match source.next()? {
                Part::End => break,
                Part::Silence => {}
                Part::Window(place, sound) => {
                    self.look(sound, &mut ear);
                    self.hear(&mut ear)?;
                    let language = self.language(&mut ear, story, on)?;
                    let previous = &story.said[story.prompt_from..];
                    let window = Window { language: &language, previous };
                    let decoded;
                    (decoded, ear) = self.decode(window, ear)?;
                    let advance = self.tell(&decoded, place, &mut ear, story, on)?;
                    source.advance(advance);
                }
            }
            on(Event::Position(source.seconds()));
        }
        self.transcriber.decoder.keep(ear.state);
        Ok(())
    }

    /// Adds what was decoded to the story, and returns how many frames further the next window begins.
    fn tell(
        &self,
        decoded: &Decoded,
        place: Place,
        ear: &mut Ear,
        story: &mut Story,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<u64, TranscribeError> {
        if self.is_left_out(decoded) {
            return Ok(place.frames as u64);
        }
        let Cuts { cuts, advance, complete, .. } = self.cut(decoded, place);
        let mut advance = u64::from(advance);
        let mut segments = self.segments(cuts, place, decoded);
        if self.settings.words {
            self.words(&mut segments, place, ear, story)?;
            let last = segments.iter().rev().find_map(|s| s.words.as_ref()?.last());
            // Without words, where the last stretch ends.
            let end = last.map(|word| word.end).or_else(|| Some(segments.last()?.end));
            if let Some(end) = end {
                story.last_speech = end;
                let frame = (end / FRAME).round() as u64;
                if !complete && frame > place.seek {
                    advance = frame - place.seek;
                }
            }
        }
        segments.retain(is_said);
        story.add(segments, on);
        if !self.settings.condition_on_previous || decoded.temperature > TOO_HOT {
            story.prompt_from = story.said.len();
        }
        Ok(advance)
    }

    fn is_left_out(&self, decoded: &Decoded) -> bool {
        self.settings.decoding.thresholds.leaves_out(&decoded.quality)
    }

    fn cut(&self, decoded: &Decoded, place: Place) -> Cuts {
        let special = self.transcriber.tokenizer.special();
        let cuts = segments::cut(&decoded.tokens, special, place.frames as u32);
        if self.settings.fixed_windows { cuts.with_rest(place.frames as u32) } else { cuts }
    }

    fn segments(&self, cuts: Vec<Cut>, place: Place, decoded: &Decoded) -> Vec<Segment> {
        let time = |frame: u32| (place.seek + u64::from(frame)) as f64 * FRAME;
        let segment = |cut: Cut| Segment {
            id: 0,
            seek: place.seek,
            start: time(cut.start),
            end: time(cut.end),
            text: self.transcriber.tokenizer.decode(&cut.tokens),
            tokens: cut.tokens,
            temperature: decoded.temperature,
            avg_logprob: decoded.quality.log_probability,
            compression_ratio: decoded.quality.compression_ratio,
            no_speech_prob: decoded.quality.no_speech,
            words: None,
        };
        cuts.into_iter().map(segment).collect()
    }

    fn words(
        &self,
        segments: &mut [Segment],
        place: Place,
        ear: &mut Ear,
        story: &Story,
    ) -> Result<(), TranscribeError> {
        let Transcriber { decoder, tokenizer, threads, .. } = self.transcriber;
        let special = tokenizer.special();
        let tokens = segments.iter().flat_map(|segment| &segment.tokens);
        let text: Vec<u32> = tokens.copied().filter(|token| *token < special.end).collect();
        if text.is_empty() {
            return Ok(());
        }
        let language = story.language.as_deref().unwrap_or("en");
        let mut instructions = self.task.instructions(language)?;
        if instructions.last() != Some(&special.no_timestamps) {
            instructions.push(special.no_timestamps);
        }
        let request = Request {
            instructions: &instructions,
            text: &text,
            end: special.end,
            heads: &self.heads,
            positions: (place.frames / 2).max(1),
        };
        let Ear { state, scratch, .. } = ear;
        let aligned = threads.run(|| align::align(decoder.decoder(), &request, state, scratch))?;
        let offset = place.seek as f64 * FRAME;
        words::add_words(segments, &aligned, tokenizer, language, offset, story.last_speech);
        Ok(())
    }
}

/// What takes no time or has no text was not said.
fn is_said(segment: &Segment) -> bool {
    segment.start < segment.end && !strip(&segment.text).is_empty()
}
