//! The controller: runs the instructions of a sequence and waits for tokens.

use std::sync::Arc;

use super::code::{Configure, Memcpy, SequenceOp, Transfer};
use super::descriptor::{Request, descriptor};
use crate::engine::array::{Array, Event};
use crate::engine::core::Thread;
use crate::engine::dma::{DescriptorState, QueuedTask};
use crate::engine::program::{Instruction, Slot};
use crate::engine::value::{PlaceId, Value, View};
use crate::engine::{FindingKind, RunError};
use crate::netlist::{BufferId, ChannelId, Descriptor, DescriptorId, Memory, TileId, TileKind};
use crate::text::Span;
use tilewright_codegen::device::{TASK_QUEUE, limits};

/// What runs a sequence.
#[derive(Default)]
pub(in crate::engine) struct Controller {
    /// Name of the sequence.
    pub(in crate::engine) name: String,
    pub(in crate::engine) thread: Option<Thread>,
    ops: Arc<[SequenceOp]>,
    /// Channels of which it still wants a token.
    pub(in crate::engine) waits_for: Vec<ChannelId>,
    /// Channels that it has waited for in this sequence.
    pub(in crate::engine) waited: Vec<ChannelId>,
    tasks: Vec<TaskState>,
    /// Descriptors of a tile that tasks of this sequence hold.
    taken: Vec<(TileId, u32)>,
    /// Whether a task was sent already.
    sent: bool,
    pub(in crate::engine) done: bool,
}

#[derive(Debug, Clone)]
struct TaskState {
    channel: ChannelId,
    first: usize,
    runs: u32,
    token: bool,
    started: bool,
    numbers: Vec<u32>,
    span: Span,
}

impl Controller {
    /// At the beginning of a sequence.
    pub(in crate::engine) fn new(name: &str, thread: Thread, ops: Vec<SequenceOp>) -> Self {
        Self { name: name.to_owned(), thread: Some(thread), ops: ops.into(), ..Self::default() }
    }

    /// Where it stands.
    pub(in crate::engine) fn span(&self) -> Span {
        self.thread.as_ref().map(Thread::span).unwrap_or_default()
    }
}

impl Array {
    /// Runs the sequence until it waits or ends.
    pub(in crate::engine) fn run_controller(&mut self) -> Result<(), RunError> {
        loop {
            self.count(1)?;
            let Some(thread) = &mut self.controller.thread else { return Ok(()) };
            let program = Arc::clone(&thread.program);
            let span = thread.span();
            let Some(instruction) = program.code.get(thread.pc) else {
                self.controller.done = true;
                return Ok(());
            };
            if let Some(done) = thread.compute(instruction) {
                match done {
                    Ok(next) => thread.pc = next as usize,
                    Err(message) => return Err(self.error(span, message)),
                }
                continue;
            }
            match *instruction {
                Instruction::End => {
                    self.controller.done = true;
                    return Ok(());
                }
                Instruction::Sequence(at) => {
                    let ops = Arc::clone(&self.controller.ops);
                    let Some(op) = ops.get(at as usize) else { return Ok(()) };
                    let Some(cycles) = self.sequence_op(op, span)? else { return Ok(()) };
                    if let Some(thread) = &mut self.controller.thread {
                        thread.pc += 1;
                    }
                    if cycles > 0 {
                        self.at(self.now + cycles, Event::Controller);
                        return Ok(());
                    }
                }
                _ => {
                    return Err(self.error(
                        span,
                        "an operation of a core's program in a runtime sequence: only scalars, \
                         loops and transfers belong there",
                    ));
                }
            }
        }
    }

