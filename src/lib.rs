//! Whisper on AMD NPUs: kernels made by `cargo build`.

pub mod audio;
pub mod kernels;
