//! What everything costs, in cycles of the array: one table per device.

use crate::netlist::Family;

/// Rates and latencies of a device in a machine.
///
/// Sources, by the letters of `npu.md`: P is arXiv 2512.13282, I is IRON's GEMM, W is whisper-xdna, X
/// are public XDNA projects, M is MLIR-AIE. E are traces of a Phoenix in the findings of xdna-emu, T
/// are traces of AIE2P cores by a public project that runs MiniLM. What is fitted says on what, and
/// `YARDSTICKS.md` how well it does. What has no source is an assumption and says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Cycles per microsecond: ~1.0 GHz turbo on XDNA, ~1.8 GHz on XDNA2 (P).
    pub clock_mhz: f64,
    /// Bytes that a stream or a DMA channel moves per cycle: 32-bit streams (M, X); E measured as
    /// much between a shim and DRAM.
    pub stream_bytes: u64,
    /// Bytes per cycle that all shims share, of reads and writes together. Of the machine as much as
    /// of the device: these are DDR5-5600.
    ///
    /// XDNA: ~15 GB/s (P; the first and third of its rows by themselves give 15.2). XDNA2: 58 GB/s,
    /// fitted on the first and third of P's rows; P says ~50, which is what the reads alone come to.
    pub dram_bytes: f64,
    /// Bytes that each contiguous run in DRAM costs on top of its own.
    ///
    /// None: designs with runs of 32 to 128 bytes reach as much bandwidth on XDNA as those with 448
    /// (I and W against P). On XDNA2 short runs are slow (I: 10 GB/s, 47 when packed), by an amount
    /// that nobody published with its run length: predictions for such designs are too good there.
    pub dram_run_bytes: f64,
    /// From the push of a sequence's first task to its transfer (X: ~3050 cycles cold; E: 2700).
    pub cold_dispatch: u64,
    /// From the push of a later task to its transfer (X: ~520 cycles pipelined; E: 750 from DRAM, 170
    /// to it).
    pub dispatch: u64,
    /// Putting another design into the array: 3.4 ms on XDNA, 4.9 ms on XDNA2 (P).
    pub reconfigure: u64,
    /// Controller time of one register write. A task is about twelve of them, which comes to X's
    /// 520 cycles. Assumption.
    pub register_write: u64,
    /// From the end of a transfer to the controller's seeing its token. Assumption.
    pub token: u64,
    /// From a release to a waiting core's going on (E: 15 cycles from the end of a DMA's transfer).
    pub lock: u64,
    /// From one descriptor of a channel to the next (E: the port idles for 1 cycle).
    pub descriptor: u64,
    /// Entering and leaving a function of the core, pipelines included: with the locks and the loop
    /// around it 84 cycles from the end of one matmul to the beginning of the next (T).
    pub call: u64,
    /// Bytes of its arguments that a function moves per cycle when it does not say what it takes:
    /// one 256-bit load or store a cycle (M).
    pub function_bytes: u64,
    /// Microseconds of one waited call besides the run of its sequence, through XRT's C++ interface
    /// or pyxrt: no part of [`Run::cycles`](super::Run::cycles).
    ///
    /// Sources say 110 to 270 (W, I, X); 130 is fitted on every other row of I.
    pub launch_us: f64,
}

/// The table.
pub const fn timing(family: Family) -> Timing {
    let both = Timing {
        clock_mhz: 1000.0,
        stream_bytes: 4,
        dram_bytes: 15.0,
        dram_run_bytes: 0.0,
        cold_dispatch: 3050,
        dispatch: 520,
        reconfigure: 3_400_000,
        register_write: 40,
        token: 200,
        lock: 15,
        descriptor: 1,
        call: 76,
        function_bytes: 32,
        launch_us: 130.0,
    };
    match family {
        Family::Npu1 => both,
        // Latencies in cycles are taken to be those of XDNA: nobody published others.
        Family::Npu2 => Timing {
            clock_mhz: 1800.0,
            dram_bytes: 58_000.0 / 1800.0,
            reconfigure: 8_820_000,
            ..both
        },
    }
}
