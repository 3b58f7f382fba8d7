//! Acquires and releases of objectfifos.
//!
//! How many objects an acquire waits for is decided here and not while it runs, as the compiler
//! does: from what the acquires and releases before it in the text leave in hand. A release that is
//! missing in a loop therefore makes the loop run out of objects.

use std::collections::HashMap;

use super::{Compiler, Result, Step};
use crate::engine::program::{Index, Instruction};
use crate::netlist::FifoPort;
use crate::text::{Op, Symbol};

/// What is in hand at a place of the text.
#[derive(Default)]
pub(super) struct Held {
    /// Objects of an end that the last acquire left in hand.
    objects: HashMap<u32, u32>,
    /// Releases since, with where they stand.
    releases: Vec<(u32, u32, Vec<Step>)>,
}

/// Compiles the operation if it is one of these.
pub(super) fn compile(c: &mut Compiler<'_>, op: &Op) -> Result<bool> {
    match op.name.as_str() {
        "aie.objectfifo.acquire" => {
            let (end, count) = c.fifo_end(op)?;
            let more = acquire(c, op, end, count)?;
            let to = c.result(op)?;
            c.emit(op, Instruction::FifoAcquire { to, end, count, more });
        }
        "aie.objectfifo.release" => {
            let (end, count) = c.fifo_end(op)?;
            let path = c.path.clone();
            c.fifos.releases.push((end, count, path));
            c.emit(op, Instruction::FifoRelease { end, count });
        }
        "aie.objectfifo.subview.access" => {
            let objects = c.operand(op, 0)?;
            let index = Index::Static(op.integer("index").unwrap_or(0) as i64);
            let Some(&result) = op.results.first() else { return Ok(true) };
            let layout = c.layout(op, c.memref_of(op, result)?)?;
            let to = c.define(result);
            c.emit(op, Instruction::FifoObject { to, objects, index, layout });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Objects that an acquire of `count` takes on top of those in hand.
fn acquire(c: &mut Compiler<'_>, op: &Op, end: u32, count: u32) -> Result<u32> {
    let here = c.path.clone();
    let mut released = 0;
    c.fifos.releases.retain(|(of, count, path)| {
        let counts = *of == end && before(path, &here);
        if counts {
            released += count;
        }
        !counts
    });
    let objects = c.fifos.objects.get(&end).copied().unwrap_or(0);
    let Some(held) = objects.checked_sub(released) else {
        return Err(c.error(
            op,
            format!("{released} objects are released before this, of {objects} that are held"),
            "release what was acquired, once",
        ));
    };
    let more = count.saturating_sub(held);
    c.fifos.objects.insert(end, held + more);
    Ok(more)
}

/// Whether one place comes before another in a block that both are in.
fn before(a: &[Step], b: &[Step]) -> bool {
    a.iter().any(|(block, i)| b.iter().any(|(other, j)| block == other && i < j))
}

impl Compiler<'_> {
    /// The end that an acquire or release names, and its number of objects.
    fn fifo_end(&mut self, op: &Op) -> Result<(u32, u32)> {
        let name = op.symbol("objFifo_name").map_or("", Symbol::leaf).to_owned();
        let port = match op.integer("port") {
            Some(0) => FifoPort::Produce,
            _ => FifoPort::Consume,
        };
        let count = u32::try_from(op.integer("size").unwrap_or(1)).unwrap_or(0);
        let key = (name, port);
        let Some(end) = self.core.and_then(|core| core.ends.get(&key)) else {
            let (name, port) = key;
            let does = match port {
                FifoPort::Produce => "producer",
                FifoPort::Consume => "consumer",
            };
            return Err(self.error(
                op,
                format!("this core is no {does} of the objectfifo `{name}`"),
                "name the core's tile in the objectfifo, or use the other port",
            ));
        };
        if count == 0 || count as usize > end.buffers.len().max(1) {
            return Err(self.error(
                op,
                format!("{count} objects of `{}`, which has {}", key.0, end.buffers.len()),
                "acquire and release between one object and the depth",
            ));
        }
        let at = match self.program.ends.iter().position(|known| *known == key) {
            Some(at) => at,
            None => {
                self.program.ends.push(key);
                self.program.ends.len() - 1
            }
        };
        Ok((at as u32, count))
    }
}
