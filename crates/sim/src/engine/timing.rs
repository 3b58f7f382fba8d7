//! What everything costs, in cycles of the array: one table per device.

use crate::netlist::Family;

/// Rates and latencies of a device.
///
/// Sources, by the letters of `npu.md`: P is arXiv 2512.13282, X are public XDNA projects, M is
/// MLIR-AIE. What has no source is an assumption and says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Cycles per microsecond: ~1.0 GHz turbo on XDNA, ~1.8 GHz on XDNA2 (P).
    pub clock_mhz: f64,
    /// Bytes that a stream or a DMA channel moves per cycle: 32-bit streams (M, X).
    pub stream_bytes: u64,
    /// Bytes per cycle that all shims share: ~15 GB/s on XDNA, ~50 GB/s on XDNA2 (P).
    pub dram_bytes: f64,
    /// Bytes that each contiguous run in DRAM costs on top of its own: short bursts are slow (P, I).
    pub dram_run_bytes: f64,
    /// From a sequence's first task to its transfer (X: ~3050 cycles cold).
    pub cold_dispatch: u64,
    /// From the push of a later task to its transfer (X: ~520 cycles pipelined).
    pub dispatch: u64,
    /// Controller time of one register write. Assumption.
    pub register_write: u64,
    /// From the end of a transfer to the controller's seeing its token. Assumption.
    pub token: u64,
    /// From a release to the waiting party's going on. Assumption.
    pub lock: u64,
    /// From one descriptor of a channel to the next. Assumption.
    pub descriptor: u64,
    /// Entering and leaving a function of the core. Assumption.
    pub call: u64,
    /// Bytes of its arguments that a function moves per cycle when it does not say what it takes:
    /// one 256-bit load or store a cycle (M).
    pub function_bytes: u64,
}

/// The table.
pub const fn timing(family: Family) -> Timing {
    match family {
        Family::Npu1 => Timing {
            clock_mhz: 1000.0,
            stream_bytes: 4,
            dram_bytes: 15.0,
            dram_run_bytes: 0.0,
            cold_dispatch: 3050,
            dispatch: 520,
            register_write: 40,
            token: 200,
            lock: 4,
            descriptor: 4,
            call: 20,
            function_bytes: 32,
        },
        Family::Npu2 => Timing {
            clock_mhz: 1800.0,
            stream_bytes: 4,
            dram_bytes: 27.8,
            dram_run_bytes: 0.0,
            cold_dispatch: 3050,
            dispatch: 520,
            register_write: 40,
            token: 200,
            lock: 4,
            descriptor: 4,
            call: 20,
            function_bytes: 32,
        },
    }
}
