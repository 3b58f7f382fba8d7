//! Attention: softmax(Q·Kᵀ / √head size) · V for each head.
//!
//! Where the processor has tiles for bf16, and no more exact products are asked for, everything is
//! multiplied in them: [`tiles`]. Elsewhere in vectors of f32: [`vectors`].

#[cfg(target_arch = "x86_64")]
pub(super) mod tiles;
mod vectors;

use super::error::check_length;
use super::simd::Level;
use super::workspace::Workspace;
use super::{CpuError, Numeric};

/// The shape of an attention, of one window or of several that lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Heads.
    pub heads: usize,
    /// Width of all heads together.
    pub d_model: usize,
    /// Rows of a window.
    pub rows: usize,
    /// Leading rows of a window that mean something. The others are not looked at, and their results
    /// are zero.
    pub valid: usize,
    /// How exact products have to be. Short of [`Numeric::F32`], queries, keys, values and the
    /// weights of the softmax may be rounded to bf16; sums and the softmax are f32 all the same.
    pub numeric: Numeric,
}

impl Attention {
    fn head_size(&self) -> usize {
        self.d_model / self.heads
    }

    pub(super) fn check_shape(&self) -> Result<(), CpuError> {
        let rule = |holds: bool, rule| {
            if holds { Ok(()) } else { Err(CpuError::Geometry { what: "attention", rule }) }
        };
        rule(self.heads > 0 && self.d_model > 0, "there is at least one head, and a width")?;
        rule(self.d_model.is_multiple_of(self.heads), "heads divide d_model")?;
        rule(self.valid <= self.rows, "no more rows are valid than there are")?;
        rule(self.rows > 0, "there are rows")
    }

    fn check(&self, qkv: &[f32], out: &[f32]) -> Result<(), CpuError> {
        self.check_shape()?;
        let window = self.rows * self.d_model;
        check_length("qkv", out.len() * 3, qkv.len())?;
        let windows = out.len() / window;
        check_length("the output of attention", windows * window, out.len())
    }

    /// Runs it on the current pool.
    pub(super) fn run(
        &self,
        level: Level,
        qkv: &[f32],
        out: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        self.check(qkv, out)?;
        let window = self.rows * self.d_model;
        for (qkv, out) in qkv.chunks_exact(3 * window).zip(out.chunks_exact_mut(window)) {
            let (out, padding) = out.split_at_mut(self.valid * self.d_model);
            padding.fill(0.0);
            if self.valid == 0 {
                continue;
            }
            #[cfg(target_arch = "x86_64")]
            if let Some(tiles) = tiles::InTiles::new(level, self) {
                tiles.run(level, qkv, out, workspace);
                continue;
            }
            self.in_vectors(level, qkv, out, workspace);
        }
        Ok(())
    }
}
