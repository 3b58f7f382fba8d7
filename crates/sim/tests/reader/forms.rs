//! The pretty and the generic form of an operation are the same operation.

use crate::same::{difference, outline, read};

/// Values that the operations below use.
const PROLOGUE: &str = r#"
    %t = "aie.tile"() <{col = 0 : i32, row = 2 : i32}> : () -> index
    %s = "aie.tile"() <{col = 0 : i32, row = 0 : i32}> : () -> index
    %lock = "aie.lock"(%t) : (index) -> index
    %m = "aie.buffer"(%t) : (index) -> memref<4x8xi32>
    %n = "aie.buffer"(%t) : (index) -> memref<32xi32>
    %f = "aie.buffer"(%t) : (index) -> memref<32xf32>
    %i = "arith.constant"() <{value = 3 : index}> : () -> index
    %l = "arith.constant"() <{value = 3 : i64}> : () -> i64
    %a = "arith.constant"() <{value = 3 : i32}> : () -> i32
    %x = "arith.constant"() <{value = 3.0 : f32}> : () -> f32
    %c = "arith.constant"() <{value = true}> : () -> i1
    %v = "arith.constant"() <{value = dense<1> : vector<8xi32>}> : () -> vector<8xi32>
"#;

fn in_device(text: &str) -> String {
    let read = read(&format!("module {{ aie.device(npu1) {{ {PROLOGUE} {text} }} }}"));
    outline(&read)
}

#[track_caller]
fn same(pretty: &str, generic: &str) {
    let (left, right) = (in_device(pretty), in_device(generic));
    let difference = difference(&left, &right);
    assert!(difference.is_empty(), "{pretty}\n{difference}");
}

#[test]
fn devices_and_tiles() {
    let pretty = "module @m { aie.device(npu2) @main { %t = aie.tile(0, 2) {allocation_scheme = \"basic-sequential\"} } }";
    let generic = r#""builtin.module"() <{sym_name = "m"}> ({
        "aie.device"() <{device = 8 : i32, sym_name = "main"}> ({
            %9 = "aie.tile"() <{allocation_scheme = "basic-sequential", col = 0 : i32, row = 2 : i32}> : () -> index
            "aie.end"() : () -> ()
        }) : () -> ()
    }) : () -> ()"#;
    assert_eq!(outline(&read(pretty)), outline(&read(generic)));
    let bare =
        "aie.device(npu2) { %t = aie.tile(0, 2) {allocation_scheme = \"basic-sequential\"} }";
    assert_eq!(outline(&read(bare)), outline(&read(generic)));
}

