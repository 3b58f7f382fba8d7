//! A simulator of AMD NPUs.
//!
//! It runs MLIR-AIE designs as text, the same text that goes to `aiecc`, and says whether they
//! compute the right thing, whether they can hang, and how long they take.
//!
//! Data flows one way: [`text`] reads a design into operations, [`netlist`] turns these into what
//! the array consists of (tiles, buffers, locks, descriptors, channels, flows, core programs), and
//! [`engine`] runs the netlist. [`functions`] are the core kernels that a design calls.

pub mod engine;
pub mod functions;
pub mod netlist;
pub mod text;
