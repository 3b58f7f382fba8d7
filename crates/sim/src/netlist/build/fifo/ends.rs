//! What cores acquire and release of objectfifos.

use super::super::{Builder, Result};
use super::{Depth, Fifos, Use};
use crate::netlist::{FifoEnd, FifoPort, TileId};

/// What `AIEObjectFifoStatefulTransform` makes of such a fifo is not what it says: having taken the
/// lock for all repeats of one object, it counts them as objects that the core holds. Dynamic
/// lowering looks at each loop body alone and gets it right.
const REPEATED: &str = "repeats several objects that a core produces: the compiler lets the core \
                        write an object that is still being sent; give it one object, set \
                        dynamic_objfifo_lowering, or repeat on a memtile";

impl<'m> Builder<'m> {
    pub(super) fn ends(&mut self, fifos: &Fifos<'m>) -> Result<()> {
        for (&tile, uses) in &fifos.uses {
            if self.dynamic.contains(&tile) {
                // Dynamic lowering counts in memory which object is next, one word for each end.
                *self.reserved.entry(tile).or_default() += 4 * uses.len() as u64;
            }
            for of in uses {
                let Some(index) = fifos.meaning(tile, &of.symbol) else { continue };
                let fifo = &fifos.all[index];
                if let Some(link) = fifo.link.map(|link| &fifos.links[link])
                    && link.shared == tile
                {
                    return Err(self.error(
                        of.span,
                        format!("@{} is linked in this tile, its DMA moves the objects", of.symbol),
                        "a core cannot acquire them",
                    ));
                }
                let owner = &fifos.all[fifos.owner(index)];
                let times = i32::try_from(fifo.repeat.unwrap_or(1)).unwrap_or(i32::MAX);
                let (acquire, release) = match (owner.locks.first(), of.port) {
                    (None, _) => (None, None),
                    (Some(locks), FifoPort::Produce) => (Some(locks.free), Some(locks.full)),
                    (Some(locks), FifoPort::Consume) => (Some(locks.full), Some(locks.free)),
                };
                let count = (fifo.depth() as usize).min(owner.buffers.len());
                let end = FifoEnd {
                    buffers: owner.buffers.get(..count).unwrap_or_default().to_vec(),
                    acquire,
                    release,
                    times,
                };
                let key = (of.symbol.clone(), of.port);
                self.warn_of_depth(fifos, tile, of, count);
                if times > 1 && count > 1 && !self.dynamic.contains(&tile) {
                    self.warn(of.span, format!("@{} {REPEATED}", of.symbol));
                }
                let core = self.net.cores.iter_mut().find(|core| core.tile == tile);
                if let Some(core) = core {
                    core.ends.insert(key, end);
                }
            }
        }
        Ok(())
    }

    /// The compiler makes a fifo deeper than it says when a core acquires more, but only where each
    /// end has objects of its own.
    fn warn_of_depth(&mut self, fifos: &Fifos<'m>, tile: TileId, of: &Use, depth: usize) {
        let Some(Depth::Same(stated)) = fifos.stated.get(&of.symbol) else { return };
        let what = format!(
            "{} acquires {} objects of @{}, which has {stated}",
            self.place(tile),
            of.most,
            of.symbol
        );
        if of.most as usize > depth {
            self.warn(of.span, format!("{what}: it waits for ever"));
        } else if of.most > *stated {
            self.warn(of.span, format!("{what}: the compiler makes it deeper, {depth}"));
        }
    }
}
