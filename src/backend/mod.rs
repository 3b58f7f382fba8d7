//! What runs kernels.
//!
//! [`cpu`] is the default, there on every machine. [`npu`] runs the matmuls on an NPU, [`sim`] on a
//! simulated one; [`mod@array`] is the host's side of both.

pub mod array;
pub mod cpu;
pub mod npu;
mod reference;
pub mod sim;
