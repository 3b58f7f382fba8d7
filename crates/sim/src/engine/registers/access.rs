//! Reads and writes of registers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::words;
use super::{COLUMN_SHIFT, ROW_SHIFT, Register, TILE_MASK, absolute, descriptor_at, register};
use crate::engine::RunError;
use crate::engine::addresses::Found;
use crate::engine::array::{Array, Work};
use crate::engine::memory::Place;
use crate::engine::value::PlaceId;
use crate::netlist::{ChannelId, DescriptorId, Direction, LockId, TileId, TileKind};
use crate::text::Span;
use tilewright_codegen::device::limits;

impl Array {
    /// Writes words from an address of the array on.
    pub(in crate::engine) fn write_words(
        &mut self,
        address: u32,
        values: &[u32],
        span: Span,
    ) -> Result<(), RunError> {
        for (i, &value) in values.iter().enumerate() {
            self.write_word(address.wrapping_add(4 * i as u32), value, u32::MAX, span)?;
        }
        self.changed(address, span)
    }

    /// Writes the bits of a word that the mask has.
    pub(in crate::engine) fn write_masked(
        &mut self,
        address: u32,
        value: u32,
        mask: u32,
        span: Span,
    ) -> Result<(), RunError> {
        self.write_word(address, value, mask, span)?;
        self.changed(address, span)
    }

    /// Column, row and what stands there; the tile, if the design names it.
    fn tile_at(
        &self,
        address: u32,
        span: Span,
    ) -> Result<(TileKind, Option<TileId>, String), RunError> {
        let (column, row) = (address >> COLUMN_SHIFT, address >> ROW_SHIFT & 0x1f);
        let Some(kind) = self.netlist.device.kind(column, row) else {
            let message =
                format!("address {address:#x} is of tile ({column}, {row}), which is none");
            return Err(self.error(span, message));
        };
        let tiles = &self.netlist.tiles;
        let tile = tiles.iter().position(|tile| (tile.column, tile.row) == (column, row));
        Ok((kind, tile.map(|at| TileId(at as u32)), format!("{kind} ({column}, {row})")))
    }

    fn register_at(
        &self,
        address: u32,
        span: Span,
    ) -> Result<(Register, Option<TileId>, TileKind, String), RunError> {
        let (kind, tile, name) = self.tile_at(address, span)?;
        let offset = address & TILE_MASK;
        if !offset.is_multiple_of(4) {
            let message = format!("address {offset:#x} of {name} is no multiple of 4");
            return Err(self.error(span, message));
        }
        match register(kind, offset) {
            Some(register) => Ok((register, tile, kind, name)),
            None => Err(self
                .error(span, format!("nothing is known to be at address {offset:#x} of {name}"))),
        }
    }

    fn write_word(
        &mut self,
        address: u32,
        value: u32,
        mask: u32,
        span: Span,
    ) -> Result<(), RunError> {
        let (register, tile, kind, name) = self.register_at(address, span)?;
        let offset = address & TILE_MASK;
        if let Register::Not(what) = register {
            let message = format!("address {offset:#x} of {name} is {what}; not simulated");
            return Err(self.error(span, message));
        }
        if register == Register::Silent {
            return Ok(());
        }
        let Some(tile) = tile else {
            let message = format!("address {offset:#x} of {name}, a tile that the design lacks");
            return Err(self.error(span, message));
        };
        let merged = |old: u32| old & !mask | value & mask;
        match register {
            Register::Memory(at) => {
                let old = if mask == u32::MAX { 0 } else { self.peek(tile, at) };
                self.poke(tile, at, merged(old));
                Ok(())
            }
            Register::Descriptor { number, word } => {
                let key = (tile, number);
                if !self.written.contains_key(&key) {
                    let before = self.descriptor_words(tile, number).ok_or_else(|| {
                        let message = format!(
                            "descriptor {number} of {name} is one that registers cannot hold as it \
                             is; write all of its words"
                        );
                        self.error(span, message)
                    })?;
                    self.written.insert(key, before);
                }
                if let Some(written) = self.written.get_mut(&key) {
                    written.words[word] = merged(written.words[word]);
                    written.changed = true;
                    if word == words::address_word(kind) && kind == TileKind::Shim {
                        written.host = None;
                    }
                }
                Ok(())
            }
            Register::Lock(number) => match self.lock_of(tile, number) {
                Some(lock) => {
                    let old = self.locks[lock.index()] as u32;
                    self.set_lock(lock, (merged(old) & 0x3f) as i32);
                    Ok(())
                }
                // Nobody can wait for one that the design does not name.
                None => Ok(()),
            },
            Register::Channel { direction, number } => {
                self.control_channel(tile, kind, direction, number, value & mask, span)
            }
            Register::Queue { direction, number } => {
                self.push(tile, kind, direction, number, value, span)
            }
            Register::Core if value & mask & 2 == 0 => Ok(()),
            Register::Core => {
                Err(self.error(span, format!("{name} is reset, which is not simulated")))
            }
            Register::Silent | Register::Not(_) => Ok(()),
        }
    }

