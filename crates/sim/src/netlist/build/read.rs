//! Attributes and operands of operations, with errors that name what is missing.

use super::{Builder, Result};
use crate::netlist::{Direction, Entity, LockId, TileId};
use crate::text::{Attribute, Dimension, MemRef, Op, Padding, Symbol, Type, ValueId};

impl<'m> Builder<'m> {
    /// An integer that the operation must have.
    pub(super) fn number<T: TryFrom<i128>>(&self, op: &Op, name: &str) -> Result<T> {
        self.optional(op, name)?
            .ok_or_else(|| self.error(op.span, format!("{} lacks `{name}`", op.name), ""))
    }

    /// An integer that it may have; an error when it does not fit the type.
    pub(super) fn optional<T: TryFrom<i128>>(&self, op: &Op, name: &str) -> Result<Option<T>> {
        let Some(value) = op.integer(name) else {
            return Ok(None);
        };
        T::try_from(value)
            .map(Some)
            .map_err(|_| self.error(op.span, format!("`{name}` cannot be {value}"), ""))
    }

    pub(super) fn operand(&self, op: &Op, index: usize) -> Result<ValueId> {
        op.operands
            .get(index)
            .copied()
            .ok_or_else(|| self.error(op.span, format!("{} lacks an operand", op.name), ""))
    }

    pub(super) fn result(&self, op: &Op) -> Result<ValueId> {
        op.results
            .first()
            .copied()
            .ok_or_else(|| self.error(op.span, format!("{} defines no value", op.name), ""))
    }

    /// Type of a value; an id of another module has none.
    pub(super) fn type_of(&self, value: ValueId) -> Option<&'m Type> {
        self.module.values.get(value.0 as usize).map(|value| &value.ty)
    }

    /// Name of a value without the `%`.
    pub(super) fn name_of(&self, value: ValueId) -> &'m str {
        let name = self.module.values.get(value.0 as usize).map_or("", |value| &value.name);
        name.strip_prefix('%').unwrap_or(name)
    }

    pub(super) fn memref(&self, op: &Op, value: ValueId) -> Result<&'m MemRef> {
        match self.type_of(value) {
            Some(Type::MemRef(ty)) => Ok(ty),
            _ => Err(self.error(op.span, format!("{} needs a memref", op.name), "")),
        }
    }

    pub(super) fn tile_operand(&self, op: &Op, index: usize) -> Result<TileId> {
        let value = self.operand(op, index)?;
        match self.net.entities.get(&value) {
            Some(Entity::Tile(tile)) => Ok(*tile),
            _ => {
                Err(self.error(op.span, format!("%{} is not an aie.tile", self.name_of(value)), ""))
            }
        }
    }

    pub(super) fn lock_operand(&self, op: &Op, index: usize) -> Result<LockId> {
        let value = self.operand(op, index)?;
        match self.net.entities.get(&value) {
            Some(Entity::Lock(lock)) => Ok(*lock),
            _ => {
                Err(self.error(op.span, format!("%{} is not an aie.lock", self.name_of(value)), ""))
            }
        }
    }

    pub(super) fn symbol<'o>(&self, op: &'o Op, name: &str) -> Result<&'o str> {
        op.symbol(name)
            .map(Symbol::leaf)
            .or_else(|| op.string(name))
            .ok_or_else(|| self.error(op.span, format!("{} lacks `{name}`", op.name), ""))
    }

    /// The symbol that the operation defines.
    pub(super) fn sym_name<'o>(&self, op: &'o Op) -> Result<&'o str> {
        self.symbol(op, "sym_name")
    }

    pub(super) fn direction(&self, op: &Op) -> Result<Direction> {
        match op.integer("channel_dir") {
            Some(0) => Ok(Direction::S2mm),
            Some(1) => Ok(Direction::Mm2s),
            _ => Err(self.error(op.span, format!("{} lacks a direction", op.name), "S2MM or MM2S")),
        }
    }

    /// A packet header: type and id.
    pub(super) fn packet(&self, op: &Op, name: &str) -> Result<Option<(u32, u32)>> {
        match op.attribute(name) {
            None => Ok(None),
            Some(Attribute::Packet { pkt_type, pkt_id }) => {
                self.packet_fields(op, *pkt_type, *pkt_id).map(Some)
            }
            Some(_) => Err(self.error(
                op.span,
                format!("`{name}` is not a packet header"),
                "#aie.packet_info<pkt_type = 0, pkt_id = 1>",
            )),
        }
    }

    pub(super) fn packet_fields(&self, op: &Op, kind: u32, id: u32) -> Result<(u32, u32)> {
        if kind > 7 || id > 31 {
            return Err(self.error(
                op.span,
                format!("a packet header does not hold type {kind} and id {id}"),
                "the type has 3 bits, the id 5",
            ));
        }
        Ok((kind, id))
    }

    pub(super) fn dimensions<'o>(&self, op: &'o Op, name: &str) -> Result<&'o [Dimension]> {
        match op.attribute(name) {
            None => Ok(&[]),
            Some(Attribute::Dimensions(dimensions)) => Ok(dimensions),
            Some(Attribute::Array(items)) if items.is_empty() => Ok(&[]),
            Some(_) => {
                Err(self.error(op.span, format!("`{name}` is not a list of dimensions"), ""))
            }
        }
    }

    pub(super) fn paddings<'o>(&self, op: &'o Op, name: &str) -> Result<&'o [Padding]> {
        match op.attribute(name) {
            None => Ok(&[]),
            Some(Attribute::Paddings(paddings)) => Ok(paddings),
            Some(Attribute::Array(items)) if items.is_empty() => Ok(&[]),
            Some(_) => Err(self.error(op.span, format!("`{name}` is not a list of paddings"), "")),
        }
    }

    /// The entries of an array attribute; none when it is absent.
    pub(super) fn integers(&self, op: &Op, name: &str) -> Result<Vec<i64>> {
        let wrong = || self.error(op.span, format!("`{name}` is not a list of integers"), "");
        match op.attribute(name) {
            None => Ok(Vec::new()),
            Some(Attribute::Integers(numbers)) => Ok(numbers.clone()),
            Some(Attribute::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Attribute::Integer(number) => i64::try_from(*number).map_err(|_| wrong()),
                    _ => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    pub(super) fn symbols<'o>(&self, op: &'o Op, name: &str) -> Result<Vec<&'o str>> {
        let wrong = || self.error(op.span, format!("`{name}` is not a list of symbols"), "");
        match op.attribute(name) {
            Some(Attribute::Symbol(symbol)) => Ok(vec![symbol.leaf()]),
            Some(Attribute::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Attribute::Symbol(symbol) => Ok(symbol.leaf()),
                    _ => Err(wrong()),
                })
                .collect(),
            _ => Err(wrong()),
        }
    }
}
