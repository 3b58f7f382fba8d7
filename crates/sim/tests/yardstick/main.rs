//! Predicted throughput against published measurements: `npu.md`'s yardstick tables.
//!
//! The designs that were measured are not ours, so they are written here as they were published; see
//! `YARDSTICKS.md` for the table that this prints with `--nocapture` and what was fitted on what.

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod gemm;
mod panels;
mod tables;
mod whole_array;

use gemm::Rates;
use tables::{Core, Design, Row, Source, rows};
use tilewright_sim::engine::{Timing, timing};
use tilewright_sim::netlist::Family;

/// What throughput may be off by.
const BOUND: f64 = 0.15;
/// GB/s of the machines of W (LPDDR5X) and, as far as its rows tell, of I. Fitted on the rows of both
/// that are marked; DDR5-5600 to LPDDR5X-7500 is 15 to 20.
const LPDDR5X: f64 = 19.5;
/// MAC per cycle of the stock kernel for bf16, compiled by Peano. Fitted on the same rows.
const STOCK_BF16: f64 = 65.0;
/// MAC per cycle of the stock kernel for i8 to i32, compiled by Peano. Fitted on the only row.
const STOCK_I8: f64 = 68.0;
/// Bytes that `zero` stores per cycle: one vector of 256 bits.
const ZERO_BYTES: f64 = 32.0;

fn machine(row: &Row) -> Timing {
    let family = if row.gemm.device == "npu1" { Family::Npu1 } else { Family::Npu2 };
    let timing = timing(family);
    match row.source {
        Source::P => timing,
        Source::I | Source::W => Timing { dram_bytes: LPDDR5X * 1e3 / timing.clock_mhz, ..timing },
    }
}

/// Microseconds of a call.
fn predict(row: &Row, timing: Timing, stock_bf16: f64) -> f64 {
    let design = match row.design {
        Design::Panels(panel) => panels::design(&row.gemm, panel),
        Design::WholeArray(micro) => whole_array::design(&row.gemm, micro),
    };
    let macs = match row.core {
        Core::Published(macs) => macs,
        Core::StockBf16 => stock_bf16,
        Core::StockI8 => STOCK_I8,
    };
    let run = row.gemm.run(&design, Rates { macs, zero_bytes: ZERO_BYTES }, timing);
    assert!(run.findings.is_empty(), "{}: {:?}", row.name(), run.findings);
    run.microseconds + timing.launch_us
}

/// What throughput is predicted too high by.
fn error(row: &Row, predicted: f64) -> f64 {
    row.published / predicted - 1.0
}

#[test]
fn published_throughput_is_predicted_within_15_percent() {
    println!("| | row | published µs | predicted µs | throughput | |");
    println!("|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
    for row in rows() {
        let predicted = predict(&row, machine(&row), STOCK_BF16);
        let error = error(&row, predicted);
        println!(
            "| {:?} | {} | {:.0} | {predicted:.0} | {:+.1} % | {} |",
            row.source,
            row.name(),
            row.published,
            100.0 * error,
            if row.fitted { "fitted" } else { "held out" },
        );
        // A row that is known to be off must not be forgotten when it no longer is.
        let (low, high) = row.known.map_or((0.0, BOUND), |known| (BOUND, known.bound));
        if error.abs() < low || error.abs() > high {
            wrong.push(format!("{}: {:+.1} %", row.name(), 100.0 * error));
        }
    }
    for row in rows() {
        if let Some(known) = row.known {
            println!("\n{}: {}", row.name(), known.why);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Repeats the fits: `cargo test --release -p tilewright-sim --test yardstick -- --ignored --nocapture`.
#[test]
#[ignore = "minutes: run when constants or the engine's time model change"]
fn fits() {
    let rows = rows();
    let fitted = |sources: &[Source], device: &str| -> Vec<Row> {
        let of = |row: &&Row| sources.contains(&row.source) && row.gemm.device == device;
        rows.iter().filter(of).filter(|row| row.fitted).copied().collect()
    };
    let misses = |rows: &[Row], gbs: f64, launch_us: f64, stock: f64| -> f64 {
        let of_row = |row: &Row| {
            let timing = machine(row);
            let dram_bytes = gbs * 1e3 / timing.clock_mhz;
            let predicted = predict(row, Timing { dram_bytes, launch_us, ..timing }, stock);
            (predicted / row.published).ln().powi(2)
        };
        (rows.iter().map(of_row).sum::<f64>() / rows.len() as f64).sqrt()
    };
    for (device, from, to) in [("npu1", 13.0, 19.0), ("npu2", 50.0, 65.0)] {
        let rows = fitted(&[Source::P], device);
        let steps = (0..=30).map(|i| from + (to - from) * f64::from(i) / 30.0);
        let best = steps
            .map(|gbs| (misses(&rows, gbs, 130.0, STOCK_BF16), gbs))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        println!("P, {device}: (rms, GB/s) = {best:?}");
    }
    let mut rows = fitted(&[Source::I, Source::W], "npu1");
    rows.retain(|row| row.core == Core::StockBf16);
    let mut best = (f64::MAX, 0.0, 0.0, 0.0);
    for gbs in [18.0, 18.5, 19.0, 19.5, 20.0, 20.5, 21.0] {
        for stock in [61.0, 63.0, 65.0, 67.0, 69.0] {
            for launch in [110.0, 120.0, 130.0, 140.0, 150.0] {
                let rms = misses(&rows, gbs, launch, stock);
                if rms < best.0 {
                    best = (rms, gbs, stock, launch);
                }
            }
        }
    }
    println!("I and W: (rms, GB/s, MAC/cycle, µs) = {best:?}");
    // What the row that cannot be predicted would be with a tile that its authors may have chosen.
    let mut odd: Vec<Row> = tables::rows().into_iter().filter(|row| row.known.is_some()).collect();
    for row in &mut odd {
        row.gemm.n = 48;
        let predicted = predict(row, machine(row), STOCK_BF16);
        println!("{}: {:+.1} %", row.name(), 100.0 * error(row, predicted));
    }
}
