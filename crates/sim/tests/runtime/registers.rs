//! Registers of tiles.

use super::{last, refusal};

/// 16 words go through a memtile, whose descriptors are registers; they come back transposed.
const TRANSPOSE: &str = r#"module {
  aie.device(npu2_1col) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %full = aie.lock(%mem, 3) {init = 0 : i32}
    %buffer = aie.buffer(%mem) {sym_name = "buffer"} : memref<32xi32>
    aie.flow(%shim, DMA : 0, %mem, DMA : 0)
    aie.flow(%mem, DMA : 1, %shim, DMA : 0)
    // 16 words to byte 64 of the memtile, then one on lock 3; 4 columns of 4 words from there.
    memref.global "private" constant @in : memref<8xi32> = dense<[16, 131088, 0, 0, 0, 0, 0, -2126315520]>
    memref.global "private" constant @shim_in : memref<8xi32> = dense<[16, 0, 0, 0, 0, 0, 0, 33554432]>
    aie.runtime_sequence @run(%a: memref<16xi32>, %c: memref<16xi32>) {
      %in = memref.get_global @in : memref<8xi32>
      aiex.npu.blockwrite(%in) {address = 0xA0000 : ui32, column = 0 : i32, row = 1 : i32} : memref<8xi32>
      aiex.npu.writebd {bd_id = 24 : i32, column = 0 : i32, row = 1 : i32, buffer_length = 16 : i32, buffer_offset = 131088 : i32, d0_size = 4 : i32, d0_stride = 3 : i32, d1_size = 4 : i32, d1_stride = 0 : i32, d2_size = 0 : i32, d2_stride = 0 : i32, d0_zero_before = 0 : i32, d1_zero_before = 0 : i32, d2_zero_before = 0 : i32, d0_zero_after = 0 : i32, d1_zero_after = 0 : i32, d2_zero_after = 0 : i32, enable_packet = 0 : i32, iteration_current = 0 : i32, iteration_size = 0 : i32, iteration_stride = 0 : i32, lock_acq_enable = 1 : i32, lock_acq_id = 67 : i32, lock_acq_val = 127 : i32, lock_rel_id = 0 : i32, lock_rel_val = 0 : i32, next_bd = 0 : i32, out_of_order_id = 0 : i32, packet_id = 0 : i32, packet_type = 0 : i32, use_next_bd = 0 : i32, valid_bd = 1 : i32}
      aiex.npu.push_queue(0, 1, S2MM : 0) {bd_id = 0 : i32, issue_token = true, repeat_count = 0 : i32}
      aiex.npu.push_queue(0, 1, MM2S : 1) {bd_id = 24 : i32, issue_token = false, repeat_count = 0 : i32}
      %words = memref.get_global @shim_in : memref<8xi32>
      aiex.npu.blockwrite(%words) {address = 0x1D040 : ui32} : memref<8xi32>
      aiex.npu.address_patch {addr = 0x1D044 : ui32, arg_idx = 0 : i32, arg_plus = 0 : i32}
      aiex.npu.write32 {address = 0x1D214 : ui32, value = 2 : ui32}
      aiex.npu.sync {column = 0 : i32, row = 1 : i32, direction = 0 : i32, channel = 0 : i32, column_num = 1 : i32, row_num = 1 : i32}
      aiex.npu.blockwrite(%words) {address = 0x1D060 : ui32} : memref<8xi32>
      aiex.npu.address_patch {addr = 0x1D064 : ui32, arg_idx = 1 : i32, arg_plus = 0 : i32}
      aiex.npu.write32 {address = 0x1D204 : ui32, value = 0x80000003 : ui32}
      aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 0 : i32, channel = 0 : i32, column_num = 1 : i32, row_num = 1 : i32}
    }
  }
}
"#;

#[test]
fn descriptors_are_words() {
    let transposed: Vec<i32> = (0..16).map(|i| i % 4 * 4 + i / 4).collect();
    assert_eq!(last(TRANSPOSE, vec![(0..16).collect(), vec![-1; 16]]), transposed);
}

#[test]
fn a_descriptor_changes_word_by_word() {
    // Half of it, from the fifth word on.
    let halved = TRANSPOSE.replace(
        "arg_idx = 1 : i32, arg_plus = 0 : i32}",
        "arg_idx = 1 : i32, arg_plus = 16 : i32}\n      aiex.npu.maskwrite32 {address = 0x1D060 : ui32, value = 8 : ui32, mask = 0xFF : ui32}",
    );
    let mut expected = vec![-1; 16];
    for i in 0..8 {
        expected[i as usize + 4] = i % 4 * 4 + i / 4;
    }
    let shortened = halved.replace("buffer_length = 16", "buffer_length = 8");
    assert_eq!(last(&shortened, vec![(0..16).collect(), vec![-1; 16]]), expected);
}

