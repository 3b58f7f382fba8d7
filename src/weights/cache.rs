//! Weights as a kernel wants them, kept on disk, so that the second start does not pack them again.
//!
//! An entry holds opaque bytes under the hash of the weights they were made of and a key that says
//! for what: kernel, precision, tile, version of the packing. Whatever changes the bytes belongs
//! into the key.
//!
//! # Where
//! The first of these that can be written to; all of them are looked into:
//! 1. `TILEWRIGHT_CACHE_DIR`, and then no other place; set but empty, nothing is cached;
//! 2. `.tilewright/` beside the weights, unless they came from the hub, whose folders belong to it;
//! 3. `tilewright/` in the user's cache folder: `XDG_CACHE_HOME`, `LOCALAPPDATA` on Windows,
//!    `~/.cache`.
//!
//! Each can be deleted at any time. Nothing is deleted by itself.
//!
//! # An entry
//! `FOLDER/first 16 digits of the content hash/hash of the key.pack`: a header of a multiple of 64
//! bytes, then the payload, so that it is aligned to 64 bytes in a map.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `TWPACK\r\n` |
//! | 8..12 | version, 1 |
//! | 12..16 | length of the key |
//! | 16..24 | length of the payload |
//! | 24..56 | content hash of the weights |
//! | 56..88 | BLAKE3 of the payload |
//! | 88.. | key, then zeros |
//!
//! Numbers are little-endian. An entry appears by renaming, whole or not at all, and is read through
//! a map after its hash is checked. What is damaged or foreign counts as absent and is replaced.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::hash::ContentHash;
use super::map::Map;

const MAGIC: &[u8; 8] = b"TWPACK\r\n";
const VERSION: u32 = 1;
/// Bytes of the header before the key.
const FIXED: usize = 88;
const ALIGN: usize = 64;
/// From here on several threads hash faster than one.
const PARALLEL: usize = 1 << 17;

/// Packed weights on disk, all made of the same weights.
///
/// A large model is best kept as one entry per matrix: what is being packed then never is much
/// memory.
///
/// ```
/// use tilewright::weights::{ContentHash, PackCache};
///
/// let folder = tempfile::tempdir()?;
/// let cache = PackCache::new(vec![folder.path().to_owned()], ContentHash::of(b"weights"));
/// let pack = || Ok::<_, std::io::Error>(vec![1, 2, 3]);
/// assert_eq!(cache.get_or_make("ffn_up, i8, layer 0", pack)?[..], [1, 2, 3]);
/// assert!(cache.get("ffn_up, i8, layer 0").is_some());
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PackCache {
    folders: Vec<PathBuf>,
    content: ContentHash,
}

impl PackCache {
    /// A cache for the weights of a hash in the first folder that can be written to; all are read.
    pub fn new(folders: Vec<PathBuf>, content: ContentHash) -> Self {
        Self { folders, content }
    }

    /// The folders that are looked into, in order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The payload under a key, mapped; nothing if there is none or it is damaged.
    pub fn get(&self, key: &str) -> Option<Packed> {
        let name = self.entry(key);
        self.folders.iter().find_map(|folder| {
            let path = folder.join(&name);
            match self.read(&path, key) {
                Ok(packed) => Some(packed),
                Err(Absent::None) => None,
                Err(Absent::Unusable(reason)) => {
                    tracing::debug!(path = %path.display(), reason, "ignores a cache entry");
                    None
                }
                Err(Absent::Unreadable(error)) => {
                    tracing::debug!(path = %path.display(), %error, "cannot read a cache entry");
                    None
                }
            }
        })
    }

    /// Keeps a payload under a key, replacing what is there.
    pub fn put(&self, key: &str, payload: &[u8]) -> io::Result<()> {
        self.put_with(key, |to| to.write_all(payload))
    }

    /// Keeps what a function writes under a key, replacing what is there. If it fails, what was
    /// there stays.
    pub fn put_with(
        &self,
        key: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        write_first(&self.folders, &self.entry(key), |file| {
            file.write_all(&self.header(key, 0, [0; 32]))?;
            let mut payload =
                Payload { file: BufWriter::new(file), hasher: blake3::Hasher::new(), length: 0 };
            write(&mut payload)?;
            payload.flush()?;
            let (length, hash) = (payload.length, *payload.hasher.finalize().as_bytes());
            drop(payload);
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&self.header(key, length, hash))
        })
    }

    /// The payload under a key; if there is none, makes and keeps it. Where it cannot be kept, it
    /// stays in memory.
    ///
    /// Fails only if making it does.
    pub fn get_or_make<E>(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Packed, E> {
        if let Some(packed) = self.get(key) {
            return Ok(packed);
        }
        let payload = make()?;
        if let Err(error) = self.put(key, &payload) {
            tracing::debug!(%error, key, "packed weights are not kept");
            return Ok(Packed::owned(payload));
        }
        let written = self.get(key).filter(|packed| packed[..] == payload[..]);
        Ok(written.unwrap_or_else(|| Packed::owned(payload)))
    }

    fn entry(&self, key: &str) -> PathBuf {
        let content = self.content.to_string();
        let name = blake3::hash(key.as_bytes()).to_hex();
        Path::new(&content[..16]).join(format!("{}.pack", &name[..32]))
    }

    fn header(&self, key: &str, length: u64, hash: [u8; 32]) -> Vec<u8> {
        let mut header = Vec::with_capacity(FIXED + key.len() + ALIGN);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(key.len() as u32).to_le_bytes());
        header.extend_from_slice(&length.to_le_bytes());
        header.extend_from_slice(self.content.as_bytes());
        header.extend_from_slice(&hash);
        header.extend_from_slice(key.as_bytes());
        header.resize(header.len().next_multiple_of(ALIGN), 0);
        header
    }

    fn read(&self, path: &Path, key: &str) -> Result<Packed, Absent> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(Absent::Unusable("no file"));
        }
        let map = Map::new(&file)?;
        let start = (FIXED + key.len()).next_multiple_of(ALIGN);
        let Some((header, payload)) = map.split_at_checked(start) else {
            return Err(Absent::Unusable("cut off in its header"));
        };
        let hash = hash(payload);
        if header != self.header(key, payload.len() as u64, *hash.as_bytes()) {
            return Err(Absent::Unusable("damaged, or of something else"));
        }
        Ok(Packed(Bytes::Mapped { map, start }))
    }
}

