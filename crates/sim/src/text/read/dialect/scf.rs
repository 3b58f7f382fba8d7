//! `scf`: loops and branches.

use super::func::values_types;
use crate::text::read::form::Piece::{Body, Dictionary, Flag, Maybe, Read, T, Values};
use crate::text::read::form::{Form, op};
use crate::text::read::lexer::{Kind, Token};
use crate::text::read::operation::Draft;
use crate::text::read::region::Argument;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Region, Type};

pub(super) const FORMS: &[Form] = &[
    op(
        "scf.for",
        &[Read("%i = %lower to %upper step %step iter_args(%a = %b) -> (type) { … }", for_loop)],
    )
    .ends("scf.yield"),
    op("scf.if", &[Flag("condition"), Read("-> (type) { … } else { … }", branches)])
        .ends("scf.yield"),
    op("scf.while", &[Read("(%a = %b) : (type) -> type { … } do { … }", while_loop)]),
    op(
        "scf.condition",
        &[
            T("("),
            Flag("condition"),
            T(")"),
            Dictionary,
            Values("args"),
            Read(": type, …", values_types),
        ],
    ),
    op("scf.yield", &[Dictionary, Values("results"), Read(": type, …", values_types)]),
    op(
        "scf.execute_region",
        &[
            Read("-> type", results),
            Maybe(&[T("no_inline"), Read("", no_inline)]),
            Body,
            Dictionary,
        ],
    ),
    op("scf.index_switch", &[Read("%value -> type case 0 { … } default { … }", switch)])
        .ends("scf.yield"),
    op("scf.parallel", &[Read("(%i) = (%lower) to (%upper) step (%step) { … }", parallel)])
        .ends("scf.reduce"),
    op("scf.reduce", &[Read("", bare_reduce)]),
];

fn no_inline<'s>(_: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    draft.set("no_inline", Attribute::Unit);
    Ok(())
}

/// `-> type` or `-> (type, …)` or nothing.
fn results<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("->") {
        draft.results = p.result_types()?;
    }
    Ok(())
}

/// `(%a = %b, …)`: an argument of the region and its first value each.
fn assignments<'s>(p: &mut Parser<'s>) -> Parsed<Vec<(Token<'s>, (Token<'s>, u32))>> {
    p.expect("(")?;
    p.list(")", |p| {
        let name = p.expect_kind(Kind::Value, "an argument `%name = %value`")?;
        p.check_name(name)?;
        p.expect("=")?;
        Ok((name, p.value_name()?))
    })
}

fn for_loop<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("unsigned") {
        draft.set("unsignedCmp", Attribute::Unit);
    }
    let name = p.expect_kind(Kind::Value, "the loop's variable `%…`")?;
    p.check_name(name)?;
    p.skip_location()?;
    p.expect("=")?;
    let lower = p.value_name()?;
    p.expect("to")?;
    let upper = p.value_name()?;
    p.expect("step")?;
    let step = p.value_name()?;
    // The bounds come first among the operands, but their type comes last in the text.
    let (mut names, mut first) = (Vec::new(), Vec::new());
    if p.eat("iter_args") {
        (names, first) = assignments(p)?.into_iter().unzip();
        if !p.at("->") {
            return Err(p.expected("`-> (…)`, the types of `iter_args`"));
        }
        results(p, draft)?;
    }
    let ty = if p.eat(":") { p.ty()? } else { Type::Index };
    for (token, number) in [lower, upper, step] {
        draft.uses(token, number, Some(ty.clone()));
    }
    count_types(p, draft, names.len())?;
    let mut entry = vec![Argument { name, ty }];
    for ((name, (token, number)), ty) in names.into_iter().zip(first).zip(&draft.results.clone()) {
        draft.uses(token, number, Some(ty.clone()));
        entry.push(Argument { name, ty: ty.clone() });
    }
    finish_loop(p, draft, entry)
}

