//! Whisper on AMD NPUs: kernels made by `cargo build`.
//!
//! From a sound file to features: [`audio`] reads it and makes spectrograms, [`weights`] are those of
//! a checkpoint, and the [`encoder`] runs through the generated table of [`kernels`] on a
//! [`backend`].

pub mod audio;
pub mod backend;
pub mod decoder;
pub mod decoding;
pub mod encoder;
pub mod features;
pub mod kernels;
#[cfg(feature = "server")]
pub mod server;
pub mod tokenizer;
pub mod transcribe;
pub mod transcript;
pub mod weights;
