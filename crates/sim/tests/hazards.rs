//! Designs that come to an end, but not for good reasons.

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use tilewright_sim::engine::{FindingKind, Limits, Run, RunError, Simulator};
use tilewright_sim::functions::{Argument, Functions, Returned};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, parse};

/// A core with a buffer that a DMA channel sends to the host; `CORE`, `LOCKS` and `SEQUENCE` differ.
const DESIGN: &str = r#"module {
  aie.device(npu1_1col) {
    func.func private @touch(memref<1024xi32>)
    func.func private @look(memref<1024xi32>)
    %shim = aie.tile(0, 0)
    %tile = aie.tile(0, 2)
    %data = aie.buffer(%tile) {sym_name = "data"} : memref<1024xi32>
    %full = aie.lock(%tile, 0) {init = 0 : i32, sym_name = "full"}
    aie.flow(%tile, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @out(%shim, S2MM, 0)
    %core = aie.core(%tile) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %end = arith.constant 1024 : index
      %v = arith.constant 7 : i32
      CORE
      aie.end
    }
    %mem = aie.mem(%tile) {
      %0 = aie.dma_start(MM2S, 0, ^send, ^end)
    ^send:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%data : memref<1024xi32>, 0, 1024)
      aie.next_bd ^end
    ^end:
      aie.end
    }
    aie.runtime_sequence @run(%c: memref<1024xi32>) {
      SEQUENCE
    }
  }
}
"#;

const FILL: &str = "scf.for %i = %c0 to %end step %c1 {
        memref.store %v, %data[%i] : memref<1024xi32>
      }";
const RECEIVE: &str = "aiex.npu.dma_memcpy_nd(%c[0, 0, 0, 0][1, 1, 1, 1024][0, 0, 0, 1]) {id = 0 : i64, metadata = @out} : memref<1024xi32>
      aiex.npu.dma_wait {symbol = @out}";

fn simulate(core: &str, sequence: &str, limits: Limits) -> (Result<Run, RunError>, Vec<u8>) {
    let text = DESIGN.replace("CORE", core).replace("SEQUENCE", sequence);
    let source = Source::new("design.mlir", &text);
    let netlist = Arc::new(Netlist::build(parse(&source).unwrap(), None).unwrap());
    let mut functions = Functions::new();
    let touch = |arguments: &mut [Argument<'_>]| {
        if let Some(Argument::Buffer(bytes)) = arguments.first_mut() {
            bytes[0] = bytes[0].wrapping_add(1);
        }
        Ok(Returned { cycles: 50, value: None })
    };
    let look = |_: &mut [Argument<'_>]| Ok(Returned { cycles: 50, value: None });
    functions.register("touch", Arc::new(touch));
    functions.register("look", Arc::new(look));
    let mut simulator = Simulator::new(netlist, functions, limits).unwrap();
    let mut c = vec![0; 4096];
    let result = simulator.run("run", &mut [&mut c]);
    (result, c)
}

fn kinds(core: &str, sequence: &str) -> Vec<FindingKind> {
    let run = simulate(core, sequence, Limits::default()).0.unwrap();
    run.findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn what_is_filled_before_it_is_sent_is_right() {
    let core = format!("{FILL}\n      aie.use_lock(%full, Release, 1)");
    let (result, c) = simulate(&core, RECEIVE, Limits::default());
    assert_eq!(result.unwrap().findings, []);
    assert!(c.chunks_exact(4).all(|word| word == [7, 0, 0, 0]));
}

#[test]
fn bytes_that_nothing_wrote_reach_the_host() {
    assert_eq!(kinds("aie.use_lock(%full, Release, 1)", RECEIVE), [FindingKind::Uninitialised]);
    let half = FILL.replace("%c0 to %end", "%c1 to %end");
    let core = format!("{half}\n      aie.use_lock(%full, Release, 1)");
    assert_eq!(kinds(&core, RECEIVE), [FindingKind::Uninitialised]);
}

#[test]
fn a_core_that_loads_what_nothing_wrote() {
    let core = format!(
        "%x = memref.load %data[%c0] : memref<1024xi32>\n      {FILL}\n      aie.use_lock(%full, Release, 1)"
    );
    assert_eq!(kinds(&core, RECEIVE), [FindingKind::Uninitialised]);
}

#[test]
fn a_core_that_writes_what_is_being_sent() {
    // Long enough that the transfer has begun when it writes again.
    let again: String = (0..4).map(|n| FILL.replace("%i", &format!("%i{n}"))).collect();
    let core = format!("{FILL}\n      aie.use_lock(%full, Release, 1)\n      {again}");
    assert_eq!(kinds(&core, RECEIVE), [FindingKind::Race]);
}

#[test]
fn a_function_that_writes_what_is_being_sent() {
    let call = |name: &str| {
        format!(
            "{FILL}\n      aie.use_lock(%full, Release, 1)
      %calls = arith.constant 200 : index
      scf.for %j = %c0 to %calls step %c1 {{
        func.call @{name}(%data) : (memref<1024xi32>) -> ()
      }}"
        )
    };
    assert_eq!(kinds(&call("touch"), RECEIVE), [FindingKind::Race]);
    // One that only looks is no race.
    assert_eq!(kinds(&call("look"), RECEIVE), []);
}

#[test]
fn a_descriptor_that_is_written_while_it_is_in_use() {
    let core = format!("{FILL}\n      aie.use_lock(%full, Release, 1)");
    let half = "aiex.npu.dma_memcpy_nd(%c[0, 0, 0, OFFSET][1, 1, 1, 512][0, 0, 0, 1]) {id = ID : i64, metadata = @out} : memref<1024xi32>\n      ";
    let sequence = |second: &str| {
        let first = half.replace("OFFSET", "0").replace("ID", "0");
        let second = half.replace("OFFSET", "512").replace("ID", second);
        format!(
            "{first}{second}aiex.npu.dma_wait {{symbol = @out}}\n      aiex.npu.dma_wait {{symbol = @out}}"
        )
    };
    assert_eq!(kinds(&core, &sequence("0")), [FindingKind::DescriptorReuse]);
    assert_eq!(kinds(&core, &sequence("1")), []);
}

#[test]
fn a_core_that_never_ends_meets_the_limit() {
    let ever = "%ever = arith.constant 4294967295 : index
      %one = arith.constant 1 : i32
      scf.for %i = %c0 to %ever step %c1 {
        %y = arith.addi %v, %one : i32
      }";
    let limits = Limits { steps: 1_000_000, time: None };
    let (result, _) = simulate(ever, RECEIVE, limits);
    assert!(matches!(result, Err(RunError::Limit(_))), "{result:?}");
}

#[test]
fn wrong_host_buffers_are_an_error() {
    let (result, _) = simulate(
        FILL,
        "aiex.npu.dma_memcpy_nd(%c[0, 0, 0, 1020][1, 1, 1, 8][0, 0, 0, 1]) {id = 0 : i64, metadata = @out} : memref<1024xi32>",
        Limits::default(),
    );
    let message = result.unwrap_err().to_string();
    assert!(message.contains("reaches bytes 4080 to 4112"), "{message}");
}
