//! Buffers: their bytes, which of these were ever written, and who uses them now.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

use super::pattern::{Cursor, Run, bounds};
use super::value::PlaceId;
use crate::netlist::{ChannelId, Descriptor};
use crate::text::Span;

/// Core kernels load vectors from multiples of 64 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Lines before and behind each buffer that nothing may write.
const GUARD: usize = 1;
const GUARD_BYTE: u8 = 0xa5;
/// What uninitialised memory holds: as a float a NaN, as an integer far off.
const UNINITIALISED: u8 = 0xff;

/// Who uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Channel(ChannelId),
    /// A core, by its index in the netlist.
    Core(u32),
}

/// A use of a buffer that takes time.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) party: Party,
    pub(super) writes: bool,
    /// Bytes that may be touched.
    pub(super) range: (u64, u64),
    /// What is touched exactly, if it is a transfer; with its iteration.
    pub(super) transfer: Option<(Arc<Descriptor>, u64)>,
    pub(super) span: Span,
}

/// One buffer.
pub(super) struct Place {
    pub(super) name: String,
    lines: Vec<Line>,
    bytes: usize,
    /// One bit per byte that was written; empty when all were.
    unwritten: Vec<u64>,
    uses: Vec<Use>,
}

impl Place {
    /// A buffer with its contents, or uninitialised.
    pub(super) fn new(name: String, bytes: usize, initial: Option<&[u8]>) -> Self {
        let count = bytes.div_ceil(64) + 2 * GUARD;
        let mut place = Self {
            name,
            lines: vec![Line([GUARD_BYTE; 64]); count],
            bytes,
            unwritten: Vec::new(),
            uses: Vec::new(),
        };
        match initial {
            Some(initial) => {
                let target = place.bytes_mut();
                let length = initial.len().min(target.len());
                target[..length].copy_from_slice(&initial[..length]);
                target[length..].fill(0);
            }
            None => {
                place.bytes_mut().fill(UNINITIALISED);
                place.unwritten = vec![u64::MAX; bytes.div_ceil(64)];
            }
        }
        place
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[GUARD * 64..GUARD * 64 + self.bytes]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let end = GUARD * 64 + self.bytes;
        &mut bytemuck::cast_slice_mut(&mut self.lines)[GUARD * 64..end]
    }

    /// Bytes from the end at which something wrote around the buffer; puts the guard right again.
    pub(super) fn broken_guard(&mut self) -> Option<i64> {
        let (start, end) = (GUARD * 64, GUARD * 64 + self.bytes);
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut self.lines);
        let before = all[..start].iter().rposition(|&byte| byte != GUARD_BYTE);
        let behind = all[end..].iter().position(|&byte| byte != GUARD_BYTE);
        let broken = behind
            .map(|at| at as i64)
            .or_else(|| before.map(|at| at as i64 - (start + self.bytes) as i64));
        if broken.is_some() {
            all[..start].fill(GUARD_BYTE);
            all[end..].fill(GUARD_BYTE);
        }
        broken
    }

    /// Whether all of a range was written.
    pub(super) fn written(&self, start: usize, end: usize) -> bool {
        self.unwritten.is_empty()
            || (start..end.min(self.bytes))
                .all(|at| self.unwritten[at / 64] & (1 << (at % 64)) == 0)
    }

    /// Whether every byte was written.
    pub(super) fn all_written(&self) -> bool {
        self.unwritten.is_empty()
    }

    /// Notes that a range was written.
    pub(super) fn mark(&mut self, start: usize, end: usize, written: bool) {
        if self.unwritten.is_empty() && written {
            return;
        }
        if self.unwritten.is_empty() {
            self.unwritten = vec![0; self.bytes.div_ceil(64)];
        }
        let end = end.min(self.bytes);
        let mut at = start;
        while at < end {
            let (word, bit) = (at / 64, at % 64);
            let count = (64 - bit).min(end - at);
            let mask = (u64::MAX >> (64 - count)) << bit;
            match written {
                true => self.unwritten[word] &= !mask,
                false => self.unwritten[word] |= mask,
            }
            at += count;
        }
        if written && self.tail_cleared() {
            self.unwritten = Vec::new();
        }
    }

    fn tail_cleared(&self) -> bool {
        let Some((last, words)) = self.unwritten.split_last() else { return true };
        // Looked at from the end: buffers are mostly filled from the beginning.
        let rest = self.bytes - words.len() * 64;
        let mask = if rest == 64 { u64::MAX } else { (1 << rest) - 1 };
        last & mask == 0 && words.iter().rev().all(|&word| word == 0)
    }

    /// Notes a use; gives one that it must not go along with.
    pub(super) fn begin(&mut self, new: Use) -> Option<Use> {
        let conflict = self.uses.iter().find(|old| clash(old, &new)).cloned();
        self.uses.push(new);
        conflict
    }

    /// A use that a short access must not go along with.
    pub(super) fn conflict(&self, party: Party, range: (u64, u64), writes: bool) -> Option<&Use> {
        if self.uses.is_empty() {
            return None;
        }
        let new = Use { party, writes, range, transfer: None, span: Span::default() };
        self.uses.iter().find(|old| clash(old, &new))
    }

    /// Whether anybody uses it.
    pub(super) fn in_use(&self) -> bool {
        !self.uses.is_empty()
    }

    /// Ends the uses of a party.
    pub(super) fn end(&mut self, party: Party) {
        self.uses.retain(|old| old.party != party);
    }
}

