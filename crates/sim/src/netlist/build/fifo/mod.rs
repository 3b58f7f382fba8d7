//! Objectfifos, elaborated into what the compiler lowers them to.
//!
//! The steps and their order are those of MLIR-AIE's `AIEObjectFifoStatefulTransform` (2026-03):
//! which fifos need a DMA and are split in two ends; how deep each end is; which of two linked ends
//! owns the buffers; which channel serves which end. Where that pass takes a decision that looks
//! odd, so does this: a design runs on the hardware with what the pass makes of it.

mod elements;
mod ends;
mod read;
mod split;
mod transfers;

use std::collections::BTreeMap;

use super::{Builder, Result, cores};
use crate::netlist::{BufferId, FifoPort, LockId, TileId};
use crate::text::{Dense, Dimension, MemRef, Padding, Span};

/// Index into [`Fifos::all`].
type FifoIndex = usize;

/// An objectfifo, or one end of one that was split.
#[derive(Clone)]
struct Fifo<'m> {
    /// The symbol in the design.
    symbol: &'m str,
    /// The symbol; with `_cons` or `_0_cons` for the consumer's end of a split one.
    name: String,
    span: Span,
    producer: TileId,
    consumers: Vec<TileId>,
    depth: Depth,
    element: &'m MemRef,
    to_stream: &'m [Dimension],
    from_stream: Vec<&'m [Dimension]>,
    padding: &'m [Padding],
    via_dma: bool,
    unsynchronised: bool,
    repeat: Option<u32>,
    /// Which end is a stream port of the core: 0 the producer's, 1 the consumer's, 2 both.
    stream: Option<u32>,
    stream_port: u32,
    initial: Vec<&'m Dense>,
    iterations: Option<u32>,
    link: Option<usize>,
    /// Host buffers registered to it.
    external: Vec<BufferId>,
    /// Its objects, unless a linked fifo owns them.
    buffers: Vec<BufferId>,
    /// Pairs of locks that count free and full objects: one, or one per part of a join or
    /// distribute.
    locks: Vec<Locks>,
}

/// How many objects a fifo has.
#[derive(Clone)]
enum Depth {
    /// The same at each end, to be fitted to what cores acquire.
    Same(u32),
    /// The producer's and each consumer's, as stated.
    Each(Vec<u32>),
}

/// The locks of a fifo's end.
#[derive(Clone, Copy)]
struct Locks {
    free: LockId,
    full: LockId,
}

/// Fifos whose objects are the same memory.
struct Link {
    span: Span,
    inputs: Vec<FifoIndex>,
    outputs: Vec<FifoIndex>,
    source_offsets: Vec<u64>,
    destination_offsets: Vec<u64>,
    /// The tile where they meet.
    shared: TileId,
    /// The fifo whose buffers it is, once they exist.
    owner: Option<FifoIndex>,
}

/// A fifo that was split: the producer's end and the consumers'.
struct Split {
    producer: FifoIndex,
    consumers: Vec<FifoIndex>,
}

/// What a core acquires.
struct Use {
    symbol: String,
    port: FifoPort,
    /// Most objects at a time.
    most: u32,
    span: Span,
}

/// All objectfifos of a device, in the making.
struct Fifos<'m> {
    all: Vec<Fifo<'m>>,
    /// As the pass meets them: each split fifo is followed by its consumers' ends, last one first.
    order: Vec<FifoIndex>,
    links: Vec<Link>,
    splits: Vec<Split>,
    /// Fifos that share memory but are split for the sake of their link.
    split_for_link: Vec<FifoIndex>,
    /// The tile whose memory `aie.objectfifo.allocate` wants.
    delegates: BTreeMap<FifoIndex, (TileId, Span)>,
    /// External buffers by fifo and shim.
    external: BTreeMap<(FifoIndex, TileId), Vec<BufferId>>,
    /// What the core of a tile acquires, by tile.
    uses: BTreeMap<TileId, Vec<Use>>,
    /// What a symbol means in the core of a tile.
    names: BTreeMap<(TileId, String), FifoIndex>,
    /// Depths as the design has them.
    stated: BTreeMap<String, Depth>,
    /// Bytes of objects by tile.
    bytes: BTreeMap<TileId, u64>,
}

