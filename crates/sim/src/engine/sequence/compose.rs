//! Sequences that are made of others: descriptor chains, sequences that run sequences, and other
//! devices of the module.

use super::code::{SequenceOp, configure, push};
use crate::engine::compile::{Compiler, Result};
use crate::engine::program::Instruction;
use crate::netlist::ChannelId;
use crate::text::{Op, Symbol, ValueId};

/// Sequences that run others, to this depth.
const MAX_INLINED: usize = 16;

/// A task of the descriptors of an `aie.bd_chain`, which starts at once.
pub(super) fn chain<'a>(
    c: &mut Compiler<'a>,
    op: &'a Op,
    arguments: &[ValueId],
    channel: ChannelId,
    packet: Option<(u32, u32)>,
) -> Result<()> {
    let symbol = op.symbol("symbol").map_or("", Symbol::leaf);
    let netlist = c.netlist;
    let Some(chain) = netlist.chains.get(symbol) else {
        return Err(c.error(op, format!("no `aie.bd_chain @{symbol}`"), "define it"));
    };
    let blocks = chain.regions.first().map_or(&[][..], |body| &body.blocks);
    let parameters = blocks.first().map_or(&[][..], |block| &block.arguments);
    bind(c, op, parameters, arguments)?;
    let configured = configure(c, op, blocks, channel, packet)?;
    push(c, op, configured);
    let task = c.result(op)?;
    push(c, op, SequenceOp::Start { task });
    Ok(())
}

/// Gives the parameters of a body their values.
fn bind(
    c: &mut Compiler<'_>,
    op: &Op,
    parameters: &[ValueId],
    arguments: &[ValueId],
) -> Result<()> {
    if parameters.len() != arguments.len() {
        let message = format!("{} arguments for {}", arguments.len(), parameters.len());
        return Err(c.error(op, message, ""));
    }
    for (&parameter, &argument) in parameters.iter().zip(arguments) {
        let (from, to) = (c.value(op, argument)?, c.define(parameter));
        c.emit(op, Instruction::Copy { to, from });
    }
    Ok(())
}

/// The symbol of the device that an operation names.
pub(super) fn device(op: &Op) -> Option<&str> {
    let name = if op.name == "aiex.configure" { "symbol" } else { "device_ref" };
    op.symbol(name).map(Symbol::leaf)
}

/// `aiex.configure` and `npu.load_pdi`: what follows is meant for another device of the module.
pub(super) fn reconfigure<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<()> {
    let name = device(op).unwrap_or_default();
    let devices = c.devices;
    let at = devices.iter().position(|device| device.netlist.name.as_deref() == Some(name));
    let Some(at) = at else {
        return Err(c.error(op, format!("no `aie.device @{name}` in this module"), ""));
    };
    push(c, op, SequenceOp::Reconfigure { device: at as u32 });
    c.netlist = &devices[at].netlist;
    op.regions.iter().try_for_each(|region| c.inlined(region))
}

/// `aiex.run`: the operations of another sequence.
pub(super) fn run<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<()> {
    let symbol = op.symbol("runtime_sequence_symbol").map_or("", Symbol::leaf);
    let netlist = c.netlist;
    let Some(sequence) = netlist.sequence(symbol).map(|at| &netlist.sequences[at]) else {
        return Err(c.error(op, format!("no runtime sequence `@{symbol}` in that device"), ""));
    };
    if c.depth >= MAX_INLINED {
        return Err(c.error(op, "sequences that run each other", ""));
    }
    let parameters = sequence.body.blocks.first().map_or(&[][..], |block| &block.arguments);
    bind(c, op, parameters, &op.operands)?;
    c.depth += 1;
    let result = c.inlined(&sequence.body);
    c.depth -= 1;
    c.netlist = netlist;
    result
}
