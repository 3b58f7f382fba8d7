//! Why a command could not do what it was asked to.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tilewright::backend::array::ArrayError;
use tilewright::backend::npu::NpuError;
use tilewright::backend::sim::SimError;
use tilewright::encoder::EncoderError;
use tilewright_codegen::problem::{Problem, Problems};
use tilewright_sim::engine::RunError;
use tilewright_sim::functions::LibraryError;
use tilewright_sim::text::DesignError;

use super::status::Status;

/// An error as the user reads it: what is wrong, where, and what would work.
///
/// Mistakes in a model file come with their line and column and print as they are; everything else
/// begins with `error:` and ends with a remedy.
pub(crate) enum CliError {
    /// Reading, planning or rendering failed.
    Codegen(tilewright_codegen::Error),
    /// `--target` names none of the file's targets.
    UnknownTarget { name: String, known: Vec<String> },
    /// `--svg` draws one array, and several are selected.
    SeveralTargets { names: Vec<String> },
    /// `--svg` draws one array, and the models of one target have different ones.
    SeveralTiles { names: Vec<String> },
    /// An output file could not be written.
    Write { path: PathBuf, source: io::Error },
    /// Standard output could not be written.
    Stdout(io::Error),
    /// The sound file cannot be used.
    Audio(tilewright::audio::AudioError),
    /// The weights cannot be used.
    Weights(tilewright::weights::WeightsError),
    /// The encoder could not be loaded or run.
    Encoder(EncoderError),
    /// An instruction set was asked for that is not there.
    Cpu(tilewright::backend::cpu::CpuError),
    /// There is no spectrogram of so many bins.
    Bins(tilewright::audio::UnsupportedBins),
    /// The reference of `--compare` cannot be used.
    Reference { file: String, reason: String },
    /// The table has no target of this precision.
    NoTarget { precision: &'static str },
    /// The table has no target of this name and precision.
    NoSuchTarget { name: String, precision: &'static str, known: Vec<String> },
    /// `--target` without an array.
    TargetOfNoArray,
    /// f32 on an array.
    NoF32,
    /// The table has no target or op of this name.
    NotCompiled { what: &'static str, name: String, known: Vec<String> },
    /// A file could not be read.
    Read { path: PathBuf, source: io::Error },
    /// A design cannot be simulated.
    Design(DesignError),
    /// A design did not run to its end.
    Run(RunError),
    /// Core functions could not be compiled or opened.
    Library(LibraryError),
    /// The core kernel beside a design could not be compiled.
    Kernel(String, String),
    /// A file does not hold what a host buffer does.
    Contents { file: String, reason: String },
    /// A design has several runtime sequences, or none, and none is named.
    WhichSequence { known: Vec<String> },
    /// A design has no such runtime sequence.
    NoSequence { name: String, known: Vec<String> },
    /// An argument of a runtime sequence is no buffer of known size.
    NoBuffer { sequence: String, argument: usize },
    /// The number of a host buffer that is not there.
    BufferNumber { number: usize, buffers: usize },
    /// A target could not be simulated.
    Sim(SimError),
    /// The NPU cannot be used.
    Npu(NpuError),
    /// A recording could not be transcribed.
    Transcribe(tilewright::transcribe::TranscribeError),
    /// Standard input could not be read.
    Stdin(io::Error),
    /// There is nothing to transcribe in the places that are named.
    NoRecordings { places: Vec<PathBuf> },
    /// A pattern that is none.
    Pattern { pattern: String, reason: &'static str },
    /// A pattern that matches nothing.
    NoMatch { pattern: String },
    /// Several recordings, and no folder for their transcripts.
    SeveralToStdout { count: usize },
    /// Several formats, and no folder for them.
    FormatsToStdout,
    /// Two recordings whose transcripts would be the same file.
    SameOutput { first: PathBuf, second: PathBuf },
    /// Standard input beside other recordings.
    StdinAmongOthers,
    /// The token is empty, or no text.
    #[cfg(feature = "server")]
    EmptyToken { from: String },
    /// Nobody can be listened to.
    #[cfg(feature = "server")]
    Listen { address: std::net::SocketAddr, source: io::Error },
    /// No design could be planned, so there is nothing to write.
    NoDesign,
}

/// Conversions for `?`.
macro_rules! from {
    ($($variant:ident($error:ty),)*) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::$variant(error.into())
            }
        })*
    };
}

