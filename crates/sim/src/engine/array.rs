//! The state of an array, and the events that change it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::core::CoreState;
use super::dma::{ChannelState, DescriptorState};
use super::memory::{Memory, Party};
use super::sequence::Controller;
use super::stats::Recorder;
use super::stream::{CorePort, FlowState};
use super::timing::{Timing, timing};
use super::value::PlaceId;
use super::{Finding, FindingKind, Limits, RunError};
use crate::functions::Functions;
use crate::netlist::{Acquire, ChannelId, LockId, Netlist, Port, TileId};
use crate::text::Span;

/// A point in time, in cycles since the array was configured.
pub(super) type Cycle = u64;

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A core goes on.
    Core(u32),
    /// A flow's chunk has arrived.
    Arrived(u32),
    /// A task reaches its channel.
    Dispatch(u32),
    /// The controller goes on.
    Controller,
}

/// Something to look at before time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A channel may begin a task.
    Channel(ChannelId),
    /// A flow may move data.
    Flow(u32),
}

/// Who waits for a lock, and for how much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) party: Party,
    pub(super) how: Acquire,
    pub(super) count: i32,
}

/// Largest value of a lock (MLIR-AIE's target model).
const MAX_LOCK: i32 = tilewright_codegen::device::MAX_LOCK_VALUE as i32;
/// Findings that are kept; what repeats is kept once.
const MAX_FINDINGS: usize = 100;
/// Steps of cores in which nothing else happens, after which they are taken to spin for ever.
const QUIET_STEPS: u64 = 200_000_000;
/// Steps between looks at the clock.
const CLOCK_STEPS: u64 = 1 << 16;

/// An array with everything that goes on in it.
pub(super) struct Array {
    pub(super) netlist: Arc<Netlist>,
    pub(super) functions: Functions,
    pub(super) timing: Timing,
    pub(super) memory: Memory,
    pub(super) locks: Vec<i32>,
    pub(super) waiters: Vec<VecDeque<Waiter>>,
    pub(super) descriptors: Vec<DescriptorState>,
    /// Descriptors that runtime sequences wrote, by tile and number.
    pub(super) slots: BTreeMap<(TileId, u32), usize>,
    pub(super) channels: Vec<ChannelState>,
    pub(super) flows: Vec<FlowState>,
    /// Flows that begin or end at a port.
    pub(super) at_port: BTreeMap<Port, Vec<u32>>,
    pub(super) ports: BTreeMap<Port, CorePort>,
    pub(super) cores: Vec<CoreState>,
    pub(super) controller: Controller,
    /// The place of the first host buffer: the last places are those of the running sequence.
    pub(super) host: u32,
    pub(super) now: Cycle,
    /// When DRAM has served all that was asked of it, in cycles.
    pub(super) dram_free: f64,
    pub(super) work: VecDeque<Work>,
    pub(super) findings: Vec<Finding>,
    pub(super) recorder: Recorder,
    pub(super) limits: Limits,
    pub(super) steps: u64,
    /// Steps when data, a lock or the sequence last moved.
    moved_at: u64,
    events: BinaryHeap<Reverse<(Cycle, u64, Event)>>,
    order: u64,
    begun: Instant,
    clock_at: u64,
}

