//! Where buffers lie in the memory of their tiles.
//!
//! Only registers and control packets name addresses. Buffers without one get it as the compiler's
//! `--alloc-scheme=basic-sequential` gives it: behind the stack, the largest first, around those that
//! have one. Designs that write registers are made for that scheme; the other one, bank-aware, moves
//! buffers with every change of a design.

use std::collections::BTreeMap;

use crate::netlist::{BufferId, Netlist, TileId, TileKind};

/// The addresses of a netlist's buffers.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    by_buffer: Vec<u32>,
    /// Buffers of a tile by their first byte.
    by_tile: BTreeMap<TileId, Vec<(u64, u64, BufferId)>>,
}

/// What lies at a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A part of a buffer, from that byte of it.
    Buffer(BufferId, u64),
    /// No buffer.
    Nothing,
    /// A part of a buffer and something else.
    Torn(BufferId),
}

impl Addresses {
    /// Gives every buffer its address.
    pub(super) fn new(netlist: &Netlist) -> Self {
        let mut by_buffer: Vec<Option<u32>> =
            netlist.buffers.iter().map(|buffer| buffer.address).collect();
        for (at, tile) in netlist.tiles.iter().enumerate() {
            if tile.kind == TileKind::Shim {
                continue;
            }
            let tile = TileId(at as u32);
            let here = || netlist.buffers.iter().enumerate().filter(|(_, b)| b.tile == tile);
            let mut given: Vec<(u64, u64)> =
                here().filter_map(|(_, b)| Some((u64::from(b.address?), b.bytes as u64))).collect();
            given.sort_unstable();
            let mut open: Vec<usize> =
                here().filter(|(_, b)| b.address.is_none()).map(|(i, _)| i).collect();
            open.sort_by_key(|&i| std::cmp::Reverse(netlist.buffers[i].bytes));
            let mut address = netlist.stack(tile);
            let mut given = given.into_iter().peekable();
            for i in open {
                let bytes = netlist.buffers[i].bytes as u64;
                while let Some((start, size)) = given.next_if(|(start, _)| address + bytes > *start)
                {
                    address = start + size;
                }
                by_buffer[i] = u32::try_from(address).ok();
                address += bytes;
            }
        }
        let by_buffer: Vec<u32> = by_buffer.into_iter().map(Option::unwrap_or_default).collect();
        let mut by_tile: BTreeMap<TileId, Vec<(u64, u64, BufferId)>> = BTreeMap::new();
        for (i, (buffer, &start)) in netlist.buffers.iter().zip(&by_buffer).enumerate() {
            if netlist.tile(buffer.tile).kind != TileKind::Shim {
                let start = u64::from(start);
                let range = (start, start + buffer.bytes as u64, BufferId(i as u32));
                by_tile.entry(buffer.tile).or_default().push(range);
            }
        }
        Self { by_buffer, by_tile }
    }

    /// The address of a buffer, by its index.
    pub(super) fn of(&self, buffer: usize) -> u32 {
        self.by_buffer.get(buffer).copied().unwrap_or(0)
    }

    /// What lies at addresses of a tile.
    pub(super) fn find(&self, tile: TileId, start: u64, end: u64) -> Found {
        let ranges = self.by_tile.get(&tile).map_or(&[][..], Vec::as_slice);
        let within = ranges.iter().find(|(from, to, _)| *from <= start && end <= *to);
        if let Some(&(from, _, buffer)) = within {
            return Found::Buffer(buffer, start - from);
        }
        match ranges.iter().find(|(from, to, _)| *from < end && start < *to) {
            Some(&(.., buffer)) => Found::Torn(buffer),
            None => Found::Nothing,
        }
    }
}
