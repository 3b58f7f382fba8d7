//! Every panel of weights against rows that lie together: aarch64's dot products and blocks.

use super::super::simd::Simd;
use super::super::simd::blocks::{COLUMNS, ROWS, Together, Words};
use super::epilogue::{Epilogue, Sum};
use super::operand::Form;

/// Sums of a tile, which start on a cache line.
#[repr(align(64))]
struct Sums(Words);

/// Multiplies all panels and finishes their sums.
#[inline(always)]
pub(super) fn together<E: Together<Sum: Sum>, S: Simd>(
    s: S,
    engine: E,
    form: Form,
    operand: &[u8],
    rows: usize,
    epilogue: &mut Epilogue<'_>,
) {
    let mut sums = Sums([[[0; 4]; COLUMNS / 4]; ROWS]);
    for panel in 0..epilogue.n.div_ceil(COLUMNS) {
        let weights = epilogue.weights.panel(panel);
        let mut row = 0;
        while row < rows {
            let count = ROWS.min(rows - row);
            let a = &operand[form.bytes(row)..][..form.bytes(count)];
            engine.multiply(a, count, weights, &mut sums.0);
            let words = sums.0.as_flattened().as_flattened();
            epilogue.finish::<S, E::Sum>(s, bytemuck::cast_slice(words), row, count, panel);
            row += count;
        }
    }
}
