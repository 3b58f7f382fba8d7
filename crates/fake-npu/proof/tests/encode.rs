//! `tilewright encode --backend npu`: the command line, an unmodified XRT, and a simulated NPU.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::machine;
use fake_npu::{Fault, Machine};
use tilewright_kernel::Device;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tilewright-nano");

/// `encode` with these arguments; `command` is the program on the machine, or by itself.
fn encode(mut command: Command, out: &Path, arguments: &[&str]) -> Output {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../samples/speech.wav");
    command.arg("encode").arg(sample).arg("--json").arg("--out").arg(out).args(arguments);
    let output = command.output().unwrap();
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

struct Scratch {
    folder: tempfile::TempDir,
    /// Seconds that a run may take; the simulator takes its time on a busy machine.
    patience: &'static str,
}

impl Scratch {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), patience: "3600" }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `encode` on the machine.
    fn on(&self, machine: &Machine, arguments: &[&str]) -> Output {
        let mut command = machine.command(PROGRAM);
        command.env("TILEWRIGHT_NPU_TIMEOUT", self.patience);
        let output = encode(command, &self.file("npu.safetensors"), arguments);
        for problem in machine.npu().problems() {
            eprintln!("problem: {problem}");
        }
        output
    }

    /// `encode` on the simulator, without any driver: the features.
    fn simulated(&self, target: &str) -> Vec<u8> {
        let out = self.file("sim.safetensors");
        let arguments = ["--backend", "sim", "--target", target];
        assert!(encode(Command::new(PROGRAM), &out, &arguments).status.success());
        std::fs::read(out).unwrap()
    }

    fn features(&self) -> Vec<u8> {
        std::fs::read(self.file("npu.safetensors")).unwrap()
    }
}

/// Runs of one pass of nano: two layers of four matmuls.
const RUNS: usize = 8;
/// Shapes, each of which is tested once.
const SHAPES: usize = 4;

#[test]
fn the_encoder_is_the_simulators_to_the_bit() {
    for (device, name, precision) in [
        (Device::Npu1, "npu1-i8", "i8"),
        (Device::Npu1, "npu1-bf16", "bf16"),
        (Device::Npu2, "npu2-i8", "i8"),
    ] {
        let Some(machine) = machine(device) else { return };
        let scratch = Scratch::new();
        let receipt = scratch.file("receipt.json");
        let arguments = ["--backend", "npu", "--precision", precision, "--receipt"];
        let output = scratch.on(&machine, &[&arguments[..], &[receipt.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{name}");
        assert!(scratch.features() == scratch.simulated(name), "{name}: other features");
        assert_eq!(machine.npu().problems(), [""; 0], "{name}");

        let ran = machine.npu().ran();
        let report = report(&output);
        let windows = usize::try_from(report["windows"].as_u64().unwrap()).unwrap();
        assert_eq!(ran.len(), SHAPES + windows * RUNS, "{name}: all matmuls ran on the NPU");
        assert!(ran.iter().all(|ran| ran.design == name));
        let receipt = std::fs::read(receipt).unwrap();
        let receipt: serde_json::Value = serde_json::from_slice(&receipt).unwrap();
        assert_eq!(receipt["device"]["name"], "Tilewright's simulated NPU");
        assert_eq!(receipt["device"]["xrt"], "2.25.0");
        let ops = receipt["ops"].as_array().unwrap();
        assert_eq!(ops.iter().filter(|op| op["backend"] == "npu").count(), SHAPES, "{ops:?}");
    }
}

/// What `--backend npu` says and that it fails; the first line of it.
#[test]
fn every_fault_has_its_error() {
    let faults = [
        ("no-permission", "no permission to open the NPU, /dev/accel/accel0"),
        ("memlock", "the limit for locked memory is too low for the NPU"),
        ("contexts=0", "the NPU has no context left"),
        ("zeros@n256_bias_gelu", "the NPU failed its self-test: ffn_up 1500×64×256"),
        ("wrong@k256_n64", "the NPU failed its self-test: ffn_down 1500×256×64"),
        ("failed@0", "a run on the NPU ended with: error"),
        ("failed@6+", "the NPU was given up"),
        ("gone@6", "the NPU is gone"),
    ];
    let mut wrong = Vec::new();
    for (fault, expected) in faults {
        let Some(machine) = machine(Device::Npu1) else { return };
        machine.npu().inject(fault.parse::<Fault>().unwrap());
        let scratch = Scratch::new();
        let output = scratch.on(&machine, &["--backend", "npu"]);
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() || !said.contains(expected) {
            wrong.push(format!("{fault}: {:?}, {said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A command that hangs, once: the context is set up anew, and the features are what they should be.
#[test]
fn a_run_that_hangs_is_repeated_in_a_new_context() {
    for fault in ["hang@7", "timeout@6", "failed@9"] {
        let Some(machine) = machine(Device::Npu1) else { return };
        machine.npu().inject(fault.parse::<Fault>().unwrap());
        let mut scratch = Scratch::new();
        if fault.starts_with("hang") {
            scratch.patience = "20";
        }
        let output = scratch.on(&machine, &["--backend", "npu"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{fault}: {said}");
        assert!(said.contains("set up anew"), "{fault}: {said}");
        assert!(scratch.features() == scratch.simulated("npu1-i8"), "{fault}: other features");
    }
}

/// `--backend auto` works without: it says once why, and encodes on the CPU.
#[test]
fn auto_falls_back_and_says_so() {
    for fault in ["no-permission", "zeros@n256_bias_gelu", "gone@6"] {
        let Some(machine) = machine(Device::Npu1) else { return };
        machine.npu().inject(fault.parse::<Fault>().unwrap());
        let scratch = Scratch::new();
        let output = scratch.on(&machine, &["--backend", "auto"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{fault}: {said}");
        assert_eq!(said.matches("note: running on the CPU").count(), 1, "{fault}: {said}");
        assert_eq!(report(&output)["backend"], "cpu", "{fault}");
    }
}

/// The JSON object on standard output. XRT writes there as well, when it cannot give back a buffer
/// of a device that is gone.
fn report(output: &Output) -> serde_json::Value {
    let said = String::from_utf8_lossy(&output.stdout);
    let start = said.find('{').unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(&said[start..]).into_iter();
    values.next().unwrap_or_else(|| panic!("no report in {said:?}")).unwrap()
}
