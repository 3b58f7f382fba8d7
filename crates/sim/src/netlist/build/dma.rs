//! Static programs of DMAs: `aie.mem`, `aie.memtile_dma` and `aie.shim_dma`.
//!
//! Two ways to write one. In blocks, `aie.dma_start(S2MM, 0, ^first, ^chain)` names the first
//! descriptor of a task and `aie.next_bd` the following ones; with regions,
//! `aie.dma(S2MM, 0) [{…}, {…}]` lists them.

use std::collections::BTreeMap;

use tilewright_codegen::device::{MAX_RUNS, limits};

use super::descriptor::Draft;
use super::{Builder, Result};
use crate::netlist::{
    Acquire, Channel, ChannelId, DescriptorId, Direction, Entity, Task, TileId, TileKind,
};
use crate::text::{Block, Op, Region, Span};

impl Builder<'_> {
    pub(super) fn programs(&mut self) -> Result<()> {
        for op in self.body {
            let kind = match op.name.as_str() {
                "aie.mem" => TileKind::Core,
                "aie.memtile_dma" => TileKind::Memtile,
                "aie.shim_dma" => TileKind::Shim,
                _ => continue,
            };
            let tile = self.tile_operand(op, 0)?;
            if self.kind(tile) != kind {
                return Err(self.error(
                    op.span,
                    format!("{} is of a {kind}, not of {}", op.name, self.place(tile)),
                    "aie.mem for cores, aie.memtile_dma for memtiles, aie.shim_dma for shims",
                ));
            }
            if let Some(region) = op.regions.first() {
                self.program(tile, region)?;
            }
        }
        Ok(())
    }

    fn program(&mut self, tile: TileId, region: &Region) -> Result<()> {
        // Descriptors by block: a chain that comes back to one goes round.
        let mut made: BTreeMap<usize, DescriptorId> = BTreeMap::new();
        for block in &region.blocks {
            for op in &block.ops {
                match op.name.as_str() {
                    "aie.dma_start" => {
                        let channel = self.channel_of(tile, op)?;
                        let first = op.successors.first().map(|to| to.block.0 as usize);
                        let first = first.map(|at| self.chain(channel, region, at, &mut made));
                        let Some(Some(first)) = first.transpose()? else {
                            return Err(self.no_descriptor(op.span));
                        };
                        self.push_task(channel, first, self.runs(op)?, op.span);
                    }
                    "aie.dma" => self.dma(tile, op)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn no_descriptor(&self, span: Span) -> crate::text::DesignError {
        self.error(span, "the task has no aie.dma_bd to begin with", "")
    }

    fn runs(&self, op: &Op) -> Result<u32> {
        let repeats: u32 = self.optional(op, "repeat_count")?.unwrap_or(0);
        if repeats as usize >= MAX_RUNS {
            return Err(self.error(
                op.span,
                format!("a task cannot be repeated {repeats} times"),
                format!("up to {} times after the first run", MAX_RUNS - 1),
            ));
        }
        Ok(repeats + 1)
    }

    fn channel_of(&mut self, tile: TileId, op: &Op) -> Result<ChannelId> {
        let (direction, number) = (self.direction(op)?, self.number(op, "channel_index")?);
        self.channel(tile, direction, number, "", op.span)
    }

    pub(super) fn push_task(
        &mut self,
        channel: ChannelId,
        first: DescriptorId,
        runs: u32,
        span: Span,
    ) {
        self.programmed.insert(channel);
        self.net.channels[channel.index()].tasks.push(Task { first, runs, span });
    }

    /// A channel of a tile, new if nothing has named it yet.
    pub(super) fn channel(
        &mut self,
        tile: TileId,
        direction: Direction,
        number: u32,
        name: &str,
        span: Span,
    ) -> Result<ChannelId> {
        if let Some(&channel) = self.channels.get(&(tile, direction, number)) {
            let known = &mut self.net.channels[channel.index()];
            if known.name.is_empty() {
                name.clone_into(&mut known.name);
            }
            return Ok(channel);
        }
        let count = limits(self.kind(tile)).channels;
        if number as usize >= count {
            let direction = if direction == Direction::S2mm { "S2MM" } else { "MM2S" };
            return Err(self.error(
                span,
                format!("{} has no channel {direction} {number}", self.place(tile)),
                format!("it has {count} in each direction"),
            ));
        }
        let id = ChannelId(self.net.channels.len() as u32);
        self.net.channels.push(Channel {
            tile,
            direction,
            number,
            tasks: Vec::new(),
            name: name.to_owned(),
            span,
        });
        self.channels.insert((tile, direction, number), id);
        Ok(id)
    }

    /// The descriptors from a block on, linked; the first one, unless the block has none.
    fn chain(
        &mut self,
        channel: ChannelId,
        region: &Region,
        first: usize,
        made: &mut BTreeMap<usize, DescriptorId>,
    ) -> Result<Option<DescriptorId>> {
        let mut start = None;
        let mut before: Option<DescriptorId> = None;
        let mut at = Some(first);
        while let Some(index) = at {
            let known = made.get(&index).copied();
            let id = match known {
                Some(id) => id,
                None => {
                    let Some(block) = region.blocks.get(index) else { break };
                    let Some(id) = self.block_descriptor(channel, block)? else { break };
                    made.insert(index, id);
                    id
                }
            };
            start.get_or_insert(id);
            if let Some(before) = before {
                self.net.descriptors[before.index()].next = Some(id);
            }
            if known.is_some() {
                break;
            }
            before = Some(id);
            let terminator = region.blocks.get(index).and_then(|block| block.ops.last());
            at = terminator
                .filter(|op| op.name == "aie.next_bd")
                .and_then(|op| op.successors.first())
                .map(|to| to.block.0 as usize);
        }
        Ok(start)
    }

    fn dma(&mut self, tile: TileId, op: &Op) -> Result<()> {
        let channel = self.channel_of(tile, op)?;
        let looping = op.attribute("loop").is_none() || op.flag("loop");
        let mut chain = Vec::new();
        for region in &op.regions {
            if let Some(block) = region.blocks.first()
                && let Some(id) = self.block_descriptor(channel, block)?
            {
                chain.push(id);
            }
        }
        let Some(&first) = chain.first() else {
            return Err(self.no_descriptor(op.span));
        };
        for pair in chain.windows(2) {
            self.net.descriptors[pair[0].index()].next = Some(pair[1]);
        }
        if let Some(last) = chain.last().filter(|_| looping) {
            self.net.descriptors[last.index()].next = Some(first);
        }
        self.push_task(channel, first, self.runs(op)?, op.span);
        Ok(())
    }

    /// The descriptor of a block: one `aie.dma_bd` between the locks that it takes and gives back.
    fn block_descriptor(
        &mut self,
        channel: ChannelId,
        block: &Block,
    ) -> Result<Option<DescriptorId>> {
        let Channel { tile, direction, number, .. } = self.net.channels[channel.index()];
        let (mut acquire, mut release, mut packet, mut transfer) = (None, None, None, None);
        for op in &block.ops {
            match op.name.as_str() {
                "aie.use_lock" => {
                    let (lock, value) =
                        (self.lock_operand(op, 0)?, self.optional(op, "value")?.unwrap_or(1));
                    let twice = match op.integer("action") {
                        Some(1) => release.replace((lock, value)).is_some(),
                        Some(0 | 2) if op.attribute("acq_en").is_some() && !op.flag("acq_en") => {
                            false
                        }
                        Some(0) => acquire.replace((lock, Acquire::Equal, value)).is_some(),
                        Some(2) => acquire.replace((lock, Acquire::GreaterEqual, value)).is_some(),
                        _ => {
                            return Err(self.error(op.span, "the lock is not told what to do", ""));
                        }
                    };
                    if twice {
                        return Err(self.error(
                            op.span,
                            "a descriptor takes one lock and gives back one lock",
                            "split the transfer in two descriptors",
                        ));
                    }
                }
                "aie.dma_bd_packet" => {
                    let (kind, id) =
                        (self.number(op, "packet_type")?, self.number(op, "packet_id")?);
                    packet = Some(self.packet_fields(op, kind, id)?);
                }
                "aie.dma_bd" if transfer.is_some() => {
                    return Err(self.error(op.span, "a block has one aie.dma_bd", ""));
                }
                "aie.dma_bd" => transfer = Some(op),
                _ => {}
            }
        }
        let Some(op) = transfer else {
            return Ok(None);
        };
        let value = self.operand(op, 0)?;
        let Some(&Entity::Buffer(buffer)) = self.net.entities.get(&value) else {
            return Err(self.error(
                op.span,
                format!("%{} is not an aie.buffer", self.name_of(value)),
                "static descriptors move buffers of tiles",
            ));
        };
        let whole = self.net.buffer(buffer).ty.elements().unwrap_or(0);
        let draft = Draft {
            tile,
            channel: (direction, number),
            buffer,
            offset: self.optional(op, "offset")?.unwrap_or(0),
            length: self.optional(op, "len")?.unwrap_or(whole),
            dimensions: self.dimensions(op, "dimensions")?,
            padding: self.paddings(op, "pad_dimensions")?,
            pad_value: self.optional(op, "pad_value")?.unwrap_or(0),
            acquire,
            release,
            packet: self.packet(op, "packet")?.or(packet),
            number: self.optional(op, "bd_id")?,
            span: op.span,
        };
        self.descriptor(&draft).map(Some)
    }
}
