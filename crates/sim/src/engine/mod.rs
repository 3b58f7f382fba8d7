//! Runs a netlist: deterministic discrete events in cycles of the array.
//!
//! Streams move data in chunks: a flow sends one when its source and all its destinations have an
//! active descriptor, as much as all of them can take at once. That is what a circuit-switched
//! stream does, but for the few words that its buffers hold.

mod addresses;
mod array;
mod compile;
mod configure;
mod core;
mod dma;
mod hang;
mod memory;
mod pattern;
mod program;
mod registers;
mod sequence;
mod stats;
mod stream;
mod timing;
mod trace;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::functions::Functions;
use crate::netlist::{Direction, Netlist, TileKind};
use crate::text::{DesignError, Op, Span, Symbol, Type};

use array::{Array, Event};
use compile::Compiler;
use configure::Configuration;
use memory::Place;
use program::{Program, Slot};
use sequence::{Controller, SequenceOp};
use value::{PlaceId, Value, View};

pub use timing::{Timing, timing};
pub use trace::{ChannelStats, CoreStats, Stats};

/// Bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations of cores and sequences, and events.
    pub steps: u64,
    /// Wall-clock time.
    pub time: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 20_000_000_000, time: None }
    }
}

/// Steps that the array may take after a sequence has ended, to finish what it began.
const DRAIN_STEPS: u64 = 50_000_000;

/// An array that was configured with a design and keeps its state from sequence to sequence.
pub struct Simulator {
    array: Array,
    netlist: Arc<Netlist>,
    /// Sequences that ran once, by their position.
    compiled: BTreeMap<usize, Compiled>,
    /// The design, and the devices of its module that sequences reconfigure the array to.
    devices: Arc<[Arc<Configuration>]>,
}

/// A runtime sequence as code.
struct Compiled {
    program: Arc<Program>,
    ops: Vec<SequenceOp>,
    /// Layouts of the host buffers.
    arguments: Vec<Option<u32>>,
}

/// What a sequence did.
#[derive(Debug, Clone)]
pub struct Run {
    /// Cycles from its first instruction to its last, launch floor not included.
    pub cycles: u64,
    /// The same in microseconds at the device's clock.
    pub microseconds: f64,
    /// What was wrong with it although it came to an end.
    pub findings: Vec<Finding>,
    /// Who did how much.
    pub stats: Stats,
}

/// Something that a design does wrong, seen while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// The operation.
    pub span: Span,
    /// What happened and where, with the names of everything in it.
    pub message: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// Two parties use a buffer at the same time and one of them writes.
    Race,
    /// A descriptor is written anew while a transfer uses it.
    DescriptorReuse,
    /// Bytes are used that nothing has written.
    Uninitialised,
    /// A task is sent to a queue that is full.
    QueueOverflow,
    /// A transfer goes on when the sequence has ended, and nothing waits for it.
    Unfinished,
}

impl std::fmt::Display for FindingKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Race => "race",
            Self::DescriptorReuse => "descriptor reuse",
            Self::Uninitialised => "uninitialised",
            Self::QueueOverflow => "queue overflow",
            Self::Unfinished => "unfinished transfer",
        })
    }
}

/// Why a sequence did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Everything waits for something that will never come.
    #[error("{0}")]
    Hang(String),
    /// The design, the call or a function is at fault.
    #[error("{0}")]
    Design(String),
    /// The design has an operation that the simulator cannot run, or one that makes no sense.
    #[error(transparent)]
    Text(#[from] DesignError),
    /// [`Limits`] were reached.
    #[error("{0}")]
    Limit(String),
}

impl Simulator {
    /// Configures the array: cores begin to run and wait, buffers hold what the design gives them.
    ///
    /// # Errors
    /// When a core's program has an operation that the simulator does not know, or calls a function
    /// that is not registered.
    pub fn new(
        netlist: Arc<Netlist>,
        functions: Functions,
        limits: Limits,
    ) -> Result<Self, RunError> {
        let configuration = Arc::new(Configuration::new(Arc::clone(&netlist), &functions)?);
        let array = Array::new(&configuration, functions, limits);
        Ok(Self { array, netlist, devices: vec![configuration].into(), compiled: BTreeMap::new() })
    }

    /// The design.
    pub fn netlist(&self) -> &Arc<Netlist> {
        &self.netlist
    }

