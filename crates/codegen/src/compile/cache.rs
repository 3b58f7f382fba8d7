//! Artifacts by the hash of all that they were made from.
//!
//! An entry is a folder named by its key, with the artifact and a note of its length and hash. It
//! appears by one rename of a complete folder, so that builds at the same time never see half of
//! one; whoever comes second takes what the first has made. An entry that does not match its note
//! counts as absent and is replaced.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::CompileError;

/// Name of the note in an entry.
const NOTE: &str = "blake3";
/// How often to try to put an entry in the place of a damaged one.
const ATTEMPTS: usize = 3;

/// A compiled file and what identifies its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Absolute path, fit for `include_bytes!`.
    pub path: PathBuf,
    /// BLAKE3 of the contents, in hexadecimal.
    pub hash: String,
}

/// Hash of everything that an artifact is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(blake3::Hash);

impl Key {
    /// Key of a kind of artifact made from `parts`, whose order and boundaries count.
    pub(super) fn new<'a>(kind: &'a str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in std::iter::once(kind.as_bytes()).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize())
    }

    /// As a part of another key.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn hex(&self) -> String {
        self.0.to_hex().to_string()
    }
}

/// A folder of entries.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache in `dir`, which need not exist.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The artifact `name` of this key, if it is there and undamaged.
    pub(super) fn find(&self, key: &Key, name: &str) -> Option<Artifact> {
        let entry = self.dir.join(key.hex());
        let note = fs::read_to_string(entry.join(NOTE)).ok()?;
        let path = entry.join(name);
        let contents = fs::read(&path).ok()?;
        let hash = blake3::hash(&contents);
        let matches = note == note_of(&contents, &hash);
        matches.then(|| Artifact { path, hash: hash.to_hex().to_string() })
    }

    /// Keeps `contents` as the artifact `name` of this key, unless another build was faster.
    pub(super) fn insert(
        &self,
        key: &Key,
        name: &str,
        contents: &[u8],
    ) -> Result<Artifact, CompileError> {
        let new = self.write(name, contents)?;
        let entry = self.dir.join(key.hex());
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            result = fs::rename(new.path(), &entry);
            if result.is_ok() {
                let hash = blake3::hash(contents).to_hex().to_string();
                return Ok(Artifact { path: entry.join(name), hash });
            }
            if let Some(artifact) = self.find(key, name) {
                return Ok(artifact);
            }
            self.discard(&entry)?;
        }
        result
            .map_err(|source| CompileError::file("put a file into the cache at", &entry, source))?;
        self.find(key, name).ok_or_else(|| {
            let source = std::io::Error::other("it keeps changing");
            CompileError::file("read from the cache", &entry, source)
        })
    }

    /// A complete entry under a temporary name.
    fn write(&self, name: &str, contents: &[u8]) -> Result<tempfile::TempDir, CompileError> {
        let new = temporary(&self.dir, "new-")?;
        let note = note_of(contents, &blake3::hash(contents));
        for (name, contents) in [(name, contents), (NOTE, note.as_bytes())] {
            let path = new.path().join(name);
            fs::write(&path, contents).map_err(|e| CompileError::file("write", &path, e))?;
        }
        Ok(new)
    }

    /// Moves a damaged entry out of the way.
    fn discard(&self, entry: &Path) -> Result<(), CompileError> {
        let grave = temporary(&self.dir, "old-")?;
        // An error here shows again at the next attempt to take its place.
        let _ = fs::rename(entry, grave.path().join("entry"));
        Ok(())
    }
}

fn note_of(contents: &[u8], hash: &blake3::Hash) -> String {
    format!("{} {hash}\n", contents.len())
}

/// A new folder in `dir`, which is made if need be; it goes when the value is dropped.
pub(super) fn temporary(dir: &Path, prefix: &str) -> Result<tempfile::TempDir, CompileError> {
    fs::create_dir_all(dir)
        .and_then(|()| tempfile::Builder::new().prefix(prefix).tempdir_in(dir))
        .map_err(|source| CompileError::file("create a folder in", dir, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(dir.path().join("cache"));
        (dir, cache)
    }

    fn key(part: &str) -> Key {
        Key::new("test", [part.as_bytes()])
    }

    #[test]
    fn boundaries_of_parts_count() {
        let split = |parts: [&str; 2]| Key::new("test", parts.map(str::as_bytes));
        assert_ne!(split(["ab", "c"]), split(["a", "bc"]));
        assert_ne!(Key::new("a", [&b"x"[..]]), Key::new("b", [&b"x"[..]]));
    }

    #[test]
    fn what_was_inserted_is_found() {
        let (_dir, cache) = cache();
        assert_eq!(cache.find(&key("a"), "x.bin"), None);
        let inserted = cache.insert(&key("a"), "x.bin", b"contents").unwrap();
        assert_eq!(cache.find(&key("a"), "x.bin").as_ref(), Some(&inserted));
        assert_eq!(fs::read(&inserted.path).unwrap(), b"contents");
        assert_eq!(cache.find(&key("b"), "x.bin"), None);
    }

    #[test]
    fn the_first_of_two_builds_wins() {
        let (_dir, cache) = cache();
        let first = cache.insert(&key("a"), "x.bin", b"first").unwrap();
        let second = cache.insert(&key("a"), "x.bin", b"second").unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read(&second.path).unwrap(), b"first");
    }

    #[test]
    fn a_damaged_entry_is_absent_and_replaced() {
        let (_dir, cache) = cache();
        let good = cache.insert(&key("a"), "x.bin", b"contents").unwrap();
        for damage in [&b"content"[..], b"Contents", b""] {
            fs::write(&good.path, damage).unwrap();
            assert_eq!(cache.find(&key("a"), "x.bin"), None);
            assert_eq!(cache.insert(&key("a"), "x.bin", b"contents").unwrap(), good);
            assert_eq!(cache.find(&key("a"), "x.bin").as_ref(), Some(&good));
        }
        fs::remove_file(good.path.with_file_name(NOTE)).unwrap();
        assert_eq!(cache.find(&key("a"), "x.bin"), None);
    }

    #[test]
    fn nothing_else_stays_behind() {
        let (dir, cache) = cache();
        for contents in [b"one", b"two"] {
            cache.insert(&key("a"), "x.bin", contents).unwrap();
        }
        let names = fs::read_dir(dir.path().join("cache")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [std::ffi::OsString::from(key("a").hex())]);
    }
}