    /// What a read of a register gives.
    pub(in crate::engine) fn read_word(&self, address: u32, span: Span) -> Result<u32, RunError> {
        let (register, tile, _, name) = self.register_at(address, span)?;
        let value = tile.and_then(|tile| match register {
            Register::Memory(at) => Some(self.peek(tile, at)),
            Register::Lock(number) => {
                self.lock_of(tile, number).map(|lock| self.locks[lock.index()] as u32)
            }
            Register::Descriptor { number, word } => match self.written.get(&(tile, number)) {
                Some(written) => written.words.get(word).copied(),
                None => self.descriptor_words(tile, number)?.words.get(word).copied(),
            },
            _ => None,
        });
        value.ok_or_else(|| {
            let offset = address & TILE_MASK;
            self.error(span, format!("reading address {offset:#x} of {name} is not simulated"))
        })
    }

    /// What the registers of a tile hold that reads give: its locks and descriptors. Its data a core
    /// reads by other ways.
    pub(in crate::engine) fn registers_of(&self, tile: TileId, span: Span) -> BTreeMap<u32, u32> {
        let here = self.netlist.tile(tile);
        let (column, row, kind) = (here.column, here.row, here.kind);
        let locks = (0..limits(kind).locks as u32).map(|lock| super::lock_at(kind, lock));
        let descriptors = (0..limits(kind).descriptors as u32)
            .flat_map(|number| (0..6).map(move |word| descriptor_at(kind, number) + 4 * word));
        locks
            .chain(descriptors)
            .filter_map(|at| Some((at, self.read_word(absolute(column, row, at), span).ok()?)))
            .collect()
    }

    pub(super) fn lock_of(&self, tile: TileId, number: u32) -> Option<LockId> {
        let locks = &self.netlist.locks;
        let at = locks.iter().position(|lock| lock.tile == tile && lock.number == number)?;
        Some(LockId(at as u32))
    }

    /// The place of a byte of a tile's memory, made if there is no buffer.
    fn cell(&mut self, tile: TileId, at: u32) -> (PlaceId, usize) {
        match self.addresses.find(tile, u64::from(at), u64::from(at) + 1) {
            Found::Buffer(buffer, byte) => (PlaceId(buffer.0), byte as usize),
            Found::Nothing | Found::Torn(_) => (self.tile_place(tile), at as usize),
        }
    }

    /// The memory of a tile outside of its buffers.
    pub(super) fn tile_place(&mut self, tile: TileId) -> PlaceId {
        let bytes = limits(self.netlist.tiles[tile.index()].kind).memory;
        let name = format!("the memory of {}", self.tile_name(tile));
        self.memory.tiles.entry(tile.0).or_insert_with(|| Place::new(name, bytes, None));
        PlaceId::tile(tile)
    }

    fn poke(&mut self, tile: TileId, at: u32, value: u32) {
        for (i, byte) in (at..).zip(value.to_le_bytes()) {
            let (place, offset) = self.cell(tile, i);
            let place = self.memory.place_mut(place);
            if let Some(to) = place.bytes_mut().get_mut(offset) {
                *to = byte;
                place.mark(offset, offset + 1, true);
            }
        }
    }

