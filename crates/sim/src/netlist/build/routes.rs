//! Flows of designs that are routed already: switchboxes with their connections.
//!
//! A wire leaves one switchbox and enters the next; following the wires from every port that sends
//! gives back the flows. Packets are followed one id at a time, as rules sort them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Builder, Result, bundle, entry};
use crate::netlist::{Direction, Flow, Port, TileId, TileKind};
use crate::text::{Op, Span, ValueId};

/// One end of a wire at a switchbox: bundle and number.
type Wire = (u32, u32);

/// A wire into the switchbox of a tile.
type Input = (TileId, Wire);

/// Ids that a packet can have.
const IDS: u32 = 32;

/// What the switchboxes of a device do.
#[derive(Default)]
struct Switches {
    /// Circuits by the wire that comes in.
    circuits: BTreeMap<Input, Vec<Wire>>,
    /// Rules by the wire that comes in, in order: mask, value, and the arbiter that they choose.
    rules: BTreeMap<Input, Vec<(u32, u32, ValueId)>>,
    /// Wires that an arbiter feeds, and whether they keep the header.
    arbiters: BTreeMap<ValueId, Vec<(Wire, bool)>>,
    /// The shims' multiplexers: wires from the array to what is behind them, and back.
    multiplexers: BTreeMap<Input, Wire>,
    /// Where each wire comes in.
    spans: BTreeMap<Input, Span>,
}

