//! The functions that core programs call.

mod gemm;
mod library;
mod ports;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use gemm::{GemmError, gemm, gemm_layout};
pub use library::{
    Behaviour, Cycles, Declaration, Library, LibraryError, Parameter, Sources, default_folder,
};
pub use ports::{CorePorts, WithPorts};

/// A scalar that a core program computes with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// Integers of all widths and `index`, sign-extended.
    Integer(i64),
    /// Floating-point numbers; `bf16` and `f32` hold a value that the type can.
    Float(f64),
}

/// An argument of a call.
#[derive(Debug)]
pub enum Argument<'a> {
    /// A buffer, or the part of it that a view stands for: bytes in the tile's memory.
    Buffer(&'a mut [u8]),
    /// A scalar.
    Scalar(Scalar),
}

/// A function of the core, run on the host.
///
/// Any closure `Fn(&mut [Argument<'_>]) -> Result<Returned, String>` is one.
pub trait Function: Send + Sync {
    /// Runs it on the buffers and says what it returns and how long the core takes.
    ///
    /// # Errors
    /// A message for the user when the arguments are not what the function expects.
    fn call(&self, arguments: &mut [Argument<'_>]) -> Result<Returned, String>;

    /// As [`Self::call`], for a function that [uses ports](Self::uses_ports) of its core.
    ///
    /// # Errors
    /// As [`Self::call`]; and when [`CorePorts::get_cascade`] has nothing yet, which the function
    /// passes on: it is called again, on the same bytes, when more has come.
    fn call_with(
        &self,
        arguments: &mut [Argument<'_>],
        ports: &mut CorePorts<'_>,
    ) -> Result<Returned, String> {
        let _ = ports;
        self.call(arguments)
    }

    /// Whether it is to be called with the ports of its core. That costs a copy of its arguments.
    fn uses_ports(&self) -> bool {
        false
    }

    /// What it does with each argument; what is not said is [`Access::Unknown`].
    fn access(&self) -> &[Access] {
        &[]
    }
}

/// What a function does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads all of it and writes nothing.
    Read,
    /// Writes all of it and reads nothing.
    Write,
    /// Reads and writes it; what it reads may be what it wrote before.
    Update,
    /// Not known: the simulator takes it as written when the function returns.
    Unknown,
}

/// What a call comes back with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Returned {
    /// Cycles of the core; 0 lets the simulator assume a rate.
    pub cycles: u64,
    /// The result, if it has one.
    pub value: Option<Scalar>,
}

impl<F> Function for F
where
    F: Fn(&mut [Argument<'_>]) -> Result<Returned, String> + Send + Sync,
{
    fn call(&self, arguments: &mut [Argument<'_>]) -> Result<Returned, String> {
        self(arguments)
    }
}

/// Functions by the symbol that designs call them by; cheap to clone.
#[derive(Clone, Default)]
pub struct Functions {
    by_symbol: BTreeMap<String, Arc<dyn Function>>,
}

impl Functions {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a function; one of the same symbol is replaced.
    pub fn register(&mut self, symbol: impl Into<String>, function: Arc<dyn Function>) {
        self.by_symbol.insert(symbol.into(), function);
    }

    /// The function of a symbol.
    pub fn get(&self, symbol: &str) -> Option<&Arc<dyn Function>> {
        self.by_symbol.get(symbol)
    }

    /// All symbols, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.by_symbol.keys().map(String::as_str)
    }
}
