//! `tilewright plan`: what the plan decides, as tables, JSON or a drawing.
//!
//! The serde structs of this module are the JSON output; its keys stay what they are. Sizes end in
//! `_bytes`, predicted times in `_us` (microseconds), and `utilisation` goes from 0 to 1.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tilewright_codegen::device::{
    self, Device, Epilogue, MicroTile, Precision, Shape, Tile, TileKind,
};
use tilewright_codegen::model::{ModelFile, Target};
use tilewright_codegen::plan::array::{Array, At};
use tilewright_codegen::plan::cost::Bound;
use tilewright_codegen::plan::sequence::{Command, Sequence};
use tilewright_codegen::plan::{Design, Kernel, Plan};
use tilewright_codegen::render::svg;

use super::error::CliError;
use super::table::{Align, Column, Table};
use super::{ModelArgs, output};

/// Print what is planned for every kernel: padding, loops, memory, traffic and predicted time
#[derive(Args)]
#[command(after_help = EXAMPLE, after_long_help = LONG_HELP)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Plan this target only, like npu1-i8; may be given several times
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,

    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,

    /// Draw the array of the selected target: which tile holds what, which stream goes where
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  tilewright plan --target npu1-i8 --svg array.svg";

const LONG_HELP: &str = "\
Example:
  tilewright plan --target npu1-i8 --svg array.svg

Columns:
  len            value of the model's list dimension, such as the audio length
  runs           runs in one pass of the model
  padded         the shape that the array runs
  k, row, col    tiles of K, blocks of rows and blocks of columns that the array goes through
  bytes moved    between host memory and the array, in powers of 1000
  use            useful multiply-accumulates of all that the array could do in its time
  µs             predicted, on the array and with the floor of one waited call
  bound          what sets the pace

JSON:
  { model_file, designs: [
    { name, model, target, device, precision, tile: {m, k, n}, auto_tile,
      micro_tile: {r, s, t}, c_depth,
      resources: { core, memtile, shim:     the most that one of them needs
        { memory_bytes, memory_limit_bytes, descriptors, descriptor_limit, locks, lock_limit,
          input_channels, output_channels, channel_limit } },
      kernels: [
        { op, length, count, shape: {m, k, n}, padded: {m, k, n}, epilogue,
          k_tiles, row_blocks, column_blocks, output_tiles,
          a_bytes, b_bytes, c_bytes, total_bytes,
          utilisation, array_us, call_us, bound, sequence } ],
      pass: { length, calls, array_us, call_us } } ] }
  length is null for what does not depend on one. bound is compute, epilogue, a, b or c (a stream),
  dram or launch.";

/// Plans, draws, prints.
pub(crate) fn run(args: &PlanArgs) -> Result<(), CliError> {
    let mut file = args.model.read()?;
    select(&mut file, &args.targets)?;
    let plan = Plan::new(&file)?;
    if let Some(path) = &args.svg {
        output::write(path, &svg::array(the_array(&plan)?)?)?;
    }
    let view = PlanView {
        model_file: args.model.model.display().to_string(),
        designs: plan.designs.iter().map(DesignView::new).collect(),
    };
    let text = if args.json { view.json()? } else { view.text() };
    output::print(&text)
}

/// Leaves the targets that are asked for; the others are not planned at all.
fn select(file: &mut ModelFile, names: &[String]) -> Result<(), CliError> {
    let known: Vec<String> = file.targets.iter().map(Target::name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(CliError::UnknownTarget { name: name.clone(), known });
    }
    file.targets.retain(|target| names.is_empty() || names.contains(&target.name()));
    Ok(())
}

/// The design to draw. Models share their array when they agree in the tile.
fn the_array(plan: &Plan) -> Result<&Design, CliError> {
    let mut names: Vec<String> = Vec::new();
    for name in plan.designs.iter().map(Design::target) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > 1 {
        return Err(CliError::SeveralTargets { names });
    }
    let first = plan.designs.first().ok_or(CliError::NoDesign)?;
    match plan.designs.iter().find(|design| design.layout != first.layout) {
        None => Ok(first),
        Some(other) => {
            let names = [first, other].map(|design| design.model.clone()).into();
            Err(CliError::SeveralTiles { names })
        }
    }
}

#[derive(Serialize)]
struct PlanView {
    model_file: String,
    designs: Vec<DesignView>,
}

#[derive(Serialize)]
struct DesignView {
    name: String,
    model: String,
    target: String,
    device: Device,
    precision: Precision,
    tile: Tile,
    auto_tile: bool,
    micro_tile: MicroTile,
    c_depth: usize,
    resources: Resources,
    kernels: Vec<KernelView>,
    pass: PassView,
}

/// The most that one tile of each kind needs.
#[derive(Serialize)]
struct Resources {
    core: Need,
    memtile: Need,
    shim: Need,
}

