//! Types of values.

use std::fmt;

/// Widths of floating-point numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Float {
    /// IEEE half precision.
    F16,
    /// The upper half of an `f32`.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// `index`, 64 bits here.
    Index,
    /// `i1` to `i64`, `si8`, `ui8`.
    Integer {
        /// Bits.
        width: u32,
        /// `ui…`; signless and signed ones compute alike.
        unsigned: bool,
    },
    /// `bf16`, `f32`, …
    Float(Float),
    /// `memref<…>`.
    MemRef(Box<MemRef>),
    /// `vector<4x8xi8>`: sizes and element.
    Vector(Vec<u64>, Box<Type>),
    /// `tensor<…>`: sizes and element.
    Tensor(Vec<u64>, Box<Type>),
    /// `(…) -> (…)`.
    Function(Vec<Type>, Vec<Type>),
    /// `!aie.objectfifo<memref<…>>`.
    ObjectFifo(Box<Type>),
    /// `!aie.objectfifosubview<memref<…>>`.
    Subview(Box<Type>),
    /// Any other type, as it is written: `!aiex.…`, `none`.
    Other(String),
}

/// `memref<4x8xi8, strided<[8, 1], offset: 4>, 2 : i32>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemRef {
    /// Sizes; `None` for `?`.
    pub shape: Vec<Option<u64>>,
    /// Element.
    pub element: Type,
    /// Strides and offset in elements where a layout is given; `None` entries for `?`.
    pub layout: Option<(Vec<Option<i64>>, Option<i64>)>,
}

impl Type {
    /// Bytes of one value of a scalar type: a bool takes one byte. `None` for what is not a scalar.
    pub fn scalar_bytes(&self) -> Option<usize> {
        match self {
            Self::Index => Some(8),
            Self::Integer { width, .. } => Some((*width as usize).div_ceil(8).next_power_of_two()),
            Self::Float(Float::F16 | Float::Bf16) => Some(2),
            Self::Float(Float::F32) => Some(4),
            Self::Float(Float::F64) => Some(8),
            _ => None,
        }
    }
}

impl MemRef {
    /// Number of elements of a static shape; `None` for dynamic ones or an overflow.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, size| product.checked_mul((*size)?))
    }

    /// Bytes of an element; for elements of a vector type those of the whole vector.
    pub fn element_bytes(&self) -> Option<usize> {
        match &self.element {
            Type::Vector(sizes, element) => {
                let count =
                    sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))?;
                element.scalar_bytes()?.checked_mul(usize::try_from(count).ok()?)
            }
            scalar => scalar.scalar_bytes(),
        }
    }

    /// Bytes of the whole buffer, if its shape is static.
    pub fn bytes(&self) -> Option<usize> {
        usize::try_from(self.elements()?).ok()?.checked_mul(self.element_bytes()?)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => f.write_str("index"),
            Self::Integer { width, unsigned } => {
                write!(f, "{}{width}", if *unsigned { "ui" } else { "i" })
            }
            Self::Float(Float::F16) => f.write_str("f16"),
            Self::Float(Float::Bf16) => f.write_str("bf16"),
            Self::Float(Float::F32) => f.write_str("f32"),
            Self::Float(Float::F64) => f.write_str("f64"),
            Self::MemRef(memref) => memref.fmt(f),
            Self::Vector(shape, element) => write!(f, "vector<{}{element}>", Sizes(shape)),
            Self::Tensor(shape, element) => write!(f, "tensor<{}{element}>", Sizes(shape)),
            Self::Function(inputs, results) => {
                write!(f, "({}) -> ({})", Listed(inputs), Listed(results))
            }
            Self::ObjectFifo(element) => write!(f, "!aie.objectfifo<{element}>"),
            Self::Subview(element) => write!(f, "!aie.objectfifosubview<{element}>"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for MemRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memref<")?;
        for size in &self.shape {
            match size {
                Some(size) => write!(f, "{size}x")?,
                None => f.write_str("?x")?,
            }
        }
        write!(f, "{}", self.element)?;
        if let Some((strides, offset)) = &self.layout {
            let shown = |step: &Option<i64>| step.map_or("?".to_owned(), |step| step.to_string());
            let strides: Vec<String> = strides.iter().map(shown).collect();
            write!(f, ", strided<[{}]", strides.join(", "))?;
            if *offset != Some(0) {
                write!(f, ", offset: {}", shown(offset))?;
            }
            f.write_str(">")?;
        }
        f.write_str(">")
    }
}

/// `4x8x`.
struct Sizes<'a>(&'a [u64]);

impl fmt::Display for Sizes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|size| write!(f, "{size}x"))
    }
}

/// With commas in between.
struct Listed<'a>(&'a [Type]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, ty) in self.0.iter().enumerate() {
            write!(f, "{}{ty}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
