//! From sound files to spectrograms, through the public API.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod bad_input;
mod formats;
mod mel;
mod pipes;
mod resampling;
mod support;
mod windows;
