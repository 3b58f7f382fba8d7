//! Designs with something broken in them are refused or built, and never more than that.

use proptest::prelude::*;
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{self, Source};

/// A design with a bit of everything.
const DESIGN: &str = r#"module {
  aie.device(npu2) @d {
    func.func private @k(memref<16xi32>, i32)
    memref.global constant @table : memref<4xi32> = dense<[1, 2, 3, 4]>
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core = aie.tile(0, 2)
    %north = aie.tile(0, 3)
    %b = aie.buffer(%core) {sym_name = "b", address = 1024 : i32} : memref<4x8xi32> = dense<0>
    %l = aie.lock(%core, 4) {init = 1 : i32, sym_name = "l"}
    aie.objectfifo @in(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
    aie.objectfifo @a(%mem dimensionsToStream [<size = 2, stride = 4>, <size = 4, stride = 1>], {%core, %north}, [2, 3, 4]) : !aie.objectfifo<memref<8xi32>>
    aie.objectfifo @c(%mem, {%north dimensionsFromStream [<size = 8, stride = 1>]}, 2 : i32) {repeat_count = 2 : i32} : !aie.objectfifo<memref<8xi32>>
    aie.objectfifo @n(%core, {%north}, 2 : i32) : !aie.objectfifo<memref<4xi32>> = [dense<1> : memref<4xi32>, dense<2> : memref<4xi32>]
    aie.objectfifo @o(%north, {%mem}, 1 : i32) : !aie.objectfifo<memref<8xi32>>
    aie.objectfifo @out(%mem, {%shim}, 2 : i32) {iter_count = 3 : i32} : !aie.objectfifo<memref<8xi32>>
    aie.objectfifo.link [@o] -> [@out]([] [])
    aie.objectfifo.allocate @n(%north)
    aie.shim_dma_allocation @x(%shim, MM2S, 1)
    aie.flow(%shim, DMA : 1, %core, DMA : 1)
    aie.packet_flow(3) {
      aie.packet_source<%core, DMA : 1>
      aie.packet_dest<%mem, DMA : 5>
    } {keep_pkt_header = true}
    aie.cascade_flow(%north, %core)
    aie.mem(%core) {
      %0 = aie.dma_start(S2MM, 1, ^bd, ^end, repeat_count = 3)
    ^bd:
      aie.use_lock(%l, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<4x8xi32>, 8, 16, [<size = 2, stride = 8>, <size = 8, stride = 1>]) {bd_id = 3 : i32}
      aie.use_lock(%l, Release, 1)
      aie.next_bd ^bd
    ^end:
      aie.end
    }
    aie.memtile_dma(%mem) {
      %m = aie.buffer(%mem) : memref<64xi16>
      %1 = aie.dma(MM2S, 5) {loop = false} [{
        aie.dma_bd(%m : memref<64xi16>, 0, 40, [<size = 4, stride = 8>, <size = 8, stride = 1>], [<const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 2, const_pad_after = 0>])
      }]
      aie.end
    }
    aie.core(%core) {
      %v = aie.objectfifo.acquire @a(Consume, 1) : !aie.objectfifosubview<memref<8xi32>>
      aie.objectfifo.release @a(Consume, 1)
      %w = aie.objectfifo.acquire @n(Produce, 2) : !aie.objectfifosubview<memref<4xi32>>
      aie.end
    } {stack_size = 2048 : i32, dynamic_objfifo_lowering = true}
    aie.core(%north) {
      %v = aie.objectfifo.acquire @o(Produce, 1) : !aie.objectfifosubview<memref<8xi32>>
      aie.end
    }
    aie.runtime_sequence @run(%x: memref<16xi32>) {
    }
  }
}
"#;

fn try_text(text: &str) -> Result<Netlist, String> {
    let module =
        text::parse(&Source::new("design.mlir", text)).map_err(|error| error.to_string())?;
    Netlist::build(module, None).map_err(|error| error.to_string())
}

