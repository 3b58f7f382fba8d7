//! The rules that a plan must keep: what the device cannot do, and what MLIR-AIE accepts although
//! it is wrong.
//!
//! [`check_array`] looks at a static configuration, [`check_sequence`] at one runtime sequence on
//! it. Both report every violation. Sources of the numbers stand in [`device`].

use std::collections::{BTreeMap, BTreeSet};

use super::array::{Argument, Array, At, Core, Dimension, Fifo, Layout, Port, Step};
use super::sequence::{Command, HostBuffer, Sequence, Transfer};
use super::usage::Usage;
use crate::device::{
    self, CORE_BANK, MAX_HOST_BYTES, MAX_ITERATION, MAX_RUNS, TASK_QUEUE, TileKind, VECTOR_BYTES,
};

/// A rule, by what it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Tiles are made of whole pairs of micro-tiles.
    MicroTile,
    /// The parameters fit into the tile that carries them.
    ParameterTile,
    /// Data memory of a core, with its stack.
    CoreMemory,
    /// Memory of a memtile.
    MemtileMemory,
    /// A stack fits into one bank.
    Stack,
    /// Vectors are loaded from whole multiples of 64 bytes.
    VectorAlignment,
    /// Buffer descriptors of a tile.
    Descriptors,
    /// Locks of a tile.
    Locks,
    /// DMA channels of a tile.
    Channels,
    /// Number of dimensions of a descriptor.
    Dimensions,
    /// Size of a dimension.
    Wrap,
    /// Stride of a dimension.
    Stride,
    /// Only the iteration may have stride 0.
    ZeroStride,
    /// Strides and rows in multiples of 4 bytes.
    Alignment,
    /// Objects, lengths and offsets of transfers in multiples of 4 bytes.
    WholeWords,
    /// The dimensions move exactly as much as the object or the transfer holds.
    Coverage,
    /// Fifos named by links, programs and transfers exist, with matching ends and sizes.
    Wiring,
    /// The depth of a fifo suits what is acquired of it.
    Depth,
    /// Everything acquired is released.
    Release,
    /// Host buffers are small enough to be addressed.
    HostBuffer,
    /// Transfers stay within their host buffer.
    HostBounds,
    /// The host moves as many objects as the cores work on.
    HostLength,
    /// Runs of a descriptor that step.
    Iteration,
    /// Runs of a descriptor in one task.
    Runs,
    /// Tasks queued on one channel.
    Queue,
    /// What is waited for reports its completion.
    Token,
    /// A sequence ends only when its results have arrived.
    Completion,
    /// A sequence gives all its descriptors back.
    Leak,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 28] = [
        Self::MicroTile,
        Self::ParameterTile,
        Self::CoreMemory,
        Self::MemtileMemory,
        Self::Stack,
        Self::VectorAlignment,
        Self::Descriptors,
        Self::Locks,
        Self::Channels,
        Self::Dimensions,
        Self::Wrap,
        Self::Stride,
        Self::ZeroStride,
        Self::Alignment,
        Self::WholeWords,
        Self::Coverage,
        Self::Wiring,
        Self::Depth,
        Self::Release,
        Self::HostBuffer,
        Self::HostBounds,
        Self::HostLength,
        Self::Iteration,
        Self::Runs,
        Self::Queue,
        Self::Token,
        Self::Completion,
        Self::Leak,
    ];

    /// Whether `aiecc` of 2026-03 lets a violation pass.
    ///
    /// `tests/against_compiler.rs` holds every rule against the real tool.
    pub const fn tools_accept(self) -> bool {
        matches!(
            self,
            Self::MicroTile
                | Self::ParameterTile
                | Self::Stack
                | Self::VectorAlignment
                | Self::WholeWords
                | Self::Coverage
                | Self::Depth
                | Self::Release
                | Self::HostBuffer
                | Self::HostBounds
                | Self::HostLength
                | Self::Queue
                | Self::Completion
                | Self::Leak
        )
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What is wrong, with numbers.
    pub message: String,
    /// What would work.
    pub help: String,
}

