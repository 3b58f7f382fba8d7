//! Reads and writes of registers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::words::{self, Dimension, Fields};
use super::{
    COLUMN_SHIFT, ROW_SHIFT, Register, TILE_MASK, Written, absolute, descriptor_at, register,
};
use crate::engine::addresses::Found;
use crate::engine::array::{Array, Work};
use crate::engine::memory::Place;
use crate::engine::pattern::bounds;
use crate::engine::value::PlaceId;
use crate::engine::{FindingKind, RunError};
use crate::netlist::{
    Acquire, ChannelId, Descriptor, DescriptorId, Direction, Family, LockId, Memory, Step, TileId,
    TileKind,
};
use crate::text::{Padding, Span};
use tilewright_codegen::device::limits;

/// Memory of a memtile, and where it begins for the memtile's own DMA: behind that of its western
/// neighbour.
const MEMTILE_BYTES: u64 = 0x8_0000;
/// Locks of a memtile, and where they begin for its own DMA.
const MEMTILE_LOCKS: u32 = 64;
const WORD: u64 = 4;

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
            let message = format!("address {address:#x} is of tile ({column}, {row}), which is none");
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
            None => Err(self.error(
                span,
                format!("nothing is known to be at address {offset:#x} of {name}"),
            )),
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
        let descriptors = (0..limits(kind).descriptors as u32).flat_map(|number| {
            (0..6).map(move |word| descriptor_at(kind, number) + 4 * word)
        });
        locks
            .chain(descriptors)
            .filter_map(|at| {
                Some((at, self.read_word(absolute(column, row, at), span).ok()?))
            })
            .collect()
    }

    fn lock_of(&self, tile: TileId, number: u32) -> Option<LockId> {
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
    fn tile_place(&mut self, tile: TileId) -> PlaceId {
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
            let (place, offset) =
                match self.addresses.find(tile, u64::from(at), u64::from(at) + 1) {
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
            at < self.netlist.descriptors.len() || self.descriptors[at].users > 0
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

    /// A descriptor in the place of the one of its number.
    fn replace(&mut self, descriptor: Descriptor) -> usize {
        let key = (descriptor.tile, descriptor.number);
        if let Some(&at) = self.slots.get(&key) {
            if self.descriptors[at].users > 0 {
                let message = format!(
                    "descriptor {} of {} is written while a transfer uses it",
                    key.1,
                    self.tile_name(key.0)
                );
                self.finding(FindingKind::DescriptorReuse, descriptor.span, message);
            }
            self.descriptors[at].descriptor = Arc::new(descriptor);
            return at;
        }
        self.descriptors.push(crate::engine::dma::DescriptorState::new(Arc::new(descriptor)));
        self.slots.insert(key, self.descriptors.len() - 1);
        self.descriptors.len() - 1
    }

    /// A descriptor from what its registers say.
    fn make(
        &mut self,
        tile: TileId,
        number: u32,
        fields: &Fields,
        host: Option<(u32, u64)>,
        span: Span,
    ) -> Result<Descriptor, String> {
        if !fields.valid {
            return Err("its registers do not say that it is valid".to_owned());
        }
        if fields.compressed {
            return Err("compression is not simulated".to_owned());
        }
        if fields.length == 0 {
            return Err("a length of 0".to_owned());
        }
        let kind = self.netlist.tiles[tile.index()].kind;
        let (steps, padding, words) = steps(fields)?;
        let (_, count, stride) = fields.iteration;
        let iteration =
            (count > 1).then(|| Step { size: count, stride: (stride * WORD) as i64 });
        let (memory, offset) = match (kind, host) {
            (TileKind::Shim, Some((argument, plus))) => (Memory::Argument(argument), plus),
            // Not one that is known; that is noticed when data moves, which traces never do.
            (TileKind::Shim, None) => (Memory::Argument(u32::MAX), 0),
            _ => {
                let (owner, base) = self.owner(tile, kind, fields.base)?;
                (Memory::Tile(owner), base)
            }
        };
        let lock = |this: &Self, number: u32| this.dma_lock(tile, kind, number);
        let acquire = match fields.acquire {
            None => None,
            Some((number, change)) => {
                let lock = lock(self, number)?;
                let how = if change < 0 { Acquire::GreaterEqual } else { Acquire::Equal };
                Some((lock, how, change.abs()))
            }
        };
        let release = match fields.release {
            None => None,
            Some((number, change)) => Some((lock(self, number)?, change)),
        };
        let mut descriptor = Descriptor {
            tile,
            number,
            memory,
            offset,
            length: words * WORD,
            element_bytes: WORD as u32,
            steps,
            padding,
            pad_value: 0,
            iteration,
            acquire,
            release,
            packet: fields.packet,
            next: None,
            span,
        };
        if let Memory::Tile(owner) = memory {
            self.place(&mut descriptor, owner)?;
        }
        Ok(descriptor)
    }

    /// Finds the buffer that a descriptor works on.
    fn place(&mut self, descriptor: &mut Descriptor, owner: TileId) -> Result<(), String> {
        let last = descriptor.iteration.map_or(0, |step| step.size - 1);
        let (start, first_end) = bounds(descriptor, 0);
        let (_, last_end) = bounds(descriptor, last);
        let end = first_end.max(last_end);
        let memory = limits(self.netlist.tiles[owner.index()].kind).memory as u64;
        if end > memory {
            return Err(format!("it goes to byte {end} of a memory of {memory}"));
        }
        match self.addresses.find(owner, start, end) {
            Found::Buffer(buffer, byte) => {
                descriptor.memory = Memory::Buffer(buffer);
                descriptor.offset = byte;
                Ok(())
            }
            Found::Nothing => {
                self.tile_place(owner);
                Ok(())
            }
            Found::Torn(buffer) => Err(format!(
                "bytes {start:#x} to {end:#x} are a part of `{}` and something else",
                self.netlist.buffer(buffer).name
            )),
        }
    }

    /// The tile whose memory a DMA means by an address, and the byte there.
    fn owner(&self, tile: TileId, kind: TileKind, base: u64) -> Result<(TileId, u64), String> {
        if kind != TileKind::Memtile {
            return Ok((tile, base));
        }
        let (side, byte) = (base / MEMTILE_BYTES, base % MEMTILE_BYTES);
        // The compiler writes addresses of AIE2 as if a memtile's own memory came first.
        let own = side == 0 && self.netlist.device.family == Family::Npu1;
        let side = if own { 1 } else { side };
        let owner = self.beside(tile, side).ok_or_else(|| {
            format!("address {base:#x} is of a memtile beside it, which the design lacks")
        })?;
        Ok((owner, byte))
    }

    /// The memtile in the west (0), the one itself (1), the one in the east (2).
    fn beside(&self, tile: TileId, side: u64) -> Option<TileId> {
        let here = self.netlist.tile(tile);
        let column = u64::from(here.column) + side;
        let column = column.checked_sub(1).filter(|_| side <= 2)?;
        let at = self.netlist.tiles.iter().position(|other| {
            u64::from(other.column) == column && other.kind == TileKind::Memtile
        })?;
        Some(TileId(at as u32))
    }

    fn dma_lock(&self, tile: TileId, kind: TileKind, number: u32) -> Result<LockId, String> {
        let (owner, of_owner) = match kind {
            TileKind::Memtile => {
                let side = u64::from(number / MEMTILE_LOCKS);
                (self.beside(tile, side), number % MEMTILE_LOCKS)
            }
            _ => (Some(tile), number),
        };
        let lock = owner.and_then(|owner| self.lock_of(owner, of_owner));
        lock.ok_or_else(|| format!("it uses lock {number}, which the design does not name"))
    }

    /// The words of a descriptor that nobody wrote word by word; all 0 for one that nobody wrote at
    /// all.
    fn descriptor_words(&self, tile: TileId, number: u32) -> Option<Written> {
        let Some(&at) = self.slots.get(&(tile, number)) else {
            return Some(Written { words: [0; 8], host: None, changed: false });
        };
        let descriptor = Arc::clone(&self.descriptors[at].descriptor);
        let kind = self.netlist.tiles[tile.index()].kind;
        let (owner, base) = match descriptor.memory {
            Memory::Argument(_) => (tile, 0),
            Memory::Buffer(buffer) => (
                self.netlist.buffer(buffer).tile,
                u64::from(self.addresses.of(buffer.index())) + descriptor.offset,
            ),
            Memory::Tile(owner) => (owner, descriptor.offset),
        };
        let side = |owner: TileId| {
            let (from, to) = (self.netlist.tile(tile).column, self.netlist.tile(owner).column);
            u64::from((to + 1).checked_sub(from).unwrap_or(0))
        };
        let own_first = kind == TileKind::Memtile;
        let base = if own_first { base + side(owner) * MEMTILE_BYTES } else { base };
        let lock = |lock: LockId| {
            let lock = self.netlist.lock(lock);
            if own_first {
                lock.number + side(lock.tile) as u32 * MEMTILE_LOCKS
            } else {
                lock.number
            }
        };
        let next = match descriptor.next {
            Some(next) => Some(self.descriptors.get(next.index())?.descriptor.number),
            None => None,
        };
        let (count, stride) = match descriptor.iteration {
            Some(step) => (step.size, word(step.stride)?),
            None => (1, 1),
        };
        let padded = crate::engine::pattern::padded_length(&descriptor);
        let fields = Fields {
            length: padded / WORD,
            base,
            packet: descriptor.packet,
            dimensions: dimensions(&descriptor, kind)?,
            iteration: (self.descriptors[at].iteration % count.max(1), count, stride),
            next,
            valid: true,
            acquire: descriptor.acquire.map(|(id, how, count)| match how {
                Acquire::GreaterEqual => (lock(id), -count),
                Acquire::Equal => (lock(id), count),
            }),
            release: descriptor.release.map(|(id, count)| (lock(id), count)),
            compressed: false,
        };
        let host = match descriptor.memory {
            Memory::Argument(argument) => Some((argument, descriptor.offset)),
            _ => None,
        };
        Some(Written { words: words::write(kind, &fields), host, changed: false })
    }
}

/// Bytes as words.
fn word(bytes: i64) -> Option<u64> {
    u64::try_from(bytes).ok().filter(|bytes| bytes % WORD == 0).map(|bytes| bytes / WORD)
}

/// Steps outermost first, their padding, and the words without padding.
fn steps(fields: &Fields) -> Result<(Vec<Step>, Vec<Padding>, u64), String> {
    let mut steps = Vec::new();
    let mut padding = Vec::new();
    let mut covered = 1_u64;
    for dimension in &fields.dimensions {
        let Dimension { step, wrap, before, after } = *dimension;
        let size = match wrap {
            0 if before + after > 0 => {
                return Err("a dimension with padding has no size".to_owned());
            }
            0 => fields.length.div_ceil(covered),
            wrap => wrap,
        };
        steps.push(Step { size, stride: (step * WORD) as i64 });
        padding.push(Padding { before, after });
        covered = covered.saturating_mul(size + before + after);
        if wrap == 0 {
            break;
        }
    }
    let padded = padding.iter().any(|padding| padding.before + padding.after > 0);
    let words = if padded {
        // The length counts padding; whole ones of what the dimensions make.
        let data = steps.iter().fold(1_u64, |all, step| all.saturating_mul(step.size));
        if covered != fields.length {
            return Err(format!("a length of {} words; with padding {covered}", fields.length));
        }
        data
    } else {
        padding.clear();
        fields.length
    };
    steps.reverse();
    padding.reverse();
    Ok((steps, padding, words))
}

/// The dimensions of a descriptor in words, innermost first.
fn dimensions(descriptor: &Descriptor, kind: TileKind) -> Option<Vec<Dimension>> {
    let count = if kind == TileKind::Memtile { 4 } else { 3 };
    let mut dimensions = Vec::with_capacity(count);
    let bytes = u64::from(descriptor.element_bytes);
    for (i, step) in descriptor.steps.iter().rev().enumerate() {
        let pad = descriptor.padding.len().checked_sub(i + 1);
        let pad = pad.and_then(|at| descriptor.padding.get(at)).copied();
        let (before, after) = pad.map_or((0, 0), |pad| (pad.before, pad.after));
        // Elements of less than a word lie side by side in the innermost dimension.
        let dimension = if i == 0 && bytes != WORD {
            if step.size > 1 && step.stride != bytes as i64 {
                return None;
            }
            let words = |count: u64| word((count * bytes) as i64);
            Dimension {
                step: 1,
                wrap: words(step.size)?,
                before: words(before)?,
                after: words(after)?,
            }
        } else {
            let step_words = if step.size == 1 { 1 } else { word(step.stride)?.max(1) };
            Dimension { step: step_words, wrap: step.size, before, after }
        };
        dimensions.push(dimension);
    }
    if dimensions.len() > count {
        return None;
    }
    dimensions.resize(count, Dimension { step: 1, ..Dimension::default() });
    Some(dimensions)
}
