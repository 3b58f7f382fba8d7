//! `math`: functions of numbers.

use super::arith::fast_math;
use crate::text::read::form::Piece::{Dictionary, Read, Same, T, Type, Value};
use crate::text::read::form::{self, Form, Piece, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};

const FAST: &[(&str, form::Value)] = &[("fastmath", form::Value::Other("#arith.fastmath<none>"))];

const UNARY: &[Piece] =
    &[Value("operand"), Read("fastmath<…>", fast_math), Dictionary, T(":"), Same];
const BINARY: &[Piece] =
    &[Value("lhs"), T(","), Value("rhs"), Read("fastmath<…>", fast_math), Dictionary, T(":"), Same];
const TERNARY: &[Piece] = &[
    Value("a"),
    T(","),
    Value("b"),
    T(","),
    Value("c"),
    Read("fastmath<…>", fast_math),
    Dictionary,
    T(":"),
    Same,
];
const INTEGER: &[Piece] = &[Value("operand"), Dictionary, T(":"), Same];

const fn unary(name: &'static str) -> Form {
    op(name, UNARY).fills(FAST)
}

pub(super) const FORMS: &[Form] = &[
    unary("math.absf"),
    unary("math.acos"),
    unary("math.asin"),
    unary("math.atan"),
    unary("math.cbrt"),
    unary("math.ceil"),
    unary("math.cos"),
    unary("math.cosh"),
    unary("math.erf"),
    unary("math.erfc"),
    unary("math.exp"),
    unary("math.exp2"),
    unary("math.expm1"),
    unary("math.floor"),
    unary("math.log"),
    unary("math.log10"),
    unary("math.log1p"),
    unary("math.log2"),
    unary("math.round"),
    unary("math.roundeven"),
    unary("math.rsqrt"),
    unary("math.sin"),
    unary("math.sinh"),
    unary("math.sqrt"),
    unary("math.tan"),
    unary("math.tanh"),
    unary("math.trunc"),
    op("math.atan2", BINARY).fills(FAST),
    op("math.copysign", BINARY).fills(FAST),
    op("math.powf", BINARY).fills(FAST),
    op("math.fma", TERNARY).fills(FAST),
    op("math.absi", INTEGER),
    op("math.ctlz", INTEGER),
    op("math.ctpop", INTEGER),
    op("math.cttz", INTEGER),
    op("math.ipowi", &[Value("lhs"), T(","), Value("rhs"), Dictionary, T(":"), Same]),
    op(
        "math.fpowi",
        &[
            Value("lhs"),
            T(","),
            Value("rhs"),
            Read("fastmath<…>", fast_math),
            Dictionary,
            T(":"),
            Read("type", base),
            T(","),
            Type,
        ],
    )
    .fills(FAST),
];

/// The type of the base, which is that of the result.
fn base<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let ty = p.ty()?;
    draft.type_next(ty.clone());
    draft.results.push(ty);
    Ok(())
}
