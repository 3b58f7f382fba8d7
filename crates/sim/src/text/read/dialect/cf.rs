//! `cf`: jumps between blocks.

use crate::text::read::form::Piece::{Dictionary, Flag, Quoted, Read, T};
use crate::text::read::form::{Form, op};
use crate::text::read::lexer::Kind;
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Dense, DenseElements};

pub(super) const FORMS: &[Form] = &[
    op("cf.assert", &[Flag("condition"), T(","), Quoted("msg"), Dictionary]),
    op("cf.br", &[Read("^block(%value, … : type, …)", jump), Dictionary]).then(pass_br),
    op(
        "cf.cond_br",
        &[
            Flag("condition"),
            Read("", weights),
            T(","),
            Read("^block(%value, … : type, …)", jump),
            T(","),
            Read("^block(%value, … : type, …)", jump),
            Dictionary,
        ],
    )
    .then(pass_cond_br),
    op(
        "cf.switch",
        &[Read("%flag : type, [default: ^block, 1: ^block(%value : type)]", switch), Dictionary],
    )
    .then(pass_switch),
];

/// `^block` or `^block(%a, %b : i32, f32)`; how many values go with it.
fn successor<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<i64> {
    let label = p.expect_kind(Kind::Caret, "a block `^…`")?;
    let block = p.label(label);
    draft.goes_to(block, Vec::new());
    let before = draft.operand_count();
    if p.eat("(") {
        if !p.at_kind(Kind::Value) {
            return Err(p.expected("a value `%…`"));
        }
        p.operands(draft)?;
        p.expect(":")?;
        p.operand_types(draft)?;
        p.expect(")")?;
    }
    Ok((draft.operand_count() - before) as i64)
}

const COUNTS: &str = "operandSegmentSizes";

fn jump<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let count = successor(p, draft)?;
    if draft.name == "cf.br" {
        return Ok(());
    }
    let mut counts = match draft.take(COUNTS) {
        Some(Attribute::Integers(counts)) => counts,
        _ => vec![1],
    };
    counts.push(count);
    draft.set(COUNTS, Attribute::Integers(counts));
    Ok(())
}

fn weights<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("weights") {
        p.expect("(")?;
        p.expect("[")?;
        let weights = p.list("]", Parser::small_integer)?;
        p.expect(")")?;
        draft.set("branch_weights", Attribute::Integers(weights));
    }
    Ok(())
}

fn switch<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.operand(draft, None)?;
    p.expect(":")?;
    let ty = p.ty()?;
    draft.type_next(ty.clone());
    p.expect(",")?;
    p.expect("[")?;
    p.expect("default")?;
    p.expect(":")?;
    let default = successor(p, draft)?;
    let (mut values, mut counts) = (Vec::new(), Vec::new());
    while p.eat(",") {
        let literal = p.literal()?;
        values.push(p.typed_integer(&literal, &ty)? as f64);
        p.expect(":")?;
        counts.push(successor(p, draft)?);
    }
    p.expect("]")?;
    if !values.is_empty() {
        let shape = vec![values.len() as u64];
        let elements = match values.as_slice() {
            [first, rest @ ..] if rest.iter().all(|value| value == first) => {
                DenseElements::Splat(*first)
            }
            _ => DenseElements::Each(values),
        };
        draft.set("case_values", Attribute::Dense(Dense { shape, element: ty, elements }));
    }
    draft.set(COUNTS, Attribute::Integers(vec![1, default, counts.iter().sum()]));
    draft.set("case_operand_segments", Attribute::Integers(counts));
    Ok(())
}

fn pass<'s>(
    p: &Parser<'s>,
    draft: &mut Draft<'s>,
    first: usize,
    counts: Option<Vec<usize>>,
) -> Parsed<()> {
    if counts.is_some_and(|counts| draft.pass(first, &counts)) {
        return Ok(());
    }
    Err(p.error(
        draft.span,
        format!("the blocks that `{}` goes to do not get all of its operands", draft.name),
        "`operandSegmentSizes` must say how many values go to each block",
    ))
}

fn pass_br<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let counts = vec![draft.operand_count()];
    pass(p, draft, 0, Some(counts))
}

fn pass_cond_br<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let counts = match sizes(draft, COUNTS).as_deref() {
        Some(&[1, to_true, to_false]) => Some(vec![to_true, to_false]),
        _ => None,
    };
    pass(p, draft, 1, counts)
}

fn pass_switch<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let cases = sizes(draft, "case_operand_segments").unwrap_or_default();
    let counts = match sizes(draft, COUNTS).as_deref() {
        Some(&[1, default, _]) => Some(std::iter::once(default).chain(cases).collect()),
        _ => None,
    };
    pass(p, draft, 1, counts)
}

fn sizes(draft: &Draft<'_>, name: &str) -> Option<Vec<usize>> {
    match draft.attribute(name)? {
        Attribute::Integers(sizes) => {
            sizes.iter().map(|&size| usize::try_from(size).ok()).collect()
        }
        _ => None,
    }
}
