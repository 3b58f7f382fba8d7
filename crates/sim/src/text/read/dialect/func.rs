//! `func`: functions and calls.

use crate::text::read::form::Piece::{Dictionary, Read, Reference, Result, T, Values};
use crate::text::read::form::{Form, op};
use crate::text::read::lexer::Kind;
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Region, Type};

pub(super) const FORMS: &[Form] = &[
    op(
        "func.func",
        &[Read("private @name(%argument: type, …) -> type attributes {…} { … }", function)],
    )
    .isolated("func"),
    op("func.return", &[Dictionary, Values("values"), Read(": type, …", values_types)]),
    op(
        "func.call",
        &[
            Reference("callee"),
            T("("),
            Values("operands"),
            T(")"),
            Dictionary,
            T(":"),
            Read("(type, …) -> type", signature),
        ],
    ),
    op("func.call_indirect", &[Read("%callee(%operand, …) : (type, …) -> type", call_indirect)]),
    op("func.constant", &[Dictionary, Reference("value"), T(":"), Result]),
];

/// Types of the operands before, if there are any.
pub(super) fn values_types<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if draft.untyped() == 0 {
        return Ok(());
    }
    p.expect(":")?;
    p.operand_types(draft)
}

/// `(i32, f32) -> i32` for the operands before and the results.
pub(super) fn signature<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let (inputs, results) = p.signature()?;
    if inputs.len() != draft.untyped() {
        let message = format!("{} operands have {} types", draft.untyped(), inputs.len());
        return Err(p.error(token.span(), message, "give each operand its type"));
    }
    for ty in inputs {
        draft.type_next(ty);
    }
    draft.results.extend(results);
    Ok(())
}

fn call_indirect<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let (callee, number) = p.value_name()?;
    p.expect("(")?;
    let arguments = p.list(")", Parser::value_name)?;
    draft.attributes = p.optional_dictionary()?;
    p.expect(":")?;
    let token = p.token;
    let (inputs, results) = p.signature()?;
    if inputs.len() != arguments.len() {
        let message = format!("{} operands have {} types", arguments.len(), inputs.len());
        return Err(p.error(token.span(), message, "give each operand its type"));
    }
    draft.uses(callee, number, Some(Type::Function(inputs.clone(), results.clone())));
    for ((token, number), ty) in arguments.into_iter().zip(inputs) {
        draft.uses(token, number, Some(ty));
    }
    draft.results = results;
    Ok(())
}

fn function<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.at("private") || p.at("nested") || p.at("public") {
        draft.set("sym_visibility", Attribute::String(p.advance().text.to_owned()));
    }
    draft.set("sym_name", Attribute::String(p.symbol_name()?));
    p.expect("(")?;
    let (mut entry, mut inputs, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    p.list(")", |p| {
        if p.at_kind(Kind::Value) {
            let (argument, attributes) = p.argument()?;
            inputs.push(argument.ty.clone());
            entry.push(argument);
            notes.push(attributes);
        } else {
            inputs.push(p.ty()?);
            notes.push(p.optional_dictionary()?);
            p.skip_location()?;
        }
        Ok(())
    })?;
    if !entry.is_empty() && entry.len() != inputs.len() {
        return Err(p.error(
            draft.span,
            "some arguments have names, others do not",
            "name all arguments, or none if the function is only declared",
        ));
    }
    annotate(draft, "arg_attrs", notes);
    let mut results = Vec::new();
    let mut result_notes = Vec::new();
    if p.eat("->") {
        if p.eat("(") {
            p.list(")", |p| {
                results.push(p.ty()?);
                result_notes.push(p.optional_dictionary()?);
                Ok(())
            })?;
        } else {
            results.push(p.ty()?);
        }
    }
    annotate(draft, "res_attrs", result_notes);
    draft.set("function_type", Attribute::Type(Type::Function(inputs, results)));
    if p.eat("attributes") {
        let attributes = p.dictionary()?;
        draft.attributes.extend(attributes);
    }
    let region = if p.at("{") { p.body(entry)? } else { Region::default() };
    draft.regions.push(region);
    Ok(())
}

/// Attributes of arguments or results, kept if any of them has some.
fn annotate(draft: &mut Draft<'_>, name: &str, notes: Vec<Vec<(String, Attribute)>>) {
    if notes.iter().any(|attributes| !attributes.is_empty()) {
        let list = notes.into_iter().map(Attribute::Dictionary).collect();
        draft.set(name, Attribute::Array(list));
    }
}
