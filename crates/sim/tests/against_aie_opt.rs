//! Elaborates designs twice, here and by MLIR-AIE's own passes, and compares.
//!
//! ```text
//! TILEWRIGHT_AIE_OPT=/opt/aie/install/bin/aie-opt \
//! TILEWRIGHT_MLIR_DESIGNS=mlir-aie/test/npu-xrt:mlir-aie/test/objectFifo-stateful-transform \
//! cargo test -p tilewright-sim --test against_aie_opt -- --ignored --nocapture
//! ```
//!
//! A design and what `aie-opt` makes of it must come to the same buffers, locks with numbers and
//! initial values, descriptors with numbers, channels, flows and allocations; and cores must take
//! and give the same locks. Designs that `aie-opt` refuses are counted and not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tilewright_sim::netlist::{
    Acquire, ChannelId, Direction, Entity, FifoPort, LockId, Memory, Netlist, Port, TileId,
};
use tilewright_sim::text::{self, Op, Region, Source};

/// The part of `aiecc`'s pipeline that the netlist stands for.
const PIPELINE: &str = "builtin.module(aie-canonicalize-device,aie.device(aie-assign-lock-ids,\
                        aie-objectFifo-stateful-transform,aie-assign-bd-ids))";

/// Devices that test designs leave open or that are not NPUs, and what stands in for them.
const DEVICES: [(&str, &str); 5] = [
    ("NPUDEVICE", "npu2"),
    ("NPU_DEVICE", "npu2"),
    ("xcve2302", "npu2"),
    ("xcve2802", "npu2"),
    ("xcvc1902", "npu2"),
];

#[test]
#[ignore = "needs aie-opt and designs: TILEWRIGHT_AIE_OPT, TILEWRIGHT_MLIR_DESIGNS"]
fn netlists_are_what_aie_opt_makes() {
    let tool = std::env::var("TILEWRIGHT_AIE_OPT").expect("TILEWRIGHT_AIE_OPT");
    let folders = std::env::var("TILEWRIGHT_MLIR_DESIGNS").expect("TILEWRIGHT_MLIR_DESIGNS");
    let mut files = Vec::new();
    for folder in folders.split(':') {
        collect(Path::new(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no designs in {folders}");
    let (mut alike, mut refused, mut wrong) = (0, 0, Vec::new());
    for file in &files {
        let whole = std::fs::read_to_string(file).expect("a design");
        for (part, text) in whole.split("// -----").enumerate() {
            if !text.contains("aie.device") {
                continue;
            }
            let text =
                DEVICES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
            let name = format!("{}#{part}", file.display());
            match compare(&tool, &name, &text) {
                Outcome::Alike => alike += 1,
                Outcome::Refused(why) => {
                    refused += 1;
                    println!("aie-opt refuses {name}: {why}");
                }
                Outcome::Wrong(why) => wrong.push(format!("{name}\n    {why}")),
            }
        }
    }
    println!("{alike} alike, {refused} refused by aie-opt, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

enum Outcome {
    Alike,
    Refused(String),
    Wrong(String),
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            collect(&entry.expect("an entry").path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "mlir") {
        files.push(path.to_owned());
    }
}

fn compare(tool: &str, name: &str, text: &str) -> Outcome {
    let lowered = match lower(tool, text) {
        Ok(lowered) => lowered,
        Err(why) => {
            let here = match build(name, text) {
                Ok(_) => "accepted here".to_owned(),
                Err(why) => format!("refused here too: {why}"),
            };
            return Outcome::Refused(format!(
                "{} ({here})",
                why.lines().next().unwrap_or_default()
            ));
        }
    };
    let ours = match build(name, text) {
        Ok(netlists) => netlists,
        Err(why) => return Outcome::Wrong(format!("refused: {why}")),
    };
    let theirs = match build("lowered.mlir", &lowered) {
        Ok(netlists) => netlists,
        Err(why) => return Outcome::Wrong(format!("what aie-opt makes of it is refused: {why}")),
    };
    if ours.len() != theirs.len() {
        return Outcome::Wrong("the number of devices differs".to_owned());
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let (ours, theirs) = (description(ours), description(theirs));
        let extra: Vec<_> = ours.difference(&theirs).map(String::as_str).collect();
        let missing: Vec<_> = theirs.difference(&ours).map(String::as_str).collect();
        if !extra.is_empty() || !missing.is_empty() {
            return Outcome::Wrong(format!(
                "only here:\n      {}\n    only there:\n      {}",
                extra.join("\n      "),
                missing.join("\n      ")
            ));
        }
    }
    Outcome::Alike
}

fn lower(tool: &str, text: &str) -> Result<String, String> {
    let mut child = Command::new(tool)
        .arg(format!("--pass-pipeline={PIPELINE}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("aie-opt");
    let mut input = child.stdin.take().expect("its input");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    // It may stop reading at the first error.
    let _ = writer.join();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The netlists of every device of a module.
fn build(name: &str, text: &str) -> Result<Vec<Netlist>, String> {
    let module = text::parse(&Source::new(name, text)).map_err(|error| error.to_string())?;
    let names: Vec<String> = Netlist::devices(&module).into_iter().map(str::to_owned).collect();
    if names.len() == 1 {
        return Ok(vec![Netlist::build(module, None).map_err(|error| error.to_string())?]);
    }
    (names.iter())
        .map(|name| Netlist::build(module.clone(), Some(name)).map_err(|error| error.to_string()))
        .collect()
}

/// Everything about a netlist that the compiler decides, one line each.
fn description(netlist: &Netlist) -> BTreeSet<String> {
    let view = View(netlist);
    let mut lines = Vec::new();
    for (index, buffer) in netlist.buffers.iter().enumerate() {
        // Counters that dynamic lowering adds; they are no part of the design.
        if !buffer.name.starts_with("buffer_") {
            let (name, tile) = (view.buffer(index), view.tile(buffer.tile));
            lines.push(format!("buffer {name} on {tile}: {:?}", buffer.initial));
        }
    }
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
