//! A source that comes only once, as from a pipe.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes from the beginning that can be gone back to: more than any header.
const KEPT: usize = 1 << 20;

/// A reader that can go back to its first bytes, and forward among them; it does not know its end.
pub(super) struct Pipe<R> {
    source: R,
    kept: Vec<u8>,
    /// Bytes that the source has given.
    taken: u64,
    position: u64,
}

impl<R: Read> Pipe<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, kept: Vec::new(), taken: 0, position: 0 }
    }

    /// Reads what the source has, at least a byte but at its end.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A pipe that breaks has ended.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break 0,
                result => break result?,
            }
        };
        let room = KEPT - self.kept.len();
        let new = buffer.get(..got.min(room)).unwrap_or_default();
        self.kept.extend_from_slice(new);
        self.taken += got as u64;
        Ok(got)
    }

    /// Brings the source to the position, if it is before it and what is between is kept.
    fn catch_up(&mut self) -> io::Result<bool> {
        let mut passed = [0; 4096];
        if self.taken < self.position && self.position > KEPT as u64 {
            return Ok(false);
        }
        while self.taken < self.position {
            let left = usize::try_from(self.position - self.taken).unwrap_or(usize::MAX);
            let want = left.min(passed.len());
            if self.take(passed.get_mut(..want).unwrap_or_default())? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<R: Read> Read for Pipe<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || !self.catch_up()? {
            return Ok(0);
        }
        let kept = usize::try_from(self.position).ok().and_then(|at| self.kept.get(at..));
        let got = match kept {
            Some(kept) if !kept.is_empty() => {
                let got = kept.len().min(buffer.len());
                buffer.iter_mut().zip(kept).for_each(|(to, from)| *to = *from);
                got
            }
            _ if self.position == self.taken => self.take(buffer)?,
            // Bytes that were not kept.
            _ => return Err(io::ErrorKind::NotSeekable.into()),
        };
        self.position += got as u64;
        Ok(got)
    }
}

impl<R: Read> Seek for Pipe<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(_) => return Err(io::ErrorKind::NotSeekable.into()),
        };
        self.position = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_can_be_read_again_and_the_rest_once() {
        let bytes: Vec<u8> = (0..3 << 20).map(|i: u32| (i % 251) as u8).collect();
        let mut pipe = Pipe::new(&bytes[..]);
        let mut word = [0; 4];
        pipe.seek(SeekFrom::Start(70_000)).unwrap();
        pipe.read_exact(&mut word).unwrap();
        assert_eq!(word, bytes[70_000..70_004]);
        pipe.seek(SeekFrom::Start(2)).unwrap();
        let mut rest = Vec::new();
        pipe.read_to_end(&mut rest).unwrap();
        assert!(rest == bytes[2..]);
        pipe.seek(SeekFrom::Start(2 << 20)).unwrap();
        assert!(pipe.read(&mut word).is_err());
        pipe.seek(SeekFrom::Start(9 << 20)).unwrap();
        assert_eq!(pipe.read(&mut word).unwrap(), 0);
    }
}
