//! What really ran: a record to keep beside the features.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tilewright::backend::npu::Description;
use tilewright::encoder::{Encode, Profile};
use tilewright_kernel::KernelInfo;

use super::Done;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::place::{OnNpu, Placed};

/// The JSON object; its keys stay what they are.
#[derive(Serialize)]
struct Receipt<'a> {
    tilewright: &'static str,
    model: &'static str,
    target: String,
    device: Option<&'a Description>,
    xclbin: Option<&'static str>,
    streams: Vec<Stream>,
    ops: Vec<Op>,
    features: &'a str,
}

/// The instructions of an op.
#[derive(Serialize)]
struct Stream {
    op: &'static str,
    sequence: &'static str,
    m: usize,
    k: usize,
    n: usize,
    hash: Option<&'static str>,
}

/// An op on one of the backends.
#[derive(Serialize)]
struct Op {
    op: &'static str,
    backend: &'static str,
    calls: u64,
    total_us: f64,
    packing_us: Option<f64>,
    device_us: Option<f64>,
    waiting_us: Option<f64>,
    unpacking_us: Option<f64>,
}

/// Writes it. `array` is what matmuls ran on that did not run on the CPU.
pub(super) fn write(
    path: &Path,
    placed: &Placed,
    array: &'static str,
    used: Option<&OnNpu>,
    done: &Done,
) -> Result<(), CliError> {
    let streams = |kernels: [&'static KernelInfo; 4]| {
        let of = |kernel: &'static KernelInfo| Stream {
            op: kernel.op,
            sequence: kernel.sequence,
            m: kernel.shape.m,
            k: kernel.shape.k,
            n: kernel.shape.n,
            hash: kernel.stream.map(|stream| stream.hash),
        };
        kernels.map(of).into()
    };
    let encoder: &dyn Encode = placed.encoder.as_ref();
    let receipt = Receipt {
        tilewright: env!("CARGO_PKG_VERSION"),
        model: placed.target.model,
        target: placed.target.name(),
        device: used.map(|used| &used.device),
        xclbin: used.map(|used| used.xclbin_hash),
        streams: if used.is_some() { streams(encoder.kernels()) } else { Vec::new() },
        ops: ops(&done.profile, array),
        features: &done.checksum,
    };
    let text = serde_json::to_string_pretty(&receipt);
    let text = text.map_err(|error| CliError::Stdout(error.into()))?;
    output::write(path, &(text + "\n"))
}

/// Every op by what it ran on: an op that ran on both, after an NPU failed, is there twice.
fn ops(profile: &Profile, array: &'static str) -> Vec<Op> {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let mut ops = Vec::new();
    for &(op, calls, time) in profile.operators() {
        let on_array = profile.on_array().iter().find(|(name, _)| *name == op);
        let (mut cpu_calls, mut cpu_time) = (calls, time);
        if let Some((_, spent)) = on_array {
            let runs = u64::from(spent.runs);
            let there = spent.packing + spent.waiting + spent.unpacking;
            cpu_calls = calls.saturating_sub(runs);
            cpu_time = time.saturating_sub(there);
            ops.push(Op {
                op,
                backend: array,
                calls: runs,
                total_us: us(there),
                packing_us: Some(us(spent.packing)),
                device_us: Some(us(spent.device.time)),
                waiting_us: Some(us(spent.waiting)),
                unpacking_us: Some(us(spent.unpacking)),
            });
        }
        if cpu_calls > 0 {
            ops.push(Op {
                op,
                backend: "cpu",
                calls: cpu_calls,
                total_us: us(cpu_time),
                packing_us: None,
                device_us: None,
                waiting_us: None,
                unpacking_us: None,
            });
        }
    }
    ops
}
