//! Flows: data on its way from a port to others.

use std::collections::VecDeque;
use std::sync::Arc;

use super::array::{Array, Event};
use super::core::Waiting;
use super::dma::{Phase, Running};
use super::pattern::Run;
use super::{FindingKind, RunError};
use crate::netlist::{ChannelId, Direction, Flow, Port, TileId, TileKind};

/// A stream port of a core's program: a few words between it and the switch.
#[derive(Debug, Clone, Default)]
pub(super) struct CorePort {
    pub(super) words: VecDeque<u32>,
}

/// Words that a core's stream port holds.
pub(super) const PORT_WORDS: usize = 4;
/// Longest chunk of a transfer from or to DRAM, so that shims take turns.
const DRAM_CHUNK: u64 = 4096;

/// A flow.
#[derive(Debug, Clone, Default)]
pub(super) struct FlowState {
    /// Bytes that are on their way, from the source's side; 0 when none are.
    chunk: u64,
    /// Of these, bytes of a header that destinations see.
    header: u64,
    /// It is a header within the data, which the switch takes off.
    taken_off: bool,
}

/// What a source has for a flow.
#[derive(Debug, Clone, Copy, Default)]
struct Offer {
    bytes: u64,
    /// Bytes of a header beside them that destinations see.
    header: u64,
    /// The bytes are a header, of which destinations see nothing.
    taken_off: bool,
}

impl Array {
    /// What a source has for a flow.
    fn available(&self, flow: u32) -> Option<Offer> {
        let link = &self.netlist.flows[flow as usize];
        match link.source {
            Port::Dma(id) => {
                let channel = &self.channels[id.index()];
                let running = channel.running.as_ref()?;
                if running.phase != Phase::Streaming || channel.busy {
                    return None;
                }
                let packet = self.descriptors[running.descriptor].descriptor.packet;
                let bytes = running.cursor.remaining();
                match (link.packet, packet) {
                    (Some(wanted), Some((_, id))) if wanted == id => {}
                    // A circuit takes packets too, headers and all.
                    (None, _) => {}
                    (Some(wanted), None) => return self.routed(link, running, wanted),
                    _ => return None,
                }
                let keeps = link.keep_header || link.packet.is_none();
                let header = if running.header && keeps { 4 } else { 0 };
                Some(Offer { bytes, header, taken_off: false })
            }
            Port::Core(..) => {
                let words = self.ports.get(&link.source).map_or(0, |port| port.words.len());
                (words > 0).then_some(Offer { bytes: words as u64 * 4, ..Offer::default() })
            }
            Port::Control(tile) => {
                let (id, words) = self.control.get(&tile)?.answers.front()?;
                let bytes = words.len() as u64 * 4;
                (link.packet.is_none() || link.packet == Some(*id))
                    .then_some(Offer { bytes, ..Offer::default() })
            }
            // Trace units are silent.
            Port::Trace(..) => None,
        }
    }

    /// What a source without headers of its own has for a packet flow: its data begins with one.
    fn routed(&self, link: &Flow, running: &Running, wanted: u32) -> Option<Offer> {
        let bytes = running.cursor.remaining();
        if let Some(id) = running.route {
            return (id == wanted).then_some(Offer { bytes, ..Offer::default() });
        }
        let descriptor = &self.descriptors[running.descriptor].descriptor;
        let place = self.memory.place(self.place_of(descriptor));
        let (mut cursor, mut word, mut filled) = (running.cursor.clone(), [0; 4], 0);
        while filled < 4 {
            let run = cursor.next(4 - filled as u64)?;
            let (Run::Bytes { length, .. } | Run::Padding { length }) = run;
            let length = length as usize;
            if let Run::Bytes { offset, .. } = run {
                let bytes = place.bytes().get(offset as usize..offset as usize + length)?;
                word[filled..filled + length].copy_from_slice(bytes);
            }
            filled += length;
        }
        let id = u32::from_le_bytes(word) & 0x1f;
        let taken_off = !link.keep_header;
        (id == wanted).then_some(Offer { bytes: 4, header: 0, taken_off })
    }

