//! One buffer descriptor: from elements as designs count them to bytes as the hardware walks them,
//! with the limits of its fields.

use tilewright_codegen::device::limits;

use super::{Builder, Result, Site};
use crate::netlist::{
    Acquire, BufferId, Descriptor, DescriptorId, Direction, LockId, Memory, Step, TileId, TileKind,
};
use crate::text::{Dimension, Padding, Span};

/// Bytes of the word that streams and address generators work in.
const WORD: u64 = 4;

/// Largest size of a dimension, in elements, that the verifier of static descriptors lets pass.
const VERIFIED_SIZE: u64 = 512;

/// Zeros that the hardware can put before and after a dimension, innermost first; the innermost
/// counts words. Source: width of the fields in the memtile's descriptor (AM025).
const MAX_PADDING: [u64; 3] = [63, 31, 15];

/// A descriptor as a design states it: offset, length and dimensions in elements.
pub(super) struct Draft<'a> {
    pub(super) tile: TileId,
    pub(super) channel: (Direction, u32),
    pub(super) buffer: BufferId,
    pub(super) offset: u64,
    /// Elements on the stream, padding included.
    pub(super) length: u64,
    pub(super) dimensions: &'a [Dimension],
    pub(super) padding: &'a [Padding],
    pub(super) pad_value: i32,
    pub(super) acquire: Option<(LockId, Acquire, i32)>,
    pub(super) release: Option<(LockId, i32)>,
    pub(super) packet: Option<(u32, u32)>,
    pub(super) number: Option<u32>,
    pub(super) span: Span,
}

