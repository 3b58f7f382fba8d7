//! Operations of runtime sequences, ready to run.

use super::{compose, registers};
use crate::engine::compile::{Compiler, Result};
use crate::engine::program::{Index, Instruction, Slot};
use crate::netlist::{ChannelId, Direction, Entity, LockId, TileId};
use crate::text::{Attribute, Block, DesignError, Dimension, Op, Padding, Span, Symbol};

/// An operation of a runtime sequence.
#[derive(Debug, Clone)]
pub(in crate::engine) enum SequenceOp {
    /// `npu.dma_memcpy_nd`.
    Memcpy(Box<Memcpy>),
    /// `npu.dma_wait`, `npu.sync`: one token of each channel.
    Wait {
        channels: Vec<ChannelId>,
    },
    /// `dma_configure_task` and `dma_configure_task_for`.
    Configure(Box<Configure>),
    Start {
        task: Slot,
    },
    Await {
        task: Slot,
    },
    Free {
        task: Slot,
    },
    /// `npu.rtp_write`: a word of a buffer.
    WriteRtp {
        buffer: u32,
        index: u32,
        value: i32,
    },
    SetLock {
        lock: LockId,
        value: i32,
    },
    /// Registers from an address of the array on.
    Write {
        address: u32,
        values: Box<[u32]>,
    },
    /// Words of a buffer, from a byte of it on.
    WriteBuffer {
        buffer: u32,
        offset: u32,
        values: Box<[u32]>,
    },
    /// Some bits of a register; the address counts from a buffer if one is given.
    WriteMasked {
        address: u32,
        value: u32,
        mask: u32,
        buffer: Option<u32>,
    },
    /// The address in a descriptor becomes that of a host buffer.
    Patch {
        address: u32,
        argument: u32,
        plus: u64,
    },
    /// Another design is put into the array.
    Reconfigure {
        device: u32,
    },
    /// What has no effect in the simulator.
    Nothing,
}

/// `npu.dma_memcpy_nd`.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Memcpy {
    pub(super) channel: ChannelId,
    pub(super) memref: Slot,
    pub(super) offsets: Vec<Index>,
    pub(super) sizes: Vec<Index>,
    pub(super) strides: Vec<Index>,
    pub(super) id: u32,
    pub(super) token: bool,
    pub(super) packet: Option<(u32, u32)>,
    pub(super) span: Span,
}

/// A task that is written before it is started.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Configure {
    pub(super) to: Slot,
    pub(super) channel: ChannelId,
    pub(super) transfers: Vec<Transfer>,
    pub(super) runs: u32,
    pub(super) token: bool,
    pub(super) span: Span,
}

/// One descriptor of a task.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Transfer {
    pub(super) memref: Slot,
    /// In elements.
    pub(super) offset: u64,
    /// In elements; `None` for the whole memref.
    pub(super) length: Option<u64>,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) padding: Vec<Padding>,
    pub(super) pad_value: i32,
    pub(super) id: Option<u32>,
    pub(super) acquire: Option<(LockId, crate::netlist::Acquire, i32)>,
    pub(super) release: Option<(LockId, i32)>,
    pub(super) packet: Option<(u32, u32)>,
    /// Position of the next one in the same task.
    pub(super) next: Option<usize>,
    pub(super) span: Span,
}