/// Whether two uses touch the same bytes and one of them writes.
fn clash(a: &Use, b: &Use) -> bool {
    let apart = a.party == b.party
        || !(a.writes || b.writes)
        || a.range.0 >= b.range.1
        || b.range.0 >= a.range.1;
    if apart {
        return false;
    }
    match (&a.transfer, &b.transfer) {
        (Some((a, at)), Some((b, bt))) => {
            let ranges = ranges(a, *at);
            walk(b, *bt).any(|range| touches(&ranges, range))
        }
        (Some((transfer, iteration)), None) => {
            walk(transfer, *iteration).any(|range| touches(&[b.range], range))
        }
        (None, Some((transfer, iteration))) => {
            walk(transfer, *iteration).any(|range| touches(&[a.range], range))
        }
        (None, None) => true,
    }
}

fn walk(descriptor: &Descriptor, iteration: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut cursor = Cursor::new(descriptor, iteration);
    std::iter::from_fn(move || {
        loop {
            match cursor.next(u64::MAX)? {
                Run::Bytes { offset, length } => return Some((offset, offset + length)),
                Run::Padding { .. } => {}
            }
        }
    })
}

/// Sorted ranges that a transfer touches.
fn ranges(descriptor: &Descriptor, iteration: u64) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = walk(descriptor, iteration).collect();
    ranges.sort_unstable();
    ranges
}

/// Whether one of sorted, mostly disjoint ranges overlaps with another.
fn touches(ranges: &[(u64, u64)], range: (u64, u64)) -> bool {
    let end = ranges.partition_point(|&(start, _)| start < range.1);
    // Ranges of one transfer have one length, so the last that begins before is the one to see.
    ranges[..end].last().is_some_and(|&(_, end)| end > range.0)
}

/// The use of a place by a transfer.
pub(super) fn transfer_use(
    channel: ChannelId,
    writes: bool,
    descriptor: &Arc<Descriptor>,
    iteration: u64,
) -> Use {
    let range = bounds(descriptor, iteration);
    // A contiguous one is exact as it is.
    let transfer = (!descriptor.steps.is_empty()).then(|| (Arc::clone(descriptor), iteration));
    Use { party: Party::Channel(channel), writes, range, transfer, span: descriptor.span }
}

/// All places of an array.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) places: Vec<Place>,
}

impl Memory {
    pub(super) fn place(&self, id: PlaceId) -> &Place {
        &self.places[id.0 as usize]
    }

    pub(super) fn place_mut(&mut self, id: PlaceId) -> &mut Place {
        &mut self.places[id.0 as usize]
    }
}

impl Memory {
    /// Parts of places, which must not overlap, in the order of asking.
    pub(super) fn parts(
        &mut self,
        parts: impl Iterator<Item = (PlaceId, usize, usize)>,
    ) -> impl Iterator<Item = &mut [u8]> {
        let mut wanted: Vec<(usize, PlaceId, usize, usize)> =
            parts.enumerate().map(|(i, (place, start, end))| (i, place, start, end)).collect();
        wanted.sort_unstable_by_key(|&(_, place, start, _)| (place, start));
        let mut slices: Vec<(usize, &mut [u8])> = Vec::with_capacity(wanted.len());
        let mut wanted = wanted.into_iter().peekable();
        for (at, place) in self.places.iter_mut().enumerate() {
            if wanted.peek().is_none_or(|&(_, place, ..)| place.0 as usize != at) {
                continue;
            }
            let mut rest = place.bytes_mut();
            let mut taken = 0;
            while let Some((i, _, start, end)) =
                wanted.next_if(|&(_, place, ..)| place.0 as usize == at)
            {
                // `start` is not before `taken`: they do not overlap.
                let (_, tail) = rest.split_at_mut(start.saturating_sub(taken).min(rest.len()));
                let (slice, tail) = tail.split_at_mut((end - start).min(tail.len()));
                slices.push((i, slice));
                rest = tail;
                taken = end;
            }
        }
        slices.sort_unstable_by_key(|&(i, _)| i);
        slices.into_iter().map(|(_, slice)| slice)
    }
}
