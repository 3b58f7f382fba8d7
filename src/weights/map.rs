//! Read-only memory maps of files: the only unsafe code of the weights.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

/// The bytes of a file, paged in by the system as they are read.
///
/// # Invariant
/// Nobody shortens or rewrites the file while the map lives. Tilewright's own files are replaced by
/// renaming, never written in place, and a checkpoint is written once and then only read, which is
/// what every program that maps weights relies on. Whoever breaks it sees other weights or ends the
/// program with a bus error; no bytes outside of the file become readable.
#[derive(Debug)]
pub(super) struct Map(memmap2::Mmap);

#[allow(unsafe_code)]
impl Map {
    /// Maps the whole file.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is private to this module and read-only, and its file does not change
        // (see the invariant), so that the bytes behind `&[u8]` are those of a constant.
        unsafe { memmap2::Mmap::map(file) }.map(Self)
    }

    /// Takes the pages of a range out of this process's memory; reading them again brings them back.
    ///
    /// A checkpoint of 1.6 GB is read tensor by tensor, each once: without this all of it would
    /// count as resident at the end.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.end <= self.0.len() && range.start < range.end {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: MADV_DONTNEED on a shared, read-only map of a file drops page table entries;
            // the next read finds the same bytes in the file, so that live borrows stay valid.
            let released =
                unsafe { self.0.unchecked_advise_range(advice, range.start, range.len()) };
            if let Err(error) = released {
                tracing::trace!(%error, "pages stay resident");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
