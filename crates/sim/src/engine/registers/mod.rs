//! Registers of tiles, which runtime sequences and control packets write: what an address stands for
//! and what a write to it does.
//!
//! Sources: AM025 and aie-rt's `xaiemlgbl_params.h`; AIE2 and AIE2P have the same map.

mod access;
mod control;
mod descriptor;
mod words;

pub(super) use control::ControlPort;

use crate::netlist::{Direction, TileKind};
use words::WORDS;

/// Address of a tile in the array: column, row, and the byte within the tile.
pub(super) const COLUMN_SHIFT: u32 = 25;
/// As [`COLUMN_SHIFT`].
pub(super) const ROW_SHIFT: u32 = 20;
/// Bits of an address within a tile.
pub(super) const TILE_MASK: u32 = (1 << ROW_SHIFT) - 1;

/// The address of a byte of a tile.
pub(super) const fn absolute(column: u32, row: u32, offset: u32) -> u32 {
    (column & 0x7f) << COLUMN_SHIFT | (row & 0x1f) << ROW_SHIFT | offset & TILE_MASK
}

/// What an address of a tile stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    /// A byte of the data memory.
    Memory(u32),
    /// A word of a buffer descriptor.
    Descriptor { number: u32, word: usize },
    /// The value of a lock.
    Lock(u32),
    /// Control of a DMA channel.
    Channel { direction: Direction, number: u32 },
    /// A task is sent to a DMA channel.
    Queue { direction: Direction, number: u32 },
    /// Whether the core runs.
    Core,
    /// Traces, events, counters, timers, clocks, interrupts and status: has no effect here.
    Silent,
    /// What it is, which is not simulated.
    Not(&'static str),
}

/// The words of a buffer descriptor that were written one by one.
#[derive(Debug, Clone)]
pub(super) struct Written {
    words: [u32; WORDS],
    /// The host buffer that the address was set to, and the byte in it.
    host: Option<(u32, u64)>,
    /// Whether they differ from the descriptor that the channels see.
    changed: bool,
}

/// Descriptors are 8 words apart, of which those of cores use 6.
const DESCRIPTOR_BYTES: u32 = 0x20;
const LOCK_BYTES: u32 = 0x10;

/// Places of what the tiles have in common.
struct Map {
    memory: u32,
    descriptors: (u32, u32),
    locks: (u32, u32),
    s2mm: u32,
    mm2s: u32,
    channels: u32,
    /// Ranges without effect.
    silent: &'static [(u32, u32)],
    /// Ranges that do something which is not simulated.
    not: &'static [(u32, u32, &'static str)],
}

const ROUTES: &str = "a switch of streams: routes are those of the design's flows";

const CORE: Map = Map {
    memory: 0x1_0000,
    descriptors: (0x1_d000, 16),
    locks: (0x1_f000, 16),
    s2mm: 0x1_de00,
    mm2s: 0x1_de10,
    channels: 2,
    silent: &[
        // Counters, memory protection, timer, traces and events of the memory module.
        (0x1_0000, 0x1_d000),
        // Status of channels.
        (0x1_df00, 0x1_e000),
        // Events of locks.
        (0x1_f100, 0x1_f200),
        // The core's status, counters, processor bus, debugging, traces and events.
        (0x3_1000, 0x3_2000),
        (0x3_2004, 0x3_f000),
        // Events of the stream switch.
        (0x3_ff00, 0x4_0000),
        // Clocks and memory control.
        (0x6_0000, 0x6_1000),
        (0xf_ff00, 0x10_0000),
    ],
    not: &[
        (0x2_0000, 0x2_4000, "program memory: cores run the programs of the design"),
        (0x3_0000, 0x3_1000, "a register of the core's processor"),
        (0x3_f000, 0x3_ff00, ROUTES),
        (0x4_0000, 0x4_4000, "a request for a lock, which only reads make"),
    ],
};

const MEMTILE: Map = Map {
    memory: 0x8_0000,
    descriptors: (0xa_0000, 48),
    locks: (0xc_0000, 64),
    s2mm: 0xa_0600,
    mm2s: 0xa_0630,
    channels: 6,
    silent: &[
        (0x9_0000, 0xa_0000),
        (0xa_0660, 0xa_1000),
        (0xb_0f00, 0xb_1000),
        (0xc_0400, 0xc_1000),
        (0xf_ff00, 0x10_0000),
    ],
    not: &[
        (0xb_0000, 0xb_0f00, ROUTES),
        (0xd_0000, 0xe_0000, "a request for a lock, which only reads make"),
    ],
};

