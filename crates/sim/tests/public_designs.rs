//! Designs that this project did not write: MLIR-AIE's `test/npu-xrt`, none of which is here.
//!
//! `TILEWRIGHT_MLIR_DESIGNS` is that folder; `TILEWRIGHT_MORE_DESIGNS` one with the designs that
//! Python scripts of it make, as `NAME.mlir`. What goes in, what must come out and what the kernels
//! compute is taken from the host programs and kernel sources beside the designs.
//!
//! ```sh
//! TILEWRIGHT_MLIR_DESIGNS=mlir-aie/test/npu-xrt cargo test -p tilewright-sim --test public_designs -- --ignored --nocapture
//! ```
//! `TILEWRIGHT_DESIGN=two_col` runs those whose name has that in it; `TILEWRIGHT_AIE_OPT` runs each of
//! them in the forms that `aie-opt` makes of it as well.

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "public_designs/kernels.rs"]
mod kernels;
#[path = "public_designs/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tilewright_sim::engine::{Limits, RunError, Simulator};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, parse};

/// One use of a design.
pub(crate) struct Case {
    /// Path within the folder, without `.mlir`.
    pub(crate) path: &'static str,
    /// What `NPUDEVICE` stands for.
    pub(crate) devices: &'static [&'static str],
    /// Symbol of the `aie.device`, empty for the first.
    pub(crate) device: &'static str,
    /// Symbol of the sequence.
    pub(crate) sequence: &'static str,
    /// Host buffers before and after; those that may be anything afterwards are `None`.
    pub(crate) buffers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Passes that `aiecc` runs on it by an option of its command; it is not run without them.
    pub(crate) passes: &'static str,
    /// Whether its command has `--dynamic-objFifos`.
    pub(crate) dynamic: bool,
    /// Findings that the design deserves.
    pub(crate) deserves: &'static [&'static str],
}

fn netlist(text: &str, device: &str) -> Result<Arc<Netlist>, String> {
    let source = Source::new("design.mlir", text);
    let module = parse(&source).map_err(|e| format!("not read: {e:?}"))?;
    let device = (!device.is_empty()).then_some(device);
    Netlist::build(module, device).map(Arc::new).map_err(|e| format!("not elaborated: {e:?}"))
}

fn run(text: &str, case: &Case) -> Result<String, String> {
    let netlist = netlist(text, case.device)?;
    let limits = Limits { steps: 400_000_000, time: Some(Duration::from_secs(60)) };
    let mut simulator = Simulator::new(netlist, kernels::functions(), limits)
        .map_err(|e| format!("not configured: {e}"))?;
    let mut buffers: Vec<Vec<u8>> = case.buffers.iter().map(|(before, _)| before.clone()).collect();
    let mut views: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
    let run = simulator.run(case.sequence, &mut views).map_err(|e| match e {
        RunError::Hang(report) => format!("hangs: {report}"),
        e => format!("not run: {e}"),
    })?;
    for (i, (after, (_, expected))) in buffers.iter().zip(&case.buffers).enumerate() {
        let Some(expected) = expected else { continue };
        if let Some(at) = (0..expected.len()).find(|&at| after[at] != expected[at]) {
            let wrong = (0..expected.len()).filter(|&at| after[at] != expected[at]).count();
            let word = at / 4 * 4;
            return Err(format!(
                "wrong: argument {i}, {wrong} bytes from {at} on: {:?} for {:?}",
                &after[word..(word + 16).min(after.len())],
                &expected[word..(word + 16).min(expected.len())],
            ));
        }
    }
    let findings: Vec<String> = run
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.kind, finding.message))
        .filter(|text| !case.deserves.iter().any(|deserved| text.contains(deserved)))
        .collect();
    if findings.is_empty() {
        Ok(format!("{:.1} us", run.microseconds))
    } else {
        Err(format!("findings: {}", findings.join(" | ")))
    }
}