/// Ranges of numbers and words.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices() {
        match (c.is_alphanumeric() || matches!(c, '%' | '@' | '_' | '^' | '.'), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                found.push((from, i));
                start = None;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_design_itself_is_fine() {
    let netlist = try_text(DESIGN).expect("a netlist");
    assert_eq!(netlist.cores.len(), 2);
}

#[test]
fn every_line_can_be_missing() {
    let lines: Vec<_> = DESIGN.lines().collect();
    for missing in 0..lines.len() {
        let rest = lines.iter().enumerate().filter(|&(i, _)| i != missing);
        let text: Vec<_> = rest.map(|(_, line)| *line).collect();
        let _ = try_text(&text.join("\n"));
    }
}

#[test]
fn attributes_can_be_missing() {
    // The generic form leaves everything out that is not there.
    for name in [
        "aie.tile",
        "aie.buffer",
        "aie.lock",
        "aie.objectfifo",
        "aie.objectfifo.link",
        "aie.core",
        "aie.mem",
        "aie.flow",
        "aie.packet_flow",
        "aie.dma",
        "aie.shim_dma_allocation",
        "aie.cascade_flow",
        "aie.runtime_sequence",
        "aie.switchbox",
        "aie.external_buffer",
        "memref.global",
        "func.func",
        "aie.objectfifo.allocate",
        "aie.bd_chain",
        "aie.configure_cascade",
        "aie.objectfifo.register_external_buffers",
    ] {
        let text = format!("module {{\n aie.device(npu1) {{\n \"{name}\"() : () -> ()\n }}\n}}\n");
        if let Ok(module) = text::parse(&Source::new("design.mlir", &text)) {
            let _ = Netlist::build(module, None);
        }
    }
}

#[test]
fn a_file_without_a_device_and_devices_by_name() {
    assert!(try_text("module { }").unwrap_err().contains("the file has no aie.device"));
    assert!(try_text("module { aie.device(xcvc1902) { } }").unwrap_err().contains("not an NPU"));
    let text = "module { aie.device(npu1) @one { } aie.device(npu2_2col) @two { } }";
    let module = text::parse(&Source::new("design.mlir", text)).expect("a module");
    assert_eq!(Netlist::devices(&module), ["one", "two"]);
    let two = Netlist::build(module.clone(), Some("two")).expect("a netlist");
    assert_eq!(two.device.columns, 2);
    let error = Netlist::build(module, Some("three")).unwrap_err();
    assert_eq!((error.message(), error.help()), ("no aie.device @three", "there is: one, two"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// One word becomes another of the design, or a number that is out of place.
    #[test]
    fn words_in_the_wrong_place(
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..3), 1..3)
    ) {
        let numbers = ["0", "1", "3", "63", "64", "255", "1000000000", "4294967295", "9223372036854775807"];
        let mut text = DESIGN.to_owned();
        for (at, other, kind) in swaps {
            let found = tokens(&text);
            let (from, to) = found[at.index(found.len())];
            let (a, b) = found[other.index(found.len())];
            let new = if kind == 0 { text[a..b].to_owned() } else { numbers[other.index(numbers.len())].to_owned() };
            text.replace_range(from..to, &new);
        }
        let _ = try_text(&text);
    }

    /// Only numbers, so that most of them are read and reach the netlist.
    #[test]
    fn numbers_out_of_range(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4)) {
        let numbers = ["0", "1", "2", "5", "16", "63", "64", "100", "256", "65536", "2147483647"];
        let mut text = DESIGN.to_owned();
        for (at, value) in changes {
            let found: Vec<_> = tokens(&text)
                .into_iter()
                .filter(|&(from, to)| text[from..to].chars().all(|c| c.is_ascii_digit()))
                .collect();
            let (from, to) = found[at.index(found.len())];
            text.replace_range(from..to, numbers[value.index(numbers.len())]);
        }
        let _ = try_text(&text);
    }
}
