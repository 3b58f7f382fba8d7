//! `tilewright transcribe`: from sound to text.

mod inputs;
mod jobs;
mod pattern;
mod progress;
mod record;
mod stdin;

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tilewright::audio::{self, AudioReader};
use tilewright::backend::cpu::Cpu;
use tilewright::decoding::TaskKind;
use tilewright::tokenizer::language_code;
use tilewright::transcribe::{Event, Samples, Settings, Stop, Transcriber};
use tilewright::transcript::{Format, Transcript};
use tilewright::weights::Weights;

use super::decode::DecodeArgs;
use super::error::CliError;
use super::place::{PlaceArgs, Placed};
use super::status::Status;
use super::{complain, output, weights};
use inputs::{Found, Input, Shard};
use progress::Progress;
use record::Record;

/// Transcribe recordings, or translate them to English
///
/// Without --weights it runs on synthetic weights: the work and its speed are real, the text means
/// nothing.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct TranscribeArgs {
    /// Recordings (WAV, FLAC, MP3, Ogg Vorbis), folders of them, patterns like 'talks/**/*.mp3', or -
    /// for standard input: a recording, or signed 16-bit little-endian samples at 16 kHz, transcribed
    /// as they come
    #[arg(required = true)]
    audio: Vec<PathBuf>,

    /// Trained weights: a folder or file in Hugging Face's layout, or a hub id like
    /// openai/whisper-base
    #[arg(long, value_name = "DIR|FILE|ID")]
    weights: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,

    /// The language, by its code or English name [default: what the first window is in]
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    language: Option<String>,

    /// What to write: what is said, or what it means in English
    #[arg(long, value_enum, default_value_t = TaskArg::Transcribe)]
    task: TaskArg,

    /// The formats to write, between commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "txt")]
    format: Vec<FormatArg>,

    /// A folder for the transcripts, NAME.FORMAT [default: standard output]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Recordings to transcribe at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,

    /// Only one of N equal parts of the recordings, the Ith: for job arrays
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Transcribe also what has been transcribed and has not changed
    #[arg(long)]
    again: bool,

    /// Find out when each word was said
    #[arg(long, conflicts_with = "no_timestamps")]
    word_timestamps: bool,

    /// Text before the first window: names, or a style
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,

    #[command(flatten)]
    decode: DecodeArgs,
}

const EXAMPLE: &str = "\
Examples:
  tilewright transcribe talk.mp3 --weights openai/whisper-base
  tilewright transcribe talk.mp3 --weights openai/whisper-base --format srt > talk.srt
  tilewright transcribe recordings/ --weights DIR --format txt,json --out texts --jobs 2
  tilewright transcribe corpus/ --weights DIR --out texts --shard $TASK/$TASKS
  tilewright transcribe 'talks/**/*.mp3' --weights DIR --out texts
  tilewright transcribe talk.mp3 --weights DIR --vad --no-context --fixed-windows --format srt
  ffmpeg -v error -i URL -f s16le -ar 16000 -ac 1 - | tilewright transcribe - --weights DIR
  arecord -q -t raw -f S16_LE -r 16000 -c 1 | tilewright transcribe - --weights DIR   # a microphone

What comes from a microphone ends with Ctrl-C: what was heard until then is transcribed.

JSON, the fields of OpenAI's verbose_json:
  { task, language, duration, text, segments: [{ id, seek, start, end, text, tokens, temperature,
    avg_logprob, compression_ratio, no_speech_prob }], words: [{ word, start, end }] }
  words are there with --word-timestamps, if anything is said. seek is in frames of 10 ms, all other
  times in seconds.

With --no-context and --fixed-windows no window depends on another, and --batch of them are
transcribed at the same time.

With --out, what has been transcribed is skipped as long as the recording, the checkpoint and the
options that decide on the text are the same; .tilewright-done in the folder remembers. One failure
does not stop the rest: the status is 1 if anything failed.";

#[derive(Clone, Copy, ValueEnum)]
enum TaskArg {
    Transcribe,
    Translate,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    Txt,
    Srt,
    Vtt,
    Json,
    Tsv,
}

fn language(name: &str) -> Result<String, String> {
    let code = language_code(name).map(str::to_owned);
    code.ok_or_else(|| "Whisper knows no such language".to_owned())
}

