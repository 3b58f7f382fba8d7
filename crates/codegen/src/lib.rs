//! Kernels for AMD NPUs, made by `cargo build`.

pub mod device;
pub mod problem;