    /// Bytes that a destination takes now; `None` when it takes none.
    fn room(&self, flow: u32, port: Port) -> Option<u64> {
        match port {
            Port::Dma(id) => {
                let channel = &self.channels[id.index()];
                let running = channel.running.as_ref()?;
                let others = channel.packet_of.is_some_and(|packet| packet != flow);
                let ready = running.phase == Phase::Streaming && !channel.busy && !others;
                (ready && running.cursor.remaining() > 0).then(|| running.cursor.remaining())
            }
            Port::Core(..) => {
                let words = self.ports.get(&port).map_or(0, |port| port.words.len());
                (words < PORT_WORDS).then(|| (PORT_WORDS - words) as u64 * 4)
            }
            // Nothing is simulated behind them: they take all.
            Port::Control(_) | Port::Trace(..) => Some(u64::MAX),
        }
    }

    /// Sends a chunk if the source and all destinations are ready.
    pub(super) fn try_flow(&mut self, flow: u32) -> Result<(), RunError> {
        let netlist = Arc::clone(&self.netlist);
        let link = &netlist.flows[flow as usize];
        if self.flows[flow as usize].chunk > 0 {
            return Ok(());
        }
        let Some(Offer { bytes, header, taken_off }) = self.available(flow) else {
            return Ok(());
        };
        let mut bytes = bytes + header;
        for &destination in &link.destinations {
            match self.room(flow, destination) {
                Some(room) => bytes = bytes.min(room),
                None => return Ok(()),
            }
        }
        for &port in std::iter::once(&link.source).chain(&link.destinations) {
            self.check_place(port)?;
        }
        let shim = |port: &Port| match port {
            Port::Dma(id) => {
                let tile = netlist.channels[id.index()].tile;
                netlist.tiles[tile.index()].kind == TileKind::Shim
            }
            _ => false,
        };
        let from_dram = shim(&link.source);
        let to_dram = link.destinations.iter().filter(|port| shim(port)).count();
        if from_dram || to_dram > 0 {
            bytes = bytes.min(DRAM_CHUNK);
        }
        if bytes == 0 {
            return Ok(());
        }
        let header = header.min(bytes);
        let setup = match link.source {
            Port::Dma(id) => {
                let first = self.channels[id.index()].running.as_ref().is_some_and(|r| !r.moving);
                if first { self.timing.descriptor } else { 0 }
            }
            _ => 0,
        };
        let mut end = self.now + setup + bytes.div_ceil(self.timing.stream_bytes);
        if from_dram {
            end = end.max(self.dram(link.source, bytes));
        }
        for &port in link.destinations.iter().filter(|port| shim(port)) {
            end = end.max(self.dram(port, bytes));
        }
        self.flows[flow as usize] = FlowState { chunk: bytes, header, taken_off };
        for &port in std::iter::once(&link.source).chain(&link.destinations) {
            if let Port::Dma(id) = port {
                self.begin_transfer(id);
                let channel = &mut self.channels[id.index()];
                channel.busy = true;
                if link.packet.is_some() && port != link.source {
                    channel.packet_of = Some(flow);
                }
            }
        }
        self.at(end, Event::Arrived(flow));
        Ok(())
    }

    /// When DRAM has served a chunk: all shims share its bandwidth, in the order of asking.
    fn dram(&mut self, port: Port, bytes: u64) -> u64 {
        let runs = match port {
            Port::Dma(id) => self.runs_of(id, bytes),
            _ => 1,
        };
        let cost = bytes as f64 + runs as f64 * self.timing.dram_run_bytes;
        self.dram_free = self.dram_free.max(self.now as f64) + cost / self.timing.dram_bytes;
        self.recorder.dram(bytes);
        self.dram_free.ceil() as u64
    }

    /// Contiguous runs that begin in a chunk of a channel's transfer.
    fn runs_of(&self, id: ChannelId, bytes: u64) -> u64 {
        let running = self.channels[id.index()].running.as_ref();
        running.map_or(1, |running| running.cursor.runs(bytes))
    }

