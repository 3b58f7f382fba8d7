//! The compile stage against a toolchain that behaves, and misbehaves, like the real one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "compile/discovery.rs"]
mod discovery;
#[path = "compile/machine.rs"]
mod machine;
