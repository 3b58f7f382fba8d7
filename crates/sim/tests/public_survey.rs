//! Any designs at all: each is read, elaborated, configured and run on zeros, or refused for a
//! reason; none makes the simulator panic or go on for ever.
//!
//! `TILEWRIGHT_SURVEY` is a folder; files of several modules are taken apart at `// -----`.
//!
//! ```sh
//! TILEWRIGHT_SURVEY=mlir-aie/test cargo test -p tilewright-sim --test public_survey -- --ignored --nocapture
//! ```

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tilewright_sim::engine::{Limits, RunError, Simulator};
use tilewright_sim::functions::{Argument, Functions, Returned, Scalar};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, Type, parse};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "mlir") {
            found.push(path);
        }
    }
}

/// Functions that do nothing.
fn stubs(netlist: &Netlist) -> Functions {
    let mut functions = Functions::new();
    for (symbol, declared) in &netlist.functions {
        let value = declared.results.first().map(|ty| match ty {
            Type::Float(_) => Scalar::Float(0.0),
            _ => Scalar::Integer(0),
        });
        let stub = move |_: &mut [Argument<'_>]| Ok::<_, String>(Returned { cycles: 1, value });
        functions.register(symbol, Arc::new(stub));
    }
    functions
}

/// What became of a device: the stage, and why it ended there.
fn outcomes(name: &str, text: &str) -> Vec<(&'static str, String)> {
    let source = Source::new(name, text);
    let module = match parse(&source) {
        Ok(module) => module,
        Err(error) => return vec![("not read", error.to_string())],
    };
    let devices: Vec<String> = Netlist::devices(&module).into_iter().map(str::to_owned).collect();
    let mut outcomes = Vec::new();
    for device in devices {
        let netlist = match Netlist::build(module.clone(), Some(&device)) {
            Ok(netlist) => Arc::new(netlist),
            Err(error) => {
                outcomes.push(("not elaborated", error.to_string()));
                continue;
            }
        };
        let limits = Limits { steps: 2_000_000, time: Some(Duration::from_secs(10)) };
        let new = || Simulator::new(Arc::clone(&netlist), stubs(&netlist), limits);
        if let Err(error) = new() {
            outcomes.push(("not configured", error.to_string()));
            continue;
        }
        if netlist.sequences.is_empty() {
            outcomes.push(("no sequence", String::new()));
        }
        for sequence in &netlist.sequences {
            let mut simulator = new().unwrap();
            let mut buffers: Vec<Vec<u8>> = sequence
                .arguments
                .iter()
                .map(|ty| match ty {
                    Type::MemRef(memref) => vec![0; memref.bytes().unwrap_or(0).min(1 << 26)],
                    _ => Vec::new(),
                })
                .collect();
            let mut views: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
            outcomes.push(match simulator.run(&sequence.name, &mut views) {
                Ok(run) if run.findings.is_empty() => ("runs", String::new()),
                Ok(run) => ("runs with findings", run.findings[0].message.clone()),
                Err(RunError::Hang(report)) => {
                    ("hangs", report.lines().take(2).collect::<Vec<_>>().join(" "))
                }
                Err(RunError::Limit(message)) => ("takes long", message),
                Err(error) => ("not run", error.to_string()),
            });
        }
    }
    outcomes
}

#[test]
#[ignore = "needs a folder of designs, in TILEWRIGHT_SURVEY"]
fn designs_are_run_or_refused() {
    let folder = PathBuf::from(std::env::var_os("TILEWRIGHT_SURVEY").unwrap());
    let mut found = Vec::new();
    files(&folder, &mut found);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in found {
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for part in text.replace("NPUDEVICE", "npu2").split("// -----") {
            if !part.contains("aie.device") || !part.contains("npu") {
                continue;
            }
            for (outcome, why) in outcomes(&name, part) {
                *counts.entry(outcome).or_default() += 1;
                println!("{outcome}: {name}: {why}");
            }
        }
    }
    println!("{counts:#?}");
}
