//! Control packets: a tile's control port writes and reads its registers.

use std::collections::VecDeque;

use super::absolute;
use crate::engine::RunError;
use crate::engine::array::Array;
use crate::engine::stream::packet_header;
use crate::netlist::{Port, TileId};
use crate::text::Span;

/// The control port of a tile.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct ControlPort {
    /// Words of a packet that is not complete.
    words: Vec<u32>,
    /// Answers that have not been sent: id of the packet, words.
    pub(in crate::engine) answers: VecDeque<(u32, VecDeque<u32>)>,
}

impl Array {
    /// Words arrive at a control port.
    pub(in crate::engine) fn control_words(
        &mut self,
        tile: TileId,
        words: impl Iterator<Item = u32>,
        span: Span,
    ) -> Result<(), RunError> {
        for word in words {
            let port = self.control.entry(tile).or_default();
            port.words.push(word);
            let header = port.words[0];
            let beats = (header >> 20 & 3) as usize + 1;
            let writes = matches!(header >> 22 & 3, 0 | 2);
            if writes && port.words.len() < beats + 1 {
                continue;
            }
            let packet = std::mem::take(&mut port.words);
            self.control_packet(tile, header, beats, &packet[1..], span)?;
        }
        Ok(())
    }

    fn control_packet(
        &mut self,
        tile: TileId,
        header: u32,
        beats: usize,
        data: &[u32],
        span: Span,
    ) -> Result<(), RunError> {
        if header.count_ones().is_multiple_of(2) {
            let message = format!(
                "{} gets a control packet {header:#010x} of even parity, which it throws away",
                self.tile_name(tile)
            );
            return Err(self.error(span, message));
        }
        let (column, row) = {
            let tile = self.netlist.tile(tile);
            (tile.column, tile.row)
        };
        let address = absolute(column, row, header & 0xf_ffff);
        match header >> 22 & 3 {
            0 | 2 => self.write_words(address, data, span),
            1 => {
                let mut answer = VecDeque::with_capacity(beats + 1);
                for beat in 0..beats as u32 {
                    answer.push_back(self.read_word(address + 4 * beat, span)?);
                }
                let id = header >> 24 & 0x1f;
                let flows = self.at_port.get(&Port::Control(tile)).into_iter().flatten();
                let flow = flows.map(|&flow| &self.netlist.flows[flow as usize]).find(|flow| {
                    flow.source == Port::Control(tile)
                        && flow.packet.is_none_or(|packet| packet == id)
                });
                match flow {
                    None => {
                        let message = format!(
                            "{} answers with packets of id {id}, which no flow takes",
                            self.tile_name(tile)
                        );
                        return Err(self.error(span, message));
                    }
                    Some(flow) if flow.keep_header => {
                        answer.push_front(packet_header(column, row, 0, id));
                    }
                    Some(_) => {}
                }
                self.control.entry(tile).or_default().answers.push_back((id, answer));
                self.wake_port(Port::Control(tile));
                Ok(())
            }
            operation => Err(self.error(
                span,
                format!("operation {operation} of a control packet is not simulated"),
            )),
        }
    }
}
