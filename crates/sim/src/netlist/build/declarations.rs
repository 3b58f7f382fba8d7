//! What a device only states: functions, constants, chains, sequences, allocations.

use tilewright_codegen::device::{TileKind, limits};

use super::{Attribute, Builder, Region, Result, Sequence, Type, values};
use crate::netlist::{Allocation, FunctionDeclaration, Global};
use crate::text::Op;

impl Builder<'_> {
    pub(super) fn declarations(&mut self) -> Result<()> {
        // Functions may also stand beside the devices; those of the device come first.
        for op in self.body.iter().chain(&self.module.body) {
            match op.name.as_str() {
                "func.func" => self.function(op)?,
                "memref.global" => self.global(op)?,
                _ => {}
            }
        }
        for op in self.body {
            match op.name.as_str() {
                "aie.bd_chain" => {
                    self.net.chains.insert(self.sym_name(op)?.to_owned(), op.clone());
                }
                "aie.runtime_sequence" | "aiex.runtime_sequence" => self.sequence(op)?,
                "aie.shim_dma_allocation" => self.allocation(op)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn function(&mut self, op: &Op) -> Result<()> {
        let name = self.sym_name(op)?;
        let Some(Attribute::Type(Type::Function(arguments, results))) =
            op.attribute("function_type")
        else {
            return Err(self.error(op.span, format!("@{name} has no type"), ""));
        };
        self.net.functions.entry(name.to_owned()).or_insert_with(|| FunctionDeclaration {
            arguments: arguments.clone(),
            results: results.clone(),
            body: op.regions.first().filter(|region| !region.blocks.is_empty()).cloned(),
            link_with: op.string("link_with").map(str::to_owned),
            span: op.span,
        });
        Ok(())
    }

    fn global(&mut self, op: &Op) -> Result<()> {
        let name = self.sym_name(op)?;
        let Some(Attribute::Type(Type::MemRef(ty))) = op.attribute("type") else {
            return Err(self.error(op.span, format!("@{name} has no type"), ""));
        };
        let value = match op.attribute("initial_value") {
            Some(Attribute::Dense(dense)) => {
                let memory = limits(TileKind::Core).memory;
                if ty.bytes().is_none_or(|bytes| bytes > memory) {
                    return Err(self.error(
                        op.span,
                        format!("@{name} is larger than the {memory} bytes of a core's memory"),
                        "",
                    ));
                }
                Some(values::bytes(dense, ty).map_err(|why| {
                    self.error(op.span, format!("the value of @{name} does not fit: {why}"), "")
                })?)
            }
            _ => None,
        };
        let global = Global { ty: ty.as_ref().clone(), value, span: op.span };
        self.net.globals.entry(name.to_owned()).or_insert(global);
        Ok(())
    }

    fn sequence(&mut self, op: &Op) -> Result<()> {
        let body = op.regions.first().cloned().unwrap_or_else(Region::default);
        let mut arguments = Vec::new();
        for &value in body.blocks.first().map_or(&[][..], |block| &block.arguments) {
            match self.type_of(value) {
                Some(ty) => arguments.push(ty.clone()),
                None => return Err(self.error(op.span, "an argument has no type", "")),
            }
        }
        let name = op.string("sym_name").unwrap_or_default().to_owned();
        if !name.is_empty() && self.net.sequences.iter().any(|known| known.name == name) {
            return Err(self.error(op.span, format!("there are two sequences @{name}"), ""));
        }
        self.net.sequences.push(Sequence { name, arguments, body, span: op.span });
        Ok(())
    }

    fn allocation(&mut self, op: &Op) -> Result<()> {
        let name = self.sym_name(op)?;
        let tile = match self.optional(op, "col")? {
            // As it was written until 2025: the column instead of the tile.
            Some(column) => self.tile_at(column, 0, op.span)?,
            None => self.tile_operand(op, 0)?,
        };
        if self.kind(tile) != TileKind::Shim {
            return Err(self.error(
                op.span,
                format!("@{name} is on {}", self.place(tile)),
                "runtime sequences feed the DMAs of shims: row 0",
            ));
        }
        let (direction, number) = (self.direction(op)?, self.number(op, "channel_index")?);
        let channel = self.channel(tile, direction, number, name, op.span)?;
        let packet = self.packet(op, "packet")?;
        let allocation = Allocation { channel, packet, span: op.span };
        if self.net.allocations.insert(name.to_owned(), allocation).is_some() {
            return Err(self.error(op.span, format!("there are two allocations @{name}"), ""));
        }
        Ok(())
    }
}
