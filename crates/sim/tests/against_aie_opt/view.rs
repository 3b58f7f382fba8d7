//! What is compared of two netlists, as lines of text.

use std::collections::{BTreeMap, BTreeSet};

use tilewright_sim::netlist::{
    Acquire, ChannelId, Direction, Entity, FifoPort, LockId, Memory, Netlist, Port, TileId,
};
use tilewright_sim::text::{self, Op, Region};

/// Everything that the compiler decides.
pub(crate) fn description(ours: &Netlist, theirs: &Netlist) -> [BTreeSet<String>; 2] {
    [ours, theirs].map(describe_all)
}

/// Streams from port to port; of a routed design those of packets that the design has, as rules may
/// let others through too.
pub(crate) fn streams(ours: &Netlist, theirs: &Netlist) -> [BTreeSet<String>; 2] {
    let view = View(ours);
    let known: BTreeSet<_> =
        ours.flows.iter().map(|flow| (view.port(flow.source), flow.packet)).collect();
    [ours, theirs].map(|netlist| {
        let view = View(netlist);
        let mut lines = BTreeSet::new();
        for flow in &netlist.flows {
            let source = view.port(flow.source);
            if !known.contains(&(source.clone(), flow.packet)) {
                continue;
            }
            for &destination in &flow.destinations {
                let destination = view.port(destination);
                lines.insert(format!(
                    "{source} -> {destination} {:?} {}",
                    flow.packet, flow.keep_header
                ));
            }
        }
        lines
    })
}

/// Everything about a netlist that the compiler decides, one line each.
fn describe_all(netlist: &Netlist) -> BTreeSet<String> {
    let view = View(netlist);
    let mut lines = Vec::new();
    for (index, buffer) in netlist.buffers.iter().enumerate() {
        let (name, tile) = (view.buffer(index), view.tile(buffer.tile));
        lines.push(format!("buffer {name} on {tile}: {:?}", buffer.initial));
    }
    lines.extend(view.counters());
    for (index, lock) in netlist.locks.iter().enumerate() {
        lines.push(format!("lock {}: {}", view.lock(LockId(index as u32)), lock.initial));
    }
    for (index, channel) in netlist.channels.iter().enumerate() {
        for task in &channel.tasks {
            let id = ChannelId(index as u32);
            lines.push(format!(
                "{} runs {} times{}",
                view.channel(id),
                task.runs,
                view.chain(task.first)
            ));
        }
    }
    for flow in &netlist.flows {
        let destinations: BTreeSet<_> =
            flow.destinations.iter().map(|&port| view.port(port)).collect();
        lines.push(format!(
            "flow {} -> {destinations:?} {:?} {}",
            view.port(flow.source),
            flow.packet,
            flow.keep_header
        ));
    }
    for (name, allocation) in &netlist.allocations {
        // The fifo's own name is gone once it is lowered.
        let alias = format!("{name}_shim_alloc");
        if !netlist.allocations.contains_key(&alias) {
            lines.push(format!(
                "allocation {name}: {} {:?}",
                view.channel(allocation.channel),
                allocation.packet
            ));
        }
    }
    for core in &netlist.cores {
        let tile = view.tile(core.tile);
        lines.extend(
            view.core(&core.body, &core.ends).into_iter().map(|line| format!("core {tile} {line}")),
        );
    }
    numbered(lines)
}

/// A set of lines in which each is as often as in the list.
fn numbered(lines: Vec<String>) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    lines
        .into_iter()
        .map(|line| {
            let count = counts.entry(line.clone()).or_default();
            *count += 1;
            if *count > 1 { format!("{line} (again, {count})") } else { line }
        })
        .collect()
}

struct View<'a>(&'a Netlist);

