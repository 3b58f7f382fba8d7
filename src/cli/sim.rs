//! `tilewright sim`: runs runtime sequences of any MLIR-AIE design in the simulator.

mod element;
mod kernels;
mod npy;
mod report;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tilewright_sim::engine::{Limits, Run, Simulator};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{self, Source, Type};

use super::error::CliError;
use super::output;
use super::status::Status;
use report::{Expectation, Ran, Report};
use values::{Buffer, Contents, ValueError};

/// Run an MLIR-AIE design in the simulator
///
/// The text that goes to aiecc is read, its objectfifos are elaborated, and runtime sequences run on
/// host buffers, with the core kernels compiled for this machine.
#[derive(Args)]
#[command(after_help = EXAMPLE, after_long_help = LONG_HELP)]
pub(crate) struct SimArgs {
    /// The design: textual MLIR
    design: PathBuf,

    /// The runtime sequence to run; several run one after the other on the same array [default: the
    /// only one]
    #[arg(long = "sequence", value_name = "NAME")]
    sequences: Vec<String>,

    /// The aie.device to run, where the file has several [default: the first]
    #[arg(long, value_name = "SYMBOL")]
    device: Option<String>,

    /// Contents of the next host buffer: a file (.npy, or raw bytes), zeros, seq or random:SEED; for
    /// several sequences those of the first come first [default: zeros]
    #[arg(long = "arg", value_name = "CONTENTS")]
    arguments: Vec<Contents>,

    /// Write a host buffer, by its number from 0, to a file when its sequence has ended
    #[arg(long = "arg-out", value_name = "N=FILE", value_parser = numbered::<PathBuf>)]
    outputs: Vec<(usize, PathBuf)>,

    /// What a host buffer has to hold when its sequence has ended
    #[arg(long = "expect", value_name = "N=CONTENTS", value_parser = numbered::<Contents>)]
    expected: Vec<(usize, Contents)>,

    /// How far numbers may be from what is expected, absolutely or relatively
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    tolerance: f64,

    /// Core functions: C++ source to compile for this machine, or a shared library; may be given
    /// several times [default: gemm.cc beside the design, where `tilewright render` wrote both]
    #[arg(long = "kernel", value_name = "FILE")]
    kernels: Vec<PathBuf>,

    /// Where else the kernels' headers are
    #[arg(long, value_name = "DIR")]
    include: Vec<PathBuf>,

    /// Write what every core and DMA channel did when, for chrome://tracing or ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Print how busy cores and channels were
    #[arg(long)]
    stats: bool,

    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,

    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    time_limit: u64,

    /// Give up after so many steps of cores, sequences and transfers
    #[arg(long, value_name = "STEPS", default_value_t = Limits::default().steps)]
    step_limit: u64,
}

const EXAMPLE: &str = "\
Example:
  tilewright sim design.mlir --arg in.npy --arg-out 2=c.npy --kernel scale.cc --stats";

const LONG_HELP: &str = "\
Examples:
  tilewright sim design.mlir --arg in.npy --arg-out 2=c.npy --kernel scale.cc --stats
  tilewright sim design.mlir --sequence first --sequence second --arg seq --trace trace.json
  tilewright sim design.mlir --arg seq --arg zeros --expect 1=seq

Contents:
  x.npy        an array of the buffer's element type, in any shape; bf16 as <V2, <u2 or <f4
  other files  its bytes, little-endian
  zeros        zeros
  seq          0, 1, 2, …
  random:SEED  integers in -128..=127, floats between -1 and 1; the same for the same seed

Exit status:
  0 all right                          3 a hang: everything waits for what never comes
  1 an error in the design or a file   4 a buffer does not hold what is expected
  2 wrong arguments                    5 a race, an uninitialised read, an unfinished transfer …
  Of several the smallest counts, but for 1 and 2.

JSON:
  { design, device, sequences: [
    { name, cycles, us, findings: [{ kind, line, column, message }],
      stats: { cores: [{ name, busy, waiting }], channels: [{ name, bytes, busy }], dram_bytes, dram_busy } } ],
    expected: [{ buffer, right, different, elements, first, got, expected, largest }],
    warnings: [{ line, column, message }] }
  stats are null unless asked for; us and busy hold for the simulated device.";

/// `2=c.npy`.
fn numbered<T: std::str::FromStr>(text: &str) -> Result<(usize, T), String>
where
    T::Err: std::fmt::Display,
{
    let (number, value) =
        text.split_once('=').ok_or("give the buffer's number and a file: 2=c.npy")?;
    let number = number.parse().map_err(|_| format!("`{number}` is no number of a buffer"))?;
    if value.is_empty() {
        return Err("give a file behind the =".to_owned());
    }
    Ok((number, value.parse().map_err(|error: T::Err| error.to_string())?))
}

/// A sequence with its buffers.
struct Call {
    name: String,
    /// Number of its first buffer.
    first: usize,
    buffers: Vec<Buffer>,
}

