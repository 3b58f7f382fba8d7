//! `aie`: tiles, buffers, locks, DMAs and streams.

use crate::text::enums::{
    CascadeDir, DEVICES, DmaChannelDir, Enumeration, LockAction, LockBlocking, TileType, WireBundle,
};
use crate::text::read::form::Piece::{
    Body, Case, Dictionary, Index, Int, Maybe, Name, Read, Result, Successor, T, Type as Ty, Value,
    Values,
};
use crate::text::read::form::{self, Form, Piece, op};
use crate::text::read::lexer::Kind;
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Type};

const BUNDLE: &Enumeration = &WireBundle::CASES;
const DIRECTION: &Enumeration = &DmaChannelDir::CASES;
const CASCADE: &Enumeration = &CascadeDir::CASES;

/// `<%tile, DMA : 0>`.
pub(super) const PORT: &[Piece] = &[
    T("<"),
    Index("tile"),
    T(","),
    Case("bundle", BUNDLE),
    T(":"),
    Int("channel", 32),
    T(">"),
    Dictionary,
];
/// `(%tile) { … }`.
const OF_TILE: &[Piece] = &[T("("), Index("tile"), T(")"), Body, Dictionary];

pub(super) const FORMS: &[Form] = &[
    op(
        "aie.device",
        &[
            T("("),
            Read("<device>", device_name),
            T(")"),
            Maybe(&[Name("sym_name")]),
            Body,
            Dictionary,
        ],
    )
    .isolated("")
    .ends("aie.end")
    .fills(&[("sym_name", form::Value::Text("main"))])
    .then(device),
    op("aie.logical_tile", &[Read("<CoreTile>(?, ?)", logical_tile), Dictionary]).gives_index(),
    op("aie.tile", &[T("("), Int("col", 32), T(","), Int("row", 32), T(")"), Dictionary])
        .gives_index(),
    op("aie.end", &[Dictionary]),
    op("aie.switchbox", OF_TILE).gives_index().ends("aie.end"),
    op("aie.shim_switchbox", &[T("("), Int("col", 32), T(")"), Body, Dictionary])
        .gives_index()
        .ends("aie.end"),
    op("aie.shim_mux", OF_TILE).gives_index().ends("aie.end"),
    op("aie.shim_dma", OF_TILE).gives_index(),
    op("aie.core", OF_TILE).gives_index().fills(&[("stack_size", form::Value::Int(1024))]),
    op("aie.mem", OF_TILE).gives_index(),
    op("aie.memtile_dma", OF_TILE).gives_index(),
    op("aie.debug", &[T("("), Value("arg"), T(":"), Ty, T(")"), Dictionary]),
    op("aie.plio", &[T("("), Int("col", 32), T(")"), Dictionary]).gives_index(),
    op(
        "aie.connect",
        &[
            T("<"),
            Case("source_bundle", BUNDLE),
            T(":"),
            Int("source_channel", 32),
            T(","),
            Case("dest_bundle", BUNDLE),
            T(":"),
            Int("dest_channel", 32),
            T(">"),
            Dictionary,
        ],
    ),
    op(
        "aie.flow",
        &[
            T("("),
            Index("source"),
            T(","),
            Case("source_bundle", BUNDLE),
            T(":"),
            Int("source_channel", 32),
            T(","),
            Index("dest"),
            T(","),
            Case("dest_bundle", BUNDLE),
            T(":"),
            Int("dest_channel", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aie.amsel",
        &[T("<"), Int("arbiterID", 8), T(">"), T("("), Int("msel", 8), T(")"), Dictionary],
    )
    .gives_index(),
    op(
        "aie.masterset",
        &[
            T("("),
            Case("dest_bundle", BUNDLE),
            T(":"),
            Int("dest_channel", 32),
            T(","),
            Values("amsels"),
            Read("", indices),
            T(")"),
            Dictionary,
        ],
    )
    .gives_index(),
    op(
        "aie.wire",
        &[
            T("("),
            Index("source"),
            T(":"),
            Case("source_bundle", BUNDLE),
            T(","),
            Index("dest"),
            T(":"),
            Case("dest_bundle", BUNDLE),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aie.packet_rules",
        &[
            T("("),
            Case("source_bundle", BUNDLE),
            T(":"),
            Int("source_channel", 32),
            T(")"),
            Body,
            Dictionary,
        ],
    )
    .ends("aie.end"),
    op(
        "aie.rule",
        &[
            T("("),
            Int("mask", 8),
            T(","),
            Int("value", 8),
            T(","),
            Index("amsel"),
            T(")"),
            Dictionary,
        ],
    ),
    op("aie.packet_flow", &[T("("), Int("ID", 8), T(")"), Body, Dictionary]).ends("aie.end"),
    op("aie.packet_source", PORT),
    op("aie.packet_dest", PORT),
    op(
        "aie.dma_bd_packet",
        &[T("("), Int("packet_type", 32), T(","), Int("packet_id", 32), T(")"), Dictionary],
    ),
    op(
        "aie.dma_bd",
        &[
            Read(
                "(%buffer : type, <offset>, <len>, [<size = 4, stride = 1>, …], \
                 [<const_pad_before = 1, const_pad_after = 1>, …], pad_value = 0)",
                dma_bd,
            ),
            Dictionary,
        ],
    )
    .fills(&[("offset", form::Value::Int(0))])
    .drops(&[("pad_value", form::Value::Int(0)), ("burst_length", form::Value::Int(0))]),
    op(
        "aie.dma_start",
        &[
            T("("),
            Case("channel_dir", DIRECTION),
            T(","),
            Int("channel_index", 32),
            T(","),
            Successor("dest"),
            T(","),
            Successor("chain"),
            Maybe(&[T(","), T("repeat_count"), T("="), Int("repeat_count", 32)]),
            T(")"),
            Dictionary,
        ],
    )
    .gives_flag()
    .fills(&[("repeat_count", form::Value::Int(0))]),
    op(
        "aie.dma",
        &[
            T("("),
            Case("channel_dir", DIRECTION),
            T(","),
            Int("channel_index", 32),
            T(")"),
            Dictionary,
            T("["),
            Read("{ … }, …", regions),
        ],
    )
    .gives_flag()
    .fills(&[("loop", form::Value::Bool(true)), ("repeat_count", form::Value::Int(0))]),
    op("aie.next_bd", &[Successor("dest"), Dictionary]),
    op(
        "aie.lock",
        &[T("("), Index("tile"), Maybe(&[T(","), Int("lockID", 32)]), T(")"), Dictionary],
    )
    .gives_index(),
    op(
        "aie.use_lock",
        &[
            T("("),
            Index("lock"),
            T(","),
            Case("action", &LockAction::CASES),
            Maybe(&[T(","), Int("value", 32)]),
            Maybe(&[T(","), Case("blocking", &LockBlocking::CASES)]),
            T(")"),
            Dictionary,
        ],
    )
    .drops(&[("acq_en", form::Value::Bool(true))]),
    op(
        "aie.buffer",
        &[
            T("("),
            Index("tile"),
            T(")"),
            Dictionary,
            T(":"),
            Read("type = <initial value>", buffer),
        ],
    ),
    op("aie.external_buffer", &[Dictionary, T(":"), Result]),
    op("aie.event", &[T("("), Int("val", 32), T(")"), Dictionary]),
    op(
        "aie.get_stream",
        &[T("("), Value("channel"), T(":"), Ty, T(")"), Dictionary, T(":"), Result],
    ),
    op(
        "aie.put_stream",
        &[
            T("("),
            Value("channel"),
            T(":"),
            Ty,
            T(","),
            Value("stream_value"),
            T(":"),
            Ty,
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aie.cascade_flow",
        &[T("("), Index("source_tile"), T(","), Index("dest_tile"), T(")"), Dictionary],
    ),
    op(
        "aie.configure_cascade",
        &[
            T("("),
            Index("tile"),
            T(","),
            Case("inputDir", CASCADE),
            T(","),
            Case("outputDir", CASCADE),
            T(")"),
            Dictionary,
        ],
    ),
    op("aie.get_cascade", &[T("("), T(")"), Dictionary, T(":"), Result]),
    op("aie.put_cascade", &[T("("), Value("cascade_value"), T(":"), Ty, T(")"), Dictionary]),
    op(
        "aie.shim_dma_allocation",
        &[
            Name("sym_name"),
            T("("),
            Index("tile"),
            T(","),
            Case("channel_dir", DIRECTION),
            T(","),
            Int("channel_index", 64),
            Maybe(&[T(","), Read("<pkt_type = 0, pkt_id = 1>", packet)]),
            T(")"),
            Dictionary,
        ],
    )
    .fills(&[("plio", form::Value::Bool(false))]),
    op("aie.bd_chain", &[Name("sym_name"), Read("(%argument: type, …) { … }", with_arguments)]),
    op(
        "aie.runtime_sequence",
        &[Maybe(&[Name("sym_name")]), Read("(%argument: type, …) { … }", with_arguments)],
    )
    .fills(&[("sym_name", form::Value::Text("sequence"))]),
];

/// Any name: which devices there are is asked later.
fn device_name<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let value = if p.at_kind(Kind::Integer) {
        p.sized_integer(32, false)?
    } else {
        let name = p.expect_kind(Kind::Word, "the name of a device")?;
        Attribute::String(name.text.to_owned())
    };
    draft.set("device", value);
    Ok(())
}

/// The generic form has the device's number, which is not the same in every version.
fn device<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let Some(Attribute::Integer(number)) = draft.attribute("device") else { return Ok(()) };
    let number = *number;
    let Some(name) = DEVICES.name(number) else {
        return Err(p.error(
            draft.span,
            format!("there is no device of the number {number}"),
            format!("the devices are {}", DEVICES.names()),
        ));
    };
    draft.take("device");
    draft.set("device", Attribute::String(name.to_owned()));
    Ok(())
}

fn logical_tile<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.expect("<")?;
    let kind = p.case(&TileType::CASES)?;
    draft.set("tile_type", kind);
    p.expect(">")?;
    for (before, name) in [("(", "col"), (",", "row")] {
        p.expect(before)?;
        if !p.eat("?") {
            let value = p.sized_integer(32, false)?;
            draft.set(name, value);
        }
    }
    p.expect(")").map(drop)
}

/// All operands without a type are of the type `index`.
fn indices<'s>(_: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    draft.type_all(&Type::Index);
    Ok(())
}

