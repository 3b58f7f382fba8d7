//! Reads objectfifos and what is said about them.

use std::collections::BTreeSet;

use tilewright_codegen::device::{MAX_RUNS, limits};

use super::super::{Builder, Result, walk};
use super::{Depth, Fifo, Fifos, Link};
use crate::netlist::{BufferId, Entity, FifoPort, TileId, TileKind};
use crate::text::{Attribute, Dense, Dimension, MemRef, Op, Type};

impl<'m> Builder<'m> {
    pub(super) fn read_fifos(&self, fifos: &mut Fifos<'m>) -> Result<()> {
        let mut names = BTreeSet::new();
        for op in self.body.iter().filter(|op| op.name == "aie.objectfifo") {
            let fifo = self.fifo(op)?;
            if !names.insert(fifo.name.clone()) {
                let message = format!("there are two objectfifos @{}", fifo.name);
                return Err(self.error(op.span, message, ""));
            }
            fifos.stated.insert(fifo.name.clone(), fifo.depth.clone());
            fifos.order.push(fifos.all.len());
            fifos.all.push(fifo);
        }
        for op in self.body {
            match op.name.as_str() {
                "aie.objectfifo.link" => self.link(fifos, op)?,
                "aie.objectfifo.allocate" => self.delegate(fifos, op)?,
                "aie.objectfifo.register_external_buffers" => self.register(fifos, op)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Which objects a function acquires would depend on who calls it.
    pub(super) fn refuse_outside_cores(&self) -> Result<()> {
        let functions = self.body.iter().filter(|op| op.name == "func.func");
        let mut inside = functions.flat_map(|op| walk(std::slice::from_ref(op)));
        match inside.find(|op| op.name.starts_with("aie.objectfifo.")) {
            Some(op) => Err(self.error(
                op.span,
                format!("{} stands in a function", op.name),
                "a core's own program acquires and releases; hand the objects to the function",
            )),
            None => Ok(()),
        }
    }

    fn fifo(&self, op: &'m Op) -> Result<Fifo<'m>> {
        let producer = self.tile_operand(op, 0)?;
        let consumers: Vec<TileId> =
            (1..op.operands.len()).map(|i| self.tile_operand(op, i)).collect::<Result<_>>()?;
        let depth = self.depth(op, consumers.len())?;
        let repeat = self.optional(op, "repeat_count")?.filter(|&count: &u32| count > 0);
        let iterations = self.optional(op, "iter_count")?;
        if iterations.is_some_and(|count: u32| count == 0 || count as usize > MAX_RUNS) {
            return Err(self.error(
                op.span,
                "a task does not run that often",
                format!("`iter_count` is 1 to {MAX_RUNS}"),
            ));
        }
        let from_stream = self.consumer_dimensions(op, consumers.len())?;
        let fifo = Fifo {
            symbol: self.sym_name(op)?,
            name: self.sym_name(op)?.to_owned(),
            span: op.span,
            producer,
            consumers,
            depth,
            element: self.object_type(op)?,
            to_stream: self.dimensions(op, "dimensionsToStream")?,
            from_stream,
            padding: self.paddings(op, "padDimensions")?,
            via_dma: op.flag("via_DMA"),
            unsynchronised: op.flag("disable_synchronization"),
            repeat,
            stream: self.optional(op, "aie_stream")?,
            stream_port: self.optional(op, "aie_stream_port")?.unwrap_or(0),
            initial: self.initial_objects(op)?,
            iterations,
            link: None,
            external: Vec::new(),
            buffers: Vec::new(),
            locks: Vec::new(),
        };
        self.check_fifo(op, &fifo)?;
        Ok(fifo)
    }

    fn check_fifo(&self, op: &Op, fifo: &Fifo<'m>) -> Result<()> {
        let error = |message: &str, help: &str| {
            Err(self.error(op.span, format!("@{}: {message}", fifo.name), help))
        };
        if fifo.consumers.is_empty() {
            return error("nothing consumes it", "name the consumers in braces");
        }
        if op.flag("plio") {
            return error("an NPU has no PLIO", "");
        }
        let producer = self.kind(fifo.producer);
        let at_shim = |tile: &TileId| self.kind(*tile) == TileKind::Shim;
        if producer == TileKind::Shim {
            let why = if !fifo.to_stream.is_empty() {
                "dimensionsToStream"
            } else if fifo.repeat.is_some() {
                "repeat_count"
            } else if !fifo.initial.is_empty() {
                "initial values"
            } else {
                ""
            };
            if !why.is_empty() {
                return error(
                    &format!("a shim has no {why}"),
                    "the runtime sequence says what a shim sends",
                );
            }
        }
        let shaped = fifo.consumers.iter().zip(&fifo.from_stream);
        for (consumer, dimensions) in shaped {
            if at_shim(consumer) && !dimensions.is_empty() {
                return error(
                    "a shim has no dimensionsFromStream",
                    "the runtime sequence says where a shim writes",
                );
            }
        }
        if !fifo.initial.is_empty() && fifo.initial.len() != fifo.depth() as usize {
            return error(
                &format!("{} initial values for {} objects", fifo.initial.len(), fifo.depth()),
                "each object needs one",
            );
        }
        let memtile = |tile: &TileId| self.kind(*tile) == TileKind::Memtile;
        if fifo.iterations.is_some()
            && !memtile(&fifo.producer)
            && !fifo.consumers.iter().any(memtile)
        {
            return error("only the DMAs of memtiles obey `iter_count`", "leave it out");
        }
        match fifo.stream {
            Some(stream) => self.check_stream(op, fifo, stream),
            None => Ok(()),
        }
    }

    /// An end that is a stream port of a core has no objects, nor what could be said of them.
    fn check_stream(&self, op: &Op, fifo: &Fifo<'m>, stream: u32) -> Result<()> {
        let error = |message: &str, help: &str| {
            Err(self.error(op.span, format!("@{}: {message}", fifo.name), help))
        };
        let produced = stream == 0 || stream == 2;
        let consumed = stream == 1 || stream == 2;
        let first = fifo.consumers.first().map(|&tile| self.kind(tile));
        if !(produced || consumed) {
            return error("`aie_stream` is 0, 1 or 2", "the producer's end, the consumer's, both");
        }
        if fifo.consumers.len() != 1 || fifo.stream_port != 0 {
            return error("a core has one stream port", "one producer, one consumer, port 0");
        }
        if (produced && self.kind(fifo.producer) != TileKind::Core)
            || (consumed && first != Some(TileKind::Core))
        {
            return error("only cores have a stream port", "");
        }
        let shaped = fifo.from_stream.iter().any(|dimensions| !dimensions.is_empty());
        let repeated = fifo.repeat.is_some() || fifo.iterations.is_some();
        let produced_shape = repeated || !fifo.to_stream.is_empty() || !fifo.initial.is_empty();
        if shaped || (produced && produced_shape) {
            return error(
                "what a core streams has no dimensions, repeats or initial values",
                "leave them out",
            );
        }
        Ok(())
    }

    fn object_type(&self, op: &'m Op) -> Result<&'m MemRef> {
        let ty = match op.attribute("elemType") {
            Some(Attribute::Type(Type::ObjectFifo(ty))) => match ty.as_ref() {
                Type::MemRef(ty) => Some(ty.as_ref()),
                _ => None,
            },
            _ => None,
        };
        match ty {
            Some(ty) if ty.bytes().is_some_and(|bytes| bytes > 0) => Ok(ty),
            _ => Err(self.error(
                op.span,
                "an objectfifo needs objects of a known size",
                "!aie.objectfifo<memref<1024xi8>>",
            )),
        }
    }

    fn depth(&self, op: &Op, consumers: usize) -> Result<Depth> {
        // More objects than this no tile can hold, of whatever size they are.
        let most = limits(TileKind::Memtile).memory as i128;
        let one = |depth: i128| {
            u32::try_from(depth).ok().filter(|_| depth <= most).ok_or_else(|| {
                self.error(op.span, format!("a depth of {depth} objects does not fit"), "")
            })
        };
        if let Some(Attribute::Integer(depth)) = op.attribute("elemNumber") {
            return one(*depth).map(Depth::Same);
        }
        let depths = self.integers(op, "elemNumber")?;
        let depths: Vec<u32> =
            depths.into_iter().map(|depth| one(depth.into())).collect::<Result<_>>()?;
        if depths.len() != consumers + 1 {
            return Err(self.error(
                op.span,
                format!("{} depths for {} ends", depths.len(), consumers + 1),
                "one for the producer and one for each consumer",
            ));
        }
        Ok(Depth::Each(depths))
    }

    fn consumer_dimensions(&self, op: &'m Op, consumers: usize) -> Result<Vec<&'m [Dimension]>> {
        let name = "dimensionsFromStreamPerConsumer";
        let mut each: Vec<&[Dimension]> = match op.attribute(name) {
            None => Vec::new(),
            Some(Attribute::DimensionsOfEach(each)) => each.iter().map(Vec::as_slice).collect(),
            Some(Attribute::Dimensions(dimensions)) => vec![dimensions],
            Some(Attribute::Array(items)) if items.is_empty() => Vec::new(),
            Some(_) => {
                return Err(self.error(
                    op.span,
                    format!("`{name}` is not lists of dimensions"),
                    "",
                ));
            }
        };
        each.resize(consumers, &[]);
        Ok(each)
    }

    fn initial_objects(&self, op: &'m Op) -> Result<Vec<&'m Dense>> {
        let wrong = || self.error(op.span, "initial values are dense constants", "");
        match op.attribute("initValues") {
            None => Ok(Vec::new()),
            Some(Attribute::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Attribute::Dense(dense) => Ok(dense),
                    _ => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    fn fifo_named(&self, fifos: &Fifos<'m>, op: &Op, name: &str) -> Result<usize> {
        (fifos.all.iter().position(|fifo| fifo.name == name))
            .ok_or_else(|| self.error(op.span, format!("there is no objectfifo @{name}"), ""))
    }

    fn link(&self, fifos: &mut Fifos<'m>, op: &'m Op) -> Result<()> {
        let find = |names: Vec<&str>| -> Result<Vec<usize>> {
            names.into_iter().map(|name| self.fifo_named(fifos, op, name)).collect()
        };
        let inputs = find(self.symbols(op, "fifoIns")?)?;
        let outputs = find(self.symbols(op, "fifoOuts")?)?;
        let error = |message: String, help: &str| Err(self.error(op.span, message, help));
        let (Some(&input), Some(&output)) = (inputs.first(), outputs.first()) else {
            return error("a link needs objectfifos on both sides".to_owned(), "");
        };
        if inputs.len() > 1 && outputs.len() > 1 {
            return error(
                "a link cannot join and distribute at once".to_owned(),
                "one objectfifo on one of its sides",
            );
        }
        let all = &fifos.all;
        let shared = all[output].producer;
        let meets =
            inputs.len() == 1 || inputs.iter().all(|&f| all[f].consumers.first() == Some(&shared));
        let meets = meets
            && all[input].consumers.contains(&shared)
            && outputs.iter().all(|&fifo| all[fifo].producer == shared);
        if !meets {
            return error(
                "linked objectfifos do not meet in a tile".to_owned(),
                "where the inputs are consumed the outputs are produced",
            );
        }
        let (join, distribute) = (inputs.len() > 1, outputs.len() > 1);
        if (join || distribute) && self.kind(shared) != TileKind::Memtile {
            return error(
                format!("{} cannot join or distribute", self.place(shared)),
                "only memtiles can",
            );
        }
        let source_offsets = self.offsets(op, "src_offsets")?;
        let destination_offsets = self.offsets(op, "dst_offsets")?;
        if join && source_offsets.len() != inputs.len() {
            return error(
                format!("{} offsets for {} inputs", source_offsets.len(), inputs.len()),
                "each input needs one",
            );
        }
        if distribute && destination_offsets.len() != outputs.len() {
            return error(
                format!("{} offsets for {} outputs", destination_offsets.len(), outputs.len()),
                "each output needs one",
            );
        }
        let repeats: BTreeSet<_> = outputs.iter().map(|&fifo| all[fifo].repeat).collect();
        if repeats.len() > 1 {
            return error(
                "linked outputs repeat differently".to_owned(),
                "give all the same count",
            );
        }
        let index = fifos.links.len();
        for &fifo in inputs.iter().chain(&outputs) {
            if fifos.all[fifo].link.replace(index).is_some() {
                let name = &fifos.all[fifo].name;
                return error(format!("@{name} is linked twice"), "");
            }
        }
        fifos.links.push(Link {
            span: op.span,
            inputs,
            outputs,
            source_offsets,
            destination_offsets,
            shared,
            owner: None,
        });
        Ok(())
    }

    fn offsets(&self, op: &Op, name: &str) -> Result<Vec<u64>> {
        (self.integers(op, name)?.into_iter())
            .map(|offset| {
                u64::try_from(offset)
                    .map_err(|_| self.error(op.span, format!("an offset cannot be {offset}"), ""))
            })
            .collect()
    }

    fn delegate(&self, fifos: &mut Fifos<'m>, op: &'m Op) -> Result<()> {
        let index = self.fifo_named(fifos, op, self.symbol(op, "objFifo_name")?)?;
        let tile = self.tile_operand(op, 0)?;
        let fifo = &fifos.all[index];
        let moved = fifo.via_dma
            || fifo.repeat.is_some()
            || fifo.stream.is_some()
            || !fifo.to_stream.is_empty()
            || fifo.consumers.len() != 1;
        if moved {
            return Err(self.error(
                op.span,
                format!("@{} is not in shared memory", fifo.name),
                "only the objects of a fifo between neighbours without a DMA can be placed",
            ));
        }
        if fifos.delegates.insert(index, (tile, op.span)).is_some() {
            let name = &fifos.all[index].name;
            return Err(self.error(op.span, format!("@{name} is placed twice"), ""));
        }
        Ok(())
    }

    fn register(&self, fifos: &mut Fifos<'m>, op: &'m Op) -> Result<()> {
        let index = self.fifo_named(fifos, op, self.symbol(op, "objFifo_name")?)?;
        let tile = self.tile_operand(op, 0)?;
        let mut buffers: Vec<BufferId> = Vec::new();
        for value in op.operands.iter().skip(1) {
            match self.net.entities.get(value) {
                Some(Entity::Buffer(buffer)) => buffers.push(*buffer),
                _ => return Err(self.error(op.span, "this is not an aie.external_buffer", "")),
            }
        }
        fifos.external.entry((index, tile)).or_default().extend(buffers);
        Ok(())
    }

    /// Whether cores only acquire what they are an end of.
    pub(super) fn check_uses(&self, fifos: &Fifos<'m>) -> Result<()> {
        for (&tile, uses) in &fifos.uses {
            for of in uses {
                let Some(fifo) = fifos.all.iter().find(|fifo| fifo.name == of.symbol) else {
                    let message = format!("there is no objectfifo @{}", of.symbol);
                    return Err(self.error(of.span, message, ""));
                };
                let (is_end, verb) = match of.port {
                    FifoPort::Produce => (fifo.producer == tile, "produce into"),
                    FifoPort::Consume => (fifo.consumers.contains(&tile), "consume from"),
                };
                if !is_end {
                    return Err(self.error(
                        of.span,
                        format!("{} does not {verb} @{}", self.place(tile), of.symbol),
                        "the core of another tile does",
                    ));
                }
                let port = match of.port {
                    FifoPort::Produce => 0,
                    FifoPort::Consume => 1,
                };
                if fifo.stream.is_some_and(|stream| stream == 2 || stream == port) {
                    return Err(self.error(
                        of.span,
                        format!("this end of @{} is a stream port", of.symbol),
                        "aie.get_stream and aie.put_stream use it",
                    ));
                }
            }
        }
        Ok(())
    }
}
