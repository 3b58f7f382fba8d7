//! Textual MLIR, read into operations.
//!
//! Both forms that MLIR has of an operation, the pretty one that people write and the generic one,
//! become the same [`Op`]: named attributes as the generic form has them, operands, results,
//! regions, successors. What an operation means is not decided here.

mod affine;
mod ast;
pub mod enums;
mod read;
mod source;
mod types;

pub use affine::{AffineExpr, AffineMap};
pub use ast::{
    Attribute, Block, BlockId, Dense, DenseElements, Dimension, Module, Op, Padding, Region,
    Successor, Symbol, Value, ValueId,
};
pub use read::parse;
pub use source::{DesignError, Source, Span};
pub use types::{Float, MemRef, Type};
