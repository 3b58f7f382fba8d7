//! Kernels against the reference.

use std::time::Instant;

use tilewright::backend::sim::Verifier;
use tilewright::kernels::TABLE;
use tilewright_kernel::{Device, KernelInfo, TargetInfo};

use crate::planned::targets;

/// Every op of a layer in small, at two lengths, on both devices and in both precisions. No shape is
/// a whole number of blocks, and N of `up` takes several.
const SMALL: &str = r#"
[[model]]
name = "small"
frames = [150, 40]
width = 72
layers = 2

[[target]]
device = "npu1"
precision = "i8"
tile = { m = 16, k = 24, n = 32 }

[[target]]
device = "npu1"
precision = "bf16"
tile = { m = 16, k = 40, n = 16 }

[[target]]
device = "npu2"
precision = "i8"
tile = { m = 16, k = 32, n = 32 }

[[target]]
device = "npu2"
precision = "bf16"
tile = { m = 8, k = 24, n = 16 }

[[op]]
name = "qkv"
shape = ["frames", "width", "3 * width"]
epilogue = "bias"
count = "layers"

[[op]]
name = "plain"
shape = ["frames", "width", "width"]

[[op]]
name = "up"
shape = ["frames", "width", "4 * width"]
epilogue = "bias_gelu"
count = "layers"

[[op]]
name = "down"
shape = ["frames", "4 * width", "width"]
epilogue = "bias"
count = "layers"
"#;

/// All kernels of a target, then all once more, the last first, on the same array.
fn check(target: &'static TargetInfo, kernels: &'static [KernelInfo]) {
    let start = Instant::now();
    let mut verifier = Verifier::new(target).unwrap();
    let mut verified = Vec::new();
    for kernel in kernels {
        let name = format!("{} {} {}", target.name(), kernel.op, kernel.shape);
        let done = verifier.verify(kernel).unwrap_or_else(|error| panic!("{name}: {error}"));
        eprintln!(
            "{name}: {:.3} ulp, {:.1} µs, {:.1} %, {} {:.2}, {:?}",
            done.ulps,
            done.microseconds,
            done.utilisation * 100.0,
            done.bound,
            done.busy,
            start.elapsed(),
        );
        assert!(done.is_right(), "{name}: {:?}, {} ulp", done.first_wrong_sum, done.ulps);
        assert_eq!(done.findings, [""; 0], "{name}");
        verified.push(done);
    }
    for done in verified.iter().rev() {
        let (op, shape) = (done.kernel.op, done.kernel.shape);
        assert!(verifier.again(done).unwrap(), "{} {op} {shape} the second time", target.name());
    }
}

/// Targets at the same time: most of it is the compilation of their core kernels.
fn check_all(targets: impl IntoIterator<Item = (&'static TargetInfo, &'static [KernelInfo])>) {
    std::thread::scope(|scope| {
        for (target, kernels) in targets {
            scope.spawn(|| check(target, kernels));
        }
    });
}

#[test]
fn every_kernel_of_a_small_model() {
    check_all(targets(SMALL));
}

#[test]
fn every_kernel_of_the_table_on_npu1() {
    let targets = TABLE.targets.iter().copied().zip(TABLE.kernels.iter().copied());
    check_all(targets.filter(|(target, _)| target.device == Device::Npu1));
}
