//! The simulated NPU: every kernel of a small model on every device, those of base on npu1, and the
//! encoder on top. They need a C++ compiler, for the core kernels.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod encoder;
mod planned;
mod verified;
