//! Tools that fail, hang or lie: a clear error, and no artifact of it.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tilewright_codegen::compile::{CompileError, Options, compile};

use crate::machine::{MLIR_AIE, Machine, PEANO, XRT, design, job};

/// The error of compiling one small job.
fn error(machine: &Machine) -> CompileError {
    error_with(machine, &machine.options())
}

fn error_with(machine: &Machine, options: &Options) -> CompileError {
    let design = design("tile", &["up", "down"]);
    let jobs = [job("npu1-i8 of base", &design, "kernel")];
    compile(&machine.toolchain(), &jobs, options).unwrap_err()
}

/// The files of the cache that are no notes.
fn artifacts(machine: &Machine) -> Vec<String> {
    let mut files = machine.files();
    files.retain(|file| file.starts_with("cache/") && !file.ends_with("/blake3"));
    files
}

#[test]
fn a_failure_shows_what_the_tool_said_and_how_to_see_it_again() {
    let machine = Machine::new();
    machine.mode(MLIR_AIE, "streams", "fail");
    let error = error(&machine).to_string();
    assert_eq!(
        machine.anonymous(&error),
        "aiecc failed to make 2 streams of npu1-i8 of base: exit status: 3\n\
         to reproduce: cd ~/out/failed/npu1-i8-of-base.streams && \
         PATH=\"$PATH\":~/xrt/bin:~/mlir_aie/bin ~/mlir_aie/bin/aiecc --no-compile-host \
         --alloc-scheme=basic-sequential --tmpdir=prj --no-compile --aie-generate-npu-insts \
         '--npu-insts-name={1}.insts.bin' design.mlir\n\
         ----- stderr -----\n\
         design.mlir:3:1: error: no\n\
         ----- end of stderr -----"
    );
    // The xclbin was made all the same, and of the streams there are the inputs only.
    assert_eq!(artifacts(&machine), ["cache/KEY/design.xclbin", "cache/KEY/gemm.o"]);
    let failed: Vec<_> = machine.files().into_iter().filter(|f| !f.starts_with("cache")).collect();
    assert_eq!(failed, ["failed/npu1-i8-of-base.streams/design.mlir"]);

    let line = error.lines().find_map(|line| line.strip_prefix("to reproduce: ")).unwrap();
    let again = Command::new("sh").args(["-c", line]).output().unwrap();
    assert_eq!(String::from_utf8(again.stderr).unwrap(), "design.mlir:3:1: error: no\n");
}

#[test]
fn after_a_failure_only_the_rest_is_compiled() {
    let machine = Machine::new();
    machine.mode(MLIR_AIE, "xclbin", "fail");
    let message = error(&machine).to_string();
    assert!(message.starts_with("aiecc failed to make the xclbin of npu1-i8 of base"), "{message}");
    let inputs =
        ["failed/npu1-i8-of-base.xclbin/design.mlir", "failed/npu1-i8-of-base.xclbin/gemm.o"];
    assert_eq!(machine.files()[machine.files().len() - 2..], inputs);
    machine.steps();

    machine.mode(MLIR_AIE, "xclbin", "ok");
    let design = design("tile", &["up", "down"]);
    machine.compile(&[job("npu1-i8 of base", &design, "kernel")]).unwrap();
    assert_eq!(machine.steps(), ["aiecc xclbin"]);
    assert!(!machine.files().iter().any(|file| file.starts_with("failed")));
}

#[test]
fn a_kernel_that_does_not_compile_leaves_no_xclbin_to_make() {
    let machine = Machine::new();
    machine.mode(PEANO, "kernel", "fail");
    let message = error(&machine).to_string();
    let start = "clang++ failed to compile the core kernel of npu1-i8 of base: exit status: 3\n";
    assert!(message.starts_with(start), "{message}");
    assert!(message.contains(" -O2 -std=c++20 "), "{message}");
    assert!(message.contains(" --target=aie2-none-unknown-elf -I "), "{message}");
    assert!(message.contains(" -c gemm.cc -o gemm.o\n"), "{message}");
    assert_eq!(machine.steps(), ["aiecc streams up down", "clang++ kernel"]);
    assert_eq!(artifacts(&machine), ["cache/KEY/down.insts.bin", "cache/KEY/up.insts.bin"]);
}

#[test]
fn all_failures_are_told_and_the_others_go_on() {
    let machine = Machine::new();
    let designs = [design("good", &["up"]), design("FAIL", &["up"]), design("fine", &["up"])];
    let jobs = [
        job("good", &designs[0], "kernel"),
        job("bad", &designs[1], "kernel"),
        job("ugly", &designs[2], "FAIL"),
    ];
    let message = machine.compile(&jobs).unwrap_err().to_string();
    let start = "3 steps of the compilation failed\n\n\
                 clang++ failed to compile the core kernel of ugly: ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.contains("\n\naiecc failed to make the xclbin of bad: "), "{message}");
    assert!(message.contains("\n\naiecc failed to make the stream up of bad: "), "{message}");
    machine.steps();

    machine.compile(&jobs[..1]).unwrap();
    assert_eq!(machine.steps(), [""; 0]);
}

/// What is said of an `aiecc` that never makes the xclbin, and within how many seconds it did not.
fn without_an_end(machine: &Machine, mode: &str) -> (String, u64) {
    // Nothing else is left to be made within the limit.
    machine.mode(MLIR_AIE, "xclbin", "fail");
    error(machine);
    machine.mode(MLIR_AIE, "xclbin", mode);
    // The busier the machine, the longer it takes until the tool has begun.
    for seconds in (1..12).map(|i| 1 << i) {
        let options = Options { timeout: Duration::from_secs(seconds), ..machine.options() };
        let message = error_with(machine, &options).to_string();
        if machine.path(MLIR_AIE).join("pids").exists() {
            return (message, seconds);
        }
    }
    panic!("it never began");
}

