//! Patterns of names, for shells that leave them as they are, and for those that are quoted.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

use super::inputs::{Found, Input};
use crate::cli::error::CliError;

/// As shells do it: hidden files are not meant.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: !cfg!(windows),
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A part of a pattern, between slashes.
enum Part {
    /// A name without wildcards.
    Name(OsString),
    /// Any name that matches.
    Names(Pattern),
    /// `**`: any folders, or none.
    Folders,
}

/// Adds what a path stands for that does not exist, if it is a pattern: the files that it matches. Their
/// names are those below its part without wildcards. Says whether it is a pattern.
///
/// Only the matching is `glob`'s: its walk follows links to where it was before, and knows no names but
/// in UTF-8.
pub(super) fn expand(path: &Path, found: &mut Found) -> Result<bool, CliError> {
    let Some(text) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(false);
    };
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let wrong =
        |error: PatternError| CliError::Pattern { pattern: text.to_owned(), reason: error.msg };
    // The parts alone do not show all that is wrong.
    Pattern::new(text).map_err(wrong)?;
    let parts = path.components().skip_while(is_fixed).map(|component| {
        Ok(match component.as_os_str().to_str() {
            Some("**") => Part::Folders,
            Some(text) if !is_fixed(&component) => Part::Names(Pattern::new(text)?),
            _ => Part::Name(component.as_os_str().to_owned()),
        })
    });
    let mut parts = parts.collect::<Result<Vec<Part>, _>>().map_err(wrong)?;
    parts.dedup_by(|a, b| matches!((a, b), (Part::Folders, Part::Folders)));
    let root: PathBuf = path.components().take_while(is_fixed).collect();
    let mut matches = Matches { root: &root, found, any: false };
    if root.as_os_str().is_empty() || root.is_dir() {
        matches.below(&root, &parts);
    }
    // Where folders cannot be read, that is the reason.
    if !matches.any && matches.found.unread.is_empty() {
        return Err(CliError::NoMatch { pattern: text.to_owned() });
    }
    Ok(true)
}

/// What a pattern matches.
struct Matches<'a> {
    root: &'a Path,
    found: &'a mut Found,
    any: bool,
}

impl Matches<'_> {
    /// Adds the files below a folder that match what is left of the pattern.
    fn below(&mut self, folder: &Path, parts: &[Part]) {
        let Some((part, rest)) = parts.split_first() else { return };
        match part {
            Part::Name(name) => self.matched(folder.join(name), rest),
            Part::Names(pattern) => {
                for (path, name) in self.found.entries(folder) {
                    if pattern.matches_with(&name.to_string_lossy(), OPTIONS) {
                        self.matched(path, rest);
                    }
                }
            }
            Part::Folders => {
                self.below(folder, rest);
                for (path, name) in self.found.entries(folder) {
                    let hidden = name.as_encoded_bytes().starts_with(b".");
                    // A link may lead back to where it is.
                    if path.is_dir() && !path.is_symlink() && !hidden {
                        self.below(&path, parts);
                    }
                }
            }
        }
    }

    /// Goes on with what matches so far.
    fn matched(&mut self, path: PathBuf, rest: &[Part]) {
        if path.is_dir() {
            self.below(&path, rest);
        } else if rest.is_empty() && path.symlink_metadata().is_ok() {
            let name = path.strip_prefix(self.root).unwrap_or(&path).with_extension("");
            self.found.inputs.push(Input { path, name });
            self.any = true;
        }
    }
}

/// Whether a part of a path has no wildcards.
fn is_fixed(part: &Component<'_>) -> bool {
    !part.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}
