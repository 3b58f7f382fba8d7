//! Kernels for AMD NPUs, made by `cargo build`.

pub mod compile;
mod config;
pub mod device;
mod error;
pub mod files;
pub mod model;
pub mod plan;
pub mod problem;
pub mod render;

pub use config::{Config, Generated};
pub use error::Error;