fn violation(rule: Rule, message: String, help: impl Into<String>) -> Violation {
    Violation { rule, message, help: help.into() }
}

/// Checks a tile before anything is built from it: whole micro-tiles, and room for the parameters.
pub fn check_layout(layout: &Layout) -> Vec<Violation> {
    let (tile, micro) = (layout.tile, layout.micro);
    let steps = [("m", tile.m, 2 * micro.r), ("k", tile.k, micro.s), ("n", tile.n, 2 * micro.t)];
    let mut found = Vec::new();
    for (name, value, step) in steps {
        if value == 0 || !value.is_multiple_of(step) {
            let below = (value / step * step).max(step);
            found.push(violation(
                Rule::MicroTile,
                format!(
                    "{name} = {value} is no multiple of {step}, which {} with {} needs",
                    layout.device, layout.precision
                ),
                format!("take {name} = {below} or {}", below + step),
            ));
        }
    }
    let bytes = layout.precision.bytes();
    let carriers = [
        ("A", layout.a_parameter_bytes(), layout.a_elements() * bytes),
        ("B", layout.b_parameter_bytes(), layout.b_elements() * bytes),
    ];
    for (name, parameters, room) in carriers {
        if parameters > room {
            found.push(violation(
                Rule::ParameterTile,
                format!("{parameters} bytes of scales and bias do not fit into a tile of {name} of {room} bytes"),
                "take a larger k",
            ));
        }
    }
    found
}

/// Checks a static configuration.
pub fn check_array(array: &Array) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, usage) in &array.usage() {
        check_usage(*at, usage, &mut found);
    }
    for fifo in &array.fifos {
        check_fifo(array, fifo, &mut found);
    }
    for link in &array.links {
        check_link(array, link, &mut found);
    }
    for core in &array.cores {
        check_core(array, core, &mut found);
    }
    found
}

fn check_usage(at: At, usage: &Usage, found: &mut Vec<Violation>) {
    let kind = at.kind();
    let limits = device::limits(kind);
    if kind != TileKind::Shim && usage.memory > limits.memory {
        let rule = if kind == TileKind::Core { Rule::CoreMemory } else { Rule::MemtileMemory };
        found.push(violation(
            rule,
            format!("{at} needs {} bytes of memory and has {}", usage.memory, limits.memory),
            "take a smaller m, k or n",
        ));
    }
    if kind == TileKind::Memtile {
        for (parity, count) in ["even", "odd"].iter().zip(usage.descriptors_by_parity()) {
            let most = limits.descriptors / 2;
            if count > most {
                found.push(violation(
                    Rule::Descriptors,
                    format!("{at} needs {count} descriptors on {parity} channels and has {most}"),
                    "use shallower fifos or fewer parts",
                ));
            }
        }
    } else if usage.descriptors() > limits.descriptors {
        let (count, most) = (usage.descriptors(), limits.descriptors);
        found.push(violation(
            Rule::Descriptors,
            format!("{at} needs {count} descriptors and has {most}"),
            "use shallower or fewer fifos",
        ));
    }
    if usage.locks > limits.locks {
        found.push(violation(
            Rule::Locks,
            format!("{at} needs {} locks and has {}", usage.locks, limits.locks),
            "use fewer fifos",
        ));
    }
    for (direction, channels) in [("input", &usage.inputs), ("output", &usage.outputs)] {
        if channels.len() > limits.channels {
            found.push(violation(
                Rule::Channels,
                format!(
                    "{at} needs {} {direction} channels and has {}",
                    channels.len(),
                    limits.channels
                ),
                "use fewer fifos",
            ));
        }
    }
}

