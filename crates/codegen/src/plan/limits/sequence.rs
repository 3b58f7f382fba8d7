//! Rules of a runtime sequence: host buffers, transfers, tasks, and the balance with the cores.

use std::collections::{BTreeMap, BTreeSet};

use super::strides::Strides;
use super::{Rule, Violation, violation};
use crate::device::{self, MAX_HOST_BYTES, MAX_ITERATION, MAX_RUNS, TASK_QUEUE, TileKind};
use crate::plan::array::{Array, At, Fifo, Step};
use crate::plan::sequence::{Command, HostBuffer, Sequence, Transfer};

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
