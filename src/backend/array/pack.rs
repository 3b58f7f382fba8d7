//! Activations into the buffer A, narrowed on the way.

use bytemuck::Pod;
use half::bf16;
use rayon::prelude::*;
use tilewright_kernel::{Precision, Tile};

use super::error::check_length;
use super::geometry::MAX_TILE_K;
use super::{ArrayError, Geometry};
use crate::backend::cpu::{Cpu, Scaling};

/// Depth of a micro-tile on every device: what lies together of a row.
const S: usize = 8;

/// Activations of one window, row by row.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a> {
    /// To be narrowed: to i8 with scales as told, or to bf16.
    F32(&'a [f32], Scaling),
    /// Quantised, with the scale of each row.
    I8(&'a [i8], &'a [f32]),
    /// Narrowed.
    Bf16(&'a [bf16]),
}

impl Geometry<'_> {
    /// Packs the M × K activations of one window into the whole of A. Nothing of what was in the
    /// buffer is left.
    ///
    /// # Errors
    /// When the operand or the buffer is not of the kernel's shape and precision.
    pub fn pack_activations(
        &self,
        cpu: &Cpu,
        a: Operand<'_>,
        buffer: &mut [u8],
    ) -> Result<(), ArrayError> {
        let shape = self.kernel().shape;
        check_length("the buffer of A", self.host_bytes()[0], buffer.len())?;
        let elements = match a {
            Operand::F32(values, _) => values.len(),
            Operand::I8(values, scales) => {
                check_length("the scales of A", shape.m, scales.len())?;
                values.len()
            }
            Operand::Bf16(values) => values.len(),
        };
        check_length("A", shape.m * shape.k, elements)?;
        let precision = self.precision();
        match (precision, a) {
            (Precision::I8, Operand::F32(values, Scaling::PerRow)) => {
                self.pack(buffer, &Quantised { cpu, values, k: shape.k, scale: None });
            }
            (Precision::I8, Operand::F32(values, Scaling::PerTensor)) => {
                let rows = values.par_chunks(shape.k).map(|row| cpu.max_magnitude(row));
                // As bits, so that NaN is above all.
                let largest = f32::from_bits(rows.map(f32::to_bits).max().unwrap_or(0));
                let scale = Some(cpu.scale(largest));
                self.pack(buffer, &Quantised { cpu, values, k: shape.k, scale });
            }
            (Precision::I8, Operand::I8(values, scales)) => {
                self.pack(buffer, &Given { values, scales, k: shape.k });
            }
            (Precision::Bf16, Operand::F32(values, _)) => {
                self.pack(buffer, &Rounded { cpu, values, k: shape.k });
            }
            (Precision::Bf16, Operand::Bf16(values)) => {
                self.pack(buffer, &Given { values, scales: &[], k: shape.k });
            }
            (_, Operand::I8(..) | Operand::Bf16(_)) => {
                return Err(ArrayError::Precision { precision });
            }
        }
        Ok(())
    }

    fn pack<R: Rows>(&self, buffer: &mut [u8], rows: &R) {
        let m = self.tile().m;
        let rows_left = |panel: usize| self.kernel().shape.m.saturating_sub(panel * m).min(m);
        let panels = buffer.par_chunks_exact_mut(self.a_panel_bytes()).enumerate();
        panels.for_each(|(panel, into)| self.pack_panel(into, rows, panel * m, rows_left(panel)));
    }

    /// `count` rows from `first` on, and zeros behind them.
    fn pack_panel<R: Rows>(&self, panel: &mut [u8], rows: &R, first: usize, count: usize) {
        let Tile { m, k, .. } = self.tile();
        let tile_bytes = self.a_tile_bytes();
        let (tiles, parameters) = panel.split_at_mut(self.kernel().loops.k_tiles * tile_bytes);
        if count == 0 {
            tiles.fill(0);
        }
        parameters.fill(0);
        // As many tiles of a row at a time as fit on the stack.
        let tiles_at_once = MAX_TILE_K / k;
        let mut scratch = [R::Element::default(); MAX_TILE_K];
        for row in 0..if count == 0 { 0 } else { m } {
            let scale = (row < count).then(|| rows.scale(first + row)).flatten();
            for (i, tiles) in tiles.chunks_mut(tiles_at_once * tile_bytes).enumerate() {
                let width = tiles.len() / tile_bytes * k;
                let scratch = &mut scratch[..width];
                let start = i * tiles_at_once * k;
                let filled = if row < count {
                    let end = rows.width().min(start + width);
                    rows.narrow(first + row, start..end, scale, scratch);
                    end - start
                } else {
                    0
                };
                scratch[filled..].fill(R::Element::default());
                self.scatter(scratch, row, tiles);
            }
            if let Some(scale) = scale
                && let Some(place) = parameters.get_mut(row * 4..row * 4 + 4)
            {
                place.copy_from_slice(&scale.to_le_bytes());
            }
        }
    }

    /// One row of some tiles to where its micro-tiles have it.
    fn scatter<E: Pod>(&self, row_elements: &[E], row: usize, tiles: &mut [u8]) {
        let (k, r) = (self.tile().k, self.micro().r);
        let piece = S * size_of::<E>();
        // From one micro-tile to the next.
        let step = r * piece;
        let offset = row / r * r * k * size_of::<E>() + row % r * piece;
        let tiles = tiles.chunks_exact_mut(self.a_tile_bytes());
        for (from, tile) in row_elements.chunks_exact(k).zip(tiles) {
            let places = tile[offset..].chunks_mut(step);
            for (from, place) in from.as_chunks::<S>().0.iter().zip(places) {
                place[..piece].copy_from_slice(bytemuck::bytes_of(from));
            }
        }
    }
}

