//! Reads sound files through a pair of glasses that corrects the headers of WAV files.
//!
//! The decoder trusts the sizes in a WAV header, and programs that stream or crash write wrong
//! ones. [`Media`] shows it the file as it should be: the outer size unknown, so that the inner one
//! counts; every chunk that is not needed renamed to `JUNK`, so that mistakes in it do no harm; the
//! data of an unfinished header running to the end of the file; RF64 (WAV beyond 4 GB) as WAV.
//! Files of other kinds pass unchanged.
//!
//! What comes through a pipe has no end that is known beforehand, and programs that write WAV to one
//! cannot know it either: they write a size of 0, or one of the largest. There the data run to the end.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use symphonia::core::io::MediaSource;

use super::decode::{check_channels, check_rate};
use super::error::Problem;
use super::pipe::Pipe;

/// "Not known" in a 32-bit size.
const UNKNOWN: u32 = u32::MAX;

/// What programs that keep to signed numbers write instead, like `arecord` and `sox`.
const ENDLESS: RangeInclusive<u32> = 0x7FFF_F000..=0x8000_0000;

/// Chunks before the data of a WAV file that are looked at; real files have fewer than ten.
const MAX_CHUNKS: usize = 256;

/// A source with some of its bytes replaced.
pub(super) struct Media<R> {
    /// Never locked: a mutex makes any reader `Sync`, which the decoder asks for.
    inner: Mutex<R>,
    /// The largest number if it is not known.
    len: u64,
    is_pipe: bool,
    position: u64,
    patches: Vec<Patch>,
}

struct Patch {
    at: u64,
    bytes: [u8; 4],
}

impl<R: Read + Seek> Media<R> {
    /// Looks at the header of `inner`, which is read from its beginning.
    pub(super) fn new(mut inner: R) -> Result<Self, Problem> {
        let len = inner.seek(SeekFrom::End(0)).map_err(Problem::Read)?;
        Self::inspected(inner, len, false)
    }

    fn inspected(mut inner: R, len: u64, is_pipe: bool) -> Result<Self, Problem> {
        let mut header = Header { source: &mut inner, len, is_pipe, patches: Vec::new() };
        header.inspect()?;
        let Header { len, patches, .. } = header;
        inner.seek(SeekFrom::Start(0)).map_err(Problem::Read)?;
        Ok(Media { inner: Mutex::new(inner), len, is_pipe, position: 0, patches })
    }

    fn inner(&mut self) -> &mut R {
        self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Read> Media<Pipe<R>> {
    /// Looks at the header of what comes through a pipe, and waits for no more than that.
    pub(super) fn of_pipe(source: R) -> Result<Self, Problem> {
        Self::inspected(Pipe::new(source), u64::MAX, true)
    }
}

impl<R: Read + Seek> Read for Media<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..want) else { return Ok(0) };
        let got = self.inner().read(buffer)?;
        for patch in &self.patches {
            for (at, byte) in (patch.at..).zip(patch.bytes) {
                let place = at.checked_sub(self.position).and_then(|i| usize::try_from(i).ok());
                if let Some(old) = place.and_then(|i| buffer.get_mut(..got)?.get_mut(i)) {
                    *old = byte;
                }
            }
        }
        self.position += got as u64;
        Ok(got)
    }
}

impl<R: Read + Seek> Seek for Media<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // The end is that of this view, which may be nearer than the file's.
        let to = match to {
            SeekFrom::End(offset) => SeekFrom::Start(
                self.len.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?,
            ),
            to => to,
        };
        self.position = self.inner().seek(to)?;
        Ok(self.position)
    }
}

impl<R: Read + Seek + Send> MediaSource for Media<R> {
    fn is_seekable(&self) -> bool {
        !self.is_pipe
    }

    fn byte_len(&self) -> Option<u64> {
        (!self.is_pipe).then_some(self.len)
    }
}

/// The header of a source, while it is looked at.
struct Header<'a, R> {
    source: &'a mut R,
    len: u64,
    is_pipe: bool,
    patches: Vec<Patch>,
}

impl<R: Read + Seek> Header<'_, R> {
    /// Walks the chunks of a WAV file up to its data; does nothing to other files.
    fn inspect(&mut self) -> Result<(), Problem> {
        let Some(form) = self.bytes_at::<12>(0)? else { return Ok(()) };
        let large = matches!(&form[..4], b"RF64" | b"BW64");
        if !(large || &form[..4] == b"RIFF") || &form[8..] != b"WAVE" {
            return Ok(());
        }
        let unfinished = matches!(word(&form, 4), 0 | UNKNOWN);
        self.patch(0, *b"RIFF");
        self.patch(4, UNKNOWN.to_le_bytes());

        let mut at = 12u64;
        let mut large_size = None;
        for _ in 0..MAX_CHUNKS {
            let Some(head) = self.bytes_at::<8>(at)? else { return Ok(()) };
            let (body, size) = (at + 8, word(&head, 4));
            match &head[..4] {
                b"data" => {
                    self.data(body, size, unfinished, large_size.filter(|_| large));
                    return Ok(());
                }
                b"fmt " => self.format(body)?,
                b"ds64" => {
                    large_size = self
                        .bytes_at::<16>(body)?
                        .map(|b| u64::from(word(&b, 8)) | u64::from(word(&b, 12)) << 32);
                    self.patch(at, *b"JUNK");
                }
                _ => self.patch(at, *b"JUNK"),
            }
            at = body + u64::from(size) + u64::from(size % 2);
        }
        Ok(())
    }

    /// The format chunk: refuses what no recording has, before the decoder computes with it.
    fn format(&mut self, body: u64) -> Result<(), Problem> {
        if let Some(format) = self.bytes_at::<16>(body)? {
            check_channels(usize::from(u16::from_le_bytes([format[2], format[3]])))?;
            check_rate(word(&format, 4))?;
        }
        Ok(())
    }

    /// The data chunk: where it ends.
    fn data(&mut self, body: u64, size: u32, unfinished: bool, large_size: Option<u64>) {
        let endless = self.is_pipe && (size == 0 || ENDLESS.contains(&size));
        if (size == 0 && unfinished) || endless {
            self.patch(body - 4, UNKNOWN.to_le_bytes());
        } else if let (UNKNOWN, Some(large_size)) = (size, large_size) {
            self.len = self.len.min(body.saturating_add(large_size));
        }
    }

    fn patch(&mut self, at: u64, bytes: [u8; 4]) {
        self.patches.push(Patch { at, bytes });
    }

    /// The `N` bytes at `at`, or nothing where the file ends before.
    fn bytes_at<const N: usize>(&mut self, at: u64) -> Result<Option<[u8; N]>, Problem> {
        let mut bytes = [0; N];
        self.source.seek(SeekFrom::Start(at)).map_err(Problem::Read)?;
        match self.source.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(Problem::Read(error)),
        }
    }
}

/// The little-endian 32-bit number at `at` of a header, 0 where there is none.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    u32::from_le_bytes(word.unwrap_or_default())
}