#[derive(Serialize)]
struct Need {
    memory_bytes: usize,
    memory_limit_bytes: usize,
    descriptors: usize,
    descriptor_limit: usize,
    locks: usize,
    lock_limit: usize,
    input_channels: usize,
    output_channels: usize,
    channel_limit: usize,
}

#[derive(Serialize)]
struct KernelView {
    op: String,
    length: Option<u64>,
    count: u64,
    shape: Shape,
    padded: Shape,
    epilogue: Epilogue,
    k_tiles: usize,
    row_blocks: usize,
    column_blocks: usize,
    output_tiles: usize,
    a_bytes: u64,
    b_bytes: u64,
    c_bytes: u64,
    total_bytes: u64,
    utilisation: f64,
    array_us: f64,
    call_us: f64,
    bound: Bound,
    sequence: String,
}

/// One pass of the model at its longest length.
#[derive(Serialize)]
struct PassView {
    length: Option<u64>,
    calls: u64,
    array_us: f64,
    call_us: f64,
}

impl DesignView {
    fn new(design: &Design) -> Self {
        Self {
            name: design.name(),
            model: design.model.clone(),
            target: design.target(),
            device: design.layout.device,
            precision: design.layout.precision,
            tile: design.layout.tile,
            auto_tile: design.auto_tile,
            micro_tile: design.layout.micro,
            c_depth: design.layout.c_depth,
            resources: Resources::new(design),
            kernels: design.kernels.iter().map(KernelView::new).collect(),
            pass: PassView::new(design),
        }
    }
}

impl Resources {
    fn new(design: &Design) -> Self {
        let mut shim = Need::new(&design.array, TileKind::Shim);
        let queued = design.sequences.iter().map(|one| queued_descriptors(&design.array, one));
        shim.descriptors = queued.max().unwrap_or(0);
        Self {
            core: Need::new(&design.array, TileKind::Core),
            memtile: Need::new(&design.array, TileKind::Memtile),
            shim,
        }
    }
}

impl Need {
    fn new(array: &Array, kind: TileKind) -> Self {
        let limits = device::limits(kind);
        let mut need = Self {
            memory_bytes: 0,
            memory_limit_bytes: limits.memory,
            descriptors: 0,
            descriptor_limit: limits.descriptors,
            locks: 0,
            lock_limit: limits.locks,
            input_channels: 0,
            output_channels: 0,
            channel_limit: limits.channels,
        };
        for usage in array.usage().iter().filter(|(at, _)| at.kind() == kind).map(|(_, one)| one) {
            need.memory_bytes = need.memory_bytes.max(usage.memory);
            need.descriptors = need.descriptors.max(usage.descriptors());
            need.locks = need.locks.max(usage.locks);
            need.input_channels = need.input_channels.max(usage.inputs.len());
            need.output_channels = need.output_channels.max(usage.outputs.len());
        }
        need
    }
}

/// The most descriptors that a sequence has in use on one shim at a time: its transfers have one
/// each from when they start until they are awaited or freed.
fn queued_descriptors(array: &Array, sequence: &Sequence) -> usize {
    let mut live: BTreeMap<At, usize> = BTreeMap::new();
    let mut most = 0;
    for command in &sequence.commands {
        let (Command::Start(index) | Command::Await(index) | Command::Free(index)) = *command;
        let fifo = sequence.transfers.get(index).and_then(|one| array.fifo(&one.fifo));
        let mut ends =
            fifo.into_iter().flat_map(|fifo| fifo.consumers.iter().chain([&fifo.producer]));
        let Some(shim) = ends.find(|at| at.kind() == TileKind::Shim) else { continue };
        let count = live.entry(*shim).or_default();
        match command {
            Command::Start(_) => *count += 1,
            Command::Await(_) | Command::Free(_) => *count = count.saturating_sub(1),
        }
        most = most.max(*count);
    }
    most
}

impl KernelView {
    fn new(kernel: &Kernel) -> Self {
        let (loops, cost) = (kernel.loops, kernel.cost);
        Self {
            op: kernel.op.clone(),
            length: kernel.length,
            count: kernel.count,
            shape: kernel.shape,
            padded: kernel.padded,
            epilogue: kernel.epilogue,
            k_tiles: loops.k_tiles,
            row_blocks: loops.row_blocks,
            column_blocks: loops.column_blocks,
            output_tiles: loops.output_tiles(),
            a_bytes: cost.a_bytes,
            b_bytes: cost.b_bytes,
            c_bytes: cost.c_bytes,
            total_bytes: cost.a_bytes + cost.b_bytes + cost.c_bytes,
            utilisation: cost.utilisation,
            array_us: cost.array_us,
            call_us: cost.call_us,
            bound: cost.bound,
            sequence: kernel.sequence.clone(),
        }
    }
}

