//! `vector`: the operations that move elements between memory, scalars and vectors.

use super::arith::{fast_math, like_flag};
use super::memref::{element_of, mixed};
use crate::text::read::form::Piece::{
    Dictionary, Indices, Read, Result, Same, T, Type as Ty, Value,
};
use crate::text::read::form::{self, Form, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{AffineExpr, AffineMap, Attribute, Type};

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
    op(
        "vector.transfer_read",
        &[
            Value("base"),
            Indices("index"),
            T(","),
            Value("padding"),
            Read(", %mask", mask),
            Dictionary,
            T(":"),
            Read("memref type, vector type", transfer_read),
        ],
    ),
    op(
        "vector.transfer_write",
        &[
            Value("value"),
            T(","),
            Value("base"),
            Indices("index"),
            Read(", %mask", mask),
            Dictionary,
            T(":"),
            Read("vector type, memref type", transfer_write),
        ],
    ),
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

/// `, %mask`, if there is one.
fn mask<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat(",") { p.operand(draft, None) } else { Ok(()) }
}

fn transfer_read<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let base = p.ty()?;
    p.expect(",")?;
    let vector = p.ty()?;
    let masked = draft.untyped() > 2;
    let indices = draft.operand_count() - 2 - usize::from(masked);
    draft.type_next(base.clone());
    draft.type_next(element_of(p, &base, token.span())?.clone());
    if masked {
        draft.type_next(like_flag(&vector));
    }
    transfer(draft, &base, &vector, [1, indices as i64, 1, i64::from(masked)]);
    draft.results.push(vector);
    Ok(())
}

fn transfer_write<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let vector = p.ty()?;
    p.expect(",")?;
    let base = p.ty()?;
    let masked = draft.untyped() > 2;
    let indices = draft.operand_count() - 2 - usize::from(masked);
    draft.type_next(vector.clone());
    draft.type_next(base.clone());
    if masked {
        draft.type_next(like_flag(&vector));
    }
    transfer(draft, &base, &vector, [1, 1, indices as i64, i64::from(masked)]);
    Ok(())
}

/// What both transfers leave unsaid: the map takes the innermost sizes of the memory, and no access
/// is known to be in bounds.
fn transfer(draft: &mut Draft<'_>, base: &Type, vector: &Type, segments: [i64; 4]) {
    let (Type::MemRef(memref), Type::Vector(sizes, _)) = (base, vector) else { return };
    let (outer, inner) = (memref.shape.len() as u32, sizes.len() as u32);
    if draft.attribute("permutation_map").is_none() {
        let results = (outer.saturating_sub(inner)..outer).map(AffineExpr::Dimension).collect();
        let map = AffineMap { dimensions: outer, symbols: 0, results };
        draft.set("permutation_map", Attribute::AffineMap(map));
    }
    if draft.attribute("in_bounds").is_none() {
        let none = vec![Attribute::Bool(false); sizes.len()];
        draft.set("in_bounds", Attribute::Array(none));
    }
    draft.set("operandSegmentSizes", Attribute::Integers(segments.to_vec()));
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