/// Compiles an operation of a runtime sequence; whether it is one.
pub(in crate::engine) fn compile<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<bool> {
    let operation = match op.name.as_str() {
        "aiex.npu.dma_memcpy_nd" => memcpy(c, op)?,
        "aiex.npu.dma_wait" => {
            SequenceOp::Wait { channels: vec![allocation(c, op, "symbol")?.channel] }
        }
        "aiex.npu.sync" => sync(c, op)?,
        "aiex.dma_configure_task" => {
            let channel = channel_on(c, op, op.operands.first())?;
            configure(c, op, blocks(op), channel, packet(op))?
        }
        "aiex.dma_configure_task_for" => {
            let allocation = allocation(c, op, "alloc")?;
            let packet = packet(op).or(allocation.packet);
            configure(c, op, blocks(op), allocation.channel, packet)?
        }
        "aiex.dma_start_task" => SequenceOp::Start { task: c.operand(op, 0)? },
        "aiex.dma_await_task" => SequenceOp::Await { task: c.operand(op, 0)? },
        "aiex.dma_free_task" => SequenceOp::Free { task: c.operand(op, 0)? },
        "aiex.npu.rtp_write" => rtp(c, op)?,
        "aiex.set_lock" => match op.operands.first().and_then(|id| c.netlist.entities.get(id)) {
            Some(Entity::Lock(lock)) => {
                let value = op.integer("value").unwrap_or(0) as i32;
                if !(0..=63).contains(&value) {
                    let message = format!("a lock cannot be set to {value}");
                    return Err(c.error(op, message, "locks hold 0 to 63"));
                }
                SequenceOp::SetLock { lock: *lock, value }
            }
            _ => return Err(c.error(op, "`aiex.set_lock` wants an `aie.lock`", "")),
        },
        "aiex.dma_start_bd_chain" => {
            let Some((tile, arguments)) = op.operands.split_last() else {
                return Err(c.error(op, "the chain is started on no tile", ""));
            };
            let channel = channel_on(c, op, Some(tile))?;
            return compose::chain(c, op, arguments, channel, None).map(|()| true);
        }
        "aiex.dma_start_bd_chain_for" => {
            let allocation = allocation(c, op, "alloc")?;
            let (channel, packet) = (allocation.channel, allocation.packet);
            return compose::chain(c, op, &op.operands, channel, packet).map(|()| true);
        }
        "aiex.configure" => return compose::reconfigure(c, op).map(|()| true),
        "aiex.npu.load_pdi" if compose::device(op).is_some() => {
            return compose::reconfigure(c, op).map(|()| true);
        }
        "aiex.run" => return compose::run(c, op).map(|()| true),
        // Traces are configured by registers without effect here, however they are written.
        "aiex.npu.preempt"
        | "aiex.npu.load_pdi"
        | "aie.trace.start_config"
        | "aie.trace.host_config" => SequenceOp::Nothing,
        _ => match registers::compile(c, op)? {
            Some(operation) => operation,
            None => return Ok(false),
        },
    };
    push(c, op, operation);
    Ok(true)
}

/// Adds an operation to the sequence.
pub(super) fn push(c: &mut Compiler<'_>, op: &Op, operation: SequenceOp) {
    if let Some(sequence) = &mut c.sequence {
        sequence.push(operation);
        let at = sequence.len() as u32 - 1;
        c.emit(op, Instruction::Sequence(at));
    }
}

fn allocation<'a>(c: &Compiler<'a>, op: &Op, name: &str) -> Result<&'a crate::netlist::Allocation> {
    let symbol = op.symbol(name).map_or("", Symbol::leaf);
    c.netlist.allocations.get(symbol).ok_or_else(|| {
        c.error(
            op,
            format!("`@{symbol}` is no shim DMA allocation"),
            "name an `aie.shim_dma_allocation` or an objectfifo that begins or ends at a shim",
        )
    })
}

/// A packet header that an operation gives.
fn packet(op: &Op) -> Option<(u32, u32)> {
    match op.attribute("packet") {
        Some(Attribute::Packet { pkt_type, pkt_id }) => Some((*pkt_type, *pkt_id)),
        _ => None,
    }
}

/// Four entries of a static list with operands where they are dynamic.
fn four(
    c: &Compiler<'_>,
    op: &Op,
    name: &str,
    dynamic: &mut impl Iterator<Item = Slot>,
) -> Result<Vec<Index>> {
    let Some(Attribute::Integers(entries)) = op.attribute(name) else {
        return Err(c.error(op, format!("`{}` lacks its {name}", op.name), ""));
    };
    if entries.len() != 4 {
        return Err(c.error(op, format!("{} {name} instead of 4", entries.len()), ""));
    }
    let lacks = || c.error(op, format!("`{}` lacks an operand", op.name), "");
    entries
        .iter()
        .map(|&entry| match entry {
            i64::MIN => dynamic.next().map(Index::Slot).ok_or_else(lacks),
            entry => Ok(Index::Static(entry)),
        })
        .collect()
}

