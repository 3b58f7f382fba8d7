//! What can go wrong between a toolchain and what it makes.

use std::fmt;

/// Why kernels were not compiled.
///
/// `Debug` prints the same as `Display`.
#[derive(thiserror::Error)]
pub enum CompileError {
    /// An environment variable is set to something that does not work.
    #[error("{name} is set to `{value}`: {problem}")]
    Variable {
        /// Name of the variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it and what would work.
        problem: String,
    },
}

impl fmt::Debug for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