impl Builder<'_> {
    /// Adds a descriptor without a successor.
    pub(super) fn descriptor(&mut self, draft: &Draft<'_>) -> Result<DescriptorId> {
        let span = draft.span;
        self.check_memory_access(draft)?;
        let (element_bytes, elements) = {
            let buffer = self.net.buffer(draft.buffer);
            (buffer.ty.element_bytes().unwrap_or(0) as u64, buffer.ty.elements().unwrap_or(0))
        };
        let in_bytes = |count: u64| count.checked_mul(element_bytes);
        let (Some(offset), Some(stream)) = (in_bytes(draft.offset), in_bytes(draft.length)) else {
            return Err(self.error(span, "offset or length is absurd", ""));
        };
        for (what, bytes) in [("offset", offset), ("length", stream)] {
            if bytes % WORD != 0 {
                return Err(self.error(
                    span,
                    format!("the {what} of a transfer cannot be {bytes} bytes"),
                    "a DMA moves words of 4 bytes",
                ));
            }
        }
        let (length, padding) = self.pad(draft, element_bytes)?;
        let dimensions = self.pattern(draft, element_bytes, length)?;
        let reach = if length == 0 {
            0
        } else if dimensions.is_empty() {
            length
        } else {
            last(&dimensions, length).saturating_add(1)
        };
        if draft.offset.saturating_add(reach) > elements {
            let name = &self.net.buffer(draft.buffer).name;
            return Err(self.error(
                span,
                format!(
                    "the transfer goes to element {} of `{name}`, which has {elements}",
                    draft.offset.saturating_add(reach)
                ),
                "",
            ));
        }
        let kind = self.kind(draft.tile);
        let count = self.net.descriptors.iter().filter(|other| other.tile == draft.tile).count();
        if count >= limits(kind).descriptors {
            return Err(self.error(
                span,
                format!(
                    "{} has {} buffer descriptors; this would be one more",
                    self.place(draft.tile),
                    limits(kind).descriptors
                ),
                "an objectfifo takes one per object, times its repeat count, at each end with a DMA",
            ));
        }
        let steps = dimensions
            .iter()
            .map(|dimension| Step {
                size: dimension.size,
                // In bounds of a buffer, as checked above, when it is stepped at all.
                stride: i64::try_from(dimension.stride * element_bytes).unwrap_or(0),
            })
            .collect();
        let id = DescriptorId(self.net.descriptors.len() as u32);
        self.net.descriptors.push(Descriptor {
            tile: draft.tile,
            number: 0,
            memory: Memory::Buffer(draft.buffer),
            offset,
            length: length * element_bytes,
            element_bytes: element_bytes as u32,
            steps,
            padding,
            pad_value: draft.pad_value,
            iteration: None,
            acquire: draft.acquire,
            release: draft.release,
            packet: draft.packet,
            next: None,
            span,
        });
        self.sites.push(Site { given: draft.number, channel: draft.channel.1 });
        Ok(id)
    }

    /// Elements without the padding, and the padding when there is any.
    fn pad(&self, draft: &Draft<'_>, element_bytes: u64) -> Result<(u64, Vec<Padding>)> {
        let (span, dimensions, padding) = (draft.span, draft.dimensions, draft.padding);
        if padding.iter().all(|padding| padding.before == 0 && padding.after == 0) {
            return Ok((draft.length, Vec::new()));
        }
        if self.kind(draft.tile) != TileKind::Memtile || draft.channel.0 != Direction::Mm2s {
            return Err(self.error(
                span,
                format!("{} cannot pad here", self.place(draft.tile)),
                "only output channels of memtiles pad",
            ));
        }
        if padding.len() != dimensions.len() {
            return Err(self.error(
                span,
                format!("{} dimensions have {} paddings", dimensions.len(), padding.len()),
                "one padding for each dimension",
            ));
        }
        for (i, entry) in padding.iter().rev().enumerate() {
            let most = MAX_PADDING.get(i).copied().unwrap_or(0);
            for count in [entry.before, entry.after] {
                let Some(count) =
                    (if i == 0 { count.checked_mul(element_bytes) } else { Some(count) })
                else {
                    return Err(self.error(span, "the padding is absurd", ""));
                };
                if i == 0 && count % WORD != 0 {
                    return Err(self.error(
                        span,
                        format!("the innermost padding cannot be {count} bytes"),
                        "padding there is a multiple of 4 bytes",
                    ));
                }
                let count = if i == 0 { count / WORD } else { count };
                if count > most {
                    return Err(self.error(
                        span,
                        format!("a padding of {count} is too large"),
                        "from the innermost dimension out: 63 words, 31, 15, none",
                    ));
                }
            }
        }
        let padded = product(dimensions.iter().zip(padding).map(|(dimension, padding)| {
            dimension.size.saturating_add(padding.before + padding.after)
        }));
        let data = product(dimensions.iter().map(|dimension| dimension.size));
        match (padded, data) {
            (Some(padded), Some(data)) if padded > 0 && draft.length.is_multiple_of(padded) => {
                Ok((data * (draft.length / padded), padding.to_vec()))
            }
            _ => Err(self.error(
                span,
                format!(
                    "the length {} is not that of the padded dimensions, {}",
                    draft.length,
                    padded.unwrap_or(u64::MAX)
                ),
                "the length of a transfer with padding counts the padding",
            )),
        }
    }

    /// The dimensions as the hardware takes them for `length` elements, empty for a straight run.
    fn pattern(
        &mut self,
        draft: &Draft<'_>,
        element_bytes: u64,
        length: u64,
    ) -> Result<Vec<Dimension>> {
        let mut dimensions = draft.dimensions.to_vec();
        let (span, kind) = (draft.span, self.kind(draft.tile));
        let Some(innermost) = dimensions.last().copied() else {
            return Ok(dimensions);
        };
        let limit = limits(kind);
        if dimensions.len() > limit.dimensions {
            return Err(self.error(
                span,
                format!("{} dimensions are too many", dimensions.len()),
                format!("descriptors of a {kind} have {}", limit.dimensions),
            ));
        }
        if element_bytes != WORD && innermost.stride != 1 && innermost.size != 1 {
            return Err(self.error(
                span,
                format!("the innermost stride cannot be {}", innermost.stride),
                "it counts words; elements of another size than 4 bytes must lie side by side",
            ));
        }
        let linear = is_linear(&dimensions);
        let count = dimensions.len();
        for (i, dimension) in dimensions.iter().rev().enumerate() {
            // What the registers count: words innermost, steps further out.
            let size = match i {
                0 => dimension.size.checked_mul(element_bytes).filter(|bytes| bytes % WORD == 0),
                _ => Some(dimension.size),
            };
            let stride = dimension.stride.checked_mul(element_bytes);
            let (Some(size), Some(stride)) = (size, stride) else {
                return Err(self.error(
                    span,
                    format!("the innermost size cannot be {} elements", dimension.size),
                    "it must come to a multiple of 4 bytes",
                ));
            };
            let size = if i == 0 { size / WORD } else { size };
            if size == 0 {
                return Err(self.error(span, "a dimension of size 0 moves nothing", ""));
            }
            // The last dimension that a tile has needs no wrap: the length ends it.
            let wraps = i + 1 < limit.dimensions;
            let most = wrap(kind);
            // A wrap is cut to its field; 0 stands for none, which a straight run does not miss.
            let cut_to_none = linear && size % (most + 1) == 0;
            if wraps && size > most && !cut_to_none {
                let unit = if i == 0 { "words" } else { "steps" };
                return Err(self.error(
                    span,
                    format!("dimension {} has {size} {unit}, too many", count - i),
                    format!(
                        "a {kind} counts to {most}; leave the dimensions of a straight run out"
                    ),
                ));
            }
            if dimension.size > VERIFIED_SIZE {
                let message = format!("aie-opt refuses dimensions of more than {VERIFIED_SIZE}");
                self.warn(span, message);
            }
            if dimension.size == 1 || (i == 0 && element_bytes != WORD) {
                continue;
            }
            if stride == 0 || stride % WORD != 0 {
                return Err(self.error(
                    span,
                    format!("dimension {} cannot have a stride of {stride} bytes", count - i),
                    "strides are multiples of 4 bytes, and 0 is none",
                ));
            }
            if stride / WORD > limit.step as u64 {
                return Err(self.error(
                    span,
                    format!("dimension {} has a stride of {} words", count - i, stride / WORD),
                    format!("a {kind} steps by up to {}", limit.step),
                ));
            }
        }
        let Some(covered) = product(dimensions.iter().map(|dimension| dimension.size)) else {
            return Err(self.error(span, "the dimensions are absurd", ""));
        };
        if covered != length {
            self.warn(
                span,
                format!("the dimensions make {covered} elements of a transfer of {length}"),
            );
        }
        if covered < length {
            // What the hardware does: the first dimension goes on when it is the last one that
            // there is, otherwise the next one out takes steps of its reset value, one word.
            let runs = length.div_ceil(covered);
            match dimensions.first_mut() {
                Some(outermost) if count == limit.dimensions => {
                    outermost.size = outermost.size.saturating_mul(runs);
                }
                _ if element_bytes <= WORD => {
                    let stride = WORD / element_bytes.max(1);
                    dimensions.insert(0, Dimension { size: runs, stride });
                }
                _ => {
                    return Err(self.error(
                        span,
                        format!("the dimensions make {covered} elements of {length}"),
                        "make them cover the whole transfer",
                    ));
                }
            }
        }
        Ok(dimensions)
    }

    /// Whether a tile's DMA gets at a buffer and its locks.
    fn check_memory_access(&self, draft: &Draft<'_>) -> Result<()> {
        let buffer = self.net.buffer(draft.buffer);
        let (owner, name) = (buffer.tile, buffer.name.as_str());
        let external = self.kind(owner) == TileKind::Shim;
        let (kind, span) = (self.kind(draft.tile), draft.span);
        if external != (kind == TileKind::Shim) {
            return Err(self.error(
                span,
                format!("the DMA of {} cannot get at `{name}`", self.place(draft.tile)),
                "shims move host memory, the others buffers of tiles",
            ));
        }
        if !external {
            self.check_dma_reach(draft, owner, name)?;
        }
        let acquired = draft.acquire.map(|(lock, ..)| lock);
        for lock in acquired.into_iter().chain(draft.release.map(|(lock, _)| lock)) {
            let lock = self.net.lock(lock);
            self.check_dma_reach(draft, lock.tile, &lock.name)?;
        }
        Ok(())
    }

    fn check_dma_reach(&self, draft: &Draft<'_>, owner: TileId, name: &str) -> Result<()> {
        let (from, to) = (self.net.tile(draft.tile), self.net.tile(owner));
        let neighbours = self.kind(draft.tile) == TileKind::Memtile
            && to.kind == TileKind::Memtile
            && from.column.abs_diff(to.column) == 1;
        if draft.tile == owner || (neighbours && draft.channel.1 < NEIGHBOUR_CHANNELS) {
            return Ok(());
        }
        let help = if neighbours {
            format!("channels 0 to {} of a memtile can, this is not one", NEIGHBOUR_CHANNELS - 1)
        } else {
            "a DMA works in its own tile; that of a memtile in the memtiles beside it too"
                .to_owned()
        };
        Err(self.error(
            draft.span,
            format!(
                "the DMA of {} cannot get at `{name}` of {}",
                self.place(draft.tile),
                self.place(owner)
            ),
            help,
        ))
    }
}

