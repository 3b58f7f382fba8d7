//! What is kept of a window.

use bytemuck::Pod;
use half::bf16;
use rayon::prelude::*;

use super::super::error::check_length;
use super::super::pack::{max_magnitude, scale_of};
use super::super::simd::{Level, Simd, Work, panel};
use super::super::tile::Element;
use super::super::workspace::Buffer;
use super::super::{Cpu, CpuError, Numeric};
use super::Heads;

/// Keys and values of all positions of a window, packed.
///
/// They are of the precision of the weights, as to read them is most of the work.
///
/// For i8, element d of a head at position p is rounded in units of c · s / 127: c is the geometric mean
/// of the element over all positions, s the largest magnitude of the position's elements over their c.
/// So neither an element nor a position that is larger than the others costs these anything,
/// and both factors are free: c goes to the query or the result, s to the scores.
#[derive(Debug)]
pub struct Memory {
    pub(super) heads: Heads,
    pub(super) numeric: Numeric,
    pub(super) positions: usize,
    /// The vectors they are packed for.
    pub(super) panel: usize,
    pub(super) keys: Packed,
    pub(super) values: Packed,
}

/// Keys or values, head by head.
#[derive(Debug, Default)]
pub(super) struct Packed {
    panels: Buffer,
    /// Elements of the panels of a head.
    of_head: usize,
    /// Heads × size, padded to whole panels: what an element is multiplied by; 1 unless it is i8.
    elements: Vec<f32>,
    /// Heads × positions, padded likewise.
    pub(super) positions: Vec<f32>,
}

impl Memory {
    /// Without positions yet.
    pub fn new(numeric: Numeric, heads: Heads) -> Self {
        let (keys, values) = (Packed::default(), Packed::default());
        Self { heads, numeric, positions: 0, panel: 0, keys, values }
    }

    /// Factors of a head: so many, in whole panels.
    pub(super) fn padded(&self, count: usize) -> usize {
        count.next_multiple_of(self.panel)
    }

    /// Positions that it holds.
    pub fn positions(&self) -> usize {
        self.positions
    }
}

/// What there is of a head.
#[derive(Clone, Copy)]
pub(super) struct KeptHead<'a, E> {
    pub(super) panels: &'a [E],
    pub(super) elements: &'a [f32],
    pub(super) positions: &'a [f32],
}

impl Packed {
    pub(super) fn head<E: Kept>(&self, memory: &Memory, head: usize) -> KeptHead<'_, E> {
        let of_elements = memory.padded(memory.heads.size);
        let of_positions = memory.padded(memory.positions);
        let panels: &[E] = bytemuck::cast_slice(AsRef::<[u8]>::as_ref(&self.panels));
        KeptHead {
            panels: &panels[head * self.of_head..][..self.of_head],
            elements: &self.elements[head * of_elements..][..of_elements],
            positions: &self.positions[head * of_positions..][..of_positions],
        }
    }

    /// The panels of each head, so many elements, and its factors.
    fn heads<E: Kept>(
        &mut self,
        panels: usize,
        of_elements: usize,
        of_positions: usize,
        heads: usize,
    ) -> impl IndexedParallelIterator<Item = PackedHead<'_, E>> {
        self.of_head = panels;
        self.elements.resize(heads * of_elements, 1.0);
        self.positions.resize(heads * of_positions, 1.0);
        let panels = self.panels.get::<E>(heads * panels).par_chunks_mut(panels.max(1));
        let elements = self.elements.par_chunks_mut(of_elements.max(1));
        let positions = self.positions.par_chunks_mut(of_positions.max(1));
        let parts = panels.zip(elements).zip(positions);
        parts.map(|((panels, elements), positions)| PackedHead { panels, elements, positions })
    }
}

/// A head of [`Packed`].
struct PackedHead<'a, E> {
    panels: &'a mut [E],
    elements: &'a mut [f32],
    positions: &'a mut [f32],
}

impl Cpu {
    /// Replaces what a memory holds: keys and values are positions × heads × size.
    ///
    /// # Errors
    /// When lengths do not fit.
    pub fn remember(
        &self,
        keys: &[f32],
        values: &[f32],
        memory: &mut Memory,
    ) -> Result<(), CpuError> {
        memory.heads.check()?;
        let width = memory.heads.width();
        check_length("keys", keys.len() / width * width, keys.len())?;
        check_length("values", keys.len(), values.len())?;
        memory.positions = keys.len() / width;
        memory.panel = self.level.geometry().panel;
        match memory.numeric {
            Numeric::F32 => pack::<f32>(self.level, memory, keys, values),
            Numeric::Bf16 => pack::<bf16>(self.level, memory, keys, values),
            Numeric::I8 { .. } => pack::<i8>(self.level, memory, keys, values),
        }
        Ok(())
    }
}

