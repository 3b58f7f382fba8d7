//! Channels, descriptors and flows of objectfifos.

use std::collections::BTreeMap;

use tilewright_codegen::device::limits;

use super::super::descriptor::{Draft, NEIGHBOUR_CHANNELS};
use super::super::{Builder, Result};
use super::{Fifo, FifoIndex, Fifos, Link};
use crate::netlist::{
    Acquire, Allocation, ChannelId, DescriptorId, Direction, Port, TileId, TileKind,
};

/// A transfer of a fifo's program: which object, which part of it, under which locks.
struct Part {
    object: usize,
    offset: u64,
    length: u64,
    /// Which pair of locks.
    locks: usize,
}

impl<'m> Builder<'m> {
    pub(super) fn transfers(&mut self, fifos: &Fifos<'m>) -> Result<()> {
        let channels = self.assign_channels(fifos)?;
        for split in &fifos.splits {
            let producer = &fifos.all[split.producer];
            let source = match producer.stream {
                Some(_) => Port::Core(producer.producer, producer.stream_port),
                None => {
                    let channel = channels[&split.producer];
                    self.program_end(fifos, split.producer, channel)?;
                    self.allocate(producer, producer.symbol, channel)?;
                    Port::Dma(channel)
                }
            };
            for &index in &split.consumers {
                let consumer = &fifos.all[index];
                let destination = match consumer.stream {
                    Some(_) => Port::Core(consumer.producer, consumer.stream_port),
                    None => {
                        let channel = channels[&index];
                        self.program_end(fifos, index, channel)?;
                        self.allocate(consumer, producer.symbol, channel)?;
                        Port::Dma(channel)
                    }
                };
                self.circuit(source, destination, producer.span);
            }
        }
        Ok(())
    }

    /// Channels of all ends: first of those with objects in a memtile beside their own, as only the
    /// lower channels get there, then of the others in the order of the text.
    fn assign_channels(&mut self, fifos: &Fifos<'m>) -> Result<BTreeMap<FifoIndex, ChannelId>> {
        let mut channels = BTreeMap::new();
        for far in [true, false] {
            for split in &fifos.splits {
                let producer = std::iter::once((split.producer, Direction::Mm2s));
                let consumers = split.consumers.iter().map(|&end| (end, Direction::S2mm));
                for (index, direction) in producer.chain(consumers) {
                    if self.is_far(fifos, index) == far && fifos.all[index].stream.is_none() {
                        let channel = self.free_channel(&fifos.all[index], direction, far)?;
                        channels.insert(index, channel);
                    }
                }
            }
        }
        Ok(channels)
    }

    fn is_far(&self, fifos: &Fifos<'m>, index: FifoIndex) -> bool {
        let owner = &fifos.all[fifos.owner(index)];
        owner.buffers.iter().any(|&buffer| self.net.buffer(buffer).tile != owner.producer)
    }

    fn free_channel(
        &mut self,
        fifo: &Fifo<'m>,
        direction: Direction,
        far: bool,
    ) -> Result<ChannelId> {
        let tile = fifo.producer;
        let count = limits(self.kind(tile)).channels as u32;
        let count = if far { count.min(NEIGHBOUR_CHANNELS) } else { count };
        let free = (0..count).find(|&number| {
            let known = self.channels.get(&(tile, direction, number));
            known.is_none_or(|channel| !self.programmed.contains(channel))
        });
        let Some(number) = free else {
            let which = if direction == Direction::S2mm { "input" } else { "output" };
            return Err(self.error(
                fifo.span,
                format!("@{}: {} has no {which} channel left", fifo.symbol, self.place(tile)),
                format!("it has {count} in each direction"),
            ));
        };
        let channel = self.channel(tile, direction, number, fifo.symbol, fifo.span)?;
        self.programmed.insert(channel);
        Ok(channel)
    }

