//! Descriptors from what their registers say, and back.

use std::sync::Arc;

use super::Written;
use super::words::{self, Dimension, Fields};
use crate::engine::addresses::Found;
use crate::engine::array::Array;
use crate::engine::pattern::{bounds, padded_length};
use crate::netlist::{Acquire, Descriptor, Family, LockId, Memory, Step, TileId, TileKind};
use crate::text::{Padding, Span};
use tilewright_codegen::device::limits;

/// Memory of a memtile, and where it begins for the memtile's own DMA: behind that of its western
/// neighbour.
const MEMTILE_BYTES: u64 = 0x8_0000;
/// Locks of a memtile, and where they begin for its own DMA.
const MEMTILE_LOCKS: u32 = 64;
const WORD: u64 = 4;

impl Array {
    /// A descriptor from what its registers say.
    pub(super) fn make(
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
        let iteration = (count > 1).then(|| Step { size: count, stride: (stride * WORD) as i64 });
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
    pub(super) fn descriptor_words(&self, tile: TileId, number: u32) -> Option<Written> {
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
            u64::from((to + 1).saturating_sub(from))
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
        let padded = padded_length(&descriptor);
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