impl Array {
    /// A configured array in which nothing has run yet; memory and cores are the caller's matter.
    pub(super) fn new(netlist: Arc<Netlist>, functions: Functions, limits: Limits) -> Self {
        let descriptors = netlist
            .descriptors
            .iter()
            .map(|descriptor| DescriptorState::new(Arc::new(descriptor.clone())))
            .collect();
        let mut at_port: BTreeMap<Port, Vec<u32>> = BTreeMap::new();
        let mut ports = BTreeMap::new();
        for (i, flow) in netlist.flows.iter().enumerate() {
            for port in std::iter::once(&flow.source).chain(&flow.destinations) {
                at_port.entry(*port).or_default().push(i as u32);
                if matches!(port, Port::Core(..)) {
                    ports.insert(*port, CorePort::default());
                }
            }
        }
        Self {
            functions,
            timing: timing(netlist.device.family),
            memory: Memory::default(),
            locks: netlist.locks.iter().map(|lock| lock.initial).collect(),
            waiters: vec![VecDeque::new(); netlist.locks.len()],
            descriptors,
            slots: BTreeMap::new(),
            channels: netlist.channels.iter().map(ChannelState::new).collect(),
            flows: netlist.flows.iter().map(|_| FlowState::default()).collect(),
            at_port,
            ports,
            cores: Vec::new(),
            controller: Controller::default(),
            host: 0,
            now: 0,
            dram_free: 0.0,
            work: VecDeque::new(),
            findings: Vec::new(),
            recorder: Recorder::default(),
            limits,
            steps: 0,
            moved_at: 0,
            events: BinaryHeap::new(),
            order: 0,
            begun: Instant::now(),
            clock_at: 0,
            netlist,
        }
    }

    /// Starts counting against the limits.
    pub(super) fn begin(&mut self) {
        self.steps = 0;
        self.moved_at = 0;
        self.clock_at = 0;
        self.begun = Instant::now();
    }

    /// Puts an event on the calendar; events of one time happen in the order of their scheduling.
    pub(super) fn at(&mut self, time: Cycle, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    /// Lets events happen until `done` says so; `false` when nothing is left to happen.
    pub(super) fn advance(
        &mut self,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, RunError> {
        self.settle()?;
        while !done(self) {
            let Some(Reverse((time, _, event))) = self.events.pop() else { return Ok(false) };
            self.now = self.now.max(time);
            self.count(1)?;
            match event {
                Event::Core(core) => self.run_core(core)?,
                Event::Arrived(flow) => {
                    self.moved();
                    self.arrived(flow)?;
                }
                Event::Dispatch(channel) => {
                    self.dispatched(ChannelId(channel));
                }
                Event::Controller => {
                    self.moved();
                    self.run_controller()?;
                }
            }
            self.settle()?;
        }
        Ok(true)
    }

    /// Counts steps against the limits.
    pub(super) fn count(&mut self, steps: u64) -> Result<(), RunError> {
        self.steps += steps;
        if self.steps > self.limits.steps {
            return Err(RunError::Limit(format!(
                "stopped after {} steps, at cycle {}: the design may run for ever",
                self.limits.steps, self.now
            )));
        }
        if self.steps - self.moved_at > QUIET_STEPS {
            let sequence = self.controller.name.clone();
            return Err(RunError::Hang(self.hang_report(&sequence)));
        }
        if let Some(limit) = self.limits.time
            && self.steps >= self.clock_at
        {
            self.clock_at = self.steps + CLOCK_STEPS;
            if self.begun.elapsed() > limit {
                return Err(RunError::Limit(format!(
                    "stopped after {} s, at cycle {}: the time limit",
                    limit.as_secs_f64(),
                    self.now
                )));
            }
        }
        Ok(())
    }

    /// Something else than a core's computation went on.
    fn moved(&mut self) {
        self.moved_at = self.steps;
    }

    /// Does everything that can be done now.
    fn settle(&mut self) -> Result<(), RunError> {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Channel(channel) => self.next_task(channel)?,
                Work::Flow(flow) => self.try_flow(flow)?,
            }
        }
        Ok(())
    }

    /// Looks at the flows of a port again.
    pub(super) fn wake_port(&mut self, port: Port) {
        if let Some(flows) = self.at_port.get(&port) {
            self.work.extend(flows.iter().map(|&flow| Work::Flow(flow)));
        }
    }

    /// Takes a lock if that is possible now; otherwise the party is put in its queue.
    pub(super) fn acquire(&mut self, lock: LockId, waiter: Waiter) -> bool {
        let value = &mut self.locks[lock.index()];
        if self.waiters[lock.index()].is_empty() && fits(*value, waiter) {
            *value -= waiter.count;
            return true;
        }
        self.waiters[lock.index()].push_back(waiter);
        // Others may wait for a value that is not there, while this one fits.
        self.grant(lock, Some(waiter.party))
    }

