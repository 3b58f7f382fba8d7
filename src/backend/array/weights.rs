//! Weights into the buffer B, once.

use bytemuck::Pod;
use half::bf16;
use rayon::prelude::*;
use tilewright_kernel::{Epilogue, MicroTile, Precision, Shape, Tile, WeightsRef};

use super::error::check_length;
use super::{ArrayError, Geometry};
use crate::backend::cpu::Cpu;

impl Geometry<'_> {
    /// Narrows and packs weights, N × K row by row (outputs × inputs, as Hugging Face stores them):
    /// i8 with a scale for each output.
    ///
    /// # Errors
    /// When lengths are not those of the kernel, a bias is given to a kernel that adds none, or a
    /// weight is not finite.
    pub fn pack_weights(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<u8>, ArrayError> {
        let Shape { k, n, .. } = self.kernel().shape;
        check_length("the weight matrix", n * k, weights.len())?;
        self.check_bias(bias)?;
        let channels = weights.par_chunks(k);
        if let Some(channel) =
            channels.position_first(|channel| !cpu.max_magnitude(channel).is_finite())
        {
            return Err(ArrayError::NotFinite { channel });
        }
        let bias = bias.unwrap_or_default();
        Ok(match self.precision() {
            Precision::I8 => {
                let mut values = vec![0_i8; n * k];
                let mut scales = vec![0.0; n];
                let channels = values.par_chunks_mut(k).zip(scales.par_iter_mut());
                channels.zip(weights.par_chunks(k)).for_each(|((into, scale), from)| {
                    *scale = cpu.scale(cpu.max_magnitude(from));
                    cpu.quantise(from, *scale, into);
                });
                self.pack_b(|at, column| values[column * k + at], &scales, bias)
            }
            Precision::Bf16 => {
                self.pack_b(|at, column| bf16::from_f32(weights[column * k + at]), &[], bias)
            }
        })
    }

    /// Packs weights that are narrow already, K × N row by row.
    ///
    /// # Errors
    /// When they are not of the kernel's shape and precision.
    pub fn pack_narrow_weights(&self, weights: WeightsRef<'_>) -> Result<Vec<u8>, ArrayError> {
        let Shape { k, n, .. } = self.kernel().shape;
        let precision = self.precision();
        match (precision, weights) {
            (Precision::I8, WeightsRef::I8 { values, scales, bias }) => {
                check_length("B", k * n, values.len())?;
                check_length("the scales of B", n, scales.len())?;
                check_length("the bias", n, bias.len())?;
                Ok(self.pack_b(|at, column| values[at * n + column], scales, bias))
            }
            (Precision::Bf16, WeightsRef::Bf16 { values, bias }) => {
                check_length("B", k * n, values.len())?;
                check_length("the bias", n, bias.len())?;
                Ok(self.pack_b(|at, column| values[at * n + column], &[], bias))
            }
            _ => Err(ArrayError::Precision { precision }),
        }
    }

    fn check_bias(&self, bias: Option<&[f32]>) -> Result<(), ArrayError> {
        match (bias, self.kernel().epilogue) {
            (None, _) => Ok(()),
            (Some(_), Epilogue::None) => Err(ArrayError::UnusedBias),
            (Some(bias), _) => check_length("the bias", self.kernel().shape.n, bias.len()),
        }
    }

    /// Packs weights that a function gives by their places in K and N.
    fn pack_b<E: Pod>(
        &self,
        weight: impl Fn(usize, usize) -> E + Sync,
        scales: &[f32],
        bias: &[f32],
    ) -> Vec<u8> {
        let mut buffer = vec![0; self.host_bytes()[1]];
        let (n, columns) = (self.tile().n, self.device().columns());
        let block_bytes = self.b_tiles() * self.b_tile_bytes();
        let column_blocks = self.kernel().loops.column_blocks;
        buffer.par_chunks_exact_mut(block_bytes).enumerate().for_each(|(i, block)| {
            let (column, column_block) = (i / column_blocks, i % column_blocks);
            let first = (column_block * columns + column) * n;
            self.pack_block(block, first, &weight);
            let parameters = &mut block[self.kernel().loops.k_tiles * self.b_tile_bytes()..];
            let of_block = |values: &[f32], into: &mut [u8]| {
                let values = values.get(first..).unwrap_or_default();
                for (value, place) in values.iter().take(n).zip(into.chunks_exact_mut(4)) {
                    place.copy_from_slice(&value.to_le_bytes());
                }
            };
            let biases = if self.precision() == Precision::I8 {
                of_block(scales, parameters);
                &mut parameters[4 * n..]
            } else {
                parameters
            };
            of_block(bias, biases);
        });
        buffer
    }

    /// The K tiles of n columns from `first` on.
    fn pack_block<E: Pod>(
        &self,
        block: &mut [u8],
        first: usize,
        weight: &impl Fn(usize, usize) -> E,
    ) {
        let (Tile { k, n, .. }, MicroTile { s, t, .. }) = (self.tile(), self.micro());
        let shape = self.kernel().shape;
        let tiles = block.chunks_exact_mut(self.b_tile_bytes()).take(self.kernel().loops.k_tiles);
        for (tile, bytes) in tiles.enumerate() {
            for (i, place) in bytes.chunks_exact_mut(size_of::<E>()).enumerate() {
                let (micro, inside) = (i / (s * t), i % (s * t));
                let at = tile * k + micro / (n / t) * s + inside / t;
                let column = first + micro % (n / t) * t + inside % t;
                if at < shape.k && column < shape.n {
                    place.copy_from_slice(bytemuck::bytes_of(&weight(at, column)));
                }
            }
        }
    }
}