#[test]
fn cores_memories_and_locks() {
    same(
        r#"%k = aie.core(%t) { aie.use_lock(%lock, AcquireGreaterEqual, 2) aie.end } {elf_file = "a.elf"}"#,
        r#"%k = "aie.core"(%t) <{elf_file = "a.elf", stack_size = 1024 : i32}> ({
            "aie.use_lock"(%lock) <{action = 2 : i32, value = 2 : i32}> : (index) -> ()
            "aie.end"() : () -> () }) : (index) -> index"#,
    );
    same(
        "%k = aie.mem(%t) {
            %d = aie.dma_start(MM2S, 1, ^bd, ^end, repeat_count = 3)
        ^bd:
            aie.use_lock(%lock, Acquire, 1, Blocking)
            aie.dma_bd(%n : memref<32xi32>, 4, 16, [<size = 4, stride = 8>, <size = 4, stride = 1>],
                       [<const_pad_before = 1, const_pad_after = 2>], pad_value = 7)
                {bd_id = 2 : i32, next_bd_id = 3 : i32, packet = #aie.packet_info<pkt_id = 5, pkt_type = 1>}
            aie.next_bd ^bd
        ^end:
            aie.end }",
        r#"%k = "aie.mem"(%t) ({
            %d = "aie.dma_start"()[^bb1, ^bb2] <{channel_dir = 1 : i32, channel_index = 1 : i32, repeat_count = 3 : i32}> : () -> i1
        ^bb1:  // 2 preds
            "aie.use_lock"(%lock) <{action = 0 : i32, blocking = 1 : i32, value = 1 : i32}> : (index) -> ()
            "aie.dma_bd"(%n) <{bd_id = 2 : i32, dimensions = #aie<bd_dim_layout_array[<size = 4, stride = 8>, <size = 4, stride = 1>]>, len = 16 : i32, next_bd_id = 3 : i32, offset = 4 : i32, packet = #aie.packet_info<pkt_type = 1, pkt_id = 5>, pad_dimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 2>]>, pad_value = 7 : i32}> : (memref<32xi32>) -> ()
            "aie.next_bd"()[^bb1] : () -> ()
        ^bb2:
            "aie.end"() : () -> () }) : (index) -> index"#,
    );
    same(
        "%k = aie.memtile_dma(%t) {
            %d = aie.dma(S2MM, 0) {loop = false} [{ aie.end }, { aie.dma_bd(%n : memref<32xi32>) aie.end }]
            aie.end }",
        r#"%k = "aie.memtile_dma"(%t) ({
            %d = "aie.dma"() <{channel_dir = 0 : i32, channel_index = 0 : i32, loop = false, repeat_count = 0 : i32}>
                ({ "aie.end"() : () -> () }, { "aie.dma_bd"(%n) <{offset = 0 : i32}> : (memref<32xi32>) -> () "aie.end"() : () -> () }) : () -> i1
            "aie.end"() : () -> () }) : (index) -> index"#,
    );
    same(
        r#"%b = aie.buffer(%t) {address = 1024 : i32, sym_name = "b"} : memref<2x2xi8> = dense<[[1, 2], [3, 255]]>"#,
        r#"%b = "aie.buffer"(%t) <{address = 1024 : i32, initial_value = dense<[[1, 2], [3, -1]]> : tensor<2x2xi8>, sym_name = "b"}> : (index) -> memref<2x2xi8>"#,
    );
    same(
        "%b = aie.lock(%t, 3) {init = -1 : i32}",
        r#"%b = "aie.lock"(%t) <{init = -1 : i32, lockID = 3 : i32}> : (index) -> index"#,
    );
}

#[test]
fn streams() {
    same(
        "aie.flow(%s, DMA : 0, %t, Core : 1)",
        r#""aie.flow"(%s, %t) <{dest_bundle = 0 : i32, dest_channel = 1 : i32, source_bundle = 1 : i32, source_channel = 0 : i32}> : (index, index) -> ()"#,
    );
    same(
        "aie.packet_flow(5) { aie.packet_source<%s, DMA : 0> aie.packet_dest<%t, TileControl : 0> } {keep_pkt_header = true, priority_route = true}",
        r#""aie.packet_flow"() <{ID = 5 : i8, keep_pkt_header = true, priority_route = true}> ({
            "aie.packet_source"(%s) <{bundle = 1 : i32, channel = 0 : i32}> : (index) -> ()
            "aie.packet_dest"(%t) <{bundle = 10 : i32, channel = 0 : i32}> : (index) -> ()
            "aie.end"() : () -> () }) : () -> ()"#,
    );
    same(
        "%w = aie.switchbox(%t) {
            aie.connect<North : 1, East : 2>
            %am = aie.amsel<5>(3)
            %ms = aie.masterset(South : 0, %am) {keep_pkt_header = true}
            aie.packet_rules(West : 3) { aie.rule(31, 2, %am) } }",
        r#"%w = "aie.switchbox"(%t) ({
            "aie.connect"() <{dest_bundle = 6 : i32, dest_channel = 2 : i32, source_bundle = 5 : i32, source_channel = 1 : i32}> : () -> ()
            %am = "aie.amsel"() <{arbiterID = 5 : i8, msel = 3 : i8}> : () -> index
            %ms = "aie.masterset"(%am) <{dest_bundle = 3 : i32, dest_channel = 0 : i32, keep_pkt_header = true}> : (index) -> index
            "aie.packet_rules"() <{source_bundle = 4 : i32, source_channel = 3 : i32}> ({
                "aie.rule"(%am) <{mask = 31 : i8, value = 2 : i8}> : (index) -> ()
                "aie.end"() : () -> () }) : () -> ()
            "aie.end"() : () -> () }) : (index) -> index"#,
    );
    same(
        "aie.cascade_flow(%s, %t) aie.configure_cascade(%t, West, South) aie.put_cascade(%v : vector<8xi32>)",
        r#""aie.cascade_flow"(%s, %t) : (index, index) -> ()
           "aie.configure_cascade"(%t) <{inputDir = 4 : i32, outputDir = 3 : i32}> : (index) -> ()
           "aie.put_cascade"(%v) : (vector<8xi32>) -> ()"#,
    );
    same(
        "aie.shim_dma_allocation @in(%s, S2MM, 1, <pkt_type = 0, pkt_id = 3>)",
        r#""aie.shim_dma_allocation"(%s) <{channel_dir = 0 : i32, channel_index = 1 : i64, packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>, plio = false, sym_name = "in"}> : (index) -> ()"#,
    );
}