    /// Runs one operation; the cycles that it takes, or `None` when it waits.
    fn sequence_op(&mut self, op: &SequenceOp, span: Span) -> Result<Option<u64>, RunError> {
        let write = self.timing.register_write;
        match op {
            SequenceOp::Nothing => Ok(Some(0)),
            SequenceOp::WriteRtp { buffer, index, value } => {
                let place = self.memory.place_mut(PlaceId(*buffer));
                let start = *index as usize * 4;
                place.bytes_mut()[start..start + 4].copy_from_slice(&value.to_le_bytes());
                place.mark(start, start + 4, true);
                Ok(Some(write))
            }
            SequenceOp::SetLock { lock, value } => {
                self.set_lock(*lock, *value);
                Ok(Some(write))
            }
            SequenceOp::Wait { channels } => {
                self.wait_for(channels.clone());
                Ok(self.controller.waits_for.is_empty().then_some(write))
            }
            SequenceOp::Memcpy(memcpy) => {
                self.memcpy(memcpy)?;
                Ok(Some(2 * write))
            }
            SequenceOp::Configure(configure) => {
                self.configure(configure)?;
                Ok(Some(2 * write))
            }
            SequenceOp::Start { task } => {
                let at = self.task(*task, span)?;
                let TaskState { channel, first, runs, token, .. } = self.controller.tasks[at];
                self.controller.tasks[at].started = true;
                self.start(channel, first, runs, token, span);
                Ok(Some(write))
            }
            SequenceOp::Await { task } => {
                let at = self.task(*task, span)?;
                let TaskState { channel, token, started, span: task_span, .. } =
                    self.controller.tasks[at];
                if !token || !started {
                    let why = if started { "gives no token" } else { "was never started" };
                    let what = if started { "set issue_token = true" } else { "start it first" };
                    return Err(RunError::Hang(format!(
                        "{}: hang: the sequence waits for a task that {why} ({}): {what}",
                        self.position(span),
                        self.line(task_span)
                    )));
                }
                self.wait_for(vec![channel]);
                if !self.controller.waits_for.is_empty() {
                    return Ok(None);
                }
                self.free(at);
                Ok(Some(write))
            }
            SequenceOp::Free { task } => {
                let at = self.task(*task, span)?;
                self.free(at);
                Ok(Some(0))
            }
        }
    }

    /// Takes a token of each channel; those that have none are waited for.
    fn wait_for(&mut self, channels: Vec<ChannelId>) {
        if self.controller.waits_for.is_empty() {
            self.controller.waits_for = channels;
        }
        let channels = std::mem::take(&mut self.controller.waits_for);
        for channel in channels {
            let tokens = &mut self.channels[channel.index()].tokens;
            match tokens.checked_sub(1) {
                Some(left) => {
                    *tokens = left;
                    self.controller.waited.push(channel);
                }
                None => self.controller.waits_for.push(channel),
            }
        }
    }

    /// A task has ended and told so.
    pub(in crate::engine) fn token(&mut self, channel: ChannelId) {
        if !self.controller.waits_for.contains(&channel) {
            return;
        }
        self.channels[channel.index()].tokens -= 1;
        self.controller.waits_for.retain(|&waited| waited != channel);
        self.controller.waited.push(channel);
        if !self.controller.waits_for.is_empty() {
            return;
        }
        // The waiting operation is over.
        let ops = Arc::clone(&self.controller.ops);
        if let Some(thread) = &mut self.controller.thread {
            if let Some(Instruction::Sequence(at)) = thread.program.code.get(thread.pc)
                && let Some(SequenceOp::Await { task }) = ops.get(*at as usize)
                && let Value::Task(task) = thread.get(*task)
            {
                thread.pc += 1;
                self.free(task as usize);
            } else {
                thread.pc += 1;
            }
        }
        self.at(self.now + self.timing.token, Event::Controller);
    }

    fn task(&self, slot: Slot, span: Span) -> Result<usize, RunError> {
        match self.controller.thread.as_ref().map(|thread| thread.get(slot)) {
            Some(Value::Task(at)) => Ok(at as usize),
            _ => Err(self.error(span, "a task is used before it is configured")),
        }
    }

    fn view(
        &self,
        slot: Slot,
        span: Span,
    ) -> Result<(View, crate::engine::value::Layout), RunError> {
        let thread = self.controller.thread.as_ref();
        let view = thread.map(|thread| thread.get(slot));
        let Some(Value::View(view)) = view else {
            return Err(self.error(span, "a memref is used before it is defined"));
        };
        match thread.and_then(|thread| thread.program.layouts.get(view.layout as usize)) {
            Some(layout) => Ok((view, layout.clone())),
            None => Err(self.error(span, "a memref without a layout")),
        }
    }

    fn memory_of(&self, place: PlaceId, tile: TileId, span: Span) -> Result<Memory, RunError> {
        let kind = self.netlist.tiles[tile.index()].kind;
        match (self.is_host(place), kind) {
            (true, TileKind::Shim) => Ok(Memory::Argument(place.0 - self.host)),
            (false, TileKind::Memtile | TileKind::Core)
                if (place.0 as usize) < self.netlist.buffers.len() =>
            {
                Ok(Memory::Buffer(BufferId(place.0)))
            }
            (true, _) => Err(self.error(span, "only shims reach host memory")),
            (false, _) => Err(self.error(span, "a shim only reaches host memory")),
        }
    }

