//! Runtime sequences: what the host tells the array to do.

mod code;
mod compose;
mod descriptor;
mod registers;
mod run;

pub(super) use code::{SequenceOp, compile};
pub(super) use run::{Controller, usable};
