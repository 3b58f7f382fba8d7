//! Kernels for AMD NPUs, made by `cargo build`.

pub mod device;
mod error;
pub mod model;
pub mod plan;
pub mod problem;
pub mod render;

pub use error::Error;
