//! What is compiled again after which edit, and what comes out.

use std::collections::HashSet;
use std::fs;
use std::thread;

use tilewright_codegen::compile::Job;
use tilewright_codegen::compile::{Artifact, Compiled};
use tilewright_codegen::device::Device;

use crate::machine::{MLIR_AIE, Machine, PEANO, XRT, design, job};

const ALL: [&str; 3] = ["aiecc streams up down", "aiecc xclbin", "clang++ kernel"];

/// A machine where the design `tile` with the sequences `up` and `down` was compiled.
fn compiled() -> (Machine, Compiled) {
    let machine = Machine::new();
    let design = design("tile", &["up", "down"]);
    let mut compiled = machine.compile(&[job("npu1-i8", &design, "kernel")]).unwrap();
    assert_eq!(machine.steps(), ALL);
    (machine, compiled.remove(0))
}

/// Compiles another design or kernel and tells the steps that it took.
fn again(
    machine: &Machine,
    configuration: &str,
    names: &[&str],
    kernel: &str,
) -> (Compiled, Vec<String>) {
    let design = design(configuration, names);
    let compiled = machine.compile(&[job("npu1-i8", &design, kernel)]).unwrap().remove(0);
    (compiled, machine.steps())
}

fn is_whole(artifact: &Artifact) -> bool {
    let contents = fs::read(&artifact.path).unwrap();
    artifact.path.is_absolute() && artifact.hash == blake3::hash(&contents).to_hex().as_str()
}

#[test]
fn a_job_becomes_an_xclbin_and_a_stream_per_sequence() {
    let (machine, compiled) = compiled();
    assert!(is_whole(&compiled.xclbin));
    assert!(fs::read(&compiled.xclbin.path).unwrap().starts_with(b"xclbin2\0"));
    let names: Vec<_> = compiled.streams.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["up", "down"]);
    for (name, stream) in &compiled.streams {
        assert!(is_whole(stream));
        assert!(stream.path.ends_with(format!("{name}.insts.bin")));
    }
    let note = "cache/KEY/blake3";
    assert_eq!(
        machine.files(),
        [
            note,
            note,
            note,
            note,
            "cache/KEY/design.xclbin",
            "cache/KEY/down.insts.bin",
            "cache/KEY/gemm.o",
            "cache/KEY/up.insts.bin",
        ]
    );
}

#[test]
fn nothing_is_compiled_again_when_nothing_changed() {
    let (machine, first) = compiled();
    let design = design("tile", &["up", "down"]);
    let second = machine.compile(&[job("npu1-i8", &design, "kernel")]).unwrap();
    assert_eq!(second, [first]);
    assert_eq!(machine.calls(), ["aiecc --version", "clang++ --version", "xclbinutil --version"]);
}

#[test]
fn a_new_sequence_compiles_its_stream_only() {
    let (machine, first) = compiled();
    let (second, steps) = again(&machine, "tile", &["up", "new", "down"], "kernel");
    assert_eq!(steps, ["aiecc streams new"]);
    assert_eq!(second.xclbin, first.xclbin);
    assert!(is_whole(&second.xclbin));
    assert_eq!([&second.streams[0], &second.streams[2]], [&first.streams[0], &first.streams[1]]);
}

#[test]
fn a_changed_sequence_compiles_its_stream_only() {
    let (machine, first) = compiled();
    let mut design = design("tile", &["up", "down"]);
    design.sequences[1].1.insert_str(0, "    // other loop counts\n");
    let second = machine.compile(&[job("npu1-i8", &design, "kernel")]).unwrap().remove(0);
    assert_eq!(machine.steps(), ["aiecc streams down"]);
    assert_eq!(second.xclbin, first.xclbin);
    assert_eq!(second.streams[0], first.streams[0]);
}

#[test]
fn a_removed_sequence_compiles_nothing() {
    let (machine, first) = compiled();
    let (second, steps) = again(&machine, "tile", &["down"], "kernel");
    assert_eq!(steps, [""; 0]);
    assert_eq!(second.streams, first.streams[1..]);
}

#[test]
fn a_changed_kernel_compiles_its_object_and_the_xclbin() {
    let (machine, first) = compiled();
    let (second, steps) = again(&machine, "tile", &["up", "down"], "other kernel");
    assert_eq!(steps, ["aiecc xclbin", "clang++ kernel"]);
    assert_ne!(second.xclbin, first.xclbin);
    assert_eq!(second.streams, first.streams);
}

#[test]
fn a_changed_configuration_compiles_xclbin_and_streams() {
    let (machine, _) = compiled();
    let (_, steps) = again(&machine, "other tile", &["up", "down"], "kernel");
    assert_eq!(steps, ["aiecc streams up down", "aiecc xclbin"]);
}

