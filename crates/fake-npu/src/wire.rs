//! What is said over the socket; the other side is `preload/lib.rs`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// What the program calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A connection that stays until the process ends.
    Hello,
    /// May the node be opened?
    Open,
    /// A DRM call: its number, and where its argument is.
    Ioctl {
        /// With the size of the argument.
        request: u32,
        /// In the memory of the process.
        argument: u64,
    },
    /// May memory of the device be mapped?
    Mmap {
        /// Bytes.
        length: u64,
    },
}

/// One process's side of a call: its number and its memory.
#[derive(Debug)]
pub(crate) struct User {
    stream: UnixStream,
    /// The process.
    pub(crate) process: u32,
}

const DONE: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

impl User {
    /// Reads what is called for.
    pub(crate) fn accept(mut stream: UnixStream) -> io::Result<(Self, Call)> {
        let mut request = [0; 24];
        stream.read_exact(&mut request)?;
        let (head, numbers) = request.split_at(8);
        let head: [u32; 2] = bytemuck::pod_read_unaligned(head);
        let [a, b]: [u64; 2] = bytemuck::pod_read_unaligned(numbers);
        let call = match head[0] {
            0 => Call::Hello,
            1 => Call::Open,
            2 => Call::Ioctl { request: a as u32, argument: b },
            3 => Call::Mmap { length: a },
            other => return Err(io::Error::other(format!("there is no call {other}"))),
        };
        Ok((Self { stream, process: head[1] }, call))
    }

    /// Copies from the memory of the process.
    pub(crate) fn read(&mut self, address: u64, length: usize) -> io::Result<Vec<u8>> {
        if length == 0 {
            return Ok(Vec::new());
        }
        self.say(READ, address, length as u64)?;
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Copies to the memory of the process.
    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.say(WRITE, address, bytes.len() as u64)?;
        self.stream.write_all(bytes)
    }

    /// Answers the call: a result, or a negative error number.
    pub(crate) fn done(&mut self, result: i64) -> io::Result<()> {
        self.say(DONE, result as u64, 0)
    }

    /// Comes back when the process is gone.
    pub(crate) fn outlive(mut self) {
        let _ = self.done(0);
        let mut byte = [0];
        while matches!(self.stream.read(&mut byte), Ok(1..)) {}
    }

    fn say(&mut self, kind: u8, first: u64, second: u64) -> io::Result<()> {
        let mut head = vec![kind];
        head.extend(first.to_le_bytes());
        head.extend(second.to_le_bytes());
        self.stream.write_all(&head)
    }
}
