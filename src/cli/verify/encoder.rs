//! The time of the whole encoder: the simulated array, and this machine for the rest.

use std::time::Duration;

use serde::Serialize;
use tilewright::audio::WINDOW_FRAMES;
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::backend::sim::HostTimes;
use tilewright::encoder::{self, Nobody, Profile};
use tilewright::weights::Weights;
use tilewright_codegen::plan::cost::CALL_FLOOR_US;
use tilewright_kernel::{Device, Precision, TargetInfo};

use super::{Outcome, Row};
use crate::cli::error::CliError;

/// What the encoder of a target at its longest length is predicted to take for 30 seconds.
#[derive(Clone, Serialize)]
pub(super) struct Prediction {
    pub(super) model: &'static str,
    pub(super) target: String,
    pub(super) length: Option<usize>,
    pub(super) calls: usize,
    /// Simulated.
    pub(super) array_us: f64,
    /// Measured by others, [`CALL_FLOOR_US`] each.
    pub(super) launch_us: f64,
    /// Measured here.
    pub(super) packing_us: f64,
    /// Measured here.
    pub(super) unpacking_us: f64,
    /// Measured here: what is no matmul.
    pub(super) host: Vec<HostPart>,
    pub(super) host_threads: usize,
    pub(super) total_us: f64,
    pub(super) aim_us: f64,
    /// All parts, the largest first.
    pub(super) largest: Vec<Part>,
    #[serde(skip)]
    precision: Precision,
}

#[derive(Clone, Serialize)]
pub(super) struct HostPart {
    pub(super) operator: &'static str,
    pub(super) us: f64,
}

#[derive(Clone, Serialize)]
pub(super) struct Part {
    pub(super) part: String,
    pub(super) us: f64,
    pub(super) on_array: bool,
}

/// Microseconds for 30 seconds of audio that this project aims at.
const fn aim_us(device: Device) -> f64 {
    match device {
        Device::Npu1 => 136_000.0,
        Device::Npu2 => 60_000.0,
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Prediction {
    /// Predicts it; nothing if a kernel has no time. Host parts are taken from an earlier prediction
    /// of the same model and precision.
    pub(super) fn new(
        target: &'static TargetInfo,
        rows: &[Row],
        cpu: &Cpu,
        earlier: &[Self],
    ) -> Result<Option<Self>, CliError> {
        let length = rows.iter().filter_map(|row| row.kernel.length).max();
        let in_pass = |row: &&Row| row.kernel.length.is_none() || row.kernel.length == length;
        let mut parts = Vec::new();
        let (mut array_us, mut calls) = (0.0, 0);
        let (mut packing_us, mut unpacking_us) = (0.0, 0.0);
        for row in rows.iter().filter(in_pass) {
            let Outcome::Ran(verified, _) = &row.outcome else { return Ok(None) };
            let kernel = row.kernel;
            let count = kernel.count as f64;
            let us = count * verified.microseconds;
            let (bound, busy) = (verified.bound, verified.busy * 100.0);
            let part = format!("{} on the array ({bound} {busy:.0} % busy)", kernel.op);
            parts.push(Part { part, us, on_array: true });
            let host = HostTimes::measure(kernel, cpu)?;
            packing_us += count * microseconds(host.packing);
            unpacking_us += count * microseconds(host.unpacking);
            array_us += us;
            calls += kernel.count;
        }
        let same =
            |other: &&Self| other.model == target.model && other.precision == target.precision;
        let host = match earlier.iter().find(same) {
            Some(other) => other.host.clone(),
            None => host_parts(target, length, *cpu)?,
        };
        let launch_us = calls as f64 * CALL_FLOOR_US;
        for (part, us) in
            [("floor of calls", launch_us), ("packing", packing_us), ("unpacking", unpacking_us)]
        {
            parts.push(Part { part: part.to_owned(), us, on_array: false });
        }
        let on_host = |host: &HostPart| Part {
            part: format!("{} on this machine", host.operator),
            us: host.us,
            on_array: false,
        };
        parts.extend(host.iter().map(on_host));
        parts.sort_by(|x, y| y.us.total_cmp(&x.us));
        Ok(Some(Self {
            model: target.model,
            target: target.name(),
            length,
            calls,
            array_us,
            launch_us,
            packing_us,
            unpacking_us,
            host,
            host_threads: rayon::current_num_threads(),
            total_us: parts.iter().map(|part| part.us).sum(),
            aim_us: aim_us(target.device),
            largest: parts,
            precision: target.precision,
        }))
    }
}

/// Time of everything that is no matmul in one pass of the encoder, by operator: the shortest of
/// some, as the machine may have other work.
fn host_parts(
    target: &'static TargetInfo,
    length: Option<usize>,
    cpu: Cpu,
) -> Result<Vec<HostPart>, CliError> {
    const ROUNDS: usize = 3;
    let numeric = match target.precision {
        Precision::I8 => Numeric::I8 { activations: Scaling::PerRow },
        Precision::Bf16 => Numeric::Bf16,
    };
    let weights = Weights::synthetic();
    let cache = weights.pack_cache()?;
    let mut encoder = encoder::load(target, length, cpu, numeric, &weights, Some(&cache))?;
    let mel: Vec<f32> = (0..encoder.dimensions().mel_bins * WINDOW_FRAMES)
        .map(|i| (i % 97) as f32 / 97.0 - 0.5)
        .collect();
    let matmuls = encoder.kernels().map(|kernel| kernel.op);
    encoder.encode(&mel, &mut Nobody)?;
    let mut rounds: Vec<Profile> = Vec::new();
    for _ in 0..ROUNDS {
        let mut profile = Profile::default();
        encoder.encode(&mel, &mut profile)?;
        rounds.push(profile);
    }
    let operators = rounds.first().map(Profile::operators).unwrap_or_default().iter();
    let others = operators.map(|(name, ..)| *name).filter(|name| !matmuls.contains(name));
    let parts = others.map(|operator| {
        let of_round = |profile: &Profile| {
            let found = profile.operators().iter().find(|(name, ..)| *name == operator);
            found.map_or(0.0, |(.., time)| microseconds(*time))
        };
        HostPart { operator, us: rounds.iter().map(of_round).fold(f64::INFINITY, f64::min) }
    });
    Ok(parts.collect())
}