impl TranscribeArgs {
    fn formats(&self) -> Vec<Format> {
        let mut formats: Vec<Format> = Vec::new();
        for format in &self.format {
            let format = match format {
                FormatArg::Txt => Format::Text,
                FormatArg::Srt => Format::Srt,
                FormatArg::Vtt => Format::Vtt,
                FormatArg::Json => Format::Json,
                FormatArg::Tsv => Format::Tsv,
            };
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        formats
    }

    fn settings(&self) -> Settings {
        let mut settings = self.decode.settings();
        settings.decoding.task = match self.task {
            TaskArg::Transcribe => TaskKind::Transcribe,
            TaskArg::Translate => TaskKind::Translate,
        };
        settings.language = self.language.clone();
        settings.initial_prompt = self.prompt.clone();
        settings.words = self.word_timestamps;
        settings
    }

    fn is_stdin(&self) -> bool {
        self.audio.iter().any(|path| path.as_os_str() == "-")
    }
}

/// Finds the recordings, transcribes them, and says which failed.
pub(crate) fn run(args: &TranscribeArgs) -> Result<Status, CliError> {
    if args.is_stdin() && args.audio.len() > 1 {
        return Err(CliError::StdinAmongOthers);
    }
    let Found { inputs, unread } = inputs::find(args)?;
    let missed = unread.len();
    for (path, source) in unread {
        complain(&CliError::Read { path, source }.to_string());
    }
    if inputs.is_empty() && missed > 0 {
        return Ok(Status::Failed);
    }
    if args.out.is_none() && inputs.len() > 1 {
        return Err(CliError::SeveralToStdout { count: inputs.len() });
    }
    if args.out.is_none() && args.formats().len() > 1 {
        return Err(CliError::FormatsToStdout);
    }
    // What is wrong with the only recording, or the folder, is said before the weights are loaded.
    let only = match &inputs[..] {
        [input] if !args.is_stdin() => Some(audio::open(&input.path)?),
        _ => None,
    };
    if let Some(out) = &args.out {
        output::folder(out)?;
    }
    let weights = Arc::new(weights(args.weights.as_deref())?);
    let work = Work::new(args, &weights, &inputs)?;
    if args.is_stdin() || inputs.len() == 1 {
        if let Some(input) = inputs.first() {
            work.one(input, only)?;
        }
        return Ok(if missed == 0 { Status::Done } else { Status::Failed });
    }
    let failed = work.all()? + missed;
    Ok(if failed == 0 { Status::Done } else { Status::Failed })
}

/// What all jobs share.
struct Work<'a> {
    args: &'a TranscribeArgs,
    weights: &'a Arc<Weights>,
    inputs: &'a [Input],
    formats: Vec<Format>,
    settings: Settings,
    /// All that a transcript depends on besides the recording.
    key: String,
    cpu: Cpu,
}

impl<'a> Work<'a> {
    fn new(
        args: &'a TranscribeArgs,
        weights: &'a Arc<Weights>,
        inputs: &'a [Input],
    ) -> Result<Self, CliError> {
        let (formats, settings, cpu) = (args.formats(), args.settings(), Cpu::new()?);
        // Which windows are transcribed at the same time changes nothing.
        let what = Settings { batch: 1, ..settings.clone() };
        let key = format!(
            "{}\n{formats:?}\n{what:?}\n{}\n{}\n{}\n{:?}",
            env!("CARGO_PKG_VERSION"),
            args.place.precision_name(),
            weights.content_hash()?,
            hash_of_texts(weights)?,
            args.place.audio_ctx,
        );
        Ok(Self { args, weights, inputs, formats, settings, key, cpu })
    }

    fn transcriber(&self) -> Result<Transcriber, CliError> {
        if let Some(out) = &self.args.out {
            output::check_folder(out)?;
        }
        let placed = Placed::new(&self.args.place, self.cpu, self.weights)?;
        let encoder = placed.or_else_on_cpu(&self.args.place, self.cpu, self.weights);
        let cache = self.weights.pack_cache()?;
        let numeric = self.args.place.numeric();
        let transcriber = Transcriber::new(encoder, self.cpu, numeric, self.weights, Some(&cache))?;
        // Once, not for each recording.
        transcriber.check(&self.settings)?;
        Ok(transcriber)
    }

    fn record(&self, input: &Input) -> Option<Record> {
        let out = self.args.out.as_deref().filter(|_| !self.args.is_stdin())?;
        Record::of(out, input, &self.formats, &self.key)
    }

    fn is_done(&self, input: &Input) -> bool {
        !self.args.again && self.record(input).is_some_and(|record| record.is_done())
    }

    /// The only recording.
    fn one(&self, input: &Input, reader: Option<AudioReader>) -> Result<(), CliError> {
        if self.is_done(input) {
            complain(&format!("{}: done before", input.path.display()));
            return Ok(());
        }
        let transcriber = self.transcriber()?;
        match reader {
            Some(mut reader) => {
                let seconds = reader.announced_seconds();
                self.transcribe(&transcriber, input, &mut reader, seconds, true)
            }
            None => {
                let mut samples = stdin::open()?;
                self.transcribe(&transcriber, input, samples.as_mut(), None, true)
            }
        }
    }

