//! The order in which a descriptor walks over bytes.

use crate::netlist::{Descriptor, Step};
use crate::text::Padding;

/// A contiguous run of bytes of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Bytes of memory, from an offset.
    Bytes { offset: u64, length: u64 },
    /// Zeros, or what the descriptor pads with, that are in no memory.
    Padding { length: u64 },
}

/// Walks over the bytes of one run of a descriptor.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// Dimensions, outermost first; the unit of the innermost is `unit` bytes.
    dimensions: Vec<Padded>,
    /// Bytes that lie together at each step.
    unit: u64,
    /// Position in each dimension, over `before + size + after`.
    index: Vec<u64>,
    /// Bytes of the current unit that are done.
    within: u64,
    /// First byte.
    base: i64,
    /// Bytes still to come, padding included.
    remaining: u64,
}

#[derive(Debug, Clone, Copy)]
struct Padded {
    step: Step,
    padding: Padding,
}

const NO_PADDING: Padding = Padding { before: 0, after: 0 };

impl Cursor {
    /// At the beginning of a descriptor, in its `iteration`-th run of a task.
    pub(super) fn new(descriptor: &Descriptor, iteration: u64) -> Self {
        let moved = descriptor
            .iteration
            .filter(|step| step.size > 0)
            .map_or(0, |step| (iteration % step.size) as i64 * step.stride);
        let base = descriptor.offset as i64 + moved;
        let mut dimensions: Vec<Padded> = descriptor
            .steps
            .iter()
            .enumerate()
            .map(|(i, &step)| Padded {
                step,
                padding: descriptor.padding.get(i).copied().unwrap_or(NO_PADDING),
            })
            .collect();
        let mut unit = u64::from(descriptor.element_bytes.max(1));
        if dimensions.is_empty() {
            unit = descriptor.length.max(1);
        }
        // Dimensions that go on where the inner one ends are one with it.
        while let Some(last) = dimensions.last()
            && last.padding == NO_PADDING
            && last.step.stride == unit as i64
            && last.step.size > 0
        {
            unit = unit.saturating_mul(last.step.size);
            dimensions.pop();
        }
        if dimensions.is_empty() {
            unit = unit.max(descriptor.length);
        }
        let remaining = padded_length(descriptor);
        let index = vec![0; dimensions.len()];
        Self { dimensions, unit, index, within: 0, base, remaining }
    }

    /// Bytes still to come.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next contiguous run, of at most `limit` bytes; `None` at the end.
    pub(super) fn next(&mut self, limit: u64) -> Option<Run> {
        let limit = limit.min(self.remaining);
        if limit == 0 {
            return None;
        }
        let length = limit.min(self.unit - self.within);
        let mut offset = self.base;
        let mut padding = false;
        for (dimension, &index) in self.dimensions.iter().zip(&self.index) {
            let Padded { step, padding: pad } = dimension;
            // The outermost dimension has no end in hardware: a longer transfer goes on along it.
            match index.checked_sub(pad.before) {
                Some(at) if at < step.size || pad.after == 0 => {
                    offset = offset.saturating_add((at as i64).saturating_mul(step.stride));
                }
                _ => padding = true,
            }
        }
        let run = if padding {
            Run::Padding { length }
        } else {
            // A negative offset is out of every buffer; so is the largest.
            let offset = u64::try_from(offset).map_or(u64::MAX / 2, |offset| offset + self.within);
            Run::Bytes { offset, length }
        };
        self.remaining -= length;
        self.within += length;
        if self.within == self.unit {
            self.within = 0;
            self.step();
        }
        Some(run)
    }

    /// To the next unit.
    fn step(&mut self) {
        for i in (0..self.index.len()).rev() {
            self.index[i] += 1;
            let Padded { step, padding } = self.dimensions[i];
            if i == 0 || self.index[i] < padding.before + step.size + padding.after {
                return;
            }
            self.index[i] = 0;
        }
    }
}

/// Bytes that a descriptor sends or takes, padding included.
pub(super) fn padded_length(descriptor: &Descriptor) -> u64 {
    if descriptor.padding.iter().all(|&padding| padding == NO_PADDING) {
        return descriptor.length;
    }
    descriptor
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let padding = descriptor.padding.get(i).copied().unwrap_or(NO_PADDING);
            step.size.saturating_add(padding.before).saturating_add(padding.after)
        })
        .fold(u64::from(descriptor.element_bytes), u64::saturating_mul)
}

