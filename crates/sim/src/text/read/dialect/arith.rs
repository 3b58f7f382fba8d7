//! `arith`: arithmetic on numbers.

use crate::text::enums::Enumeration;
use crate::text::read::form::Piece::{Case, Dictionary, Read, Result, Same, T, Type as Ty, Value};
use crate::text::read::form::{self, Form, Piece, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Type};

type Fills = &'static [(&'static str, form::Value)];

const FAST: Fills = &[("fastmath", form::Value::Other("#arith.fastmath<none>"))];
const OVERFLOW: Fills = &[("overflowFlags", form::Value::Other("#arith.overflow<none>"))];

const BINARY: &[Piece] = &[Value("lhs"), T(","), Value("rhs"), Dictionary, T(":"), Same];
const EXACT: &[Piece] =
    &[Value("lhs"), T(","), Value("rhs"), Read("exact", exact), Dictionary, T(":"), Same];
const OVERFLOWING: &[Piece] =
    &[Value("lhs"), T(","), Value("rhs"), Read("overflow<…>", overflow), Dictionary, T(":"), Same];
const FLOATS: &[Piece] =
    &[Value("lhs"), T(","), Value("rhs"), Read("fastmath<…>", fast_math), Dictionary, T(":"), Same];
const CAST: &[Piece] = &[
    Value("in"),
    Read("nneg", non_negative),
    Read("overflow<…>", overflow),
    Read("fastmath<…>", fast_math),
    Dictionary,
    T(":"),
    Ty,
    T("to"),
    Result,
];

const fn binary(name: &'static str) -> Form {
    op(name, BINARY)
}

const fn floats(name: &'static str) -> Form {
    op(name, FLOATS).fills(FAST)
}

const fn cast(name: &'static str) -> Form {
    op(name, CAST)
}

pub(super) const FORMS: &[Form] = &[
    op("arith.constant", &[Dictionary, Read("<value> : type", constant)]),
    op("arith.addi", OVERFLOWING).fills(OVERFLOW),
    op("arith.subi", OVERFLOWING).fills(OVERFLOW),
    op("arith.muli", OVERFLOWING).fills(OVERFLOW),
    op("arith.shli", OVERFLOWING).fills(OVERFLOW),
    op("arith.divsi", EXACT),
    op("arith.divui", EXACT),
    op("arith.shrsi", EXACT),
    op("arith.shrui", EXACT),
    binary("arith.ceildivsi"),
    binary("arith.ceildivui"),
    binary("arith.floordivsi"),
    binary("arith.remsi"),
    binary("arith.remui"),
    binary("arith.andi"),
    binary("arith.ori"),
    binary("arith.xori"),
    binary("arith.maxsi"),
    binary("arith.maxui"),
    binary("arith.minsi"),
    binary("arith.minui"),
    op(
        "arith.addui_extended",
        &[Value("lhs"), T(","), Value("rhs"), Dictionary, T(":"), Same, T(","), Result],
    ),
    op("arith.mulsi_extended", &[Read("%lhs, %rhs : type", multiply_extended)]),
    op("arith.mului_extended", &[Read("%lhs, %rhs : type", multiply_extended)]),
    floats("arith.addf"),
    floats("arith.subf"),
    floats("arith.mulf"),
    floats("arith.divf"),
    floats("arith.remf"),
    floats("arith.maximumf"),
    floats("arith.minimumf"),
    floats("arith.maxnumf"),
    floats("arith.minnumf"),
    op("arith.negf", &[Value("operand"), Read("fastmath<…>", fast_math), Dictionary, T(":"), Same])
        .fills(FAST),
    op(
        "arith.cmpi",
        &[
            Case("predicate", &INTEGER_PREDICATES),
            T(","),
            Value("lhs"),
            T(","),
            Value("rhs"),
            Dictionary,
            T(":"),
            Read("type", compared),
        ],
    ),
    op(
        "arith.cmpf",
        &[
            Case("predicate", &FLOAT_PREDICATES),
            T(","),
            Value("lhs"),
            T(","),
            Value("rhs"),
            Read("fastmath<…>", fast_math),
            Dictionary,
            T(":"),
            Read("type", compared),
        ],
    )
    .fills(FAST),
    op(
        "arith.select",
        &[
            Value("condition"),
            T(","),
            Value("true_value"),
            T(","),
            Value("false_value"),
            Dictionary,
            T(":"),
            Read("type", selected),
        ],
    ),
    cast("arith.bitcast"),
    cast("arith.extf"),
    cast("arith.extsi"),
    cast("arith.extui"),
    cast("arith.fptosi"),
    cast("arith.fptoui"),
    cast("arith.index_cast"),
    cast("arith.index_castui"),
    cast("arith.sitofp"),
    cast("arith.uitofp"),
    cast("arith.trunci").fills(OVERFLOW),
    op(
        "arith.truncf",
        &[
            Value("in"),
            Read("to_nearest_even", rounding),
            Read("fastmath<…>", fast_math),
            Dictionary,
            T(":"),
            Ty,
            T("to"),
            Result,
        ],
    ),
];