#[test]
fn objectfifos() {
    same(
        "aie.objectfifo @a(%s dimensionsToStream [<size = 2, stride = 4>], {%t dimensionsFromStream [<size = 8, stride = 1>], %s}, [2, 1, 3])
            {via_DMA = true, repeat_count = 4 : i32, padDimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 0>]>}
            : !aie.objectfifo<memref<8xi32>>",
        r#""aie.objectfifo"(%s, %t, %s) <{dimensionsFromStreamPerConsumer = #aie<bd_dim_layout_array_array[[<size = 8, stride = 1>], []]>, dimensionsToStream = #aie<bd_dim_layout_array[<size = 2, stride = 4>]>, disable_synchronization = false, elemNumber = [2, 1, 3], elemType = !aie.objectfifo<memref<8xi32>>, padDimensions = #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 0>]>, plio = false, repeat_count = 4 : i32, sym_name = "a", via_DMA = true}> : (index, index, index) -> ()"#,
    );
    same(
        "aie.objectfifo @a(%s, {%t}, 2 : i32) : !aie.objectfifo<memref<2xi32>> = [dense<7> : memref<2xi32>, dense<[1, 2]>]",
        r#""aie.objectfifo"(%s, %t) <{dimensionsFromStreamPerConsumer = #aie<bd_dim_layout_array_array[[]]>, dimensionsToStream = #aie<bd_dim_layout_array[]>, disable_synchronization = false, elemNumber = 2 : i32, elemType = !aie.objectfifo<memref<2xi32>>, initValues = [dense<7> : memref<2xi32>, dense<[1, 2]> : tensor<2xi32>], plio = false, sym_name = "a", via_DMA = false}> : (index, index) -> ()"#,
    );
    same(
        "aie.objectfifo.link [@a] -> [@b, @c] ([] [0, 16])
         aie.objectfifo.link [@a] -> [@b] ()
         aie.objectfifo.allocate @a(%t)",
        r#""aie.objectfifo.link"() <{dst_offsets = [0, 16], fifoIns = [@a], fifoOuts = [@b, @c], src_offsets = []}> : () -> ()
           "aie.objectfifo.link"() <{dst_offsets = [], fifoIns = [@a], fifoOuts = [@b], src_offsets = []}> : () -> ()
           "aie.objectfifo.allocate"(%t) <{objFifo_name = @a}> : (index) -> ()"#,
    );
    same(
        "%v1 = aie.objectfifo.acquire @a(Produce, 2) : !aie.objectfifosubview<memref<8xi32>>
         %e = aie.objectfifo.subview.access %v1[1] : !aie.objectfifosubview<memref<8xi32>> -> memref<8xi32>
         aie.objectfifo.release @a(Consume, 1)",
        r#"%v1 = "aie.objectfifo.acquire"() <{objFifo_name = @a, port = 0 : i32, size = 2 : i32}> : () -> !aie.objectfifosubview<memref<8xi32>>
           %e = "aie.objectfifo.subview.access"(%v1) <{index = 1 : i32}> : (!aie.objectfifosubview<memref<8xi32>>) -> memref<8xi32>
           "aie.objectfifo.release"() <{objFifo_name = @a, port = 1 : i32, size = 1 : i32}> : () -> ()"#,
    );
}

