//! Elements of host buffers: how files, generators and comparisons see them.

use half::{bf16, f16};
use tilewright_sim::text::{Float, MemRef, Type};

/// Type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// So many bytes, and whether they are unsigned in MLIR.
    Integer {
        bytes: usize,
        unsigned: bool,
    },
    Float(Float),
}

impl Element {
    /// The element of a host buffer; none for what is no number of whole bytes.
    pub(super) fn of(memref: &MemRef) -> Option<Self> {
        let scalar = match &memref.element {
            Type::Vector(_, element) => element,
            other => other,
        };
        match scalar {
            Type::Index => Some(Self::of_integer(64, false)),
            Type::Integer { width, unsigned } => Some(Self::of_integer(*width, *unsigned)),
            Type::Float(float) => Some(Self::Float(*float)),
            _ => None,
        }
    }

    pub(super) fn of_integer(width: u32, unsigned: bool) -> Self {
        let bytes = (width as usize).div_ceil(8).next_power_of_two();
        Self::Integer { bytes, unsigned }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Integer { bytes, .. } => bytes,
            Self::Float(Float::F16 | Float::Bf16) => 2,
            Self::Float(Float::F32) => 4,
            Self::Float(Float::F64) => 8,
        }
    }

    /// NumPy's name.
    pub(super) fn descr(self) -> String {
        match self {
            Self::Integer { bytes, unsigned } => {
                let order = if bytes == 1 { '|' } else { '<' };
                format!("{order}{}{bytes}", if unsigned { 'u' } else { 'i' })
            }
            Self::Float(Float::Bf16) => "<V2".to_owned(),
            Self::Float(_) => format!("<f{}", self.bytes()),
        }
    }

    /// MLIR's name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Integer { bytes, unsigned } => {
                format!("{}i{}", if unsigned { "u" } else { "" }, 8 * bytes)
            }
            Self::Float(Float::Bf16) => "bf16".to_owned(),
            Self::Float(_) => format!("f{}", 8 * self.bytes()),
        }
    }

    /// Data of NumPy's element type as bytes of this one: the same type, a signed integer for an
    /// unsigned one or the other way round, and for bf16 its bits or floats to be rounded.
    pub(super) fn convert(self, descr: &str, data: &[u8]) -> Option<Vec<u8>> {
        let kind = descr.trim_start_matches(['<', '|', '=']);
        let bytes = self.bytes();
        let is = |kinds: &[&str]| kinds.iter().any(|known| kind == format!("{known}{bytes}"));
        let fits = match self {
            Self::Integer { bytes: 1, .. } => is(&["i", "u", "b"]),
            Self::Integer { .. } => is(&["i", "u"]),
            Self::Float(Float::Bf16) if kind == "f4" => {
                let floats = data.as_chunks::<4>().0.iter();
                let narrow = floats.map(|bytes| bf16::from_f32(f32::from_le_bytes(*bytes)));
                return Some(narrow.flat_map(bf16::to_le_bytes).collect());
            }
            Self::Float(Float::Bf16) => is(&["V", "u"]) || kind == "bfloat16",
            Self::Float(_) => is(&["f"]),
        };
        fits.then(|| data.to_vec())
    }

    /// An element as a number.
    pub(super) fn value(self, bytes: &[u8]) -> f64 {
        let mut word = [0; 8];
        let count = bytes.len().min(8);
        word[..count].copy_from_slice(&bytes[..count]);
        let bits = u64::from_le_bytes(word);
        match self {
            Self::Integer { unsigned: true, .. } => bits as f64,
            Self::Integer { bytes, .. } => {
                let unused = 64 - 8 * bytes as u32;
                ((bits << unused).cast_signed() >> unused) as f64
            }
            Self::Float(Float::F16) => f16::from_bits(bits as u16).to_f64(),
            Self::Float(Float::Bf16) => bf16::from_bits(bits as u16).to_f64(),
            Self::Float(Float::F32) => f64::from(f32::from_bits(bits as u32)),
            Self::Float(Float::F64) => f64::from_bits(bits),
        }
    }

    /// Appends an element: an integer, or the nearest float.
    pub(super) fn push(self, integer: i64, real: f64, to: &mut Vec<u8>) {
        match self {
            Self::Integer { bytes, .. } => to.extend(&integer.to_le_bytes()[..bytes]),
            Self::Float(Float::F16) => to.extend(f16::from_f64(real).to_le_bytes()),
            Self::Float(Float::Bf16) => to.extend(bf16::from_f64(real).to_le_bytes()),
            Self::Float(Float::F32) => to.extend((real as f32).to_le_bytes()),
            Self::Float(Float::F64) => to.extend(real.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_were() {
        for (element, integer, real) in [
            (Element::of_integer(8, false), -7, -7.0),
            (Element::of_integer(16, true), 65535, 65535.0),
            (Element::of_integer(32, false), i64::from(i32::MIN), f64::from(i32::MIN)),
            (Element::of_integer(64, false), -1, -1.0),
            (Element::Float(Float::Bf16), 0, -1.5),
            (Element::Float(Float::F16), 0, 0.25),
            (Element::Float(Float::F32), 0, 1e30_f32.into()),
            (Element::Float(Float::F64), 0, 1e-300),
        ] {
            let mut bytes = Vec::new();
            element.push(integer, real, &mut bytes);
            assert_eq!(bytes.len(), element.bytes());
            assert_eq!(element.value(&bytes), real, "{}", element.name());
        }
    }

    #[test]
    fn files_of_a_like_type_are_taken() {
        let bytes = Element::of_integer(8, false);
        assert_eq!(bytes.convert("|u1", &[200]), Some(vec![200]));
        assert_eq!(bytes.convert("<i2", &[0, 1]), None);
        let bf16 = Element::Float(Float::Bf16);
        assert_eq!(bf16.convert("<V2", &[0x80, 0x3f]), Some(vec![0x80, 0x3f]));
        assert_eq!(bf16.convert("<f4", &1.0_f32.to_le_bytes()), Some(vec![0x80, 0x3f]));
        assert_eq!(bf16.convert("<f2", &[0, 0]), None);
        assert_eq!(Element::Float(Float::F32).convert("<f8", &[0; 8]), None);
    }
}