fn check_fifo(array: &Array, fifo: &Fifo, found: &mut Vec<Violation>) {
    let name = format!("fifo `{}`", fifo.name);
    if !fifo.bytes().is_multiple_of(4) {
        found.push(violation(
            Rule::WholeWords,
            format!("an object of {name} has {} bytes, no multiple of 4", fifo.bytes()),
            "take a larger m, k or n",
        ));
    }
    if fifo.to_stream.is_empty() {
        return;
    }
    let parts =
        array.links.iter().find(|link| link.to == fifo.name).map_or(1, |link| link.from.len());
    let layout =
        Strides { name: &name, at: fifo.producer, element: fifo.element.bytes(), iterates: false };
    layout.check(&fifo.to_stream, found);
    let covered: usize = fifo.to_stream.iter().map(|dimension| dimension.size).product();
    if covered * parts != fifo.elements {
        found.push(violation(
            Rule::Coverage,
            format!(
                "the layout of {name} moves {covered} elements, its object has {}",
                fifo.elements / parts
            ),
            "make the sizes multiply to the object",
        ));
    }
}

/// A strided layout on its way through a tile's DMA.
struct Strides<'a> {
    name: &'a str,
    at: At,
    /// Bytes of one element.
    element: usize,
    /// Whether the outermost of four dimensions is the iteration.
    iterates: bool,
}

impl Strides<'_> {
    fn check(&self, dimensions: &[Dimension], found: &mut Vec<Violation>) {
        let limits = device::limits(self.at.kind());
        let name = self.name;
        let most = limits.dimensions + usize::from(self.iterates && limits.iteration);
        if dimensions.len() > most {
            found.push(violation(
                Rule::Dimensions,
                format!("{name} has {} dimensions, the {} takes {most}", dimensions.len(), self.at),
                "merge dimensions that are contiguous",
            ));
            return;
        }
        let iteration = if self.iterates && dimensions.len() == most { 1 } else { 0 };
        let inner = dimensions.len().saturating_sub(1);
        for (i, dimension) in dimensions.iter().enumerate() {
            self.check_stride(*dimension, i < iteration, i == inner, found);
            // The third dimension of a shim has no counter of its own.
            let counted = self.at.kind() != TileKind::Shim || i + 2 >= dimensions.len();
            if counted && i >= iteration {
                self.check_wrap(*dimension, i == inner, limits.wrap, found);
            }
        }
    }

    fn check_wrap(
        &self,
        dimension: Dimension,
        inner: bool,
        most: usize,
        found: &mut Vec<Violation>,
    ) {
        let unit = if inner { "words" } else { "steps" };
        let size = if inner { dimension.size * self.element / 4 } else { dimension.size };
        if size > most {
            found.push(violation(
                Rule::Wrap,
                format!(
                    "{} has a dimension of {size} {unit}, the {} counts to {most}",
                    self.name, self.at
                ),
                "take a smaller m or n",
            ));
        }
    }

    fn check_stride(
        &self,
        dimension: Dimension,
        iteration: bool,
        inner: bool,
        found: &mut Vec<Violation>,
    ) {
        let Dimension { size, stride } = dimension;
        let (name, step) = (self.name, device::limits(self.at.kind()).step);
        let unit = inner && stride == 1;
        if size > 1 && stride == 0 && !iteration {
            found.push(violation(
                Rule::ZeroStride,
                format!("{name} has a stride of 0 in an inner dimension"),
                "repeat with the outermost dimension only",
            ));
        }
        let bytes = if unit { size * self.element } else { stride * self.element };
        if !bytes.is_multiple_of(4) {
            let what = if unit { "rows" } else { "a stride" };
            found.push(violation(
                Rule::Alignment,
                format!("{name} has {what} of {bytes} bytes, no multiple of 4"),
                "make N even",
            ));
        }
        if size > 1 && stride * self.element / 4 > step {
            let words = stride * self.element / 4;
            found.push(violation(
                Rule::Stride,
                format!("{name} has a stride of {words} words, the {} reaches {step}", self.at),
                format!("take a smaller m or N: the step over a row block of C is 2·m·N words and must stay within {step}"),
            ));
        }
    }
}

