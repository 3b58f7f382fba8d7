//! `tilewright sim`, as a user runs it.

use crate::{Outcome, SMALL, Sandbox};

/// Sixteen numbers at a time through a core that multiplies them.
const SCALE: &str = r#"
module {
  aie.device(npu1) {
    func.func private @scale(memref<16xi32>, memref<16xi32>, i32)
    %shim = aie.tile(0, 0)
    %tile = aie.tile(0, 2)
    aie.objectfifo @in(%shim, {%tile}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
    aie.objectfifo @out(%tile, {%shim}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
    %core = aie.core(%tile) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %max = arith.constant 4294967295 : index
      %factor = arith.constant 3 : i32
      scf.for %i = %c0 to %max step %c1 {
        %iv = aie.objectfifo.acquire @in(Consume, 1) : !aie.objectfifosubview<memref<16xi32>>
        %a = aie.objectfifo.subview.access %iv[0] : !aie.objectfifosubview<memref<16xi32>> -> memref<16xi32>
        %ov = aie.objectfifo.acquire @out(Produce, 1) : !aie.objectfifosubview<memref<16xi32>>
        %b = aie.objectfifo.subview.access %ov[0] : !aie.objectfifosubview<memref<16xi32>> -> memref<16xi32>
        func.call @scale(%a, %b, %factor) : (memref<16xi32>, memref<16xi32>, i32) -> ()
        aie.objectfifo.release @in(Consume, 1)
        aie.objectfifo.release @out(Produce, 1)
      }
      aie.end
    }
    aie.runtime_sequence @run(%a: memref<64xi32>, %b: memref<64xi32>) {
      %result = aiex.dma_configure_task_for @out {
        aie.dma_bd(%b : memref<64xi32>, 0, 64)
        aie.end
      } {issue_token = true}
      aiex.dma_start_task(%result)
      %input = aiex.dma_configure_task_for @in {
        aie.dma_bd(%a : memref<64xi32>, 0, 64)
        aie.end
      }
      aiex.dma_start_task(%input)
      aiex.dma_await_task(%result)
      aiex.dma_free_task(%input)
    }
  }
}
"#;

const KERNEL: &str = r#"
#include <stdint.h>
extern "C" void scale(const int32_t *in, int32_t *out, int32_t factor) {
  for (int i = 0; i < 16; i++) out[i] = in[i] * factor;
}
"#;

fn sandbox(design: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("scale.mlir", design);
    sandbox.write("scale.cc", KERNEL);
    sandbox
}

/// With a cache of its own.
fn sim(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let mut command = sandbox.command(&["sim", "scale.mlir", "--kernel", "scale.cc"]);
    Outcome::of(command.args(arguments).env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")))
}

fn words(values: impl IntoIterator<Item = i32>) -> Vec<u8> {
    values.into_iter().flat_map(i32::to_le_bytes).collect()
}

#[test]
fn a_design_with_a_kernel_of_its_own_computes() {
    let sandbox = sandbox(SCALE);
    std::fs::write(sandbox.path("right.bin"), words((0..64).map(|i| 3 * i))).expect("writable");
    let outcome = sim(
        &sandbox,
        &[
            "--arg",
            "seq",
            "--arg-out",
            "1=c.npy",
            "--expect",
            "1=right.bin",
            "--stats",
            "--trace",
            "trace.json",
        ],
    );
    assert_eq!(outcome.status, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    for text in
        ["run: ", " µs", "core (0, 2)", "DRAM  512 bytes", "buffer 1 (64 i32) is as expected"]
    {
        assert!(outcome.stdout.contains(text), "{text}: {}", outcome.stdout);
    }
    let npy = std::fs::read(sandbox.path("c.npy")).expect("written");
    assert_eq!(npy[npy.len() - 256..], words((0..64).map(|i| 3 * i)));
    assert!(String::from_utf8_lossy(&npy).contains("'descr': '<i4'"));
    let trace: serde_json::Value =
        serde_json::from_str(&sandbox.read("trace.json")).expect("Chrome's format is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    assert!(events.iter().any(|event| event["ph"] == "X"), "{trace}");

    // What it wrote is what it reads, and a second run on the same array is as good.
    let twice =
        ["--sequence", "run", "--sequence", "run", "--arg", "seq", "--arg", "zeros", "--arg"];
    let rest = ["c.npy", "--expect", "1=c.npy", "--expect", "3=right.bin", "--json"];
    let outcome = sim(&sandbox, &[&twice[..], &rest].concat());
    assert_eq!(outcome.status, Some(4), "{}", outcome.stderr);
    let report: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON only");
    assert_eq!(report["sequences"].as_array().map(Vec::len), Some(2));
    assert_eq!(report["expected"][0]["right"], true);
    let wrong = &report["expected"][1];
    assert_eq!((&wrong["different"], &wrong["first"]), (&63.into(), &1.into()), "{wrong}");
    assert_eq!((&wrong["got"], &wrong["expected"]), (&9.0.into(), &3.0.into()), "{wrong}");
}

#[test]
fn a_hang_is_told_apart() {
    let sandbox = sandbox(&SCALE.replace("aie.objectfifo.release @out(Produce, 1)", ""));
    let outcome = sim(&sandbox, &["--arg", "seq"]);
    assert_eq!(outcome.status, Some(3), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("out"), "{}", outcome.stderr);
}

#[test]
fn findings_are_told_apart() {
    // More goes in than is ever taken out.
    let design = SCALE.replace("%a: memref<64xi32>", "%a: memref<512xi32>");
    let of_input = ["%a : memref<64xi32>, 0, 64", "%a : memref<512xi32>, 0, 512"];
    let sandbox = sandbox(&design.replace(of_input[0], of_input[1]));
    let outcome = sim(&sandbox, &["--arg", "seq"]);
    assert_eq!(outcome.status, Some(5), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("scale.mlir:"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("unfinished"), "{}", outcome.stdout);
}

#[test]
fn mistakes_have_their_place_and_a_remedy() {
    let sandbox =
        sandbox(&SCALE.replace("aie.objectfifo.release @in", "aie.objectfifo.relaese @in"));
    let outcome = sim(&sandbox, &[]);
    assert_eq!(outcome.status, Some(1));
    let stderr = &outcome.stderr;
    assert!(stderr.starts_with("error: scale.mlir:20:9: "), "{stderr}");
    assert!(stderr.contains("relaese") && stderr.contains("20 | "), "{stderr}");

    sandbox.write("scale.mlir", SCALE);
    for (arguments, status, text) in [
        (&["--sequence", "walk"][..], 1, "choose: --sequence run"),
        (&["--arg", "none.npy"], 1, "cannot read none.npy"),
        (&["--arg", "scale.cc"], 1, "bytes where the design wants 256 (64 i32)"),
        (&["--arg-out", "2=x.npy"], 1, "there is no host buffer 2: the sequences have 2 buffers"),
        (&["--arg", "seq", "--arg", "seq", "--arg", "seq"], 1, "there is no host buffer 2"),
        (&["--arg", "random:x"], 2, "`x` is no seed"),
        (&["--expect", "x"], 2, "2=c.npy"),
        (&["--step-limit", "100"], 1, "stopped after 100 steps"),
    ] {
        let outcome = sim(&sandbox, arguments);
        assert_eq!(outcome.status, Some(status), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{arguments:?}: {}", outcome.stderr);
    }
    let outcome = sandbox.run(&["sim", "scale.mlir"]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("scale"), "{}", outcome.stderr);
    sandbox.write("scale.cc", "void scale(const int *, int *, int) {}");
    let outcome = sim(&sandbox, &[]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("extern \"C\""), "{}", outcome.stderr);
}

#[test]
fn a_rendered_design_takes_the_core_kernel_beside_it() {
    let sandbox = Sandbox::with_model(SMALL);
    assert_eq!(sandbox.run(&["render", "--out", "."]).status, Some(0));
    let design = "small/npu1-i8/design.mlir";
    let sequence = "m64_k256_n256_none";
    let mut command =
        sandbox.command(&["sim", design, "--sequence", sequence, "--arg", "zeros", "--expect"]);
    command.arg("2=zeros").env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache"));
    let outcome = Outcome::of(&mut command);
    assert_eq!(outcome.status, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("is as expected"), "{}", outcome.stdout);
}
