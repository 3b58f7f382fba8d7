//! From designs and core kernels to xclbins and instruction streams.
//!
//! [`discover`] finds the tools.

mod discover;
mod error;

pub use discover::{Discovery, Environment, Missing, Tool, Toolchain, VARIABLES, discover};
pub use error::CompileError;
