//! `vector`: the operations that move elements between memory, scalars and vectors.

use super::arith::fast_math;
use super::memref::mixed;
use crate::text::read::form::Piece::{
    Dictionary, Indices, Read, Result, Same, T, Type as Ty, Value,
};
use crate::text::read::form::{self, Form, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Type};

const FAST: &[(&str, form::Value)] = &[("fastmath", form::Value::Other("#arith.fastmath<none>"))];
const TEMPORAL: &[(&str, form::Value)] = &[("nontemporal", form::Value::Bool(false))];

pub(super) const FORMS: &[Form] = &[
    op("vector.load", &[Value("base"), Indices("index"), Dictionary, T(":"), Ty, T(","), Result])
        .drops(TEMPORAL),
    op(
        "vector.store",
        &[
            Value("value"),
            T(","),
            Value("base"),
            Indices("index"),
            Dictionary,
            T(":"),
            Read("type, type", value_then_base),
        ],
    )
    .drops(TEMPORAL),
    op("vector.broadcast", &[Value("source"), Dictionary, T(":"), Ty, T("to"), Result]),
    op("vector.shape_cast", &[Value("source"), Dictionary, T(":"), Ty, T("to"), Result]),
    op("vector.bitcast", &[Value("source"), Dictionary, T(":"), Ty, T("to"), Result]),
    op("vector.splat", &[Value("input"), Dictionary, T(":"), Read("type", splat)]),
    op(
        "vector.fma",
        &[Value("lhs"), T(","), Value("rhs"), T(","), Value("acc"), Dictionary, T(":"), Same],
    ),
    op("vector.print", &[Value("source"), Dictionary, T(":"), Ty]),
    op("vector.extract", &[Value("source"), Read("[0, %index] : type from type", extract)]),
    op(
        "vector.insert",
        &[Value("value"), T(","), Value("dest"), Read("[0, %index] : type into type", insert)],
    ),
    op("vector.reduction", &[Read("<add>, %vector : type into type", reduction)]).fills(FAST),
];

fn value_then_base<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    // The text has the type of the memory first, the operands have the value first.
    let base = p.ty()?;
    p.expect(",")?;
    let value = p.ty()?;
    draft.type_next(value);
    draft.type_next(base);
    Ok(())
}

fn splat<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let ty = p.ty()?;
    let (Type::Vector(_, element) | Type::Tensor(_, element)) = &ty else {
        return Err(p.error(token.span(), format!("expected a vector type, but this is {ty}"), ""));
    };
    draft.type_next((**element).clone());
    draft.results.push(ty);
    Ok(())
}

/// Types first, as the positions follow the operands that they are types of.
fn extract<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let (position, _) = mixed(p, draft, &Type::Index)?;
    draft.set("static_position", Attribute::Integers(position));
    let attributes = p.optional_dictionary()?;
    draft.attributes.extend(attributes);
    p.expect(":")?;
    let result = p.ty()?;
    p.expect("from")?;
    let source = p.ty()?;
    draft.type_next(source);
    draft.results.push(result);
    Ok(())
}

fn insert<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let (position, _) = mixed(p, draft, &Type::Index)?;
    draft.set("static_position", Attribute::Integers(position));
    let attributes = p.optional_dictionary()?;
    draft.attributes.extend(attributes);
    p.expect(":")?;
    let value = p.ty()?;
    p.expect("into")?;
    let dest = p.ty()?;
    draft.type_next(value);
    draft.type_next(dest.clone());
    draft.results.push(dest);
    Ok(())
}

/// `<add>, %v : vector<4xi32> into i32`, or with an accumulator `<add>, %v, %acc : …`.
fn reduction<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if !p.at("<") {
        return Err(p.expected("`<`"));
    }
    let kind = p.captured()?;
    draft.set("kind", Attribute::Other(format!("#vector.kind{kind}")));
    p.expect(",")?;
    p.operands(draft)?;
    fast_math(p, draft)?;
    let attributes = p.optional_dictionary()?;
    draft.attributes.extend(attributes);
    p.expect(":")?;
    let vector = p.ty()?;
    p.expect("into")?;
    let result = p.ty()?;
    draft.type_next(vector);
    draft.type_all(&result);
    draft.results.push(result);
    Ok(())
}
