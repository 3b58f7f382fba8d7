//! `aie`: what the trace units record.

use crate::text::Attribute;
use crate::text::enums::{
    COMBO_LOGIC, DmaChannelDir, EDGE_TRIGGER, TRACE_MODE, TRACE_PACKET, WireBundle,
};
use crate::text::read::form::Piece::{
    Body, Case, Dictionary, Index, Int, Maybe, Name, Quoted, Read, Reference, T,
};
use crate::text::read::form::{Form, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};

pub(super) const FORMS: &[Form] = &[
    op(
        "aie.trace",
        &[
            Name("sym_name"),
            T("("),
            Index("tile"),
            T(")"),
            Maybe(&[T("buffer_size"), T("="), Int("buffer_size", 32)]),
            Body,
            Dictionary,
        ],
    )
    .ends("aie.end"),
    op("aie.trace.mode", &[Read("\"Event-Time\"", mode), Dictionary]),
    op(
        "aie.trace.event",
        &[Read("<\"event\">", event), Maybe(&[T("label"), T("="), Quoted("label")]), Dictionary],
    ),
    op(
        "aie.trace.packet",
        &[
            T("id"),
            T("="),
            Int("id", 32),
            T("type"),
            T("="),
            Case("type", &TRACE_PACKET),
            Dictionary,
        ],
    ),
    op(
        "aie.trace.port",
        &[
            T("<"),
            Int("slot", 32),
            T(">"),
            T("port"),
            T("="),
            Case("port", &WireBundle::CASES),
            T("channel"),
            T("="),
            Int("channel", 32),
            T("direction"),
            T("="),
            Case("direction", &DmaChannelDir::CASES),
            Dictionary,
        ],
    ),
    op("aie.trace.start", &[Read("broadcast = <n> or event = <\"event\">", trigger), Dictionary]),
    op("aie.trace.stop", &[Read("broadcast = <n> or event = <\"event\">", trigger), Dictionary]),
    op(
        "aie.trace.config",
        &[
            Name("sym_name"),
            T("("),
            Index("tile"),
            T(")"),
            Maybe(&[T("packet_type"), T("="), Case("packet_type", &TRACE_PACKET)]),
            Body,
            Dictionary,
        ],
    )
    .ends("aie.end"),
    op(
        "aie.trace.reg",
        &[
            T("register"),
            T("="),
            Quoted("reg_name"),
            Maybe(&[T("field"), T("="), Quoted("field")]),
            T("value"),
            T("="),
            Read("<value>", register_value),
            Maybe(&[T("mask"), T("="), Int("mask", 32)]),
            Maybe(&[T("comment"), T("="), Quoted("comment")]),
            Dictionary,
        ],
    ),
    op(
        "aie.trace.combo_event",
        &[
            T("<"),
            Int("slot", 32),
            T(">"),
            Read("<\"event\">", event_a),
            Case("logic", &COMBO_LOGIC),
            Read("<\"event\">", event_b),
            Dictionary,
        ],
    ),
    op(
        "aie.trace.edge_event",
        &[
            T("<"),
            Int("slot", 32),
            T(">"),
            Read("event = <\"event\">", edge),
            T("trigger"),
            T("="),
            Case("trigger", &EDGE_TRIGGER),
            Dictionary,
        ],
    ),
    op("aie.trace.start_config", &[Reference("trace_config"), Dictionary]),
];

/// `<"INSTR_EVENT_0">`.
fn named_event<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>, name: &str) -> Parsed<()> {
    p.expect("<")?;
    let event = p.trace_event()?;
    p.expect(">")?;
    draft.set(name, Attribute::String(event));
    Ok(())
}

fn event<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    named_event(p, draft, "event")
}

fn event_a<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    named_event(p, draft, "eventA")
}

fn event_b<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    named_event(p, draft, "eventB")
}

fn edge<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    p.expect("event")?;
    p.expect("=")?;
    named_event(p, draft, "event")
}

fn mode<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mode = p.case(&TRACE_MODE)?;
    draft.set("mode", mode);
    Ok(())
}

fn trigger<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    if p.eat("broadcast") {
        p.expect("=")?;
        let value = p.sized_integer(32, false)?;
        draft.set("broadcast", value);
    } else {
        edge(p, draft)?;
    }
    Ok(())
}

fn register_value<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let value = if p.at_number() {
        p.sized_integer(32, false)?
    } else {
        Attribute::String(p.trace_event()?)
    };
    draft.set("value", value);
    Ok(())
}
