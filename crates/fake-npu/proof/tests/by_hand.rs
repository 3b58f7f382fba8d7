//! Kernels, lists of them and faults, by hand through the XRT that Debian ships.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::HashSet;
use std::process::{Command, Output};
use std::sync::Arc;

use common::machine;
use fake_npu::{Fault, Machine};
use npu_proof::{kernels_of, pattern, target};
use tilewright_kernel::{Device, KernelInfo};
use tilewright_sim::engine::{Limits, Simulator};
use tilewright_sim::functions::{gemm, gemm_layout};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{self, Source};

/// Seconds that no run takes, on any machine.
const LONG: &str = "3600";

fn run(machine: &Machine, arguments: &[&str]) -> Output {
    let output = program(machine, arguments).output().unwrap();
    for problem in machine.npu().problems() {
        eprintln!("problem: {problem}");
    }
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn program(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = machine.command(env!("CARGO_BIN_EXE_npu-proof"));
    command.args(arguments);
    command
}

/// What the kernel computes of the known operands, without any driver.
fn simulated(kernel: &KernelInfo) -> blake3::Hash {
    let design = kernel.target.design;
    let module = text::parse(&Source::new("design", design.module)).unwrap();
    let netlist = Netlist::build(module, None).unwrap();
    let layout = netlist.functions.keys().find_map(|symbol| gemm_layout(symbol)).unwrap();
    let functions = gemm(&layout, Some(design.core_kernel), None).unwrap();
    let mut simulator = Simulator::new(Arc::new(netlist), functions, Limits::default()).unwrap();
    let mut buffers: Vec<Vec<u8>> =
        kernel.host_bytes.iter().enumerate().map(|(i, &bytes)| pattern(i, bytes)).collect();
    let mut arguments: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
    simulator.run(kernel.sequence, &mut arguments).unwrap();
    let different: HashSet<&[u8]> = buffers[2].chunks(2).collect();
    assert!(different.len() > 100, "{}: results that show nothing", kernel.sequence);
    blake3::hash(&buffers[2])
}

#[test]
fn runs_and_lists_compute_what_the_simulator_does() {
    for name in ["npu1-i8", "npu1-bf16", "npu2-i8"] {
        let target = target(name).unwrap();
        let Some(machine) = machine(target.device) else { return };
        let output = run(&machine, &["smoke", name, LONG]);
        assert!(output.status.success(), "{name}");
        let said = String::from_utf8(output.stdout).unwrap();
        eprintln!("{said}");
        let kernels = kernels_of(target);
        for kernel in &kernels {
            let hash = simulated(kernel);
            for how in ["run", "list"] {
                let line = format!("{how} {} {hash}", kernel.sequence);
                assert!(said.lines().any(|said| said == line), "{name}: no `{line}`");
            }
        }
        let ran = machine.npu().ran();
        assert_eq!(ran.len(), 2 * kernels.len());
        assert!(ran.iter().all(|ran| ran.design == name));
        assert_eq!(ran.iter().filter(|ran| ran.in_list).count(), kernels.len());
        assert_eq!(machine.npu().problems(), [""; 0]);
    }
}

/// Each fault, and the first line that the program says about it.
#[test]
fn every_fault_has_its_error() {
    let faults = [
        ("no-permission", "no permission to open the NPU, /dev/accel/accel0"),
        ("memlock", "the limit for locked memory is too low for the NPU"),
        ("contexts=0", "the NPU has no context left: other programs use all of them"),
        ("failed@1", "a run on the NPU ended with: error"),
        ("failed@5", "XRT could not wait for the NPU: runlist failed execution"),
        // XRT does not say whose patience ended.
        ("timeout@1", "the NPU did not finish within"),
        ("hang@1", "the NPU did not finish within 10000 ms"),
        ("hang@6", "the NPU did not finish within 10000 ms"),
        ("gone@1", "the NPU is gone: "),
        ("gone@5", "the NPU is gone: "),
    ];
    let mut wrong = Vec::new();
    for (fault, expected) in faults {
        let Some(machine) = machine(Device::Npu1) else { return };
        machine.npu().inject(fault.parse::<Fault>().unwrap());
        // What is simulated takes its time on a busy machine.
        let patience = if fault.starts_with("hang") { "10" } else { LONG };
        let output = run(&machine, &["smoke", "npu1-i8", patience]);
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.success() || !said.starts_with(expected) {
            wrong.push(format!("{fault}: {:?}, {said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn half_an_xclbin_is_refused() {
    let Some(machine) = machine(Device::Npu1) else { return };
    let output = run(&machine, &["cut", "npu1-i8"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("the xclbin is damaged or not for this NPU: "), "{said}");
}

/// Designs of one generation have streams of their own: none runs on the array of another design.
#[test]
fn a_stream_of_another_design_is_seen() {
    let Some(machine) = machine(Device::Npu1) else { return };
    let output = run(&machine, &["foreign", "npu1-i8", "npu1-bf16"]);
    assert!(!output.status.success());
    let problems = machine.npu().problems();
    assert!(
        problems.iter().any(|problem| problem.contains("configured for npu1-i8")),
        "{problems:?}"
    );
}
