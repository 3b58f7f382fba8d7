//! `affine`: loops and accesses whose bounds and indices are maps.

use super::{Compiler, Result};
use crate::engine::program::{Index, Instruction, Slot};
use crate::engine::value::IntegerOp;
use crate::text::{AffineExpr, AffineMap, Attribute, Op};

/// Compiles the operation if it is one of these.
pub(super) fn compile<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<bool> {
    match op.name.as_str() {
        "affine.for" => counted(c, op)?,
        "affine.load" => {
            let view = c.operand(op, 0)?;
            let indices = indices(c, op, 1)?;
            let to = c.result(op)?;
            c.emit(op, Instruction::Load { to, view, indices });
        }
        "affine.store" => {
            let (value, view) = (c.operand(op, 0)?, c.operand(op, 1)?);
            let indices = indices(c, op, 2)?;
            c.emit(op, Instruction::Store { value, view, indices });
        }
        "affine.apply" => extreme(c, op, None)?,
        "affine.min" => extreme(c, op, Some(IntegerOp::MinS))?,
        "affine.max" => extreme(c, op, Some(IntegerOp::MaxS))?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn map<'a>(c: &Compiler<'a>, op: &'a Op, name: &str) -> Result<&'a AffineMap> {
    match op.attribute(name) {
        Some(Attribute::AffineMap(map)) => Ok(map),
        _ => Err(c.error(op, format!("`{}` lacks its map `{name}`", op.name), "")),
    }
}

/// The results of a map of operands, each in a slot.
fn results(c: &mut Compiler<'_>, op: &Op, map: &AffineMap, operands: &[Slot]) -> Result<Vec<Slot>> {
    if operands.len() != (map.dimensions + map.symbols) as usize {
        let message =
            format!("{} values for a map of {}", operands.len(), map.dimensions + map.symbols);
        return Err(c.error(op, message, ""));
    }
    map.results.iter().map(|result| expression(c, op, result, map, operands)).collect()
}

fn expression(
    c: &mut Compiler<'_>,
    op: &Op,
    expr: &AffineExpr,
    map: &AffineMap,
    operands: &[Slot],
) -> Result<Slot> {
    let (integer, a, b) = match expr {
        AffineExpr::Constant(value) => return Ok(c.constant(op, *value)),
        AffineExpr::Dimension(at) => return value(c, op, operands, *at),
        AffineExpr::Symbol(at) => return value(c, op, operands, map.dimensions + at),
        AffineExpr::Add(a, b) => (IntegerOp::Add, a, b),
        AffineExpr::Multiply(a, b) => (IntegerOp::Mul, a, b),
        AffineExpr::FloorDivide(a, b) => (IntegerOp::FloorDivS, a, b),
        AffineExpr::CeilDivide(a, b) => (IntegerOp::CeilDivS, a, b),
        AffineExpr::Modulo(a, b) => (IntegerOp::FloorDivS, a, b),
    };
    let (a, b) = (expression(c, op, a, map, operands)?, expression(c, op, b, map, operands)?);
    let to = c.fresh();
    c.emit(op, Instruction::Integer { op: integer, to, a, b, bits: 64 });
    if !matches!(expr, AffineExpr::Modulo(..)) {
        return Ok(to);
    }
    // a mod b = a − b · ⌊a / b⌋: never negative, unlike a remainder.
    let (product, rest) = (c.fresh(), c.fresh());
    c.emit(op, Instruction::Integer { op: IntegerOp::Mul, to: product, a: to, b, bits: 64 });
    c.emit(op, Instruction::Integer { op: IntegerOp::Sub, to: rest, a, b: product, bits: 64 });
    Ok(rest)
}

fn value(c: &Compiler<'_>, op: &Op, operands: &[Slot], at: u32) -> Result<Slot> {
    let slot = operands.get(at as usize).copied();
    slot.ok_or_else(|| c.error(op, "a map of more values than it is given", ""))
}

/// The indices that a map makes of the operands from a position on.
fn indices(c: &mut Compiler<'_>, op: &Op, from: usize) -> Result<Box<[Index]>> {
    let map = match op.attribute("map") {
        Some(Attribute::AffineMap(map)) => map.clone(),
        _ => return Err(c.error(op, format!("`{}` lacks its map", op.name), "")),
    };
    let slots = c.operands(op)?;
    let operands = slots.get(from..).unwrap_or_default();
    Ok(results(c, op, &map, operands)?.into_iter().map(Index::Slot).collect())
}

/// The smallest or greatest result of a map, or the only one.
fn fold(c: &mut Compiler<'_>, op: &Op, slots: &[Slot], how: Option<IntegerOp>) -> Result<Slot> {
    let Some((&first, rest)) = slots.split_first() else {
        return Err(c.error(op, "a map without a result", ""));
    };
    let mut best = first;
    for &slot in rest {
        let Some(how) = how else {
            return Err(c.error(op, "a map with several results", "one is wanted here"));
        };
        let to = c.fresh();
        c.emit(op, Instruction::Integer { op: how, to, a: best, b: slot, bits: 64 });
        best = to;
    }
    Ok(best)
}

fn extreme<'a>(c: &mut Compiler<'a>, op: &'a Op, how: Option<IntegerOp>) -> Result<()> {
    let map = map(c, op, "map")?;
    let operands = c.operands(op)?;
    let slots = results(c, op, map, &operands)?;
    let from = fold(c, op, &slots, how)?;
    let to = c.result(op)?;
    c.emit(op, Instruction::Copy { to, from });
    Ok(())
}

fn counted<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<()> {
    let (lower, upper) = (map(c, op, "lowerBoundMap")?, map(c, op, "upperBoundMap")?);
    let operands = c.operands(op)?;
    let lows = (lower.dimensions + lower.symbols) as usize;
    let highs = lows + (upper.dimensions + upper.symbols) as usize;
    let (Some(low), Some(high), Some(inits)) =
        (operands.get(..lows), operands.get(lows..highs), operands.get(highs..))
    else {
        return Err(c.error(op, "`affine.for` lacks an operand of a bound", ""));
    };
    let low = results(c, op, lower, low)?;
    let low = fold(c, op, &low, Some(IntegerOp::MaxS))?;
    let high = results(c, op, upper, high)?;
    let high = fold(c, op, &high, Some(IntegerOp::MinS))?;
    let step = c.constant(op, op.integer("step").unwrap_or(1) as i64);
    c.emit(op, Instruction::Positive { step });
    c.counted(op, low, high, step, inits)
}