    /// All recordings, some at the same time; returns how many failed.
    fn all(&self) -> Result<usize, CliError> {
        let left: Vec<&Input> = self.inputs.iter().filter(|input| !self.is_done(input)).collect();
        let (all, skipped) = (self.inputs.len(), self.inputs.len() - left.len());
        if skipped > 0 {
            complain(&format!("{skipped} of {all} were done before"));
        }
        if left.is_empty() {
            return Ok(0);
        }
        let jobs = usize::from(self.args.jobs).min(left.len());
        let transcriber = self.transcriber()?;
        let failed = |input: &Input, why: &dyn Display| {
            complain(&format!("{}: {why}", input.path.display()));
        };
        let work = |input: &&Input| {
            let done = self.file(&transcriber, input, jobs == 1);
            done.map_err(|error| failed(input, &error)).is_ok()
        };
        let panicked = |input: &&Input| failed(input, &"error: this program failed on it");
        let done = jobs::run(&left, jobs, work, panicked);
        Ok(left.len() - done)
    }

    fn file(&self, transcriber: &Transcriber, input: &Input, alone: bool) -> Result<(), CliError> {
        let mut reader = audio::open(&input.path)?;
        let seconds = reader.announced_seconds();
        self.transcribe(transcriber, input, &mut reader, seconds, alone)
    }

    fn transcribe(
        &self,
        transcriber: &Transcriber,
        input: &Input,
        samples: &mut dyn Samples,
        seconds: Option<f64>,
        alone: bool,
    ) -> Result<(), CliError> {
        // Taken before: a recording that changes meanwhile is transcribed again.
        let record = self.record(input);
        let progress = Progress::new(seconds, !alone || !std::io::stderr().is_terminal());
        // Lines go out as they come; other formats are of the whole.
        let live = self.args.out.is_none() && self.formats == [Format::Text];
        // What cannot be printed any more need not be heard, which may be without an end.
        let (mut printed, stop) = (Ok(true), Stop::default());
        let transcript =
            transcriber.transcribe(samples, &self.settings, &stop, &mut |event| match event {
                Event::Language(code, probability) => {
                    tracing::debug!(
                        "the language is {code}, with a probability of {probability:.2}"
                    );
                }
                Event::Position(seconds) => progress.position(seconds),
                Event::Segment(segment) => {
                    let line = segment.line();
                    progress.text(&line);
                    if live && matches!(printed, Ok(true)) {
                        printed = progress.suspend(|| output::print_on(&(line + "\n")));
                        if !matches!(printed, Ok(true)) {
                            stop.stop();
                        }
                    }
                }
            });
        if !printed? {
            return Ok(());
        }
        let transcript = transcript?;
        let took = progress.finish();
        if let Some(record) = &record {
            record.forget();
        }
        self.write(input, &transcript, live)?;
        if let Some(record) = &record {
            record.done();
        }
        if self.args.out.is_some() {
            let (seconds, took) = (transcript.duration, took.as_secs_f64());
            let speed = seconds / took.max(1e-9);
            let path = input.path.display();
            complain(&format!("{path}: {seconds:.1} s in {took:.1} s, {speed:.1} × real time"));
        }
        Ok(())
    }

    fn write(&self, input: &Input, transcript: &Transcript, live: bool) -> Result<(), CliError> {
        let Some(out) = &self.args.out else {
            let format = self.formats.first().copied().unwrap_or(Format::Text);
            return if live { Ok(()) } else { output::print(&transcript.render(format)) };
        };
        for format in &self.formats {
            let path = record::output(out, input, *format);
            if let Some(folder) = path.parent() {
                let failed = |source| CliError::Write { path: folder.to_owned(), source };
                std::fs::create_dir_all(folder).map_err(failed)?;
            }
            output::write(&path, &transcript.render(*format))?;
        }
        Ok(())
    }
}

/// Identifies what a checkpoint says besides its weights, of which some decides on the text.
fn hash_of_texts(weights: &Weights) -> Result<blake3::Hash, CliError> {
    /// More than any of them has.
    const LIMIT: u64 = 64 << 20;
    let mut hasher = blake3::Hasher::new();
    for name in ["config.json", "generation_config.json", "tokenizer.json"] {
        let text = weights.neighbour(name, LIMIT)?;
        let hash = blake3::hash(text.as_ref().map_or(&[], |(_, text)| text));
        hasher.update(hash.as_bytes());
    }
    Ok(hasher.finalize())
}
