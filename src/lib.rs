//! Whisper on AMD NPUs: kernels made by `cargo build`.

pub mod kernels;
pub mod weights;