fn check_link(array: &Array, link: &super::array::Link, found: &mut Vec<Violation>) {
    let to = array.fifo(&link.to);
    let from: Option<Vec<&Fifo>> = link.from.iter().map(|name| array.fifo(name)).collect();
    let (Some(to), Some(from)) = (to, from) else {
        let message =
            format!("the link to `{}` at {} names a fifo that does not exist", link.to, link.at);
        found.push(violation(Rule::Wiring, message, "name declared fifos"));
        return;
    };
    let meets = to.producer == link.at && from.iter().all(|fifo| fifo.consumers.contains(&link.at));
    let elements: usize = from.iter().map(|fifo| fifo.elements).sum();
    if !meets || elements != to.elements {
        let message = format!(
            "the link to `{}` at {} passes {elements} elements on as {}",
            link.to, link.at, to.elements
        );
        found.push(violation(
            Rule::Wiring,
            message,
            "make the parts add up and meet at one memtile",
        ));
    }
}

fn check_core(array: &Array, core: &Core, found: &mut Vec<Violation>) {
    if core.stack > CORE_BANK {
        found.push(violation(
            Rule::Stack,
            format!(
                "the stack of {} has {} bytes, more than a bank of {CORE_BANK}",
                core.at, core.stack
            ),
            "use a smaller stack",
        ));
    }
    check_vectors(array, core, found);
    let mut held = BTreeMap::new();
    Program { array, core, found }.check(&core.program, &mut held);
}

/// MLIR-AIE lays buffers one behind the other after the stack, the largest first, and aligns none.
/// AIE2P loads vectors of 64 bytes from multiples of 64 only, so everything before has to be whole.
fn check_vectors(array: &Array, core: &Core, found: &mut Vec<Violation>) {
    let ends_here = |fifo: &&Fifo| fifo.producer == core.at || fifo.consumers.contains(&core.at);
    let objects = array.fifos.iter().filter(ends_here);
    let objects = objects.map(|fifo| (format!("an object of `{}`", fifo.name), fifo.bytes()));
    let own = [
        ("the stack".to_owned(), core.stack),
        ("the accumulators".to_owned(), core.accumulators.bytes()),
    ];
    for (what, bytes) in objects.chain(own) {
        if !bytes.is_multiple_of(VECTOR_BYTES) {
            found.push(violation(
                Rule::VectorAlignment,
                format!("{what} of {} has {bytes} bytes, no multiple of {VECTOR_BYTES}", core.at),
                format!("make it a multiple of {VECTOR_BYTES} bytes"),
            ));
        }
    }
}

struct Program<'a> {
    array: &'a Array,
    core: &'a Core,
    found: &'a mut Vec<Violation>,
}

impl<'a> Program<'a> {
    /// Walks the steps of one body; `held` counts what is acquired and not yet released.
    fn check(&mut self, steps: &'a [Step], held: &mut BTreeMap<&'a str, usize>) {
        let before = held.clone();
        for step in steps {
            match step {
                Step::Loop { body, .. } => self.check(body, held),
                Step::Acquire { fifo, port, count } => self.acquire(fifo, *port, *count, held),
                Step::Release { fifo, count, .. } => self.release(fifo, *count, held),
                Step::Call { function, arguments } => self.call(function, arguments, held),
            }
        }
        held.retain(|fifo, count| {
            let kept = before.get(fifo).copied().unwrap_or(0);
            if *count > kept {
                self.found.push(violation(
                    Rule::Release,
                    format!(
                        "{} acquires {count} of `{fifo}` and does not release them",
                        self.core.at
                    ),
                    "release every object before the loop goes round",
                ));
            }
            *count = kept;
            kept > 0
        });
    }

    fn acquire(
        &mut self,
        name: &'a str,
        port: Port,
        count: usize,
        held: &mut BTreeMap<&'a str, usize>,
    ) {
        let at = self.core.at;
        let ends_here = |fifo: &&Fifo| match port {
            Port::Produce => fifo.producer == at,
            Port::Consume => fifo.consumers.contains(&at),
        };
        match self.array.fifo(name).filter(ends_here) {
            None => self.found.push(violation(
                Rule::Wiring,
                format!("{at} acquires from `{name}`, which has no such end there"),
                "acquire from a fifo that begins or ends at the core",
            )),
            // One more than is acquired at a time is what the compiler keeps: depth 1 or 2 here.
            Some(fifo) if count > fifo.depth || fifo.depth > count + 1 => {
                self.found.push(violation(
                    Rule::Depth,
                    format!("{at} acquires {count} of `{name}`, whose depth is {}", fifo.depth),
                    format!("use depth {count} or {}", count + 1),
                ))
            }
            Some(_) => {}
        }
        *held.entry(name).or_default() += count;
    }

