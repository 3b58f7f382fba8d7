//! `memref`: memory.

use super::func::signature;
use crate::text::read::form::Piece::{
    Dictionary, Index, Indices, Int, Maybe, Name, Quoted, Read, Reference, Result, Same, T,
    Type as Ty, Value,
};
use crate::text::read::form::{self, Form, op};
use crate::text::read::lexer::Kind;
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Type};

/// `ShapedType::kDynamic`: an operand takes the place.
const DYNAMIC: i64 = i64::MIN;

const TEMPORAL: &[(&str, form::Value)] = &[("nontemporal", form::Value::Bool(false))];

pub(super) const FORMS: &[Form] = &[
    op(
        "memref.load",
        &[Value("memref"), Indices("index"), Dictionary, T(":"), Read("type", element)],
    )
    .drops(TEMPORAL),
    op(
        "memref.store",
        &[
            Value("value"),
            T(","),
            Value("memref"),
            Indices("index"),
            Dictionary,
            T(":"),
            Read("type", stored),
        ],
    )
    .drops(TEMPORAL),
    op(
        "memref.alloc",
        &[Read("(%size, …)[%symbol, …]", dynamic_sizes), Dictionary, T(":"), Result],
    ),
    op(
        "memref.alloca",
        &[Read("(%size, …)[%symbol, …]", dynamic_sizes), Dictionary, T(":"), Result],
    ),
    op("memref.dealloc", &[Value("memref"), Dictionary, T(":"), Ty]),
    op(
        "memref.copy",
        &[Value("source"), T(","), Value("target"), Dictionary, T(":"), Ty, T("to"), Ty],
    ),
    op("memref.cast", &[Value("source"), Dictionary, T(":"), Ty, T("to"), Result]),
    op("memref.memory_space_cast", &[Value("source"), Dictionary, T(":"), Ty, T("to"), Result]),
    op("memref.dim", &[Dictionary, Value("source"), T(","), Index("index"), T(":"), Ty])
        .gives_index(),
    op(
        "memref.assume_alignment",
        &[Value("memref"), T(","), Int("alignment", 32), Dictionary, T(":"), Same],
    ),
    op(
        "memref.view",
        &[
            Value("source"),
            T("["),
            Index("byte_shift"),
            T("]"),
            Indices("size"),
            Dictionary,
            T(":"),
            Ty,
            T("to"),
            Result,
        ],
    ),
    op("memref.get_global", &[Reference("name"), T(":"), Result, Dictionary]),
    op(
        "memref.global",
        &[
            Maybe(&[Quoted("sym_visibility")]),
            Read("constant", constant),
            Name("sym_name"),
            T(":"),
            Read("type = <value>", global),
            Dictionary,
        ],
    ),
    op(
        "memref.subview",
        &[
            Value("source"),
            Read("[offsets][sizes][strides]", subview),
            Dictionary,
            T(":"),
            Ty,
            T("to"),
            Result,
        ],
    ),
    op(
        "memref.reinterpret_cast",
        &[
            Value("source"),
            Read("to offset: [0], sizes: [4], strides: [1]", reinterpret),
            Dictionary,
            T(":"),
            Ty,
            T("to"),
            Result,
        ],
    ),
    op(
        "memref.collapse_shape",
        &[
            Value("src"),
            form::Piece::Any("reassociation"),
            Dictionary,
            T(":"),
            Ty,
            T("into"),
            Result,
        ],
    ),
    op(
        "memref.expand_shape",
        &[
            Value("src"),
            form::Piece::Any("reassociation"),
            Read("output_shape [4, 4]", output_shape),
            Dictionary,
            T(":"),
            Ty,
            T("into"),
            Result,
        ],
    ),
    op(
        "memref.transpose",
        &[Value("in"), form::Piece::Any("permutation"), Dictionary, T(":"), Ty, T("to"), Result],
    ),
    op("memref.rank", &[Value("memref"), Dictionary, T(":"), Ty]).gives_index(),
    op(
        "memref.extract_aligned_pointer_as_index",
        &[Value("source"), T(":"), Read("type -> index", pointer), Dictionary],
    ),
    op(
        "memref.extract_strided_metadata",
        &[Value("source"), T(":"), Read("type -> type, index, …", metadata), Dictionary],
    ),
    op("memref.alloca_scope", &[form::Piece::Body, Dictionary]),
    op(
        "memref.alloca_scope.return",
        &[Dictionary, form::Piece::Values("results"), Read("", super::func::values_types)],
    ),
    op(
        "memref.atomic_rmw",
        &[Read("<kind> %value, %memref[%index] : (type, type) -> type", atomic)],
    ),
];

