//! An operand against every panel of weights, with whatever engine they were packed for.
//!
//! A few rows stay in the second-level cache, and a panel in the first or second, while tiles pass
//! over them. Vectors sum all of K in registers, so that a sum leaves them once, through the epilogue;
//! tiles sum a part of K at a time, as many rows as there are, while the panel's part is in the first.

use bytemuck::Pod;
use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::super::simd::tiles::{
    Bf16Pairs, Bytes, Pair, Product, Start, TILE, TILE_COLUMNS, TILE_ROWS, TileSums, Tiles,
};
use super::super::simd::{Engine, MAX_LANES, Simd, panel};
use super::super::tile::{self, Element, MAX_ROWS, Rows};
#[cfg(target_arch = "aarch64")]
use super::blocks::together;
use super::epilogue::Epilogue;
#[cfg(target_arch = "x86_64")]
use super::epilogue::Sum;
use super::operand::Form;
#[cfg(target_arch = "x86_64")]
use super::{FEW, MANY};

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
        Engine::Vnni256(engine) if S::LANES == 8 => {
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
        Engine::Pairs(engine) if S::LANES == 16 => {
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
        Engine::ByteTiles(engine) if S::LANES == 16 => {
            in_tiles::<Bytes, S>(s, engine, form, bytes, rows, epilogue);
        }
        #[cfg(target_arch = "x86_64")]
        Engine::PairTiles(engine) if S::LANES == 16 => {
            in_tiles::<Bf16Pairs, S>(s, engine, form, bytes, rows, epilogue);
        }
        // Engines come with vectors of their width: no code for other ones.
        #[cfg(target_arch = "x86_64")]
        _ => unreachable!("an engine without its vectors"),
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

/// All panels, in tiles.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn in_tiles<P: Product<Sum: Sum>, S: Simd>(
    s: S,
    tiles: Tiles,
    form: Form,
    operand: &[u8],
    rows: usize,
    epilogue: &mut Epilogue<'_>,
) {
    /// Steps of K at a time: as many as leave the panel's part in the first-level cache while all
    /// rows pass over it.
    const STEPS: usize = 8;
    let mut session = tiles.start();
    // What many rows need is not cleared for few, which can be measured.
    let (mut few, mut many);
    let sums: &mut [TileSums] = if rows <= FEW {
        few = [TileSums::ZERO; FEW.div_ceil(TILE_ROWS)];
        &mut few
    } else {
        many = [TileSums::ZERO; MANY.div_ceil(TILE_ROWS)];
        &mut many
    };
    let sums = &mut sums[..rows.div_ceil(TILE_ROWS)];
    let tile = form.bytes(TILE_ROWS);
    for panel in 0..epilogue.n.div_ceil(TILE_COLUMNS) {
        let weights = epilogue.weights.panel::<u8>(panel);
        let mut start = Start::Zero;
        for (part, weights) in weights.chunks(STEPS * 2 * TILE).enumerate() {
            for (a, sums) in operand.chunks_exact(tile).zip(&mut *sums) {
                let bytes = &a[part * STEPS * TILE..];
                let a = Pair { bytes, step: TILE, second: tile / 2 };
                session.multiply::<P>(a, weights, start, sums);
            }
            start = Start::Sums;
        }
        for (i, sums) in sums.iter().enumerate() {
            let row = i * TILE_ROWS;
            let count = TILE_ROWS.min(rows - row);
            epilogue.finish::<S, P::Sum>(s, sums.get(), row, count, panel);
            epilogue.finished(row, count, panel);
        }
    }
}
