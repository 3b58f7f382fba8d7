//! The compile stage against a toolchain that behaves, and misbehaves, like the real one.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "compile/caching.rs"]
mod caching;
#[path = "compile/discovery.rs"]
mod discovery;
#[path = "compile/failures.rs"]
mod failures;
#[path = "compile/machine.rs"]
mod machine;
#[path = "compile/whole.rs"]
mod whole;