const INTEGER_PREDICATES: Enumeration = Enumeration {
    what: "a comparison",
    cases: &[
        ("eq", 0),
        ("ne", 1),
        ("slt", 2),
        ("sle", 3),
        ("sgt", 4),
        ("sge", 5),
        ("ult", 6),
        ("ule", 7),
        ("ugt", 8),
        ("uge", 9),
    ],
};

const FLOAT_PREDICATES: Enumeration = Enumeration {
    what: "a comparison",
    cases: &[
        ("false", 0),
        ("oeq", 1),
        ("ogt", 2),
        ("oge", 3),
        ("olt", 4),
        ("ole", 5),
        ("one", 6),
        ("ord", 7),
        ("ueq", 8),
        ("ugt", 9),
        ("uge", 10),
        ("ult", 11),
        ("ule", 12),
        ("une", 13),
        ("uno", 14),
        ("true", 15),
    ],
};

const ROUNDING: Enumeration = Enumeration {
    what: "a rounding mode",
    cases: &[
        ("to_nearest_even", 0),
        ("downward", 1),
        ("upward", 2),
        ("toward_zero", 3),
        ("to_nearest_away", 4),
    ],
};

/// `fastmath<nnan, ninf>`.
pub(super) fn fast_math<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    flags(p, draft, "fastmath", "fastmath")
}

fn overflow<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    flags(p, draft, "overflow", "overflowFlags")
}

fn flags<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>, word: &str, name: &str) -> Parsed<()> {
    if p.at(word) {
        p.advance();
        if !p.at("<") {
            return Err(p.expected("`<`"));
        }
        let inner = p.captured()?;
        draft.set(name, Attribute::Other(format!("#arith.{word}{inner}")));
    }
    Ok(())
}

fn exact<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("exact") {
        draft.set("isExact", Attribute::Unit);
    }
    Ok(())
}

fn non_negative<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("nneg") {
        draft.set("nonNeg", Attribute::Unit);
    }
    Ok(())
}

fn rounding<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if ROUNDING.number(p.token.text).is_some() {
        let mode = p.case(&ROUNDING)?;
        draft.set("roundingmode", mode);
    }
    Ok(())
}

/// `5 : i32`, `true`, `1.0 : f32`, `dense<…> : vector<…>`: the value has the type of the result.
fn constant<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let (value, ty) = match p.token.text {
        "true" | "false" => (p.attribute()?, Type::Integer { width: 1, unsigned: false }),
        "dense" => p.dense(None)?,
        _ if p.at_number() => p.number()?,
        _ => return Err(p.expected("a number, `true`, `false` or `dense<…>`")),
    };
    draft.set("value", value);
    draft.results.push(ty);
    Ok(())
}

fn multiply_extended<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.operand(draft, None)?;
    p.expect(",")?;
    p.operand(draft, None)?;
    draft.attributes = p.optional_dictionary()?;
    p.expect(":")?;
    let ty = p.ty()?;
    draft.type_all(&ty);
    draft.results = vec![ty.clone(), ty];
    Ok(())
}

/// One type of both operands; the result is `i1` of the same shape.
fn compared<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let ty = p.ty()?;
    draft.type_all(&ty);
    draft.results.push(like_flag(&ty));
    Ok(())
}

/// `i1`, or a vector of as many.
pub(super) fn like_flag(ty: &Type) -> Type {
    let flag = Type::Integer { width: 1, unsigned: false };
    match ty {
        Type::Vector(shape, _) => Type::Vector(shape.clone(), Box::new(flag)),
        Type::Tensor(shape, _) => Type::Tensor(shape.clone(), Box::new(flag)),
        _ => flag,
    }
}

/// One type; a condition that is not `i1` has its own before it.
fn selected<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mut ty = p.ty()?;
    let mut condition = Type::Integer { width: 1, unsigned: false };
    if p.eat(",") {
        condition = ty;
        ty = p.ty()?;
    }
    draft.type_next(condition);
    draft.type_all(&ty);
    draft.results.push(ty);
    Ok(())
}
