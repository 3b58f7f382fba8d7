//! `tilewright encode`: from a sound file to Whisper's encoder output.

mod compare;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tilewright::audio::{self, AudioReader, HOP, LogMel, SAMPLE_RATE, Window, Workspace};
use tilewright::backend::array::{Array, Spent};
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::backend::sim::Sim;
use tilewright::encoder::{self, Encode, Matmuls, Nobody, Observer, Profile};
use tilewright::features::{FeatureWriter, Format};
use tilewright::kernels::TABLE;
use tilewright::weights::Weights;
use tilewright_kernel::{Precision, TargetInfo};

use super::error::CliError;
use super::{complain, output};
use compare::Comparison;
use report::{Report, Shape};

/// Encode a sound file: write the features that Whisper's decoder works on
///
/// Without --weights it runs on synthetic weights: the work and its speed are real, the features
/// mean nothing.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct EncodeArgs {
    /// The sound file: WAV, FLAC, MP3 or Ogg Vorbis, any sample rate
    audio: PathBuf,

    /// Trained weights: a folder or file in Hugging Face's layout, or a hub id like
    /// openai/whisper-base
    #[arg(long, value_name = "DIR|FILE|ID")]
    weights: Option<String>,

    /// How to multiply [default: i8, or the precision of --target]
    #[arg(long, value_enum)]
    precision: Option<PrecisionArg>,

    /// What activations share a scale in i8; per-tensor is for comparison, as it loses accuracy
    #[arg(long, value_enum, default_value_t = ScalingArg::PerRow)]
    scales: ScalingArg,

    /// What to run on; auto takes the best that there is. sim runs the matmuls on a simulated NPU,
    /// all else on the CPU; it needs a C++ compiler
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    backend: BackendArg,

    /// The compiled target whose array is simulated, like npu2-i8 [default: the first of the
    /// precision]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// A shorter compiled context, in positions of 20 ms; windows are as long as it
    #[arg(long, value_name = "N")]
    audio_ctx: Option<usize>,

    /// Where to write the features [default: NAME.features.FORMAT in the current folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The format to write
    #[arg(long, value_enum, default_value_t = FormatArg::Safetensors)]
    format: FormatArg,

    /// Compare with a reference, layer by layer where it has hidden values
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,

    /// Print the time of each operator
    #[arg(long)]
    profile: bool,

    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,

    /// Encode each window so often and report the median time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
}

const EXAMPLE: &str = "\
Examples:
  tilewright encode samples/speech.wav
  tilewright encode talk.mp3 --weights openai/whisper-base --out talk.safetensors
  tilewright encode samples/speech.wav --precision f32 --profile
  tilewright encode samples/speech.wav --backend sim --target npu2-i8 --profile

JSON:
  { audio, audio_seconds, windows, model, weights, backend, isa, precision, positions,
    shapes: [{ op, m, k, n, calls }], load_ms, mel_ms, encoder_ms, real_time_factor,
    peak_memory_bytes, checksum, out, tensor: [windows, positions, width],
    array: { target, simulated, runs, array_us, packing_us, unpacking_us },
    profile: [{ operator, calls, ms, share, array: { … } }],
    comparison: [{ what, cosine, mean_abs, max_abs, relative }] }
  array is null on the CPU. array_us is the time of all runs on the array, predicted if simulated,
  without the floor of a call; ms and encoder_ms then hold the time of the simulation itself.
  mel_ms and encoder_ms are totals over all windows. real_time_factor is the length of all windows
  over the time to encode them, spectrogram included. peak_memory_bytes is null where the system
  does not tell; profile and comparison are null unless asked for. checksum is the BLAKE3 of the
  features as little-endian f32.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PrecisionArg {
    I8,
    Bf16,
    F32,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScalingArg {
    PerRow,
    PerTensor,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackendArg {
    Auto,
    Cpu,
    Sim,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Safetensors,
    Npy,
}

impl EncodeArgs {
    fn scaling(&self) -> Scaling {
        match self.scales {
            ScalingArg::PerRow => Scaling::PerRow,
            ScalingArg::PerTensor => Scaling::PerTensor,
        }
    }

    /// What was asked for, or what the named target has.
    fn precision(&self) -> PrecisionArg {
        let named = self.target.as_deref().unwrap_or_default();
        let of_target = if named.ends_with("bf16") { PrecisionArg::Bf16 } else { PrecisionArg::I8 };
        self.precision.unwrap_or(of_target)
    }

    fn numeric(&self) -> Numeric {
        match self.precision() {
            PrecisionArg::I8 => Numeric::I8 { activations: self.scaling() },
            PrecisionArg::Bf16 => Numeric::Bf16,
            PrecisionArg::F32 => Numeric::F32,
        }
    }

    fn precision_name(&self) -> &'static str {
        match (self.precision(), self.scales) {
            (PrecisionArg::F32, _) => "f32",
            (PrecisionArg::Bf16, _) => "bf16",
            (PrecisionArg::I8, ScalingArg::PerRow) => "i8",
            (PrecisionArg::I8, ScalingArg::PerTensor) => "i8 per tensor",
        }
    }

    fn format(&self) -> Format {
        match self.format {
            FormatArg::Safetensors => Format::Safetensors,
            FormatArg::Npy => Format::Npy,
        }
    }

    /// Where the features go.
    fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let name = self.audio.file_stem().unwrap_or("audio".as_ref()).to_string_lossy();
            PathBuf::from(format!("{name}.features.{}", self.format().extension()))
        })
    }

    /// Whether progress is worth showing: a person looks on, and results go elsewhere.
    fn shows_progress(&self) -> bool {
        !self.json
    }
}