impl Builder<'_> {
    /// Adds the flows that switchboxes make.
    pub(super) fn routes(&mut self) -> Result<()> {
        let switches = self.switches()?;
        let inputs: BTreeSet<Input> =
            switches.circuits.keys().chain(switches.rules.keys()).copied().collect();
        for input in inputs {
            let span = switches.spans.get(&input).copied().unwrap_or_default();
            let Some(source) = self.sender(&switches, input, span)? else { continue };
            if switches.circuits.contains_key(&input) {
                for (destination, _) in self.follow(&switches, input, None, span)? {
                    self.circuit(source, destination, span);
                }
            }
            for id in 0..IDS {
                let reached = self.follow(&switches, input, Some(id), span)?;
                let Some(&(_, keep_header)) = reached.first() else { continue };
                let destinations = reached.into_iter().map(|(port, _)| port).collect();
                let packet = Some(id);
                self.net.flows.push(Flow { source, destinations, packet, keep_header, span });
            }
        }
        Ok(())
    }

    fn switches(&self) -> Result<Switches> {
        let mut switches = Switches::default();
        for op in self.body {
            let multiplexer = match op.name.as_str() {
                "aie.switchbox" => false,
                "aie.shim_mux" => true,
                _ => continue,
            };
            let tile = self.tile_operand(op, 0)?;
            for op in op.regions.iter().flat_map(entry) {
                match op.name.as_str() {
                    "aie.connect" => {
                        let from = (tile, self.wire(op, ["source_bundle", "source_channel"])?);
                        let to = self.wire(op, ["dest_bundle", "dest_channel"])?;
                        if multiplexer {
                            switches.multiplexers.insert(from, to);
                        } else {
                            switches.circuits.entry(from).or_default().push(to);
                            switches.spans.insert(from, op.span);
                        }
                    }
                    "aie.packet_rules" => {
                        let from = (tile, self.wire(op, ["source_bundle", "source_channel"])?);
                        switches.spans.insert(from, op.span);
                        let rules = switches.rules.entry(from).or_default();
                        for rule in op.regions.iter().flat_map(entry) {
                            if rule.name == "aie.rule" {
                                let arbiter = self.operand(rule, 0)?;
                                let (mask, value) =
                                    (self.byte(rule, "mask")?, self.byte(rule, "value")?);
                                rules.push((mask, value, arbiter));
                            }
                        }
                    }
                    "aie.masterset" => {
                        let to = self.wire(op, ["dest_bundle", "dest_channel"])?;
                        for &arbiter in &op.operands {
                            let keeps = op.flag("keep_pkt_header");
                            switches.arbiters.entry(arbiter).or_default().push((to, keeps));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(switches)
    }

    fn wire(&self, op: &Op, [bundle, channel]: [&str; 2]) -> Result<Wire> {
        Ok((self.number(op, bundle)?, self.number(op, channel)?))
    }

    /// An `i8`, which text may write as a negative number.
    fn byte(&self, op: &Op, name: &str) -> Result<u32> {
        let value: i32 = self.number(op, name)?;
        Ok(value as u32 & 0xff)
    }

    /// The port behind a wire that nothing else feeds; none for a wire between switchboxes.
    fn sender(
        &mut self,
        switches: &Switches,
        (tile, wire): Input,
        span: Span,
    ) -> Result<Option<Port>> {
        let (bundle, number) = wire;
        if self.kind(tile) == TileKind::Shim && bundle == bundle::SOUTH {
            let behind = (switches.multiplexers.iter())
                .find(|((shim, _), to)| *shim == tile && **to == (bundle::NORTH, number))
                .map(|((_, from), _)| *from);
            return match behind {
                Some((bundle::DMA, number)) => self
                    .channel(tile, Direction::Mm2s, number, "", span)
                    .map(|id| Some(Port::Dma(id))),
                Some(_) => Ok(None),
                None => self.behind_shim(tile, number, Direction::Mm2s, span).map(Some),
            };
        }
        self.array_port(tile, wire, Direction::Mm2s, span)
    }

    /// The port that a wire ends in, if it ends here.
    fn receiver(
        &mut self,
        switches: &Switches,
        tile: TileId,
        wire: Wire,
        span: Span,
    ) -> Result<Option<Port>> {
        let (bundle, number) = wire;
        if self.kind(tile) == TileKind::Shim && bundle == bundle::SOUTH {
            return match switches.multiplexers.get(&(tile, (bundle::NORTH, number))) {
                Some((bundle::DMA, number)) => self
                    .channel(tile, Direction::S2mm, *number, "", span)
                    .map(|id| Some(Port::Dma(id))),
                // Task-complete tokens leave the array here.
                _ if number == 0 => Ok(None),
                Some(_) => Ok(None),
                None => self.behind_shim(tile, number, Direction::S2mm, span).map(Some),
            };
        }
        self.array_port(tile, wire, Direction::S2mm, span)
    }

    fn array_port(
        &mut self,
        tile: TileId,
        (bundle, number): Wire,
        direction: Direction,
        span: Span,
    ) -> Result<Option<Port>> {
        Ok(match bundle {
            bundle::DMA => Some(Port::Dma(self.channel(tile, direction, number, "", span)?)),
            bundle::CORE => Some(Port::Core(tile, number)),
            bundle::TRACE => Some(Port::Trace(tile, number)),
            bundle::CONTROL => Some(Port::Control(tile)),
            _ => None,
        })
    }

    /// Every port that a stream reaches from a wire on, and whether it sees headers there.
    fn follow(
        &mut self,
        switches: &Switches,
        from: Input,
        packet: Option<u32>,
        span: Span,
    ) -> Result<Vec<(Port, bool)>> {
        let mut reached = Vec::new();
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![(from, packet.is_none())];
        while let Some((input, circuit)) = open.pop() {
            let outputs = self.outputs(switches, input, packet, circuit);
            for (wire, keeps) in outputs {
                let (tile, _) = input;
                if let Some(port) = self.receiver(switches, tile, wire, span)? {
                    reached.push((port, keeps));
                } else if let Some(next) = self.next_input(tile, wire)
                    && seen.insert(next)
                {
                    // A packet may go on as one in a circuit.
                    let circuit = switches.circuits.contains_key(&next);
                    open.push((next, circuit));
                }
            }
        }
        reached.sort_unstable_by_key(|&(port, _)| port);
        Ok(reached)
    }

    fn outputs(
        &self,
        switches: &Switches,
        input: Input,
        packet: Option<u32>,
        circuit: bool,
    ) -> Vec<(Wire, bool)> {
        if circuit {
            let outputs = switches.circuits.get(&input).into_iter().flatten();
            return outputs.map(|&wire| (wire, false)).collect();
        }
        let Some(id) = packet else { return Vec::new() };
        let rules = switches.rules.get(&input);
        let rule = rules.into_iter().flatten().find(|(mask, value, _)| id & mask == *value);
        let arbiter = rule.and_then(|(_, _, arbiter)| switches.arbiters.get(arbiter));
        arbiter.cloned().unwrap_or_default()
    }

    /// The wire into the next switchbox that a wire out of one is.
    fn next_input(&self, tile: TileId, (bundle, number): Wire) -> Option<Input> {
        let here = self.net.tile(tile);
        let (column, row, side) = match bundle {
            bundle::NORTH => (here.column, here.row + 1, bundle::SOUTH),
            bundle::SOUTH => (here.column, here.row.checked_sub(1)?, bundle::NORTH),
            bundle::EAST => (here.column + 1, here.row, bundle::WEST),
            bundle::WEST => (here.column.checked_sub(1)?, here.row, bundle::EAST),
            _ => return None,
        };
        let next = self.places.get(&(column, row))?;
        Some((*next, (side, number)))
    }
}
