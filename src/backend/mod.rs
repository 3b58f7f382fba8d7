//! What runs kernels.
//!
//! [`cpu`] is the default, there on every machine. [`sim`] runs the matmuls on a simulated NPU;
//! [`mod@array`] is the host's side of that and of a real one.

pub mod array;
pub mod cpu;
pub mod sim;
