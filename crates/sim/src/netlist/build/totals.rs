//! What a tile holds in the end: numbers of its descriptors, bytes of its memory.

use std::collections::BTreeMap;

use tilewright_codegen::device::limits;

use super::{Builder, Result};
use crate::netlist::{TileId, TileKind};

impl Builder<'_> {
    /// Gives every descriptor a number: as stated, or the lowest free one that its channel can use,
    /// as `--aie-assign-bd-ids` does.
    pub(super) fn number_descriptors(&mut self) -> Result<()> {
        let mut taken: BTreeMap<(TileId, u32), ()> = BTreeMap::new();
        for (descriptor, site) in self.net.descriptors.iter().zip(&self.sites) {
            let Some(number) = site.given else { continue };
            let count = limits(self.kind(descriptor.tile)).descriptors;
            if number as usize >= count {
                return Err(self.error(
                    descriptor.span,
                    format!("{} has no descriptor {number}", self.place(descriptor.tile)),
                    format!("they are numbered from 0 to {}", count - 1),
                ));
            }
            if !self.usable(descriptor.tile, site.channel, number) {
                return Err(self.error(
                    descriptor.span,
                    format!("channel {} cannot use descriptor {number}", site.channel),
                    "on a memtile the first half is for even channels, the second for odd ones",
                ));
            }
            if taken.insert((descriptor.tile, number), ()).is_some() {
                return Err(self.error(
                    descriptor.span,
                    format!("descriptor {number} of {} is taken", self.place(descriptor.tile)),
                    "leave bd_id out and it gets a free one",
                ));
            }
        }
        for index in 0..self.net.descriptors.len() {
            let (descriptor, site) = (&self.net.descriptors[index], &self.sites[index]);
            let tile = descriptor.tile;
            let number = match site.given {
                Some(number) => number,
                None => {
                    let count = limits(self.kind(tile)).descriptors as u32;
                    let free = (0..count).find(|&number| {
                        self.usable(tile, site.channel, number)
                            && !taken.contains_key(&(tile, number))
                    });
                    let Some(free) = free else {
                        return Err(self.error(
                            descriptor.span,
                            format!(
                                "{} has no descriptor left for channel {}",
                                self.place(tile),
                                site.channel
                            ),
                            "on a memtile half of the 48 are for even channels, half for odd ones",
                        ));
                    };
                    free
                }
            };
            taken.insert((tile, number), ());
            self.net.descriptors[index].number = number;
        }
        Ok(())
    }

    fn usable(&self, tile: TileId, channel: u32, number: u32) -> bool {
        let kind = self.kind(tile);
        let half = limits(kind).descriptors as u32 / 2;
        kind != TileKind::Memtile || (number < half) == channel.is_multiple_of(2)
    }

    /// Whether the buffers of each tile fit into its memory, beside the stack of its core.
    pub(super) fn check_memories(&mut self) -> Result<()> {
        let mut placed: BTreeMap<TileId, Vec<usize>> = BTreeMap::new();
        let mut used: BTreeMap<TileId, u64> = self.reserved.clone();
        for (index, buffer) in self.net.buffers.iter().enumerate() {
            if self.kind(buffer.tile) == TileKind::Shim {
                continue;
            }
            if buffer.address.is_some() {
                placed.entry(buffer.tile).or_default().push(index);
            } else {
                *used.entry(buffer.tile).or_default() += buffer.bytes as u64;
            }
        }
        for (tile, indices) in placed {
            *used.entry(tile).or_default() += self.placed_bytes(indices);
        }
        for (tile, used) in used {
            let memory = limits(self.kind(tile)).memory as u64;
            if used <= memory {
                continue;
            }
            let reserved = self.reserved.get(&tile).copied().unwrap_or(0);
            let largest = self
                .net
                .buffers
                .iter()
                .filter(|buffer| buffer.tile == tile)
                .max_by_key(|b| b.bytes);
            let span = largest.map_or(self.net.tile(tile).span, |buffer| buffer.span);
            let with_stack = if reserved > 0 {
                format!(", {reserved} of them for the stack")
            } else {
                String::new()
            };
            return Err(self.error(
                span,
                format!("{} has {memory} bytes and needs {used}{with_stack}", self.place(tile)),
                largest.map_or_else(String::new, |buffer| {
                    format!("the largest buffer is `{}`: {} bytes", buffer.name, buffer.bytes)
                }),
            ));
        }
        Ok(())
    }

    /// Bytes that buffers of one tile with given addresses cover, overlaps counted once.
    fn placed_bytes(&mut self, mut indices: Vec<usize>) -> u64 {
        let address =
            |this: &Self, index: usize| this.net.buffers[index].address.map_or(0, u64::from);
        indices.sort_by_key(|&index| address(self, index));
        let (mut end, mut covered) = (0_u64, 0_u64);
        for index in indices {
            let start = address(self, index);
            let to = start + self.net.buffers[index].bytes as u64;
            if start < end {
                let name = &self.net.buffers[index].name;
                let message = format!("`{name}` overlaps another buffer");
                self.warn(self.net.buffers[index].span, message);
            }
            covered += to.saturating_sub(start.max(end));
            end = end.max(to);
        }
        covered
    }
}
