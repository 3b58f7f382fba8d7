//! `tilewright verify`, as a user runs it.

use crate::{Outcome, Sandbox};

#[test]
fn an_op_is_verified_at_every_length_and_predicts_no_encoder() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["verify", "--target", "npu1-i8", "--op", "attn_out", "--json"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON only");
    let kernels = report["kernels"].as_array().expect("a list");
    assert_eq!(kernels.len(), 3);
    for kernel in kernels {
        assert_eq!(kernel["status"], "right", "{kernel}");
        assert_eq!((&kernel["wrong_sums"], &kernel["again"]), (&0.into(), &true.into()));
        assert!(kernel["ulps"].as_f64().expect("a number") <= 1.0, "{kernel}");
        assert!(kernel["array_us"].as_f64().expect("a number") > 10.0, "{kernel}");
        let part = |key: &str| (0.05..=1.0).contains(&kernel[key].as_f64().expect("a number"));
        assert!(part("utilisation") && part("busy"), "{kernel}");
    }
    assert_eq!(report["encoders"], serde_json::json!([]));
}

#[test]
fn a_target_is_verified_and_its_encoder_predicted() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["verify", "--target", "npu1-i8"]);
    let outcome = Outcome::of(command.env("RAYON_NUM_THREADS", "2"));
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.matches(" right\n").count(), 12, "{}", outcome.stdout);
    for words in [
        "whisper-base on npu1-i8 at length 1500, predicted:",
        "simulated, 24 calls",
        "130 µs each, measured by others",
        "measured on this machine, 2 threads: conv_stem",
        "the aim of 136 ms",
        "bounded by",
        "ffn_up on the array (",
    ] {
        assert!(outcome.stdout.contains(words), "{words}: {}", outcome.stdout);
    }
}

#[test]
fn names_that_are_not_compiled_are_refused_with_those_that_are() {
    let sandbox = Sandbox::new();
    for (option, name, known) in [
        ("--target", "npu3-i8", "the compiled targets are npu1-bf16, npu1-i8"),
        ("--op", "softmax", "the compiled ops are attn_out, attn_qkv"),
    ] {
        let outcome = sandbox.run(&["verify", option, name]);
        assert_eq!(outcome.status, Some(1));
        assert!(outcome.stderr.contains(&format!("`{name}` is compiled in")), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(known), "{}", outcome.stderr);
    }
}

/// A compiler that makes something else of the core kernel than what it says.
#[test]
#[cfg(unix)]
fn a_kernel_that_computes_something_else_has_status_4() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = Sandbox::new();
    // Every tile of K but the first is lost.
    sandbox.write(
        "compiler",
        "#!/bin/sh\n\
         for argument; do case $argument in */gemm.cc)\n\
         sed 's/matmul<false>(a, b, sums);/;/' \"$argument\" >\"$argument.new\"\n\
         mv \"$argument.new\" \"$argument\";;\n\
         esac; done\n\
         exec ${COMPILER:-c++} \"$@\"\n",
    );
    let compiler = sandbox.path("compiler");
    std::fs::set_permissions(&compiler, PermissionsExt::from_mode(0o755)).expect("it is there");
    let arguments = ["verify", "--target", "npu1-i8", "--op", "attn_out"];
    let verify = |more: &[&str]| {
        let mut command = sandbox.command(&arguments);
        command.args(more).env("CXX", &compiler);
        if let Some(real) = std::env::var_os("CXX") {
            command.env("COMPILER", real);
        }
        Outcome::of(command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")))
    };
    let outcome = verify(&["--json"]);
    assert_eq!(outcome.status, Some(4), "{}", outcome.stderr);
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON only");
    for kernel in report["kernels"].as_array().expect("a list") {
        assert_eq!(kernel["status"], "mismatch", "{kernel}");
        assert!(kernel["wrong_sums"].as_u64().expect("a number") > 1000, "{kernel}");
        assert_ne!(kernel["first_wrong_sum"]["got"], kernel["first_wrong_sum"]["expected"]);
    }
    let outcome = verify(&[]);
    assert_eq!(outcome.status, Some(4), "{}", outcome.stderr);
    assert!(outcome.stdout.contains(" wrong sums, the first in row 0, column 0: "));
    assert_eq!(outcome.stdout.matches(" mismatch\n").count(), 3, "{}", outcome.stdout);
}
