//! Netlists of small designs, against what their author expects by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod fifos;
mod links;
mod malformed;
mod memories;
mod programs;
mod refusals;
mod streams;

use tilewright_sim::netlist::{Direction, Netlist, TileId};
use tilewright_sim::text::{self, DesignError, Source};

/// Tiles that most designs here use.
const TILES: &str = "
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core = aie.tile(0, 2)
    %north = aie.tile(0, 3)
    %far = aie.tile(0, 5)
    %shim1 = aie.tile(1, 0)
    %mem1 = aie.tile(1, 1)
    %east = aie.tile(1, 2)";

/// The netlist of a device with [`TILES`] and these operations.
fn try_build(body: &str) -> Result<Netlist, DesignError> {
    let text = format!("module {{\n aie.device(npu2) @d {{{TILES}\n{body}\n }}\n}}\n");
    Netlist::build(text::parse(&Source::new("design.mlir", &text))?, None)
}

fn build(body: &str) -> Netlist {
    try_build(body).unwrap_or_else(|error| panic!("{error}\n{body}"))
}

/// A core that acquires and releases as often as it is told: `("f", "Consume", 2)`.
fn core(tile: &str, acquires: &[(&str, &str, u32)]) -> String {
    let mut text = format!("aie.core(%{tile}) {{\n");
    for (i, (fifo, port, count)) in acquires.iter().enumerate() {
        text.push_str(&format!(
            "%v{i} = aie.objectfifo.acquire @{fifo}({port}, {count}) : \
             !aie.objectfifosubview<memref<16xi32>>\n\
             aie.objectfifo.release @{fifo}({port}, {count})\n"
        ));
    }
    text + "aie.end\n}\n"
}

/// `(0, 2)`.
fn place(netlist: &Netlist, id: TileId) -> (u32, u32) {
    let tile = &netlist.tiles[id.index()];
    (tile.column, tile.row)
}

/// Names of the buffers on a tile, in order.
fn buffers_on(netlist: &Netlist, at: (u32, u32)) -> Vec<&str> {
    let here = netlist.buffers.iter().filter(|buffer| place(netlist, buffer.tile) == at);
    here.map(|buffer| buffer.name.as_str()).collect()
}

/// Names and initial values of the locks on a tile, by number.
fn locks_on(netlist: &Netlist, at: (u32, u32)) -> Vec<(&str, i32)> {
    let mut here: Vec<_> =
        netlist.locks.iter().filter(|lock| place(netlist, lock.tile) == at).collect();
    here.sort_by_key(|lock| lock.number);
    here.into_iter().map(|lock| (lock.name.as_str(), lock.initial)).collect()
}

/// A step of a channel's program, in words.
#[derive(Debug, PartialEq, Eq)]
struct Transfer {
    buffer: String,
    offset: u64,
    length: u64,
    take: Option<(String, i32)>,
    give: Option<(String, i32)>,
}

fn transfer(buffer: &str, range: (u64, u64), take: (&str, i32), give: (&str, i32)) -> Transfer {
    let lock = |(name, count): (&str, i32)| Some((name.to_owned(), count));
    let (offset, length) = range;
    Transfer { buffer: buffer.to_owned(), offset, length, take: lock(take), give: lock(give) }
}

/// What a channel's first task does, and whether it then begins anew.
fn program(
    netlist: &Netlist,
    at: (u32, u32),
    direction: Direction,
    number: u32,
) -> (Vec<Transfer>, bool) {
    let channel = netlist
        .channels
        .iter()
        .find(|channel| {
            place(netlist, channel.tile) == at
                && channel.direction == direction
                && channel.number == number
        })
        .expect("the channel");
    let first = channel.tasks.first().expect("a task").first;
    let mut transfers = Vec::new();
    let mut next = Some(first);
    while let Some(id) = next {
        let descriptor = &netlist.descriptors[id.index()];
        let tilewright_sim::netlist::Memory::Buffer(buffer) = descriptor.memory else {
            panic!("a buffer")
        };
        let lock = |id: tilewright_sim::netlist::LockId| netlist.locks[id.index()].name.clone();
        transfers.push(Transfer {
            buffer: netlist.buffers[buffer.index()].name.clone(),
            offset: descriptor.offset,
            length: descriptor.length,
            take: descriptor.acquire.map(|(id, _, count)| (lock(id), count)),
            give: descriptor.release.map(|(id, count)| (lock(id), count)),
        });
        next = descriptor.next.filter(|&next| next != first);
        if descriptor.next == Some(first) {
            return (transfers, true);
        }
    }
    (transfers, false)
}