#[test]
fn runtime_sequences() {
    same(
        "aiex.runtime_sequence(%h: memref<32xi32>) {
            aiex.npu.dma_memcpy_nd(%h[0, %l, 0, 0][1, 1, 4, 8][0, 0, 8, 1], packet = <pkt_type = 1, pkt_id = 2>)
                {id = 1 : i64, metadata = @in, issue_token = false} : memref<32xi32>
            aiex.npu.dma_wait {symbol = @in} }",
        r#""aie.runtime_sequence"() <{sym_name = "sequence"}> ({
        ^bb0(%h: memref<32xi32>):
            "aiex.npu.dma_memcpy_nd"(%h, %l) <{id = 1 : i64, metadata = @in, operandSegmentSizes = array<i32: 1, 1, 0, 0>, packet = #aie.packet_info<pkt_type = 1, pkt_id = 2>, static_offsets = array<i64: 0, -9223372036854775808, 0, 0>, static_sizes = array<i64: 1, 1, 4, 8>, static_strides = array<i64: 0, 0, 8, 1>}> : (memref<32xi32>, i64) -> ()
            "aiex.npu.dma_wait"() <{symbol = @in}> : () -> () }) : () -> ()"#,
    );
    same(
        "aie.runtime_sequence @go(%h: memref<32xi32>) {
            %k = aiex.dma_configure_task(%s, MM2S, 0, <pkt_type = 0, pkt_id = 3>) {
                aie.dma_bd(%h : memref<32xi32>, 0, 32) {bd_id = 0 : i32}
                aie.end
            } {issue_token = true, repeat_count = 0 : i32}
            aiex.dma_start_task(%k)
            aiex.dma_await_task(%k)
            %q = aiex.dma_configure_task_for @in { aie.end }
            aiex.dma_free_task(%q)
            %w = aiex.dma_start_bd_chain @chain(%h) : (memref<32xi32>) on (%s, MM2S, 1) {repeat_count = 2 : i32}
            %u = aiex.dma_start_bd_chain_for @chain(%h) : (memref<32xi32>) for @in
            aiex.set_lock(%lock, 4)
            aiex.npu.rtp_write(@rtp, 3, -5)
            aiex.npu.push_queue(0, 0, MM2S : 1) {bd_id = 2 : i32, issue_token = false, repeat_count = 0 : i32}
            aiex.npu.write32 {address = 0xFFFFFFFF : ui32, value = 7 : ui32} }",
        r#""aie.runtime_sequence"() <{sym_name = "go"}> ({
        ^bb0(%h: memref<32xi32>):
            %k = "aiex.dma_configure_task"(%s) <{channel = 0 : i32, direction = 1 : i32, issue_token = true, packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>}> ({
                "aie.dma_bd"(%h) <{bd_id = 0 : i32, len = 32 : i32, offset = 0 : i32}> : (memref<32xi32>) -> ()
                "aie.end"() : () -> () }) : (index) -> index
            "aiex.dma_start_task"(%k) : (index) -> ()
            "aiex.dma_await_task"(%k) : (index) -> ()
            %q = "aiex.dma_configure_task_for"() <{alloc = @in}> ({ "aie.end"() : () -> () }) : () -> index
            "aiex.dma_free_task"(%q) : (index) -> ()
            %w = "aiex.dma_start_bd_chain"(%h, %s) <{channel = 1 : i32, direction = 1 : i32, repeat_count = 2 : i32, symbol = @chain}> : (memref<32xi32>, index) -> index
            %u = "aiex.dma_start_bd_chain_for"(%h) <{alloc = @in, symbol = @chain}> : (memref<32xi32>) -> index
            "aiex.set_lock"(%lock) <{value = 4 : i32}> : (index) -> ()
            "aiex.npu.rtp_write"() <{buffer = @rtp, index = 3 : ui32, value = -5 : i32}> : () -> ()
            "aiex.npu.push_queue"() <{bd_id = 2 : i32, channel = 1 : i32, column = 0 : i32, direction = 1 : i32, issue_token = false, repeat_count = 0 : i32, row = 0 : i32}> : () -> ()
            "aiex.npu.write32"() <{address = 4294967295 : ui32, value = 7 : ui32}> : () -> () }) : () -> ()"#,
    );
    same(
        "aie.bd_chain @chain(%h: memref<32xi32>) { aie.dma_bd(%h : memref<32xi32>) aie.next_bd ^b ^b: aie.end }",
        r#""aie.bd_chain"() <{sym_name = "chain"}> ({
        ^bb0(%h: memref<32xi32>):
            "aie.dma_bd"(%h) <{offset = 0 : i32}> : (memref<32xi32>) -> ()
            "aie.next_bd"()[^bb1] : () -> ()
        ^bb1: "aie.end"() : () -> () }) : () -> ()"#,
    );
}