/// What keys and values are kept as.
pub(super) trait Kept: Element + Pod {
    /// Whether they are integers, in units of their factors.
    const SCALED: bool;
}

impl Kept for f32 {
    const SCALED: bool = false;
}

impl Kept for bf16 {
    const SCALED: bool = false;
}

impl Kept for i8 {
    const SCALED: bool = true;
}

/// Packs keys and values head by head.
fn pack<E: Kept>(level: Level, memory: &mut Memory, keys: &[f32], values: &[f32]) {
    let (elements, rows) = (memory.padded(memory.heads.size), memory.padded(memory.positions));
    let Memory { heads, positions, keys: into_keys, values: into_values, .. } = memory;
    let into_keys = into_keys.heads::<E>(rows * heads.size, elements, rows, heads.count);
    let into_values = into_values.heads::<E>(elements * *positions, elements, rows, heads.count);
    into_keys.zip(into_values).enumerate().for_each(|(head, (into_keys, into_values))| {
        let (stride, size) = (heads.width(), heads.size);
        let rows = |all| HeadRows { all, stride, first: head * size, size };
        level.run(Pack { rows: rows(keys), into: into_keys, columns_are: Columns::Positions });
        level.run(Pack { rows: rows(values), into: into_values, columns_are: Columns::Elements });
    });
}

/// A head's keys or values.
#[derive(Clone, Copy)]
struct HeadRows<'a> {
    all: &'a [f32],
    stride: usize,
    first: usize,
    size: usize,
}

impl<'a> HeadRows<'a> {
    fn positions(self) -> usize {
        self.all.len() / self.stride
    }

    fn row(self, position: usize) -> &'a [f32] {
        &self.all[position * self.stride + self.first..][..self.size]
    }

    /// The geometric mean of each element over all positions, or something close to it, so that neither
    /// larger positions nor larger elements change what the others are divided by. The bits of a float
    /// are its logarithm to base 2, which is off by at most 0.09.
    #[inline(always)]
    fn geometric_means(self, to: &mut [f32]) {
        let mut sums = vec![0_u64; self.size];
        for position in 0..self.positions() {
            for (sum, x) in sums.iter_mut().zip(self.row(position)) {
                *sum += u64::from(x.to_bits() & 0x7fff_ffff);
            }
        }
        for (to, sum) in to.iter_mut().zip(sums) {
            let mean = f32::from_bits((sum / self.positions() as u64) as u32);
            // Dividing by less could overflow.
            *to = if mean < 1e-30 { 1.0 } else { mean };
        }
    }
}

/// What the columns of panels are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    /// Those of keys.
    Positions,
    /// Those of values.
    Elements,
}

/// A head's keys or values to pack.
struct Pack<'a, E> {
    rows: HeadRows<'a>,
    into: PackedHead<'a, E>,
    columns_are: Columns,
}

impl<E: Kept> Work for Pack<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rows, into, columns_are } = self;
        let PackedHead { panels, elements, positions: factors } = into;
        let (size, width, positions) = (rows.size, panel::<S>(), rows.positions());
        if E::SCALED {
            rows.geometric_means(&mut elements[..size]);
        }
        let inverses: Vec<f32> = elements.iter().map(|factor| 1.0 / factor).collect();
        // Rounded as vectors, and then put in their places. Behind the last element there is nothing.
        let padded = size.next_multiple_of(width);
        let (mut scaled, mut narrow) = (vec![0.0; padded], vec![E::narrow(0.0); padded]);
        let of_panel = if columns_are == Columns::Positions { size } else { positions } * width;
        if columns_are == Columns::Positions {
            let last = positions / width * of_panel;
            panels[last..].fill(E::narrow(0.0));
        }
        for position in 0..positions {
            for ((to, x), inverse) in scaled.iter_mut().zip(rows.row(position)).zip(&inverses) {
                *to = if E::SCALED { x * inverse } else { *x };
            }
            if E::SCALED {
                let factor = scale_of(max_magnitude(&scaled));
                factors[position] = factor;
                let inverse = 1.0 / factor;
                scaled.iter_mut().for_each(|x| *x *= inverse);
            }
            for (to, x) in narrow.iter_mut().zip(&scaled) {
                *to = E::narrow(*x);
            }
            if columns_are == Columns::Positions {
                let into = &mut panels[position / width * of_panel..][..of_panel];
                let slots = into[E::slot(position % width, width)..].iter_mut().step_by(width);
                for (slot, x) in slots.zip(&narrow[..size]) {
                    *slot = *x;
                }
            } else {
                for (panel, narrow) in narrow.chunks_exact(width).enumerate() {
                    let into = &mut panels[panel * of_panel + position * width..][..width];
                    for (column, x) in narrow.iter().enumerate() {
                        into[E::slot(column, width)] = *x;
                    }
                }
            }
        }
    }
}