    /// Writes a descriptor into its register; the index by which tasks refer to it.
    fn write_descriptor(&mut self, descriptor: Descriptor) -> usize {
        let key = (descriptor.tile, descriptor.number);
        let span = descriptor.span;
        let state = DescriptorState::new(Arc::new(descriptor));
        let old = self.slots.get(&key).copied();
        match old {
            Some(at) if self.descriptors[at].users == 0 => {
                self.descriptors[at] = state;
                at
            }
            _ => {
                if let Some(at) = old {
                    let used = self.descriptors[at].descriptor.span;
                    let message = format!(
                        "descriptor {} of {} is written while the transfer of {} still uses it: \
                         wait for that first",
                        key.1,
                        self.tile_name(key.0),
                        self.line(used)
                    );
                    self.finding(FindingKind::DescriptorReuse, span, message);
                }
                self.descriptors.push(state);
                self.slots.insert(key, self.descriptors.len() - 1);
                self.descriptors.len() - 1
            }
        }
    }

    fn memcpy(&mut self, memcpy: &Memcpy) -> Result<(), RunError> {
        let span = memcpy.span;
        let (view, layout) = self.view(memcpy.memref, span)?;
        let tile = self.netlist.channels[memcpy.channel.index()].tile;
        let memory = self.memory_of(view.place, tile, span)?;
        let thread = self.controller.thread.as_ref();
        let list = |indices: &[crate::engine::program::Index]| -> Option<Vec<i64>> {
            indices.iter().map(|&index| thread?.index(index)).collect()
        };
        let lists = (list(&memcpy.offsets), list(&memcpy.sizes), list(&memcpy.strides));
        let (Some(offsets), Some(sizes), Some(strides)) = lists else {
            return Err(self.error(span, "an offset, size or stride is used before it is defined"));
        };
        // Offsets count along the memref's own dimensions, the last ones together.
        let bytes = layout.element.bytes() as i64;
        let mut offset = view.offset;
        for (i, &by) in offsets.iter().rev().enumerate() {
            let stride = layout.strides.iter().rev().nth(i).copied().unwrap_or(0);
            if stride == 0 && by != 0 {
                return Err(
                    self.error(span, format!("offset {by} in a dimension that the memref lacks"))
                );
            }
            offset = offset.saturating_add(by.saturating_mul(stride).saturating_mul(bytes));
        }
        let runs = sizes.first().copied().unwrap_or(1);
        let Some(runs) = u32::try_from(runs).ok().filter(|runs| (1..=256).contains(runs)) else {
            return Err(self.error(span, format!("the outermost size is {runs}, not 1 to 64")));
        };
        let request = Request {
            tile,
            kind: TileKind::Shim,
            number: memcpy.id,
            memory,
            offset,
            length: None,
            dimensions: sizes.into_iter().zip(strides).collect(),
            padding: Vec::new(),
            pad_value: 0,
            acquire: None,
            release: None,
            packet: memcpy.packet,
            next: None,
            span,
        };
        let descriptor = descriptor(request, &layout).map_err(|e| self.error(span, e))?;
        self.check_host(&descriptor, runs)?;
        let first = self.write_descriptor(descriptor);
        self.start(memcpy.channel, first, runs, memcpy.token, span);
        Ok(())
    }

    /// Whether all runs of a descriptor stay within the host buffer.
    fn check_host(&self, descriptor: &Descriptor, runs: u32) -> Result<(), RunError> {
        let place = self.memory.place(self.place_of(descriptor));
        let last = descriptor.iteration.map_or(0, |step| step.size.min(u64::from(runs)) - 1);
        for run in [0, last] {
            let (low, high) = crate::engine::pattern::bounds(descriptor, run);
            if high > place.len() as u64 {
                return Err(self.error(
                    descriptor.span,
                    format!(
                        "the transfer reaches bytes {low} to {high} of {}, which has {}",
                        place.name,
                        place.len()
                    ),
                ));
            }
        }
        Ok(())
    }

    fn configure(&mut self, configure: &Configure) -> Result<(), RunError> {
        let tile = self.netlist.channels[configure.channel.index()].tile;
        let numbers = self.numbers(tile, configure)?;
        // The registers are written from the last to the first, so that each knows its next.
        let mut indices: Vec<usize> = Vec::with_capacity(numbers.len());
        for (transfer, &number) in configure.transfers.iter().zip(&numbers) {
            let descriptor = self.transfer(tile, number, transfer)?;
            self.check_host_if_argument(&descriptor, configure.runs)?;
            indices.push(self.write_descriptor(descriptor));
        }
        for (at, transfer) in indices.iter().zip(&configure.transfers) {
            let next = transfer.next.and_then(|next| indices.get(next));
            if let Some(&next) = next {
                let mut descriptor = self.descriptors[*at].descriptor.as_ref().clone();
                descriptor.next = Some(DescriptorId(next as u32));
                self.descriptors[*at].descriptor = Arc::new(descriptor);
            }
        }
        let first = indices.first().copied().unwrap_or(0);
        self.controller.tasks.push(TaskState {
            channel: configure.channel,
            first,
            runs: configure.runs,
            token: configure.token,
            started: false,
            numbers,
            span: configure.span,
        });
        let task = Value::Task(self.controller.tasks.len() as u32 - 1);
        if let Some(thread) = &mut self.controller.thread {
            thread.set(configure.to, task);
        }
        Ok(())
    }