    /// Gives a lock back.
    pub(super) fn release(&mut self, lock: LockId, count: i32, span: Span) -> Result<(), RunError> {
        let value = self.locks[lock.index()].saturating_add(count);
        if value > MAX_LOCK {
            return Err(self.error(
                span,
                format!(
                    "lock `{}` would count {value}; it can count to {MAX_LOCK}",
                    self.netlist.locks[lock.index()].name
                ),
            ));
        }
        self.set_lock(lock, value);
        Ok(())
    }

    /// Sets a lock.
    pub(super) fn set_lock(&mut self, lock: LockId, value: i32) {
        self.locks[lock.index()] = value;
        self.moved();
        self.grant(lock, None);
    }

    /// Gives a lock to those who wait and whom it fits; whether `asking` got it at once.
    fn grant(&mut self, lock: LockId, asking: Option<Party>) -> bool {
        let mut at_once = false;
        let mut i = 0;
        while let Some(&waiter) = self.waiters[lock.index()].get(i) {
            if !fits(self.locks[lock.index()], waiter) {
                i += 1;
                continue;
            }
            self.locks[lock.index()] -= waiter.count;
            self.waiters[lock.index()].remove(i);
            if asking == Some(waiter.party) {
                at_once = true;
                continue;
            }
            match waiter.party {
                Party::Core(core) => self.granted(core),
                Party::Channel(channel) => self.unblocked(channel),
            }
        }
        at_once
    }

    /// Notes a finding, once for each operation and kind.
    pub(super) fn finding(&mut self, kind: FindingKind, span: Span, message: impl Into<String>) {
        let known = self.findings.iter().any(|f| f.kind == kind && f.span == span);
        if !known && self.findings.len() < MAX_FINDINGS {
            let message = format!("{}: {}", self.position(span), message.into());
            self.findings.push(Finding { kind, span, message });
        }
    }

    /// `design.mlir:12:3`.
    pub(super) fn position(&self, span: Span) -> String {
        let source = &self.netlist.module.source;
        format!("{}:{}:{}", source.name(), source.line(span), source.column(span))
    }

    /// `line 12`.
    pub(super) fn line(&self, span: Span) -> String {
        format!("line {}", self.netlist.module.source.line(span))
    }

    /// An error at an operation.
    pub(super) fn error(&self, span: Span, message: impl std::fmt::Display) -> RunError {
        RunError::Design(format!("{}: {message}", self.position(span)))
    }

    /// `core (0, 2)`.
    pub(super) fn tile_name(&self, tile: TileId) -> String {
        match self.netlist.tiles.get(tile.index()) {
            Some(tile) => format!("{} ({}, {})", tile.kind, tile.column, tile.row),
            None => "a tile".to_owned(),
        }
    }

    /// `memtile (0, 1) S2MM 2`, with what it serves.
    pub(super) fn channel_name(&self, id: ChannelId) -> String {
        let channel = &self.netlist.channels[id.index()];
        let direction = match channel.direction {
            crate::netlist::Direction::S2mm => "S2MM",
            crate::netlist::Direction::Mm2s => "MM2S",
        };
        let place = self.tile_name(channel.tile);
        match channel.name.as_str() {
            "" => format!("{place} {direction} {}", channel.number),
            name => format!("{place} {direction} {} (`{name}`)", channel.number),
        }
    }

    /// The name of a party.
    pub(super) fn party_name(&self, party: Party) -> String {
        match party {
            Party::Channel(channel) => self.channel_name(channel),
            Party::Core(core) => self.tile_name(self.netlist.cores[core as usize].tile),
        }
    }

    /// Whether a place is a host buffer.
    pub(super) fn is_host(&self, place: PlaceId) -> bool {
        place.0 >= self.host
    }
}

fn fits(value: i32, waiter: Waiter) -> bool {
    match waiter.how {
        Acquire::GreaterEqual => value >= waiter.count,
        Acquire::Equal => value == waiter.count,
    }
}
