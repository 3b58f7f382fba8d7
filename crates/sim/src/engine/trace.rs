//! Statistics of a run, and traces that browsers draw.

use std::io::{self, Write};

use serde::Serialize;

use super::array::{Array, Cycle};
use super::stats::{Row, What};
use crate::netlist::ChannelId;

/// Who did how much in one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Cores with a program.
    pub cores: Vec<CoreStats>,
    /// DMA channels that moved something.
    pub channels: Vec<ChannelStats>,
    /// Bytes between the array and DRAM.
    pub dram_bytes: u64,
    /// What of DRAM's bandwidth these are, over the whole run.
    pub dram_busy: f64,
}

/// One core in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoreStats {
    /// `core (0, 2)`.
    pub name: String,
    /// Share of the run in which it ran functions.
    pub busy: f64,
    /// Share in which it waited for locks.
    pub waiting: f64,
}

/// One DMA channel in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelStats {
    /// `shim (0, 0) MM2S 0 (`A_l2_0`)`.
    pub name: String,
    /// Bytes that it moved.
    pub bytes: u64,
    /// Share of the run in which it had a descriptor and its lock.
    pub busy: f64,
}

impl Array {
    /// Statistics over so many cycles.
    pub(super) fn stats(&self, cycles: Cycle) -> Stats {
        let share = |part: Cycle| if cycles == 0 { 0.0 } else { part as f64 / cycles as f64 };
        let cores = self.recorder.cores.iter().enumerate().map(|(i, sums)| CoreStats {
            name: self.tile_name(self.netlist.cores[i].tile),
            busy: share(sums.busy),
            waiting: share(sums.waiting),
        });
        let moved = self.recorder.channels.iter().enumerate().filter(|(_, sums)| sums.bytes > 0);
        let channels = moved.map(|(i, sums)| ChannelStats {
            name: self.channel_name(ChannelId(i as u32)),
            bytes: sums.bytes,
            busy: share(sums.busy),
        });
        Stats {
            cores: cores.collect(),
            channels: channels.collect(),
            dram_bytes: self.recorder.dram_bytes,
            dram_busy: self.recorder.dram_bytes as f64
                / (self.timing.dram_bytes * cycles.max(1) as f64),
        }
    }

    /// Writes recorded intervals as Chrome's trace events.
    pub(super) fn write_trace(&self, mut to: impl Write) -> io::Result<()> {
        let intervals = self.recorder.intervals.as_deref().unwrap_or_default();
        let mut rows: Vec<Row> = intervals.iter().map(|interval| interval.row).collect();
        rows.sort_unstable();
        rows.dedup();
        write!(to, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        let mut first = true;
        let mut event = |to: &mut dyn Write, value: serde_json::Value| -> io::Result<()> {
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            write!(to, "{comma}\n{value}")
        };
        for &row in &rows {
            let (tid, name) = (number(row), self.row_name(row));
            let names = serde_json::json!({
                "ph": "M", "pid": 0, "tid": tid, "name": "thread_name", "args": { "name": name },
            });
            event(&mut to, names)?;
            let order = serde_json::json!({
                "ph": "M", "pid": 0, "tid": tid, "name": "thread_sort_index",
                "args": { "sort_index": tid },
            });
            event(&mut to, order)?;
        }
        for interval in intervals {
            let name = match interval.what {
                What::Call => "call",
                What::Wait => "wait",
                What::Transfer => "transfer",
            };
            let microseconds = |cycles: Cycle| cycles as f64 / self.timing.clock_mhz;
            let complete = serde_json::json!({
                "ph": "X", "pid": 0, "tid": number(interval.row),
                "name": format!("{name} {}", self.line(interval.span)),
                "ts": microseconds(interval.start),
                "dur": microseconds(interval.end - interval.start),
            });
            event(&mut to, complete)?;
        }
        writeln!(to, "\n]}}")
    }

    fn row_name(&self, row: Row) -> String {
        match row {
            Row::Core(core) => self.tile_name(self.netlist.cores[core as usize].tile),
            Row::Channel(channel) => self.channel_name(ChannelId(channel)),
        }
    }
}

/// Rows in the order of the array: cores, then channels.
fn number(row: Row) -> u32 {
    match row {
        Row::Core(core) => core,
        Row::Channel(channel) => 10_000 + channel,
    }
}
