//! What a configuration takes from each tile: memory, descriptors, locks and channels.
//!
//! The counts follow MLIR-AIE's lowering of objectfifos, read off `aie-opt
//! --aie-objectFifo-stateful-transform` (2026-03): every end of a fifo has its buffers, two locks
//! and one DMA channel with a descriptor per buffer; a memtile that passes objects on keeps one set
//! of buffers for both sides; a join has two locks per part, and its output a descriptor per part
//! and buffer.

use std::collections::BTreeMap;

use super::array::{Array, At, Core, FIFO_COUNTER_BYTES, Fifo, Link, Step};

/// Resources of one tile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Data memory in bytes, on a core with the stack.
    pub memory: usize,
    /// Locks.
    pub locks: usize,
    /// Descriptors of each channel into the tile.
    pub inputs: Vec<usize>,
    /// Descriptors of each channel out of the tile.
    pub outputs: Vec<usize>,
}

impl Usage {
    /// Descriptors of all channels.
    pub fn descriptors(&self) -> usize {
        self.inputs.iter().chain(&self.outputs).sum()
    }

    /// Descriptors of the even and of the odd channels.
    pub fn descriptors_by_parity(&self) -> [usize; 2] {
        [0, 1].map(|parity| {
            let channels = |all: &[usize]| all.iter().skip(parity).step_by(2).sum::<usize>();
            channels(&self.inputs) + channels(&self.outputs)
        })
    }
}

impl Array {
    /// The fifo of that name.
    pub fn fifo(&self, name: &str) -> Option<&Fifo> {
        self.fifos.iter().find(|fifo| fifo.name == name)
    }

    /// What every tile is left with to do.
    pub fn usage(&self) -> BTreeMap<At, Usage> {
        let mut usage: BTreeMap<At, Usage> =
            self.tiles.iter().map(|&at| (at, Usage::default())).collect();
        for fifo in &self.fifos {
            self.add_ends(fifo, &mut usage);
        }
        for link in &self.links {
            self.add_link(link, usage.entry(link.at).or_default());
        }
        for core in &self.cores {
            add_core(core, usage.entry(core.at).or_default());
        }
        usage
    }

    fn is_linked(&self, at: At, fifo: &str) -> bool {
        let named = |link: &Link| link.to == fifo || link.from.iter().any(|from| from == fifo);
        self.links.iter().any(|link| link.at == at && named(link))
    }

    /// Ends that no link serves. A shim has no buffers, and its descriptors belong to the sequence.
    fn add_ends(&self, fifo: &Fifo, usage: &mut BTreeMap<At, Usage>) {
        let ends = fifo.consumers.iter().map(|&at| (at, true)).chain([(fifo.producer, false)]);
        for (at, consumes) in ends.filter(|&(at, _)| !self.is_linked(at, &fifo.name)) {
            let tile = usage.entry(at).or_default();
            let buffers = if at.row == 0 { 0 } else { fifo.depth };
            tile.memory += buffers * fifo.bytes();
            tile.locks += 2;
            if consumes { &mut tile.inputs } else { &mut tile.outputs }.push(buffers);
        }
    }

    fn add_link(&self, link: &Link, tile: &mut Usage) {
        let Some(to) = self.fifo(&link.to) else { return };
        let parts = link.from.len();
        tile.memory += to.depth * to.bytes();
        tile.locks += 2 * parts;
        tile.inputs.extend(std::iter::repeat_n(to.depth, parts));
        tile.outputs.push(to.depth * parts);
    }
}

fn add_core(core: &Core, tile: &mut Usage) {
    let mut fifos = Vec::new();
    collect_fifos(&core.program, &mut fifos);
    fifos.sort_unstable();
    fifos.dedup();
    tile.memory += core.stack
        + core.accumulators.bytes()
        + core.parameters.bytes()
        + fifos.len() * FIFO_COUNTER_BYTES;
    tile.locks += 1;
}

fn collect_fifos<'a>(steps: &'a [Step], fifos: &mut Vec<&'a str>) {
    for step in steps {
        match step {
            Step::Loop { body, .. } => collect_fifos(body, fifos),
            Step::Acquire { fifo, .. } => fifos.push(fifo),
            Step::Release { .. } | Step::Call { .. } => {}
        }
    }
}
