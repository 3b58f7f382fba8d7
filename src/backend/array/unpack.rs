//! Results out of the buffer C.

use half::bf16;
use rayon::prelude::*;

use super::error::check_length;
use super::{ArrayError, Geometry};
use crate::backend::cpu::{Cpu, Output};

/// Rows that one task unpacks.
const ROWS_OF_A_TASK: usize = 32;

impl Geometry<'_> {
    /// Widens the M × N results and stores them, or adds them to what is there.
    ///
    /// # Errors
    /// When a length is not that of the kernel.
    pub fn unpack(
        &self,
        cpu: &Cpu,
        buffer: &[u8],
        output: Output,
        c: &mut [f32],
    ) -> Result<(), ArrayError> {
        self.check_c(buffer, c.len())?;
        let n = self.kernel().shape.n;
        c.par_chunks_mut(ROWS_OF_A_TASK * n).enumerate().for_each(|(task, rows)| {
            for (i, row) in rows.chunks_exact_mut(n).enumerate() {
                cpu.widen(self.row(buffer, task * ROWS_OF_A_TASK + i), output, row);
            }
        });
        Ok(())
    }

    /// The M × N results as they are.
    ///
    /// # Errors
    /// When a length is not that of the kernel.
    pub fn unpack_narrow(&self, buffer: &[u8], c: &mut [bf16]) -> Result<(), ArrayError> {
        self.check_c(buffer, c.len())?;
        for (i, row) in c.chunks_exact_mut(self.kernel().shape.n).enumerate() {
            bytemuck::cast_slice_mut(row).copy_from_slice(self.row(buffer, i));
        }
        Ok(())
    }

    fn check_c(&self, buffer: &[u8], elements: usize) -> Result<(), ArrayError> {
        let shape = self.kernel().shape;
        check_length("the buffer of C", self.host_bytes()[2], buffer.len())?;
        check_length("C", shape.m * shape.n, elements)
    }

    /// The exact part of a row, as bytes.
    fn row<'a>(&self, buffer: &'a [u8], row: usize) -> &'a [u8] {
        &buffer[row * self.kernel().padded.n * 2..][..self.kernel().shape.n * 2]
    }
}