/// A core adds the words of a constant, once its lock is set.
const CONSTANT: &str = r#"module {
  aie.device(npu1_1col) {
    %shim = aie.tile(0, 0)
    %tile = aie.tile(0, 2)
    %go = aie.lock(%tile, 5) {init = 0 : i32}
    %full = aie.lock(%tile, 6) {init = 0 : i32}
    %small = aie.buffer(%tile) {sym_name = "small"} : memref<2xi32>
    %sum = aie.buffer(%tile) {sym_name = "sum"} : memref<8xi32> = dense<100>
    %constant = aie.buffer(%tile) {sym_name = "constant"} : memref<8xi32>
    aie.flow(%tile, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @out(%shim, S2MM, 0)
    memref.global "private" constant @values : memref<8xi32> = dense<[1, 2, 3, 4, 5, 6, 7, 8]>
    %core = aie.core(%tile) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c8 = arith.constant 8 : index
      aie.use_lock(%go, Acquire, 2)
      scf.for %i = %c0 to %c8 step %c1 {
        %x = memref.load %constant[%i] : memref<8xi32>
        %y = memref.load %sum[%i] : memref<8xi32>
        %z = arith.addi %x, %y : i32
        memref.store %z, %sum[%i] : memref<8xi32>
      }
      aie.use_lock(%full, Release, 1)
      aie.end
    } {stack_size = 2048 : i32}
    %dma = aie.mem(%tile) {
      %0 = aie.dma_start(MM2S, 0, ^bd, ^end)
    ^bd:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%sum : memref<8xi32>, 0, 8) {bd_id = 3 : i32}
      aie.next_bd ^end
    ^end:
      aie.end
    }
    aie.runtime_sequence @run(%c: memref<8xi32>) {
      %values = memref.get_global @values : memref<8xi32>
      aiex.npu.blockwrite(%values) {buffer = @constant, address = 0 : ui32} : memref<8xi32>
      aiex.npu.write32 {buffer = @constant, address = 1 : ui32, value = 50 : ui32}
      aiex.npu.maskwrite32 {buffer = @constant, address = 2 : ui32, value = 0x1FF : ui32, mask = 0x110 : ui32}
      MORE
      aiex.npu.write32 {address = 0x1F050 : ui32, column = 0 : i32, row = 2 : i32, value = 2 : ui32}
      aiex.npu.dma_memcpy_nd(%c[0, 0, 0, 0][1, 1, 1, 8][0, 0, 0, 1]) {id = 0 : i64, metadata = @out} : memref<8xi32>
      aiex.npu.dma_wait {symbol = @out}
    }
  }
}
"#;

fn constant(more: &str) -> Vec<i32> {
    last(&CONSTANT.replace("MORE", more), vec![vec![-1; 8]])
}

#[test]
fn memory_and_locks_are_written() {
    assert_eq!(constant(""), [101, 150, 100 + 0x113, 104, 105, 106, 107, 108]);
}

#[test]
fn buffers_lie_behind_the_stack_the_largest_first() {
    // `constant` is behind `sum`, both are larger than `small`.
    let more = "aiex.npu.write32 {address = 0x820 : ui32, column = 0 : i32, row = 2 : i32, value = 7 : ui32}";
    assert_eq!(constant(more)[0], 107);
}

#[test]
fn a_descriptor_of_the_design_changes() {
    // The length of descriptor 3 becomes 4: the fifth word and those after never come.
    let more = "aiex.npu.maskwrite32 {address = 0x1D060 : ui32, column = 0 : i32, row = 2 : i32, value = 4 : ui32, mask = 0x3FFF : ui32}";
    let design = CONSTANT.replace("MORE", more).replace("[1, 1, 1, 8]", "[1, 1, 1, 4]");
    // It waits for its lock already: what it has loaded stays, the next time it is another.
    let c = last(&design, vec![vec![-1; 8]]);
    assert_eq!(c[..4], [101, 150, 100 + 0x113, 104]);
    assert_eq!(c[4..], [-1; 4]);
}

#[test]
fn traces_events_and_clocks_are_silent() {
    let write = |address: u32, row: u32| {
        format!(
            "aiex.npu.write32 {{address = {address} : ui32, column = 0 : i32, row = {row} : i32, value = 1 : ui32}}\n"
        )
    };
    let more = [0x340d0, 0x34008, 0x3ff00, 0x60000, 0x140d0, 0x32038, 0x1de10]
        .map(|address| write(address, 2))
        .concat()
        + &[0x340d0, 0x3404c, 0x1d200].map(|address| write(address, 0)).concat();
    assert_eq!(constant(&more)[0], 101);
}

#[test]
fn what_is_not_simulated_is_refused_by_address_and_tile() {
    let refused = |operation: &str| refusal(&CONSTANT.replace("MORE", operation), 1);
    let write = |address: &str, row: u32| {
        refused(&format!(
            "aiex.npu.write32 {{address = {address} : ui32, column = 0 : i32, row = {row} : i32, value = 3 : ui32}}"
        ))
    };
    let unknown = write("0x50000", 2);
    assert!(
        unknown.contains("nothing is known to be at address 0x50000 of core (0, 2)"),
        "{unknown}"
    );
    let program = write("0x20000", 2);
    assert!(program.contains("program memory"), "{program}");
    let routes = write("0x3F000", 0);
    assert!(routes.contains("a switch of streams"), "{routes}");
    let queue = write("0x1DE0C", 2);
    assert!(queue.contains("channel 1 of core (0, 2), which no flow"), "{queue}");
    let empty = refused(
        "aiex.npu.push_queue(0, 2, MM2S : 0) {bd_id = 7 : i32, issue_token = false, repeat_count = 0 : i32}",
    );
    assert!(empty.contains("descriptor 7 of core (0, 2) was never written"), "{empty}");
    let tile = refused(
        "aiex.npu.write32 {address = 0x1D204 : ui32, column = 9 : i32, row = 0 : i32, value = 3 : ui32}",
    );
    assert!(tile.contains("tile (9, 0), which is none"), "{tile}");
}

pub(crate) fn seeds() -> Vec<String> {
    vec![TRANSPOSE.to_owned(), CONSTANT.replace("MORE", "")]
}