from! {
    Codegen(tilewright_codegen::Error),
    Codegen(tilewright_codegen::problem::Problems),
    Codegen(tilewright_codegen::render::RenderError),
    Audio(tilewright::audio::AudioError),
    Weights(tilewright::weights::WeightsError),
    Encoder(EncoderError),
    Cpu(tilewright::backend::cpu::CpuError),
    Bins(tilewright::audio::UnsupportedBins),
    Sim(SimError),
    Design(DesignError),
    Library(LibraryError),
    Npu(NpuError),
    Transcribe(tilewright::transcribe::TranscribeError),
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Text(error) => Self::Design(error),
            other => Self::Run(other),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Codegen(error @ tilewright_codegen::Error::Model(_)) = self {
            return write!(f, "{error}");
        }
        if let Self::Design(error) = self {
            return write!(f, "{}", at_its_line(error));
        }
        write!(f, "error: ")?;
        match self {
            Self::Codegen(error) => write!(f, "{error}")?,
            Self::UnknownTarget { name, .. } => {
                write!(f, "the model file has no target `{}`", name.escape_debug())?;
            }
            Self::SeveralTargets { names } => {
                write!(f, "--svg draws the array of one target, {} are selected", names.len())?;
            }
            Self::SeveralTiles { names } => {
                write!(f, "--svg draws one array, {} differ in their tile", names.join(" and "))?;
            }
            Self::Write { path, source } => write!(f, "cannot write {}: {source}", path.display())?,
            Self::Stdout(source) => write!(f, "cannot write to standard output: {source}")?,
            Self::Audio(error) => write!(f, "{error}")?,
            Self::Weights(error) => write!(f, "{error}")?,
            Self::Encoder(error) => write!(f, "{error}")?,
            Self::Cpu(error) => write!(f, "{error}")?,
            Self::Bins(error) => write!(f, "{error}")?,
            Self::Reference { file, reason } => {
                write!(f, "cannot compare with {file}: {reason}")?;
            }
            Self::NoTarget { precision } => {
                write!(f, "no target of precision {precision} is compiled in")?;
            }
            Self::NoSuchTarget { name, precision, .. } => {
                let name = name.escape_debug();
                write!(f, "no target `{name}` of precision {precision} is compiled in")?;
            }
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display())?,
            Self::Design(error) => write!(f, "{error}")?,
            Self::Run(error) => write!(f, "{error}")?,
            Self::Library(error) => write!(f, "{error}")?,
            Self::Kernel(file, reason) => write!(f, "{file}: {reason}")?,
            Self::Contents { file, reason } => write!(f, "{file}: {reason}")?,
            Self::WhichSequence { known } if known.is_empty() => {
                write!(f, "the design has no runtime sequence")?;
            }
            Self::WhichSequence { known } => {
                write!(f, "the design has {} runtime sequences", known.len())?;
            }
            Self::NoSequence { name, .. } => {
                write!(f, "the design has no runtime sequence `{}`", name.escape_debug())?;
            }
            Self::NoBuffer { sequence, argument } => {
                write!(
                    f,
                    "argument {argument} of sequence `{sequence}` is no buffer of known size"
                )?;
            }
            Self::BufferNumber { number, buffers } => {
                write!(
                    f,
                    "there is no host buffer {number}: the sequences have {buffers} buffers"
                )?;
            }
            Self::NotCompiled { what, name, .. } => {
                write!(f, "no {what} `{}` is compiled in", name.escape_debug())?;
            }
            Self::TargetOfNoArray => {
                write!(f, "--target names the array to simulate, and none is simulated")?;
            }
            Self::NoF32 => write!(f, "no NPU multiplies in f32")?,
            Self::Sim(error) => write!(f, "{error}")?,
            Self::Npu(error) => write!(f, "{error}")?,
            Self::Transcribe(error) => write!(f, "{error}")?,
            Self::Stdin(source) => write!(f, "cannot read standard input: {source}")?,
            Self::NoRecordings { places } => {
                let places: Vec<_> =
                    places.iter().map(|place| place.display().to_string()).collect();
                write!(f, "there are no recordings in {}", places.join(", "))?;
            }
            Self::Pattern { pattern, reason } => {
                write!(f, "`{}` is no pattern: {reason}", pattern.escape_debug())?;
            }
            Self::NoMatch { pattern } => {
                write!(f, "no file matches `{}`", pattern.escape_debug())?;
            }
            Self::SeveralToStdout { count } => {
                write!(f, "{count} recordings cannot all go to standard output")?;
            }
            Self::FormatsToStdout => write!(f, "several formats cannot go to standard output")?,
            Self::SameOutput { first, second } => {
                let (first, second) = (first.display(), second.display());
                write!(f, "the transcripts of {first} and {second} would be the same files")?;
            }
            Self::StdinAmongOthers => {
                write!(f, "standard input, `-`, is transcribed by itself or not at all")?;
            }
            #[cfg(feature = "server")]
            Self::EmptyToken { from } => write!(f, "there is no token in {from}")?,
            #[cfg(feature = "server")]
            Self::Listen { address, source } => write!(f, "cannot listen at {address}: {source}")?,
            Self::NoDesign => write!(f, "no target has a design, nothing was written")?,
        }
        self.help().map_or(Ok(()), |help| write!(f, "\n  = help: {help}"))
    }
}

