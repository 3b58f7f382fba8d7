//! What a run did when: for statistics and traces.

use super::array::Cycle;
use crate::netlist::ChannelId;
use crate::text::Span;

/// One thing that a core or a channel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) row: Row,
    pub(super) what: What,
    pub(super) start: Cycle,
    pub(super) end: Cycle,
    pub(super) span: Span,
}

/// Whose interval it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Core(u32),
    Channel(u32),
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A function of the core.
    Call,
    /// Waiting for a lock.
    Wait,
    /// One run of a descriptor, from its lock on.
    Transfer,
}

/// Sums of one row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) busy: Cycle,
    pub(super) waiting: Cycle,
    pub(super) bytes: u64,
}

/// Collects.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// Intervals, if they are wanted.
    pub(super) intervals: Option<Vec<Interval>>,
    pub(super) cores: Vec<Sums>,
    pub(super) channels: Vec<Sums>,
    pub(super) dram_bytes: u64,
    ready: Vec<Cycle>,
}

/// Intervals that a trace keeps: what browsers still open.
const MAX_INTERVALS: usize = 2_000_000;

impl Recorder {
    /// Begins anew for so many cores and channels.
    pub(super) fn begin(&mut self, cores: usize, channels: usize) {
        self.cores = vec![Sums::default(); cores];
        self.channels = vec![Sums::default(); channels];
        self.ready.resize(channels, 0);
        self.dram_bytes = 0;
    }

    fn push(&mut self, row: Row, what: What, start: Cycle, end: Cycle, span: Span) {
        if let Some(intervals) = &mut self.intervals
            && intervals.len() < MAX_INTERVALS
        {
            intervals.push(Interval { row, what, start, end, span });
        }
    }

    pub(super) fn core_busy(&mut self, core: u32, start: Cycle, end: Cycle, span: Span) {
        if let Some(sums) = self.cores.get_mut(core as usize) {
            sums.busy += end - start;
        }
        self.push(Row::Core(core), What::Call, start, end, span);
    }

    pub(super) fn core_waited(&mut self, core: u32, start: Cycle, end: Cycle, span: Span) {
        if let Some(sums) = self.cores.get_mut(core as usize) {
            sums.waiting += end - start;
        }
        self.push(Row::Core(core), What::Wait, start, end, span);
    }

    pub(super) fn channel_ready(&mut self, channel: ChannelId, now: Cycle) {
        if let Some(ready) = self.ready.get_mut(channel.index()) {
            *ready = now;
        }
    }

    pub(super) fn channel_done(&mut self, channel: ChannelId, now: Cycle, span: Span) {
        let start = self.ready.get(channel.index()).copied().unwrap_or(now);
        if let Some(sums) = self.channels.get_mut(channel.index()) {
            sums.busy += now - start;
        }
        self.push(Row::Channel(channel.0), What::Transfer, start, now, span);
    }

    pub(super) fn moved(&mut self, channel: ChannelId, bytes: u64) {
        if let Some(sums) = self.channels.get_mut(channel.index()) {
            sums.bytes += bytes;
        }
    }

    pub(super) fn dram(&mut self, bytes: u64) {
        self.dram_bytes += bytes;
    }
}
