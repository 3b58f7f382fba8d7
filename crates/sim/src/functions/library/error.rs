//! Why there is no library.

use std::io;
use std::path::PathBuf;

/// Why kernels could not be compiled or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// There is no C++ compiler.
    #[error(
        "core kernels are compiled for the host, and there is no C++ compiler: tried {tried}; \
         install one (Debian, Ubuntu: apt install g++), or name it in the environment variable CXX"
    )]
    NoCompiler {
        /// The commands that were tried.
        tried: String,
    },
    /// The compiler refused.
    #[error("{command} failed:\n{stderr}")]
    Compiler {
        /// The command line.
        command: String,
        /// What the compiler said.
        stderr: String,
    },
    /// A program could not be started.
    #[error("cannot run {command}: {source}")]
    Run {
        /// The program.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written or read.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A shared library that cannot be loaded.
    #[error("cannot load {path}: {reason}")]
    Load {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A type that no function is called with.
    #[error("`{symbol}` has a type that cannot be passed to it: {ty}")]
    Type {
        /// The function.
        symbol: String,
        /// The type.
        ty: String,
    },
}

impl LibraryError {
    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
