//! Which recordings are transcribed, and where their transcripts go.

use std::collections::BTreeMap;
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

/// The recordings of this shard, in an order that only their names decide.
pub(super) fn find(args: &TranscribeArgs) -> Result<Vec<Input>, CliError> {
    let mut inputs = Vec::new();
    for path in &args.audio {
        if path.is_dir() {
            walk(path, path, &mut inputs)?;
        } else if let Some(matches) = pattern::expand(path)? {
            inputs.extend(matches);
        } else {
            let name = PathBuf::from(path.file_stem().unwrap_or(path.as_os_str()));
            inputs.push(Input { path: path.clone(), name });
        }
    }
    if inputs.is_empty() {
        return Err(CliError::NoRecordings { places: args.audio.clone() });
    }
    let mut names = BTreeMap::new();
    for Input { path, name } in &inputs {
        if let Some(first) = names.insert(name.clone(), path.clone())
            && args.out.is_some()
            && first != *path
        {
            return Err(CliError::SameOutput { first, second: path.clone() });
        }
    }
    inputs.sort_by(|a, b| a.path.cmp(&b.path));
    inputs.dedup();
    if let Some(Shard { index, count }) = args.shard {
        inputs = inputs.into_iter().skip(index - 1).step_by(count).collect();
    }
    Ok(inputs)
}

/// All recordings below a folder.
fn walk(root: &Path, folder: &Path, inputs: &mut Vec<Input>) -> Result<(), CliError> {
    let failed = |source| CliError::Read { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() {
            // A link may lead back to where it is.
            if !path.is_symlink() && !hidden {
                walk(root, &path, inputs)?;
            }
        } else if extension.is_some_and(|e| EXTENSIONS.contains(&&*e.to_ascii_lowercase()))
            && !hidden
        {
            let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
            inputs.push(Input { path, name });
        }
    }
    Ok(())
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
}
