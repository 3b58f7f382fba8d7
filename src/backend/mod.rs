//! What runs kernels.
//!
//! [`cpu`] is the default, there on every machine.

pub mod cpu;
