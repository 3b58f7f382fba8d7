//! `affine`: loops and accesses with affine bounds and indices.

use super::memref::element_of;
use crate::text::read::form::Piece::{Dictionary, Read, T, Value, Values};
use crate::text::read::form::{Form, op};
use crate::text::read::lexer::Kind;
use crate::text::read::operation::Draft;
use crate::text::read::region::Argument;
use crate::text::read::{Parsed, Parser};
use crate::text::{AffineExpr, AffineMap, Attribute, Type};

pub(super) const FORMS: &[Form] = &[
    op("affine.for", &[Read("%i = 0 to 10 step 1 iter_args(%a = %b) -> (type) { … }", for_loop)])
        .ends("affine.yield"),
    op("affine.yield", &[Dictionary, Values("operands"), Read("", super::func::values_types)]),
    op(
        "affine.load",
        &[Value("memref"), Read("[%i + 1, …]", access), Dictionary, T(":"), Read("type", loaded)],
    ),
    op(
        "affine.store",
        &[
            Value("value"),
            T(","),
            Value("memref"),
            Read("[%i + 1, …]", access),
            Dictionary,
            T(":"),
            Read("type", stored),
        ],
    ),
    op("affine.apply", &[Read("<map>(%dimension, …)[%symbol, …]", apply), Dictionary])
        .gives_index(),
    op("affine.min", &[Read("<map>(%dimension, …)[%symbol, …]", apply), Dictionary]).gives_index(),
    op("affine.max", &[Read("<map>(%dimension, …)[%symbol, …]", apply), Dictionary]).gives_index(),
];

/// `affine_map<…>` or an alias of one.
fn map(p: &mut Parser<'_>) -> Parsed<AffineMap> {
    let token = p.token;
    match p.attribute()? {
        Attribute::AffineMap(map) => Ok(map),
        _ => Err(p.error(token.span(), "expected an affine map", "")),
    }
}

/// `(%d0, %d1)[%s0]`: one value for each dimension and symbol.
fn map_operands<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>, map: &AffineMap) -> Parsed<i64> {
    let token = p.token;
    p.expect("(")?;
    let dimensions = p.list(")", |p| p.operand(draft, Some(Type::Index)))?.len();
    let symbols =
        if p.eat("[") { p.list("]", |p| p.operand(draft, Some(Type::Index)))?.len() } else { 0 };
    if (dimensions, symbols) != (map.dimensions as usize, map.symbols as usize) {
        let message = format!(
            "the map takes {} dimensions and {} symbols, but gets {dimensions} and {symbols}",
            map.dimensions, map.symbols
        );
        return Err(p.error(token.span(), message, "give one value for each"));
    }
    Ok((dimensions + symbols) as i64)
}

fn apply<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let map = map(p)?;
    map_operands(p, draft, &map)?;
    draft.set("map", Attribute::AffineMap(map));
    Ok(())
}

fn access<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.expect("[")?;
    let (map, operands) = p.affine_accesses("]")?;
    for (token, number) in operands {
        draft.uses(token, number, Some(Type::Index));
    }
    draft.set("map", Attribute::AffineMap(map));
    Ok(())
}

fn loaded<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let ty = p.ty()?;
    draft.results.push(element_of(p, &ty, token.span())?.clone());
    draft.type_next(ty);
    Ok(())
}

fn stored<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let ty = p.ty()?;
    draft.type_next(element_of(p, &ty, token.span())?.clone());
    draft.type_next(ty);
    Ok(())
}

/// A bound: a number, a value, or a map of values; of several results it is the `word` of them.
fn bound<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>, word: &str) -> Parsed<(AffineMap, i64)> {
    if p.at_kind(Kind::Value) {
        p.operand(draft, Some(Type::Index))?;
        let results = vec![AffineExpr::Symbol(0)];
        return Ok((AffineMap { dimensions: 0, symbols: 1, results }, 1));
    }
    if p.at_number() {
        let results = vec![AffineExpr::Constant(p.small_integer()?)];
        return Ok((AffineMap { dimensions: 0, symbols: 0, results }, 0));
    }
    let token = p.token;
    let several = p.eat(word);
    let map = map(p)?;
    if map.results.len() != 1 && !several {
        let message = format!("this map has {} results", map.results.len());
        let help = format!("write `{word}` before a map with several results");
        return Err(p.error(token.span(), message, help));
    }
    let count = map_operands(p, draft, &map)?;
    Ok((map, count))
}

fn for_loop<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let name = p.expect_kind(Kind::Value, "the loop's variable `%…`")?;
    p.check_name(name)?;
    p.skip_location()?;
    p.expect("=")?;
    let (lower, lower_count) = bound(p, draft, "max")?;
    p.expect("to")?;
    let (upper, upper_count) = bound(p, draft, "min")?;
    let step = if p.eat("step") { p.small_integer()? } else { 1 };
    let mut entry = vec![Argument { name, ty: Type::Index }];
    let mut carried = 0;
    if p.eat("iter_args") {
        p.expect("(")?;
        let names = p.list(")", |p| {
            let name = p.expect_kind(Kind::Value, "an argument `%name = %value`")?;
            p.check_name(name)?;
            p.expect("=")?;
            p.operand(draft, None)?;
            Ok(name)
        })?;
        p.expect("->")?;
        let token = p.token;
        draft.results = p.result_types()?;
        if draft.results.len() != names.len() {
            let message = format!(
                "{} values are carried, but {} types are given",
                names.len(),
                draft.results.len()
            );
            return Err(p.error(token.span(), message, "give each carried value its type"));
        }
        carried = names.len() as i64;
        for (name, ty) in names.into_iter().zip(draft.results.clone()) {
            draft.type_next(ty.clone());
            entry.push(Argument { name, ty });
        }
    }
    draft.set("lowerBoundMap", Attribute::AffineMap(lower));
    draft.set("upperBoundMap", Attribute::AffineMap(upper));
    draft.set("step", Attribute::Integer(i128::from(step)));
    let segments = vec![lower_count, upper_count, carried];
    draft.set("operandSegmentSizes", Attribute::Integers(segments));
    p.resolve(draft)?;
    let region = p.body(entry)?;
    draft.regions.push(region);
    let attributes = p.optional_dictionary()?;
    draft.attributes.extend(attributes);
    Ok(())
}
