//! Putting a design into the array, at the beginning and when a sequence reconfigures it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::RunError;
use super::addresses::Addresses;
use super::array::{Array, Event, Work};
use super::compile::{Compiler, LocalPlace};
use super::core::{CoreState, missing};
use super::dma::{ChannelState, DescriptorState};
use super::memory::Place;
use super::program::{Instruction, Program};
use super::stream::{CorePort, FlowState};
use super::timing::timing;
use super::value::PlaceId;
use crate::functions::Functions;
use crate::netlist::{ChannelId, FifoEnd, Netlist, Port, TileKind};

/// A core's program, and its ends of objectfifos by symbol.
type Compiled = (Arc<Program>, Vec<(String, FifoEnd)>);

/// A design with its cores' programs compiled.
pub(super) struct Configuration {
    pub(super) netlist: Arc<Netlist>,
    programs: Vec<Compiled>,
    places: Vec<LocalPlace>,
}

impl Configuration {
    /// Compiles the programs.
    ///
    /// # Errors
    /// When one has an operation that is not known, or calls what is not registered.
    pub(super) fn new(netlist: Arc<Netlist>, functions: &Functions) -> Result<Self, RunError> {
        let mut places = Vec::new();
        let mut programs = Vec::new();
        for core in &netlist.cores {
            let mut compiler = Compiler::new(&netlist, Some(core), &mut places);
            compiler.body(&core.body)?;
            let program = compiler.program;
            if let Some(symbol) = program.functions.iter().find(|s| functions.get(s).is_none()) {
                let at = program.code.iter().position(|instruction| {
                    matches!(instruction, Instruction::Call { function, .. }
                        if program.functions.get(*function as usize) == Some(symbol))
                });
                let span = at.map_or(core.span, |at| program.spans[at]);
                let source = &netlist.module.source;
                return Err(RunError::Text(source.error(span, missing(symbol), "")));
            }
            let ends = program
                .ends
                .iter()
                .filter_map(|key| Some((key.0.clone(), core.ends.get(key)?.clone())))
                .collect();
            programs.push((Arc::new(program), ends));
        }
        Ok(Self { netlist, programs, places })
    }
}

impl Array {
    /// Puts a design into the array: all that ran is gone, cores and channels begin anew. Memtiles
    /// keep what they hold where the new design does not say what it wants there, as the hardware
    /// does.
    pub(super) fn configure(&mut self, configuration: &Configuration) {
        let netlist = Arc::clone(&configuration.netlist);
        let addresses = Addresses::new(&netlist);
        let mut places: Vec<Place> = netlist
            .buffers
            .iter()
            .map(|buffer| Place::new(buffer.name.clone(), buffer.bytes, buffer.initial.as_deref()))
            .collect();
        self.keep_memtiles(&netlist, &addresses, &mut places);
        places.extend(
            configuration
                .places
                .iter()
                .map(|place| Place::new(place.name.clone(), place.bytes, place.initial.as_deref())),
        );
        self.memory.places = places;
        self.memory.tiles.clear();
        self.addresses = addresses;
        self.timing = timing(netlist.device.family);
        self.locks = netlist.locks.iter().map(|lock| lock.initial).collect();
        self.waiters = vec![VecDeque::new(); netlist.locks.len()];
        self.descriptors = netlist
            .descriptors
            .iter()
            .map(|descriptor| DescriptorState::new(Arc::new(descriptor.clone())))
            .collect();
        self.slots = netlist
            .descriptors
            .iter()
            .enumerate()
            .map(|(at, descriptor)| ((descriptor.tile, descriptor.number), at))
            .collect();
        self.written.clear();
        self.channels = netlist.channels.iter().map(ChannelState::new).collect();
        self.flows = netlist.flows.iter().map(|_| FlowState::default()).collect();
        self.at_port = BTreeMap::new();
        self.ports = BTreeMap::new();
        self.control = BTreeMap::new();
        for (i, flow) in netlist.flows.iter().enumerate() {
            for port in std::iter::once(&flow.source).chain(&flow.destinations) {
                self.at_port.entry(*port).or_default().push(i as u32);
                if matches!(port, Port::Core(..)) {
                    self.ports.insert(*port, CorePort::default());
                }
            }
        }
        self.cores = configuration
            .programs
            .iter()
            .map(|(program, ends)| CoreState::new(Arc::clone(program), ends.clone()))
            .collect();
        self.netlist = netlist;
        self.forget_events();
        self.recorder.begin(self.cores.len(), self.channels.len());
        for core in 0..self.cores.len() {
            self.at(self.now, Event::Core(core as u32));
        }
        let channels = (0..self.channels.len()).map(|at| Work::Channel(ChannelId(at as u32)));
        self.work = channels.collect();
    }

    /// Carries the bytes of memtiles over to a new design's buffers without an initial value.
    fn keep_memtiles(&self, new: &Netlist, addresses: &Addresses, places: &mut [Place]) {
        let old = &self.netlist;
        for (i, buffer) in new.buffers.iter().enumerate() {
            let tile = new.tile(buffer.tile);
            if tile.kind != TileKind::Memtile || buffer.initial.is_some() {
                continue;
            }
            let start = u64::from(addresses.of(i));
            let end = start + buffer.bytes as u64;
            for (j, before) in old.buffers.iter().enumerate() {
                let there = old.tile(before.tile);
                if (there.column, there.row) != (tile.column, tile.row) {
                    continue;
                }
                let old_start = u64::from(self.addresses.of(j));
                let (low, high) = (start.max(old_start), end.min(old_start + before.bytes as u64));
                if low >= high {
                    continue;
                }
                let from = self.memory.place(PlaceId(j as u32));
                for at in low..high {
                    let (source, target) = ((at - old_start) as usize, (at - start) as usize);
                    if let (Some(&byte), true) =
                        (from.bytes().get(source), from.written(source, source + 1))
                    {
                        places[i].bytes_mut()[target] = byte;
                        places[i].mark(target, target + 1, true);
                    }
                }
            }
        }
    }
}