    /// A chunk has arrived: its bytes move, and what has come to its end goes on.
    pub(super) fn arrived(&mut self, flow: u32) -> Result<(), RunError> {
        let netlist = Arc::clone(&self.netlist);
        let link = &netlist.flows[flow as usize];
        let FlowState { chunk, header, taken_off } = std::mem::take(&mut self.flows[flow as usize]);
        let mut data = Vec::with_capacity(if self.data { chunk as usize } else { 0 });
        let mut written = None;
        let mut answered = false;
        match link.source {
            Port::Dma(id) => {
                self.gather(id, chunk, header, &mut data, &mut written);
                self.channels[id.index()].busy = false;
                if let (Some(running), Some(id)) =
                    (&mut self.channels[id.index()].running, link.packet)
                {
                    running.route = Some(id);
                }
            }
            Port::Control(tile) => answered = self.answer(tile, chunk, &mut data),
            port => {
                if let Some(port) = self.ports.get_mut(&port) {
                    for word in port.words.drain(..(chunk as usize / 4).min(port.words.len())) {
                        data.extend(word.to_le_bytes());
                    }
                }
                self.wake_core_port(port);
            }
        }
        if taken_off {
            data.clear();
            written = None;
        }
        for &port in &link.destinations {
            match port {
                Port::Dma(id) => {
                    self.scatter(id, chunk, &data, written.as_deref());
                    self.channels[id.index()].busy = false;
                }
                Port::Core(..) => {
                    if let Some(port) = self.ports.get_mut(&port) {
                        let words = data.chunks_exact(4);
                        port.words
                            .extend(words.map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])));
                    }
                    self.wake_core_port(port);
                }
                Port::Control(tile) => {
                    // The port itself takes no header.
                    let words = data.get(header as usize..).unwrap_or_default().chunks_exact(4);
                    let words: Vec<u32> =
                        words.map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
                    self.control_words(tile, words.into_iter(), link.span)?;
                }
                Port::Trace(..) => {}
            }
        }
        // The source ends first: its end is the end of the packet.
        for &port in std::iter::once(&link.source).chain(&link.destinations) {
            let Port::Dma(id) = port else {
                if answered && port == link.source {
                    self.end_packet(&link.destinations);
                }
                self.wake_port(port);
                continue;
            };
            let done = self.channels[id.index()].running.as_ref().is_some_and(|running| {
                running.phase == Phase::Streaming && running.cursor.remaining() == 0
            });
            if done && port == link.source {
                self.end_packet(&link.destinations);
            }
            if done {
                self.end_transfer(id)?;
            }
            self.wake_port(port);
        }
        Ok(())
    }

    /// A packet has come to its end: another one may go to its destinations.
    fn end_packet(&mut self, destinations: &[Port]) {
        for &port in destinations {
            if let Port::Dma(id) = port {
                self.channels[id.index()].packet_of = None;
                self.wake_port(port);
            }
        }
    }

    /// Takes words of a control port's answer; whether it is complete.
    fn answer(&mut self, tile: TileId, chunk: u64, data: &mut Vec<u8>) -> bool {
        let Some(port) = self.control.get_mut(&tile) else { return false };
        let Some((_, words)) = port.answers.front_mut() else { return false };
        for word in words.drain(..(chunk as usize / 4).min(words.len())) {
            data.extend(word.to_le_bytes());
        }
        let done = words.is_empty();
        if done {
            port.answers.pop_front();
        }
        done
    }

    /// Whether what a channel moves is there: a sequence may have fewer arguments than it names.
    fn check_place(&self, port: Port) -> Result<(), RunError> {
        let Port::Dma(id) = port else { return Ok(()) };
        let Some(running) = &self.channels[id.index()].running else { return Ok(()) };
        let descriptor = &self.descriptors[running.descriptor].descriptor;
        if self.memory.get(self.place_of(descriptor)).is_some() {
            return Ok(());
        }
        let message = format!(
            "{} moves host memory that is no argument of the sequence: patch its address, give \
             the buffer",
            self.channel_name(id)
        );
        Err(self.error(descriptor.span, message))
    }

    /// Takes a chunk's bytes from the source's memory, and notes which of them nobody ever wrote.
    fn gather(
        &mut self,
        id: ChannelId,
        chunk: u64,
        header: u64,
        data: &mut Vec<u8>,
        written: &mut Option<Vec<bool>>,
    ) {
        let Some(mut running) = self.channels[id.index()].running.take() else { return };
        let descriptor = Arc::clone(&self.descriptors[running.descriptor].descriptor);
        if header > 0
            && let Some((kind, packet)) = descriptor.packet
        {
            let tile = self.netlist.tile(descriptor.tile);
            data.extend(packet_header(tile.column, tile.row, kind, packet).to_le_bytes());
        }
        running.header = false;
        let mut left = chunk - header;
        if !self.data {
            running.cursor.skip(left);
            self.recorder.moved(id, chunk);
            self.channels[id.index()].running = Some(running);
            return;
        }
        let place = self.memory.place(self.place_of(&descriptor));
        let full = place.all_written();
        if !full {
            *written = Some(vec![true; data.len()]);
        }
        let bytes = place.bytes();
        let pad = descriptor.pad_value.to_le_bytes();
        while left > 0 {
            let Some(run) = running.cursor.next(left) else { break };
            let length = match run {
                Run::Bytes { offset, length } => {
                    let (start, end) = (offset as usize, (offset + length) as usize);
                    // The whole pattern was checked against the buffer when it began.
                    if let Some(bytes) = bytes.get(start..end) {
                        data.extend_from_slice(bytes);
                    } else {
                        data.resize(data.len() + length as usize, 0);
                    }
                    if let Some(written) = written {
                        written.extend((start..end).map(|at| place.written(at, at + 1)));
                    }
                    length
                }
                Run::Padding { length } => {
                    let width = (descriptor.element_bytes as usize).clamp(1, 4);
                    data.extend((0..length as usize).map(|at| pad[at % width]));
                    if let Some(written) = written {
                        written.resize(data.len(), true);
                    }
                    length
                }
            };
            left -= length;
        }
        self.recorder.moved(id, chunk);
        self.channels[id.index()].running = Some(running);
    }

    /// Puts a chunk's bytes into a destination's memory.
    fn scatter(&mut self, id: ChannelId, chunk: u64, data: &[u8], written: Option<&[bool]>) {
        let Some(mut running) = self.channels[id.index()].running.take() else { return };
        if !self.data {
            running.cursor.skip(chunk);
            self.recorder.moved(id, chunk);
            self.channels[id.index()].running = Some(running);
            return;
        }
        let descriptor = Arc::clone(&self.descriptors[running.descriptor].descriptor);
        let id_of_place = self.place_of(&descriptor);
        let host = self.is_host(id_of_place);
        let place = self.memory.place_mut(id_of_place);
        let mut at = 0;
        let mut uninitialised = false;
        while at < data.len() {
            let Some(run) = running.cursor.next((data.len() - at) as u64) else { break };
            let (Run::Bytes { length, .. } | Run::Padding { length }) = run;
            let length = length as usize;
            if let Run::Bytes { offset, .. } = run {
                let start = offset as usize;
                if let Some(target) = place.bytes_mut().get_mut(start..start + length) {
                    target.copy_from_slice(&data[at..at + length]);
                }
                match written {
                    None => place.mark(start, start + length, true),
                    Some(written) => {
                        for (i, &written) in written[at..at + length].iter().enumerate() {
                            uninitialised |= !written;
                            place.mark(start + i, start + i + 1, written || host);
                        }
                    }
                }
            }
            at += length;
        }
        self.recorder.moved(id, data.len() as u64);
        self.channels[id.index()].running = Some(running);
        if uninitialised && host {
            let message = format!(
                "{} sends bytes to the host that nothing has written",
                self.channel_name(id)
            );
            self.finding(FindingKind::Uninitialised, descriptor.span, message);
        }
    }

    /// Cores that wait for a stream port look again.
    fn wake_core_port(&mut self, port: Port) {
        for core in 0..self.cores.len() {
            if let Waiting::Stream(waited) = self.cores[core].waiting
                && waited == port
            {
                self.cores[core].waiting = Waiting::Nothing;
                self.at(self.now + 1, Event::Core(core as u32));
            }
        }
    }

    /// The direction of a channel.
    pub(super) fn direction(&self, id: ChannelId) -> Direction {
        self.netlist.channels[id.index()].direction
    }
}

/// The word in front of a packet's data.
pub(super) fn packet_header(column: u32, row: u32, kind: u32, id: u32) -> u32 {
    let word = (id & 0x1f) | (kind & 7) << 12 | (row & 0x1f) << 16 | (column & 0x7f) << 21;
    // Odd parity over the whole word.
    if word.count_ones().is_multiple_of(2) { word | 1 << 31 } else { word }
}
