//! `aiex`: what runtime sequences do.

use super::aie::{PORT, packet};
use super::memref::mixed;
use crate::text::enums::{DmaChannelDir, Enumeration, LockAction, WireBundle};
use crate::text::read::form::Piece::{
    Body, Bool, Case, Dictionary, Index, Int, Maybe, Name, Read, Reference, T, Type as Ty, Types,
    Unsigned, Value, Values,
};
use crate::text::read::form::{self, Form, Piece, op};
use crate::text::read::operation::Draft;
use crate::text::read::{Parsed, Parser};
use crate::text::{Attribute, Type};

const BUNDLE: &Enumeration = &WireBundle::CASES;
const DIRECTION: &Enumeration = &DmaChannelDir::CASES;

const TASK: &[(&str, form::Value)] =
    &[("issue_token", form::Value::Bool(false)), ("repeat_count", form::Value::Int(0))];
const ZERO: form::Value = form::Value::Int(0);

/// An operation with attributes only.
const fn plain(name: &'static str) -> Form {
    op(name, &[Dictionary])
}

/// An operation on a task.
const TASK_OPERAND: &[Piece] = &[T("("), Index("task"), T(")"), Dictionary];
/// `(%tile, DMA : 0) { … }`.
const PORT_BODY: &[Piece] = &[
    T("("),
    Index("tile"),
    T(","),
    Case("bundle", BUNDLE),
    T(":"),
    Int("channel", 32),
    T(")"),
    Body,
    Dictionary,
];

