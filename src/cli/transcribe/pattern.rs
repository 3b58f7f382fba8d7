//! Patterns of names, for shells that leave them as they are, and for those that are quoted.

use std::path::{Component, Path, PathBuf};

use glob::MatchOptions;

use super::inputs::Input;
use crate::cli::error::CliError;

/// As shells do it: hidden files are not meant.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: !cfg!(windows),
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a path that does not exist stands for, if it is a pattern: the files that it matches. Their
/// names are those below its part without wildcards.
pub(super) fn expand(path: &Path) -> Result<Option<Vec<Input>>, CliError> {
    let Some(text) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(None);
    };
    if path.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let pattern = || text.to_owned();
    let matches = glob::glob_with(text, OPTIONS)
        .map_err(|error| CliError::Pattern { pattern: pattern(), reason: error.msg })?;
    let root = fixed(path);
    let mut inputs = Vec::new();
    for found in matches {
        let path = found.map_err(|error| {
            let path = error.path().to_owned();
            CliError::Read { path, source: error.into() }
        })?;
        if !path.is_dir() {
            let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("");
            inputs.push(Input { path, name });
        }
    }
    match inputs.is_empty() {
        true => Err(CliError::NoMatch { pattern: pattern() }),
        false => Ok(Some(inputs)),
    }
}

/// The folders of a pattern before the first wildcard.
fn fixed(pattern: &Path) -> PathBuf {
    let is_fixed = |part: &Component<'_>| {
        !part.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
    };
    pattern.components().take_while(is_fixed).filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_where_wildcards_do() {
        for (pattern, expected) in
            [("a/b/*.mp3", "a/b"), ("*.mp3", ""), ("./a/**/b/*", "a"), ("/x/[ab]/c", "/x")]
        {
            assert_eq!(fixed(Path::new(pattern)), Path::new(expected));
        }
    }
}