#[test]
fn another_device_is_another_kernel() {
    let (machine, _) = compiled();
    let design = design("tile", &["up", "down"]);
    let job = Job { device: Device::Npu2, ..job("npu2-i8", &design, "kernel") };
    machine.compile(&[job]).unwrap();
    assert_eq!(machine.steps(), ["aiecc xclbin", "clang++ kernel"]);
}

#[test]
fn another_version_of_a_tool_compiles_what_it_touches() {
    let (machine, _) = compiled();
    for (bin, steps) in [
        (MLIR_AIE, &ALL[..]),
        (PEANO, &["aiecc xclbin", "clang++ kernel"]),
        (XRT, &["aiecc xclbin"]),
    ] {
        machine.write(&format!("{bin}/version"), "2");
        assert_eq!(again(&machine, "tile", &["up", "down"], "kernel").1, steps, "{bin}");
        assert_eq!(again(&machine, "tile", &["up", "down"], "kernel").1, [""; 0], "{bin}");
    }
}

#[test]
fn an_older_state_is_still_there() {
    let (machine, first) = compiled();
    again(&machine, "tile", &["up", "down"], "other kernel");
    let (third, steps) = again(&machine, "tile", &["up", "down"], "kernel");
    assert_eq!((third, steps), (first, vec![]));
}

#[test]
fn damaged_entries_are_compiled_again() {
    let (machine, first) = compiled();
    fs::write(&first.xclbin.path, "xclbin2\0 but not as it was").unwrap();
    fs::write(&first.streams[1].1.path, "").unwrap();
    let (second, steps) = again(&machine, "tile", &["up", "down"], "kernel");
    assert_eq!(steps, ["aiecc streams down", "aiecc xclbin"]);
    assert!(is_whole(&second.xclbin) && is_whole(&second.streams[1].1));
    assert_eq!(second.streams, first.streams);
}

#[test]
fn targets_with_the_same_configuration_share_the_xclbin() {
    let machine = Machine::new();
    let (base, small) = (design("tile", &["a", "shared"]), design("tile", &["b", "shared"]));
    let jobs = [job("npu1-i8 of base", &base, "kernel"), job("npu1-i8 of small", &small, "kernel")];
    let compiled = machine.compile(&jobs).unwrap();
    assert_eq!(machine.steps(), ["aiecc streams a shared b", "aiecc xclbin", "clang++ kernel"]);
    assert_eq!(compiled[0].xclbin, compiled[1].xclbin);
    assert_eq!(compiled[0].streams[1], compiled[1].streams[1]);
}

#[test]
fn sequences_of_one_name_and_different_text_do_not_mix() {
    let machine = Machine::new();
    let one = design("tile", &["same"]);
    let mut other = one.clone();
    other.sequences[0].1 = other.sequences[0].1.replace("()", "(%a: i32)");
    let compiled = machine.compile(&[job("one", &one, "k"), job("other", &other, "k")]).unwrap();
    let steps = ["aiecc streams same", "aiecc streams same", "aiecc xclbin", "clang++ kernel"];
    assert_eq!(machine.steps(), steps);
    assert_ne!(compiled[0].streams[0].1.hash, compiled[1].streams[0].1.hash);
}

#[test]
fn a_design_without_sequences_is_an_xclbin() {
    let machine = Machine::new();
    let design = design("tile", &[]);
    let compiled = machine.compile(&[job("npu1-i8", &design, "kernel")]).unwrap();
    assert_eq!(compiled[0].streams, []);
    assert_eq!(machine.steps(), ["aiecc xclbin", "clang++ kernel"]);
}

#[test]
fn no_jobs_are_no_work() {
    assert_eq!(Machine::new().compile(&[]).unwrap(), []);
}

#[test]
fn targets_are_compiled_at_the_same_time() {
    let machine = Machine::new();
    // Each waits for the other.
    machine.mode(PEANO, "kernel", "meet");
    machine.mode(MLIR_AIE, "xclbin", "meet");
    let (one, other) = (design("one", &["up"]), design("other", &["up"]));
    machine.compile(&[job("one", &one, "kernel"), job("other", &other, "other kernel")]).unwrap();
}

#[test]
fn builds_at_the_same_time_agree() {
    let machine = Machine::new();
    let design = design("tile", &["up", "down"]);
    let results = thread::scope(|scope| {
        let build = || machine.compile(&[job("npu1-i8", &design, "kernel")]).unwrap().remove(0);
        let builds: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(results.iter().all(|compiled| is_whole(&compiled.xclbin)));
    let xclbins: HashSet<_> = results.iter().map(|compiled| &compiled.xclbin.hash).collect();
    assert_eq!(xclbins.len(), 1, "each xclbin of the stand-in is different, the first one counts");
    assert_eq!(machine.files().len(), 8, "{:?}", machine.files());
}
