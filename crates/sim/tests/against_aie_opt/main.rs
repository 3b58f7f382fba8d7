//! Elaborates designs twice, here and by MLIR-AIE's own passes, and compares.
//!
//! ```text
//! TILEWRIGHT_AIE_OPT=/opt/aie/install/bin/aie-opt \
//! TILEWRIGHT_MLIR_DESIGNS=mlir-aie/test/npu-xrt:mlir-aie/test/objectFifo-stateful-transform \
//! cargo test -p tilewright-sim --test against_aie_opt -- --ignored --nocapture
//! ```
//!
//! A design and what `aie-opt` makes of it must come to the same buffers, locks with numbers and
//! initial values, descriptors with numbers, channels, flows and allocations; and cores must take
//! and give the same locks. Designs that `aie-opt` refuses are counted and not compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod random;
mod view;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{self, Source};

use view::{description, streams};

/// The part of `aiecc`'s pipeline that the netlist stands for.
const PIPELINE: &str = "builtin.module(aie-canonicalize-device,aie.device(aie-assign-lock-ids,\
                        aie-objectFifo-stateful-transform,aie-assign-bd-ids))";

/// The same, and then the streams are routed.
const ROUTES: &str = "builtin.module(aie-canonicalize-device,aie.device(aie-assign-lock-ids,\
                      aie-objectFifo-stateful-transform,aie-assign-bd-ids,\
                      aie-create-pathfinder-flows))";

/// Devices that test designs leave open or that are not NPUs, and what stands in for them.
const DEVICES: [(&str, &str); 5] = [
    ("NPUDEVICE", "npu2"),
    ("NPU_DEVICE", "npu2"),
    ("xcve2302", "npu2"),
    ("xcve2802", "npu2"),
    ("xcvc1902", "npu2"),
];

/// Designs that `aie-opt` accepts although they cannot work, or that cannot be read yet, and what is
/// said of them here.
const BROKEN: [(&str, &str); 5] = [
    ("AIE2_static_L1.mlir", "`index.add` is not known"),
    ("seed", "leads from a tile to itself through a DMA"),
    ("nd_dma_distribute_AIE2.mlir", "the part from 512 to 256 of 256 elements is empty"),
    ("full_stream_AIE2.mlir", "a core has one stream port"),
    ("plio_test.mlir", "an NPU has no PLIO"),
];

#[test]
#[ignore = "needs aie-opt and designs: TILEWRIGHT_AIE_OPT, TILEWRIGHT_MLIR_DESIGNS"]
fn netlists_are_what_aie_opt_makes() {
    all_alike(PIPELINE, description);
}

/// Switchboxes lead the streams where the design wants them.
#[test]
#[ignore = "needs aie-opt and designs: TILEWRIGHT_AIE_OPT, TILEWRIGHT_MLIR_DESIGNS"]
fn flows_are_those_of_routed_designs() {
    all_alike(ROUTES, streams);
}