    /// The position of a sequence, compiled.
    fn compile(&mut self, name: &str) -> Result<usize, RunError> {
        let sequences = &self.netlist.sequences;
        let Some(at) = self.netlist.sequence(name) else {
            let known: Vec<String> =
                sequences.iter().map(|sequence| format!("`{}`", sequence.name)).collect();
            return Err(RunError::Design(format!(
                "the design has no runtime sequence `{name}`; it has {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        };
        if self.compiled.contains_key(&at) {
            return Ok(at);
        }
        self.other_devices()?;
        let (netlist, devices) = (Arc::clone(&self.netlist), Arc::clone(&self.devices));
        let sequence = &netlist.sequences[at];
        let mut none = Vec::new();
        let mut compiler = Compiler::new(&netlist, None, &mut none);
        compiler.devices = &devices;
        let mut arguments = Vec::with_capacity(sequence.arguments.len());
        let op = crate::text::Op {
            name: "aie.runtime_sequence".to_owned(),
            span: sequence.span,
            results: Vec::new(),
            operands: Vec::new(),
            attributes: Vec::new(),
            regions: Vec::new(),
            successors: Vec::new(),
        };
        for ty in &sequence.arguments {
            arguments.push(match ty {
                Type::MemRef(memref) => Some(compiler.layout(&op, memref)?),
                _ => None,
            });
        }
        compiler.body(&sequence.body)?;
        let ops = compiler.sequence.take().unwrap_or_default();
        let program = Arc::new(compiler.program);
        self.compiled.insert(at, Compiled { program, ops, arguments });
        Ok(at)
    }

    /// Makes the other devices of the module ready, if any operation reconfigures the array to one.
    fn other_devices(&mut self) -> Result<(), RunError> {
        let module = &self.netlist.module;
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        module.body.iter().for_each(|op| reconfigured(op, &mut wanted));
        let known = |name: &str| {
            self.devices.iter().any(|device| device.netlist.name.as_deref() == Some(name))
        };
        let missing: Vec<String> =
            wanted.into_iter().filter(|name| !known(name)).map(str::to_owned).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut devices = self.devices.to_vec();
        for name in missing {
            let netlist = Arc::new(Netlist::build(module.clone(), Some(&name))?);
            devices.push(Arc::new(Configuration::new(netlist, &self.array.functions)?));
        }
        self.devices = devices.into();
        Ok(())
    }

    /// Runs a runtime sequence on host buffers, one per argument of the sequence, each at least as
    /// large as declared. Further buffers are those that only `npu.address_patch` names, such as the
    /// one for traces.
    ///
    /// # Errors
    /// When it hangs, breaks a rule that cannot be passed over, or exceeds the limits. The array is
    /// of no use afterwards.
    pub fn run(&mut self, sequence: &str, arguments: &mut [&mut [u8]]) -> Result<Run, RunError> {
        let at = self.compile(sequence)?;
        let netlist = Arc::clone(&self.netlist);
        let declared = &netlist.sequences[at];
        let sequence = declared.name.as_str();
        self.check(sequence, &declared.arguments, arguments)?;
        let Some(compiled) = self.compiled.get(&at) else {
            return Err(RunError::Design(format!("sequence `{sequence}` is gone")));
        };
        let array = &mut self.array;
        if !Arc::ptr_eq(&array.netlist, &netlist)
            && let Some(first) = self.devices.first()
        {
            array.configure(first);
        }
        array.devices = Arc::clone(&self.devices);
        array.memory.host.clear();
        let mut thread = core::Thread::new(Arc::clone(&compiled.program));
        // The frame begins with the arguments.
        for (i, bytes) in arguments.iter().enumerate() {
            let name = match declared.name.as_str() {
                "" => format!("argument {i}"),
                name => format!("argument {i} of `{name}`"),
            };
            array.memory.host.push(Place::new(name, bytes.len(), Some(bytes)));
            if let Some(&Some(layout)) = compiled.arguments.get(i) {
                let place = PlaceId::host(i as u32);
                let view = Value::View(View { place, offset: 0, layout });
                thread.set(Slot(i as u32), view);
            }
        }
        array.begin();
        array.findings.clear();
        array.recorder.begin(array.cores.len(), array.channels.len());
        array.controller = Controller::new(sequence, thread, compiled.ops.clone());
        for channel in &mut array.channels {
            // Tokens of an earlier sequence, which it did not wait for, are nothing to this one.
            channel.tokens = 0;
        }
        let start = array.now;
        array.at(start, Event::Controller);
        if !array.advance(|array| array.controller.done)? {
            return Err(RunError::Hang(array.hang_report(sequence)));
        }
        let cycles = array.now - start;
        let stats = array.stats(cycles);
        self.drain()?;
        let array = &mut self.array;
        for (bytes, place) in arguments.iter_mut().zip(&array.memory.host) {
            bytes.copy_from_slice(place.bytes());
        }
        let findings = std::mem::take(&mut array.findings);
        let microseconds = cycles as f64 / array.timing.clock_mhz;
        Ok(Run { cycles, microseconds, findings, stats })
    }

    /// Whether host buffers are those that the sequence declares.
    fn check(
        &self,
        sequence: &str,
        declared: &[Type],
        arguments: &[&mut [u8]],
    ) -> Result<(), RunError> {
        if declared.len() > arguments.len() {
            return Err(RunError::Design(format!(
                "sequence `{sequence}` takes {} buffers, not {}",
                declared.len(),
                arguments.len()
            )));
        }
        for (i, (ty, bytes)) in declared.iter().zip(arguments).enumerate() {
            let Type::MemRef(memref) = ty else {
                return Err(RunError::Design(format!(
                    "argument {i} of sequence `{sequence}` is no memref: only buffers can be given"
                )));
            };
            // What a sequence declares need not be all that a host gives it.
            if memref.bytes().is_none_or(|declared| declared > bytes.len()) {
                return Err(RunError::Design(format!(
                    "argument {i} of sequence `{sequence}` has {} bytes; the design declares {}",
                    bytes.len(),
                    memref.bytes().map_or("none".to_owned(), |bytes| bytes.to_string())
                )));
            }
        }
        Ok(())
    }

    /// Lets transfers of the sequence come to their end, and notes those that nothing waited for.
    fn drain(&mut self) -> Result<(), RunError> {
        let array = &mut self.array;
        let netlist = Arc::clone(&array.netlist);
        let shims: Vec<usize> = netlist
            .channels
            .iter()
            .enumerate()
            .filter(|(_, channel)| netlist.tiles[channel.tile.index()].kind == TileKind::Shim)
            .map(|(i, _)| i)
            .collect();
        for &i in &shims {
            let late = array.channels[i].outstanding() > 0
                && !array.only_traces(crate::netlist::ChannelId(i as u32))
                && netlist.channels[i].direction == Direction::S2mm;
            if let Some(task) = array.channels[i].last_sent()
                && late
            {
                let message = format!(
                    "{} still writes to the host when the sequence ends, and nothing waits for it: \
                     await the task",
                    array.channel_name(crate::netlist::ChannelId(i as u32))
                );
                array.finding(FindingKind::Unfinished, task, message);
            }
        }
        let steps = array.steps;
        array.advance(|array| {
            shims.iter().all(|&i| array.channels[i].outstanding() == 0)
                || array.steps > steps + DRAIN_STEPS
        })?;
        for i in shims {
            let id = crate::netlist::ChannelId(i as u32);
            let traces = array.only_traces(id);
            while let Some((span, left)) = array.channels[i].cancel() {
                if traces {
                    continue;
                }
                let message = format!(
                    "{} never comes to its end: {left} bytes of its transfer are left when all \
                     else is done",
                    array.channel_name(id)
                );
                array.finding(FindingKind::Unfinished, span, message);
            }
        }
        Ok(())
    }

    /// Takes other costs than those of the device's table, of a machine with other memory for one.
    pub fn set_timing(&mut self, timing: Timing) {
        self.array.timing = timing;
    }

    /// Only predicts time from now on: transfers take theirs but move no bytes, so that functions
    /// which compute nothing can stand in for the real ones. Nothing is uninitialised then.
    pub fn move_no_data(&mut self) {
        self.array.data = false;
    }

    /// Records what every core and channel does from now on, for [`Self::trace`].
    pub fn record(&mut self) {
        self.array.recorder.intervals = Some(Vec::new());
    }

    /// What was recorded, in Chrome's trace format, which Perfetto reads too: one row per core and
    /// DMA channel, times in microseconds of the device.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn trace(&self, to: impl std::io::Write) -> std::io::Result<()> {
        self.array.write_trace(to)
    }
}

/// Symbols of devices that an operation, or one within it, reconfigures the array to.
fn reconfigured<'a>(op: &'a Op, to: &mut BTreeSet<&'a str>) {
    let symbol = match op.name.as_str() {
        "aiex.configure" => op.symbol("symbol"),
        "aiex.npu.load_pdi" => op.symbol("device_ref"),
        _ => None,
    };
    to.extend(symbol.map(Symbol::leaf));
    for block in op.regions.iter().flat_map(|region| &region.blocks) {
        block.ops.iter().for_each(|op| reconfigured(op, to));
    }
}
