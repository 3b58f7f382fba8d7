//! Buffers: in the file that poses as the node, where programs map them, and as the device sees them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::uapi::{INVALID_ADDRESS, Kind, errno};

const PAGE: u64 = 4096;
/// Where the device sees the heap. Source: `AIE2_DEVM_BASE` of the driver.
const HEAP_BASE: u64 = 0x0400_0000;
/// Where it sees other buffers: beyond any heap, at the places that they have in the file.
const BASE: u64 = 0x1_0000_0000;
/// Size of the file, all of it a hole until it is written to.
const FILE: u64 = 1 << 36;
/// What memory of the device holds before anything is put there.
const UNWRITTEN: u8 = 0xa5;

/// A buffer.
#[derive(Debug)]
struct Object {
    kind: Kind,
    size: u64,
    /// Where it is in the file.
    offset: u64,
    /// Where the device sees it.
    address: u64,
    /// What the device sees, when that may differ from what the program sees: what was synchronised,
    /// and what the device wrote.
    device: Option<Vec<u8>>,
}

/// The file, of which every buffer of every process is a part.
#[derive(Debug)]
pub(crate) struct Memory {
    file: File,
    /// Where the file is not used yet. Nothing is given back: a test ends soon.
    free: u64,
    /// Whether what is not synchronised is not seen.
    caches: bool,
}

/// The buffers of one process.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    objects: BTreeMap<u32, Object>,
    last: u32,
}

/// Where a part of a buffer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    handle: u32,
    offset: u64,
    length: usize,
}

impl Part {
    /// A word of it, by its byte.
    pub(crate) fn word(self, at: usize) -> Option<Self> {
        let inside = at + 4 <= self.length;
        inside.then_some(Self { offset: self.offset + at as u64, length: 4, ..self })
    }
}

impl Memory {
    pub(crate) fn new(file: File, caches: bool) -> io::Result<Self> {
        file.set_len(FILE)?;
        Ok(Self { file, free: 0, caches })
    }

    fn take(&mut self, size: u64, alignment: u64) -> Result<u64, i64> {
        let offset = self.free.next_multiple_of(alignment);
        let end = offset.checked_add(size).filter(|&end| end <= FILE).ok_or(errno::EINVAL)?;
        self.free = end.next_multiple_of(PAGE);
        Ok(offset)
    }

    fn host(&self, object: &Object, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, object.offset + offset)?;
        Ok(bytes)
    }
}

impl Buffers {
    /// Makes a buffer and says its handle.
    pub(crate) fn create(
        &mut self,
        memory: &mut Memory,
        kind: Kind,
        size: u64,
    ) -> Result<u32, i64> {
        if size == 0 {
            return Err(errno::EINVAL);
        }
        let size = size.next_multiple_of(PAGE);
        let (offset, address) = match kind {
            Kind::Share | Kind::Command => {
                let offset = memory.take(size, PAGE)?;
                (offset, BASE + offset)
            }
            Kind::Heap if self.heap().is_some() => return Err(errno::EINVAL),
            Kind::Heap => (memory.take(size, PAGE)?, HEAP_BASE),
            Kind::Device => self.in_heap(size).ok_or(errno::EAGAIN)?,
        };
        let sees = memory.caches && matches!(kind, Kind::Share | Kind::Device);
        let device = sees.then(|| vec![UNWRITTEN; size as usize]);
        self.last += 1;
        self.objects.insert(self.last, Object { kind, size, offset, address, device });
        Ok(self.last)
    }

    fn heap(&self) -> Option<&Object> {
        self.objects.values().find(|object| object.kind == Kind::Heap)
    }

    /// The first gap of the heap: place in the file and address.
    fn in_heap(&self, size: u64) -> Option<(u64, u64)> {
        let heap = self.heap()?;
        let devices = self.objects.values().filter(|object| object.kind == Kind::Device);
        let mut taken: Vec<_> = devices.map(|object| (object.address, object.size)).collect();
        taken.sort_unstable();
        let mut address = heap.address;
        for (start, length) in taken {
            if start - address >= size {
                break;
            }
            address = start + length;
        }
        let place = address - heap.address;
        (place + size <= heap.size).then_some((heap.offset + place, address))
    }

    pub(crate) fn close(&mut self, handle: u32) -> Result<(), i64> {
        self.objects.remove(&handle).map(|_| ()).ok_or(errno::EINVAL)
    }

    /// Where it is to be mapped, and where the device sees it.
    pub(crate) fn places(&self, handle: u32) -> Result<(u64, u64), i64> {
        let object = self.objects.get(&handle).ok_or(errno::ENOENT)?;
        let map = if object.kind == Kind::Device { INVALID_ADDRESS } else { object.offset };
        Ok((map, object.address))
    }

    /// The whole of a buffer.
    pub(crate) fn whole(&self, handle: u32) -> Option<Part> {
        let length = self.objects.get(&handle)?.size as usize;
        Some(Part { handle, offset: 0, length })
    }