impl CliError {
    /// What the command ends with.
    pub(crate) fn status(&self) -> Status {
        let simulated = match self {
            Self::Sim(error) => Some(error),
            Self::Encoder(EncoderError::Array(ArrayError::Device(error))) => error.downcast_ref(),
            _ => None,
        };
        let hangs = simulated.is_some_and(SimError::is_hang)
            || matches!(self, Self::Run(RunError::Hang(_)));
        if hangs { Status::Hang } else { Status::Failed }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Codegen(tilewright_codegen::Error::File { action, source, .. }) => {
                let reads = action.starts_with("read");
                let help = if reads { reading_help } else { writing_help };
                Some(help(source.kind()).to_owned())
            }
            Self::Npu(error) => error.help().map(str::to_owned),
            Self::Encoder(EncoderError::Array(ArrayError::Device(error))) => {
                error.downcast_ref().and_then(NpuError::help).map(str::to_owned)
            }
            Self::Codegen(_)
            | Self::Stdout(_)
            | Self::Audio(_)
            | Self::Weights(_)
            | Self::Encoder(_)
            | Self::Cpu(_)
            | Self::Bins(_)
            | Self::Sim(_)
            | Self::Design(_)
            | Self::Run(_)
            | Self::Library(_)
            | Self::Kernel(..)
            | Self::Contents { .. }
            | Self::NoBuffer { .. }
            | Self::Transcribe(_)
            | Self::Stdin(_)
            | Self::StdinAmongOthers
            | Self::Reference { .. } => None,
            Self::NoRecordings { .. } => Some(
                "in folders, files that end with .wav, .flac, .mp3, .ogg or .oga are looked for"
                    .to_owned(),
            ),
            Self::Pattern { .. } | Self::NoMatch { .. } => Some(
                "* stands for a part of a name, ? for a character, [ab] for one of some, **/ for any \
                 folders"
                    .to_owned(),
            ),
            Self::SeveralToStdout { .. } | Self::FormatsToStdout => {
                Some("name a folder for the files: --out DIR".to_owned())
            }
            Self::SameOutput { first, second } => Some(match first.parent() == second.parent() {
                true => "transcribe each kind into a folder of its own, with patterns like \
                         'talks/**/*.wav'"
                    .to_owned(),
                false => {
                    "transcribe them one by one, or name the folder that both are in".to_owned()
                }
            }),
            Self::Read { .. } => Some("name a file that you may read".to_owned()),
            Self::WhichSequence { known } | Self::NoSequence { known, .. } => {
                let names = known.join(", --sequence ");
                (!known.is_empty()).then(|| format!("choose: --sequence {names}"))
            }
            Self::BufferNumber { .. } => {
                Some("buffers are numbered from 0, those of the first sequence first".to_owned())
            }
            Self::NoSuchTarget { known, .. } => {
                Some(format!("the compiled targets are {}", known.join(", ")))
            }
            Self::NotCompiled { what, known, .. } => {
                Some(format!("the compiled {what}s are {}", known.join(", ")))
            }
            Self::TargetOfNoArray => Some("add --backend sim or --backend npu".to_owned()),
            Self::NoF32 => Some("--precision i8 or bf16, or --backend cpu".to_owned()),
            Self::NoTarget { .. } => {
                Some("add a [[target]] of it to model.toml and build again".to_owned())
            }
            Self::UnknownTarget { known, .. } => {
                Some(format!("its targets are {}", known.join(", ")))
            }
            Self::SeveralTargets { names } => {
                Some(format!("choose one: --target {}", names.join(", --target ")))
            }
            Self::SeveralTiles { .. } => {
                Some("keep one of them in the file, or give the target a fixed tile".to_owned())
            }
            #[cfg(feature = "server")]
            Self::EmptyToken { .. } => Some("put a line of text there".to_owned()),
            #[cfg(feature = "server")]
            Self::Listen { .. } => {
                Some("choose another with --host IP and --port N; 0 takes any port".to_owned())
            }
            Self::Write { source, .. } => Some(writing_help(source.kind()).to_owned()),
            Self::NoDesign => Some("give the target a fixed tile".to_owned()),
        }
    }
}

/// A mistake in a design as those in a model file are shown, with the line and a mark under it.
fn at_its_line(error: &DesignError) -> String {
    let span = error.span();
    let problem = Problem {
        message: error.message().to_owned(),
        span: (span.start as usize, (span.end - span.start) as usize).into(),
        label: "here".to_owned(),
        help: error.help().to_owned(),
    };
    let text = Problems::new(error.text().name(), error.text().text(), vec![problem]);
    let text = text.to_string();
    let text = text.strip_suffix(" = help: ").unwrap_or(&text);
    format!("error: {}", text.trim_end())
}

fn reading_help(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => {
            "name a model file with --model FILE or TILEWRIGHT_MODEL; models/ in Tilewright's \
             repository has one for every Whisper size"
        }
        io::ErrorKind::IsADirectory => "name the model file in it",
        io::ErrorKind::InvalidData => "a model file is UTF-8 text",
        _ => "name a model file that you may read",
    }
}

fn writing_help(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "create its folder first",
        io::ErrorKind::IsADirectory => "name a file, not a folder",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a folder is needed: choose another place"
        }
        _ => "choose a place that you may write to",
    }
}
