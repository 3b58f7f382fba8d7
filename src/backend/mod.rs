//! What runs kernels.
//!
//! [`cpu`] is the default, there on every machine. [`array`] is the host's side of an NPU or of a
//! simulated one.

pub mod array;
pub mod cpu;