#[test]
fn loops() {
    same(
        "%r:2 = scf.for %k = %i to %i step %i iter_args(%p = %a, %q = %x) -> (i32, f32) { scf.yield %p, %q : i32, f32 }
         scf.for %k = %a to %a step %a : i32 { }",
        r#"%r:2 = "scf.for"(%i, %i, %i, %a, %x) ({ ^bb0(%k: index, %p: i32, %q: f32):
             "scf.yield"(%p, %q) : (i32, f32) -> () }) : (index, index, index, i32, f32) -> (i32, f32)
           "scf.for"(%a, %a, %a) ({ ^bb0(%k: i32): "scf.yield"() : () -> () }) : (i32, i32, i32) -> ()"#,
    );
    same(
        "scf.if %c { aie.event(0) }
         %r = scf.if %c -> (i32) { scf.yield %a : i32 } else { scf.yield %a : i32 }",
        r#""scf.if"(%c) ({ "aie.event"() <{val = 0 : i32}> : () -> () "scf.yield"() : () -> () }, {}) : (i1) -> ()
           %r = "scf.if"(%c) ({ "scf.yield"(%a) : (i32) -> () }, { "scf.yield"(%a) : (i32) -> () }) : (i1) -> i32"#,
    );
    same(
        "%r = scf.while (%p = %a) : (i32) -> i32 { scf.condition(%c) %p : i32 } do { ^bb0(%q: i32): scf.yield %q : i32 }
         %e = scf.execute_region -> i32 { scf.yield %a : i32 }
         scf.index_switch %i case 4 { } default { scf.yield }",
        r#"%r = "scf.while"(%a) ({ ^bb0(%p: i32): "scf.condition"(%c, %p) : (i1, i32) -> () }, { ^bb0(%q: i32): "scf.yield"(%q) : (i32) -> () }) : (i32) -> i32
           %e = "scf.execute_region"() ({ "scf.yield"(%a) : (i32) -> () }) : () -> i32
           "scf.index_switch"(%i) <{cases = array<i64: 4>}> ({ "scf.yield"() : () -> () }, { "scf.yield"() : () -> () }) : (index) -> ()"#,
    );
    same(
        "affine.for %k = 0 to 10 step 2 {
            %g = affine.load %m[%k + 1, symbol(%i) * 2] : memref<4x8xi32>
            affine.store %g, %n[%k] : memref<32xi32> }
         affine.for %k = %i to min affine_map<(d0)[s0] -> (d0 floordiv 2, s0)>(%i)[%i] { }
         %g = affine.apply affine_map<(d0) -> (1 + d0 - 3)>(%i)",
        r#""affine.for"() <{lowerBoundMap = affine_map<() -> (0)>, operandSegmentSizes = array<i32: 0, 0, 0>, step = 2 : index, upperBoundMap = affine_map<() -> (10)>}> ({ ^bb0(%k: index):
            %g = "affine.load"(%m, %k, %i) <{map = affine_map<(d0)[s0] -> (d0 + 1, s0 * 2)>}> : (memref<4x8xi32>, index, index) -> i32
            "affine.store"(%g, %n, %k) <{map = affine_map<(d0) -> (d0)>}> : (i32, memref<32xi32>, index) -> ()
            "affine.yield"() : () -> () }) : () -> ()
           "affine.for"(%i, %i, %i) <{lowerBoundMap = affine_map<()[s0] -> (s0)>, operandSegmentSizes = array<i32: 1, 2, 0>, step = 1 : index, upperBoundMap = affine_map<(d0)[s0] -> (d0 floordiv 2, s0)>}> ({ ^bb0(%k: index):
            "affine.yield"() : () -> () }) : (index, index, index) -> ()
           %g = "affine.apply"(%i) <{map = affine_map<(d0) -> (d0 - 2)>}> : (index) -> index"#,
    );
}

