//! Designs with one mistake each: the simulator says which.
//!
//! One core adds 1 to what it gets; every mistake is one edit of that design.

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tilewright_sim::engine::{FindingKind, Limits, Run, RunError, Simulator};
use tilewright_sim::functions::Functions;
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, parse};

const LENGTH: usize = 256;

/// 256 numbers go through a memtile to a core in objects of 64, and back.
const DESIGN: &str = r#"module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %tile = aie.tile(0, 2)
    aie.objectfifo @in(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo @in_core(%mem dimensionsToStream [<size = 8, stride = 8>, <size = 2, stride = 4>, <size = 4, stride = 1>], {%tile}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    aie.objectfifo.link [@in] -> [@in_core]([] [])
    aie.objectfifo @out(%tile, {%shim}, 2 : i32) : !aie.objectfifo<memref<64xi32>>
    %go = aie.lock(%tile, 15) {init = 0 : i32, sym_name = "go"}
    %core = aie.core(%tile) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %objects = arith.constant 4 : index
      %length = arith.constant 64 : index
      %ever = arith.constant 4294967295 : index
      %one = arith.constant 1 : i32
      scf.for %call = %c0 to %ever step %c1 {
        aie.use_lock(%go, AcquireGreaterEqual, 1)
        scf.for %object = %c0 to %objects step %c1 {
          %iv = aie.objectfifo.acquire @in_core(Consume, 1) : !aie.objectfifosubview<memref<64xi32>>
          %i = aie.objectfifo.subview.access %iv[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
          %ov = aie.objectfifo.acquire @out(Produce, 1) : !aie.objectfifosubview<memref<64xi32>>
          %o = aie.objectfifo.subview.access %ov[0] : !aie.objectfifosubview<memref<64xi32>> -> memref<64xi32>
          scf.for %at = %c0 to %length step %c1 {
            %x = memref.load %i[%at] : memref<64xi32>
            %y = arith.addi %x, %one : i32
            memref.store %y, %o[%at] : memref<64xi32>
          }
          aie.objectfifo.release @in_core(Consume, 1)
          aie.objectfifo.release @out(Produce, 1)
        }
      }
      aie.end
    } {dynamic_objfifo_lowering = true}
    aie.runtime_sequence @run(%a: memref<256xi32>, %c: memref<256xi32>) {
      aiex.set_lock(%go, 1)
      %out = aiex.dma_configure_task_for @out {
        aie.dma_bd(%c : memref<256xi32>, 0, 256)
        aie.end
      } {issue_token = true}
      aiex.dma_start_task(%out)
      %in = aiex.dma_configure_task_for @in {
        aie.dma_bd(%a : memref<256xi32>, 0, 256)
        aie.end
      }
      aiex.dma_start_task(%in)
      aiex.dma_await_task(%out)
    }
  }
}
"#;

/// What a design does with the numbers from 0 on.
fn run(design: &str) -> (Result<Run, RunError>, Vec<i32>) {
    let source = Source::new("design.mlir", design);
    let netlist = Arc::new(Netlist::build(parse(&source).unwrap(), None).unwrap());
    let limits = Limits { steps: 10_000_000, time: None };
    let mut simulator = Simulator::new(netlist, Functions::new(), limits).unwrap();
    let bytes = |values: &[i32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let taken = if design.contains("%a: memref<768xi32>") { 3 * LENGTH } else { LENGTH };
    let mut a = bytes(&(0..taken as i32).collect::<Vec<_>>());
    let mut c = bytes(&[-1; LENGTH]);
    let result = simulator.run("run", &mut [&mut a, &mut c]);
    let words = c.chunks_exact(4).map(|w| i32::from_le_bytes(w.try_into().unwrap())).collect();
    (result, words)
}

fn expected() -> Vec<i32> {
    (1..=LENGTH as i32).collect()
}

/// The design with one edit.
fn with(from: &str, to: &str) -> String {
    assert!(DESIGN.contains(from), "the design has no {from:?}");
    DESIGN.replacen(from, to, 1)
}

fn hang(design: &str) -> String {
    match run(design).0 {
        Err(RunError::Hang(report)) => report,
        other => panic!("a hang was expected, not {other:?}"),
    }
}

fn findings(design: &str) -> Vec<(FindingKind, String)> {
    let run = run(design).0.unwrap();
    run.findings.into_iter().map(|finding| (finding.kind, finding.message)).collect()
}

#[test]
fn the_design_is_right() {
    let (result, c) = run(DESIGN);
    assert_eq!(result.unwrap().findings, []);
    assert_eq!(c, expected());
}

#[test]
fn a_dropped_release_hangs() {
    let report = hang(&with("          aie.objectfifo.release @in_core(Consume, 1)\n", ""));
    insta::assert_snapshot!(report);
}

#[test]
fn swapped_strides_give_wrong_numbers() {
    let (result, c) = run(&with(
        "<size = 8, stride = 8>, <size = 2, stride = 4>",
        "<size = 8, stride = 4>, <size = 2, stride = 8>",
    ));
    result.unwrap();
    assert_ne!(c, expected());
}

#[test]
fn a_shortened_host_transfer_hangs() {
    let report = hang(&with(
        "aie.dma_bd(%a : memref<256xi32>, 0, 256)",
        "aie.dma_bd(%a : memref<256xi32>, 0, 192)",
    ));
    insta::assert_snapshot!(report);
}

#[test]
fn a_host_transfer_that_is_too_long_never_ends() {
    // Two objects fit into the memtile and two into the core: eight more than are used do not.
    let design = with(
        "aie.dma_bd(%a : memref<256xi32>, 0, 256)",
        "aie.dma_bd(%a : memref<768xi32>, 0, 768)",
    );
    let found = findings(&design.replacen("%a: memref<256xi32>", "%a: memref<768xi32>", 1));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, FindingKind::Unfinished);
    assert!(found[0].1.contains("shim (0, 0) MM2S 0 (`in`) never comes to its end"), "{found:?}");
}