    fn release(&mut self, name: &str, count: usize, held: &mut BTreeMap<&str, usize>) {
        match held.get_mut(name) {
            Some(held) if *held >= count => *held -= count,
            _ => self.found.push(violation(
                Rule::Release,
                format!("{} releases {count} of `{name}`, more than it acquired", self.core.at),
                "release what was acquired",
            )),
        }
    }

    fn call(&mut self, function: &str, arguments: &[Argument], held: &BTreeMap<&str, usize>) {
        let declared = self.array.functions.iter().find(|declared| declared.name == function);
        if declared.is_none_or(|declared| declared.arguments.len() != arguments.len()) {
            self.found.push(violation(
                Rule::Wiring,
                format!("{} calls `{function}`, which is not declared like that", self.core.at),
                "call a declared function with its arguments",
            ));
        }
        for argument in arguments {
            if let Argument::Object { fifo } = argument
                && held.get(fifo.as_str()).is_none_or(|&count| count == 0)
            {
                self.found.push(violation(
                    Rule::Release,
                    format!("{} uses an object of `{fifo}` that it does not hold", self.core.at),
                    "acquire before the call and release after it",
                ));
            }
        }
    }
}

/// Checks one runtime sequence on its configuration.
pub fn check_sequence(array: &Array, sequence: &Sequence) -> Vec<Violation> {
    let mut found = Vec::new();
    for buffer in &sequence.arguments {
        check_host_buffer(buffer, &mut found);
    }
    for transfer in &sequence.transfers {
        check_transfer(array, sequence, transfer, &mut found);
    }
    check_balance(array, sequence, &mut found);
    check_commands(array, sequence, &mut found);
    found
}

fn check_host_buffer(buffer: &HostBuffer, found: &mut Vec<Violation>) {
    if buffer.bytes() as u64 > MAX_HOST_BYTES {
        found.push(violation(
            Rule::HostBuffer,
            format!(
                "host buffer `{}` has {} bytes, more than {MAX_HOST_BYTES}",
                buffer.name,
                buffer.bytes()
            ),
            "use smaller dimensions",
        ));
    }
}

fn check_transfer(
    array: &Array,
    sequence: &Sequence,
    transfer: &Transfer,
    found: &mut Vec<Violation>,
) {
    let name = format!("transfer `{}`", transfer.name);
    let (Some(fifo), Some(buffer)) =
        (array.fifo(&transfer.fifo), sequence.arguments.get(transfer.argument))
    else {
        let message = format!("{name} names a fifo or an argument that does not exist");
        found.push(violation(Rule::Wiring, message, "name declared ones"));
        return;
    };
    let Some(shim) = shim_of(fifo) else {
        let message = format!("{name} uses fifo `{}`, which does not reach a shim", fifo.name);
        found.push(violation(Rule::Wiring, message, "use a fifo that begins or ends at a shim"));
        return;
    };
    let element = buffer.element.bytes();
    let iterates = transfer.dimensions.len() == 4;
    Strides { name: &name, at: shim, element, iterates }.check(&transfer.dimensions, found);
    check_runs(&name, transfer, iterates, found);
    check_bounds(&name, transfer, buffer, found);
    for (what, count) in [("begins at byte", transfer.offset), ("moves", transfer.length)] {
        if !(count * element).is_multiple_of(4) {
            found.push(violation(
                Rule::WholeWords,
                format!("{name} {what} {}, no multiple of 4", count * element),
                "make N even",
            ));
        }
    }
    let inner: usize = transfer.dimensions.iter().skip(iterates.into()).map(|d| d.size).product();
    if !transfer.dimensions.is_empty() && inner != transfer.length {
        found.push(violation(
            Rule::Coverage,
            format!(
                "the dimensions of {name} move {inner} elements, its length is {}",
                transfer.length
            ),
            "make the sizes below the iteration multiply to the length",
        ));
    }
    if !transfer.length.is_multiple_of(fifo.elements) {
        found.push(violation(
            Rule::HostLength,
            format!(
                "{name} moves {} elements, no multiple of the {} of an object",
                transfer.length, fifo.elements
            ),
            "move whole objects",
        ));
    }
}