    fn check_host_if_argument(&self, descriptor: &Descriptor, runs: u32) -> Result<(), RunError> {
        match descriptor.memory {
            Memory::Argument(_) => self.check_host(descriptor, runs),
            Memory::Buffer(_) => Ok(()),
        }
    }

    /// Numbers for a task's descriptors: those that it names, and the lowest free ones.
    fn numbers(&mut self, tile: TileId, configure: &Configure) -> Result<Vec<u32>, RunError> {
        let kind = self.netlist.tiles[tile.index()].kind;
        let count = limits(kind).descriptors as u32;
        let static_ones: Vec<u32> = self
            .netlist
            .descriptors
            .iter()
            .filter(|descriptor| descriptor.tile == tile)
            .map(|descriptor| descriptor.number)
            .collect();
        let mut numbers = Vec::with_capacity(configure.transfers.len());
        for transfer in &configure.transfers {
            let taken = |number: &u32| self.controller.taken.contains(&(tile, *number));
            let number = match transfer.id {
                Some(number) if number >= count => {
                    let message = format!("descriptor {number}: a {kind} has {count}");
                    return Err(self.error(transfer.span, message));
                }
                Some(number) if taken(&number) => {
                    let message = format!(
                        "descriptor {number} belongs to an earlier task: await or free that first"
                    );
                    return Err(self.error(transfer.span, message));
                }
                Some(number) => number,
                None => {
                    let free = |number: &u32| !taken(number) && !static_ones.contains(number);
                    let Some(number) = (0..count).find(free) else {
                        let message = format!(
                            "all {count} descriptors of {} are taken: await or free earlier tasks",
                            self.tile_name(tile)
                        );
                        return Err(self.error(transfer.span, message));
                    };
                    number
                }
            };
            self.controller.taken.push((tile, number));
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn transfer(
        &self,
        tile: TileId,
        number: u32,
        transfer: &Transfer,
    ) -> Result<Descriptor, RunError> {
        let span = transfer.span;
        let (view, layout) = self.view(transfer.memref, span)?;
        let memory = self.memory_of(view.place, tile, span)?;
        let bytes = layout.element.bytes() as u64;
        let all = layout.sizes.iter().fold(1_i64, |all, &size| all.saturating_mul(size)) as u64;
        let length = transfer.length.unwrap_or(all).saturating_mul(bytes);
        let by = i64::try_from(transfer.offset.saturating_mul(bytes)).unwrap_or(i64::MAX);
        let dimensions = transfer
            .dimensions
            .iter()
            .map(|d| {
                let clamp = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                (clamp(d.size), clamp(d.stride))
            })
            .collect();
        let request = Request {
            tile,
            kind: self.netlist.tiles[tile.index()].kind,
            number,
            memory,
            offset: view.offset.saturating_add(by),
            length: Some(length),
            dimensions,
            padding: transfer.padding.clone(),
            pad_value: transfer.pad_value,
            acquire: transfer.acquire,
            release: transfer.release,
            packet: transfer.packet,
            next: None,
            span,
        };
        descriptor(request, &layout).map_err(|e| self.error(span, e))
    }

    /// Sends a task to its channel's queue.
    fn start(&mut self, channel: ChannelId, first: usize, runs: u32, token: bool, span: Span) {
        let waiting = self.channels[channel.index()].outstanding();
        if waiting >= TASK_QUEUE {
            let message = format!(
                "{} is sent a task while {waiting} are on it: its queue holds {TASK_QUEUE}, and \
                 what is sent beyond is lost; wait for an earlier one",
                self.channel_name(channel)
            );
            self.finding(FindingKind::QueueOverflow, span, message);
        }
        let delay = match std::mem::replace(&mut self.controller.sent, true) {
            false => self.timing.cold_dispatch,
            true => self.timing.dispatch,
        };
        self.send(channel, QueuedTask { first, runs, token, sent: true, span }, delay);
    }

    /// The descriptors of a task may be given to others.
    fn free(&mut self, task: usize) {
        let TaskState { channel, ref numbers, .. } = self.controller.tasks[task];
        let tile = self.netlist.channels[channel.index()].tile;
        let numbers = numbers.clone();
        self.controller.taken.retain(|&(t, number)| t != tile || !numbers.contains(&number));
    }
}
