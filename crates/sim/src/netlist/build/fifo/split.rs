//! Which fifos need DMAs and are split into two ends, and how deep the ends are.

use super::super::{Builder, Result};
use super::{Depth, Fifo, FifoIndex, Fifos, Split};
use crate::netlist::{TileId, TileKind};

/// Whose memory two tiles share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shared {
    /// They share none.
    No,
    /// That of the first.
    First,
    /// That of the second.
    Second,
    /// Both.
    Both,
}

impl Shared {
    /// Whether the second tile gets at the memory of the first.
    pub(super) const fn first(self) -> bool {
        matches!(self, Self::First | Self::Both)
    }
}

impl<'m> Builder<'m> {
    pub(super) fn shared(&self, first: TileId, second: TileId) -> Shared {
        let (a, b) = (self.kind(first), self.kind(second));
        let alike = |kind| (a == kind) == (b == kind);
        if !alike(TileKind::Shim) || !alike(TileKind::Memtile) {
            return Shared::No;
        }
        match (self.reaches(second, first), self.reaches(first, second)) {
            (true, true) => Shared::Both,
            (true, false) => Shared::First,
            (false, true) => Shared::Second,
            (false, false) => Shared::No,
        }
    }

    /// Whether a fifo goes through DMAs, and whose memory its ends would share.
    ///
    /// A fifo that shares memory but is linked in a way that needs DMAs is noted in
    /// [`Fifos::split_for_link`], and the next answer is about its producer's end alone.
    pub(super) fn needs_dmas(&self, fifos: &mut Fifos<'m>, index: FifoIndex) -> (bool, Shared) {
        let fifo = &fifos.all[index];
        let mut shared = Shared::No;
        if fifo.via_dma || fifo.repeat.is_some() || fifo.stream.is_some() {
            return (true, shared);
        }
        if let ([consumer], []) = (fifo.consumers.as_slice(), fifo.to_stream) {
            let consumer = *consumer;
            shared = if fifos.split_for_link.contains(&index) {
                self.shared(fifo.producer, fifo.producer)
            } else {
                self.shared(fifo.producer, consumer)
            };
        }
        if shared == Shared::No {
            return (true, shared);
        }
        let shaped = fifo.from_stream.iter().any(|dimensions| !dimensions.is_empty());
        let linked = fifo.link.is_some_and(|link| self.link_needs_dmas(fifos, index, link));
        (shaped || linked, shared)
    }

    fn link_needs_dmas(&self, fifos: &mut Fifos<'m>, index: FifoIndex, link: usize) -> bool {
        let link = &fifos.links[link];
        if link.is_distribute() || link.is_join() {
            fifos.split_for_link.push(index);
            return true;
        }
        let types = (link.inputs.first(), link.outputs.first());
        if let (Some(&input), Some(&output)) = types
            && fifos.all[input].element != fifos.all[output].element
        {
            fifos.split_for_link.push(index);
        }
        if let Some((delegate, _)) = fifos.delegates.get(&index).copied() {
            let fifo = &fifos.all[index];
            let producer = self.shared(delegate, fifo.producer);
            let consumer = fifo.consumers.first().map(|&tile| self.shared(delegate, tile));
            if producer.first() && consumer.is_some_and(Shared::first) {
                return false;
            }
            fifos.split_for_link.push(index);
        }
        true
    }

    pub(super) fn split_fifos(&self, fifos: &mut Fifos<'m>) -> Result<()> {
        for index in 0..fifos.all.len() {
            if !self.needs_dmas(fifos, index).0 {
                continue;
            }
            self.split_fifo(fifos, index)?;
        }
        let mut order = Vec::with_capacity(fifos.all.len());
        for &index in &fifos.order {
            order.push(index);
            let split = fifos.splits.iter().find(|split| split.producer == index);
            order.extend(split.iter().flat_map(|split| split.consumers.iter().rev()));
        }
        fifos.order = order;
        Ok(())
    }

