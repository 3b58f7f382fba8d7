//! The encoder with its matmuls on the simulated array.

use std::time::Duration;

use tilewright::audio::{LogMel, WINDOW_SAMPLES};
use tilewright::backend::array::{Array, Spent};
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::backend::sim::Sim;
use tilewright::encoder::{self, Distance, Matmuls, Observer};
use tilewright::kernels::TABLE;
use tilewright::weights::Weights;
use tilewright_kernel::{Precision, TargetInfo};

/// Keeps hidden values and counts the array's runs.
#[derive(Default)]
struct Watch {
    hidden: Vec<Vec<f32>>,
    runs: u32,
    array: Duration,
}

impl Observer for Watch {
    fn hidden(&mut self, _: usize, values: &[f32]) {
        self.hidden.push(values.to_vec());
    }

    fn array(&mut self, _: &'static str, spent: &Spent) {
        self.runs += spent.runs;
        self.array += spent.device.time;
        assert!(spent.device.simulated && spent.waiting > Duration::ZERO);
    }
}

fn encode(target: &'static TargetInfo, matmuls: Matmuls, cpu: Cpu, windows: usize) -> Watch {
    let length = TABLE.kernels().filter_map(|kernel| kernel.length).min();
    let weights = Weights::synthetic();
    let mut encoder = encoder::load(target, length, cpu, matmuls, &weights, None).unwrap();
    let mel = LogMel::new(encoder.dimensions().mel_bins).unwrap();
    let tone = |i: usize| (i as f32 * 0.05).sin() * (i as f32 * 1e-4).cos() * 0.3;
    let samples: Vec<f32> = (0..WINDOW_SAMPLES).map(tone).collect();
    let mel = mel.compute(&samples).repeat(windows);
    let mut watch = Watch::default();
    encoder.encode(&mel, &mut watch).unwrap();
    watch
}

/// Hidden values of the simulated array against those of the CPU that rounds results to bf16 too.
/// Sums in another order and GELU to another last place re-roll the rounding of what is quantised
/// next, so the two drift apart with each layer, but not farther than i8 is from f32.
#[test]
fn layers_are_those_of_the_cpu() {
    let mut by_precision: Vec<(Precision, Watch)> = Vec::new();
    for target in TABLE.targets.iter().copied() {
        let cpu = Cpu::new().unwrap().narrow(true);
        let numeric = match target.precision {
            Precision::I8 => Numeric::I8 { activations: Scaling::PerRow },
            Precision::Bf16 => Numeric::Bf16,
        };
        let array = Array::new(Box::new(Sim::new(target).unwrap()), cpu);
        let ours = encode(target, Matmuls::Array(array, Scaling::PerRow), cpu, 2);
        let theirs = encode(target, numeric.into(), cpu, 2);
        assert_eq!(ours.runs, 4 * 6 * 2, "a run for each matmul and window");
        assert_eq!(ours.hidden.len(), theirs.hidden.len());
        for (i, (ours, theirs)) in ours.hidden.iter().zip(&theirs.hidden).enumerate() {
            let half = ours.len() / 2;
            assert!(ours[..half] == ours[half..], "the second window is the first");
            let distance = Distance::new(ours, theirs);
            eprintln!("{} hidden {i}: {distance:?}", target.name());
            let bound = match (i, target.precision) {
                (0, _) => 0.0,
                (1, Precision::Bf16) => 3e-3,
                (1, Precision::I8) => 1e-2,
                (_, Precision::Bf16) => 6e-3,
                (_, Precision::I8) => 3e-2,
            };
            assert!(distance.relative <= bound, "{} hidden {i}: {distance:?}", target.name());
        }
        // Tiles and columns change the order of nothing that is rounded.
        match by_precision.iter().find(|(precision, _)| *precision == target.precision) {
            Some((_, other)) => assert!(other.hidden == ours.hidden, "devices differ"),
            None => by_precision.push((target.precision, ours)),
        }
    }
}