/// First and one past the last byte that a run of a descriptor touches.
pub(super) fn bounds(descriptor: &Descriptor, iteration: u64) -> (u64, u64) {
    let moved = descriptor
        .iteration
        .filter(|step| step.size > 0)
        .map_or(0, |step| ((iteration % step.size) as i64).saturating_mul(step.stride));
    let base = (descriptor.offset as i64).saturating_add(moved);
    let inner = descriptor
        .steps
        .iter()
        .skip(1)
        .fold(u64::from(descriptor.element_bytes.max(1)), |all, step| {
            all.saturating_mul(step.size)
        });
    let (mut first, mut last) = (base, base);
    for (i, step) in descriptor.steps.iter().enumerate() {
        // As the cursor: a longer transfer goes on along the outermost dimension.
        let size = match i {
            0 => step.size.max(descriptor.length.div_ceil(inner.max(1))),
            _ => step.size,
        };
        let reach = (size.saturating_sub(1) as i64).saturating_mul(step.stride);
        first = first.saturating_add(reach.min(0));
        last = last.saturating_add(reach.max(0));
    }
    let unit = match descriptor.steps.is_empty() {
        true => descriptor.length as i64,
        false => i64::from(descriptor.element_bytes),
    };
    // What begins before the buffer is out of it as much as what ends behind it.
    let clamp = |at: i64| u64::try_from(at).unwrap_or(u64::MAX / 2);
    (clamp(first), clamp(last.saturating_add(unit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlist::{Memory, TileId};
    use crate::text::Span;

    fn descriptor(
        element: u32,
        steps: Vec<Step>,
        padding: Vec<Padding>,
        length: u64,
    ) -> Descriptor {
        Descriptor {
            tile: TileId(0),
            number: 0,
            memory: Memory::Argument(0),
            offset: 64,
            length,
            element_bytes: element,
            steps,
            padding,
            pad_value: 0,
            iteration: None,
            acquire: None,
            release: None,
            packet: None,
            next: None,
            span: Span::default(),
        }
    }

    /// The bytes in order, by loops: `None` for padding.
    fn naive(descriptor: &Descriptor) -> Vec<Option<u64>> {
        let mut bytes = Vec::new();
        let mut index = Vec::new();
        nest(descriptor, &mut index, &mut bytes);
        bytes
    }

    fn nest(descriptor: &Descriptor, index: &mut Vec<i64>, bytes: &mut Vec<Option<u64>>) {
        let depth = index.len();
        let Some(step) = descriptor.steps.get(depth) else {
            let inside = index
                .iter()
                .zip(&descriptor.steps)
                .all(|(&at, step)| (0..step.size as i64).contains(&at));
            let at: i64 =
                index.iter().zip(&descriptor.steps).map(|(i, step)| i * step.stride).sum();
            for byte in 0..u64::from(descriptor.element_bytes) {
                bytes.push(inside.then(|| descriptor.offset + at as u64 + byte));
            }
            return;
        };
        let padding = descriptor.padding.get(depth).copied().unwrap_or(NO_PADDING);
        for at in -(padding.before as i64)..(step.size + padding.after) as i64 {
            index.push(at);
            nest(descriptor, index, bytes);
            index.pop();
        }
    }

    fn walked(descriptor: &Descriptor, limits: &[u64]) -> Vec<Option<u64>> {
        let mut cursor = Cursor::new(descriptor, 0);
        let mut bytes = Vec::new();
        let mut limits = limits.iter().cycle();
        while let Some(run) = cursor.next(*limits.next().unwrap_or(&1)) {
            match run {
                Run::Bytes { offset, length } => bytes.extend((offset..offset + length).map(Some)),
                Run::Padding { length } => bytes.extend((0..length).map(|_| None)),
            }
        }
        bytes
    }

    prop_compose! {
        fn any_step()(size in 1_u64..5, stride in 0_i64..9) -> Step {
            Step { size, stride: stride * 4 }
        }
    }

    proptest! {
        #[test]
        fn a_cursor_visits_what_loops_visit(
            steps in prop::collection::vec(any_step(), 0..5),
            pads in prop::collection::vec((0_u64..3, 0_u64..3), 4),
            padded: bool,
            limits in prop::collection::vec(1_u64..40, 1..4),
        ) {
            let product: u64 = steps.iter().map(|step| step.size).product();
            let padding = match padded && !steps.is_empty() {
                true => pads[..steps.len()].iter().map(|&(before, after)| Padding { before, after }).collect(),
                false => Vec::new(),
            };
            let descriptor = descriptor(4, steps, padding, product * 4);
            prop_assert_eq!(walked(&descriptor, &limits), naive(&descriptor));
        }

        #[test]
        fn bounds_hold_all_that_is_visited(steps in prop::collection::vec(any_step(), 0..4), length in 1_u64..200) {
            let descriptor = descriptor(4, steps, Vec::new(), length * 4);
            let (low, high) = bounds(&descriptor, 0);
            let visited = walked(&descriptor, &[64]);
            prop_assert_eq!(visited.len() as u64, length * 4);
            for byte in visited.into_iter().flatten() {
                prop_assert!((low..high).contains(&byte), "{} is not in {}..{}", byte, low, high);
            }
        }
    }

    #[test]
    fn contiguous_dimensions_are_one_run() {
        let steps = vec![Step { size: 4, stride: 32 }, Step { size: 8, stride: 4 }];
        let mut cursor = Cursor::new(&descriptor(4, steps, Vec::new(), 128), 0);
        assert_eq!(cursor.next(1000), Some(Run::Bytes { offset: 64, length: 128 }));
        assert_eq!(cursor.next(1000), None);
    }

    #[test]
    fn iterations_move_the_beginning_and_start_over() {
        let mut descriptor = descriptor(4, Vec::new(), Vec::new(), 16);
        descriptor.iteration = Some(Step { size: 3, stride: 100 });
        let first = |run| Cursor::new(&descriptor, run).next(1);
        assert_eq!(first(2), Some(Run::Bytes { offset: 264, length: 1 }));
        assert_eq!(first(3), Some(Run::Bytes { offset: 64, length: 1 }));
    }
}
