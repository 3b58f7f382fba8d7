//! `aie`: objectfifos.

use crate::text::enums::ObjectFifoPort;
use crate::text::read::form::Piece::{
    Any, Case, Dictionary, Index, Int, Name, Read, Reference, Result, T, Type as Ty, Types, Value,
    Values,
};
use crate::text::read::form::{self, Form, Piece, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Type};

/// `@fifo(Consume, 1)`.
const ACQUIRE: &[Piece] = &[
    Dictionary,
    Reference("objFifo_name"),
    T("("),
    Case("port", &ObjectFifoPort::CASES),
    T(","),
    Int("size", 32),
    T(")"),
    T(":"),
    Result,
];
const RELEASE: &[Piece] = &[
    Dictionary,
    Reference("objFifo_name"),
    T("("),
    Case("port", &ObjectFifoPort::CASES),
    T(","),
    Int("size", 32),
    T(")"),
];

pub(super) const FORMS: &[Form] = &[
    op(
        "aie.objectfifo",
        &[
            Name("sym_name"),
            T("("),
            Read("%producer dimensionsToStream [<size = 4, stride = 1>, …]", producer),
            T(","),
            T("{"),
            Read("%consumer dimensionsFromStream [<size = 4, stride = 1>, …], …", consumers),
            T("}"),
            T(","),
            Read("<depth>", depth),
            T(")"),
            Dictionary,
            T(":"),
            Read("!aie.objectfifo<memref<…>> = [<initial values>]", element_and_values),
        ],
    )
    .fills(&[
        ("dimensionsToStream", form::Value::NoDimensions),
        ("disable_synchronization", form::Value::Bool(false)),
        ("plio", form::Value::Bool(false)),
        ("via_DMA", form::Value::Bool(false)),
    ]),
    op(
        "aie.objectfifo.allocate",
        &[Reference("objFifo_name"), T("("), Index("delegateTile"), T(")"), Dictionary],
    ),
    op(
        "aie.objectfifo.link",
        &[
            Any("fifoIns"),
            T("->"),
            Any("fifoOuts"),
            T("("),
            Read("[<offset>, …] [<offset>, …]", offsets),
            T(")"),
            Dictionary,
        ],
    )
    .fills(&[("src_offsets", form::Value::NoArray), ("dst_offsets", form::Value::NoArray)]),
    op(
        "aie.objectfifo.register_external_buffers",
        &[
            Dictionary,
            Reference("objFifo_name"),
            T("("),
            Index("tile"),
            T(","),
            T("{"),
            Values("externalBuffers"),
            T("}"),
            T(")"),
            T(":"),
            T("("),
            Types,
            T(")"),
        ],
    ),
    op("aie.objectfifo.acquire", ACQUIRE),
    op("aie.objectfifo.release", RELEASE),
    op(
        "aie.objectfifo.subview.access",
        &[
            Value("subview"),
            T("["),
            Int("index", 32),
            T("]"),
            Dictionary,
            T(":"),
            Ty,
            T("->"),
            Result,
        ],
    ),
    op(
        "aie.objectfifo.register_process",
        &[
            Dictionary,
            Reference("objFifo_name"),
            T("("),
            Case("port", &ObjectFifoPort::CASES),
            T(","),
            Value("acquirePatternTensor"),
            T(":"),
            Ty,
            T(","),
            Value("releasePatternTensor"),
            T(":"),
            Ty,
            T(","),
            Reference("callee"),
            T(","),
            Index("length"),
            T(")"),
        ],
    ),
];

fn producer<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.operand(draft, Some(Type::Index))?;
    if p.eat("dimensionsToStream") {
        let dimensions = p.dimensions()?;
        draft.set("dimensionsToStream", Attribute::Dimensions(dimensions));
    }
    Ok(())
}

fn consumers<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mut each = Vec::new();
    loop {
        p.operand(draft, Some(Type::Index))?;
        each.push(if p.eat("dimensionsFromStream") { p.dimensions()? } else { Vec::new() });
        if !p.eat(",") {
            break;
        }
    }
    draft.set("dimensionsFromStreamPerConsumer", Attribute::DimensionsOfEach(each));
    Ok(())
}

/// `2 : i32`, or for producer and consumers one each: `[2, 3, 3]`.
fn depth<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let value = match p.token.text {
        "[" => p.attribute()?,
        _ if p.at_number() => p.attribute()?,
        _ => return Err(p.expected("the number of objects, as `2 : i32` or `[2, 2]`")),
    };
    draft.set("elemNumber", value);
    Ok(())
}

fn element_and_values<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let ty = p.ty()?;
    let Type::ObjectFifo(element) = &ty else {
        return Err(p.error(
            token.span(),
            format!("expected the type `!aie.objectfifo<memref<…>>`, but this is {ty}"),
            "",
        ));
    };
    if p.eat("=") {
        p.expect("[")?;
        let values = p.list("]", |p| p.initial_value(element, token.span()))?;
        draft.set("initValues", Attribute::Array(values));
    }
    draft.set("elemType", Attribute::Type(ty));
    Ok(())
}

/// Offsets of inputs, then of outputs; older texts may have none of the brackets.
fn offsets<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    for name in ["src_offsets", "dst_offsets"] {
        if p.at("[") {
            let value = p.attribute()?;
            draft.set(name, value);
        }
    }
    Ok(())
}