#[test]
fn a_tool_that_hangs_is_killed_with_its_children() {
    let machine = Machine::new();
    let (message, seconds) = without_an_end(&machine, "hang");
    let start = format!(
        "aiecc did not make the xclbin of npu1-i8 of base within {seconds} seconds and was killed; \
         TILEWRIGHT_AIECC_TIMEOUT sets another limit\nto reproduce: cd "
    );
    assert!(message.starts_with(&start), "{message}");
    assert!(message.ends_with("<stderr is empty>"), "{message}");
    assert_gone(&machine);
    assert!(!artifacts(&machine).contains(&"cache/KEY/design.xclbin".to_owned()));
    assert!(!machine.files().iter().any(|file| file.ends_with("/design.xclbin")));
}

#[test]
fn a_child_that_outlives_its_tool_is_killed_at_the_limit() {
    let machine = Machine::new();
    let (message, _) = without_an_end(&machine, "linger");
    assert!(message.starts_with("aiecc did not make the xclbin"), "{message}");
    assert_gone(&machine);
}

/// Waits until the processes that the stand-in noted are no more, or only zombies.
fn assert_gone(machine: &Machine) {
    let pids = fs::read_to_string(machine.path(MLIR_AIE).join("pids")).unwrap();
    assert_eq!(pids.split_whitespace().count(), 2);
    for pid in pids.split_whitespace() {
        let gone = || {
            let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
            let state = String::from_utf8(output.stdout).unwrap();
            state.trim().is_empty() || state.trim().starts_with('Z')
        };
        let tries = 6000;
        assert!(
            (0..tries).any(|_| gone() || {
                sleep(Duration::from_millis(10));
                false
            }),
            "{pid}"
        );
    }
}

#[test]
fn lies_are_found_out() {
    let lie = |bin: &str, step: &str, mode: &str| {
        let machine = Machine::new();
        machine.mode(bin, step, mode);
        let message = error(&machine).to_string();
        let made = artifacts(&machine);
        assert!(message.contains("Compilation completed successfully"), "{message}");
        assert!(message.ends_with("<stderr is empty>"), "{message}");
        (message.lines().next().unwrap().to_owned(), made)
    };
    let streams = ["cache/KEY/down.insts.bin", "cache/KEY/gemm.o", "cache/KEY/up.insts.bin"];
    for (mode, problem) in
        [("silent", "was not written"), ("empty", "is empty"), ("garbage", "is not an xclbin")]
    {
        let (message, made) = lie(MLIR_AIE, "xclbin", mode);
        let start = "aiecc was to make the xclbin of npu1-i8 of base and exited with success, but ";
        assert_eq!(message, format!("{start}design.xclbin {problem}"));
        assert_eq!(made, streams);
    }
    for (mode, problem) in [
        ("silent", "was not written"),
        ("empty", "is empty"),
        ("short", "has 18 bytes, which is not a whole number of words"),
        ("cut", "has 16 bytes, which is not what its header says"),
    ] {
        let (message, made) = lie(MLIR_AIE, "streams", mode);
        let start = "aiecc was to make 2 streams of npu1-i8 of base and exited with success, but ";
        assert_eq!(message, format!("{start}up.insts.bin {problem}"));
        assert_eq!(made, ["cache/KEY/design.xclbin", "cache/KEY/gemm.o"]);
    }
    for (mode, problem) in [("silent", "was not written"), ("garbage", "is not an ELF object")] {
        let (message, _) = lie(PEANO, "kernel", mode);
        assert!(message.ends_with(&format!("but gemm.o {problem}")), "{message}");
    }
}

#[test]
fn megabytes_of_output_do_no_harm() {
    let machine = Machine::new();
    machine.mode(MLIR_AIE, "xclbin", "shout");
    machine.mode(MLIR_AIE, "streams", "shout-fail");
    let message = error(&machine).to_string();
    assert!(message.starts_with("aiecc failed to make 2 streams"), "{}", &message[..80]);
    assert!(message.contains("first words"));
    assert!(message.ends_with(" last words\n----- end of stderr -----"));
    assert!(message.contains(" bytes left out ...]"));
    assert!(message.len() < 100_000, "{}", message.len());
    assert!(artifacts(&machine).contains(&"cache/KEY/design.xclbin".to_owned()));
}

#[test]
fn a_tool_that_cannot_say_its_version_is_broken() {
    let machine = Machine::new();
    machine.mode(XRT, "version", "fail");
    let message = error(&machine).to_string();
    assert!(message.starts_with("xclbinutil failed to say its version: exit status: 127\n"));
    assert!(message.contains("\nxclbinutil: no shared library\n"), "{message}");
    assert_eq!(machine.steps(), [""; 0]);
}

#[test]
fn a_tool_that_went_away_is_named() {
    let machine = Machine::new();
    let toolchain = machine.toolchain();
    fs::remove_file(machine.path("llvm-aie/bin/clang++")).unwrap();
    let error = compile(&toolchain, &[], &machine.options()).unwrap_err();
    let message = machine.anonymous(&error.to_string());
    assert!(message.starts_with("cannot run ~/llvm-aie/bin/clang++: No such file"), "{message}");
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let machine = Machine::new();
    machine.write("out", "a file, where a folder should be");
    let message = machine.anonymous(&error(&machine).to_string());
    assert_eq!(message, "cannot create a folder in ~/out: File exists (os error 17)");
}