/// Forms that `aie-opt` makes of a design: its name and the passes.
///
/// Elaborated objectfifos; also switches with routes; also runtime sequences as register writes.
const FORMS: [(&str, &str, &str); 3] = [
    (" elaborated", "", ""),
    (" routed", "aie-create-pathfinder-flows", ""),
    (
        " lowered",
        "aie-assign-buffer-addresses{alloc-scheme=basic-sequential}",
        "aie-materialize-runtime-sequences,aie.device(aie-materialize-bd-chains,\
         aie-substitute-shim-dma-allocations,aie-assign-runtime-sequence-bd-ids,\
         aie-dma-tasks-to-npu,aie-dma-to-npu,aie-lower-set-lock)",
    ),
];

/// The design after passes of `aie-opt`.
fn form(tool: &str, case: &Case, device: &str, rest: &str, text: &str) -> Result<String, String> {
    let list = |passes: &[&str]| {
        let passes: Vec<&str> = passes.iter().copied().filter(|pass| !pass.is_empty()).collect();
        passes.join(",")
    };
    let fifos = match case.dynamic {
        true => "aie-objectFifo-stateful-transform{dynamic-objFifos=true}",
        false => "aie-objectFifo-stateful-transform",
    };
    let device = list(&[
        case.passes,
        "aie-assign-lock-ids,aie-register-objectFifos",
        fifos,
        "aie-assign-bd-ids",
        device,
    ]);
    let passes = list(&["aie-canonicalize-device", &format!("aie.device({device})"), rest]);
    let pipeline = format!("builtin.module({passes})");
    let mut child = Command::new(tool)
        .arg(format!("--pass-pipeline={pipeline}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = text.to_owned();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        let _ = stdin.write_all(text.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("aie-opt: {}", said.lines().next().unwrap_or(""))),
    }
}

fn find(folders: &[PathBuf], path: &str) -> Option<String> {
    let read = |folder: &Path| std::fs::read_to_string(folder.join(format!("{path}.mlir"))).ok();
    folders.iter().find_map(|folder| read(folder))
}

#[test]
#[ignore = "needs MLIR-AIE's test/npu-xrt, in TILEWRIGHT_MLIR_DESIGNS"]
fn public_designs_do_what_their_hosts_check() {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folders: Vec<PathBuf> =
        [folder("TILEWRIGHT_MLIR_DESIGNS"), folder("TILEWRIGHT_MORE_DESIGNS")]
            .into_iter()
            .flatten()
            .collect();
    assert!(!folders.is_empty(), "TILEWRIGHT_MLIR_DESIGNS is not set");
    let only = std::env::var("TILEWRIGHT_DESIGN").unwrap_or_default();
    let (mut right, mut wrong, mut missing) = (0, Vec::new(), Vec::new());
    for case in table::cases() {
        if !case.path.contains(&only) {
            continue;
        }
        let Some(text) = find(&folders, case.path) else {
            missing.push(case.path);
            continue;
        };
        for device in case.devices {
            let text =
                text.replace("NPUDEVICE", device).replace("(npu1_1col)", &format!("({device})"));
            let mut forms = Vec::new();
            if case.passes.is_empty() {
                forms.push(("", Ok(text.clone())));
            }
            if let Ok(tool) = std::env::var("TILEWRIGHT_AIE_OPT") {
                for (name, device, rest) in FORMS {
                    forms.push((name, form(&tool, &case, device, rest, &text)));
                }
            }
            for (form, text) in forms {
                let begun = Instant::now();
                let result = text.and_then(|text| run(&text, &case));
                let took = begun.elapsed().as_millis();
                let name = format!("{} {} {device}{form}", case.path, case.device);
                match result {
                    Ok(said) => {
                        println!("ok    {name}: {said}, {took} ms");
                        right += 1;
                    }
                    Err(why) => {
                        println!("WRONG {name}: {why}");
                        wrong.push(name);
                    }
                }
            }
        }
    }
    println!("{right} right, {} wrong, {} not there: {missing:?}", wrong.len(), missing.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
