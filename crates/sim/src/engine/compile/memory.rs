//! `memref`.

use super::{Compiler, Result};
use crate::engine::program::{Index, Instruction, Origin, Slot};
use crate::engine::value::{Value, View};
use crate::text::{Attribute, Op};

/// What MLIR writes for a dynamic entry of a static list.
const DYNAMIC: i64 = i64::MIN;

/// Compiles the operation if it is one of these.
pub(super) fn compile<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<bool> {
    match op.name.as_str() {
        "memref.load" => {
            let view = c.operand(op, 0)?;
            let indices = indices(c, op, 1)?;
            let to = c.result(op)?;
            c.emit(op, Instruction::Load { to, view, indices });
        }
        "memref.store" => {
            let (value, view) = (c.operand(op, 0)?, c.operand(op, 1)?);
            let indices = indices(c, op, 2)?;
            c.emit(op, Instruction::Store { value, view, indices });
        }
        "memref.get_global" if c.sequence.is_some() => c.note_global(op)?,
        "memref.alloc" | "memref.alloca" if c.sequence.is_some() => return Ok(false),
        "memref.get_global" => {
            let (place, memref) = c.global(op)?;
            let layout = c.layout(op, memref)?;
            let to = c.result(op)?;
            let value = Value::View(View { place, offset: 0, layout });
            c.emit(op, Instruction::Constant { to, value });
        }
        "memref.alloc" | "memref.alloca" => {
            let Some(&result) = op.results.first() else { return Ok(true) };
            let memref = c.memref_of(op, result)?;
            let name = c.netlist.module.value(result).name.clone();
            let place = c.local(op, name, memref, None)?;
            let layout = c.layout(op, memref)?;
            let to = c.define(result);
            let value = Value::View(View { place, offset: 0, layout });
            c.emit(op, Instruction::Constant { to, value });
        }
        "memref.dealloc" => {}
        "memref.subview" => part(c, op, Origin::View)?,
        // Sequences know no pointers: there the compiler adds up offsets.
        "memref.reinterpret_cast" if c.sequence.is_some() => part(c, op, Origin::Element)?,
        "memref.reinterpret_cast" => part(c, op, Origin::Place)?,
        "memref.cast"
        | "memref.collapse_shape"
        | "memref.expand_shape"
        | "memref.memory_space_cast"
        | "memref.assume_alignment" => {
            // Older forms of `assume_alignment` have no result.
            if let Some(&result) = op.results.first() {
                let from = c.operand(op, 0)?;
                let layout = c.layout(op, c.memref_of(op, result)?)?;
                let to = c.define(result);
                let offsets = Box::default();
                c.emit(
                    op,
                    Instruction::Subview { to, from, offsets, origin: Origin::View, layout },
                );
            }
        }
        "memref.view" => {
            let (from, shift, to) = (c.operand(op, 0)?, c.operand(op, 1)?, c.result(op)?);
            let layout = c.layout(op, c.memref_of(op, op.results[0])?)?;
            let offsets = Box::new([Index::Slot(shift)]);
            c.emit(op, Instruction::Subview { to, from, offsets, origin: Origin::View, layout });
        }
        "memref.dim" => {
            let (view, dimension, to) = (c.operand(op, 0)?, c.operand(op, 1)?, c.result(op)?);
            c.emit(op, Instruction::Size { to, view, dimension });
        }
        "memref.copy" => {
            let (from, to) = (c.operand(op, 0)?, c.operand(op, 1)?);
            c.emit(op, Instruction::CopyView { from, to });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The operands from a position on, as indices.
fn indices(c: &mut Compiler<'_>, op: &Op, from: usize) -> Result<Box<[Index]>> {
    let operands = op.operands.get(from..).unwrap_or_default();
    operands.iter().map(|&id| Ok(Index::Slot(c.value(op, id)?))).collect()
}

/// Static entries of a list, with operands where they are dynamic.
fn mixed(
    c: &Compiler<'_>,
    op: &Op,
    name: &str,
    dynamic: &mut impl Iterator<Item = Slot>,
) -> Result<Vec<Index>> {
    let Some(Attribute::Integers(entries)) = op.attribute(name) else {
        return Ok(Vec::new());
    };
    entries
        .iter()
        .map(|&entry| match entry {
            DYNAMIC => dynamic
                .next()
                .map(Index::Slot)
                .ok_or_else(|| c.error(op, format!("`{}` lacks an operand", op.name), "")),
            entry => Ok(Index::Static(entry)),
        })
        .collect()
}

/// `memref.subview` and `memref.reinterpret_cast`.
fn part(c: &mut Compiler<'_>, op: &Op, origin: Origin) -> Result<()> {
    let slots = c.operands(op)?;
    let Some((&from, dynamic)) = slots.split_first() else {
        return Err(c.error(op, format!("`{}` lacks its memref", op.name), ""));
    };
    let mut dynamic = dynamic.iter().copied();
    let offsets = mixed(c, op, "static_offsets", &mut dynamic)?.into_boxed_slice();
    let Some(&result) = op.results.first() else { return Ok(()) };
    let layout = c.layout(op, c.memref_of(op, result)?)?;
    let to = c.define(result);
    c.emit(op, Instruction::Subview { to, from, offsets, origin, layout });
    Ok(())
}
