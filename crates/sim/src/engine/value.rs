//! Values that programs compute with, and scalar arithmetic at the width of their types.

use half::{bf16, f16};

use crate::functions::Scalar;
use crate::netlist::TileId;
use crate::text::{Float, Type};

/// A place that holds bytes: a buffer of the netlist, by its id; behind these what programs allocate;
/// then, in ranges of their own, memory of a tile outside of its buffers, and host buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PlaceId(pub(super) u32);

impl PlaceId {
    const HOST: u32 = 1 << 31;
    const TILE: u32 = 1 << 30;

    /// An argument of the running sequence.
    pub(super) const fn host(argument: u32) -> Self {
        // No sequence has so many; one that is not there is noticed when it is used.
        Self(Self::HOST | argument & !(Self::HOST | Self::TILE))
    }

    /// The memory of a tile, by address.
    pub(super) const fn tile(tile: TileId) -> Self {
        Self(Self::TILE | tile.0)
    }

    /// The argument of the running sequence that it is.
    pub(super) const fn argument(self) -> Option<u32> {
        if self.0 & Self::HOST != 0 { Some(self.0 & !Self::HOST) } else { None }
    }

    /// The tile whose memory it is.
    pub(super) const fn tile_of(self) -> Option<u32> {
        if self.0 & (Self::HOST | Self::TILE) == Self::TILE {
            Some(self.0 & !Self::TILE)
        } else {
            None
        }
    }
}

/// What a slot of a program holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// Nothing yet.
    Undefined,
    /// Integers of all widths, sign-extended; `index`.
    Integer(i64),
    /// Floating-point numbers, rounded to their type.
    Float(f64),
    /// A memref.
    View(View),
    /// What an objectfifo's acquire gave: the end, by its index in the program, and its first object.
    Objects { end: u32, start: u32 },
    /// A configured task of a runtime sequence, by its index.
    Task(u32),
}

/// A memref: a place, where it begins, and how it is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// The bytes.
    pub(super) place: PlaceId,
    /// First element's byte.
    pub(super) offset: i64,
    /// Index into [`super::program::Program::layouts`].
    pub(super) layout: u32,
}

/// Sizes and strides of a memref, in elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Layout {
    pub(super) element: Element,
    pub(super) sizes: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

impl Layout {
    /// Bytes from the first to one past the last element of the view.
    pub(super) fn extent(&self) -> i64 {
        if self.sizes.contains(&0) {
            return 0;
        }
        let last = self.sizes.iter().zip(&self.strides).fold(0_i64, |sum, (size, stride)| {
            sum.saturating_add((size - 1).saturating_mul(*stride))
        });
        last.saturating_add(1).saturating_mul(self.element.bytes() as i64)
    }
}

/// Element types that cores load and store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Element {
    /// Bits and whether it extends with zeros when it is converted.
    Integer {
        bits: u32,
    },
    Float(Kind),
    /// A vector or another element that is only passed on, of so many bytes.
    Opaque(u32),
}

/// [`Float`] with `Hash` and `Eq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    F16,
    Bf16,
    F32,
    F64,
}

impl From<Float> for Kind {
    fn from(float: Float) -> Self {
        match float {
            Float::F16 => Self::F16,
            Float::Bf16 => Self::Bf16,
            Float::F32 => Self::F32,
            Float::F64 => Self::F64,
        }
    }
}

impl Kind {
    /// Rounds to the type, to nearest even.
    pub(super) fn round(self, value: f64) -> f64 {
        match self {
            Self::F16 => f16::from_f64(value).to_f64(),
            Self::Bf16 => bf16::from_f64(value).to_f64(),
            Self::F32 => f64::from(value as f32),
            Self::F64 => value,
        }
    }

    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The bits of a value of this type.
    pub(super) fn bits(self, value: f64) -> i64 {
        match self {
            Self::F16 => i64::from(f16::from_f64(value).to_bits() as i16),
            Self::Bf16 => i64::from(bf16::from_f64(value).to_bits() as i16),
            Self::F32 => i64::from((value as f32).to_bits() as i32),
            Self::F64 => value.to_bits() as i64,
        }
    }

