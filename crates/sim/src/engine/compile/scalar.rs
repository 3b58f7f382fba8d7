//! `arith` and `math`.

use super::{Compiler, Result};
use crate::engine::program::{Conversion, Instruction};
use crate::engine::value::{Element, FloatOp, IntegerOp, Kind, Value, sign_extend};
use crate::text::{Attribute, DenseElements, Op, Type};

/// Compiles the operation if it is one of these.
pub(super) fn compile(c: &mut Compiler<'_>, op: &Op) -> Result<bool> {
    let name = op.name.as_str();
    if let Some(integer) = IntegerOp::from_name(name) {
        let (a, b, to) = (c.operand(op, 0)?, c.operand(op, 1)?, c.result(op)?);
        let bits = c.bits(op, c.type_of(op.operands[0]))?;
        c.emit(op, Instruction::Integer { op: integer, to, a, b, bits });
        return Ok(true);
    }
    if let Some(float) = FloatOp::from_name(name) {
        let (a, b, to) = (c.operand(op, 0)?, c.operand(op, 1)?, c.result(op)?);
        let kind = kind(c, op, c.type_of(op.operands[0]))?;
        c.emit(op, Instruction::Float { op: float, to, a, b, kind });
        return Ok(true);
    }
    if let Some(function) = map(name) {
        let (from, to) = (c.operand(op, 0)?, c.result(op)?);
        let kind = kind(c, op, c.type_of(op.operands[0]))?;
        c.emit(op, Instruction::Map { to, from, function, kind });
        return Ok(true);
    }
    match name {
        "arith.constant" => constant(c, op)?,
        "arith.cmpi" => {
            let (a, b, to) = (c.operand(op, 0)?, c.operand(op, 1)?, c.result(op)?);
            let predicate = op.integer("predicate").unwrap_or(0) as u8;
            let bits = c.bits(op, c.type_of(op.operands[0]))?;
            c.emit(op, Instruction::CompareIntegers { to, a, b, predicate, bits });
        }
        "arith.cmpf" => {
            let (a, b, to) = (c.operand(op, 0)?, c.operand(op, 1)?, c.result(op)?);
            let predicate = op.integer("predicate").unwrap_or(0) as u8;
            kind(c, op, c.type_of(op.operands[0]))?;
            c.emit(op, Instruction::CompareFloats { to, a, b, predicate });
        }
        "arith.select" => {
            let (condition, a, b) = (c.operand(op, 0)?, c.operand(op, 1)?, c.operand(op, 2)?);
            let to = c.result(op)?;
            c.emit(op, Instruction::Select { to, condition, a, b });
        }
        _ => match conversion(c, op)? {
            Some(conversion) => {
                let (from, to) = (c.operand(op, 0)?, c.result(op)?);
                c.emit(op, Instruction::Convert { to, from, conversion });
            }
            None => return Ok(false),
        },
    }
    Ok(true)
}

fn kind(c: &Compiler<'_>, op: &Op, ty: &Type) -> Result<Kind> {
    match ty {
        Type::Float(float) => Ok((*float).into()),
        _ => Err(c.error(
            op,
            format!("`{}` on {ty:?}, which the simulator cannot compute", op.name),
            "it computes with scalars; put vector code into a core kernel",
        )),
    }
}

/// One-operand functions. The device's own are approximations in part; these are exact.
fn map(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "arith.negf" => |x: f64| -x,
        "math.absf" => f64::abs,
        "math.sqrt" => f64::sqrt,
        "math.rsqrt" => |x: f64| 1.0 / x.sqrt(),
        "math.exp" => f64::exp,
        "math.exp2" => f64::exp2,
        "math.log" => f64::ln,
        "math.log2" => f64::log2,
        "math.sin" => f64::sin,
        "math.cos" => f64::cos,
        "math.tanh" => f64::tanh,
        "math.floor" => f64::floor,
        "math.ceil" => f64::ceil,
        "math.round" => f64::round,
        "math.roundeven" => f64::round_ties_even,
        "math.trunc" => f64::trunc,
        _ => return None,
    })
}

fn constant(c: &mut Compiler<'_>, op: &Op) -> Result<()> {
    let Some(&result) = op.results.first() else { return Ok(()) };
    let ty = c.type_of(result);
    let value = match (op.attribute("value"), Element::of(ty)) {
        (Some(Attribute::Integer(value)), Some(Element::Integer { bits })) => {
            Some(Value::Integer(sign_extend(*value as i64, bits)))
        }
        (Some(Attribute::Bool(value)), _) => Some(Value::Integer(-i64::from(*value))),
        (Some(Attribute::Float(value)), Some(Element::Float(kind))) => {
            Some(Value::Float(kind.round(*value)))
        }
        (Some(Attribute::Integer(value)), Some(Element::Float(kind))) => {
            Some(Value::Float(kind.round(*value as f64)))
        }
        // A constant vector or tensor: only a core kernel could use it.
        (Some(Attribute::Dense(dense)), _) => match dense.elements {
            DenseElements::Splat(_) | DenseElements::Each(_) | DenseElements::Bytes(_) => None,
        },
        _ => None,
    };
    let Some(value) = value else {
        return Err(c.error(
            op,
            format!("a constant of type {ty:?}"),
            "the simulator computes with scalars; put vector code into a core kernel",
        ));
    };
    let to = c.define(result);
    c.emit(op, Instruction::Constant { to, value });
    Ok(())
}

fn conversion(c: &Compiler<'_>, op: &Op) -> Result<Option<Conversion>> {
    let types = || {
        let from = op.operands.first().map(|&id| c.type_of(id));
        let to = op.results.first().map(|&id| c.type_of(id));
        from.zip(to).ok_or_else(|| c.error(op, format!("`{}` lacks an operand", op.name), ""))
    };
    let bits = |ty: &Type| c.bits(op, ty);
    Ok(Some(match op.name.as_str() {
        "arith.extsi" | "arith.trunci" | "arith.index_cast" => {
            Conversion::SignExtend { bits: bits(types()?.1)? }
        }
        "arith.extui" | "arith.index_castui" => {
            let (from, to) = types()?;
            Conversion::ZeroExtend { from: bits(from)?, bits: bits(to)? }
        }
        "arith.sitofp" => {
            Conversion::IntegerToFloat { unsigned_bits: None, kind: kind(c, op, types()?.1)? }
        }
        "arith.uitofp" => {
            let (from, to) = types()?;
            Conversion::IntegerToFloat { unsigned_bits: Some(bits(from)?), kind: kind(c, op, to)? }
        }
        "arith.fptosi" => Conversion::FloatToInteger { bits: bits(types()?.1)?, unsigned: false },
        "arith.fptoui" => Conversion::FloatToInteger { bits: bits(types()?.1)?, unsigned: true },
        "arith.extf" | "arith.truncf" => Conversion::Round { kind: kind(c, op, types()?.1)? },
        "arith.bitcast" => match types()? {
            (Type::Float(float), Type::Integer { .. }) => {
                Conversion::FloatBits { kind: (*float).into() }
            }
            (Type::Integer { .. }, Type::Float(float)) => {
                Conversion::BitsFloat { kind: (*float).into() }
            }
            _ => Conversion::Keep,
        },
        "builtin.unrealized_conversion_cast" => Conversion::Keep,
        _ => return Ok(None),
    }))
}