/// Loads, encodes, writes, reports.
pub(crate) fn run(args: &EncodeArgs) -> Result<(), CliError> {
    // Whatever is wrong with the input is found before any work is done.
    let mut reader = audio::open(&args.audio)?;
    let comparison = args.compare.as_deref().map(Comparison::read).transpose()?;
    let start = Instant::now();
    let weights = weights(args)?;
    let target = target(&weights, args)?;
    let cpu = Cpu::new()?;
    let mut encoder = load(args, target, cpu, &weights)?;
    let load_time = start.elapsed();

    let mut job = Job::new(args, encoder.as_mut(), comparison)?;
    job.encode_all(&mut reader)?;
    let done = job.finish()?;
    let report = Report {
        audio: args.audio.display().to_string(),
        audio_seconds: done.seconds,
        windows: done.tensor[0],
        model: target.model,
        weights: args.weights.clone().unwrap_or_else(|| "synthetic".to_owned()),
        backend: if args.backend == BackendArg::Sim { "sim" } else { "cpu" },
        isa: cpu.isa().to_string(),
        precision: args.precision_name(),
        positions: encoder.positions(),
        shapes: encoder.kernels().map(|kernel| Shape::new(kernel, done.tensor[0])).into(),
        load_ms: milliseconds(load_time),
        mel_ms: milliseconds(done.mel),
        encoder_ms: milliseconds(done.encoder),
        real_time_factor: done.encoded_seconds / (done.mel + done.encoder).as_secs_f64(),
        peak_memory_bytes: report::peak_memory(),
        checksum: done.checksum,
        out: args.out().display().to_string(),
        tensor: done.tensor,
        array: report::array(target, &done.profile),
        profile: args.profile.then(|| report::profile(target, &done.profile)),
        comparison: done.comparison,
    };
    output::print(&if args.json { report.json()? } else { report.text() })
}

fn weights(args: &EncodeArgs) -> Result<Weights, CliError> {
    match &args.weights {
        Some(spec) => {
            Ok(tilewright::weights::Options::new().progress(args.shows_progress()).open(spec)?)
        }
        None => {
            complain("no --weights: synthetic weights, so the features mean nothing");
            Ok(Weights::synthetic())
        }
    }
}

/// The compiled target of the precision, and of the name if there is one, whose sizes are those of
/// the weights; of those that fit none, the first, whose error then names the sizes.
fn target(weights: &Weights, args: &EncodeArgs) -> Result<&'static TargetInfo, CliError> {
    let simulates = args.backend == BackendArg::Sim;
    if args.target.is_some() && !simulates {
        return Err(CliError::TargetOfNoArray);
    }
    let precision = match args.precision() {
        PrecisionArg::I8 => Some(Precision::I8),
        PrecisionArg::Bf16 => Some(Precision::Bf16),
        PrecisionArg::F32 if simulates => return Err(CliError::NoF32),
        // The reference has no kernels of its own: it takes the shapes of any.
        PrecisionArg::F32 => None,
    };
    let fits = |target: &&TargetInfo| {
        precision.is_none_or(|p| p == target.precision)
            && args.target.as_ref().is_none_or(|name| *name == target.name())
    };
    let mut targets = TABLE.targets.iter().copied().filter(fits);
    let first = targets.clone().next();
    let same = |target: &&TargetInfo| {
        let wanted = weights.dimensions();
        wanted.is_some() && encoder::dimensions(target) == wanted
    };
    targets.find(same).or(first).ok_or_else(|| match &args.target {
        Some(name) => {
            let mut known: Vec<String> = TABLE.targets.iter().map(|target| target.name()).collect();
            known.sort();
            known.dedup();
            CliError::NoSuchTarget { name: name.clone(), precision: args.precision_name(), known }
        }
        None => CliError::NoTarget { precision: args.precision_name() },
    })
}

