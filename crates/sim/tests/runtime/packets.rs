//! Packets: with headers of their own, with headers in their data, to control ports and from trace
//! units.

use super::{last, refusal};

const fn parity(word: u32) -> i32 {
    (if word.count_ones().is_multiple_of(2) { word | 1 << 31 } else { word }) as i32
}

/// One output of the shim feeds two inputs of a memtile, by packets; each fills a half of a buffer.
fn fan(flow: &str, task: &str) -> String {
    let flow = |id: u32| {
        format!(
            "aie.packet_flow({id}) {{ aie.packet_source<%shim, DMA : 0> aie.packet_dest<%mem, DMA : {id}> }} {flow}"
        )
    };
    let start = |id: u32, from: u32| {
        let task = task.replace("ID", &id.to_string());
        format!(
            "%{id} = aiex.dma_configure_task(%shim, MM2S, 0{task}) {{ aie.dma_bd(%a : memref<16xi32>, {from}, 8) aie.end }} aiex.dma_start_task(%{id})"
        )
    };
    let take = |id: u32, at: u32| {
        format!(
            "%s{id} = aie.dma_start(S2MM, {id}, ^b{id}, ^c{id})\n^b{id}:\naie.dma_bd(%buffer : memref<16xi32>, {at}, COUNT)\naie.use_lock(%full, Release, 1)\naie.next_bd ^end\n^c{id}:\n"
        )
    };
    format!(
        r#"module {{ aie.device(npu1_1col) {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %full = aie.lock(%mem, 0) {{init = 0 : i32}}
    %buffer = aie.buffer(%mem) : memref<16xi32> = dense<-1>
    {} {}
    aie.flow(%mem, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @out(%shim, S2MM, 0)
    %dma = aie.memtile_dma(%mem) {{
      {} {}
      %out = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%full, AcquireGreaterEqual, 2)
      aie.dma_bd(%buffer : memref<16xi32>, 0, 16)
      aie.next_bd ^end
    ^end:
      aie.end
    }}
    aie.runtime_sequence @run(%a: memref<16xi32>, %c: memref<16xi32>) {{
      {} {}
      aiex.npu.dma_memcpy_nd(%c[0, 0, 0, 0][1, 1, 1, 16][0, 0, 0, 1]) {{id = 5 : i64, metadata = @out}} : memref<16xi32>
      aiex.npu.dma_wait {{symbol = @out}}
    }}
  }} }}"#,
        flow(1),
        flow(2),
        take(1, 8),
        take(2, 0),
        start(1, 0),
        start(2, 8),
    )
}

#[test]
fn descriptors_make_headers() {
    let design = fan("", ", <pkt_type = 0, pkt_id = ID>").replace("COUNT", "8");
    let expected: Vec<i32> = (8..16).chain(0..8).collect();
    assert_eq!(last(&design, vec![(0..16).collect(), vec![0; 16]]), expected);
}

#[test]
fn headers_are_kept_where_a_flow_says_so() {
    let design = fan("{keep_pkt_header = true}", ", <pkt_type = 0, pkt_id = ID>")
        .replace(", 0, 8) aie.end", ", 0, 7) aie.end")
        .replace(", 8, 8) aie.end", ", 8, 7) aie.end")
        .replace("COUNT", "8");
    let mut expected = vec![parity(2)];
    expected.extend(8..15);
    expected.push(parity(1));
    expected.extend(0..7);
    assert_eq!(last(&design, vec![(0..16).collect(), vec![0; 16]]), expected);
}

#[test]
fn headers_may_be_in_the_data() {
    let design = fan("", "").replace("COUNT", "7");
    let mut data: Vec<i32> = (0..16).collect();
    (data[0], data[8]) = (parity(1), parity(2));
    let mut expected: Vec<i32> = (9..16).collect();
    expected.push(-1);
    expected.extend(1..8);
    expected.push(-1);
    assert_eq!(last(&design, vec![data, vec![0; 16]]), expected);
}

/// The control port of a core's tile writes its memory and locks and answers.
const CONTROL: &str = r#"module {
  aie.device(npu2_1col) {
    %shim = aie.tile(0, 0)
    %tile = aie.tile(0, 3)
    %lock = aie.lock(%tile, 2) {init = 9 : i32}
    %buffer = aie.buffer(%tile) {address = 4096 : i32} : memref<8xi32> = dense<5>
    aie.packet_flow(1) { aie.packet_source<%shim, DMA : 0> aie.packet_dest<%tile, TileControl : 0> }
    aie.packet_flow(6) { aie.packet_source<%tile, TileControl : 0> aie.packet_dest<%shim, DMA : 1> }
    aie.shim_dma_allocation @control(%shim, MM2S, 0)
    aie.shim_dma_allocation @answer(%shim, S2MM, 1)
    aie.runtime_sequence @run(%a: memref<8xi32>, %c: memref<5xi32>) {
      aiex.npu.dma_memcpy_nd(%c[0, 0, 0, 0][1, 1, 1, 5][0, 0, 0, 1]) {id = 1 : i64, metadata = @answer} : memref<5xi32>
      aiex.npu.dma_memcpy_nd(%a[0, 0, 0, 0][1, 1, 1, 8][0, 0, 0, 1], packet = <pkt_type = 1, pkt_id = 1>) {id = 0 : i64, metadata = @control} : memref<8xi32>
      aiex.npu.dma_wait {symbol = @answer}
    }
  }
}
"#;

fn header(operation: u32, words: u32, address: u32) -> i32 {
    parity(6 << 24 | operation << 22 | (words - 1) << 20 | address)
}

#[test]
fn control_packets_write_and_read() {
    let packets = vec![
        header(0, 2, 0x1004),
        70,
        71,
        header(0, 1, 0x1_f020),
        33,
        header(1, 4, 0x1000),
        header(1, 1, 0x1_f020),
        // What is not a whole packet waits for the rest.
        header(0, 4, 0x1000),
    ];
    assert_eq!(last(CONTROL, vec![packets, vec![0; 5]]), [5, 70, 71, 5, 33]);
}

#[test]
fn a_control_packet_of_even_parity_is_refused() {
    let message = refusal(CONTROL, 2);
    assert!(message.contains("even parity"), "{message}");
}

#[test]
fn trace_buffers_stay_empty() {
    let design = CONTROL
        .replace("%tile, TileControl : 0> aie.packet_dest<%shim, DMA : 1> }", "%tile, Trace : 0> aie.packet_dest<%shim, DMA : 1> } {keep_pkt_header = true}")
        .replace("      aiex.npu.dma_wait {symbol = @answer}\n", "      aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 1 : i32, channel = 0 : i32, column_num = 1 : i32, row_num = 1 : i32}\n")
        .replace("metadata = @control}", "issue_token = true, metadata = @control}");
    let packets = [header(0, 1, 0x1004), 70].repeat(4);
    assert_eq!(last(&design, vec![packets, vec![-3; 5]]), [-3; 5]);
}

pub(crate) fn seeds() -> Vec<String> {
    let headers = fan("{keep_pkt_header = true}", ", <pkt_type = 0, pkt_id = ID>");
    vec![CONTROL.to_owned(), headers.replace("COUNT", "8"), fan("", "").replace("COUNT", "7")]
}