    /// A shim's end is what runtime sequences name.
    fn allocate(&mut self, end: &Fifo<'m>, name: &str, channel: ChannelId) -> Result<()> {
        if self.kind(end.producer) != TileKind::Shim {
            return Ok(());
        }
        let allocation = Allocation { channel, packet: None, span: end.span };
        let lowered = self.net.allocations.insert(format!("{name}_shim_alloc"), allocation.clone());
        let known = self.net.allocations.insert(name.to_owned(), allocation);
        if lowered.or(known).is_some() {
            return Err(self.error(
                end.span,
                format!("@{name} means two channels of shims to a runtime sequence"),
                "an objectfifo with two ends at shims, or an allocation of the same name",
            ));
        }
        Ok(())
    }

    /// The descriptors of one end: a ring over its objects.
    fn program_end(
        &mut self,
        fifos: &Fifos<'m>,
        index: FifoIndex,
        channel: ChannelId,
    ) -> Result<()> {
        let fifo = &fifos.all[index];
        let (parts, counts) = match self.kind(fifo.producer) {
            TileKind::Shim => (self.shim_parts(fifo), 1),
            TileKind::Memtile => self.memtile_parts(fifos, index)?,
            TileKind::Core => self.core_parts(fifos, index)?,
        };
        let owner = &fifos.all[fifos.owner(index)];
        let Some(chain) = self.chain_parts(fifo, owner, channel, &parts, counts)? else {
            return Ok(());
        };
        let (first, last) = chain;
        let on_memtile = self.kind(fifo.producer) == TileKind::Memtile;
        let runs = match fifo.iterations.filter(|_| on_memtile) {
            Some(runs) => runs,
            None => {
                self.net.descriptors[last.index()].next = Some(first);
                1
            }
        };
        self.push_task(channel, first, runs, fifo.span);
        Ok(())
    }

    fn chain_parts(
        &mut self,
        fifo: &Fifo<'m>,
        owner: &Fifo<'m>,
        channel: ChannelId,
        parts: &[Part],
        counts: u32,
    ) -> Result<Option<(DescriptorId, DescriptorId)>> {
        let counts = i32::try_from(counts).unwrap_or(i32::MAX);
        let (direction, number) = {
            let channel = &self.net.channels[channel.index()];
            (channel.direction, channel.number)
        };
        let external = self.kind(fifo.producer) == TileKind::Shim;
        let objects = if external { &fifo.external } else { &owner.buffers };
        let (dimensions, padding) = match direction {
            Direction::S2mm => (fifo.from_stream.first().copied().unwrap_or(&[]), &[][..]),
            Direction::Mm2s => (fifo.to_stream, fifo.padding),
        };
        // Without dimensions there is nothing to pad.
        let padding = if dimensions.is_empty() { &[] } else { padding };
        let mut chain: Option<(DescriptorId, DescriptorId)> = None;
        for part in parts {
            let Some(&buffer) = objects.get(part.object) else { continue };
            let locks = owner.locks.get(part.locks).map(|locks| match direction {
                Direction::S2mm => (locks.free, locks.full),
                Direction::Mm2s => (locks.full, locks.free),
            });
            let id = self.descriptor(&Draft {
                tile: fifo.producer,
                channel: (direction, number),
                buffer,
                offset: part.offset,
                length: part.length,
                dimensions,
                padding,
                pad_value: 0,
                acquire: locks.map(|(taken, _)| (taken, Acquire::GreaterEqual, counts)),
                release: locks.map(|(_, given)| (given, counts)),
                packet: None,
                number: None,
                span: fifo.span,
            })?;
            if let Some((_, last)) = chain {
                self.net.descriptors[last.index()].next = Some(id);
            }
            chain = Some((chain.map_or(id, |(first, _)| first), id));
        }
        Ok(chain)
    }

    fn shim_parts(&self, fifo: &Fifo<'m>) -> Vec<Part> {
        let part = |(object, &buffer): (usize, _)| Part {
            object,
            offset: 0,
            length: self.net.buffer(buffer).ty.elements().unwrap_or(0),
            locks: 0,
        };
        fifo.external.iter().enumerate().map(part).collect()
    }

