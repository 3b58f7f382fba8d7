//! DMA channels: queues of tasks, and the descriptors that tasks are made of.

use std::collections::VecDeque;
use std::sync::Arc;

use super::array::{Array, Event, Waiter, Work};
use super::memory::{Party, transfer_use};
use super::pattern::Cursor;
use super::value::PlaceId;
use super::{FindingKind, RunError};
use crate::netlist::{Channel, ChannelId, Descriptor, DescriptorId, Direction, Memory, Port};
use crate::text::Span;

/// A descriptor with what the hardware keeps about it.
#[derive(Debug, Clone)]
pub(super) struct DescriptorState {
    pub(super) descriptor: Arc<Descriptor>,
    /// Runs since it was written: the hardware's iteration counter.
    pub(super) iteration: u64,
    /// Queued and running tasks that use it.
    pub(super) users: u32,
}

impl DescriptorState {
    pub(super) fn new(descriptor: Arc<Descriptor>) -> Self {
        Self { descriptor, iteration: 0, users: 0 }
    }
}

/// A task in a channel's queue.
#[derive(Debug, Clone)]
pub(super) struct QueuedTask {
    /// Index of the first descriptor.
    pub(super) first: usize,
    /// Runs still to do.
    pub(super) runs: u32,
    /// Whether its end is told to the controller.
    pub(super) token: bool,
    /// Whether a runtime sequence sent it.
    pub(super) sent: bool,
    pub(super) span: Span,
}

/// What a channel does with its current descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the lock.
    Locked,
    /// Ready to stream.
    Streaming,
}

/// The running task.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) task: QueuedTask,
    /// Index of the descriptor.
    pub(super) descriptor: usize,
    pub(super) iteration: u64,
    pub(super) cursor: Cursor,
    pub(super) phase: Phase,
    /// Whether data has moved in this run of the descriptor.
    pub(super) moving: bool,
    /// The packet header is still to be sent.
    pub(super) header: bool,
    /// Id of the packet that is being sent.
    pub(super) route: Option<u32>,
}

/// A channel.
#[derive(Debug, Clone)]
pub(super) struct ChannelState {
    pub(super) queue: VecDeque<QueuedTask>,
    pub(super) running: Option<Running>,
    /// A chunk is on its way.
    pub(super) busy: bool,
    /// Tasks that the controller has sent, but that have not arrived yet.
    pub(super) under_way: VecDeque<QueuedTask>,
    /// Ends of tasks that the controller has not taken note of.
    pub(super) tokens: u32,
    /// The flow whose packet is being received.
    pub(super) packet_of: Option<u32>,
}

impl ChannelState {
    pub(super) fn new(channel: &Channel) -> Self {
        let queue = channel
            .tasks
            .iter()
            .map(|task| QueuedTask {
                first: task.first.index(),
                runs: task.runs.max(1),
                token: false,
                sent: false,
                span: task.span,
            })
            .collect();
        Self {
            queue,
            running: None,
            busy: false,
            under_way: VecDeque::new(),
            tokens: 0,
            packet_of: None,
        }
    }

    /// Tasks that a runtime sequence sent and that have not ended.
    pub(super) fn outstanding(&self) -> usize {
        let sent = |task: &&QueuedTask| task.sent;
        self.under_way.len()
            + self.queue.iter().filter(sent).count()
            + self.running.iter().filter(|running| running.task.sent).count()
    }
}

impl Array {
    /// The place that a descriptor moves.
    pub(super) fn place_of(&self, descriptor: &Descriptor) -> PlaceId {
        match descriptor.memory {
            Memory::Buffer(buffer) => PlaceId(buffer.0),
            Memory::Argument(at) => PlaceId::host(at),
            Memory::Tile(tile) => PlaceId::tile(tile),
        }
    }

    /// The descriptors of a chain, each once.
    pub(super) fn chain(&self, first: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut next = Some(first);
        while let Some(at) = next {
            if chain.contains(&at) || at >= self.descriptors.len() {
                break;
            }
            chain.push(at);
            next = self.descriptors[at].descriptor.next.map(DescriptorId::index);
        }
        chain
    }

    /// Puts a task into a channel's queue, once it has got there.
    pub(super) fn send(&mut self, channel: ChannelId, task: QueuedTask, delay: u64) {
        for at in self.chain(task.first) {
            self.descriptors[at].users += 1;
        }
        self.channels[channel.index()].under_way.push_back(task);
        self.at(self.now + delay, Event::Dispatch(channel.0));
    }

    /// A sent task reaches its channel.
    pub(super) fn dispatched(&mut self, channel: ChannelId) {
        let state = &mut self.channels[channel.index()];
        if let Some(task) = state.under_way.pop_front() {
            state.queue.push_back(task);
            self.work.push_back(Work::Channel(channel));
        }
    }

    /// Begins the next task of a channel that has none.
    pub(super) fn next_task(&mut self, channel: ChannelId) -> Result<(), RunError> {
        let state = &mut self.channels[channel.index()];
        if let Some(running) = &state.running {
            let nothing = running.phase == Phase::Streaming && running.cursor.remaining() == 0;
            return if nothing && !state.busy { self.end_transfer(channel) } else { Ok(()) };
        }
        let Some(task) = state.queue.pop_front() else { return Ok(()) };
        let first = task.first;
        self.begin_descriptor(channel, task, first)
    }

