//! Who waits for what, when nothing goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::array::Array;
use super::core::Waiting;
use super::dma::Phase;
use super::memory::Party;
use super::program::Instruction;
use crate::netlist::{ChannelId, Direction, LockId, Port};

/// Somebody who waits, or whom somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Sequence,
    Core(u32),
    Channel(ChannelId),
}

/// Lines of a report beyond the chain.
const MAX_OTHERS: usize = 24;

impl Array {
    /// A report on a hang: the chain of waits from the sequence on, with its cycle if it has one,
    /// and all others that wait.
    pub(super) fn hang_report(&self, sequence: &str) -> String {
        let position = self.position(self.controller.span());
        let spins = self.cores.iter().any(|core| core.waiting == Waiting::Nothing);
        let what = if spins { "nothing but cores' loops" } else { "nothing" };
        let mut report = format!(
            "{position}: hang: sequence `{sequence}` cannot go on, {what} moves after {} cycles",
            self.now
        );
        let mut seen: BTreeMap<Node, usize> = BTreeMap::new();
        let mut chain: Vec<Node> = Vec::new();
        let mut node = Some(Node::Sequence);
        let mut cycle = None;
        while let Some(current) = node {
            if let Some(&at) = seen.get(&current) {
                cycle = Some(at);
                break;
            }
            seen.insert(current, chain.len());
            chain.push(current);
            let (text, next) = self.wait_of(current);
            let _ = write!(report, "\n  {}: {text}", self.node_name(current));
            // Of several who could help, one that waits itself explains more.
            let waits = |node: &Node| !seen.contains_key(node) && !self.wait_of(*node).1.is_empty();
            node = next
                .iter()
                .copied()
                .find(|node| seen.contains_key(node))
                .or_else(|| next.iter().copied().find(waits))
                .or_else(|| next.first().copied());
        }
        if let Some(at) = cycle {
            let names: Vec<String> = chain[at..].iter().map(|&n| self.node_name(n)).collect();
            let _ = write!(report, "\n  a cycle: {} → {}", names.join(" → "), names[0]);
        }
        self.others(&mut report, &chain.into_iter().collect());
        report
    }

    /// Everybody else who waits in the middle of something.
    fn others(&self, report: &mut String, chain: &BTreeSet<Node>) {
        let cores = (0..self.cores.len() as u32).map(Node::Core);
        let channels = (0..self.channels.len() as u32).map(|i| Node::Channel(ChannelId(i)));
        let waiting = cores.chain(channels).filter(|node| {
            !chain.contains(node)
                && match node {
                    Node::Core(core) => self.cores[*core as usize].waiting != Waiting::Ended,
                    Node::Channel(channel) => self.channels[channel.index()].running.is_some(),
                    Node::Sequence => false,
                }
        });
        let all: Vec<Node> = waiting.collect();
        if all.is_empty() {
            return;
        }
        report.push_str("\n  also waiting:");
        for &node in all.iter().take(MAX_OTHERS) {
            let (text, _) = self.wait_of(node);
            let _ = write!(report, "\n    {}: {text}", self.node_name(node));
        }
        if all.len() > MAX_OTHERS {
            let _ = write!(report, "\n    and {} more", all.len() - MAX_OTHERS);
        }
    }

    fn node_name(&self, node: Node) -> String {
        match node {
            Node::Sequence => "the sequence".to_owned(),
            Node::Core(core) => self.party_name(Party::Core(core)),
            Node::Channel(channel) => self.channel_name(channel),
        }
    }

    /// What a node waits for, in words, and who could bring it.
    fn wait_of(&self, node: Node) -> (String, Vec<Node>) {
        match node {
            Node::Sequence => {
                let channels = &self.controller.waits_for;
                let names: Vec<String> =
                    channels.iter().map(|&channel| self.channel_name(channel)).collect();
                let line = self.line(self.controller.span());
                let text = format!("{line} waits for a token of {}", names.join(" and "));
                (text, channels.iter().map(|&channel| Node::Channel(channel)).collect())
            }
            Node::Core(core) => self.wait_of_core(core),
            Node::Channel(channel) => self.wait_of_channel(channel),
        }
    }

    fn wait_of_core(&self, core: u32) -> (String, Vec<Node>) {
        let state = &self.cores[core as usize];
        let line = self.line(state.thread.span());
        match state.waiting {
            Waiting::Lock(lock, count) => {
                let name = match state.thread.program.code.get(state.thread.pc) {
                    Some(Instruction::FifoAcquire { end, count, .. }) => {
                        let (name, port) = &state.thread.program.ends[*end as usize];
                        format!("acquires {count} of objectfifo `{name}` ({port:?}): ")
                    }
                    _ => String::new(),
                };
                let (text, next) = self.wait_of_lock(lock, count, Party::Core(core));
                (format!("{line} {name}{text}"), next)
            }
            Waiting::Stream(port) => {
                let next = self.across(port);
                (format!("{line} waits for its stream port"), next)
            }
            Waiting::Ended => ("its program has ended".to_owned(), Vec::new()),
            Waiting::Nothing => (format!("{line} runs"), Vec::new()),
        }
    }

