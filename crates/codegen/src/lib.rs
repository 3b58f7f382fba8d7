//! Kernels for AMD NPUs, made by `cargo build`.

pub mod device;
pub mod model;
pub mod plan;
pub mod problem;
pub mod render;
