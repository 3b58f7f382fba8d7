//! Runs a netlist: deterministic discrete events in cycles of the array.
//!
//! Streams move data in chunks: a flow sends one when its source and all its destinations have an
//! active descriptor, as much as all of them can take at once. That is what a circuit-switched
//! stream does, but for the few words that its buffers hold.

mod array;
mod compile;
mod core;
mod dma;
mod hang;
mod memory;
mod pattern;
mod program;
mod sequence;
mod stats;
mod stream;
mod timing;
mod trace;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::functions::Functions;
use crate::netlist::{Direction, Netlist, TileKind};
use crate::text::{DesignError, Span, Type};

use array::{Array, Event};
use compile::{Compiler, LocalPlace};
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
    places: Vec<LocalPlace>,
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
        let mut array = Array::new(Arc::clone(&netlist), functions, limits);
        for buffer in &netlist.buffers {
            let initial = buffer.initial.as_deref();
            let place = Place::new(buffer.name.clone(), buffer.bytes, initial);
            array.memory.places.push(place);
        }
        let mut places = Vec::new();
        for core in &netlist.cores {
            let mut compiler = Compiler::new(&netlist, Some(core), &mut places);
            compiler.body(&core.body)?;
            let program = compiler.program;
            for symbol in &program.functions {
                if array.functions.get(symbol).is_none() {
                    let at = program.code.iter().position(|instruction| {
                        matches!(instruction, program::Instruction::Call { function, .. }
                            if program.functions[*function as usize] == *symbol)
                    });
                    let span = at.map_or(core.span, |at| program.spans[at]);
                    return Err(array.error(span, core::missing(symbol)));
                }
            }
            let ends = program
                .ends
                .iter()
                .filter_map(|key| Some((key.0.clone(), core.ends.get(key)?.clone())))
                .collect();
            array.cores.push(core::CoreState::new(Arc::new(program), ends));
        }
        let mut simulator = Self { array, netlist, compiled: BTreeMap::new(), places };
        simulator.add_places(0);
        let array = &mut simulator.array;
        array.host = array.memory.places.len() as u32;
        array.recorder.begin(array.cores.len(), array.channels.len());
        for core in 0..array.cores.len() {
            array.at(0, Event::Core(core as u32));
        }
        for channel in 0..array.channels.len() {
            let channel = crate::netlist::ChannelId(channel as u32);
            array.work.push_back(array::Work::Channel(channel));
        }
        Ok(simulator)
    }

    /// The design.
    pub fn netlist(&self) -> &Arc<Netlist> {
        &self.netlist
    }

    /// Puts the local places from a position on into the memory.
    fn add_places(&mut self, from: usize) {
        for place in &self.places[from..] {
            let initial = place.initial.as_deref();
            let place = Place::new(place.name.clone(), place.bytes, initial);
            self.array.memory.places.push(place);
        }
    }

    /// The position of a sequence, compiled.
    fn compile(&mut self, name: &str) -> Result<usize, RunError> {
        let sequences = &self.netlist.sequences;
        let Some(at) = sequences.iter().position(|sequence| sequence.name == name) else {
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
        let netlist = Arc::clone(&self.netlist);
        let sequence = &netlist.sequences[at];
        let before = self.places.len();
        let mut compiler = Compiler::new(&netlist, None, &mut self.places);
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
        self.add_places(before);
        self.array.host = self.array.memory.places.len() as u32;
        self.compiled.insert(at, Compiled { program, ops, arguments });
        Ok(at)
    }

    /// Runs a runtime sequence on host buffers, one per argument of the sequence.
    ///
    /// # Errors
    /// When it hangs, breaks a rule that cannot be passed over, or exceeds the limits. The array is
    /// of no use afterwards.
    pub fn run(&mut self, sequence: &str, arguments: &mut [&mut [u8]]) -> Result<Run, RunError> {
        let at = self.compile(sequence)?;
        let netlist = Arc::clone(&self.netlist);
        let declared = &netlist.sequences[at];
        self.check(sequence, &declared.arguments, arguments)?;
        let Some(compiled) = self.compiled.get(&at) else {
            return Err(RunError::Design(format!("sequence `{sequence}` is gone")));
        };
        let array = &mut self.array;
        array.memory.places.truncate(array.host as usize);
        let mut thread = core::Thread::new(Arc::clone(&compiled.program));
        // The frame begins with the arguments.
        for (i, (bytes, layout)) in arguments.iter().zip(&compiled.arguments).enumerate() {
            let place = PlaceId(array.memory.places.len() as u32);
            let name = format!("argument {i} of `{sequence}`");
            array.memory.places.push(Place::new(name, bytes.len(), Some(bytes)));
            if let Some(layout) = *layout {
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
        for (i, bytes) in arguments.iter_mut().enumerate() {
            let place = array.memory.place(PlaceId(array.host + i as u32));
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
        if declared.len() != arguments.len() {
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
            if memref.bytes() != Some(bytes.len()) {
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
        let netlist = Arc::clone(&self.netlist);
        let array = &mut self.array;
        let shims: Vec<usize> = netlist
            .channels
            .iter()
            .enumerate()
            .filter(|(_, channel)| netlist.tiles[channel.tile.index()].kind == TileKind::Shim)
            .map(|(i, _)| i)
            .collect();
        for &i in &shims {
            let late = array.channels[i].outstanding() > 0
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
            while let Some((span, left)) = array.channels[i].cancel() {
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
