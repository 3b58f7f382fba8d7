//! Turns the operations of a device into a [`Netlist`].
//!
//! In the order in which `aiecc` lowers a design: locks get numbers, objectfifos become buffers,
//! locks and descriptors, descriptors get numbers, and only then is it known what a tile holds.
//! What the device cannot hold is an error at the operation that asks for it.

mod cores;
mod declarations;
mod descriptor;
mod dma;
mod fifo;
mod flows;
mod read;
mod routes;
mod tiles;
mod totals;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::{ChannelId, DeviceModel, Direction, Netlist, Sequence, TileId, TileKind, Warning};
use crate::text::{Attribute, DesignError, Module, Op, Region, Span, Type};

type Result<T, E = DesignError> = std::result::Result<T, E>;

impl Netlist {
    /// Elaborates one `aie.device` of a module: the one of that symbol, by default the first.
    ///
    /// # Errors
    /// When the module has no such device, an operation lacks something that it needs, or the
    /// design asks for more than the device has.
    pub fn build(module: Module, device: Option<&str>) -> Result<Self> {
        let mut netlist = Builder::new(&module, device)?.build()?;
        netlist.module = module;
        Ok(netlist)
    }

    /// The symbols of a module's devices in the order of the text; empty for those without one.
    pub fn devices(module: &Module) -> Vec<&str> {
        devices(module).map(|op| op.string("sym_name").unwrap_or_default()).collect()
    }
}

/// A netlist in the making.
struct Builder<'m> {
    module: &'m Module,
    /// The operations of the device's body.
    body: &'m [Op],
    /// What there is so far; its module stays empty until the end.
    net: Netlist,
    /// Tiles by column and row.
    places: BTreeMap<(u32, u32), TileId>,
    channels: BTreeMap<(TileId, Direction, u32), ChannelId>,
    /// Channels that something runs or feeds, as far as the compiler knows.
    programmed: BTreeSet<ChannelId>,
    /// Beside [`Netlist::descriptors`].
    sites: Vec<Site>,
    /// Bytes beside the buffers by tile with a core: the stack, above all.
    reserved: BTreeMap<TileId, u64>,
    /// Tiles with `dynamic_objfifo_lowering`.
    dynamic: BTreeSet<TileId>,
}

/// What decides the number of a descriptor.
struct Site {
    /// As the design has it.
    given: Option<u32>,
    /// The channel that runs it: on a memtile it has access to one half of the descriptors only.
    channel: u32,
}

/// Bundles of wires, under the numbers of the generic form.
mod bundle {
    pub(super) const CORE: u32 = 0;
    pub(super) const DMA: u32 = 1;
    pub(super) const SOUTH: u32 = 3;
    pub(super) const WEST: u32 = 4;
    pub(super) const NORTH: u32 = 5;
    pub(super) const EAST: u32 = 6;
    pub(super) const TRACE: u32 = 9;
    pub(super) const CONTROL: u32 = 10;
}

fn devices(module: &Module) -> impl Iterator<Item = &Op> {
    module.body.iter().filter(|op| op.name == "aie.device")
}

impl<'m> Builder<'m> {
    fn new(module: &'m Module, device: Option<&str>) -> Result<Self> {
        let found = match device {
            None => devices(module).next(),
            Some(name) => devices(module).find(|op| op.string("sym_name") == Some(name)),
        };
        let Some(op) = found else {
            let names = Netlist::devices(module).join(", ");
            let (message, help) = match device {
                None => ("the file has no aie.device".to_owned(), String::new()),
                Some(name) => (format!("no aie.device @{name}"), format!("there is: {names}")),
            };
            return Err(module.source.error(Span::default(), message, help));
        };
        let model = device_model(module, op)?;
        let net = Netlist {
            module: Module { source: module.source.clone(), body: Vec::new(), values: Vec::new() },
            name: op.string("sym_name").map(str::to_owned),
            device: model,
            tiles: Vec::new(),
            buffers: Vec::new(),
            locks: Vec::new(),
            descriptors: Vec::new(),
            channels: Vec::new(),
            flows: Vec::new(),
            cores: Vec::new(),
            functions: BTreeMap::new(),
            globals: BTreeMap::new(),
            allocations: BTreeMap::new(),
            chains: BTreeMap::new(),
            sequences: Vec::new(),
            entities: BTreeMap::new(),
            stacks: BTreeMap::new(),
            warnings: Vec::new(),
        };
        let body = op.regions.first().map_or(&[][..], |region| entry(region));
        Ok(Self {
            module,
            body,
            net,
            places: BTreeMap::new(),
            channels: BTreeMap::new(),
            programmed: BTreeSet::new(),
            sites: Vec::new(),
            reserved: BTreeMap::new(),
            dynamic: BTreeSet::new(),
        })
    }

