//! Elements of a file to `f32`, in parallel, refusing what is not a number.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

/// Elements per task: below this a tensor is converted where it is asked for.
const CHUNK: usize = 1 << 16;
/// Elements converted at once, in the first-level cache.
const BLOCK: usize = 1 << 10;

/// Whether elements of this type are read.
pub(super) fn is_supported(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// The elements as `f32`: the bytes themselves where they are that already and lie well.
///
/// Fails with the first element that is not finite. Elements of a type that is not supported are
/// no elements.
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Result<Cow<'_, [f32]>, (usize, f32)> {
    match dtype {
        Dtype::F32 => match as_f32(bytes) {
            Some(values) => check(values).map(|()| Cow::Borrowed(values)),
            None => convert::<4>(bytes, |bytes, value| *value = f32::from_le_bytes(*bytes)),
        },
        Dtype::BF16 => {
            convert::<2>(bytes, |bytes, value| *value = bf16::from_le_bytes(*bytes).to_f32())
        }
        Dtype::F16 => convert_f16(bytes),
        _ => Ok(Cow::Borrowed(&[])),
    }
}

fn as_f32(bytes: &[u8]) -> Option<&[f32]> {
    if cfg!(target_endian = "big") {
        return None;
    }
    bytemuck::try_cast_slice(bytes).ok()
}

fn check(values: &[f32]) -> Result<(), (usize, f32)> {
    let bad = if values.len() <= CHUNK {
        first_not_finite(values)
    } else {
        let chunks = values.par_chunks(CHUNK).enumerate();
        chunks.filter_map(|(i, chunk)| first_not_finite(chunk).map(|at| i * CHUNK + at)).min()
    };
    bad.map_or(Ok(()), |at| Err((at, values[at])))
}

fn convert<const SIZE: usize>(
    bytes: &[u8],
    one: impl Fn(&[u8; SIZE], &mut f32) + Sync,
) -> Result<Cow<'static, [f32]>, (usize, f32)> {
    let (elements, _) = bytes.as_chunks::<SIZE>();
    in_chunks(elements, |elements, values| {
        elements.iter().zip(values).for_each(|(element, value)| one(element, value));
    })
}

/// By blocks, for the processor's own conversion, which takes slices.
fn convert_f16(bytes: &[u8]) -> Result<Cow<'static, [f32]>, (usize, f32)> {
    let (elements, _) = bytes.as_chunks::<2>();
    in_chunks(elements, |elements, values| {
        let mut block = [f16::ZERO; BLOCK];
        for (elements, values) in elements.chunks(BLOCK).zip(values.chunks_mut(BLOCK)) {
            let block = &mut block[..elements.len()];
            for (half, element) in block.iter_mut().zip(elements) {
                *half = f16::from_le_bytes(*element);
            }
            block.convert_to_f32_slice(values);
        }
    })
}

fn in_chunks<T: Sync>(
    elements: &[T],
    chunk: impl Fn(&[T], &mut [f32]) + Sync,
) -> Result<Cow<'static, [f32]>, (usize, f32)> {
    let mut values = vec![0.0; elements.len()];
    let one = |(i, (elements, values)): (usize, (&[T], &mut [f32]))| {
        chunk(elements, values);
        first_not_finite(values).map(|at| i * CHUNK + at)
    };
    let bad = if elements.len() <= CHUNK {
        one((0, (elements, &mut values)))
    } else {
        let chunks = elements.par_chunks(CHUNK).zip(values.par_chunks_mut(CHUNK));
        chunks.enumerate().filter_map(one).min()
    };
    match bad {
        Some(at) => Err((at, values[at])),
        None => Ok(Cow::Owned(values)),
    }
}

fn first_not_finite(values: &[f32]) -> Option<usize> {
    // Without a branch per element this is a few instructions per vector.
    let block_is_finite =
        |block: &[f32]| block.iter().fold(true, |finite, value| finite & value.is_finite());
    let blocks = values.chunks(BLOCK).enumerate();
    let (block, values) = { blocks }.find(|(_, block)| !block_is_finite(block))?;
    let at = values.iter().position(|value| !value.is_finite())?;
    Some(block * BLOCK + at)
}
