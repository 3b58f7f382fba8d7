//! The dispatch table that `build.rs` made of `model.toml`: every kernel as a type and as data.
//!
//! Its text is committed as `generated/kernels.rs`.

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