    /// The part of a buffer that the device sees at an address.
    pub(crate) fn at(&self, address: u64, length: usize) -> Option<Part> {
        self.objects.iter().find_map(|(&handle, object)| {
            let offset = address.checked_sub(object.address)?;
            let fits = object.kind != Kind::Heap && offset + length as u64 <= object.size;
            fits.then_some(Part { handle, offset, length })
        })
    }

    /// What the device sees.
    pub(crate) fn read(&self, memory: &Memory, part: Part) -> io::Result<Vec<u8>> {
        let object = self.object(part)?;
        let range = part.offset as usize..part.offset as usize + part.length;
        match &object.device {
            Some(device) => Ok(device[range].to_vec()),
            None => memory.host(object, part.offset, part.length),
        }
    }

    /// Writes as the device does.
    pub(crate) fn write(&mut self, memory: &Memory, part: Part, bytes: &[u8]) -> io::Result<()> {
        let start = part.offset as usize;
        match self.objects.get_mut(&part.handle) {
            Some(Object { device: Some(device), .. }) => {
                device[start..start + bytes.len()].copy_from_slice(bytes);
                Ok(())
            }
            _ => memory.file.write_all_at(bytes, self.object(part)?.offset + part.offset),
        }
    }

    /// Makes one side see what the other wrote.
    pub(crate) fn sync(
        &mut self,
        memory: &Memory,
        handle: u32,
        to_device: bool,
        offset: u64,
        size: u64,
    ) -> Result<(), i64> {
        let object = self.objects.get_mut(&handle).ok_or(errno::ENOENT)?;
        let end = offset.checked_add(size).filter(|&end| end <= object.size);
        let range = offset as usize..end.ok_or(errno::EINVAL)? as usize;
        let place = object.offset + offset;
        let done = match &mut object.device {
            None => Ok(()),
            Some(device) if to_device => memory.file.read_exact_at(&mut device[range], place),
            Some(device) => memory.file.write_all_at(&device[range], place),
        };
        done.map_err(|_| errno::EIO)
    }

    fn object(&self, part: Part) -> io::Result<&Object> {
        let gone = || io::Error::other("the buffer was closed while it was used");
        self.objects.get(&part.handle).ok_or_else(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(caches: bool) -> Memory {
        Memory::new(tempfile::tempfile().unwrap(), caches).unwrap()
    }

    #[test]
    fn the_heap_is_filled_and_used_again() {
        let (mut memory, mut buffers) = (memory(false), Buffers::default());
        assert_eq!(buffers.create(&mut memory, Kind::Device, 1), Err(errno::EAGAIN), "no heap yet");
        buffers.create(&mut memory, Kind::Heap, 3 * PAGE).unwrap();
        let [first, second, third] =
            [(); 3].map(|()| buffers.create(&mut memory, Kind::Device, PAGE).unwrap());
        assert_eq!(buffers.create(&mut memory, Kind::Device, 1), Err(errno::EAGAIN), "full");
        buffers.close(second).unwrap();
        let again = buffers.create(&mut memory, Kind::Device, 1).unwrap();
        assert_eq!(buffers.places(again), Ok((INVALID_ADDRESS, HEAP_BASE + PAGE)));
        assert_eq!(buffers.places(first).unwrap().1, HEAP_BASE);
        assert_eq!(buffers.places(third).unwrap().1, HEAP_BASE + 2 * PAGE);
    }

    #[test]
    fn the_device_sees_what_was_synchronised() {
        let (mut memory, mut buffers) = (memory(true), Buffers::default());
        let handle = buffers.create(&mut memory, Kind::Share, 2 * PAGE).unwrap();
        let (map, address) = buffers.places(handle).unwrap();
        memory.file.write_all_at(b"abcd", map).unwrap();
        let part = buffers.at(address, 4).unwrap();
        assert_eq!(buffers.read(&memory, part).unwrap(), [UNWRITTEN; 4]);
        buffers.sync(&memory, handle, true, 0, 2).unwrap();
        assert_eq!(buffers.read(&memory, part).unwrap(), [b'a', b'b', UNWRITTEN, UNWRITTEN]);
        buffers.write(&memory, part, b"1234").unwrap();
        let seen = || {
            let mut bytes = [0; 4];
            memory.file.read_exact_at(&mut bytes, map).unwrap();
            bytes
        };
        assert_eq!(&seen(), b"abcd", "the program has not asked yet");
        buffers.sync(&memory, handle, false, 2, 2).unwrap();
        assert_eq!(&seen(), b"ab34");
        assert_eq!(buffers.sync(&memory, handle, true, 0, 2 * PAGE + 1), Err(errno::EINVAL));
    }

    #[test]
    fn an_address_belongs_to_the_buffer_that_holds_all_of_the_part() {
        let (mut memory, mut buffers) = (memory(false), Buffers::default());
        let handle = buffers.create(&mut memory, Kind::Share, PAGE).unwrap();
        let address = buffers.places(handle).unwrap().1;
        assert!(buffers.at(address + 100, PAGE as usize - 100).is_some());
        assert!(buffers.at(address + 100, PAGE as usize - 99).is_none());
        assert!(buffers.at(address - 1, 1).is_none());
    }
}