    fn core_parts(&self, fifos: &Fifos<'m>, index: FifoIndex) -> Result<(Vec<Part>, u32)> {
        let fifo = &fifos.all[index];
        let owner = fifos.owner(index);
        let counts = match fifo.link {
            Some(link) if owner == index => fifos.link_repeat(link).unwrap_or(1),
            _ => 1,
        };
        let part = |object| Part { object, offset: 0, length: fifo.elements(), locks: 0 };
        let (depth, objects) = (fifo.depth() as usize, fifos.all[owner].buffers.len());
        if depth > objects {
            return Err(self.error(
                fifo.span,
                format!(
                    "@{} has {depth} objects, but they are the {objects} of @{}",
                    fifo.symbol, fifos.all[owner].symbol
                ),
                "objectfifos that a core tile links must be equally deep",
            ));
        }
        let repeat = fifo.repeat.unwrap_or(1);
        Ok((repeated(depth, repeat, self.most(fifo.producer), part), counts))
    }

    fn memtile_parts(&self, fifos: &Fifos<'m>, index: FifoIndex) -> Result<(Vec<Part>, u32)> {
        let fifo = &fifos.all[index];
        let owner_index = fifos.owner(index);
        let owner = &fifos.all[owner_index];
        let (mut length, mut counts) = (fifo.elements(), 1);
        let mut depth = fifo.depth();
        let repeat = fifo.repeat.unwrap_or(1);
        let most = self.most(fifo.producer);
        let Some(link_index) = fifo.link.filter(|&link| fifos.links[link].owner.is_some()) else {
            let part = |object| Part { object, offset: 0, length, locks: 0 };
            return Ok((repeated(depth as usize, repeat, most, part), counts));
        };
        let link = &fifos.links[link_index];
        if link.inputs.first() == Some(&index) {
            counts = fifos.link_repeat(link_index).unwrap_or(1);
        }
        if owner_index != index {
            depth = owner.depth();
        }
        let objects = (depth as usize).min(owner.buffers.len());
        if !link.is_join() && !link.is_distribute() {
            if owner_index != index {
                length = length.max(owner.elements());
            }
            let part = |object| Part { object, offset: 0, length, locks: 0 };
            return Ok((repeated(objects, repeat, most, part), counts));
        }
        let lengths = self.part_lengths(link, owner.elements())?;
        if owner_index != index {
            let side = if link.is_join() { &link.inputs } else { &link.outputs };
            let locks = side.iter().position(|&other| other == index).unwrap_or(0);
            let (offset, length) = lengths.get(locks).copied().unwrap_or((0, 0));
            let part = |object| Part { object, offset, length, locks };
            return Ok((repeated(objects, repeat, most, part), counts));
        }
        let mut parts = Vec::new();
        for object in 0..objects {
            for round in 0..repeat as usize * lengths.len() {
                if parts.len() > most {
                    break;
                }
                let locks = round % lengths.len();
                let (offset, length) = lengths[locks];
                parts.push(Part { object, offset, length, locks });
            }
        }
        Ok((parts, counts))
    }

    /// Where the parts of a join or distribute begin and how long they are: each to the next one.
    fn part_lengths(&self, link: &Link, whole: u64) -> Result<Vec<(u64, u64)>> {
        let offsets = link.offsets();
        let ends = offsets.iter().skip(1).copied().chain([whole]);
        offsets
            .iter()
            .zip(ends)
            .map(|(&offset, end)| match end.checked_sub(offset) {
                Some(length) if length > 0 => Ok((offset, length)),
                _ => Err(self.error(
                    link.span,
                    format!("the part from {offset} to {end} of {whole} elements is empty"),
                    "offsets rise, each to where the next part begins",
                )),
            })
            .collect()
    }

    /// Descriptors of a tile: more parts than this are refused anyway.
    fn most(&self, tile: TileId) -> usize {
        limits(self.kind(tile)).descriptors
    }
}

/// Each of some objects a few times in turn, no more than one over `most` of them.
fn repeated(objects: usize, times: u32, most: usize, part: impl Fn(usize) -> Part) -> Vec<Part> {
    (0..objects)
        .flat_map(|object| (0..times).map(move |_| object))
        .take(most + 1)
        .map(part)
        .collect()
}