    fn build(mut self) -> Result<Netlist> {
        self.refuse_unknown()?;
        self.tiles()?;
        self.buffers()?;
        self.locks()?;
        self.declarations()?;
        self.programs()?;
        self.cores()?;
        self.flows()?;
        self.fifos()?;
        self.core_accesses()?;
        self.number_descriptors()?;
        self.check_memories()?;
        self.check_flows()?;
        Ok(self.net)
    }

    /// Operations of a device that would mean something, but nothing here knows what.
    fn refuse_unknown(&self) -> Result<()> {
        for op in self.body {
            let help = match op.name.as_str() {
                "aie.objectfifo.register_process" => {
                    "write the core's program with aie.objectfifo.acquire and release"
                }
                "aie.logical_tile" => "place it: aie-opt --aie-place-tiles",
                "aiex.multicast" | "aiex.broadcast_packet" => {
                    "state it as flows: aie-opt lowers it"
                }
                "aie.shim_switchbox" | "aie.plio" => "an NPU has none",
                name if known(name) => continue,
                _ => "",
            };
            return Err(self.error(op.span, format!("{} is not simulated", op.name), help));
        }
        Ok(())
    }

    fn error(
        &self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> DesignError {
        self.module.source.error(span, message, help)
    }

    fn warn(&mut self, span: Span, message: impl Into<String>) {
        self.net.warnings.push(Warning { span, message: message.into() });
    }

    fn kind(&self, tile: TileId) -> TileKind {
        self.net.tile(tile).kind
    }

    /// `core (0, 2)`, for messages.
    fn place(&self, tile: TileId) -> String {
        let tile = self.net.tile(tile);
        format!("{} ({}, {})", tile.kind, tile.column, tile.row)
    }
}

/// The operations of a region's first block.
fn entry(region: &Region) -> &[Op] {
    region.blocks.first().map_or(&[], |block| &block.ops)
}

fn device_model(module: &Module, op: &Op) -> Result<DeviceModel> {
    /// Under the numbers of the generic form, from `xcvc1902` = 1 on.
    const NAMES: [&str; 15] = [
        "xcvc1902",
        "xcve2302",
        "xcve2802",
        "npu1",
        "npu1_1col",
        "npu1_2col",
        "npu1_3col",
        "npu2",
        "npu2_1col",
        "npu2_2col",
        "npu2_3col",
        "npu2_4col",
        "npu2_5col",
        "npu2_6col",
        "npu2_7col",
    ];
    let name = match op.attribute("device") {
        Some(Attribute::Integer(number)) => usize::try_from(*number)
            .ok()
            .and_then(|number| NAMES.get(number.checked_sub(1)?))
            .map_or_else(|| number.to_string(), |name| (*name).to_owned()),
        Some(Attribute::String(name) | Attribute::Other(name)) => name.clone(),
        _ => String::new(),
    };
    DeviceModel::from_name(&name).ok_or_else(|| {
        module.source.error(
            op.span,
            format!("`{name}` is not an NPU"),
            "the devices are npu1 and npu2, or a part of them such as npu1_1col or npu2_4col",
        )
    })
}

/// Every operation of a list and of the regions in it, outer ones first, in the order of the text.
fn walk(ops: &[Op]) -> impl Iterator<Item = &Op> {
    // Not recursive: a file may nest as deep as it likes.
    let mut stack: Vec<std::slice::Iter<'_, Op>> = vec![ops.iter()];
    std::iter::from_fn(move || {
        loop {
            let Some(op) = stack.last_mut()?.next() else {
                stack.pop();
                continue;
            };
            for region in op.regions.iter().rev() {
                stack.extend(region.blocks.iter().rev().map(|block| block.ops.iter()));
            }
            return Some(op);
        }
    })
}

/// Whether an operation of a device's body means something here, or nothing at all.
fn known(name: &str) -> bool {
    matches!(
        name,
        "aie.tile"
            | "aie.buffer"
            | "aie.external_buffer"
            | "aie.lock"
            | "aie.core"
            | "aie.mem"
            | "aie.memtile_dma"
            | "aie.shim_dma"
            | "aie.shim_dma_allocation"
            | "aie.flow"
            | "aie.packet_flow"
            | "aie.switchbox"
            | "aie.shim_mux"
            | "aie.cascade_flow"
            | "aie.configure_cascade"
            | "aie.objectfifo"
            | "aie.objectfifo.link"
            | "aie.objectfifo.allocate"
            | "aie.objectfifo.register_external_buffers"
            | "aie.bd_chain"
            | "aie.runtime_sequence"
            | "aiex.runtime_sequence"
            | "func.func"
            | "memref.global"
            // These say where wires are, which is known, and what a tile's trace unit watches.
            | "aie.wire"
            | "aie.trace"
            | "aie.trace.config"
            | "aie.end"
    ) || name.starts_with("arith.")
}