fn memcpy(c: &mut Compiler<'_>, op: &Op) -> Result<SequenceOp> {
    let allocation = allocation(c, op, "metadata")?;
    let channel = allocation.channel;
    let slots = c.operands(op)?;
    let Some((&memref, dynamic)) = slots.split_first() else {
        return Err(c.error(op, "the transfer lacks its memref", ""));
    };
    let mut dynamic = dynamic.iter().copied();
    let offsets = four(c, op, "static_offsets", &mut dynamic)?;
    let sizes = four(c, op, "static_sizes", &mut dynamic)?;
    let strides = four(c, op, "static_strides", &mut dynamic)?;
    let id = op.integer("id").unwrap_or(0);
    let Some(id) = u32::try_from(id).ok().filter(|&id| id < 16) else {
        return Err(c.error(op, format!("descriptor {id}: a shim has 16"), "use ids from 0 to 15"));
    };
    // The compiler's rule: what arrives always gives a token.
    let token =
        op.flag("issue_token") || c.netlist.channels[channel.index()].direction == Direction::S2mm;
    let packet = packet(op).or(allocation.packet);
    Ok(SequenceOp::Memcpy(Box::new(Memcpy {
        channel,
        memref,
        offsets,
        sizes,
        strides,
        id,
        token,
        packet,
        span: op.span,
    })))
}

/// `npu.sync`: a token of each channel of that number in a block of tiles.
fn sync(c: &Compiler<'_>, op: &Op) -> Result<SequenceOp> {
    let integer = |name: &str, default| op.integer(name).unwrap_or(default) as i64;
    let direction = if integer("direction", 0) == 0 { Direction::S2mm } else { Direction::Mm2s };
    let columns = integer("column", 0)..integer("column", 0) + integer("column_num", 1);
    let rows = integer("row", 0)..integer("row", 0) + integer("row_num", 1);
    let mut channels = Vec::new();
    for (i, channel) in c.netlist.channels.iter().enumerate() {
        let tile = &c.netlist.tiles[channel.tile.index()];
        let fits = channel.direction == direction
            && i64::from(channel.number) == integer("channel", 0)
            && columns.contains(&i64::from(tile.column))
            && rows.contains(&i64::from(tile.row));
        if fits {
            channels.push(ChannelId(i as u32));
        }
    }
    if channels.is_empty() {
        return Err(c.error(op, "no DMA channel of the design is meant here", ""));
    }
    Ok(SequenceOp::Wait { channels })
}

/// The channel of an operation that names tile, direction and number.
fn channel_on(c: &Compiler<'_>, op: &Op, tile: Option<&crate::text::ValueId>) -> Result<ChannelId> {
    let Some(Entity::Tile(tile)) = tile.and_then(|id| c.netlist.entities.get(id)) else {
        return Err(c.error(op, format!("`{}` wants the result of an `aie.tile`", op.name), ""));
    };
    let direction =
        if op.integer("direction") == Some(0) { Direction::S2mm } else { Direction::Mm2s };
    let number = op.integer("channel").unwrap_or(0);
    find_channel(c, *tile, direction, number).ok_or_else(|| {
        c.error(
            op,
            format!("no flow of the design uses channel {number} of that tile and direction"),
            "connect it with an `aie.flow`",
        )
    })
}

fn find_channel(
    c: &Compiler<'_>,
    tile: TileId,
    direction: Direction,
    number: i128,
) -> Option<ChannelId> {
    let at = c.netlist.channels.iter().position(|channel| {
        channel.tile == tile
            && channel.direction == direction
            && i128::from(channel.number) == number
    })?;
    Some(ChannelId(at as u32))
}

fn rtp(c: &Compiler<'_>, op: &Op) -> Result<SequenceOp> {
    let name = op.symbol("buffer").map_or("", Symbol::leaf);
    let found = c.netlist.buffers.iter().position(|buffer| buffer.name == name);
    let Some(buffer) = found else {
        return Err(c.error(op, format!("no `aie.buffer` named `@{name}`"), "give it a sym_name"));
    };
    let index = op.integer("index").unwrap_or(0);
    let words = c.netlist.buffers[buffer].bytes / 4;
    let index = u32::try_from(index).ok().filter(|&index| (index as usize) < words);
    let Some(index) = index else {
        return Err(c.error(op, format!("`{name}` has {words} words"), "write one of these"));
    };
    let value = op.integer("value").unwrap_or(0) as i32;
    Ok(SequenceOp::WriteRtp { buffer: buffer as u32, index, value })
}

fn blocks(op: &Op) -> &[Block] {
    op.regions.first().map_or(&[], |region| &region.blocks)
}

