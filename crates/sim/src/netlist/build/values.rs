//! Constants as the bytes that they are in memory.

use half::{bf16, f16};

use crate::text::{Dense, DenseElements, Float, MemRef, Type};

/// The bytes of a constant of that type, or why it has none.
///
/// The caller has checked that the type's size is one that a tile can hold: a splat of any size
/// takes no more text than a small one.
pub(super) fn bytes(dense: &Dense, ty: &MemRef) -> Result<Vec<u8>, String> {
    let (Some(elements), Some(total)) = (ty.elements(), ty.bytes()) else {
        return Err("a value needs a type of known size".to_owned());
    };
    let mismatch = |given: usize| format!("{given} values for {elements} elements");
    match &dense.elements {
        DenseElements::Splat(value) => {
            let one = scalar(*value, &ty.element)?;
            Ok(one.iter().copied().cycle().take(total).collect())
        }
        DenseElements::Each(values) => {
            if values.len() as u64 != elements {
                return Err(mismatch(values.len()));
            }
            let mut bytes = Vec::with_capacity(total);
            for value in values {
                bytes.extend(scalar(*value, &ty.element)?);
            }
            Ok(bytes)
        }
        DenseElements::Bytes(given) => match given.len() {
            length if length == total => Ok(given.clone()),
            // One element in hexadecimal is a splat.
            length if Some(length) == ty.element_bytes() && length > 0 => {
                Ok(given.iter().copied().cycle().take(total).collect())
            }
            length => Err(format!("{length} bytes for {total}")),
        },
    }
}

fn scalar(value: f64, element: &Type) -> Result<Vec<u8>, String> {
    Ok(match element {
        Type::Integer { .. } | Type::Index => {
            let width = element.scalar_bytes().unwrap_or(8);
            let bytes = (value as i128).to_le_bytes();
            bytes.get(..width).ok_or("integers of this width are not known")?.to_vec()
        }
        Type::Float(Float::F16) => f16::from_f64(value).to_le_bytes().to_vec(),
        Type::Float(Float::Bf16) => bf16::from_f64(value).to_le_bytes().to_vec(),
        Type::Float(Float::F32) => (value as f32).to_le_bytes().to_vec(),
        Type::Float(Float::F64) => value.to_le_bytes().to_vec(),
        _ => return Err("only numbers can have a value".to_owned()),
    })
}