/// Rows to be packed.
trait Rows: Sync {
    type Element: Pod + Default;
    /// Elements of a row.
    fn width(&self) -> usize;
    /// The scale of a row, where there is one.
    fn scale(&self, row: usize) -> Option<f32>;
    /// Some elements of a row, to the beginning of `into`.
    fn narrow(
        &self,
        row: usize,
        range: std::ops::Range<usize>,
        scale: Option<f32>,
        into: &mut [Self::Element],
    );
}

/// Rows that are quantised.
struct Quantised<'a> {
    cpu: &'a Cpu,
    values: &'a [f32],
    k: usize,
    /// Of all rows, if they share it.
    scale: Option<f32>,
}

impl Rows for Quantised<'_> {
    type Element = i8;

    fn width(&self) -> usize {
        self.k
    }

    fn scale(&self, row: usize) -> Option<f32> {
        let of_row =
            || self.cpu.scale(self.cpu.max_magnitude(&self.values[row * self.k..][..self.k]));
        Some(self.scale.unwrap_or_else(of_row))
    }

    fn narrow(
        &self,
        row: usize,
        range: std::ops::Range<usize>,
        scale: Option<f32>,
        into: &mut [i8],
    ) {
        let from = &self.values[row * self.k..][range];
        self.cpu.quantise(from, scale.unwrap_or(1.0), &mut into[..from.len()]);
    }
}

/// Rows that are rounded to bf16.
struct Rounded<'a> {
    cpu: &'a Cpu,
    values: &'a [f32],
    k: usize,
}

impl Rows for Rounded<'_> {
    type Element = bf16;

    fn width(&self) -> usize {
        self.k
    }

    fn scale(&self, _: usize) -> Option<f32> {
        None
    }

    fn narrow(&self, row: usize, range: std::ops::Range<usize>, _: Option<f32>, into: &mut [bf16]) {
        let from = &self.values[row * self.k..][range];
        self.cpu.round(from, &mut into[..from.len()]);
    }
}

/// Rows that are narrow already.
struct Given<'a, E> {
    values: &'a [E],
    scales: &'a [f32],
    k: usize,
}

impl<E: Pod + Default + Sync> Rows for Given<'_, E> {
    type Element = E;

    fn width(&self) -> usize {
        self.k
    }

    fn scale(&self, row: usize) -> Option<f32> {
        self.scales.get(row).copied()
    }

    fn narrow(&self, row: usize, range: std::ops::Range<usize>, _: Option<f32>, into: &mut [E]) {
        let from = &self.values[row * self.k..][range];
        into[..from.len()].copy_from_slice(from);
    }
}