/// A task of descriptors, each in a block of its own.
pub(super) fn configure<'a>(
    c: &mut Compiler<'a>,
    op: &'a Op,
    blocks: &[Block],
    channel: ChannelId,
    packet_of_task: Option<(u32, u32)>,
) -> Result<SequenceOp> {
    // Blocks that only lead to the first descriptor are no descriptors.
    let holds = |at: usize| blocks[at].ops.iter().any(|op| op.name == "aie.dma_bd");
    let positions: Vec<Option<usize>> = (0..blocks.len())
        .scan(0, |count, at| {
            Some(holds(at).then(|| {
                *count += 1;
                *count - 1
            }))
        })
        .collect();
    let mut transfers = Vec::new();
    for (block, _) in blocks.iter().zip(&positions).filter(|(_, at)| at.is_some()) {
        let (mut acquire, mut release, mut transfer, mut next) = (None, None, None, None);
        for op in &block.ops {
            match op.name.as_str() {
                "aie.use_lock" => lock_of(c, op, &mut acquire, &mut release)?,
                "aie.dma_bd" => transfer = Some(one(c, op, packet_of_task)?),
                "aie.next_bd" => {
                    let block = op.successors.first().map(|s| s.block.0 as usize);
                    next = block.and_then(|block| positions.get(block).copied().flatten());
                }
                "aie.end" => {}
                _ => return Err(c.unsupported(op)),
            }
        }
        if let Some(mut transfer) = transfer {
            transfer.acquire = acquire;
            transfer.release = release;
            transfer.next = next;
            transfers.push(transfer);
        }
    }
    if transfers.is_empty() {
        return Err(c.error(op, "a task without an `aie.dma_bd`", "give it at least one"));
    }
    let repeat = op.integer("repeat_count").unwrap_or(0);
    let Some(runs) = u32::try_from(repeat).ok().filter(|&repeat| repeat <= 255) else {
        return Err(c.error(
            op,
            format!("a task cannot be repeated {repeat} times"),
            "the register counts to 255",
        ));
    };
    let to = c.result(op)?;
    Ok(SequenceOp::Configure(Box::new(Configure {
        to,
        channel,
        transfers,
        runs: runs + 1,
        token: op.flag("issue_token"),
        span: op.span,
    })))
}

type AcquireOf = Option<(LockId, crate::netlist::Acquire, i32)>;

fn lock_of(
    c: &Compiler<'_>,
    op: &Op,
    acquire: &mut AcquireOf,
    release: &mut Option<(LockId, i32)>,
) -> Result<()> {
    use crate::netlist::Acquire;
    let Some(Entity::Lock(lock)) = op.operands.first().and_then(|id| c.netlist.entities.get(id))
    else {
        return Err(c.error(op, "`aie.use_lock` wants the result of an `aie.lock`", ""));
    };
    let value = op.integer("value").unwrap_or(1) as i32;
    match op.integer("action") {
        Some(0) => *acquire = Some((*lock, Acquire::Equal, value)),
        Some(2) => *acquire = Some((*lock, Acquire::GreaterEqual, value)),
        _ => *release = Some((*lock, value)),
    }
    Ok(())
}

fn one(c: &mut Compiler<'_>, op: &Op, packet_of_task: Option<(u32, u32)>) -> Result<Transfer> {
    let natural = |name: &str| -> std::result::Result<Option<u64>, DesignError> {
        match op.integer(name) {
            None => Ok(None),
            Some(value) => u64::try_from(value)
                .map(Some)
                .map_err(|_| c.error(op, format!("{name} {value} is negative"), "")),
        }
    };
    let (offset, length) = (natural("offset")?.unwrap_or(0), natural("len")?);
    let id = natural("bd_id")?.and_then(|id| u32::try_from(id).ok());
    let dimensions = match op.attribute("dimensions") {
        Some(Attribute::Dimensions(dimensions)) => dimensions.clone(),
        _ => Vec::new(),
    };
    let padding = match op.attribute("pad_dimensions") {
        Some(Attribute::Paddings(padding)) => padding.clone(),
        _ => Vec::new(),
    };
    Ok(Transfer {
        memref: c.operand(op, 0)?,
        offset,
        length,
        dimensions,
        padding,
        pad_value: op.integer("pad_value").unwrap_or(0) as i32,
        id,
        acquire: None,
        release: None,
        packet: packet(op).or(packet_of_task),
        next: None,
        span: op.span,
    })
}