    fn wait_of_channel(&self, id: ChannelId) -> (String, Vec<Node>) {
        let state = &self.channels[id.index()];
        let Some(running) = &state.running else {
            let text = match self.netlist.channels[id.index()].tasks.is_empty() {
                true => "has no task: what was sent to it is done, or nothing was sent".to_owned(),
                false => "has done all its tasks".to_owned(),
            };
            return (text, Vec::new());
        };
        let descriptor = &self.descriptors[running.descriptor].descriptor;
        let line = self.line(descriptor.span);
        if running.phase == Phase::Locked {
            let Some((lock, _, count)) = descriptor.acquire else {
                return (format!("{line} is about to begin"), Vec::new());
            };
            let (text, next) = self.wait_of_lock(lock, count, Party::Channel(id));
            return (format!("{line} {text}"), next);
        }
        let left = running.cursor.remaining();
        let port = Port::Dma(id);
        let next = self.across(port);
        let text = match self.direction(id) {
            _ if next.is_empty() && !self.at_port.contains_key(&port) => {
                format!("{line} has {left} bytes to move, and no flow connects it")
            }
            Direction::S2mm => format!("{line} waits for {left} more bytes to arrive"),
            Direction::Mm2s => format!("{line} has {left} bytes to send that are not taken"),
        };
        (text, next)
    }

    /// Those at the other ends of a port's flows: who keep it from going on come first.
    fn across(&self, port: Port) -> Vec<Node> {
        let mut nodes = Vec::new();
        for &flow in self.at_port.get(&port).into_iter().flatten() {
            let flow = &self.netlist.flows[flow as usize];
            for other in std::iter::once(&flow.source).chain(&flow.destinations) {
                let node = match *other {
                    Port::Dma(id) => Node::Channel(id),
                    Port::Core(tile, _) => {
                        match self.netlist.cores.iter().position(|core| core.tile == tile) {
                            Some(core) => Node::Core(core as u32),
                            None => continue,
                        }
                    }
                    Port::Control(_) | Port::Trace(..) => continue,
                };
                if *other != port && !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
        }
        // One that is ready to stream does not hold the others up.
        nodes.sort_by_key(|node| match node {
            Node::Channel(id) => self.channels[id.index()]
                .running
                .as_ref()
                .is_some_and(|running| running.phase == Phase::Streaming),
            _ => false,
        });
        nodes
    }

    fn wait_of_lock(&self, lock: LockId, count: i32, waiter: Party) -> (String, Vec<Node>) {
        let name = &self.netlist.locks[lock.index()].name;
        let value = self.locks[lock.index()];
        let who: Vec<Node> = self
            .releasers(lock)
            .into_iter()
            .filter(|&node| match waiter {
                Party::Core(core) => node != Node::Core(core),
                Party::Channel(channel) => node != Node::Channel(channel),
            })
            .collect();
        let mut text = format!("waits for lock `{name}` to be {count}, it is {value}");
        match who.as_slice() {
            [] => text.push_str("; nobody else releases it"),
            who => {
                let names: Vec<String> =
                    who.iter().take(4).map(|&node| self.node_name(node)).collect();
                let _ = write!(text, "; released by {}", names.join(", "));
                if who.len() > 4 {
                    let _ = write!(text, " and {} more", who.len() - 4);
                }
            }
        }
        (text, who)
    }

    /// Everybody whose program or descriptors release a lock.
    fn releasers(&self, lock: LockId) -> Vec<Node> {
        let mut nodes = Vec::new();
        for (i, core) in self.cores.iter().enumerate() {
            let program = &core.thread.program;
            let releases = program.code.iter().any(|instruction| match instruction {
                Instruction::Release { lock: released, .. } => *released == lock,
                Instruction::FifoRelease { end, .. } => {
                    let key = &program.ends[*end as usize];
                    let end = self.netlist.cores[i].ends.get(key);
                    end.is_some_and(|end| end.release == Some(lock))
                }
                _ => false,
            });
            if releases {
                nodes.push(Node::Core(i as u32));
            }
        }
        for (i, channel) in self.channels.iter().enumerate() {
            let tasks = channel.queue.iter().chain(channel.running.iter().map(|r| &r.task));
            let releases = tasks.into_iter().any(|task| {
                self.chain(task.first).into_iter().any(|at| {
                    self.descriptors[at].descriptor.release.is_some_and(|(l, _)| l == lock)
                })
            });
            if releases {
                nodes.push(Node::Channel(ChannelId(i as u32)));
            }
        }
        nodes
    }
}