    /// Begins a descriptor of a task.
    fn begin_descriptor(
        &mut self,
        id: ChannelId,
        task: QueuedTask,
        at: usize,
    ) -> Result<(), RunError> {
        let state = &mut self.descriptors[at];
        let descriptor = Arc::clone(&state.descriptor);
        let iteration = state.iteration;
        state.iteration += 1;
        let cursor = Cursor::new(&descriptor, iteration);
        let place = self.place_of(&descriptor);
        let (low, high) = super::pattern::bounds(&descriptor, iteration);
        // One that is not there yet is noticed when data moves: a trace buffer never sees any.
        let bytes = self.memory.get(place).map(super::memory::Place::len);
        if let Some(bytes) = bytes
            && high > bytes as u64
            && cursor.remaining() > 0
            && !self.only_traces(id)
        {
            let name = &self.memory.place(place).name;
            return Err(self.error(
                descriptor.span,
                format!(
                    "{} moves bytes {low} to {high} of {name}, which has {bytes}",
                    self.channel_name(id)
                ),
            ));
        }
        let header = descriptor.packet.is_some();
        self.channels[id.index()].running = Some(Running {
            task,
            descriptor: at,
            iteration,
            cursor,
            phase: Phase::Locked,
            moving: false,
            header,
            route: None,
        });
        let free = match descriptor.acquire {
            Some((lock, how, count)) => {
                self.acquire(lock, Waiter { party: Party::Channel(id), how, count })
            }
            None => true,
        };
        if free {
            self.unblocked(id);
        }
        Ok(())
    }

    /// A channel has its lock.
    pub(super) fn unblocked(&mut self, id: ChannelId) {
        let Some(running) = &mut self.channels[id.index()].running else { return };
        running.phase = Phase::Streaming;
        self.recorder.channel_ready(id, self.now);
        if running.cursor.remaining() == 0 {
            // Nothing to move: it has been done when it begins.
            self.work.push_back(Work::Channel(id));
        }
        self.wake_port(Port::Dma(id));
    }

    /// The first data of a descriptor's run moves: from here on it uses its buffer.
    pub(super) fn begin_transfer(&mut self, id: ChannelId) {
        let writes = self.netlist.channels[id.index()].direction == Direction::S2mm;
        let Some(running) = &mut self.channels[id.index()].running else { return };
        if running.moving {
            return;
        }
        running.moving = true;
        let descriptor = Arc::clone(&self.descriptors[running.descriptor].descriptor);
        let iteration = running.iteration;
        let place = self.place_of(&descriptor);
        if self.is_host(place) {
            return;
        }
        let new = transfer_use(id, writes, &descriptor, iteration);
        let Some(old) = self.memory.place_mut(place).begin(new) else { return };
        let verb = |writes| if writes { "writes" } else { "reads" };
        let message = format!(
            "{} {} `{}` while {} {} it ({})",
            self.channel_name(id),
            verb(writes),
            self.memory.place(place).name,
            self.party_name(old.party),
            verb(old.writes),
            self.line(old.span)
        );
        self.finding(FindingKind::Race, descriptor.span, message);
    }

    /// All data of a descriptor's run has moved.
    pub(super) fn end_transfer(&mut self, id: ChannelId) -> Result<(), RunError> {
        let Some(mut running) = self.channels[id.index()].running.take() else { return Ok(()) };
        let descriptor = Arc::clone(&self.descriptors[running.descriptor].descriptor);
        let place = self.place_of(&descriptor);
        self.memory.place_mut(place).end(Party::Channel(id));
        self.recorder.channel_done(id, self.now, descriptor.span);
        if let Some((lock, count)) = descriptor.release {
            self.release(lock, count, descriptor.span)?;
        }
        if let Some(next) = descriptor.next {
            return self.begin_descriptor(id, running.task, next.index());
        }
        running.task.runs -= 1;
        if running.task.runs > 0 {
            let first = running.task.first;
            return self.begin_descriptor(id, running.task, first);
        }
        for at in self.chain(running.task.first) {
            let users = &mut self.descriptors[at].users;
            *users = users.saturating_sub(1);
        }
        if running.task.token {
            self.channels[id.index()].tokens += 1;
            self.token(id);
        }
        self.work.push_back(Work::Channel(id));
        Ok(())
    }
}

impl ChannelState {
    /// Where the last task that a sequence sent stands.
    pub(super) fn last_sent(&self) -> Option<Span> {
        let running = self.running.iter().map(|running| &running.task);
        let all = running.chain(&self.queue).chain(&self.under_way);
        all.filter(|task| task.sent).map(|task| task.span).next_back()
    }

    /// Takes back a task that a sequence sent and that has not ended: where it stands, and what it
    /// has still to move.
    pub(super) fn cancel(&mut self) -> Option<(Span, u64)> {
        if let Some(running) = self.running.take_if(|running| running.task.sent) {
            self.busy = false;
            return Some((running.task.span, running.cursor.remaining()));
        }
        let at = self.queue.iter().position(|task| task.sent);
        let task = match at {
            Some(at) => self.queue.remove(at),
            None => self.under_way.pop_front(),
        };
        task.map(|task| (task.span, 0))
    }
}