impl View<'_> {
    /// The buffers in which dynamic lowering will count objects: they are no part of the design.
    fn counters(&self) -> Vec<String> {
        let devices = self.0.module.body.iter().filter(|op| op.name == "aie.device");
        let bodies = devices.flat_map(|op| &op.regions).flat_map(|region| &region.blocks);
        let dynamic = bodies
            .flat_map(|block| &block.ops)
            .filter(|op| op.name == "aie.core" && op.flag("dynamic_objfifo_lowering"));
        let spans: Vec<_> = dynamic.map(|op| op.span).collect();
        let cores = self.0.cores.iter().filter(|core| spans.contains(&core.span));
        let counter = |core: &tilewright_sim::netlist::Core| {
            let (count, tile) = (core.ends.len() as u64, self.tile(core.tile));
            let ty = (vec![Some(count)], text::Type::Integer { width: 32, unsigned: false });
            format!("buffer : {:?} {:?} on {tile}: {:?}", ty.0, ty.1, None::<Vec<u8>>)
        };
        cores.filter(|core| !core.ends.is_empty()).map(counter).collect()
    }

    fn tile(&self, id: TileId) -> String {
        let tile = &self.0.tiles[id.index()];
        format!("({}, {})", tile.column, tile.row)
    }

    /// Objects by the name that the compiler gives them, others by their type.
    fn buffer(&self, index: usize) -> String {
        let buffer = &self.0.buffers[index];
        let name = buffer.name.replace('[', "_buff_").replace(']', "");
        let name = if name.contains("_buff_") { name.as_str() } else { "" };
        format!("{name}: {:?} {:?}", buffer.ty.shape, buffer.ty.element)
    }

    fn lock(&self, id: LockId) -> String {
        let lock = &self.0.locks[id.index()];
        format!("{} of {}", lock.number, self.tile(lock.tile))
    }

    fn channel(&self, id: ChannelId) -> String {
        let channel = &self.0.channels[id.index()];
        let direction = match channel.direction {
            Direction::S2mm => "S2MM",
            Direction::Mm2s => "MM2S",
        };
        format!("{direction} {} of {}", channel.number, self.tile(channel.tile))
    }

    fn port(&self, port: Port) -> String {
        match port {
            Port::Dma(id) => self.channel(id),
            Port::Core(tile, number) => format!("core {number} of {}", self.tile(tile)),
            Port::Control(tile) => format!("control of {}", self.tile(tile)),
            Port::Trace(tile, number) => format!("trace {number} of {}", self.tile(tile)),
        }
    }

    fn chain(&self, first: tilewright_sim::netlist::DescriptorId) -> String {
        let mut text = String::new();
        let mut seen = Vec::new();
        let mut next = Some(first);
        while let Some(id) = next {
            if let Some(at) = seen.iter().position(|&known| known == id) {
                text.push_str(&format!("\n        and back to {at}"));
                break;
            }
            seen.push(id);
            let descriptor = &self.0.descriptors[id.index()];
            let memory = match descriptor.memory {
                Memory::Buffer(buffer) => {
                    let tile = self.0.buffers[buffer.index()].tile;
                    format!("{} on {}", self.buffer(buffer.index()), self.tile(tile))
                }
                Memory::Argument(index) => format!("argument {index}"),
            };
            let acquire = descriptor.acquire.map(|(lock, how, value)| {
                let how = if how == Acquire::Equal { "=" } else { ">=" };
                format!("{} {how} {value}", self.lock(lock))
            });
            let release =
                descriptor.release.map(|(lock, value)| format!("{} {value}", self.lock(lock)));
            text.push_str(&format!(
                "\n        {}: {memory} from {} for {} {:?} pad {:?} take {acquire:?} give \
                 {release:?} packet {:?}",
                descriptor.number,
                descriptor.offset,
                descriptor.length,
                descriptor.steps.iter().map(|step| (step.size, step.stride)).collect::<Vec<_>>(),
                descriptor.padding.iter().map(|pad| (pad.before, pad.after)).collect::<Vec<_>>(),
                descriptor.packet,
            ));
            next = descriptor.next;
        }
        text
    }

    /// The locks that a core's program takes and gives, and how much it gives at a time.
    fn core(
        &self,
        body: &Region,
        ends: &BTreeMap<(String, FifoPort), tilewright_sim::netlist::FifoEnd>,
    ) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut ops: Vec<&Op> = body.blocks.iter().flat_map(|block| &block.ops).collect();
        while let Some(op) = ops.pop() {
            let regions = op.regions.iter().flat_map(|region| &region.blocks);
            ops.extend(regions.flat_map(|block| &block.ops));
            if op.name == "aie.use_lock" {
                let Some(Entity::Lock(lock)) = self.0.entities.get(&op.operands[0]) else {
                    continue;
                };
                let value = op.integer("value").unwrap_or(1);
                if op.integer("action") == Some(1) {
                    lines.insert(format!("gives {} {value}", self.lock(*lock)));
                } else {
                    lines.insert(format!("takes {}", self.lock(*lock)));
                }
                continue;
            }
            let acquires = op.name == "aie.objectfifo.acquire";
            if !acquires && op.name != "aie.objectfifo.release" {
                continue;
            }
            let name = op.symbol("objFifo_name").expect("a symbol").leaf().to_owned();
            let port =
                if op.integer("port") == Some(0) { FifoPort::Produce } else { FifoPort::Consume };
            let end = &ends[&(name, port)];
            let size = op.integer("size").expect("a size") * i128::from(end.times);
            match (end.acquire, end.release) {
                (Some(lock), _) if acquires => {
                    lines.insert(format!("takes {}", self.lock(lock)));
                }
                (_, Some(lock)) if !acquires => {
                    lines.insert(format!("gives {} {size}", self.lock(lock)));
                }
                _ => {}
            }
        }
        lines
    }
}
