//! Which recordings are transcribed, and where their transcripts go.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

use super::{TranscribeArgs, pattern};
use crate::cli::error::CliError;

/// What is looked for in folders.
const EXTENSIONS: [&str; 5] = ["wav", "flac", "mp3", "ogg", "oga"];

/// A recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where its transcript goes, below the folder for them and without an extension.
    pub(super) name: PathBuf,
}

/// A part of all recordings: the `index`th of `count`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    index: usize,
    count: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("a shard is one of so many: 1/4, 2/4, 3/4 or 4/4".to_owned()),
        }
    }
}

/// What was found in the places that are named.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The recordings.
    pub(super) inputs: Vec<Input>,
    /// The folders that could not be looked into, and why.
    pub(super) unread: Vec<(PathBuf, io::Error)>,
}

/// The recordings of this shard, in an order that only their names decide.
pub(super) fn find(args: &TranscribeArgs) -> Result<Found, CliError> {
    let mut found = Found::default();
    for path in &args.audio {
        if path.is_dir() {
            found.walk(path, path);
        } else if !pattern::expand(path, &mut found)? {
            let name = PathBuf::from(path.file_stem().unwrap_or(path.as_os_str()));
            found.inputs.push(Input { path: path.clone(), name });
        }
    }
    let Found { inputs, unread } = &mut found;
    if inputs.is_empty() && unread.is_empty() {
        return Err(CliError::NoRecordings { places: args.audio.clone() });
    }
    inputs.sort_by(|a, b| a.path.cmp(&b.path));
    let mut names: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for Input { path, name } in std::mem::take(inputs) {
        match names.get(&name) {
            // Named twice, by itself and by a pattern, say.
            Some(first) if is_same(first, &path) => continue,
            Some(first) if args.out.is_some() => {
                return Err(CliError::SameOutput { first: first.clone(), second: path });
            }
            _ => drop(names.insert(name.clone(), path.clone())),
        }
        inputs.push(Input { path, name });
    }
    if let Some(Shard { index, count }) = args.shard {
        *inputs = inputs.drain(..).skip(index - 1).step_by(count).collect();
    }
    Ok(found)
}

/// Whether two paths are those of the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}

impl Found {
    /// Adds all recordings below a folder.
    fn walk(&mut self, root: &Path, folder: &Path) {
        for (path, name) in self.entries(folder) {
            let extension = path.extension().and_then(|extension| extension.to_str());
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if path.is_dir() {
                // A link may lead back to where it is.
                if !path.is_symlink() && !hidden {
                    self.walk(root, &path);
                }
            } else if extension.is_some_and(|e| EXTENSIONS.contains(&&*e.to_ascii_lowercase()))
                && !hidden
            {
                let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
                self.inputs.push(Input { path, name });
            }
        }
    }

    /// What is in a folder: paths and names. That it cannot be looked into is remembered, once.
    pub(super) fn entries(&mut self, folder: &Path) -> Vec<(PathBuf, OsString)> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entry = |entry: io::Result<DirEntry>| {
            entry.map(|entry| (folder.join(entry.file_name()), entry.file_name()))
        };
        let all = std::fs::read_dir(here).and_then(|all| all.map(entry).collect());
        all.unwrap_or_else(|error| {
            if self.unread.iter().all(|(known, _)| known != here) {
                self.unread.push((here.to_owned(), error));
            }
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_numbered_from_1() {
        assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_looked_into_does_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.WAV"), "").unwrap();
        let (mut found, missing) = (Found::default(), folder.path().join("missing"));
        found.walk(folder.path(), &missing);
        found.walk(folder.path(), &missing);
        found.walk(folder.path(), folder.path());
        let name = PathBuf::from("a");
        assert_eq!(found.inputs, [Input { path: folder.path().join("a.WAV"), name }]);
        let unread: Vec<_> = found.unread.iter().map(|(path, _)| path).collect();
        assert_eq!(unread, [&missing]);
    }
}
