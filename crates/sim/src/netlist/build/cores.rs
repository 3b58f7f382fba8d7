//! Core programs, the cascade between them and what they may get at.

use super::{Builder, Result, entry, walk};
use crate::netlist::{Core, Entity, TileId, TileKind};
use crate::text::Op;

/// Bytes of the stack when a core does not say.
const STACK: u32 = 0x400;

impl Builder<'_> {
    pub(super) fn cores(&mut self) -> Result<()> {
        for op in self.body.iter().filter(|op| op.name == "aie.core") {
            let tile = self.tile_operand(op, 0)?;
            if self.kind(tile) != TileKind::Core {
                return Err(self.error(
                    op.span,
                    format!("{} has no core", self.place(tile)),
                    "cores are in rows 2 to 5",
                ));
            }
            if self.reserved.contains_key(&tile) {
                return Err(self.error(
                    op.span,
                    format!("{} has two programs", self.place(tile)),
                    "",
                ));
            }
            let stack: u32 = self.optional(op, "stack_size")?.unwrap_or(STACK);
            self.reserved.insert(tile, stack.into());
            if op.flag("dynamic_objfifo_lowering") {
                self.dynamic.insert(tile);
            }
            if op.attribute("elf_file").is_some() {
                self.warn(op.span, "the core's program is an ELF file, which is not simulated");
            }
            let body = op.regions.first().cloned().unwrap_or_default();
            self.net.cores.push(Core {
                tile,
                body,
                ends: std::collections::BTreeMap::new(),
                cascade_to: None,
                span: op.span,
            });
        }
        self.cascades()
    }

    fn cascades(&mut self) -> Result<()> {
        for op in self.body {
            let (from, to) = match op.name.as_str() {
                "aie.cascade_flow" => (self.tile_operand(op, 0)?, self.tile_operand(op, 1)?),
                "aie.configure_cascade" => {
                    let from = self.tile_operand(op, 0)?;
                    let Some(to) = self.cascade_neighbour(from, op)? else { continue };
                    (from, to)
                }
                _ => continue,
            };
            self.cascade(from, to, op)?;
        }
        Ok(())
    }

    /// The tile that a core's cascade output leads to, if the design names it.
    fn cascade_neighbour(&self, from: TileId, op: &Op) -> Result<Option<TileId>> {
        let from = self.net.tile(from);
        let place = match op.integer("outputDir") {
            Some(3) => (from.column, from.row.saturating_sub(1)),
            Some(6) => (from.column + 1, from.row),
            _ => {
                return Err(self.error(op.span, "a cascade leads south or east", ""));
            }
        };
        Ok(self.places.get(&place).copied().filter(|&to| self.kind(to) == TileKind::Core))
    }

    fn cascade(&mut self, from: TileId, to: TileId, op: &Op) -> Result<()> {
        let (a, b) = (self.net.tile(from), self.net.tile(to));
        let cores = a.kind == TileKind::Core && b.kind == TileKind::Core;
        let south = a.column == b.column && a.row == b.row + 1;
        let east = a.row == b.row && a.column + 1 == b.column;
        if !cores || !(south || east) {
            return Err(self.error(
                op.span,
                format!("no cascade leads from {} to {}", self.place(from), self.place(to)),
                "it leads from a core to the one south or east of it",
            ));
        }
        if self.net.cores.iter().any(|core| core.cascade_to == Some(to) && core.tile != from) {
            return Err(self.error(
                op.span,
                format!("two cascades lead to {}", self.place(to)),
                "",
            ));
        }
        let Some(core) = self.net.cores.iter_mut().find(|core| core.tile == from) else {
            return Ok(());
        };
        if core.cascade_to.is_some_and(|known| known != to) {
            return Err(self.error(
                op.span,
                format!("two cascades leave {}", self.place(from)),
                "",
            ));
        }
        core.cascade_to = Some(to);
        Ok(())
    }

    /// A core gets at its own memory and at that of the neighbours in the north, south and west.
    pub(super) fn core_accesses(&self) -> Result<()> {
        for core in &self.net.cores {
            for op in walk_region(&core.body) {
                for value in &op.operands {
                    let (owner, name) = match self.net.entities.get(value) {
                        Some(Entity::Buffer(buffer)) => {
                            let buffer = self.net.buffer(*buffer);
                            (buffer.tile, &buffer.name)
                        }
                        Some(Entity::Lock(lock)) => {
                            let lock = self.net.lock(*lock);
                            (lock.tile, &lock.name)
                        }
                        _ => continue,
                    };
                    if !self.reaches(core.tile, owner) {
                        return Err(self.error(
                            op.span,
                            format!(
                                "{} cannot get at `{name}` of {}",
                                self.place(core.tile),
                                self.place(owner)
                            ),
                            "a core gets at its own memory and that of the cores north, south and \
                             west of it",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether one tile gets at the memory of another without a stream, as the compiler's target
    /// model has it.
    pub(super) fn reaches(&self, from: TileId, to: TileId) -> bool {
        let (a, b) = (self.net.tile(from), self.net.tile(to));
        let row = a.row == b.row;
        let column = a.column == b.column;
        if a.kind == TileKind::Memtile {
            return row && a.column.abs_diff(b.column) <= 1;
        }
        let south = column && a.row == b.row + 1 && b.kind != TileKind::Memtile;
        let north = column && a.row + 1 == b.row;
        let west = row && a.column == b.column + 1;
        from == to || south || north || west
    }
}

/// Every operation of a core's program.
pub(super) fn walk_region(region: &crate::text::Region) -> impl Iterator<Item = &Op> {
    let rest = region.blocks.iter().skip(1).flat_map(|block| walk(&block.ops));
    walk(entry(region)).chain(rest)
}
