//! Runtime sequences: what the host tells the array to do.

mod code;
mod descriptor;
mod run;

pub(super) use code::{SequenceOp, compile};
pub(super) use run::Controller;
