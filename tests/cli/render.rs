//! `tilewright render`: what it writes, and what it leaves alone.

use std::time::SystemTime;

use crate::{SMALL, Sandbox};

const DESIGN: &str = "out/small/npu1-i8/design.mlir";
const RENDER: [&str; 3] = ["render", "--out", "out"];

/// A model that no tile serves: more row blocks than a task has runs.
const TOO_LONG: &str = "\n[[op]]\nname = \"long\"\nshape = [1_048_576, 64, 64]\n";

fn changed(sandbox: &Sandbox) -> SystemTime {
    let metadata = std::fs::metadata(sandbox.path(DESIGN)).expect("the design is there");
    metadata.modified().expect("the system knows when")
}

#[test]
fn every_target_gets_a_design_and_a_core_kernel() {
    let sandbox = Sandbox::with_model(SMALL);
    let report = sandbox.run(&RENDER).success();
    assert!(report.ends_with(" written, 0 unchanged\n"), "{report}");
    assert!(report.contains(&format!("wrote {DESIGN}\n")), "{report}");
    for (target, device) in [("npu1-i8", "npu1"), ("npu2-bf16", "npu2")] {
        let text = sandbox.read(&format!("out/small/{target}/design.mlir"));
        assert!(text.contains(&format!("aie.device({device})")), "{text}");
        for sequence in ["m300_k256_n1024_bias", "m100_k256_n1024_bias", "m64_k256_n256_none"] {
            let line = format!("aie.runtime_sequence @{sequence}(");
            assert_eq!(text.matches(&line).count(), 1, "{sequence}");
        }
    }
    let files: Vec<String> = sandbox.files();
    let files: Vec<&String> = files.iter().filter(|name| sandbox.path(name).is_file()).collect();
    let expected = [
        "out/kernels.rs",
        "out/small/npu1-i8/design.mlir",
        "out/small/npu1-i8/gemm.cc",
        "out/small/npu2-bf16/design.mlir",
        "out/small/npu2-bf16/gemm.cc",
    ];
    assert_eq!(files, expected);
}

#[test]
fn only_what_changes_is_written() {
    let sandbox = Sandbox::with_model(SMALL);
    sandbox.run(&RENDER).success();
    let (before, text) = (changed(&sandbox), sandbox.read(DESIGN));
    let report = sandbox.run(&RENDER).success();
    assert!(report.starts_with("out: 0 written, "), "{report}");
    assert_eq!(changed(&sandbox), before);
    sandbox.write(DESIGN, "edited");
    let report = sandbox.run(&RENDER).success();
    assert!(report.starts_with(&format!("wrote {DESIGN}\nout: 1 written, ")), "{report}");
    assert_eq!(sandbox.read(DESIGN), text);
}

#[test]
fn a_broken_limit_writes_nothing() {
    let sandbox = Sandbox::with_model(&SMALL.replace("n = 64", "n = 512"));
    let message = sandbox.run(&RENDER).failure(1);
    assert!(message.starts_with("model.toml:11:8: npu1 i8: core (0, 2) needs "), "{message}");
    assert!(sandbox.files().is_empty());
}

#[test]
fn a_broken_limit_can_be_written_down() {
    let sandbox = Sandbox::with_model(&SMALL.replace("n = 64", "n = 512"));
    let outcome = sandbox.run(&["render", "--out", "out", "--unchecked"]);
    assert_eq!(outcome.status, Some(0));
    let warning =
        "warning: these limits are broken:\n\nmodel.toml:11:8: npu1 i8: core (0, 2) needs ";
    assert!(outcome.stderr.starts_with(warning), "{}", outcome.stderr);
    assert!(outcome.stdout.contains(&format!("wrote {DESIGN}\n")), "{}", outcome.stdout);
    assert!(sandbox.read(DESIGN).contains("aie.device(npu1)"));
}

#[test]
fn unchecked_says_nothing_when_nothing_is_broken() {
    let sandbox = Sandbox::with_model(SMALL);
    sandbox.run(&["render", "--out", "out", "--unchecked"]).success();
}

#[test]
fn a_target_without_a_tile_has_no_design_and_says_so() {
    let text = SMALL.replace("{ m = 64, k = 64, n = 32 }", "\"auto\"") + TOO_LONG;
    let sandbox = Sandbox::with_model(&text);
    let outcome = sandbox.run(&["render", "--out", "out", "--unchecked"]);
    assert_eq!(outcome.status, Some(0));
    let warning = "warning: small.npu2-bf16 has no design, since no tile could be picked\n";
    assert!(outcome.stderr.ends_with(warning), "{}", outcome.stderr);
    assert!(sandbox.path(DESIGN).exists());
    assert!(!sandbox.path("out/small/npu2-bf16").exists());
}

#[test]
fn no_design_at_all_is_an_error() {
    let auto = SMALL.replace("{ m = 64, k = 64, n = 32 }", "\"auto\"");
    let auto = auto.replace("{ m = 64, k = 64, n = 64 }", "\"auto\"") + TOO_LONG;
    let sandbox = Sandbox::with_model(&auto);
    let message = sandbox.run(&["render", "--out", "out", "--unchecked"]).failure(1);
    assert!(message.contains("no tile serves every shape of `small` on npu1 with i8"), "{message}");
    let last = "error: no target has a design, nothing was written\n  = help: give the target a fixed tile\n";
    assert!(message.ends_with(last), "{message}");
    assert!(sandbox.files().is_empty());
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error() {
    let sandbox = Sandbox::with_model(SMALL);
    sandbox.write("out", "in the way");
    let message = sandbox.run(&RENDER).failure(1);
    assert!(message.starts_with("error: cannot make the folder out: "), "{message}");
    assert!(message.contains("\n  = help: a file stands where a folder is needed"), "{message}");
    assert_eq!((sandbox.read("out"), sandbox.files()), ("in the way".into(), vec!["out".into()]));
}