#[test]
fn a_core_that_wants_more_hangs_in_the_next_call() {
    let report = hang(&with("%objects = arith.constant 4", "%objects = arith.constant 5").replace(
        "      aiex.dma_await_task(%out)\n",
        "      aiex.dma_await_task(%out)\n      aiex.set_lock(%go, 1)\n      %again = aiex.dma_configure_task_for @out {\n        aie.dma_bd(%c : memref<256xi32>, 0, 256)\n        aie.end\n      } {issue_token = true}\n      aiex.dma_start_task(%again)\n      aiex.dma_await_task(%again)\n",
    ));
    insta::assert_snapshot!(report);
}

#[test]
fn a_missing_token_is_named() {
    let report = hang(&with("      } {issue_token = true}\n", "      }\n"));
    insta::assert_snapshot!(report);
}

#[test]
fn a_sequence_that_does_not_wait_leaves_a_transfer_behind() {
    let found = findings(&with("      aiex.dma_await_task(%out)\n", ""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, FindingKind::Unfinished);
}

#[test]
fn a_fifth_task_overflows_the_queue() {
    let task = "      %inN = aiex.dma_configure_task_for @in {\n        aie.dma_bd(%a : memref<256xi32>, 0, 64)\n        aie.end\n      }\n      aiex.dma_start_task(%inN)\n";
    let tasks: String = (0..5).map(|n| task.replace('N', &n.to_string())).collect();
    let old = "      %in = aiex.dma_configure_task_for @in {\n        aie.dma_bd(%a : memref<256xi32>, 0, 256)\n        aie.end\n      }\n      aiex.dma_start_task(%in)\n";
    let found = findings(&with(old, &tasks));
    assert!(found.iter().any(|(kind, _)| *kind == FindingKind::QueueOverflow), "{found:?}");
}

#[test]
fn a_transfer_beyond_the_host_buffer_is_an_error() {
    let (result, _) = run(&with(
        "aie.dma_bd(%c : memref<256xi32>, 0, 256)",
        "aie.dma_bd(%c : memref<256xi32>, 64, 256)",
    ));
    let message = result.unwrap_err().to_string();
    assert!(message.contains("bytes 256 to 1280 of argument 1"), "{message}");
}

#[test]
fn reading_without_an_acquire_is_an_error() {
    let (result, _) = run(&with(
        "%i = aie.objectfifo.subview.access %iv[0]",
        "%i = aie.objectfifo.subview.access %iv[1]",
    ));
    let message = result.unwrap_err().to_string();
    assert!(message.contains("beyond the 1 that are held"), "{message}");
}

#[test]
fn the_array_keeps_its_state_between_calls() {
    let source = Source::new("design.mlir", DESIGN);
    let netlist = Arc::new(Netlist::build(parse(&source).unwrap(), None).unwrap());
    let mut simulator = Simulator::new(netlist, Functions::new(), Limits::default()).unwrap();
    for call in 0..3_i32 {
        let mut a: Vec<u8> = (0..256).flat_map(|i: i32| (i * call).to_le_bytes()).collect();
        let mut c = vec![0; 1024];
        let run = simulator.run("run", &mut [&mut a, &mut c]).unwrap();
        assert_eq!(run.findings, []);
        let expected: Vec<u8> = (0..256).flat_map(|i: i32| (i * call + 1).to_le_bytes()).collect();
        assert_eq!(c, expected);
    }
}
