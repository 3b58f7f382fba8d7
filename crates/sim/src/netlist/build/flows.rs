//! Streams that a design states: circuits and packet flows.

use std::collections::BTreeMap;

use super::{Builder, Result, bundle};
use crate::netlist::{Direction, Flow, Port, TileId, TileKind};
use crate::text::{Op, Span};

/// Which side of a flow a port is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
}

impl Builder<'_> {
    pub(super) fn flows(&mut self) -> Result<()> {
        for op in self.body {
            match op.name.as_str() {
                "aie.flow" => {
                    let names = ["source_bundle", "source_channel"];
                    let source = self.port(op, 0, names, Side::Source)?;
                    let names = ["dest_bundle", "dest_channel"];
                    let destination = self.port(op, 1, names, Side::Destination)?;
                    if let (Some(source), Some(destination)) = (source, destination) {
                        self.circuit(source, destination, op.span);
                    }
                }
                "aie.packet_flow" => self.packet_flow(op)?,
                _ => {}
            }
        }
        self.routes()
    }

    /// A circuit; those from the same source are one stream that ends at several places.
    pub(super) fn circuit(&mut self, source: Port, destination: Port, span: Span) {
        let known =
            self.net.flows.iter_mut().find(|flow| flow.source == source && flow.packet.is_none());
        match known {
            Some(flow) if flow.destinations.contains(&destination) => {}
            Some(flow) => flow.destinations.push(destination),
            None => self.net.flows.push(Flow {
                source,
                destinations: vec![destination],
                packet: None,
                keep_header: false,
                span,
            }),
        }
    }

    fn packet_flow(&mut self, op: &Op) -> Result<()> {
        let id: u32 = self.number(op, "ID")?;
        self.packet_fields(op, 0, id)?;
        let (mut sources, mut destinations, mut ends) = (Vec::new(), Vec::new(), 0);
        for port in op.regions.iter().flat_map(super::entry) {
            let names = ["bundle", "channel"];
            match port.name.as_str() {
                "aie.packet_source" => sources.push(self.port(port, 0, names, Side::Source)?),
                "aie.packet_dest" => {
                    ends += 1;
                    destinations.extend(self.port(port, 0, names, Side::Destination)?);
                }
                _ => {}
            }
        }
        if ends == 0 || sources.is_empty() {
            return Err(self.error(
                op.span,
                "a packet flow needs a source and a destination",
                "aie.packet_source<…> and aie.packet_dest<…>",
            ));
        }
        if destinations.is_empty() {
            return Ok(());
        }
        for source in sources.into_iter().flatten() {
            // Flows of one source and id are one.
            let known = self
                .net
                .flows
                .iter_mut()
                .find(|flow| flow.source == source && flow.packet == Some(id));
            if let Some(flow) = known {
                for port in &destinations {
                    if !flow.destinations.contains(port) {
                        flow.destinations.push(*port);
                    }
                }
                flow.keep_header |= op.flag("keep_pkt_header");
                continue;
            }
            self.net.flows.push(Flow {
                source,
                destinations: destinations.clone(),
                packet: Some(id),
                keep_header: op.flag("keep_pkt_header"),
                span: op.span,
            });
        }
        Ok(())
    }

    /// The port that an operation names; none for the wire to the firmware.
    fn port(
        &mut self,
        op: &Op,
        operand: usize,
        [bundle, channel]: [&str; 2],
        side: Side,
    ) -> Result<Option<Port>> {
        let tile = self.tile_operand(op, operand)?;
        let (bundle, channel): (u32, u32) = (self.number(op, bundle)?, self.number(op, channel)?);
        let direction = match side {
            Side::Source => Direction::Mm2s,
            Side::Destination => Direction::S2mm,
        };
        let kind = self.kind(tile);
        let port = match bundle {
            bundle::DMA => self.channel(tile, direction, channel, "", op.span).map(Port::Dma)?,
            bundle::CORE if kind == TileKind::Core && channel == 0 => Port::Core(tile, channel),
            bundle::TRACE => Port::Trace(tile, channel),
            bundle::CONTROL => Port::Control(tile),
            // Task-complete tokens leave the array here; they arrive without being routed.
            bundle::SOUTH
                if kind == TileKind::Shim && side == Side::Destination && channel == 0 =>
            {
                return Ok(None);
            }
            bundle::SOUTH if kind == TileKind::Shim => {
                self.behind_shim(tile, channel, direction, op.span)?
            }
            _ => {
                return Err(self.error(
                    op.span,
                    format!(
                        "{} has no such port for a stream to begin or end at",
                        self.place(tile)
                    ),
                    "DMA, Core, Trace and TileControl are ports",
                ));
            }
        };
        Ok(Some(port))
    }

    /// The shim's DMA as its switchbox sees it, through the shim's multiplexer.
    pub(super) fn behind_shim(
        &mut self,
        tile: TileId,
        wire: u32,
        direction: Direction,
        span: Span,
    ) -> Result<Port> {
        let number = match (direction, wire) {
            (Direction::Mm2s, 3) | (Direction::S2mm, 2) => 0,
            (Direction::Mm2s, 7) | (Direction::S2mm, 3) => 1,
            _ => {
                return Err(self.error(
                    span,
                    "nothing is behind that wire of the shim",
                    "the DMA's outputs are South 3 and 7, its inputs South 2 and 3",
                ));
            }
        };
        self.channel(tile, direction, number, "", span).map(Port::Dma)
    }

    /// A port cannot take two circuits, nor a circuit beside packets.
    pub(super) fn check_flows(&self) -> Result<()> {
        let mut taken: BTreeMap<Port, &Flow> = BTreeMap::new();
        let circuits = self.net.flows.iter().filter(|flow| flow.packet.is_none());
        let packets = self.net.flows.iter().filter(|flow| flow.packet.is_some());
        for flow in circuits.chain(packets) {
            for &port in &flow.destinations {
                let before = taken.insert(port, flow);
                if let Some(before) = before
                    && before.packet.is_none()
                {
                    return Err(self.error(
                        flow.span,
                        format!("two streams end at {}", self.port_name(port)),
                        "only packet flows can share a port",
                    ));
                }
            }
        }
        Ok(())
    }

    fn port_name(&self, port: Port) -> String {
        match port {
            Port::Dma(channel) => {
                let channel = &self.net.channels[channel.index()];
                let direction = if channel.direction == Direction::S2mm { "S2MM" } else { "MM2S" };
                format!("{direction} {} of {}", channel.number, self.place(channel.tile))
            }
            Port::Core(tile, _) => format!("the core of {}", self.place(tile)),
            Port::Control(tile) => format!("the control port of {}", self.place(tile)),
            Port::Trace(tile, _) => format!("the trace unit of {}", self.place(tile)),
        }
    }
}
