//! What is known of a function before it is compiled.

use std::fmt;

use crate::netlist::FunctionDeclaration;
use crate::text::{Float, MemRef, Type};

use super::{LibraryError, MOST};

/// A function of the core as a design declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Symbol.
    pub symbol: String,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// What it returns.
    pub result: Option<Parameter>,
}

/// Type of an argument or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// A pointer to at least so many bytes; 0 where the length is not known.
    Buffer {
        /// Length.
        bytes: usize,
        /// The address is a multiple of it: the size of an element.
        alignment: usize,
    },
    /// An integer of 1, 8, 16, 32 or 64 bits.
    Integer {
        /// Its width.
        bits: u32,
        /// Whether it is unsigned in C++.
        unsigned: bool,
    },
    /// A floating-point number.
    Float {
        /// Its format.
        format: Float,
    },
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffer { .. } => write!(f, "buffer"),
            Self::Integer { bits, .. } => write!(f, "integer of {bits} bits"),
            Self::Float { .. } => write!(f, "floating-point number"),
        }
    }
}

impl Declaration {
    /// The declaration of a design's `func.func`.
    ///
    /// # Errors
    /// When it has a type that cannot be passed, or more than one result.
    pub fn new(symbol: &str, function: &FunctionDeclaration) -> Result<Self, LibraryError> {
        let parameter = |ty: &Type| {
            Parameter::of(ty).ok_or_else(|| LibraryError::Type {
                symbol: symbol.to_owned(),
                ty: format!("{ty:?}"),
            })
        };
        let results = function.results.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
        let declaration = Self {
            symbol: symbol.to_owned(),
            parameters: function.arguments.iter().map(parameter).collect::<Result<_, _>>()?,
            result: results.first().copied(),
        };
        if results.len() > 1 {
            return Err(LibraryError::Type {
                symbol: symbol.to_owned(),
                ty: format!("{} results", results.len()),
            });
        }
        declaration.check()?;
        Ok(declaration)
    }

    /// Whether trampolines can pass it.
    pub(super) fn check(&self) -> Result<(), LibraryError> {
        let wrong = |ty: String| Err(LibraryError::Type { symbol: self.symbol.clone(), ty });
        for parameter in self.parameters.iter().chain(&self.result) {
            match parameter {
                Parameter::Integer { bits: 1 | 8 | 16 | 32 | 64, .. } => {}
                Parameter::Integer { .. } => return wrong(parameter.to_string()),
                Parameter::Buffer { alignment: 0, .. } => return wrong("empty element".to_owned()),
                Parameter::Buffer { .. } | Parameter::Float { .. } => {}
            }
        }
        if matches!(self.result, Some(Parameter::Buffer { .. })) {
            return wrong("buffer as a result".to_owned());
        }
        if self.parameters.len() > MOST {
            return wrong(format!("more than {MOST} arguments"));
        }
        Ok(())
    }
}

impl Parameter {
    /// The parameter of a type; `None` for one that is not passed to functions.
    pub fn of(ty: &Type) -> Option<Self> {
        Some(match ty {
            Type::Index => Self::Integer { bits: 64, unsigned: false },
            Type::Integer { width, unsigned } => {
                Self::Integer { bits: *width, unsigned: *unsigned }
            }
            Type::Float(format) => Self::Float { format: *format },
            Type::MemRef(memref) => Self::buffer(memref),
            _ => return None,
        })
    }

    fn buffer(memref: &MemRef) -> Self {
        let element = match &memref.element {
            Type::Vector(_, element) => element.scalar_bytes(),
            scalar => scalar.scalar_bytes(),
        };
        Self::Buffer { bytes: memref.bytes().unwrap_or(0), alignment: element.unwrap_or(1).max(1) }
    }
}
