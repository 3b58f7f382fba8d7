//! Compiled libraries, kept by the hash of all that they are made from.
//!
//! An entry is a file and a note of its hash beside it. Each appears by renaming, whole or not at
//! all. A library that does not match its note counts as absent and is made again.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::compiler::Compiler;
use super::loaded::File;
use super::{LibraryError, Sources};

/// Changes whenever what is compiled changes for the same sources.
const VERSION: &[u8] = b"tilewright kernels 1";

/// A folder of compiled libraries.
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

/// Where compiled kernels are kept, below the user's cache: `TILEWRIGHT_CACHE_DIR`, or else
/// `tilewright` in `XDG_CACHE_HOME`, `LOCALAPPDATA` or `~/.cache`. `None` when there is no such place
/// or `TILEWRIGHT_CACHE_DIR` is set but empty.
pub fn default_folder() -> Option<PathBuf> {
    folder(&|name| std::env::var_os(name))
}

fn folder(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match variable("TILEWRIGHT_CACHE_DIR") {
        Some(folder) if folder.is_empty() => return None,
        Some(folder) => PathBuf::from(folder),
        None => {
            let local = || if cfg!(windows) { absolute("LOCALAPPDATA") } else { None };
            let home = || absolute(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
            let user = absolute("XDG_CACHE_HOME").or_else(local);
            user.or_else(|| Some(home()?.join(".cache")))?.join("tilewright")
        }
    };
    Some(base.join("kernels"))
}

impl Cache {
    /// The cache in a folder, or in the default one.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_owned).or_else(default_folder) }
    }

    /// The library of sources, made if it is not there.
    pub(super) fn library(
        &self,
        compiler: &Compiler,
        sources: &Sources,
        trampolines: &str,
    ) -> Result<File, LibraryError> {
        let workshop = Workshop::new(sources, trampolines)?;
        let name = workshop.name(compiler, sources, trampolines)?;
        if let Some(path) = self.find(&name) {
            return Ok(File { path, _folder: None });
        }
        let made = workshop.folder.path().join(&name);
        compiler.compile(&workshop.sources, &workshop.include, &made)?;
        match self.keep(&made, &name) {
            Some(path) => Ok(File { path, _folder: None }),
            None => Ok(File { path: made, _folder: Some(workshop.folder) }),
        }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.as_ref()?.join(name);
        let expected = fs::read_to_string(note_of(&path)).ok()?;
        let contents = fs::read(&path).ok()?;
        (blake3::hash(&contents).to_hex().as_str() == expected).then_some(path)
    }

    /// Keeps a file; `None` where that is not possible, which is no error.
    fn keep(&self, made: &Path, name: &str) -> Option<PathBuf> {
        let path = self.folder.as_ref()?.join(name);
        let contents = fs::read(made).ok()?;
        let note = blake3::hash(&contents).to_hex();
        replace(&path, &contents).ok()?;
        replace(&note_of(&path), note.as_bytes()).ok()?;
        Some(path)
    }
}

fn note_of(path: &Path) -> PathBuf {
    path.with_extension("blake3")
}

/// Writes a file whole or not at all.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    file.write_all(contents)?;
    file.persist(path)?;
    Ok(())
}

/// A temporary folder with the sources of one library.
struct Workshop {
    folder: tempfile::TempDir,
    sources: Vec<PathBuf>,
    include: Vec<PathBuf>,
}

impl Workshop {
    fn new(sources: &Sources, trampolines: &str) -> Result<Self, LibraryError> {
        let folder = tempfile::Builder::new().prefix("tilewright-").tempdir();
        let folder = folder.map_err(LibraryError::file("make", std::env::temp_dir()))?;
        let mut workshop = Self { sources: Vec::new(), include: Vec::new(), folder };
        for (index, (name, text)) in sources.files.iter().enumerate() {
            // The name alone: messages name it, and files of the same name do not meet.
            let name = Path::new(name).file_name().unwrap_or("kernel.cc".as_ref());
            let path = workshop.write(&Path::new(&index.to_string()).join(name), text)?;
            workshop.sources.push(path);
        }
        let path = workshop.write("trampolines.cc".as_ref(), trampolines)?;
        workshop.sources.push(path);
        for (path, text) in &sources.headers {
            workshop.write(&Path::new("include").join(path), text)?;
        }
        workshop.include = vec![workshop.folder.path().join("include")];
        workshop.include.extend(sources.folders.iter().cloned());
        Ok(workshop)
    }

    fn write(&self, path: &Path, text: &str) -> Result<PathBuf, LibraryError> {
        let path = self.folder.path().join(path);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(LibraryError::file("make", folder))?;
        fs::write(&path, text).map_err(LibraryError::file("write", &path))?;
        Ok(path)
    }

    /// File name of the library: the hash of all that it is made from.
    fn name(
        &self,
        compiler: &Compiler,
        sources: &Sources,
        trampolines: &str,
    ) -> Result<String, LibraryError> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        add(VERSION);
        compiler.identity().for_each(&mut add);
        for (name, text) in sources.files.iter().chain(&sources.headers) {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        add(trampolines.as_bytes());
        // What lies in a user's folders is only known to the preprocessor.
        if !sources.folders.is_empty() {
            for source in &self.sources[..sources.files.len()] {
                add(&compiler.preprocess(source, &self.include)?);
            }
        }
        let hash = hasher.finalize().to_hex();
        Ok(format!("{}.{}", &hash[..32], std::env::consts::DLL_EXTENSION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_the_users_unless_a_variable_names_another() {
        let of = |variables: &[(&str, &str)]| {
            folder(&|name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(of(&[("TILEWRIGHT_CACHE_DIR", "/fast")]), Some("/fast/kernels".into()));
        assert_eq!(of(&[("TILEWRIGHT_CACHE_DIR", "")]), None);
        #[cfg(unix)]
        assert_eq!(of(&[("HOME", "/home/me")]), Some("/home/me/.cache/tilewright/kernels".into()));
        assert_eq!(of(&[("XDG_CACHE_HOME", "relative")]), None);
    }
}