    /// The value of bits.
    pub(super) fn of_bits(self, bits: i64) -> f64 {
        match self {
            Self::F16 => f16::from_bits(bits as u16).to_f64(),
            Self::Bf16 => bf16::from_bits(bits as u16).to_f64(),
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F64 => f64::from_bits(bits as u64),
        }
    }
}

impl Element {
    /// The element of a type; `None` for one that takes no memory.
    pub(super) fn of(ty: &Type) -> Option<Self> {
        Some(match ty {
            Type::Index => Self::Integer { bits: 64 },
            Type::Integer { width: width @ 1..=64, .. } => Self::Integer { bits: *width },
            Type::Float(float) => Self::Float((*float).into()),
            Type::Vector(sizes, element) => {
                let count = sizes.iter().try_fold(1_u64, |all, &size| all.checked_mul(size))?;
                let bytes = count.checked_mul(element.scalar_bytes()? as u64)?;
                Self::Opaque(u32::try_from(bytes).ok()?)
            }
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Integer { bits } => (bits as usize).div_ceil(8).next_power_of_two(),
            Self::Float(kind) => kind.bytes(),
            Self::Opaque(bytes) => bytes as usize,
        }
    }

    /// Reads a value from as many bytes as it has.
    pub(super) fn load(self, bytes: &[u8]) -> Value {
        let mut word = [0; 8];
        word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
        let raw = i64::from_le_bytes(word);
        match self {
            Self::Integer { bits } => Value::Integer(sign_extend(raw, bits)),
            Self::Float(kind) => Value::Float(kind.of_bits(raw)),
            Self::Opaque(_) => Value::Undefined,
        }
    }

    /// The bytes of a value, little-endian; the first [`Self::bytes`] of them count.
    pub(super) fn store(self, value: Value) -> Option<[u8; 8]> {
        Some(match (self, value) {
            (Self::Integer { bits: 1 }, Value::Integer(value)) => (value & 1).to_le_bytes(),
            (Self::Integer { .. }, Value::Integer(value)) => value.to_le_bytes(),
            (Self::Float(kind), Value::Float(value)) => kind.bits(value).to_le_bytes(),
            _ => return None,
        })
    }
}

/// The low `bits` of a value, sign-extended; a bool is 0 or −1, as MLIR's `i1` is.
pub(super) const fn sign_extend(value: i64, bits: u32) -> i64 {
    if bits >= 64 { value } else { (value << (64 - bits)) >> (64 - bits) }
}

/// The low `bits` of a value, extended with zeros.
pub(super) const fn zero_extend(value: i64, bits: u32) -> u64 {
    if bits >= 64 { value as u64 } else { (value as u64) & ((1 << bits) - 1) }
}

impl Value {
    pub(super) fn scalar(self) -> Option<Scalar> {
        match self {
            Self::Integer(value) => Some(Scalar::Integer(value)),
            Self::Float(value) => Some(Scalar::Float(value)),
            _ => None,
        }
    }
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Integer(value) => Self::Integer(value),
            Scalar::Float(value) => Self::Float(value),
        }
    }
}

/// Two-operand integer operations of `arith`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IntegerOp {
    Add,
    Sub,
    Mul,
    DivS,
    DivU,
    RemS,
    RemU,
    CeilDivS,
    CeilDivU,
    FloorDivS,
    And,
    Or,
    Xor,
    Shl,
    ShrS,
    ShrU,
    MinS,
    MaxS,
    MinU,
    MaxU,
}

