//! An operand against every panel of weights, with whatever engine they were packed for.
//!
//! A few rows stay in the second-level cache, and a panel in the first or second, while tiles pass
//! over them. All of K is summed in registers, so a sum leaves them once, through the epilogue.

use bytemuck::Pod;
use half::bf16;

use super::super::simd::{Engine, MAX_LANES, Simd, panel};
use super::super::tile::{self, Element, MAX_ROWS, Rows};
#[cfg(target_arch = "aarch64")]
use super::blocks::together;
use super::epilogue::Epilogue;
use super::operand::Form;

/// Sums of a tile's worth of rows.
#[repr(align(64))]
struct Sums([f32; MAX_ROWS * 2 * MAX_LANES]);

/// An operand: rows in a form, or rows of floats as they are.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Floats(Rows<'a, f32>),
    Prepared(&'a [u8]),
}

/// Multiplies all panels and finishes their sums.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    s: S,
    form: Form,
    operand: Operand<'_>,
    rows: usize,
    epilogue: &mut Epilogue<'_>,
) {
    let bytes = match operand {
        Operand::Prepared(bytes) => bytes,
        Operand::Floats(a) => return floats::<S, f32>(s, a, rows, epilogue),
    };
    match form.engine {
        Engine::Floats => {
            let elements = bytemuck::cast_slice(bytes);
            floats::<S, f32>(s, Rows { elements, stride: form.stride() }, rows, epilogue);
        }
        Engine::Widened => {
            let elements = bytemuck::cast_slice(bytes);
            floats::<S, bf16>(s, Rows { elements, stride: form.stride() }, rows, epilogue);
        }
        Engine::Words => {
            let a = Rows { elements: bytemuck::cast_slice(bytes), stride: form.stride() };
            let mut sums = Sums([0.0; MAX_ROWS * 2 * MAX_LANES]);
            let width = panel::<S>();
            for panel in 0..epilogue.n.div_ceil(width) {
                let weights = epilogue.weights.panel::<i8>(panel);
                let starts = &epilogue.weights.starts[panel * width..][..width];
                let mut row = 0;
                while row < rows {
                    let count = S::ROWS.min(rows - row);
                    tile::integers(s, a.from(row), count, weights, starts, &mut sums.0);
                    epilogue.finish::<S, f32>(s, &sums.0, row, count, panel);
                    row += count;
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        Engine::Vnni256(engine) => {
            let a = Rows { elements: bytemuck::cast_slice(bytes), stride: form.stride() };
            let mut sums = Sums([0.0; MAX_ROWS * 2 * MAX_LANES]);
            let width = panel::<S>();
            for panel in 0..epilogue.n.div_ceil(width) {
                let weights = epilogue.weights.panel::<u32>(panel);
                let starts = &epilogue.weights.starts[panel * width..][..width];
                let mut row = 0;
                while row < rows {
                    let count = S::ROWS.min(rows - row);
                    let sums: &mut [i32] = bytemuck::cast_slice_mut(&mut sums.0);
                    engine.multiply(a.from(row), count, weights, starts, sums);
                    epilogue.finish::<S, i32>(s, sums, row, count, panel);
                    row += count;
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        Engine::Pairs(engine) => {
            let a = Rows { elements: bytemuck::cast_slice(bytes), stride: form.stride() };
            let mut sums = Sums([0.0; MAX_ROWS * 2 * MAX_LANES]);
            for panel in 0..epilogue.n.div_ceil(panel::<S>()) {
                let weights = epilogue.weights.panel::<u32>(panel);
                let mut row = 0;
                while row < rows {
                    let count = S::ROWS.min(rows - row);
                    engine.multiply(a.from(row), count, weights, &mut sums.0);
                    epilogue.finish::<S, f32>(s, &sums.0, row, count, panel);
                    row += count;
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        Engine::ByteTiles(engine) => {
            in_tiles::tiles::<super::super::simd::tiles::Bytes, S>(
                s, engine, form, bytes, rows, epilogue,
            );
        }
        #[cfg(target_arch = "x86_64")]
        Engine::PairTiles(engine) => {
            in_tiles::tiles::<super::super::simd::tiles::Bf16Pairs, S>(
                s, engine, form, bytes, rows, epilogue,
            );
        }
        #[cfg(target_arch = "aarch64")]
        Engine::Dot(engine) => together(s, engine, form, bytes, rows, epilogue),
        #[cfg(target_arch = "aarch64")]
        Engine::ByteBlocks(engine) => together(s, engine, form, bytes, rows, epilogue),
        #[cfg(target_arch = "aarch64")]
        Engine::Bf16Blocks(engine) => together(s, engine, form, bytes, rows, epilogue),
    }
}

/// All panels of float weights.
#[inline(always)]
fn floats<S: Simd, E: Element + Pod>(
    s: S,
    a: Rows<'_, f32>,
    rows: usize,
    epilogue: &mut Epilogue<'_>,
) {
    let mut sums = Sums([0.0; MAX_ROWS * 2 * MAX_LANES]);
    let width = panel::<S>();
    for panel in 0..epilogue.n.div_ceil(width) {
        let weights = epilogue.weights.panel::<E>(panel);
        let mut row = 0;
        while row < rows {
            let count = S::ROWS.min(rows - row);
            tile::floats(s, a.from(row), count, weights, &mut sums.0, width);
            epilogue.finish::<S, f32>(s, &sums.0, row, count, panel);
            row += count;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod in_tiles {
    use std::marker::PhantomData;

    use super::super::super::simd::Simd;
    use super::super::super::simd::tiles::{
        Beside, Product, Start, TILE_COLUMNS, TILE_ROWS, TileSums, Tiles,
    };
    use super::super::epilogue::{Epilogue, Sum};
    use super::super::operand::Form;

    /// All panels, in tiles. The sums of a tile are finished beside the products of the next.
    #[inline(always)]
    pub(super) fn tiles<P: Product<Sum: Sum>, S: Simd>(
        s: S,
        tiles: Tiles,
        form: Form,
        operand: &[u8],
        rows: usize,
        epilogue: &mut Epilogue<'_>,
    ) {
        let mut session = tiles.start();
        let mut sums = [TileSums::ZERO; 2];
        let [mut now, mut before] = sums.each_mut();
        let (mut row, mut count, mut panel) = (0, 0, 0);
        let tile = form.bytes(TILE_ROWS);
        for next_panel in 0..epilogue.n.div_ceil(TILE_COLUMNS) {
            let weights = epilogue.weights.panel::<u8>(next_panel);
            let mut next = 0;
            while next < rows {
                let a = &operand[next / TILE_ROWS * tile..][..tile];
                let mut finish = Finish::<P> {
                    epilogue: &mut *epilogue,
                    sums: before,
                    row,
                    count,
                    panel,
                    done: 0,
                    product: PhantomData,
                };
                session.multiply::<P, S>(s, a, weights, Start::Zero, now, &mut finish);
                finish.up_to(s, count);
                std::mem::swap(&mut now, &mut before);
                (row, count, panel) = (next, TILE_ROWS.min(rows - next), next_panel);
                next += TILE_ROWS;
            }
        }
        let mut finish = Finish::<P> {
            epilogue,
            sums: before,
            row,
            count,
            panel,
            done: 0,
            product: PhantomData,
        };
        finish.up_to(s, count);
    }

    /// Sums that are not finished yet.
    struct Finish<'a, 'b, P: Product> {
        epilogue: &'a mut Epilogue<'b>,
        sums: &'a TileSums,
        row: usize,
        count: usize,
        panel: usize,
        done: usize,
        product: PhantomData<P>,
    }

    impl<P: Product<Sum: Sum>> Finish<'_, '_, P> {
        /// Finishes rows until so many are done.
        #[inline(always)]
        fn up_to<S: Simd>(&mut self, s: S, end: usize) {
            let rows = end - self.done;
            if rows > 0 {
                let sums = &self.sums.get::<P::Sum>()[self.done * TILE_COLUMNS..];
                self.epilogue.finish(s, sums, self.row + self.done, rows, self.panel);
                self.done = end;
            }
        }
    }

    impl<P: Product<Sum: Sum>> Beside for Finish<'_, '_, P> {
        #[inline(always)]
        fn slice<S: Simd>(&mut self, s: S, step: usize, steps: usize) {
            self.up_to(s, self.count * (step + 1) / steps);
        }
    }
}
