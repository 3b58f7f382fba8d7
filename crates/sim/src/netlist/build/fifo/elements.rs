//! Buffers and locks of objectfifos.

use tilewright_codegen::device::limits;

use super::super::{Builder, Result, values};
use super::split::Shared;
use super::{Depth, FifoIndex, Fifos, Locks};
use crate::netlist::{Buffer, BufferId, Lock, LockId, TileId, TileKind};

impl<'m> Builder<'m> {
    /// Gives every fifo, or the one of a link that is to own them, its buffers and locks.
    pub(super) fn elements(&mut self, fifos: &mut Fifos<'m>) -> Result<()> {
        for index in fifos.order.clone() {
            let (moved, shared) = self.needs_dmas(fifos, index);
            let fifo = &fifos.all[index];
            if self.kind(fifo.producer) == TileKind::Shim
                && let Some(buffers) = fifos.external.get(&(index, fifo.producer))
            {
                fifos.all[index].external.clone_from(buffers);
            }
            if moved {
                let depth = match &fifos.all[index].depth {
                    Depth::Each(_) => fifos.all[index].depth(),
                    Depth::Same(depth) if !fifos.all[index].initial.is_empty() => *depth,
                    Depth::Same(_) => self.fitted_depth(fifos, fifos.all[index].producer, index),
                };
                fifos.all[index].depth = Depth::Same(depth);
            }
            if self.owns(fifos, index) {
                self.create(fifos, index, shared)?;
            }
        }
        Ok(())
    }

    /// Whether a fifo is to get buffers and locks of its own.
    fn owns(&self, fifos: &Fifos<'m>, index: FifoIndex) -> bool {
        let fifo = &fifos.all[index];
        if fifo.depth() == 0 || fifo.stream.is_some() {
            return false;
        }
        let Some(link) = fifo.link.map(|link| &fifos.links[link]) else {
            return true;
        };
        let (Some(&input), Some(&output)) = (link.inputs.first(), link.outputs.first()) else {
            return true;
        };
        if link.owner.is_some() {
            return false;
        }
        let (from, to) = (&fifos.all[input], &fifos.all[output]);
        // The larger objects serve both; padding makes larger ones out of smaller ones on the way.
        let by_input = link.is_distribute()
            || (!link.is_join()
                && to.initial.is_empty()
                && (from.elements() >= to.elements() || !to.padding.is_empty()));
        index == if by_input { input } else { output }
    }

    fn create(&mut self, fifos: &mut Fifos<'m>, index: FifoIndex, shared: Shared) -> Result<()> {
        let fifo = &fifos.all[index];
        let consumer = fifo.consumers.first().copied().unwrap_or(fifo.producer);
        let mut tile = if shared == Shared::Second { consumer } else { fifo.producer };
        if let Some((delegate, span)) = fifos.delegates.get(&index).copied() {
            let producer = self.shared(delegate, fifo.producer);
            if !producer.first() || !self.shared(delegate, consumer).first() {
                return Err(self.error(
                    span,
                    format!("@{} cannot be in {}", fifo.name, self.place(delegate)),
                    "both ends must get at that tile's memory",
                ));
            }
            tile = delegate;
        }
        let buffers = self.objects(fifos, index, tile)?;
        let link = fifos.all[index].link;
        let mut repeat = fifos.all[index].repeat.unwrap_or(1);
        let mut parts = 1;
        if let Some(link) = link {
            repeat = fifos.link_repeat(link).unwrap_or(repeat);
            parts = fifos.links[link].parts();
            fifos.links[link].owner = Some(index);
        }
        let locks = self.object_locks(fifos, index, tile, repeat, parts)?;
        let fifo = &mut fifos.all[index];
        fifo.buffers = buffers;
        fifo.locks = locks;
        Ok(())
    }

    fn objects(
        &mut self,
        fifos: &mut Fifos<'m>,
        index: FifoIndex,
        tile: TileId,
    ) -> Result<Vec<BufferId>> {
        let mut buffers = Vec::new();
        if self.kind(tile) == TileKind::Shim {
            return Ok(buffers);
        }
        let depth = fifos.all[index].depth();
        for number in 0..depth {
            let fifo = &fifos.all[index];
            let (span, ty) = (fifo.span, fifo.element);
            let bytes = self.tile_bytes(tile, ty, span)?;
            let name = format!("{}[{number}]", fifo.name);
            let initial = match fifo.initial.get(number as usize) {
                None => None,
                Some(dense) => Some(values::bytes(dense, ty).map_err(|why| {
                    self.error(span, format!("initial value {number} does not fit: {why}"), "")
                })?),
            };
            let home = self.home(fifos, tile, bytes)?;
            let used = fifos.bytes.entry(home).or_default();
            *used += bytes;
            let memory = limits(self.kind(home)).memory as u64;
            if *used > memory {
                return Err(self.error(
                    span,
                    format!(
                        "{depth} objects of {bytes} bytes do not fit into {} with those before \
                         them: it has {memory}",
                        self.place(home)
                    ),
                    "fewer or smaller objects",
                ));
            }
            buffers.push(self.push_buffer(Buffer {
                tile: home,
                name,
                ty: ty.clone(),
                bytes: bytes as usize,
                address: None,
                initial,
                span,
            }));
        }
        Ok(buffers)
    }

    /// The tile for an object: when a memtile is full of objects, one beside it that is not.
    fn home(&mut self, fifos: &Fifos<'m>, tile: TileId, bytes: u64) -> Result<TileId> {
        let memory = limits(self.kind(tile)).memory as u64;
        let fits = |used: u64| used + bytes <= memory;
        let used = |tile: TileId| fifos.bytes.get(&tile).copied().unwrap_or(0);
        if self.kind(tile) != TileKind::Memtile || fits(used(tile)) {
            return Ok(tile);
        }
        let (column, row, span) = {
            let tile = self.net.tile(tile);
            (tile.column, tile.row, tile.span)
        };
        let west = column.checked_sub(1);
        let east = Some(column + 1).filter(|&east| east < self.net.device.columns);
        for beside in west.into_iter().chain(east) {
            let known = self.places.get(&(beside, row)).copied();
            if fits(known.map_or(0, used)) {
                return self.tile_at(beside, row, span);
            }
        }
        Ok(tile)
    }

    fn object_locks(
        &mut self,
        fifos: &Fifos<'m>,
        index: FifoIndex,
        tile: TileId,
        repeat: u32,
        parts: usize,
    ) -> Result<Vec<Locks>> {
        let fifo = &fifos.all[index];
        if fifo.unsynchronised {
            return Ok(Vec::new());
        }
        let objects = if self.kind(tile) == TileKind::Shim {
            fifo.external.len() as u32
        } else {
            fifo.depth()
        };
        let full = fifo.initial.len() as u32;
        let count = |objects: u32| {
            let value = i64::from(objects) * i64::from(repeat);
            i32::try_from(value).unwrap_or(i32::MAX)
        };
        let (free, full) = (count(objects.saturating_sub(full)), count(full));
        let mut locks = Vec::new();
        for part in 0..parts {
            let suffix = if parts > 1 { format!("[{part}]") } else { String::new() };
            let mut lock = |state: &str, initial: i32| -> Result<LockId> {
                self.push_lock(Lock {
                    tile,
                    number: self.free_lock(tile),
                    name: format!("{} {state}{suffix}", fifo.name),
                    initial,
                    span: fifo.span,
                })
            };
            locks.push(Locks { free: lock("free", free)?, full: lock("full", full)? });
        }
        Ok(locks)
    }
}