pub(super) const FORMS: &[Form] = &[
    op("aiex.configure", &[Reference("symbol"), Body, Dictionary]),
    op(
        "aiex.run",
        &[
            Reference("runtime_sequence_symbol"),
            T("("),
            Values("args"),
            T(")"),
            T(":"),
            T("("),
            Types,
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.npu.dma_memcpy_nd",
        &[
            T("("),
            Value("memref"),
            Read("[offsets][sizes][strides], packet = <pkt_type = 0, pkt_id = 1>", pattern),
            T(")"),
            Dictionary,
            T(":"),
            Ty,
        ],
    )
    .drops(&[
        ("issue_token", form::Value::Bool(false)),
        ("d0_zero_before", ZERO),
        ("d1_zero_before", ZERO),
        ("d2_zero_before", ZERO),
        ("d0_zero_after", ZERO),
        ("d1_zero_after", ZERO),
        ("d2_zero_after", ZERO),
        ("burst_length", ZERO),
    ]),
    plain("aiex.npu.dma_wait"),
    op(
        "aiex.npu.rtp_write",
        &[
            T("("),
            Reference("buffer"),
            T(","),
            Unsigned("index", 32),
            T(","),
            Int("value", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.npu.push_queue",
        &[
            T("("),
            Int("column", 32),
            T(","),
            Int("row", 32),
            T(","),
            Case("direction", DIRECTION),
            T(":"),
            Int("channel", 32),
            T(")"),
            Dictionary,
        ],
    ),
    plain("aiex.npu.write32"),
    plain("aiex.npu.maskwrite32"),
    op("aiex.npu.blockwrite", &[T("("), Value("data"), T(")"), Dictionary, T(":"), Ty]),
    plain("aiex.npu.sync"),
    plain("aiex.npu.address_patch"),
    plain("aiex.npu.preempt"),
    plain("aiex.control_packet"),
    plain("aiex.npu.writebd").drops(&[("burst_length", ZERO)]),
    plain("aiex.npu.load_pdi").drops(&[("id", ZERO), ("size", ZERO), ("address", ZERO)]),
    op(
        "aiex.dma_configure_task",
        &[
            T("("),
            Index("tile"),
            T(","),
            Case("direction", DIRECTION),
            T(","),
            Int("channel", 32),
            Maybe(&[T(","), Read("<pkt_type = 0, pkt_id = 1>", packet)]),
            T(")"),
            Body,
            Dictionary,
        ],
    )
    .gives_index()
    .drops(TASK),
    op("aiex.dma_configure_task_for", &[Reference("alloc"), Body, Dictionary])
        .gives_index()
        .drops(TASK),
    op("aiex.dma_free_task", TASK_OPERAND),
    op("aiex.dma_start_task", TASK_OPERAND),
    op("aiex.dma_await_task", TASK_OPERAND),
    op(
        "aiex.dma_start_bd_chain",
        &[
            Reference("symbol"),
            T("("),
            Values("args"),
            T(")"),
            T(":"),
            T("("),
            Types,
            T(")"),
            T("on"),
            T("("),
            Index("tile"),
            T(","),
            Case("direction", DIRECTION),
            T(","),
            Int("channel", 32),
            T(")"),
            Dictionary,
        ],
    )
    .gives_index()
    .drops(TASK),
    op(
        "aiex.dma_start_bd_chain_for",
        &[
            Reference("symbol"),
            T("("),
            Values("args"),
            T(")"),
            T(":"),
            T("("),
            Types,
            T(")"),
            T("for"),
            Reference("alloc"),
            Dictionary,
        ],
    )
    .gives_index()
    .drops(TASK),
    op("aiex.set_lock", &[T("("), Index("lock"), T(","), Int("value", 32), T(")"), Dictionary]),
    op("aiex.getTile", &[T("("), Index("col"), T(","), Index("row"), T(")"), Dictionary])
        .gives_index(),
    op(
        "aiex.connection",
        &[
            T("("),
            Index("source"),
            T(","),
            Case("sourceBundle", BUNDLE),
            T(":"),
            Int("sourceChannel", 32),
            T(","),
            Index("dest"),
            T(","),
            Case("destBundle", BUNDLE),
            T(":"),
            Int("destChannel", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op("aiex.multicast", PORT_BODY).ends("aie.end"),
    op("aiex.multi_dest", PORT),
    op("aiex.broadcast_packet", PORT_BODY).ends("aie.end"),
    op("aiex.bp_id", &[T("("), Int("ID", 8), T(")"), Body, Dictionary]).ends("aie.end"),
    op("aiex.bp_dest", PORT),
    op("aiex.token", &[T("("), Int("value", 32), T(")"), Dictionary]),
    op(
        "aiex.useToken",
        &[
            Reference("tokenName"),
            T("("),
            Case("action", &LockAction::CASES),
            T(","),
            Int("value", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.memcpy",
        &[
            Reference("tokenName"),
            T("("),
            Int("acqValue", 32),
            T(","),
            Int("relValue", 32),
            T(")"),
            T("("),
            Index("srcTile"),
            T(":"),
            T("<"),
            Value("srcBuf"),
            T(","),
            Int("srcOffset", 32),
            T(","),
            Int("srcLen", 32),
            T(">"),
            T(","),
            Index("dstTile"),
            T(":"),
            T("<"),
            Value("dstBuf"),
            T(","),
            Int("dstOffset", 32),
            T(","),
            Int("dstLen", 32),
            T(">"),
            T(")"),
            Dictionary,
            T(":"),
            T("("),
            Ty,
            T(","),
            Ty,
            T(")"),
        ],
    ),
    op(
        "aiex.herd",
        &[T("["), Int("width", 32), T("]"), T("["), Int("height", 32), T("]"), Dictionary],
    )
    .gives_index(),
    op(
        "aiex.place",
        &[
            T("("),
            Index("sourceHerd"),
            T(","),
            Index("destHerd"),
            T(","),
            Int("distX", 32),
            T(","),
            Int("distY", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.route",
        &[
            T("("),
            T("<"),
            Index("sourceHerds"),
            T(","),
            Case("sourceBundle", BUNDLE),
            T(":"),
            Int("sourceChannel", 32),
            T(">"),
            T(","),
            T("<"),
            Index("destHerds"),
            T(","),
            Case("destBundle", BUNDLE),
            T(":"),
            Int("destChannel", 32),
            T(">"),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.iter",
        &[
            T("("),
            Int("start", 32),
            T(","),
            Int("end", 32),
            T(","),
            Int("stride", 32),
            T(")"),
            Dictionary,
        ],
    )
    .gives_index(),
    op(
        "aiex.select",
        &[
            T("("),
            Index("startHerd"),
            T(","),
            Index("iterX"),
            T(","),
            Index("iterY"),
            T(")"),
            Dictionary,
        ],
    )
    .gives_index(),
    op("aiex.cert.uc_dma_chain", &[Name("sym_name"), Body, Dictionary]).ends("aie.end"),
    op(
        "aiex.cert.uc_dma_bd",
        &[
            Reference("remote_address"),
            T(","),
            Int("local_address", 32),
            T(","),
            Int("length", 32),
            T(","),
            Bool("next_bd"),
            Dictionary,
        ],
    ),
    op("aiex.cert.job", &[T("("), Int("job_id", 32), T(")"), Body, Dictionary]).ends("aie.end"),
    op(
        "aiex.cert.write32",
        &[T("("), Unsigned("address", 32), T(","), Unsigned("value", 32), T(")"), Dictionary],
    ),
    op(
        "aiex.cert.maskwrite32",
        &[
            T("("),
            Unsigned("address", 32),
            T(","),
            Unsigned("mask", 32),
            T(","),
            Unsigned("value", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.cert.apply_offset_57",
        &[
            T("("),
            Reference("symbol"),
            T(","),
            Int("num_entries", 16),
            T(","),
            Int("offset", 16),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.cert.wait_tcts",
        &[
            T("("),
            Int("tile_id", 32),
            T(","),
            Int("channel_id", 32),
            T(","),
            Int("target_tcts", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op("aiex.cert.uc_dma_write_des_sync", &[T("("), Reference("symbol"), T(")"), Dictionary]),
    op(
        "aiex.cert.local_barrier",
        &[
            T("("),
            Int("local_barrier_id", 32),
            T(","),
            Int("num_participants", 32),
            T(")"),
            Dictionary,
        ],
    ),
    op(
        "aiex.cert.remote_barrier",
        &[T("("), Int("remote_barrier_id", 32), T(","), Int("party_mask", 32), T(")"), Dictionary],
    ),
    plain("aiex.cert.nop"),
    op("aiex.cert.attach_to_group", &[T("("), Int("group_id", 32), T(")"), Body, Dictionary])
        .ends("aie.end"),
];

/// `[offsets][sizes][strides], packet = <…>`.
fn pattern<'s>(p: &mut Parser<'s>, draft: &mut Draft<'s>) -> Parsed<()> {
    let mut segments = vec![1];
    let long = Type::Integer { width: 64, unsigned: false };
    for name in ["static_offsets", "static_sizes", "static_strides"] {
        let (values, dynamic) = mixed(p, draft, &long)?;
        draft.set(name, Attribute::Integers(values));
        segments.push(dynamic);
    }
    draft.set("operandSegmentSizes", Attribute::Integers(segments));
    if p.eat(",") {
        p.expect("packet")?;
        p.expect("=")?;
        packet(p, draft)?;
    }
    Ok(())
}