#[test]
fn arithmetic() {
    same(
        "%0 = arith.addi %a, %a overflow<nsw,nuw> : i32
         %1 = arith.mulf %x, %x fastmath< fast > : f32
         %2 = arith.cmpi ult, %v, %v : vector<8xi32>
         %3 = arith.cmpf uno, %x, %x : f32
         %4 = arith.select %c, %a, %a : i32
         %5 = arith.trunci %a : i32 to i8
         %6 = arith.truncf %x to_nearest_even : f32 to bf16
         %7, %8 = arith.addui_extended %a, %a : i32, i1
         %9:2 = arith.mulsi_extended %a, %a : i32
         %10 = arith.constant 255 : i8
         %11 = arith.constant 0x7FC0 : bf16
         %12 = arith.constant 0.1 : f32
         %13 = arith.index_cast %i : index to i32
         %14 = arith.shrsi %a, %a : i32
         %15 = math.exp %x : f32",
        r##"%0 = "arith.addi"(%a, %a) <{overflowFlags = #arith.overflow<nsw, nuw>}> : (i32, i32) -> i32
           %1 = "arith.mulf"(%x, %x) <{fastmath = #arith.fastmath<fast>}> : (f32, f32) -> f32
           %2 = "arith.cmpi"(%v, %v) <{predicate = 6 : i64}> : (vector<8xi32>, vector<8xi32>) -> vector<8xi1>
           %3 = "arith.cmpf"(%x, %x) <{fastmath = #arith.fastmath<none>, predicate = 14 : i64}> : (f32, f32) -> i1
           %4 = "arith.select"(%c, %a, %a) : (i1, i32, i32) -> i32
           %5 = "arith.trunci"(%a) <{overflowFlags = #arith.overflow<none>}> : (i32) -> i8
           %6 = "arith.truncf"(%x) <{roundingmode = 0 : i32}> : (f32) -> bf16
           %7:2 = "arith.addui_extended"(%a, %a) : (i32, i32) -> (i32, i1)
           %9:2 = "arith.mulsi_extended"(%a, %a) : (i32, i32) -> (i32, i32)
           %10 = "arith.constant"() <{value = -1 : i8}> : () -> i8
           %11 = "arith.constant"() <{value = 0x7FC0 : bf16}> : () -> bf16
           %12 = "arith.constant"() <{value = 1.000000e-01 : f32}> : () -> f32
           %13 = "arith.index_cast"(%i) : (index) -> i32
           %14 = "arith.shrsi"(%a, %a) : (i32, i32) -> i32
           %15 = "math.exp"(%x) <{fastmath = #arith.fastmath<none>}> : (f32) -> f32"##,
    );
}

#[test]
fn memory() {
    same(
        "%0 = memref.load %m[%i, %i] : memref<4x8xi32>
         memref.store %a, %n[%i] {nontemporal = false} : memref<32xi32>
         %1 = memref.subview %m[%i, 0] [2, 4] [1, 1] : memref<4x8xi32> to memref<2x4xi32, strided<[8, 1], offset: ?>>
         %2 = memref.reinterpret_cast %n to offset: [%i], sizes: [4, 8], strides: [8, 1] : memref<32xi32> to memref<4x8xi32, strided<[8, 1], offset: ?>>
         %3 = memref.collapse_shape %m [[0, 1]] : memref<4x8xi32> into memref<32xi32>
         %4 = memref.expand_shape %n [[0, 1]] output_shape [4, 8] : memref<32xi32> into memref<4x8xi32>
         %5 = memref.alloc(%i) {alignment = 16 : i64} : memref<?xi32>
         %6 = memref.dim %5, %i : memref<?xi32>
         %7 = memref.assume_alignment %n, 64 : memref<32xi32>
         memref.copy %n, %3 : memref<32xi32> to memref<32xi32>
         %8 = memref.get_global @g : memref<4xi32>
         memref.global \"private\" constant @g : memref<4xi32> = dense<[1, 2, 3, 4]> {alignment = 64 : i64}
         memref.global @u : memref<4xi32> = uninitialized",
        r#"%0 = "memref.load"(%m, %i, %i) : (memref<4x8xi32>, index, index) -> i32
           "memref.store"(%a, %n, %i) : (i32, memref<32xi32>, index) -> ()
           %1 = "memref.subview"(%m, %i) <{operandSegmentSizes = array<i32: 1, 1, 0, 0>, static_offsets = array<i64: -9223372036854775808, 0>, static_sizes = array<i64: 2, 4>, static_strides = array<i64: 1, 1>}> : (memref<4x8xi32>, index) -> memref<2x4xi32, strided<[8, 1], offset: ?>>
           %2 = "memref.reinterpret_cast"(%n, %i) <{operandSegmentSizes = array<i32: 1, 1, 0, 0>, static_offsets = array<i64: -9223372036854775808>, static_sizes = array<i64: 4, 8>, static_strides = array<i64: 8, 1>}> : (memref<32xi32>, index) -> memref<4x8xi32, strided<[8, 1], offset: ?>>
           %3 = "memref.collapse_shape"(%m) <{reassociation = [[0, 1]]}> : (memref<4x8xi32>) -> memref<32xi32>
           %4 = "memref.expand_shape"(%n) <{reassociation = [[0, 1]], static_output_shape = array<i64: 4, 8>}> : (memref<32xi32>) -> memref<4x8xi32>
           %5 = "memref.alloc"(%i) <{alignment = 16 : i64, operandSegmentSizes = array<i32: 1, 0>}> : (index) -> memref<?xi32>
           %6 = "memref.dim"(%5, %i) : (memref<?xi32>, index) -> index
           %7 = "memref.assume_alignment"(%n) <{alignment = 64 : i32}> : (memref<32xi32>) -> memref<32xi32>
           "memref.copy"(%n, %3) : (memref<32xi32>, memref<32xi32>) -> ()
           %8 = "memref.get_global"() <{name = @g}> : () -> memref<4xi32>
           "memref.global"() <{alignment = 64 : i64, constant, initial_value = dense<"0x01000000020000000300000004000000"> : tensor<4xi32>, sym_name = "g", sym_visibility = "private", type = memref<4xi32>}> : () -> ()
           "memref.global"() <{initial_value, sym_name = "u", type = memref<4xi32>}> : () -> ()"#,
    );
    same(
        "%0 = vector.transfer_read %m[%i, %i], %a : memref<4x8xi32>, vector<8xi32>
         vector.store %0, %n[%i] : memref<32xi32>, vector<8xi32>
         %1 = vector.extract %0[1] : i32 from vector<8xi32>",
        r#"%0 = "vector.transfer_read"(%m, %i, %i, %a) <{in_bounds = [false], operandSegmentSizes = array<i32: 1, 2, 1, 0>, permutation_map = affine_map<(d0, d1) -> (d1)>}> : (memref<4x8xi32>, index, index, i32) -> vector<8xi32>
           "vector.store"(%0, %n, %i) : (vector<8xi32>, memref<32xi32>, index) -> ()
           %1 = "vector.extract"(%0) <{static_position = array<i64: 1>}> : (vector<8xi32>) -> i32"#,
    );
}

#[test]
fn functions_and_jumps() {
    let pretty =
        "func.func private @g(i32 {a.b}, memref<4xi32>) -> i32 attributes {link_with = \"g.o\"}
        func.func @f(%a: i32, %c: i1) -> i32 {
            %0 = arith.constant 1 : i32
            cf.assert %c, \"so\"
            cf.cond_br %c, ^one(%a : i32), ^two
        ^one(%p: i32):
            cf.switch %p : i32, [default: ^two, 7: ^one(%0 : i32), 9: ^two]
        ^two:
            %1 = call @f(%a, %c) : (i32, i1) -> i32
            cf.br ^three(%1, %a : i32, i32)
        ^three(%q: i32, %r: i32):
            return %q : i32
        }";
    let generic = r#""builtin.module"() ({
        "func.func"() <{arg_attrs = [{a.b}, {}], function_type = (i32, memref<4xi32>) -> i32, sym_name = "g", sym_visibility = "private"}> ({}) {link_with = "g.o"} : () -> ()
        "func.func"() <{function_type = (i32, i1) -> i32, sym_name = "f"}> ({
        ^bb0(%arg0: i32, %arg1: i1):
            %0 = "arith.constant"() <{value = 1 : i32}> : () -> i32
            "cf.assert"(%arg1) <{msg = "so"}> : (i1) -> ()
            "cf.cond_br"(%arg1, %arg0)[^bb1, ^bb2] <{operandSegmentSizes = array<i32: 1, 1, 0>}> : (i1, i32) -> ()
        ^bb1(%1: i32):
            "cf.switch"(%1, %0)[^bb2, ^bb1, ^bb2] <{case_operand_segments = array<i32: 1, 0>, case_values = dense<[7, 9]> : vector<2xi32>, operandSegmentSizes = array<i32: 1, 0, 1>}> : (i32, i32) -> ()
        ^bb2:
            %2 = "func.call"(%arg0, %arg1) <{callee = @f}> : (i32, i1) -> i32
            "cf.br"(%2, %arg0)[^bb3] : (i32, i32) -> ()
        ^bb3(%3: i32, %4: i32):
            "func.return"(%3) : (i32) -> ()
        }) : () -> ()
    }) : () -> ()"#;
    let (left, right) = (outline(&read(pretty)), outline(&read(generic)));
    assert_eq!(difference(&left, &right), "");
}

#[test]
fn traces() {
    same(
        r#"aie.trace @tr(%t) buffer_size = 1024 {
            aie.trace.mode "Event-Time"
            aie.trace.packet id = 3 type = mem
            aie.trace.event <"INSTR_EVENT_0"> label = "begin"
            aie.trace.port<1> port = DMA channel = 2 direction = MM2S
            aie.trace.start event = <"TRUE">
            aie.trace.stop broadcast = 14
            aie.trace.combo_event<0> <"A"> AND_NOT <"B">
            aie.trace.edge_event<1> event = <"A"> trigger = BOTH }"#,
        r##""aie.trace"(%t) <{buffer_size = 1024 : i32, sym_name = "tr"}> ({
            "aie.trace.mode"() <{mode = 0 : i32}> : () -> ()
            "aie.trace.packet"() <{id = 3 : i32, type = 1 : i32}> : () -> ()
            "aie.trace.event"() <{event = #aie.trace_event<"INSTR_EVENT_0">, label = "begin"}> : () -> ()
            "aie.trace.port"() <{channel = 2 : i32, direction = 1 : i32, port = 1 : i32, slot = 1 : i32}> : () -> ()
            "aie.trace.start"() <{event = #aie.trace_event<"TRUE">}> : () -> ()
            "aie.trace.stop"() <{broadcast = 14 : i32}> : () -> ()
            "aie.trace.combo_event"() <{eventA = #aie.trace_event<"A">, eventB = #aie.trace_event<"B">, logic = 1 : i32, slot = 0 : i32}> : () -> ()
            "aie.trace.edge_event"() <{event = #aie.trace_event<"A">, slot = 1 : i32, trigger = 3 : i32}> : () -> ()
            "aie.end"() : () -> () }) : (index) -> ()"##,
    );
}

#[test]
fn places_and_aliases_change_nothing() {
    same(
        "aie.flow(%s, DMA : 0, %t, DMA : 1) loc(\"a.py\":1:2) // a remark
         scf.for %k loc(callsite(\"x\"(\"b\":1:1) at fused[\"c\", unknown])) = %i to %i step %i { } loc(#loc7)",
        "aie.flow(%s, DMA : 0, %t, DMA : 1) scf.for %k = %i to %i step %i { }",
    );
    let aliased = "#loc = loc(unknown)\n#loc1 = loc(\"a\":1:1)\n!t = memref<4xi32>\n#m = affine_map<(d0) -> (d0)>\n#l = [1, #m]
        module { \"a.b\"() {x = #l, t = !t} : () -> () loc(#loc1) } loc(#loc)";
    let plain = "\"a.b\"() {x = [1, affine_map<(d0) -> (d0)>], t = memref<4xi32>} : () -> ()";
    assert_eq!(outline(&read(aliased)), outline(&read(plain)));
}