impl IntegerOp {
    /// The operation of that name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "arith.addi" => Self::Add,
            "arith.subi" => Self::Sub,
            "arith.muli" => Self::Mul,
            "arith.divsi" => Self::DivS,
            "arith.divui" => Self::DivU,
            "arith.remsi" => Self::RemS,
            "arith.remui" => Self::RemU,
            "arith.ceildivsi" => Self::CeilDivS,
            "arith.ceildivui" => Self::CeilDivU,
            "arith.floordivsi" => Self::FloorDivS,
            "arith.andi" => Self::And,
            "arith.ori" => Self::Or,
            "arith.xori" => Self::Xor,
            "arith.shli" => Self::Shl,
            "arith.shrsi" => Self::ShrS,
            "arith.shrui" => Self::ShrU,
            "arith.minsi" => Self::MinS,
            "arith.maxsi" => Self::MaxS,
            "arith.minui" => Self::MinU,
            "arith.maxui" => Self::MaxU,
            _ => return None,
        })
    }

    /// The result at a width; `None` for a division by zero.
    pub(super) fn apply(self, a: i64, b: i64, bits: u32) -> Option<i64> {
        let (ua, ub) = (zero_extend(a, bits), zero_extend(b, bits));
        let shift = |by: u64| u32::try_from(by).ok().filter(|&by| by < bits);
        let result = match self {
            Self::Add => a.wrapping_add(b),
            Self::Sub => a.wrapping_sub(b),
            Self::Mul => a.wrapping_mul(b),
            Self::DivS => a.checked_div(b)?,
            Self::RemS => a.checked_rem(b)?,
            Self::DivU => ua.checked_div(ub)? as i64,
            Self::RemU => ua.checked_rem(ub)? as i64,
            Self::CeilDivU => (ua.checked_div(ub)? + u64::from(ua % ub != 0)) as i64,
            Self::CeilDivS => {
                let quotient = a.checked_div(b)?;
                quotient + i64::from(a % b != 0 && (a < 0) == (b < 0))
            }
            Self::FloorDivS => {
                let quotient = a.checked_div(b)?;
                quotient - i64::from(a % b != 0 && (a < 0) != (b < 0))
            }
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
            Self::Shl => shift(ub).map_or(0, |by| a.wrapping_shl(by)),
            Self::ShrS => a >> shift(ub).unwrap_or(bits - 1).min(63),
            Self::ShrU => shift(ub).map_or(0, |by| (ua >> by) as i64),
            Self::MinS => a.min(b),
            Self::MaxS => a.max(b),
            Self::MinU => ua.min(ub) as i64,
            Self::MaxU => ua.max(ub) as i64,
        };
        Some(sign_extend(result, bits))
    }
}

/// Two-operand floating-point operations of `arith`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Minimum,
    Maximum,
}

impl FloatOp {
    /// The operation of that name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "arith.addf" => Self::Add,
            "arith.subf" => Self::Sub,
            "arith.mulf" => Self::Mul,
            "arith.divf" => Self::Div,
            "arith.remf" => Self::Rem,
            "arith.minimumf" | "arith.minnumf" => Self::Minimum,
            "arith.maximumf" | "arith.maxnumf" => Self::Maximum,
            _ => return None,
        })
    }

    /// The result, rounded once to the type: an f64 holds sums and products of two narrower
    /// numbers well enough that rounding twice gives the same.
    pub(super) fn apply(self, a: f64, b: f64, kind: Kind) -> f64 {
        kind.round(match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Rem => a % b,
            Self::Minimum => a.min(b),
            Self::Maximum => a.max(b),
        })
    }
}

/// `arith.cmpi`, by its number.
pub(super) fn compare_integers(predicate: u8, a: i64, b: i64, bits: u32) -> bool {
    let (ua, ub) = (zero_extend(a, bits), zero_extend(b, bits));
    match predicate {
        0 => a == b,
        1 => a != b,
        2 => a < b,
        3 => a <= b,
        4 => a > b,
        5 => a >= b,
        6 => ua < ub,
        7 => ua <= ub,
        8 => ua > ub,
        _ => ua >= ub,
    }
}

/// `arith.cmpf`, by its number: ordered ones are false and unordered ones true when a NaN is there.
pub(super) fn compare_floats(predicate: u8, a: f64, b: f64) -> bool {
    let unordered = a.is_nan() || b.is_nan();
    match predicate {
        0 => false,
        1 => a == b,
        2 => a > b,
        3 => a >= b,
        4 => a < b,
        5 => a <= b,
        6 => !unordered && a != b,
        7 => !unordered,
        8 => unordered || a == b,
        9 => unordered || a > b,
        10 => unordered || a >= b,
        11 => unordered || a < b,
        12 => unordered || a <= b,
        13 => unordered || a != b,
        14 => unordered,
        _ => true,
    }
}
