//! Whisper on AMD NPUs: kernels made by `cargo build`.

pub mod backend;
pub mod kernels;