pub(super) fn packet<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let packet = p.packet_info()?;
    draft.set("packet", packet);
    Ok(())
}

fn dma_bd<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.expect("(")?;
    p.operand(draft, None)?;
    p.expect(":")?;
    let ty = p.ty()?;
    draft.type_next(ty);
    for name in ["offset", "len"] {
        if p.at(",") && (p.second().kind == Kind::Integer || p.second().text == "-") {
            p.advance();
            let value = p.sized_integer(32, false)?;
            draft.set(name, value);
        }
    }
    if p.at(",") && p.second().text != "pad_value" {
        p.advance();
        let dimensions = p.dimensions()?;
        draft.set("dimensions", Attribute::Dimensions(dimensions));
    }
    if p.at(",") && p.second().text != "pad_value" {
        p.advance();
        let paddings = p.paddings()?;
        draft.set("pad_dimensions", Attribute::Paddings(paddings));
    }
    if p.eat(",") {
        p.expect("pad_value")?;
        p.expect("=")?;
        let value = p.sized_integer(32, false)?;
        draft.set("pad_value", value);
    }
    if !p.eat(")") {
        return Err(p.expected("`,` or `)`"));
    }
    Ok(())
}

/// Regions with commas in between, and the `]` after them.
fn regions<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    draft.regions = p.list("]", |p| p.body(Vec::new()))?;
    Ok(())
}

fn buffer<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let token = p.token;
    let ty = p.ty()?;
    if p.eat("=") {
        let value = p.initial_value(&ty, token.span())?;
        draft.set("initial_value", value);
    }
    draft.results.push(ty);
    Ok(())
}

fn with_arguments<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let entry = p.arguments()?;
    let region = p.body(entry)?;
    draft.regions.push(region);
    Ok(())
}