impl PassView {
    fn new(design: &Design) -> Self {
        let length = design.kernels.iter().filter_map(|kernel| kernel.length).max();
        let in_pass = |kernel: &&Kernel| kernel.length.is_none() || kernel.length == length;
        let calls = design.kernels.iter().filter(in_pass).map(|kernel| kernel.count).sum();
        let (array_us, call_us) = design.pass_us();
        Self { length, calls, array_us, call_us }
    }
}

impl PlanView {
    fn json(&self) -> Result<String, CliError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| CliError::Stdout(error.into()))
    }

    fn text(&self) -> String {
        let designs: Vec<String> = self.designs.iter().map(DesignView::text).collect();
        designs.join("\n")
    }
}

impl DesignView {
    fn text(&self) -> String {
        let mut text = String::new();
        let MicroTile { r, s, t } = self.micro_tile;
        let picked = if self.auto_tile { " (picked)" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} on {}: tile {}{picked}, micro-tile {r}×{s}×{t}\n",
            self.model, self.target, self.tile
        );
        let _ = writeln!(text, "{}", self.resources.table());
        let _ = writeln!(text, "{}", kernel_table(&self.kernels));
        let _ = writeln!(text, "{}", self.pass.text());
        text
    }
}

impl PassView {
    fn text(&self) -> String {
        let at = self.length.map(|length| format!(" at length {length}")).unwrap_or_default();
        let (array, call) = (self.array_us / 1000.0, self.call_us / 1000.0);
        format!(
            "One pass{at}: {} calls, {array:.2} ms on the array, {call:.2} ms with the floor of every call",
            self.calls
        )
    }
}

const fn column(group: &'static str, title: &'static str, align: Align) -> Column {
    Column { group, title, align }
}

impl Resources {
    fn table(&self) -> Table<6> {
        let columns = [
            column("", "needs at most", Align::Left),
            column("", "bytes", Align::Left),
            column("", "descriptors", Align::Left),
            column("", "locks", Align::Left),
            column("", "channels in", Align::Left),
            column("", "out", Align::Left),
        ];
        let rows = [("core", &self.core), ("memtile", &self.memtile), ("shim", &self.shim)];
        Table { columns, rows: rows.map(|(name, need)| need.row(name)).into() }
    }
}

impl Need {
    fn row(&self, name: &str) -> [String; 6] {
        let of = |used: usize, limit: usize| match limit {
            0 => "-".to_owned(),
            limit => format!("{used} of {limit}"),
        };
        [
            name.to_owned(),
            of(self.memory_bytes, self.memory_limit_bytes),
            of(self.descriptors, self.descriptor_limit),
            of(self.locks, self.lock_limit),
            of(self.input_channels, self.channel_limit),
            of(self.output_channels, self.channel_limit),
        ]
    }
}

fn kernel_table(kernels: &[KernelView]) -> Table<16> {
    let columns = [
        column("", "op", Align::Left),
        column("", "len", Align::Right),
        column("", "runs", Align::Right),
        column("", "shape", Align::Left),
        column("", "padded", Align::Left),
        column("loops", "k", Align::Right),
        column("loops", "row", Align::Right),
        column("loops", "col", Align::Right),
        column("bytes moved", "A", Align::Right),
        column("bytes moved", "B", Align::Right),
        column("bytes moved", "C", Align::Right),
        column("bytes moved", "all", Align::Right),
        column("", "use", Align::Right),
        column("µs", "array", Align::Right),
        column("µs", "call", Align::Right),
        column("", "bound", Align::Left),
    ];
    Table { columns, rows: kernels.iter().map(KernelView::row).collect() }
}

impl KernelView {
    fn row(&self) -> [String; 16] {
        [
            self.op.clone(),
            self.length.map_or("-".to_owned(), |length| length.to_string()),
            self.count.to_string(),
            self.shape.to_string(),
            self.padded.to_string(),
            self.k_tiles.to_string(),
            self.row_blocks.to_string(),
            self.column_blocks.to_string(),
            amount(self.a_bytes),
            amount(self.b_bytes),
            amount(self.c_bytes),
            amount(self.total_bytes),
            format!("{:.1}%", self.utilisation * 100.0),
            format!("{:.0}", self.array_us),
            format!("{:.0}", self.call_us),
            self.bound.to_string(),
        ]
    }
}

/// Three digits and a power of 1000: `1.52M`.
fn amount(bytes: u64) -> String {
    let powers = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    // What rounds to 1000 belongs to the next power.
    let found = powers.into_iter().find(|(power, _)| bytes as f64 >= 0.9995 * power);
    let Some((power, unit)) = found else { return bytes.to_string() };
    let value = bytes as f64 / power;
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_have_three_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (9_994, "9.99k"),
            (9_996, "10.0k"),
            (99_960, "100k"),
            (999_400, "999k"),
            (999_600, "1.00M"),
            (1_523_000, "1.52M"),
            (2_000_000_000, "2.00G"),
        ];
        for (bytes, text) in cases {
            assert_eq!(amount(bytes), text);
        }
    }
}