    fn peek(&self, tile: TileId, at: u32) -> u32 {
        let byte = |at: u32| {
            let (place, offset) = match self.addresses.find(tile, u64::from(at), u64::from(at) + 1)
            {
                Found::Buffer(buffer, byte) => (PlaceId(buffer.0), byte as usize),
                _ => (PlaceId::tile(tile), at as usize),
            };
            self.memory.place(place).bytes().get(offset).copied().unwrap_or(0)
        };
        u32::from_le_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)])
    }

    /// `npu.address_patch`: the descriptor at an address works on a host buffer.
    pub(in crate::engine) fn patch(
        &mut self,
        address: u32,
        argument: u32,
        plus: u64,
        span: Span,
    ) -> Result<(), RunError> {
        let (register, tile, kind, name) = self.register_at(address, span)?;
        let (Register::Descriptor { number, word }, TileKind::Shim, Some(tile)) =
            (register, kind, tile)
        else {
            let message = format!("{name} has no address of a host buffer there");
            return Err(self.error(span, message));
        };
        if word != words::address_word(kind) {
            let message = "the address of a shim's descriptor is its second word";
            return Err(self.error(span, message));
        }
        self.write_word(address, 0, u32::MAX, span)?;
        if let Some(written) = self.written.get_mut(&(tile, number)) {
            written.host = Some((argument, plus));
        }
        self.changed(address, span)
    }

    /// Descriptors that a static task goes over are seen by the channel as soon as they change;
    /// others when a task is sent.
    fn changed(&mut self, address: u32, span: Span) -> Result<(), RunError> {
        let (register, Some(tile), ..) = self.register_at(address, span)? else { return Ok(()) };
        let Register::Descriptor { number, .. } = register else { return Ok(()) };
        let in_use = self.slots.get(&(tile, number)).is_some_and(|&at| {
            at < self.netlist.descriptors.len() && self.descriptors[at].users == 0
        });
        if in_use && self.written.get(&(tile, number)).is_some_and(|written| written.changed) {
            // Half-written ones may make no sense; they are looked at again before they are used.
            let _ = self.commit(tile, number, span);
        }
        Ok(())
    }

    /// A channel's control register: the controller that gets tokens is the same here always.
    fn control_channel(
        &mut self,
        tile: TileId,
        kind: TileKind,
        direction: Direction,
        number: u32,
        value: u32,
        span: Span,
    ) -> Result<(), RunError> {
        // Shims pause with the bits that others reset with.
        let (reset, others): (u32, &[(u32, &str)]) = match kind {
            TileKind::Shim => (0, &[(2, "paused"), (4, "paused"), (8, "out of order")]),
            _ => (2, &[(8, "out of order"), (16, "compressed")]),
        };
        if let Some((_, what)) = others.iter().find(|(bit, _)| value & bit != 0) {
            return Err(self.error(span, format!("a channel that is {what} is not simulated")));
        }
        let Some(id) = self.channel_of(tile, direction, number) else { return Ok(()) };
        if value & reset != 0 {
            let state = &mut self.channels[id.index()];
            state.queue.clear();
            state.under_way.clear();
            if !state.busy && state.running.take().is_some() {
                for waiters in &mut self.waiters {
                    waiters.retain(|w| w.party != crate::engine::memory::Party::Channel(id));
                }
                for place in &mut self.memory.places {
                    place.end(crate::engine::memory::Party::Channel(id));
                }
            }
            self.work.push_back(Work::Channel(id));
        }
        Ok(())
    }

    fn channel_of(&self, tile: TileId, direction: Direction, number: u32) -> Option<ChannelId> {
        let at = self.netlist.channels.iter().position(|channel| {
            channel.tile == tile && channel.direction == direction && channel.number == number
        })?;
        Some(ChannelId(at as u32))
    }

    /// A task is sent to a queue.
    fn push(
        &mut self,
        tile: TileId,
        kind: TileKind,
        direction: Direction,
        number: u32,
        value: u32,
        span: Span,
    ) -> Result<(), RunError> {
        let Some(channel) = self.channel_of(tile, direction, number) else {
            let message = format!(
                "a task is sent to channel {number} of {}, which no flow of the design uses",
                self.tile_name(tile)
            );
            return Err(self.error(span, message));
        };
        let first = value & if kind == TileKind::Memtile { 0x3f } else { 0xf };
        if !crate::engine::sequence::usable(kind, number, first) {
            let message = format!(
                "channel {number} of {} cannot use descriptor {first}",
                self.tile_name(tile)
            );
            return Err(self.error(span, message));
        }
        let (runs, token) = ((value >> 16 & 0xff) + 1, value >> 31 == 1);
        let first = self.commit(tile, first, span)?;
        self.check_host_if_argument(channel, first, runs)?;
        self.start(channel, first, runs, token, span);
        Ok(())
    }

    /// Puts a descriptor whose registers were written, and those that follow it, where channels look
    /// for them; the index of the first.
    fn commit(&mut self, tile: TileId, number: u32, span: Span) -> Result<usize, RunError> {
        let mut first = None;
        let mut before: Option<usize> = None;
        let mut next = Some(number);
        while let Some(number) = next {
            let key = (tile, number);
            let written = self.written.get_mut(&key).filter(|written| written.changed);
            let index = match written {
                Some(written) => {
                    written.changed = false;
                    let written = written.clone();
                    let kind = self.netlist.tiles[tile.index()].kind;
                    let fields = words::read(kind, &written.words);
                    next = fields.next;
                    let made = self.make(tile, number, &fields, written.host, span);
                    let made = made.map_err(|message| {
                        let name = self.tile_name(tile);
                        self.error(span, format!("descriptor {number} of {name}: {message}"))
                    });
                    let descriptor = match made {
                        Ok(descriptor) => descriptor,
                        Err(error) => {
                            if let Some(written) = self.written.get_mut(&key) {
                                written.changed = true;
                            }
                            return Err(error);
                        }
                    };
                    let index = self.replace(descriptor);
                    self.descriptors[index].iteration = fields.iteration.0;
                    index
                }
                None => {
                    next = None;
                    match self.slots.get(&key) {
                        Some(&index) => index,
                        None => {
                            let message = format!(
                                "descriptor {number} of {} was never written",
                                self.tile_name(tile)
                            );
                            return Err(self.error(span, message));
                        }
                    }
                }
            };
            if let Some(before) = before {
                let mut linked = self.descriptors[before].descriptor.as_ref().clone();
                linked.next = Some(DescriptorId(index as u32));
                self.descriptors[before].descriptor = Arc::new(linked);
            }
            first.get_or_insert(index);
            before = Some(index);
        }
        Ok(first.unwrap_or(0))
    }
}