fn check_runs(name: &str, transfer: &Transfer, iterates: bool, found: &mut Vec<Violation>) {
    let iteration = transfer.dimensions.first().filter(|_| iterates);
    if let Some(iteration) = iteration.filter(|dimension| dimension.size > MAX_ITERATION) {
        found.push(violation(
            Rule::Iteration,
            format!("{name} steps {} times, the shim counts to {MAX_ITERATION}", iteration.size),
            "split it into several tasks",
        ));
    }
    if transfer.runs == 0 || transfer.runs > MAX_RUNS {
        found.push(violation(
            Rule::Runs,
            format!("{name} runs {} times, a task repeats up to {MAX_RUNS} times", transfer.runs),
            "take a larger m or n, so that there are fewer blocks",
        ));
    }
    if iteration.is_some_and(|dimension| dimension.size != transfer.runs) {
        let message = format!("{name} runs {} times and steps otherwise", transfer.runs);
        found.push(violation(Rule::Coverage, message, "step once per run"));
    }
}

fn check_bounds(name: &str, transfer: &Transfer, buffer: &HostBuffer, found: &mut Vec<Violation>) {
    let reach = transfer.dimensions.iter().map(|d| (d.size.max(1) - 1) * d.stride).sum::<usize>();
    let end = match transfer.dimensions.is_empty() {
        true => transfer.offset + transfer.length,
        false => transfer.offset + reach + 1,
    };
    if end > buffer.elements {
        found.push(violation(
            Rule::HostBounds,
            format!(
                "{name} reaches element {end} of host buffer `{}`, which has {}",
                buffer.name, buffer.elements
            ),
            "enlarge the buffer or shorten the transfer",
        ));
    }
}

/// The shim where a fifo begins or ends.
fn shim_of(fifo: &Fifo) -> Option<At> {
    let mut ends = fifo.consumers.iter().copied().chain([fifo.producer]);
    ends.find(|at| at.kind() == TileKind::Shim)
}

/// Compares what the host moves through every shim with what the cores behind it work on.
fn check_balance(array: &Array, sequence: &Sequence, found: &mut Vec<Violation>) {
    let mut worked: BTreeMap<&str, usize> = BTreeMap::new();
    for core in &array.cores {
        let mut counts = BTreeMap::new();
        count_releases(&core.program, sequence, 1, &mut counts);
        // All cores of a broadcast see the same objects.
        for (fifo, count) in counts {
            worked.insert(fifo, count);
        }
    }
    for fifo in array.fifos.iter().filter(|fifo| shim_of(fifo).is_some()) {
        let moved: usize = sequence
            .transfers
            .iter()
            .filter(|transfer| transfer.fifo == fifo.name)
            .map(|transfer| transfer.length * transfer.runs / fifo.elements)
            .sum();
        let needed = needed_objects(array, fifo, &worked);
        if moved != needed {
            let what = if moved == 0 { "is not served at all" } else { "does not balance" };
            found.push(violation(
                Rule::HostLength,
                format!(
                    "fifo `{}` {what}: the host moves {moved} objects, the cores {needed}",
                    fifo.name
                ),
                "move exactly what the runtime parameters make the cores work on",
            ));
        }
    }
}

