//! Descriptors that runtime sequences write, held against what a shim can do.

use crate::engine::value::Layout;
use crate::netlist::{Acquire, Descriptor, DescriptorId, LockId, Memory, Step, TileId, TileKind};
use crate::text::{Padding, Span};
use tilewright_codegen::device::{MAX_ITERATION, limits};

/// What a descriptor is made from.
pub(super) struct Request {
    pub(super) tile: TileId,
    pub(super) kind: TileKind,
    pub(super) number: u32,
    pub(super) memory: Memory,
    /// First byte.
    pub(super) offset: i64,
    /// Bytes of one run; `None` for those of the inner dimensions.
    pub(super) length: Option<u64>,
    /// Outermost first, in elements; of four the first is the iteration.
    pub(super) dimensions: Vec<(i64, i64)>,
    pub(super) padding: Vec<Padding>,
    pub(super) pad_value: i32,
    pub(super) acquire: Option<(LockId, Acquire, i32)>,
    pub(super) release: Option<(LockId, i32)>,
    pub(super) packet: Option<(u32, u32)>,
    pub(super) next: Option<DescriptorId>,
    pub(super) span: Span,
}

/// Makes a descriptor, or says what the device cannot do.
pub(super) fn descriptor(request: Request, layout: &Layout) -> Result<Descriptor, String> {
    let bytes = layout.element.bytes() as u64;
    let offset = u64::try_from(request.offset)
        .map_err(|_| format!("the transfer begins at byte {}", request.offset))?;
    aligned("offset", request.offset)?;
    let mut steps = Vec::with_capacity(4);
    for &(size, stride) in &request.dimensions {
        let size = u64::try_from(size).ok().filter(|&size| size > 0);
        let Some(size) = size else { return Err("a dimension of size 0 or less".to_owned()) };
        if stride < 0 {
            return Err(format!("a stride of {stride}: the hardware only counts up"));
        }
        steps.push(Step { size, stride: stride.saturating_mul(bytes as i64) });
    }
    let mut iteration = None;
    if steps.len() == 4 {
        let outer = steps.remove(0);
        if outer.size > MAX_ITERATION as u64 {
            return Err(format!(
                "the outermost of four dimensions has size {}; it is the iteration, which counts to {MAX_ITERATION}",
                outer.size
            ));
        }
        // A stride of 0 repeats the same bytes.
        iteration = (outer.size > 1 && outer.stride > 0).then_some(outer);
    }
    let inner = steps.iter().fold(bytes, |all, step| all.saturating_mul(step.size));
    let length = match (request.length, steps.is_empty()) {
        (Some(length), _) => length,
        (None, false) => inner,
        (None, true) => return Err("a transfer without a length".to_owned()),
    };
    if !steps.is_empty() && length != inner && request.padding.is_empty() {
        return Err(format!(
            "the transfer has {length} bytes, its inner dimensions {inner}: the iteration is not counted"
        ));
    }
    aligned("length", length as i64)?;
    if length == 0 {
        return Err("a transfer of 0 bytes".to_owned());
    }
    let linear = contiguous(&steps, bytes);
    if linear {
        steps.clear();
    } else {
        check(request.kind, &steps, bytes)?;
    }
    if let Some(step) = iteration {
        stride(request.kind, step.stride)?;
    }
    if !request.padding.is_empty() && request.kind != TileKind::Memtile {
        return Err("padding: only memtiles pad".to_owned());
    }
    Ok(Descriptor {
        tile: request.tile,
        number: request.number,
        memory: request.memory,
        offset,
        length,
        element_bytes: bytes as u32,
        steps,
        padding: request.padding,
        pad_value: request.pad_value,
        iteration,
        acquire: request.acquire,
        release: request.release,
        packet: request.packet,
        next: request.next,
        span: request.span,
    })
}

fn aligned(what: &str, bytes: i64) -> Result<(), String> {
    if bytes % 4 == 0 {
        Ok(())
    } else {
        Err(format!("the {what} is {bytes} bytes: the hardware moves words of 4"))
    }
}

/// Whether steps are one contiguous run, which no dimension limits.
fn contiguous(steps: &[Step], bytes: u64) -> bool {
    let mut unit = bytes as i64;
    steps.iter().rev().all(|step| {
        let goes_on = step.size == 1 || step.stride == unit;
        unit = unit.saturating_mul(step.size as i64);
        goes_on
    })
}

fn stride(kind: TileKind, bytes: i64) -> Result<(), String> {
    aligned("stride", bytes)?;
    let step = limits(kind).step as i64;
    if bytes / 4 > step {
        return Err(format!("a stride of {bytes} bytes; a {kind} steps over {} at most", step * 4));
    }
    Ok(())
}

/// Wraps and steps of what is not contiguous.
fn check(kind: TileKind, steps: &[Step], bytes: u64) -> Result<(), String> {
    let limits = limits(kind);
    let wrap = if kind == TileKind::Memtile { 1023 } else { limits.wrap };
    for (i, step) in steps.iter().enumerate() {
        let innermost = i + 1 == steps.len();
        let words = if innermost { step.size.saturating_mul(bytes) / 4 } else { step.size };
        // The two innermost dimensions count and start over, a memtile's third one too; what is
        // outside of them has no count, the length ends it.
        let counted = if kind == TileKind::Memtile { 3 } else { 2 };
        if steps.len() - i <= counted && words > wrap as u64 {
            return Err(format!(
                "a dimension of {words}{}; a {kind} counts to {wrap}",
                if innermost { " words" } else { "" }
            ));
        }
        if innermost {
            if step.size > 1 && step.stride != bytes as i64 && (step.stride % 4 != 0 || bytes < 4) {
                return Err(format!(
                    "elements of {bytes} bytes, {} bytes apart: the hardware moves words of 4",
                    step.stride
                ));
            }
            if step.stride == bytes as i64 {
                aligned("innermost run", (step.size * bytes) as i64)?;
                continue;
            }
        }
        if step.size > 1 {
            stride(kind, step.stride)?;
        }
    }
    Ok(())
}
