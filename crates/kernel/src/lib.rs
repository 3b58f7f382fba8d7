//! What a dispatch table is made of.
//!
//! `tilewright-codegen` writes a table of kernels from a `model.toml`; the table refers to this
//! crate, which is all that a program needs at run time. It holds
//!
//! - the vocabulary: [`Device`], [`Precision`], [`Tile`], [`Shape`], [`Epilogue`];
//! - buffers that carry their shape and element type: [`Matrix`], [`Activations`], [`Weights`];
//! - the [`Kernel`] trait, which each op of a model implements once per exact shape, and
//!   [`KernelInfo`], the same as data;
//! - [`Backend`], which runs kernels, and [`Reference`], the naive one that others are held against.
//!
//! ```
//! use tilewright_kernel::{Activations, Matrix};
//!
//! let hidden = Matrix::<f32, 4, 8>::from_fn(|row, column| (row + column) as f32);
//! let quantised: Activations<i8, 4, 8> = Activations::from_f32(&hidden);
//! assert_eq!(quantised.scales().len(), 4);
//! ```
//!
//! A matrix of another shape is another type, so a kernel cannot be handed the wrong one:
//!
//! ```compile_fail
//! # use tilewright_kernel::{Activations, Matrix};
//! let hidden = Matrix::<f32, 4, 8>::zeros();
//! let quantised: Activations<i8, 4, 16> = Activations::from_f32(&hidden);
//! ```

mod buffer;
mod reference;
mod table;
mod vocabulary;

pub use buffer::{
    Activations, ActivationsBuffer, ActivationsRef, Axis, Element, LengthError, Matrix, Weights,
    WeightsBuffer, WeightsRef,
};
pub use half::bf16;
pub use reference::{OperandError, Reference};
pub use table::{
    Artifact, Backend, DesignText, Kernel, KernelInfo, Loops, Stream, Table, TargetInfo,
};
pub use vocabulary::{Device, Epilogue, MicroTile, Precision, Shape, Tile};