/// Channels of a memtile that can use the memory of the memtiles beside it, from 0 on.
pub(super) const NEIGHBOUR_CHANNELS: u32 = 4;

/// Largest wrap of a dimension in hardware. For the memtile it is more than [`limits`] has, which
/// knows that `aie-opt` refuses it.
const fn wrap(kind: TileKind) -> u64 {
    match kind {
        TileKind::Core => 255,
        TileKind::Memtile | TileKind::Shim => 1023,
    }
}

/// Product of some sizes, unless it overflows.
fn product(sizes: impl Iterator<Item = u64>) -> Option<u64> {
    sizes.into_iter().try_fold(1_u64, u64::checked_mul)
}

/// Whether the dimensions visit one element after the other.
fn is_linear(dimensions: &[Dimension]) -> bool {
    let mut next = 1_u64;
    dimensions.iter().rev().all(|dimension| {
        let linear = dimension.size == 1 || dimension.stride == next;
        next = next.saturating_mul(dimension.size);
        linear
    })
}

/// The furthest of the first `count` (≥ 1) elements that dimensions visit.
fn last(dimensions: &[Dimension], count: u64) -> u64 {
    let Some((outermost, rest)) = dimensions.split_first() else {
        return 0;
    };
    let inner = product(rest.iter().map(|dimension| dimension.size)).unwrap_or(u64::MAX).max(1);
    let whole = (count - 1) / inner;
    let remainder = count - whole * inner;
    let to = whole.saturating_mul(outermost.stride).saturating_add(last(rest, remainder));
    match whole.checked_sub(1) {
        Some(before) => {
            to.max(before.saturating_mul(outermost.stride).saturating_add(last(rest, inner)))
        }
        None => to,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn visit(dimensions: &[Dimension]) -> Vec<u64> {
        dimensions.iter().fold(vec![0], |starts, dimension| {
            starts
                .iter()
                .flat_map(|start| (0..dimension.size).map(move |i| start + i * dimension.stride))
                .collect()
        })
    }

    fn dimensions() -> impl Strategy<Value = Vec<Dimension>> {
        let one = (1_u64..5, 0_u64..20).prop_map(|(size, stride)| Dimension { size, stride });
        prop::collection::vec(one, 0..5)
    }

    proptest! {
        #[test]
        fn the_furthest_element_is_that_of_a_walk(dimensions in dimensions(), share in 0.0_f64..1.0) {
            let visited = visit(&dimensions);
            let count = ((visited.len() as f64 * share) as usize).max(1);
            let furthest = visited[..count].iter().max().copied().unwrap_or(0);
            prop_assert_eq!(last(&dimensions, count as u64), furthest);
        }

        #[test]
        fn linear_means_one_after_the_other(dimensions in dimensions()) {
            let visited = visit(&dimensions);
            let in_turn = visited.iter().enumerate().all(|(i, &at)| at == i as u64);
            prop_assert_eq!(is_linear(&dimensions), in_turn);
        }
    }
}