/// Reads, elaborates, runs, writes, compares, prints.
pub(crate) fn run(args: &SimArgs) -> Result<Status, CliError> {
    let netlist = Arc::new(netlist(args)?);
    let calls = calls(args, &netlist)?;
    let contents = contents(args, &calls)?;
    let expected = expected(args, &calls)?;
    let functions = kernels::functions(args, &netlist)?;
    let time = Some(Duration::from_secs(args.time_limit));
    let limits = Limits { steps: args.step_limit, time };
    let mut simulator = Simulator::new(Arc::clone(&netlist), functions, limits)?;
    if args.trace.is_some() {
        simulator.record();
    }
    let mut contents = contents.into_iter();
    let (mut report, mut buffers) = (Report::new(args, &netlist), Vec::new());
    let mut hang = None;
    for call in &calls {
        let mut own: Vec<Vec<u8>> = contents.by_ref().take(call.buffers.len()).collect();
        let mut slices: Vec<&mut [u8]> = own.iter_mut().map(Vec::as_mut_slice).collect();
        match simulator.run(&call.name, &mut slices) {
            Ok(run) => report.sequences.push(ran(args, call, run)),
            Err(error) => {
                hang = Some(error);
                break;
            }
        }
        buffers.extend(own);
    }
    if let Some(path) = &args.trace {
        let mut trace = Vec::new();
        simulator
            .trace(&mut trace)
            .map_err(|source| CliError::Write { path: path.clone(), source })?;
        output::write_bytes(path, &trace)?;
    }
    if let Some(error) = hang {
        return Err(error.into());
    }
    write_outputs(args, &calls, &buffers)?;
    for (number, buffer, wanted) in expected {
        let difference =
            values::difference(buffer.element, &buffers[number], &wanted, args.tolerance);
        report.expected.push(Expectation::new(number, &buffer, difference));
    }
    output::print(&if args.json { report.json()? } else { report.text() })?;
    Ok(report.status())
}

fn netlist(args: &SimArgs) -> Result<Netlist, CliError> {
    let text = std::fs::read_to_string(&args.design)
        .map_err(|source| CliError::Read { path: args.design.clone(), source })?;
    let source = Source::new(&args.design.display().to_string(), &text);
    Ok(Netlist::build(text::parse(&source)?, args.device.as_deref())?)
}

/// The sequences to run, with their buffers numbered on.
fn calls(args: &SimArgs, netlist: &Netlist) -> Result<Vec<Call>, CliError> {
    let known: Vec<&str> = netlist.sequences.iter().map(|one| one.name.as_str()).collect();
    let names = match (args.sequences.as_slice(), known.as_slice()) {
        ([], [only]) => vec![(*only).to_owned()],
        ([], known) => {
            let known = known.iter().map(|&name| name.to_owned()).collect();
            return Err(CliError::WhichSequence { known });
        }
        (names, _) => names.to_vec(),
    };
    let mut calls = Vec::new();
    let mut first = 0;
    for name in names {
        let Some(sequence) = netlist.sequences.iter().find(|one| one.name == name) else {
            let known = known.iter().map(|&name| name.to_owned()).collect();
            return Err(CliError::NoSequence { name, known });
        };
        let buffers = sequence.arguments.iter().enumerate().map(|(i, ty)| {
            let buffer = if let Type::MemRef(memref) = ty { Buffer::of(memref) } else { None };
            buffer.ok_or_else(|| CliError::NoBuffer { sequence: name.clone(), argument: i })
        });
        let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
        let count = buffers.len();
        calls.push(Call { name, first, buffers });
        first += count;
    }
    let numbers = args.outputs.iter().map(|(n, _)| n).chain(args.expected.iter().map(|(n, _)| n));
    let given = args.arguments.len().checked_sub(1);
    if let Some(&number) = numbers.chain(&given).find(|&&number| number >= first) {
        return Err(CliError::BufferNumber { number, buffers: first });
    }
    Ok(calls)
}

/// All buffers of all sequences, filled.
fn contents(args: &SimArgs, calls: &[Call]) -> Result<Vec<Vec<u8>>, CliError> {
    let buffers = calls.iter().flat_map(|call| &call.buffers);
    let contents = buffers.enumerate().map(|(i, buffer)| {
        let contents = args.arguments.get(i).unwrap_or(&Contents::Zeros);
        Ok(contents.bytes(buffer)?)
    });
    contents.collect()
}

/// What is expected, read before anything runs.
fn expected(args: &SimArgs, calls: &[Call]) -> Result<Vec<(usize, Buffer, Vec<u8>)>, CliError> {
    let expected = args.expected.iter().map(|(number, contents)| {
        let buffer = buffer(calls, *number).ok_or(CliError::BufferNumber {
            number: *number,
            buffers: calls.iter().map(|call| call.buffers.len()).sum(),
        })?;
        Ok((*number, buffer.clone(), contents.bytes(buffer)?))
    });
    expected.collect()
}

fn buffer(calls: &[Call], number: usize) -> Option<&Buffer> {
    let call = calls.iter().rev().find(|call| call.first <= number)?;
    call.buffers.get(number - call.first)
}

fn ran(args: &SimArgs, call: &Call, run: Run) -> Ran {
    Ran { name: call.name.clone(), stats: args.stats.then(|| run.stats.clone()), run }
}

fn write_outputs(args: &SimArgs, calls: &[Call], buffers: &[Vec<u8>]) -> Result<(), CliError> {
    for (number, path) in &args.outputs {
        if let (Some(buffer), Some(bytes)) = (buffer(calls, *number), buffers.get(*number)) {
            output::write_bytes(path, &values::file(path, buffer, bytes))?;
        }
    }
    Ok(())
}

impl From<ValueError> for CliError {
    fn from(error: ValueError) -> Self {
        match error {
            ValueError::Read(path, source) => Self::Read { path, source },
            ValueError::Contents(path, reason) => Self::Contents { file: shown(&path), reason },
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