fn count_types(p: &Parser<'_>, draft: &Draft<'_>, names: usize) -> Parsed<()> {
    if draft.results.len() == names {
        return Ok(());
    }
    let message =
        format!("{names} values are carried, but {} types are given", draft.results.len());
    Err(p.error(draft.span, message, "give each carried value its type"))
}

fn finish_loop<'s>(
    p: &mut Parser<'s>,
    draft: &mut Draft<'s>,
    entry: Vec<Argument<'s>>,
) -> Parsed<()> {
    p.resolve(draft)?;
    let region = p.body(entry)?;
    draft.regions.push(region);
    let attributes = p.optional_dictionary()?;
    draft.attributes.extend(attributes);
    Ok(())
}

fn branches<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    results(p, draft)?;
    p.resolve(draft)?;
    let then = p.body(Vec::new())?;
    draft.regions.push(then);
    let otherwise = if p.eat("else") { p.body(Vec::new())? } else { Region::default() };
    draft.regions.push(otherwise);
    draft.attributes = p.optional_dictionary()?;
    Ok(())
}

fn while_loop<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let carried = if p.at("(") { assignments(p)? } else { Vec::new() };
    p.expect(":")?;
    let token = p.token;
    let (inputs, outputs) = p.signature()?;
    if inputs.len() != carried.len() {
        let message = format!("{} values have {} types", carried.len(), inputs.len());
        return Err(p.error(token.span(), message, "give each value its type"));
    }
    let mut entry = Vec::new();
    for ((name, (token, number)), ty) in carried.into_iter().zip(inputs) {
        draft.uses(token, number, Some(ty.clone()));
        entry.push(Argument { name, ty });
    }
    draft.results = outputs;
    p.resolve(draft)?;
    let before = p.body(entry)?;
    p.expect("do")?;
    let after = p.body(Vec::new())?;
    draft.regions = vec![before, after];
    if p.eat("attributes") {
        draft.attributes = p.dictionary()?;
    }
    Ok(())
}

fn switch<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.operand(draft, Some(Type::Index))?;
    draft.attributes = p.optional_dictionary()?;
    results(p, draft)?;
    p.resolve(draft)?;
    let mut cases = Vec::new();
    let mut regions = Vec::new();
    while p.eat("case") {
        cases.push(p.small_integer()?);
        regions.push(p.body(Vec::new())?);
    }
    p.expect("default")?;
    draft.regions.push(p.body(Vec::new())?);
    draft.regions.append(&mut regions);
    draft.set("cases", Attribute::Integers(cases));
    Ok(())
}

fn parallel<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.expect("(")?;
    let names = p.list(")", |p| {
        let name = p.expect_kind(Kind::Value, "a loop's variable `%…`")?;
        p.check_name(name)?;
        Ok(name)
    })?;
    for word in ["=", "to", "step"] {
        p.expect(word)?;
        p.expect("(")?;
        let before = draft.operand_count();
        let token = p.token;
        p.list(")", |p| p.operand(draft, Some(Type::Index)))?;
        if draft.operand_count() - before != names.len() {
            let message = format!("expected {} values, one for each variable", names.len());
            return Err(p.error(token.span(), message, ""));
        }
    }
    let count = names.len() as i64;
    let mut initial = 0;
    if p.eat("init") {
        p.expect("(")?;
        let before = draft.operand_count();
        p.operands(draft)?;
        initial = (draft.operand_count() - before) as i64;
        p.expect(")")?;
    }
    results(p, draft)?;
    for ty in draft.results.clone() {
        draft.type_next(ty);
    }
    draft.set("operandSegmentSizes", Attribute::Integers(vec![count, count, count, initial]));
    let entry = names.into_iter().map(|name| Argument { name, ty: Type::Index }).collect();
    finish_loop(p, draft, entry)
}

/// `scf.reduce` of a loop that carries nothing.
fn bare_reduce<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.at("(") {
        return Err(p.error(
            p.token.span(),
            "the pretty form of `scf.reduce` with operands is not known",
            "write it in the generic form `\"scf.reduce\"(…) …`",
        ));
    }
    draft.attributes = p.optional_dictionary()?;
    Ok(())
}
