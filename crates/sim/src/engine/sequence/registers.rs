//! Operations of runtime sequences that write registers.

use super::code::{SequenceOp, push};
use crate::engine::compile::{Compiler, Result};
use crate::engine::registers::{absolute, descriptor_at, queue_at};
use crate::netlist::{Direction, TileKind};
use crate::text::{Attribute, Op};

/// Compiles the operation if it is one of these.
pub(super) fn compile(c: &mut Compiler<'_>, op: &Op) -> Result<Option<SequenceOp>> {
    Ok(Some(match op.name.as_str() {
        "aiex.npu.write32" => {
            let values = [word(c, op, "value")?].into();
            write(c, op, values)?
        }
        "aiex.npu.blockwrite" => {
            let values = data(c, op)?;
            write(c, op, values)?
        }
        "aiex.npu.maskwrite32" => {
            let (value, mask) = (word(c, op, "value")?, word(c, op, "mask")?);
            let (buffer, address) = match buffer(c, op)? {
                Some((buffer, offset)) => (Some(buffer), offset),
                None => (None, address(c, op)?),
            };
            SequenceOp::WriteMasked { address, value, mask, buffer }
        }
        "aiex.npu.address_patch" => SequenceOp::Patch {
            address: word(c, op, "addr")?,
            argument: word(c, op, "arg_idx")?,
            plus: u64::from(word(c, op, "arg_plus")?),
        },
        "aiex.npu.push_queue" => {
            let (column, row, kind) = tile(c, op)?;
            let direction =
                if word(c, op, "direction")? == 0 { Direction::S2mm } else { Direction::Mm2s };
            let (channel, first) = (word(c, op, "channel")?, word(c, op, "bd_id")?);
            let repeat = optional(c, op, "repeat_count")?.unwrap_or(0);
            if repeat > 255 || channel > 5 {
                return Err(c.error(op, "a repeat count of more than 255, or no such channel", ""));
            }
            let token = u32::from(op.flag("issue_token")) << 31;
            let address = absolute(column, row, queue_at(kind, direction, channel));
            SequenceOp::Write { address, values: [first | repeat << 16 | token].into() }
        }
        "aiex.npu.writebd" => writebd(c, op)?,
        "aiex.control_packet" => control_packet(c, op)?,
        _ => return Ok(None),
    }))
}

/// A word that the operation must have; negative ones as their bits.
fn word(c: &Compiler<'_>, op: &Op, name: &str) -> Result<u32> {
    optional(c, op, name)?.ok_or_else(|| c.error(op, format!("`{}` lacks `{name}`", op.name), ""))
}

fn optional(c: &Compiler<'_>, op: &Op, name: &str) -> Result<Option<u32>> {
    let Some(value) = op.integer(name) else { return Ok(None) };
    let value = u32::try_from(value).or_else(|_| i32::try_from(value).map(|value| value as u32));
    value.map(Some).map_err(|_| c.error(op, format!("`{name}` has no 32 bits"), ""))
}

/// Column, row and kind of the tile that an operation names.
fn tile(c: &Compiler<'_>, op: &Op) -> Result<(u32, u32, TileKind)> {
    let (column, row) = (word(c, op, "column")?, word(c, op, "row")?);
    match c.netlist.device.kind(column, row) {
        Some(kind) => Ok((column, row, kind)),
        None => Err(c.error(op, format!("the device has no tile ({column}, {row})"), "")),
    }
}

/// The address that an operation names: within a tile if it says which, otherwise of the array.
fn address(c: &Compiler<'_>, op: &Op) -> Result<u32> {
    let address = word(c, op, "address")?;
    Ok(match (optional(c, op, "column")?, optional(c, op, "row")?) {
        (Some(column), Some(row)) => absolute(column, row, address),
        _ => address,
    })
}

