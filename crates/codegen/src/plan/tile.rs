//! `tile = "auto"`: the tile with the smallest predicted time over all matmuls of a model.

use super::array::Layout;
use super::cost::Cost;
use super::limits;
use super::sequence::Sequence;
use crate::device::{self, Device, Epilogue, MAX_RUNS, Precision, Shape, Tile, TileKind};

/// A matmul that a tile has to serve, and how often it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Exact shape.
    pub shape: Shape,
    /// What follows the sums.
    pub epilogue: Epilogue,
    /// Runs in one pass of the model.
    pub count: u64,
}

/// Picks the tile that serves `loads` in the smallest predicted time among those that keep every
/// limit for them and for `others`; none if there is none.
///
/// The search is exhaustive over the tiles that fit into a core: some thousand candidates. Those with
/// the largest m·n, which move the least, come first, so that most of the rest is given up early as
/// slower than the best so far.
pub fn pick(
    device: Device,
    precision: Precision,
    loads: &[Load],
    others: &[Load],
) -> Option<Layout> {
    let mut layouts: Vec<Layout> = candidates(device, precision).collect();
    layouts.sort_by_key(|layout| std::cmp::Reverse(layout.c_elements()));
    let mut best: Option<(f64, Layout)> = None;
    for layout in layouts {
        let limit = best.as_ref().map_or(f64::INFINITY, |(time, _)| *time);
        if let Some(time) = predicted_below(&layout, loads, limit)
            && is_legal(&layout, loads.iter().chain(others))
        {
            best = Some((time, layout));
        }
    }
    best.map(|(_, layout)| layout)
}

/// All tiles of whole micro-tile pairs that fit into a core, in a fixed order.
fn candidates(device: Device, precision: Precision) -> impl Iterator<Item = Layout> {
    let memory = device::limits(TileKind::Core).memory;
    let micro = device.micro_tile(precision);
    let fits = move |tile: &Tile| Layout::new(device, precision, *tile).core_bytes() <= memory;
    let (dm, dk, dn) = (2 * micro.r, micro.s, 2 * micro.t);
    // The first tile of each axis that does not fit ends it: needs grow with m, k and n.
    (1..).map(move |i| i * dm).take_while(move |&m| fits(&Tile { m, k: dk, n: dn })).flat_map(
        move |m| {
            let columns = (1..).map(move |j| j * dn);
            columns.take_while(move |&n| fits(&Tile { m, k: dk, n })).flat_map(move |n| {
                let depths = (1..).map(move |l| Tile { m, k: l * dk, n });
                depths.take_while(fits).map(move |tile| Layout::new(device, precision, tile))
            })
        },
    )
}

/// Predicted time of all loads in microseconds, if it is below a limit.
fn predicted_below(layout: &Layout, loads: &[Load], limit: f64) -> Option<f64> {
    let mut time = 0.0;
    for load in loads {
        time += load.count as f64 * Cost::new(layout, load.shape, load.epilogue).array_us;
        if time >= limit {
            return None;
        }
    }
    Some(time)
}

/// Predicted time of all loads in microseconds.
pub fn predicted(layout: &Layout, loads: &[Load]) -> f64 {
    predicted_below(layout, loads, f64::INFINITY).unwrap_or(f64::INFINITY)
}

fn is_legal<'a>(layout: &Layout, loads: impl Iterator<Item = &'a Load> + Clone) -> bool {
    // What most often fails is cheap to see without planning a sequence.
    let blocks_fit = loads.clone().all(|load| {
        let loops = layout.loops(load.shape);
        loops.row_blocks <= MAX_RUNS && loops.column_blocks <= MAX_RUNS
    });
    if !blocks_fit || !limits::check_layout(layout).is_empty() {
        return false;
    }
    let array = layout.array();
    let is_clean = |load: &Load| {
        let sequence = Sequence::new(layout, load.shape, load.epilogue);
        limits::check_sequence(&array, &sequence).is_empty()
    };
    let mut loads = loads;
    limits::check_array(&array).is_empty() && loads.all(is_clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whisper_base() -> Vec<Load> {
        let load = |k, n, epilogue| Load { shape: Shape { m: 1500, k, n }, epilogue, count: 6 };
        vec![
            load(512, 1536, Epilogue::Bias),
            load(512, 512, Epilogue::Bias),
            load(512, 2048, Epilogue::BiasGelu),
            load(2048, 512, Epilogue::Bias),
        ]
    }

    #[test]
    fn auto_beats_64_64_64_unless_that_is_the_best() {
        let loads = whisper_base();
        for device in Device::ALL {
            for precision in Precision::ALL {
                let plain = Layout::new(device, precision, Tile { m: 64, k: 64, n: 64 });
                let picked =
                    pick(device, precision, &loads, &[]).expect("a tile serves Whisper base");
                let (ours, theirs) = (predicted(&picked, &loads), predicted(&plain, &loads));
                let same = picked.tile == plain.tile;
                assert!(
                    ours < theirs || same,
                    "{device} {precision}: {} {ours} {theirs}",
                    picked.tile
                );
            }
        }
    }

    #[test]
    fn every_candidate_fits_into_a_core() {
        for layout in candidates(Device::Npu2, Precision::Bf16) {
            assert!(layout.core_bytes() <= 64 << 10, "{}", layout.tile);
        }
    }
}