/// The element of a memref.
pub(super) fn element_of<'a>(
    p: &Parser<'_>,
    ty: &'a Type,
    at: crate::text::Span,
) -> Parsed<&'a Type> {
    match ty {
        Type::MemRef(memref) => Ok(&memref.element),
        other => Err(p.error(at, format!("expected a memref type, but this is {other}"), "")),
    }
}

fn element<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
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

fn dynamic_sizes<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mut counts = vec![0, 0];
    p.expect("(")?;
    counts[0] = p.list(")", |p| p.operand(draft, Some(Type::Index)))?.len() as i64;
    if p.eat("[") {
        counts[1] = p.list("]", |p| p.operand(draft, Some(Type::Index)))?.len() as i64;
    }
    draft.set("operandSegmentSizes", Attribute::Integers(counts));
    Ok(())
}

fn constant<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("constant") {
        draft.set("constant", Attribute::Unit);
    }
    Ok(())
}

/// `memref<4xi32>`, `… = uninitialized` or `… = dense<0>`, whose type is that of the memref.
fn global<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let ty = p.ty()?;
    if p.eat("=") {
        let value = if p.eat("uninitialized") {
            Attribute::Unit
        } else {
            p.initial_value(&ty, token.span())?
        };
        draft.set("initial_value", value);
    }
    draft.set("type", Attribute::Type(ty));
    Ok(())
}

/// Offsets, sizes or strides: constants, or operands where they are [`DYNAMIC`].
pub(super) fn mixed<'s>(
    p: &mut Parser<'s>,
    draft: &mut Draft<'s>,
    ty: &Type,
) -> Parsed<(Vec<i64>, i64)> {
    p.expect("[")?;
    let mut dynamic = 0;
    let values = p.list("]", |p| {
        if !p.at_kind(Kind::Value) {
            return p.small_integer();
        }
        p.operand(draft, Some(ty.clone()))?;
        dynamic += 1;
        Ok(DYNAMIC)
    })?;
    Ok((values, dynamic))
}

fn subview<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mut segments = vec![1];
    for name in ["static_offsets", "static_sizes", "static_strides"] {
        let (values, dynamic) = mixed(p, draft, &Type::Index)?;
        draft.set(name, Attribute::Integers(values));
        segments.push(dynamic);
    }
    draft.set("operandSegmentSizes", Attribute::Integers(segments));
    Ok(())
}

fn reinterpret<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mut segments = vec![1];
    let names = [
        ("to", "offset", "static_offsets"),
        (",", "sizes", "static_sizes"),
        (",", "strides", "static_strides"),
    ];
    for (before, word, name) in names {
        p.expect(before)?;
        p.expect(word)?;
        p.expect(":")?;
        let (values, dynamic) = mixed(p, draft, &Type::Index)?;
        draft.set(name, Attribute::Integers(values));
        segments.push(dynamic);
    }
    draft.set("operandSegmentSizes", Attribute::Integers(segments));
    Ok(())
}

fn output_shape<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.expect("output_shape")?;
    let (values, _) = mixed(p, draft, &Type::Index)?;
    draft.set("static_output_shape", Attribute::Integers(values));
    Ok(())
}

fn pointer<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let ty = p.ty()?;
    draft.type_next(ty);
    p.expect("->")?;
    draft.results = p.result_types()?;
    Ok(())
}

fn metadata<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let ty = p.ty()?;
    draft.type_next(ty);
    p.expect("->")?;
    loop {
        draft.results.push(p.ty()?);
        if !p.eat(",") {
            return Ok(());
        }
    }
}

fn atomic<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    const KINDS: crate::text::enums::Enumeration = crate::text::enums::Enumeration {
        what: "a kind of update",
        cases: &[
            ("addf", 0),
            ("addi", 1),
            ("assign", 2),
            ("maximumf", 3),
            ("maxs", 4),
            ("maxu", 5),
            ("minimumf", 6),
            ("mins", 7),
            ("minu", 8),
            ("mulf", 9),
            ("muli", 10),
            ("ori", 11),
            ("andi", 12),
            ("maxnumf", 13),
            ("minnumf", 14),
            ("xori", 15),
        ],
    };
    let kind = p.case(&KINDS)?;
    draft.set("kind", kind);
    p.operand(draft, None)?;
    p.expect(",")?;
    p.operand(draft, None)?;
    p.indices(draft)?;
    let attributes = p.optional_dictionary()?;
    draft.attributes.extend(attributes);
    p.expect(":")?;
    signature(p, draft)
}
