//! What `encode` says about its work: to people, or as JSON.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tilewright::backend::array::Spent;
use tilewright::encoder::{Distance, Profile};
use tilewright_kernel::{KernelInfo, TargetInfo};

use crate::cli::error::CliError;
use crate::cli::table::{Align, Column, Table};

/// The JSON object; its keys stay what they are.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) audio: String,
    pub(super) audio_seconds: f64,
    pub(super) windows: usize,
    pub(super) model: &'static str,
    pub(super) weights: String,
    pub(super) backend: &'static str,
    pub(super) isa: String,
    pub(super) precision: &'static str,
    pub(super) positions: usize,
    pub(super) shapes: Vec<Shape>,
    pub(super) load_ms: f64,
    pub(super) mel_ms: f64,
    pub(super) encoder_ms: f64,
    pub(super) real_time_factor: f64,
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) checksum: String,
    pub(super) out: String,
    pub(super) tensor: [usize; 3],
    pub(super) array: Option<OnArray>,
    pub(super) profile: Option<Vec<Operator>>,
    pub(super) comparison: Option<Vec<Compared>>,
}

/// A kernel that was dispatched.
#[derive(Serialize)]
pub(super) struct Shape {
    op: &'static str,
    m: usize,
    k: usize,
    n: usize,
    calls: usize,
}

impl Shape {
    pub(super) fn new(kernel: &KernelInfo, windows: usize) -> Self {
        let shape = kernel.shape;
        let calls = kernel.count * windows;
        Self { op: kernel.op, m: shape.m, k: shape.k, n: shape.n, calls }
    }
}

/// Time of an operator.
#[derive(Serialize)]
pub(super) struct Operator {
    operator: &'static str,
    calls: u64,
    ms: f64,
    share: f64,
    array: Option<OnArray>,
}

/// Where the time of matmuls on an array went.
#[derive(Clone, Serialize)]
pub(super) struct OnArray {
    target: String,
    simulated: bool,
    runs: u32,
    array_us: f64,
    packing_us: f64,
    unpacking_us: f64,
}

impl OnArray {
    fn new(target: &TargetInfo, spent: &Spent) -> Self {
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
        Self {
            target: target.name(),
            simulated: spent.device.simulated,
            runs: spent.runs,
            array_us: microseconds(spent.device.time),
            packing_us: microseconds(spent.packing),
            unpacking_us: microseconds(spent.unpacking),
        }
    }

    fn text(&self) -> String {
        let simulated = if self.simulated { " simulated" } else { "" };
        format!(
            "{}, {:.2} ms{simulated} in {} runs; here packing {:.2} ms, unpacking {:.2} ms",
            self.target,
            self.array_us / 1e3,
            self.runs,
            self.packing_us / 1e3,
            self.unpacking_us / 1e3
        )
    }
}

/// All matmuls together; none if they ran on the CPU.
pub(super) fn array(target: &TargetInfo, profile: &Profile) -> Option<OnArray> {
    let mut all = profile.on_array().iter().map(|(_, spent)| *spent);
    let first = all.next()?;
    let sum = all.fold(first, |mut sum, spent| {
        sum += spent;
        sum
    });
    Some(OnArray::new(target, &sum))
}

pub(super) fn profile(target: &TargetInfo, profile: &Profile) -> Vec<Operator> {
    let total = profile.total().as_secs_f64();
    let mut operators: Vec<Operator> = profile
        .operators()
        .iter()
        .map(|&(operator, calls, time)| {
            let seconds = time.as_secs_f64();
            let mut on_array = profile.on_array().iter();
            let array = on_array.find(|(name, _)| *name == operator);
            let array = array.map(|(_, spent)| OnArray::new(target, spent));
            Operator { operator, calls, ms: seconds * 1000.0, share: seconds / total, array }
        })
        .collect();
    operators.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    operators
}

/// A comparison of some values.
#[derive(Serialize)]
pub(super) struct Compared {
    what: String,
    #[serde(flatten)]
    distance: Distance,
}

impl Compared {
    pub(super) fn new(what: String, distance: Distance) -> Self {
        Self { what, distance }
    }
}

/// A bar on standard error for work of more than about a second. A terminal shows it, a file does
/// not.
pub(super) fn progress(seconds: Option<f64>) -> ProgressBar {
    let Some(seconds) = seconds.filter(|&seconds| seconds > LONG) else {
        return ProgressBar::hidden();
    };
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} s, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(seconds as u64).with_style(style)
}

