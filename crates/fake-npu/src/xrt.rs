//! An unpacked XRT: `.ci/xrt` makes one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder.
const VARIABLE: &str = "TILEWRIGHT_TEST_XRT";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A folder with XRT, its driver for NPUs, and the C library that they were built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xrt {
    root: PathBuf,
}

/// There is no XRT to test with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no unpacked XRT in {}: run .ci/xrt", .0.display())]
pub struct NoXrt(PathBuf);

impl Xrt {
    /// The folder that `TILEWRIGHT_TEST_XRT` names, or the one that `.ci/xrt` makes by default.
    ///
    /// # Errors
    /// When it is not there, or not complete.
    pub fn find() -> Result<Self, NoXrt> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let cache = || {
            let home = || set("HOME").map(|home| Path::new(&home).join(".cache"));
            set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap_or_default()
        };
        let root = set(VARIABLE).map_or_else(|| cache().join("tilewright/xrt"), PathBuf::from);
        if root.join("complete").is_file() { Ok(Self { root }) } else { Err(NoXrt(root)) }
    }

    /// Headers: `xrt/…` and what these need, without those of the C library.
    pub fn include(&self) -> PathBuf {
        self.root.join("include")
    }

    /// Libraries.
    pub fn libraries(&self) -> PathBuf {
        self.root.join(LIBRARIES)
    }

    /// The loader of the C library, which runs programs with [`Self::libraries`].
    pub fn loader(&self) -> PathBuf {
        self.libraries().join("ld-linux-x86-64.so.2")
    }

    /// A program of XRT: `xclbinutil`, `xrt-smi`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("usr/bin").join(name)
    }

    /// Runs a program with the libraries of the folder.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(self.loader());
        command.arg("--library-path").arg(self.libraries()).arg(program);
        command
    }
}