/// Objects that the cores take from, or give to, the fifo that a memtile links to this one.
fn needed_objects(array: &Array, fifo: &Fifo, worked: &BTreeMap<&str, usize>) -> usize {
    let link =
        array.links.iter().find(|link| link.to == fifo.name || link.from.contains(&fifo.name));
    let core_side = link.map(|link| if link.to == fifo.name { &link.from[0] } else { &link.to });
    core_side.and_then(|name| worked.get(name.as_str())).copied().unwrap_or(0)
}

fn count_releases<'a>(
    steps: &'a [Step],
    sequence: &Sequence,
    times: usize,
    counts: &mut BTreeMap<&'a str, usize>,
) {
    for step in steps {
        match step {
            Step::Loop { trips, body } => {
                count_releases(body, sequence, times * trips.count(&sequence.parameters), counts);
            }
            Step::Release { fifo, count, .. } => *counts.entry(fifo).or_default() += times * count,
            Step::Acquire { .. } | Step::Call { .. } => {}
        }
    }
}

/// Follows the commands: queued tasks and live descriptors per shim, tokens, and the end.
fn check_commands(array: &Array, sequence: &Sequence, found: &mut Vec<Violation>) {
    let mut live: BTreeMap<At, BTreeSet<usize>> = BTreeMap::new();
    let mut queued: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut awaited = BTreeSet::new();
    for command in &sequence.commands {
        let (Command::Start(index) | Command::Await(index) | Command::Free(index)) = *command;
        let Some(transfer) = sequence.transfers.get(index) else { continue };
        let Some(shim) = array.fifo(&transfer.fifo).and_then(shim_of) else { continue };
        let descriptors = live.entry(shim).or_default();
        match command {
            Command::Start(_) => {
                descriptors.insert(index);
                let tasks = queued.entry(&transfer.fifo).or_default();
                tasks.push(index);
                check_queue(transfer, tasks.len(), shim, descriptors.len(), found);
            }
            Command::Await(_) => {
                if !transfer.token {
                    found.push(violation(
                        Rule::Token,
                        format!(
                            "the sequence waits for `{}`, which issues no token",
                            transfer.name
                        ),
                        "issue a token for every task that is waited for",
                    ));
                }
                awaited.insert(index);
                descriptors.remove(&index);
                // Tasks of a channel end in the order in which they were queued.
                queued.entry(&transfer.fifo).or_default().retain(|&task| task > index);
            }
            Command::Free(_) => {
                descriptors.remove(&index);
            }
        }
    }
    check_end(array, sequence, &live, &awaited, found);
}

fn check_queue(
    transfer: &Transfer,
    tasks: usize,
    shim: At,
    descriptors: usize,
    found: &mut Vec<Violation>,
) {
    if tasks > TASK_QUEUE {
        found.push(violation(
            Rule::Queue,
            format!(
                "`{}` is task {tasks} in the queue of its channel, which holds {TASK_QUEUE}",
                transfer.name
            ),
            "take a larger m, so that there are fewer blocks, or wait for an earlier task first",
        ));
    }
    let most = device::limits(TileKind::Shim).descriptors;
    if descriptors > most {
        found.push(violation(
            Rule::Descriptors,
            format!("{shim} needs {descriptors} descriptors at once and has {most}"),
            "wait for earlier tasks first",
        ));
    }
}

fn check_end(
    array: &Array,
    sequence: &Sequence,
    live: &BTreeMap<At, BTreeSet<usize>>,
    awaited: &BTreeSet<usize>,
    found: &mut Vec<Violation>,
) {
    for (index, transfer) in sequence.transfers.iter().enumerate() {
        let drains = array
            .fifo(&transfer.fifo)
            .is_some_and(|fifo| fifo.consumers.iter().any(|at| at.kind() == TileKind::Shim));
        if drains && !awaited.contains(&index) {
            found.push(violation(
                Rule::Completion,
                format!("the sequence ends without waiting for `{}`", transfer.name),
                "wait for every transfer of results",
            ));
        }
    }
    for (shim, left) in live.iter().filter(|(_, left)| !left.is_empty()) {
        found.push(violation(
            Rule::Leak,
            format!("{shim} keeps {} descriptors after the sequence", left.len()),
            "wait for or free every task",
        ));
    }
}
