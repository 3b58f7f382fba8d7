//! Weights through the public API: layouts, every way in which files are wrong, the cache, the hub.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers outside of test functions.

mod cache;
mod checkpoint;
mod fits;
mod hub;
mod layouts;
mod limits;
mod malformed;
mod measure;
mod property;
mod synthetic;
mod transcriber;