/// The buffer that an address is within, and the byte; the operation counts words.
fn buffer(c: &Compiler<'_>, op: &Op) -> Result<Option<(u32, u32)>> {
    let Some(symbol) = op.symbol("buffer") else { return Ok(None) };
    let name = symbol.leaf();
    let Some(at) = c.netlist.buffers.iter().position(|buffer| buffer.name == name) else {
        return Err(c.error(op, format!("no `aie.buffer` named `@{name}`"), "give it a sym_name"));
    };
    let offset = word(c, op, "address")?.checked_mul(4);
    let within = offset.filter(|&offset| (offset as usize) < c.netlist.buffers[at].bytes);
    let Some(offset) = within else {
        let words = c.netlist.buffers[at].bytes / 4;
        return Err(c.error(op, format!("`{name}` has {words} words"), "write one of these"));
    };
    Ok(Some((at as u32, offset)))
}

fn write(c: &Compiler<'_>, op: &Op, values: Box<[u32]>) -> Result<SequenceOp> {
    Ok(match buffer(c, op)? {
        Some((buffer, offset)) => {
            let bytes = c.netlist.buffers[buffer as usize].bytes;
            if offset as usize + 4 * values.len() > bytes {
                let message = format!("{} words do not fit there", values.len());
                return Err(c.error(op, message, format!("the buffer has {bytes} bytes")));
            }
            SequenceOp::WriteBuffer { buffer, offset, values }
        }
        None => SequenceOp::Write { address: address(c, op)?, values },
    })
}