const SHIM: Map = Map {
    memory: 0,
    descriptors: (0x1_d000, 16),
    locks: (0x1_4000, 16),
    s2mm: 0x1_d200,
    mm2s: 0x1_d210,
    channels: 2,
    silent: &[
        // Events of locks, interrupts.
        (0x1_4100, 0x1_d000),
        (0x1_d220, 0x1_e000),
        // Counters, timer, traces, events, interrupts.
        (0x3_0000, 0x3_f000),
        (0x3_ff00, 0x4_0000),
        (0xf_ff00, 0x10_0000),
    ],
    not: &[
        (0x1_f000, 0x1_f008, "the shim's multiplexer: routes are those of the design's flows"),
        (0x3_f000, 0x3_ff00, ROUTES),
        (0x4_0000, 0x4_4000, "a request for a lock, which only reads make"),
    ],
};

/// Whether the core is enabled and reset.
const CORE_CONTROL: u32 = 0x3_2000;

/// What an address of a tile is; `None` where nothing is known to be.
pub(super) fn register(kind: TileKind, offset: u32) -> Option<Register> {
    let map = match kind {
        TileKind::Core => &CORE,
        TileKind::Memtile => &MEMTILE,
        TileKind::Shim => &SHIM,
    };
    if offset < map.memory {
        return Some(Register::Memory(offset));
    }
    let within = |(start, count): (u32, u32), size: u32| {
        let at = offset.checked_sub(start)?;
        (at / size < count).then_some((at / size, at % size))
    };
    if let Some((number, byte)) = within(map.descriptors, DESCRIPTOR_BYTES) {
        return Some(Register::Descriptor { number, word: byte as usize / 4 });
    }
    if let Some((lock, _)) = within(map.locks, LOCK_BYTES) {
        return Some(Register::Lock(lock));
    }
    for (start, direction) in [(map.s2mm, Direction::S2mm), (map.mm2s, Direction::Mm2s)] {
        if let Some((number, byte)) = within((start, map.channels), 8) {
            return Some(match byte {
                0..4 => Register::Channel { direction, number },
                _ => Register::Queue { direction, number },
            });
        }
    }
    if kind == TileKind::Core && offset == CORE_CONTROL {
        return Some(Register::Core);
    }
    if map.silent.iter().any(|(start, end)| (*start..*end).contains(&offset)) {
        return Some(Register::Silent);
    }
    let not = map.not.iter().find(|(start, end, _)| (*start..*end).contains(&offset));
    not.map(|(.., what)| Register::Not(what))
}

/// The address of a descriptor's first word within its tile.
pub(super) const fn descriptor_at(kind: TileKind, number: u32) -> u32 {
    let (start, _) = match kind {
        TileKind::Core => CORE.descriptors,
        TileKind::Memtile => MEMTILE.descriptors,
        TileKind::Shim => SHIM.descriptors,
    };
    start + number * DESCRIPTOR_BYTES
}

/// The address of a lock's value within its tile.
pub(super) const fn lock_at(kind: TileKind, number: u32) -> u32 {
    let (start, _) = match kind {
        TileKind::Core => CORE.locks,
        TileKind::Memtile => MEMTILE.locks,
        TileKind::Shim => SHIM.locks,
    };
    start + number * LOCK_BYTES
}

/// The address of a channel's task queue within its tile.
pub(super) const fn queue_at(kind: TileKind, direction: Direction, number: u32) -> u32 {
    let map = match kind {
        TileKind::Core => &CORE,
        TileKind::Memtile => &MEMTILE,
        TileKind::Shim => &SHIM,
    };
    let start = match direction {
        Direction::S2mm => map.s2mm,
        Direction::Mm2s => map.mm2s,
    };
    start + 8 * number + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_the_compiler_writes() {
        let queue = |direction, number| Some(Register::Queue { direction, number });
        assert_eq!(register(TileKind::Shim, 0x1_d214), queue(Direction::Mm2s, 0));
        assert_eq!(register(TileKind::Shim, 0x1_d20c), queue(Direction::S2mm, 1));
        assert_eq!(register(TileKind::Core, 0x1_de04), queue(Direction::S2mm, 0));
        assert_eq!(register(TileKind::Memtile, 0xa_0634), queue(Direction::Mm2s, 0));
        assert_eq!(register(TileKind::Memtile, 0xa_062c), queue(Direction::S2mm, 5));
        assert_eq!(register(TileKind::Core, 0x1_f0f0), Some(Register::Lock(15)));
        assert_eq!(
            register(TileKind::Shim, 0x1_d1e4),
            Some(Register::Descriptor { number: 15, word: 1 })
        );
        assert_eq!(register(TileKind::Core, 0x3_40d0), Some(Register::Silent));
        assert_eq!(register(TileKind::Shim, 0x1000), None);
        assert_eq!(queue_at(TileKind::Memtile, Direction::Mm2s, 2), 0xa_0644);
        assert_eq!(descriptor_at(TileKind::Core, 1), 0x1_d020);
    }
}
