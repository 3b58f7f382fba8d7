//! What identifies the contents of weights: BLAKE3, computed once per file and remembered.
//!
//! Hashing the 290 MB of a base checkpoint costs more than everything else in a warm start, so the
//! hash is kept in the cache folder, in `hashes/`, one small file per file of weights, under its
//! path, length, time of modification and, on Unix, inode and time of change. Whoever replaces a
//! file and gives the new one all of these is not noticed. A file modified less than two seconds
//! ago is hashed but not remembered, since file systems count time in steps of up to that.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cache;
use super::error::WeightsError;
use super::files;

/// Read and hashed at once: large enough for all cores, small enough to not count as memory.
const WINDOW: usize = 4 << 20;
const SETTLED: Duration = Duration::from_secs(2);
const MEMO_LIMIT: u64 = 1 << 16;

/// Identifies the contents of weights: equal for equal files, wherever they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(blake3::Hash);

impl ContentHash {
    /// The hash of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The hash of several files, from theirs, in the order given; of one file its own.
    pub(super) fn combine(parts: &[Self]) -> Self {
        match parts {
            [one] => *one,
            parts => {
                let mut hasher = blake3::Hasher::new();
                parts.iter().for_each(|part| _ = hasher.update(part.as_bytes()));
                Self(hasher.finalize())
            }
        }
    }
}

/// 64 hexadecimal digits, as `b3sum` prints them.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_hex())
    }
}

/// Which file, in which state: what is the same while the contents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    path: PathBuf,
    modified: Option<SystemTime>,
    /// Length, inode, and time of change in seconds and nanoseconds.
    numbers: [i128; 4],
}

impl Identity {
    pub(super) fn new(path: &Path, metadata: &Metadata) -> Self {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        #[cfg(unix)]
        let [inode, seconds, nanoseconds] = {
            use std::os::unix::fs::MetadataExt;
            [metadata.ino().into(), metadata.ctime().into(), metadata.ctime_nsec().into()]
        };
        #[cfg(not(unix))]
        let [inode, seconds, nanoseconds] = [0; 3];
        let numbers = [metadata.len().into(), inode, seconds, nanoseconds];
        Self { path, modified: metadata.modified().ok(), numbers }
    }

    /// Whether another modification would be seen.
    fn is_settled(&self) -> bool {
        let age = self.modified.and_then(|time| SystemTime::now().duration_since(time).ok());
        age.is_some_and(|age| age >= SETTLED)
    }

    /// The first line of a memo, and its file name.
    fn memo(&self) -> (String, String) {
        let modified =
            self.modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let [length, inode, seconds, nanoseconds] = self.numbers;
        let line = format!(
            "tilewright hash 1: {length} bytes, modified {modified:?}, inode {inode}, changed {seconds}.{nanoseconds:09}, {:?}",
            self.path
        );
        let name = blake3::hash(self.path.as_os_str().as_encoded_bytes()).to_hex();
        (line, name[..32].to_owned())
    }
}

/// The hash of a file that was opened when it was as `identity` says, from the memo if there is one.
pub(super) fn of_file(identity: &Identity, roots: &[PathBuf]) -> Result<ContentHash, WeightsError> {
    if let Some(hash) = roots.iter().find_map(|root| remembered(identity, root)) {
        return Ok(hash);
    }
    let path = &identity.path;
    let failed = |source| WeightsError::file("read", path, source);
    let file = File::open(path).map_err(failed)?;
    if Identity::new(path, &file.metadata().map_err(failed)?) != *identity {
        return Err(WeightsError::Changed(path.clone()));
    }
    let hash = read(&file).map_err(failed)?;
    if Identity::new(path, &file.metadata().map_err(failed)?) != *identity {
        return Err(WeightsError::Changed(path.clone()));
    }
    if identity.is_settled() {
        remember(identity, hash, roots);
    }
    Ok(hash)
}

/// Reads instead of mapping, so that the file does not count as memory of this process.
fn read(file: &File) -> io::Result<ContentHash> {
    let mut hasher = blake3::Hasher::new();
    let mut window = Vec::with_capacity(WINDOW);
    loop {
        window.clear();
        if file.take(WINDOW as u64).read_to_end(&mut window)? == 0 {
            return Ok(ContentHash(hasher.finalize()));
        }
        hasher.update_rayon(&window);
    }
}

fn remembered(identity: &Identity, root: &Path) -> Option<ContentHash> {
    let (line, name) = identity.memo();
    let text = files::read(&root.join("hashes").join(name), MEMO_LIMIT).ok()??;
    let (found, hash) = std::str::from_utf8(&text).ok()?.trim_end().rsplit_once('\n')?;
    (found == line).then(|| blake3::Hash::from_hex(hash).ok().map(ContentHash))?
}

fn remember(identity: &Identity, hash: ContentHash, roots: &[PathBuf]) {
    let (line, name) = identity.memo();
    let written = cache::write_first(roots, &Path::new("hashes").join(name), |file| {
        writeln!(file, "{line}\n{hash}")
    });
    if let Err(error) = written {
        tracing::debug!(%error, path = %identity.path.display(), "the hash is not remembered");
    }
}