fn all_alike(pipeline: &str, describe: Describe) {
    let tool = std::env::var("TILEWRIGHT_AIE_OPT").expect("TILEWRIGHT_AIE_OPT");
    let folders = std::env::var("TILEWRIGHT_MLIR_DESIGNS").expect("TILEWRIGHT_MLIR_DESIGNS");
    let mut files = Vec::new();
    for folder in folders.split(':') {
        collect(Path::new(folder), &mut files);
    }
    files.sort();
    assert!(!files.is_empty(), "no designs in {folders}");
    let (mut alike, mut refused, mut wrong) = (0, 0, Vec::new());
    for file in &files {
        let whole = std::fs::read_to_string(file).expect("a design");
        for (part, text) in whole.split("// -----").enumerate() {
            if !text.contains("aie.device") {
                continue;
            }
            let text =
                DEVICES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
            let name = format!("{}#{part}", file.display());
            let lowered = lower(&tool, pipeline, &text);
            match compare(&name, &text, lowered, describe) {
                Outcome::Alike => alike += 1,
                Outcome::Refused(why) => {
                    refused += 1;
                    println!("aie-opt refuses {name}: {why}");
                }
                Outcome::Wrong(why) => wrong.push(format!("{name}\n    {why}")),
            }
        }
    }
    println!("{alike} alike, {refused} refused by aie-opt, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Designs that nobody would write, for corners that nobody thought of.
#[test]
#[ignore = "needs aie-opt: TILEWRIGHT_AIE_OPT; TILEWRIGHT_RANDOM_DESIGNS says how many"]
fn random_objectfifos_are_what_aie_opt_makes() {
    let tool = std::env::var("TILEWRIGHT_AIE_OPT").expect("TILEWRIGHT_AIE_OPT");
    let count = std::env::var("TILEWRIGHT_RANDOM_DESIGNS").map_or(200, |n| n.parse().unwrap());
    let (mut alike, mut refused, mut wrong) = (0, 0, Vec::new());
    for seed in 0..count {
        let text = random::design(seed);
        let lowered = lower(&tool, PIPELINE, &text);
        match compare(&format!("seed {seed}"), &text, lowered, description) {
            Outcome::Alike => alike += 1,
            Outcome::Refused(why) => {
                refused += 1;
                println!("aie-opt refuses seed {seed}: {why}");
            }
            Outcome::Wrong(why) => wrong.push(format!("{text}\nseed {seed}: {why}")),
        }
    }
    println!("{alike} alike, {refused} refused by aie-opt, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(alike > refused, "the designs are no test");
}

/// What is compared of a design and of its lowered form.
type Describe = fn(&Netlist, &Netlist) -> [BTreeSet<String>; 2];

enum Outcome {
    Alike,
    Refused(String),
    Wrong(String),
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            collect(&entry.expect("an entry").path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "mlir") {
        files.push(path.to_owned());
    }
}

fn compare(name: &str, text: &str, lowered: Result<String, String>, describe: Describe) -> Outcome {
    let lowered = match lowered {
        Ok(lowered) => lowered,
        Err(why) => {
            let here = match build(name, text) {
                Ok(_) => "accepted here".to_owned(),
                Err(why) => format!("refused here too: {why}"),
            };
            return Outcome::Refused(format!(
                "{} ({here})",
                why.lines().next().unwrap_or_default()
            ));
        }
    };
    let ours = match build(name, text) {
        Ok(netlists) => netlists,
        Err(why) if BROKEN.iter().any(|(file, what)| name.contains(file) && why.contains(what)) => {
            return Outcome::Alike;
        }
        Err(why) => return Outcome::Wrong(format!("refused: {why}")),
    };
    let theirs = match build("lowered.mlir", &lowered) {
        Ok(netlists) => netlists,
        Err(why) => return Outcome::Wrong(format!("what aie-opt makes of it is refused: {why}")),
    };
    if ours.len() != theirs.len() {
        return Outcome::Wrong("the number of devices differs".to_owned());
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let [ours, theirs] = describe(ours, theirs);
        let extra: Vec<_> = ours.difference(&theirs).map(String::as_str).collect();
        let missing: Vec<_> = theirs.difference(&ours).map(String::as_str).collect();
        if !extra.is_empty() || !missing.is_empty() {
            return Outcome::Wrong(format!(
                "only here:\n      {}\n    only there:\n      {}",
                extra.join("\n      "),
                missing.join("\n      ")
            ));
        }
    }
    Outcome::Alike
}

fn lower(tool: &str, pipeline: &str, text: &str) -> Result<String, String> {
    let mut child = Command::new(tool)
        .arg(format!("--pass-pipeline={pipeline}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("aie-opt");
    let mut input = child.stdin.take().expect("its input");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    // It may stop reading at the first error.
    let _ = writer.join();
    // Some errors it only prints.
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() && !errors.contains("error:") {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(errors)
    }
}

/// The netlists of every device of a module.
fn build(name: &str, text: &str) -> Result<Vec<Netlist>, String> {
    let module = text::parse(&Source::new(name, text)).map_err(|error| error.to_string())?;
    let names: Vec<String> = Netlist::devices(&module).into_iter().map(str::to_owned).collect();
    if names.len() == 1 {
        return Ok(vec![Netlist::build(module, None).map_err(|error| error.to_string())?]);
    }
    (names.iter())
        .map(|name| Netlist::build(module.clone(), Some(name)).map_err(|error| error.to_string()))
        .collect()
}
