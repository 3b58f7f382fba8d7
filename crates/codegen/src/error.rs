//! What can go wrong between a model file and a dispatch table.

use std::path::{Path, PathBuf};

use crate::compile::{CompileError, Missing};
use crate::problem::Problems;
use crate::render::RenderError;

/// Why nothing was generated.
///
/// `Debug` prints the same as `Display`, so that `fn main() -> Result<(), Error>` of a build script
/// reads well.
#[derive(thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "read the model file".
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model file says something that makes no sense or that no device can do.
    #[error(transparent)]
    Model(#[from] Problems),
    /// A template does not fit its context: a fault of this library.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A tool of the NPU toolchain failed.
    #[error(transparent)]
    Compile(Box<CompileError>),
    /// The NPU toolchain is required and missing.
    #[error("TILEWRIGHT_REQUIRE_NPU is set, but {0}")]
    NoToolchain(Missing),
    /// There is no output folder.
    #[error(
        "no output folder: call Config::out_dir, or run from a build script, where cargo sets OUT_DIR"
    )]
    NoOutDir,
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
