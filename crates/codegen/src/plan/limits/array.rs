//! Rules of a static configuration: what each tile offers, and how fifos, links and programs fit.

use std::collections::BTreeMap;

use super::strides::Strides;
use super::{Rule, Violation, violation};
use crate::device::{self, CORE_BANK, TileKind, VECTOR_BYTES};
use crate::plan::array::{Argument, Array, At, Core, Fifo, Link, Port, Step};
use crate::plan::usage::Usage;

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

fn check_link(array: &Array, link: &Link, found: &mut Vec<Violation>) {
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
