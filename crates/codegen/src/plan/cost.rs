//! Predicted time of a kernel and what bounds it.
//!
//! A first-order model after arXiv 2512.13282 ("Striking the Balance"): the slowest of the core,
//! the streams and DRAM sets the pace, and a call has a floor. Its constants are measurements where
//! there are any; the cycles of loops and of the epilogue are estimates from instruction counts.
//! The prediction of a core's rate is held against that paper's measurements in this file's tests.

use serde::Serialize;

use super::array::{Element, Layout};
use crate::device::{self, Device, Epilogue, Precision, Shape, Tile};

/// Bytes that a stream moves per cycle.
const STREAM_BYTES: f64 = 4.0;
/// First task of a call, in cycles (public XDNA projects; 520 more for each pipelined one).
const COLD_DISPATCH_CYCLES: f64 = 3050.0;
/// Floor of a waited call in microseconds: the best measured through XRT's C++ interface.
pub const CALL_FLOOR_US: f64 = 110.0;
/// Taking and giving back two objects and one call of a core function; an estimate.
const LOOP_CYCLES: f64 = 60.0;
/// Lanes of one f32 vector.
const LANES: f64 = 16.0;

/// What sets the pace of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// The cores' multiplications.
    Compute,
    /// The cores, which spend more time on scales, bias and activation than on multiplying.
    Epilogue,
    /// The stream of activations into the cores.
    A,
    /// The stream of weights into the cores.
    B,
    /// The stream of results out of a column.
    C,
    /// Host memory.
    Dram,
    /// The floor of a call.
    Launch,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Compute => "compute",
            Self::Epilogue => "epilogue",
            Self::A => "A stream",
            Self::B => "B stream",
            Self::C => "C stream",
            Self::Dram => "DRAM",
            Self::Launch => "launch",
        })
    }
}

/// Predicted cost of one run of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Bytes of A read from host memory.
    pub a_bytes: u64,
    /// Bytes of B read from host memory.
    pub b_bytes: u64,
    /// Bytes of C written to host memory.
    pub c_bytes: u64,
    /// Time on the array in microseconds, without the floor of a call.
    pub array_us: f64,
    /// Time of one waited call in microseconds.
    pub call_us: f64,
    /// Useful multiply-accumulates per possible one during `array_us`, 0 to 1.
    pub utilisation: f64,
    /// What sets the pace.
    pub bound: Bound,
}

impl Cost {
    /// Predicts one run of a shape.
    pub fn new(layout: &Layout, shape: Shape, epilogue: Epilogue) -> Self {
        let loops = layout.loops(shape);
        let padded = loops.padded(layout.device, layout.tile);
        let device = layout.device;
        let costs = device::costs(device);
        let element = layout.precision.bytes() as u64;
        let tiles = loops.output_tiles() as u64;
        let tile_bytes = |elements: usize, count: usize| elements as u64 * count as u64 * element;
        let a_tile = tile_bytes(layout.a_elements(), layout.a_tiles(&loops));
        let b_tile = tile_bytes(layout.b_elements(), layout.b_tiles(&loops));
        let c_tile = (layout.c_elements() * Element::Bf16.bytes() * Device::ROWS) as u64;
        let a_bytes = a_tile * tiles * Device::ROWS as u64;
        let b_bytes = b_tile * tiles * device.columns() as u64;
        let c_bytes = (padded.m * padded.n * Element::Bf16.bytes()) as u64;

        let stream = |bytes: u64| tiles as f64 * bytes as f64 / STREAM_BYTES / costs.clock_mhz;
        let multiply = loops.k_tiles as f64 * (matmul_cycles(layout) + LOOP_CYCLES);
        let finish = epilogue_cycles(layout, epilogue);
        let compute = tiles as f64 * (multiply + finish) / costs.clock_mhz;
        let of_the_core = if finish > multiply { Bound::Epilogue } else { Bound::Compute };
        let dram = (a_bytes + b_bytes + c_bytes) as f64 / costs.dram_bytes_per_us;
        let candidates = [
            (of_the_core, compute),
            (Bound::A, stream(a_tile)),
            (Bound::B, stream(b_tile)),
            (Bound::C, stream(c_tile)),
            (Bound::Dram, dram),
        ];
        let slowest = candidates.into_iter().max_by(|x, y| x.1.total_cmp(&y.1));
        let (mut bound, pace) = slowest.unwrap_or((of_the_core, compute));
        let array_us = pace + COLD_DISPATCH_CYCLES / costs.clock_mhz;
        if CALL_FLOOR_US > array_us {
            bound = Bound::Launch;
        }
        let macs = shape.m as f64 * shape.k as f64 * shape.n as f64;
        let peak =
            device::peak_macs(device, layout.precision) * device.cores() as f64 * costs.clock_mhz;
        Self {
            a_bytes,
            b_bytes,
            c_bytes,
            array_us,
            call_us: array_us + CALL_FLOOR_US,
            utilisation: macs / (peak * array_us),
            bound,
        }
    }
}