impl Depth {
    /// That of the producer (0) or of a consumer (1 and up).
    fn at(&self, index: usize) -> u32 {
        match self {
            Self::Same(depth) => *depth,
            Self::Each(depths) => depths.get(index).copied().unwrap_or(0),
        }
    }
}

impl Fifo<'_> {
    fn depth(&self) -> u32 {
        self.depth.at(0)
    }

    fn elements(&self) -> u64 {
        self.element.elements().unwrap_or(0)
    }
}

impl Link {
    fn is_join(&self) -> bool {
        self.inputs.len() > 1
    }

    fn is_distribute(&self) -> bool {
        self.outputs.len() > 1
    }

    /// Parts that the objects are counted in, each with locks of its own.
    fn parts(&self) -> usize {
        if self.is_distribute() { self.outputs.len() } else { self.inputs.len() }
    }

    fn offsets(&self) -> &[u64] {
        if self.is_distribute() { &self.destination_offsets } else { &self.source_offsets }
    }
}

impl<'m> Fifos<'m> {
    fn new(builder: &Builder<'m>) -> Self {
        let mut uses: BTreeMap<TileId, Vec<Use>> = BTreeMap::new();
        for core in &builder.net.cores {
            let uses = uses.entry(core.tile).or_default();
            for op in cores::walk_region(&core.body) {
                if op.name != "aie.objectfifo.acquire" && op.name != "aie.objectfifo.release" {
                    continue;
                }
                let Some(symbol) = op.symbol("objFifo_name") else { continue };
                let port = match op.integer("port") {
                    Some(0) => FifoPort::Produce,
                    _ => FifoPort::Consume,
                };
                let count = op.integer("size").and_then(|count| u32::try_from(count).ok());
                let acquired = op.name == "aie.objectfifo.acquire";
                let most = count.filter(|_| acquired).unwrap_or(0);
                let known = (uses.iter_mut())
                    .find(|known| known.symbol == symbol.leaf() && known.port == port);
                match known {
                    Some(known) => known.most = known.most.max(most),
                    None => {
                        let symbol = symbol.leaf().to_owned();
                        uses.push(Use { symbol, port, most, span: op.span });
                    }
                }
            }
        }
        Self {
            all: Vec::new(),
            order: Vec::new(),
            links: Vec::new(),
            splits: Vec::new(),
            split_for_link: Vec::new(),
            delegates: BTreeMap::new(),
            external: BTreeMap::new(),
            uses,
            names: BTreeMap::new(),
            stated: BTreeMap::new(),
            bytes: BTreeMap::new(),
        }
    }

    /// The fifo that owns the buffers and locks which this one uses.
    fn owner(&self, fifo: FifoIndex) -> FifoIndex {
        self.all[fifo].link.and_then(|link| self.links[link].owner).unwrap_or(fifo)
    }

    /// How often linked outputs send each object.
    fn link_repeat(&self, link: usize) -> Option<u32> {
        self.links[link].outputs.iter().find_map(|&output| self.all[output].repeat)
    }

    /// What a symbol means to the core of a tile.
    fn meaning(&self, tile: TileId, symbol: &str) -> Option<FifoIndex> {
        let renamed = self.names.get(&(tile, symbol.to_owned())).copied();
        renamed.or_else(|| self.all.iter().position(|fifo| fifo.name == symbol))
    }
}

impl<'m> Builder<'m> {
    /// Elaborates all objectfifos of the device.
    pub(super) fn fifos(&mut self) -> Result<()> {
        self.refuse_outside_cores()?;
        let mut fifos = Fifos::new(self);
        self.read_fifos(&mut fifos)?;
        self.check_uses(&fifos)?;
        self.split_fifos(&mut fifos)?;
        self.elements(&mut fifos)?;
        self.transfers(&fifos)?;
        self.ends(&fifos)
    }
}