/// Why there is no entry.
enum Absent {
    None,
    Unusable(&'static str),
    Unreadable(io::Error),
}

impl From<io::Error> for Absent {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::None,
            _ => Self::Unreadable(error),
        }
    }
}

/// Counts and hashes what passes.
struct Payload<'a> {
    file: BufWriter<&'a mut File>,
    hasher: blake3::Hasher,
    length: u64,
}

impl Write for Payload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        update(&mut self.hasher, &bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    if bytes.len() < PARALLEL {
        hasher.update(bytes);
    } else {
        hasher.update_rayon(bytes);
    }
}

fn hash(bytes: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    update(&mut hasher, bytes);
    hasher.finalize()
}

/// A payload, aligned to 64 bytes.
#[derive(Debug)]
pub struct Packed(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped { map: Map, start: usize },
    Owned { bytes: Vec<u8>, start: usize, length: usize },
}

impl Packed {
    /// A payload in memory: copied, to be aligned.
    fn owned(payload: Vec<u8>) -> Self {
        let length = payload.len();
        let mut bytes = Vec::<u8>::with_capacity(length + ALIGN);
        let start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        bytes.resize(start, 0);
        bytes.extend_from_slice(&payload);
        Self(Bytes::Owned { bytes, start, length })
    }

    /// Whether the payload is a file's, not this process's memory.
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Bytes::Mapped { .. })
    }
}

impl Deref for Packed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped { map, start } => &map[*start..],
            Bytes::Owned { bytes, start, length } => &bytes[*start..*start + *length],
        }
    }
}

/// Writes a file whole or not at all, in the first folder that takes it.
pub(super) fn write_first(
    folders: &[PathBuf],
    name: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut failed = io::Error::other("there is no cache folder");
    for folder in folders {
        let path = folder.join(name);
        match temporary(&path) {
            Ok(mut temporary) => {
                write(temporary.as_file_mut())?;
                temporary.persist(&path)?;
                return Ok(());
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    // Not private to this user, as other files of a program.
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(mode);
    builder.tempfile_in(folder)
}

/// The cache folders, see the module; `beside` is the folder of the weights.
pub(super) fn folders(
    beside: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Vec<PathBuf> {
    if let Some(folder) = variable("TILEWRIGHT_CACHE_DIR") {
        return if folder.is_empty() { Vec::new() } else { vec![folder.into()] };
    }
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let local = || if cfg!(windows) { absolute("LOCALAPPDATA") } else { None };
    let home = || absolute(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    let user = absolute("XDG_CACHE_HOME").or_else(local).or_else(|| Some(home()?.join(".cache")));
    let beside = beside.map(|folder| folder.join(".tilewright"));
    beside.into_iter().chain(user.map(|folder| folder.join("tilewright"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders_of(beside: Option<&str>, variables: &[(&str, &str)]) -> Vec<PathBuf> {
        folders(beside.map(Path::new), |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    #[cfg(unix)]
    fn the_first_folder_is_beside_the_weights_unless_a_variable_names_another() {
        let home = ("HOME", "/home/me");
        assert_eq!(
            folders_of(Some("/weights"), &[home]),
            [Path::new("/weights/.tilewright"), Path::new("/home/me/.cache/tilewright")]
        );
        assert_eq!(
            folders_of(None, &[home, ("XDG_CACHE_HOME", "/cache")]),
            [Path::new("/cache/tilewright")]
        );
        assert_eq!(
            folders_of(Some("/weights"), &[home, ("TILEWRIGHT_CACHE_DIR", "/fast")]),
            [Path::new("/fast")]
        );
        assert!(folders_of(Some("/weights"), &[home, ("TILEWRIGHT_CACHE_DIR", "")]).is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn relative_cache_folders_are_ignored_as_xdg_demands() {
        let variables = [("XDG_CACHE_HOME", "cache"), ("HOME", "/home/me")];
        assert_eq!(folders_of(None, &variables), [Path::new("/home/me/.cache/tilewright")]);
        assert!(folders_of(None, &[("HOME", "")]).is_empty());
    }
}