/// Cycles of one tile's matmul: four micro-tiles at a time at the peak rate, and their sums loaded
/// and stored once per pass over k.
pub fn matmul_cycles(layout: &Layout) -> f64 {
    let (Tile { m, k, n }, micro) = (layout.tile, layout.micro);
    let passes = (m / (2 * micro.r)) * (n / (2 * micro.t));
    let macs = (4 * micro.r * micro.t * k) as f64;
    let multiply = macs / device::peak_macs(layout.device, layout.precision);
    let sums = (4 * micro.r * micro.t * 4) as f64 / device::costs(layout.device).store_bytes;
    passes as f64 * (multiply + sums)
}

/// Cycles of the epilogue for one output tile.
///
/// Vector instructions per 16 results of `gemm.cc.tera`, counted by hand from the AIE API's sources:
/// on AIE2, float and 32-bit integer operations of 16 lanes count twice, because they take two
/// instructions; on AIE2P the latter only. Neither moves between registers nor the overlap of slots
/// of an instruction word is counted. An estimate until a core's simulator or a device says more.
pub fn epilogue_cycles(layout: &Layout, epilogue: Epilogue) -> f64 {
    let [none, bias, bias_gelu] = match (layout.device, layout.precision) {
        (Device::Npu1, Precision::I8) => [19.0, 20.0, 72.0],
        (Device::Npu2, Precision::I8) => [11.0, 12.0, 54.0],
        (Device::Npu1, Precision::Bf16) => [2.0, 3.0, 46.0],
        (Device::Npu2, Precision::Bf16) => [1.0, 1.5, 39.0],
    };
    let per_vector = match epilogue {
        Epilogue::None => none,
        Epilogue::Bias => bias,
        Epilogue::BiasGelu => bias_gelu,
    };
    layout.c_elements() as f64 / LANES * per_vector
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured MAC/cycle of one core with 32-bit sums, arXiv 2512.13282; plain bf16 of AIE2P was
    /// not measured there.
    #[test]
    fn a_core_is_predicted_within_15_percent_of_what_was_measured() {
        let measured = [
            (Device::Npu1, Precision::I8, Tile { m: 80, k: 88, n: 96 }, 192.0),
            (Device::Npu1, Precision::Bf16, Tile { m: 96, k: 56, n: 96 }, 112.6),
            (Device::Npu2, Precision::I8, Tile { m: 96, k: 64, n: 96 }, 384.0),
        ];
        for (device, precision, tile, measured) in measured {
            let layout = Layout::new(device, precision, tile);
            let predicted = (tile.m * tile.k * tile.n) as f64 / matmul_cycles(&layout);
            let ratio = predicted / measured;
            assert!((0.85..=1.15).contains(&ratio), "{device} {precision} {tile}: {predicted}");
        }
    }

    /// Wall clock of IRON's GEMM on npu1 in bf16, in microseconds, by the shape M×K×N.
    #[test]
    fn a_call_is_predicted_within_a_factor_of_two_of_what_was_measured() {
        let measured = [
            ([256, 512, 512], 218.0),
            ([512, 512, 1024], 390.0),
            ([512, 1024, 1024], 639.0),
            ([1024, 1024, 1024], 1071.0),
            ([512, 1536, 1536], 1498.0),
            ([1024, 2048, 1024], 2134.0),
        ];
        let layout = Layout::new(Device::Npu1, Precision::Bf16, Tile { m: 64, k: 64, n: 64 });
        for ([m, k, n], measured) in measured {
            let predicted = Cost::new(&layout, Shape { m, k, n }, Epilogue::None).call_us;
            let ratio = predicted / measured;
            assert!((0.5..=2.0).contains(&ratio), "{m}×{k}×{n}: {predicted} for {measured}");
        }
    }
}
