//! `tilewright encode`: from a sound file to Whisper's encoder output.

mod compare;
mod receipt;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tilewright::audio::{self, AudioReader, HOP, LogMel, SAMPLE_RATE, Window, Workspace};
use tilewright::backend::array::Spent;
use tilewright::backend::cpu::Cpu;
use tilewright::encoder::{Nobody, Observer, Profile};
use tilewright::features::{FeatureWriter, Format};
use tilewright::weights::Weights;

use super::error::CliError;
use super::place::{OnNpu, PlaceArgs, Placed};
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

    #[command(flatten)]
    place: PlaceArgs,

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

    /// Write down what really ran: device, firmware, hashes, and per op backend, calls and times
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,

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
  tilewright encode samples/speech.wav --backend npu --receipt receipt.json

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
  features as little-endian f32.

JSON of --receipt:
  { tilewright, model, target, device: { name, bdf, firmware, xrt, generation }, xclbin,
    streams: [{ op, sequence, m, k, n, hash }],
    ops: [{ op, backend, calls, total_us, packing_us, device_us, waiting_us, unpacking_us }],
    features }
  device and xclbin are null and streams is empty where no NPU ran. xclbin, hash and features are
  BLAKE3. An op that ran on two backends, because the NPU failed on the way, is there twice. device_us
  is the time on the array, waiting_us that until it was seen to be done; of the CPU only total_us is
  known. --repeat is not counted.";

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Safetensors,
    Npy,
}

impl EncodeArgs {
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
    let cpu = Cpu::new()?;
    let placed = Placed::new(&args.place, cpu, &weights)?;
    let load_time = start.elapsed();

    let mut job = Job::new(args, cpu, &weights, placed, comparison)?;
    job.encode_all(&mut reader)?;
    let (placed, used, done) = job.finish()?;
    let (target, encoder) = (placed.target, &placed.encoder);
    // What matmuls ran on that did not run on the CPU, though the rest may have.
    let array = if used.is_some() { "npu" } else { "sim" };
    if let Some(path) = &args.receipt {
        receipt::write(path, &placed, array, used.as_ref(), &done)?;
    }
    let report = Report {
        audio: args.audio.display().to_string(),
        audio_seconds: done.seconds,
        windows: done.tensor[0],
        model: target.model,
        weights: args.weights.clone().unwrap_or_else(|| "synthetic".to_owned()),
        backend: placed.backend,
        isa: cpu.isa().to_string(),
        precision: args.place.precision_name(),
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

/// The work on one sound file.
struct Job<'a> {
    args: &'a EncodeArgs,
    cpu: Cpu,
    weights: &'a Weights,
    placed: Placed,
    /// The NPU that some windows ran on, though others may not have.
    used: Option<OnNpu>,
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
        cpu: Cpu,
        weights: &'a Weights,
        mut placed: Placed,
        comparison: Option<Comparison>,
    ) -> Result<Self, CliError> {
        let dimensions = placed.encoder.dimensions();
        let shape = [placed.encoder.positions(), dimensions.d_model];
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
            cpu,
            weights,
            used: placed.npu.take(),
            placed,
        })
    }

    fn encode_all(&mut self, reader: &mut AudioReader) -> Result<(), CliError> {
        let total = reader.announced_seconds().filter(|_| self.args.shows_progress());
        let progress = report::progress(total);
        let mut window = Window::default();
        while reader.next_window_into(&mut window)? {
            // A shorter context looks at less at a time.
            let samples = self.placed.encoder.positions() * 2 * HOP;
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
        self.done.encoded_seconds += self.placed.encoder.positions() as f64 * 0.02;

        if let Err(error) = self.encode_mel(first) {
            self.placed = self.placed.fall_back(&self.args.place, self.cpu, self.weights, error)?;
            self.encode_mel(first)?;
        }
        Ok(())
    }

    /// Encodes the spectrogram and writes the features; a failure leaves nothing written.
    fn encode_mel(&mut self, first: bool) -> Result<(), CliError> {
        let encoder = &mut self.placed.encoder;
        let mut times = Vec::new();
        for _ in 1..self.args.repeat {
            let start = Instant::now();
            encoder.encode(&self.mel, &mut Nobody)?;
            times.push(start.elapsed());
        }
        let comparison = self.comparison.as_mut().filter(|_| first);
        let mut watch = Watch { profile: &mut self.done.profile, comparison };
        let start = Instant::now();
        let features = encoder.encode(&self.mel, &mut watch)?;
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

    fn finish(self) -> Result<(Placed, Option<OnNpu>, Done), CliError> {
        let mut done = self.done;
        done.comparison = self.comparison.map(Comparison::finish).transpose()?;
        let out = self.args.out();
        let write = |source| CliError::Write { path: out, source };
        done.tensor = self.writer.finish().map_err(write)?;
        done.checksum = self.hasher.finalize().to_hex().to_string();
        Ok((self.placed, self.used, done))
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
