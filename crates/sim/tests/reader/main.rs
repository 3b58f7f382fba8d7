//! The reader of designs, against texts whose meaning is known.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod designs;
mod errors;
mod forms;
mod meaning;
mod robustness;
mod same;
