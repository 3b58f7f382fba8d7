//! Tiles and what stands in their memory: buffers and locks.

use std::collections::BTreeSet;

use tilewright_codegen::device::{MAX_HOST_BYTES, MAX_LOCK_VALUE, limits};

use super::{Attribute, Builder, Result, values, walk};
use crate::netlist::{Buffer, BufferId, Entity, Lock, LockId, Tile, TileId, TileKind};
use crate::text::{MemRef, Op, Span};

/// Bytes of an external buffer that are worth simulating.
const MAX_EXTERNAL_BYTES: u64 = MAX_HOST_BYTES >> 3;

impl Builder<'_> {
    pub(super) fn tiles(&mut self) -> Result<()> {
        for op in walk(self.body).filter(|op| op.name == "aie.tile") {
            let (column, row) = (self.number(op, "col")?, self.number(op, "row")?);
            let tile = self.tile_at(column, row, op.span)?;
            let result = self.result(op)?;
            self.net.entities.insert(result, Entity::Tile(tile));
        }
        Ok(())
    }

    /// The tile at a place, new if the design has not named it yet.
    pub(super) fn tile_at(&mut self, column: u32, row: u32, span: Span) -> Result<TileId> {
        if let Some(&tile) = self.places.get(&(column, row)) {
            return Ok(tile);
        }
        let device = self.net.device;
        let Some(kind) = device.kind(column, row) else {
            return Err(self.error(
                span,
                format!("the device has no tile ({column}, {row})"),
                format!(
                    "it has {} columns and {} rows: shim 0, memtile 1, cores 2 to 5",
                    device.columns,
                    crate::netlist::DeviceModel::ROWS
                ),
            ));
        };
        let tile = TileId(self.net.tiles.len() as u32);
        self.net.tiles.push(Tile { column, row, kind, span });
        self.places.insert((column, row), tile);
        Ok(tile)
    }

    pub(super) fn buffers(&mut self) -> Result<()> {
        for op in walk(self.body) {
            match op.name.as_str() {
                "aie.buffer" => self.buffer(op)?,
                "aie.external_buffer" => self.external_buffer(op)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn buffer(&mut self, op: &Op) -> Result<()> {
        let tile = self.tile_operand(op, 0)?;
        let value = self.result(op)?;
        let ty = self.memref(op, value)?;
        let bytes = self.tile_bytes(tile, ty, op.span)?;
        let address: Option<u32> = self.optional(op, "address")?;
        if let Some(address) = address
            && u64::from(address) + bytes > limits(self.kind(tile)).memory as u64
        {
            return Err(self.error(
                op.span,
                format!("{bytes} bytes at address {address} are beyond the tile's memory"),
                format!("a {} has {} bytes", self.kind(tile), limits(self.kind(tile)).memory),
            ));
        }
        let initial = match op.attribute("initial_value") {
            None => None,
            Some(Attribute::Dense(dense)) => Some(values::bytes(dense, ty).map_err(|why| {
                self.error(op.span, format!("the initial value does not fit: {why}"), "")
            })?),
            Some(_) => {
                return Err(self.error(op.span, "the initial value is not a dense constant", ""));
            }
        };
        let name = op.string("sym_name").unwrap_or_else(|| self.name_of(value)).to_owned();
        let buffer = self.push_buffer(Buffer {
            tile,
            name,
            ty: ty.clone(),
            bytes: bytes as usize,
            address,
            initial,
            span: op.span,
        });
        self.net.entities.insert(value, Entity::Buffer(buffer));
        Ok(())
    }

    /// Host memory under a name, which only a static program of a shim's DMA can use.
    fn external_buffer(&mut self, op: &Op) -> Result<()> {
        let value = self.result(op)?;
        let ty = self.memref(op, value)?;
        let bytes = ty.bytes().filter(|&bytes| bytes as u64 <= MAX_EXTERNAL_BYTES);
        let Some(bytes) = bytes else {
            return Err(self.error(
                op.span,
                "an external buffer of that size is not simulated",
                format!("up to {MAX_EXTERNAL_BYTES} bytes are"),
            ));
        };
        // It belongs to no tile; whichever shim uses it reaches it.
        let Some(tile) = self.net.tiles.iter().position(|tile| tile.kind == TileKind::Shim) else {
            return Err(self.error(op.span, "an external buffer without a shim tile", ""));
        };
        let name = op.string("sym_name").unwrap_or_else(|| self.name_of(value)).to_owned();
        let buffer = self.push_buffer(Buffer {
            tile: TileId(tile as u32),
            name,
            ty: ty.clone(),
            bytes,
            address: None,
            initial: None,
            span: op.span,
        });
        self.net.entities.insert(value, Entity::Buffer(buffer));
        Ok(())
    }

    pub(super) fn push_buffer(&mut self, buffer: Buffer) -> BufferId {
        let id = BufferId(self.net.buffers.len() as u32);
        self.net.buffers.push(buffer);
        id
    }

    /// Bytes of a buffer on a tile; an error when no such buffer can be there.
    pub(super) fn tile_bytes(&self, tile: TileId, ty: &MemRef, span: Span) -> Result<u64> {
        let memory = limits(self.kind(tile)).memory as u64;
        if memory == 0 {
            return Err(self.error(
                span,
                format!("{} has no memory for a buffer", self.place(tile)),
                "put it on a memtile or a core tile",
            ));
        }
        let Some(bytes) = ty.bytes() else {
            return Err(self.error(
                span,
                "the size of a buffer must be known, and no more than a tile holds",
                format!("a {} has {memory} bytes", self.kind(tile)),
            ));
        };
        if bytes as u64 > memory {
            return Err(self.error(
                span,
                format!("{bytes} bytes do not fit into the {memory} of {}", self.place(tile)),
                "",
            ));
        }
        Ok(bytes as u64)
    }

    /// Locks with a number first, then the others get the lowest free ones, as
    /// `--aie-assign-lock-ids` does.
    pub(super) fn locks(&mut self) -> Result<()> {
        let ops: Vec<_> = walk(self.body).filter(|op| op.name == "aie.lock").collect();
        let mut taken = BTreeSet::new();
        for op in &ops {
            let Some(number) = self.optional::<u32>(op, "lockID")? else { continue };
            let tile = self.tile_operand(op, 0)?;
            if number as usize >= limits(self.kind(tile)).locks {
                return Err(self.no_such_lock(tile, number, op.span));
            }
            if !taken.insert((tile, number)) {
                return Err(self.error(
                    op.span,
                    format!("lock {number} of {} is taken already", self.place(tile)),
                    "leave the number out and the lock gets a free one",
                ));
            }
        }
        for op in ops {
            let tile = self.tile_operand(op, 0)?;
            let number = match self.optional(op, "lockID")? {
                Some(number) => number,
                None => {
                    let number = (0..).find(|&number| !taken.contains(&(tile, number)));
                    let number = number.unwrap_or(u32::MAX);
                    taken.insert((tile, number));
                    number
                }
            };
            let value = self.result(op)?;
            let name = op.string("sym_name").unwrap_or_else(|| self.name_of(value)).to_owned();
            let initial = self.optional(op, "init")?.unwrap_or(0);
            let lock = self.push_lock(Lock { tile, number, name, initial, span: op.span })?;
            self.net.entities.insert(value, Entity::Lock(lock));
        }
        Ok(())
    }

    pub(super) fn push_lock(&mut self, lock: Lock) -> Result<LockId> {
        let kind = self.kind(lock.tile);
        if lock.number as usize >= limits(kind).locks {
            return Err(self.no_such_lock(lock.tile, lock.number, lock.span));
        }
        if lock.initial > MAX_LOCK_VALUE as i32 || lock.initial < -(MAX_LOCK_VALUE as i32) - 1 {
            return Err(self.error(
                lock.span,
                format!("lock `{}` cannot begin at {}", lock.name, lock.initial),
                format!("a lock counts to {MAX_LOCK_VALUE}"),
            ));
        }
        let id = LockId(self.net.locks.len() as u32);
        self.net.locks.push(lock);
        Ok(id)
    }

    fn no_such_lock(&self, tile: TileId, number: u32, span: Span) -> crate::text::DesignError {
        let count = limits(self.kind(tile)).locks;
        self.error(
            span,
            format!("{} has no lock {number}: there are {count}", self.place(tile)),
            "objectfifos take two locks at each end",
        )
    }

    /// The lowest lock of a tile that nothing has.
    pub(super) fn free_lock(&self, tile: TileId) -> u32 {
        let taken: BTreeSet<u32> = (self.net.locks.iter())
            .filter(|lock| lock.tile == tile)
            .map(|lock| lock.number)
            .collect();
        (0..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX)
    }
}