/// Seconds of audio that take about a second to encode.
const LONG: f64 = 60.0;

/// The most memory that this process had in use, where the system tells.
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

impl Report {
    pub(super) fn json(&self) -> Result<String, CliError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| CliError::Stdout(error.into()))
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let windows = if self.windows == 1 { "window" } else { "windows" };
        let shapes: Vec<String> = self
            .shapes
            .iter()
            .map(|s| format!("{} {}×{}×{} ({} calls)", s.op, s.m, s.k, s.n, s.calls))
            .collect();
        let memory = self
            .peak_memory_bytes
            .map_or("unknown".to_owned(), |bytes| format!("{:.0} MB at most", bytes as f64 / 1e6));
        let [a, b, c] = self.tensor;
        for (name, value) in [
            (
                "audio",
                format!(
                    "{}, {:.1} s in {} {windows}",
                    self.audio, self.audio_seconds, self.windows
                ),
            ),
            ("model", format!("{}, {} weights", self.model, self.weights)),
            ("backend", format!("{}, {}", self.backend, self.isa)),
            ("precision", self.precision.to_owned()),
            ("kernels", shapes.join("\n            ")),
            (
                "time",
                format!(
                    "load {:.0} ms, mel {:.1} ms, encoder {:.0} ms",
                    self.load_ms, self.mel_ms, self.encoder_ms
                ),
            ),
            ("speed", format!("{:.0} × real time", self.real_time_factor)),
            ("memory", memory),
            ("checksum", self.checksum.chars().take(16).collect()),
            ("features", format!("{}, {a} × {b} × {c} f32", self.out)),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:10}  {value}");
        }
        if let Some(array) = &self.array {
            let _ = writeln!(text, "{:10}  {}", "array", array.text());
        }
        if let Some(profile) = &self.profile {
            let table = match &self.array {
                Some(_) => array_profile_table(profile).to_string(),
                None => profile_table(profile).to_string(),
            };
            let _ = write!(text, "\n{table}");
        }
        if let Some(comparison) = &self.comparison {
            let _ = write!(text, "\n{}", comparison_table(comparison));
        }
        text
    }
}

const fn column(title: &'static str, align: Align) -> Column {
    Column { group: "", title, align }
}

fn profile_table(operators: &[Operator]) -> Table<4> {
    let columns = [
        column("operator", Align::Left),
        column("calls", Align::Right),
        column("ms", Align::Right),
        column("share", Align::Right),
    ];
    let row = |o: &Operator| {
        let share = format!("{:.1}%", o.share * 100.0);
        [o.operator.to_owned(), o.calls.to_string(), format!("{:.2}", o.ms), share]
    };
    Table { columns, rows: operators.iter().map(row).collect() }
}

/// With what the array adds: the time on it, and on both sides of it.
fn array_profile_table(operators: &[Operator]) -> Table<7> {
    let columns = [
        column("operator", Align::Left),
        column("calls", Align::Right),
        column("ms", Align::Right),
        column("share", Align::Right),
        Column { group: "µs", title: "array", align: Align::Right },
        Column { group: "µs", title: "packing", align: Align::Right },
        Column { group: "µs", title: "unpacking", align: Align::Right },
    ];
    let row = |o: &Operator| {
        let time = |of: fn(&OnArray) -> f64| {
            o.array.as_ref().map_or("-".to_owned(), |array| format!("{:.0}", of(array)))
        };
        [
            o.operator.to_owned(),
            o.calls.to_string(),
            format!("{:.2}", o.ms),
            format!("{:.1}%", o.share * 100.0),
            time(|array| array.array_us),
            time(|array| array.packing_us),
            time(|array| array.unpacking_us),
        ]
    };
    Table { columns, rows: operators.iter().map(row).collect() }
}

fn comparison_table(comparison: &[Compared]) -> Table<5> {
    let columns = [
        column("compared", Align::Left),
        column("cosine", Align::Right),
        column("mean abs", Align::Right),
        column("max abs", Align::Right),
        column("relative", Align::Right),
    ];
    let row = |c: &Compared| {
        let Distance { cosine, mean_abs, max_abs, relative } = c.distance;
        [
            c.what.clone(),
            format!("{cosine:.7}"),
            format!("{mean_abs:.2e}"),
            format!("{max_abs:.2e}"),
            format!("{:.4}%", relative * 100.0),
        ]
    };
    Table { columns, rows: comparison.iter().map(row).collect() }
}
