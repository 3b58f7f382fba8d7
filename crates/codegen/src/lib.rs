//! Kernels for AMD NPUs, made by `cargo build`: from a model file to MLIR-AIE designs, core kernels,
//! instruction streams and a typed dispatch table.
//!
//! A model file declares the matmuls of a transformer by role and shape (see [`model`]). Three lines
//! of `build.rs` make the kernels:
//!
//! ```no_run
//! fn main() -> Result<(), tilewright_codegen::Error> {
//!     tilewright_codegen::Config::new("model.toml").compile()?;
//!     Ok(())
//! }
//! ```
//!
//! The program includes the table, which refers to the crate `tilewright-kernel`:
//!
//! ```text
//! mod kernels {
//!     include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
//! }
//! ```
//!
//! Each stage is a module, and a pure function of the one before: [`model`] → [`plan`] → [`render`] →
//! [`compile`], of which only the last runs programs. Without MLIR-AIE, Peano and XRT the table is
//! the same, but holds no xclbins and streams.
//!
//! Limits: one GEMM design per device, for i8 and bf16; every shape of a model runs with the tile of
//! its target. Weights are the right operand. Attention and whatever is no matmul with constant
//! weights is left to the program.

pub mod compile;
mod config;
pub mod device;
mod error;
pub mod files;
pub mod model;
pub mod plan;
pub mod problem;
pub mod render;

pub use config::{Config, Generated};
pub use error::Error;