/// The words of the `memref.global` that an operand is.
fn data(c: &Compiler<'_>, op: &Op) -> Result<Box<[u32]>> {
    let name = op.operands.first().and_then(|id| c.global_of(*id));
    let global = name.and_then(|name| c.netlist.globals.get(name));
    let Some(value) = global.and_then(|global| global.value.as_ref()) else {
        return Err(c.error(
            op,
            "the words to write are not those of a `memref.global`",
            "take them with `memref.get_global` from one with a value",
        ));
    };
    let words = value.chunks(4).map(|bytes| {
        let mut word = [0; 4];
        word[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(word)
    });
    Ok(words.collect())
}

/// `npu.writebd`: the words that its fields make, as the compiler puts them together.
fn writebd(c: &mut Compiler<'_>, op: &Op) -> Result<SequenceOp> {
    let (column, row, kind) = tile(c, op)?;
    let get = |name: &str| Ok::<u32, crate::text::DesignError>(optional(c, op, name)?.unwrap_or(0));
    let put = |name: &str, bits: u32, low: u32| {
        let mask = if bits >= 32 { u32::MAX } else { (1 << bits) - 1 };
        Ok::<u32, crate::text::DesignError>((get(name)? & mask) << low)
    };
    let number = get("bd_id")?;
    let mut words = vec![0_u32; if kind == TileKind::Core { 6 } else { 8 }];
    let fields: &[(usize, &str, u32, u32)] = match kind {
        TileKind::Shim => &[
            (0, "buffer_length", 32, 0),
            (1, "buffer_offset", 32, 0),
            (2, "enable_packet", 1, 30),
            (2, "out_of_order_id", 6, 24),
            (2, "packet_id", 5, 19),
            (2, "packet_type", 3, 16),
            (3, "d0_size", 10, 20),
            (3, "d0_stride", 20, 0),
            (4, "d1_size", 10, 20),
            (4, "d1_stride", 20, 0),
            (5, "d2_stride", 20, 0),
            (6, "iteration_current", 6, 26),
            (6, "iteration_size", 6, 20),
            (6, "iteration_stride", 20, 0),
            (7, "next_bd", 4, 27),
            (7, "use_next_bd", 1, 26),
            (7, "valid_bd", 1, 25),
            (7, "lock_rel_val", 7, 18),
            (7, "lock_rel_id", 4, 13),
            (7, "lock_acq_enable", 1, 12),
            (7, "lock_acq_val", 7, 5),
            (7, "lock_acq_id", 4, 0),
        ],
        TileKind::Memtile => &[
            (0, "enable_packet", 1, 31),
            (0, "packet_type", 3, 28),
            (0, "packet_id", 5, 23),
            (0, "out_of_order_id", 6, 17),
            (0, "buffer_length", 17, 0),
            (1, "d0_zero_before", 6, 26),
            (1, "next_bd", 6, 20),
            (1, "use_next_bd", 1, 19),
            (1, "buffer_offset", 19, 0),
            (2, "d0_size", 10, 17),
            (2, "d0_stride", 17, 0),
            (3, "d1_zero_before", 5, 27),
            (3, "d1_size", 10, 17),
            (3, "d1_stride", 17, 0),
            (4, "d2_zero_before", 4, 27),
            (4, "d2_size", 10, 17),
            (4, "d2_stride", 17, 0),
            (5, "d2_zero_after", 4, 28),
            (5, "d1_zero_after", 5, 23),
            (5, "d0_zero_after", 6, 17),
            (6, "iteration_current", 6, 23),
            (6, "iteration_size", 6, 17),
            (6, "iteration_stride", 17, 0),
            (7, "valid_bd", 1, 31),
            (7, "lock_rel_val", 7, 24),
            (7, "lock_rel_id", 8, 16),
            (7, "lock_acq_enable", 1, 15),
            (7, "lock_acq_val", 7, 8),
            (7, "lock_acq_id", 8, 0),
        ],
        TileKind::Core => &[
            (0, "buffer_length", 14, 0),
            (1, "enable_packet", 1, 30),
            (1, "out_of_order_id", 6, 24),
            (1, "packet_id", 5, 19),
            (1, "packet_type", 3, 16),
            (2, "d1_stride", 13, 13),
            (2, "d0_stride", 13, 0),
            (3, "d1_size", 8, 21),
            (3, "d0_size", 8, 13),
            (3, "d2_stride", 13, 0),
            (4, "iteration_current", 6, 19),
            (4, "iteration_size", 6, 13),
            (4, "iteration_stride", 13, 0),
            (5, "next_bd", 4, 27),
            (5, "use_next_bd", 1, 26),
            (5, "valid_bd", 1, 25),
            (5, "lock_rel_val", 7, 18),
            (5, "lock_rel_id", 4, 13),
            (5, "lock_acq_enable", 1, 12),
            (5, "lock_acq_val", 7, 5),
            (5, "lock_acq_id", 4, 0),
        ],
    };
    for &(word, name, bits, low) in fields {
        words[word] |= put(name, bits, low)?;
    }
    if kind == TileKind::Core {
        // Bytes here, words in the register.
        words[0] |= ((get("buffer_offset")? / 4) & 0x3fff) << 14;
    }
    let count = if kind == TileKind::Memtile { 48 } else { 16 };
    if number >= count {
        return Err(c.error(op, format!("a {kind} has no descriptor {number}"), ""));
    }
    let address = absolute(column, row, descriptor_at(kind, number));
    let written = SequenceOp::Write { address, values: words.into() };
    // As it was until 2024: the host buffer is an attribute, and no patch follows.
    let Some(argument) = optional(c, op, "ddr_id")?.filter(|_| kind == TileKind::Shim) else {
        return Ok(written);
    };
    let plus = u64::from(get("buffer_offset")?);
    push(c, op, written);
    Ok(SequenceOp::Patch { address: address + 4, argument, plus })
}

/// `aiex.control_packet`, which goes its way to the control port before anything else happens.
fn control_packet(c: &Compiler<'_>, op: &Op) -> Result<SequenceOp> {
    let address = word(c, op, "address")?;
    if !matches!(word(c, op, "opcode")?, 0 | 2) {
        return Err(c.error(
            op,
            "a control packet that reads, which is simulated only when it is sent as data",
            "put the packet into a host buffer and send that",
        ));
    }
    let values: Option<Vec<i64>> = match op.attribute("data") {
        Some(Attribute::Integers(values)) => Some(values.clone()),
        _ => None,
    };
    let Some(values) = values else {
        return Err(c.error(op, "a control packet without data", ""));
    };
    Ok(SequenceOp::Write { address, values: values.iter().map(|&value| value as u32).collect() })
}
