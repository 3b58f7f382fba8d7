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
        "110 µs each, measured by others",
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