fn load(
    args: &EncodeArgs,
    target: &'static TargetInfo,
    cpu: Cpu,
    weights: &Weights,
) -> Result<Box<dyn Encode>, CliError> {
    let lengths = TABLE.of(target.model, target.device, target.precision);
    let length = args.audio_ctx.or_else(|| lengths.filter_map(|kernel| kernel.length).max());
    let cache = weights.pack_cache()?;
    let matmuls = match args.backend {
        BackendArg::Auto | BackendArg::Cpu => args.numeric().into(),
        BackendArg::Sim => {
            Matmuls::Array(Array::new(Box::new(Sim::new(target)?), cpu), args.scaling())
        }
    };
    Ok(encoder::load(target, length, cpu, matmuls, weights, Some(&cache))?)
}

/// The work on one sound file.
struct Job<'a> {
    args: &'a EncodeArgs,
    encoder: &'a mut dyn Encode,
    log_mel: LogMel,
    workspace: Workspace,
    mel: Vec<f32>,
    writer: FeatureWriter,
    hasher: blake3::Hasher,
    comparison: Option<Comparison>,
    done: Done,
}

/// What came of it.
#[derive(Default)]
struct Done {
    seconds: f64,
    encoded_seconds: f64,
    mel: Duration,
    encoder: Duration,
    profile: Profile,
    tensor: [usize; 3],
    checksum: String,
    comparison: Option<Vec<report::Compared>>,
}

impl<'a> Job<'a> {
    fn new(
        args: &'a EncodeArgs,
        encoder: &'a mut dyn Encode,
        comparison: Option<Comparison>,
    ) -> Result<Self, CliError> {
        let dimensions = encoder.dimensions();
        let shape = [encoder.positions(), dimensions.d_model];
        let out = args.out();
        let writer = FeatureWriter::create(&out, args.format(), shape)
            .map_err(|source| CliError::Write { path: out, source })?;
        Ok(Self {
            log_mel: LogMel::new(dimensions.mel_bins)?,
            workspace: Workspace::default(),
            mel: Vec::new(),
            writer,
            hasher: blake3::Hasher::new(),
            comparison,
            done: Done::default(),
            args,
            encoder,
        })
    }

    fn encode_all(&mut self, reader: &mut AudioReader) -> Result<(), CliError> {
        let total = reader.announced_seconds().filter(|_| self.args.shows_progress());
        let progress = report::progress(total);
        let mut window = Window::default();
        while reader.next_window_into(&mut window)? {
            // A shorter context looks at less at a time.
            let samples = self.encoder.positions() * 2 * HOP;
            for part in window.samples.chunks(samples) {
                self.encode(part)?;
                progress.set_position(self.done.seconds as u64);
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn encode(&mut self, samples: &[f32]) -> Result<(), CliError> {
        let start = Instant::now();
        self.log_mel.compute_into(samples, &mut self.workspace, &mut self.mel);
        self.done.mel += start.elapsed();
        let first = self.done.encoded_seconds == 0.0;
        self.done.seconds += samples.len() as f64 / f64::from(SAMPLE_RATE);
        self.done.encoded_seconds += self.encoder.positions() as f64 * 0.02;

        let mut times = Vec::new();
        for _ in 1..self.args.repeat {
            let start = Instant::now();
            self.encoder.encode(&self.mel, &mut Nobody)?;
            times.push(start.elapsed());
        }
        let comparison = self.comparison.as_mut().filter(|_| first);
        let mut watch = Watch { profile: &mut self.done.profile, comparison };
        let start = Instant::now();
        let features = self.encoder.encode(&self.mel, &mut watch)?;
        times.push(start.elapsed());
        times.sort_unstable();
        self.done.encoder += times[times.len() / 2];

        if let Some(comparison) = self.comparison.as_mut().filter(|_| first) {
            comparison.features(features);
        }
        let write = |source| CliError::Write { path: self.args.out(), source };
        self.writer.write(features).map_err(write)?;
        for value in features {
            self.hasher.update(&value.to_le_bytes());
        }
        Ok(())
    }

    fn finish(self) -> Result<Done, CliError> {
        let mut done = self.done;
        done.comparison = self.comparison.map(Comparison::finish).transpose()?;
        let out = self.args.out();
        let write = |source| CliError::Write { path: out, source };
        done.tensor = self.writer.finish().map_err(write)?;
        done.checksum = self.hasher.finalize().to_hex().to_string();
        Ok(done)
    }
}

/// Looks on for the profile and the comparison.
struct Watch<'a> {
    profile: &'a mut Profile,
    comparison: Option<&'a mut Comparison>,
}

impl Observer for Watch<'_> {
    fn operator(&mut self, name: &'static str, took: Duration) {
        self.profile.operator(name, took);
    }

    fn array(&mut self, name: &'static str, spent: &Spent) {
        self.profile.array(name, spent);
    }

    fn hidden(&mut self, index: usize, values: &[f32]) {
        if let Some(comparison) = &mut self.comparison {
            comparison.hidden(index, values);
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The path of a file as errors show it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