    fn split_fifo(&self, fifos: &mut Fifos<'m>, index: FifoIndex) -> Result<()> {
        let whole = fifos.all[index].clone();
        let mut ends = Vec::new();
        for (i, &consumer) in whole.consumers.iter().enumerate() {
            if whole.producer == consumer && self.produces(fifos, consumer, &whole.name) {
                return Err(self.error(
                    whole.span,
                    format!("@{} leads from a tile to itself through a DMA", whole.name),
                    "the compiler confuses its ends; without via_DMA it stays in the tile's memory",
                ));
            }
            let depth = match &whole.depth {
                Depth::Each(_) => whole.depth.at(i + 1),
                Depth::Same(_) => self.fitted_depth(fifos, consumer, index),
            };
            let suffix = if whole.consumers.len() > 1 { format!("_{i}") } else { String::new() };
            // The producer's stream port is not the consumer's.
            let stream = whole.stream.filter(|&stream| stream > 0);
            let end = Fifo {
                symbol: whole.symbol,
                name: format!("{}{suffix}_cons", whole.name),
                span: whole.span,
                producer: consumer,
                consumers: vec![consumer],
                depth: Depth::Same(depth),
                element: whole.element,
                to_stream: &[],
                from_stream: vec![whole.from_stream.get(i).copied().unwrap_or(&[])],
                padding: &[],
                via_dma: false,
                unsynchronised: whole.unsynchronised,
                repeat: None,
                stream,
                stream_port: whole.stream_port,
                initial: Vec::new(),
                iterations: whole.iterations,
                link: None,
                external: fifos.external.get(&(index, consumer)).cloned().unwrap_or_default(),
                buffers: Vec::new(),
                locks: Vec::new(),
            };
            let end_index = fifos.all.len();
            fifos.all.push(end);
            fifos.names.insert((consumer, whole.name.clone()), end_index);
            if stream == Some(1) {
                fifos.all[index].stream = None;
            }
            ends.push(end_index);
            self.relink(fifos, index, end_index, consumer);
        }
        fifos.splits.push(Split { producer: index, consumers: ends });
        Ok(())
    }

    /// In a link that the fifo leads to, its consumer's end takes its place.
    fn relink(&self, fifos: &mut Fifos<'m>, whole: FifoIndex, end: FifoIndex, consumer: TileId) {
        let Some(index) = fifos.all[whole].link else { return };
        let link = &mut fifos.links[index];
        if link.shared != consumer {
            return;
        }
        if let Some(input) = link.inputs.iter_mut().find(|input| **input == whole) {
            *input = end;
            fifos.all[end].link = Some(index);
            if !fifos.links[index].outputs.contains(&whole) {
                fifos.all[whole].link = None;
            }
        }
    }

    fn produces(&self, fifos: &Fifos<'m>, tile: TileId, symbol: &str) -> bool {
        let uses = fifos.uses.get(&tile);
        uses.into_iter()
            .flatten()
            .any(|of| of.symbol == symbol && of.port == crate::netlist::FifoPort::Produce)
    }

    /// Objects at the end on a tile: what the core there acquires at a time and one more, so that
    /// the next can be on its way.
    pub(super) fn fitted_depth(&self, fifos: &Fifos<'m>, tile: TileId, index: FifoIndex) -> u32 {
        let fifo = &fifos.all[index];
        let depth = fifo.depth();
        if depth == 0 {
            return 0;
        }
        match self.kind(tile) {
            TileKind::Memtile => return depth,
            TileKind::Shim => {
                let here = fifos.external.iter().find(|((_, shim), _)| *shim == tile);
                if let Some((_, buffers)) = here {
                    return buffers.len() as u32;
                }
            }
            TileKind::Core => {}
        }
        let uses = fifos.uses.get(&tile);
        let most = uses
            .into_iter()
            .flatten()
            .filter(|of| fifos.meaning(tile, &of.symbol) == Some(index))
            .map(|of| of.most)
            .max()
            .unwrap_or(0);
        match most {
            0 => depth,
            1 if depth == 1 => 1,
            most => most.saturating_add(1),
        }
    }
}
