//! Static programs of DMAs, in both ways of writing them.

use tilewright_sim::netlist::{Acquire, Direction, Step};

use super::{build, program, transfer};

const MEMORY: &str = "
    %a = aie.buffer(%core) {sym_name = \"a\"} : memref<4x8xi32>
    %b = aie.buffer(%core) {sym_name = \"b\"} : memref<4x8xi32>
    %free = aie.lock(%core, 3) {init = 2 : i32, sym_name = \"free\"}
    %full = aie.lock(%core) {sym_name = \"full\"}";

#[test]
fn blocks_and_regions_say_the_same() {
    let blocks = build(&format!(
        "{MEMORY}
        aie.mem(%core) {{
            %0 = aie.dma_start(S2MM, 0, ^first, ^other)
        ^other:
            %1 = aie.dma_start(MM2S, 1, ^third, ^end, repeat_count = 3)
        ^first:
            aie.use_lock(%free, AcquireGreaterEqual, 1)
            aie.dma_bd(%a : memref<4x8xi32>)
            aie.use_lock(%full, Release, 1)
            aie.next_bd ^second
        ^second:
            aie.use_lock(%free, AcquireGreaterEqual, 1)
            aie.dma_bd(%b : memref<4x8xi32>, 8, 16)
            aie.use_lock(%full, Release, 1)
            aie.next_bd ^first
        ^third:
            aie.use_lock(%full, Acquire, 1)
            aie.dma_bd(%a : memref<4x8xi32>)
            aie.use_lock(%free, Release, 1)
            aie.next_bd ^end
        ^end:
            aie.end
        }}"
    ));
    let regions = build(&format!(
        "{MEMORY}
        aie.mem(%core) {{
            %0 = aie.dma(S2MM, 0) [{{
                aie.use_lock(%free, AcquireGreaterEqual)
                aie.dma_bd(%a : memref<4x8xi32>)
                aie.use_lock(%full, Release)
            }}, {{
                aie.use_lock(%free, AcquireGreaterEqual)
                aie.dma_bd(%b : memref<4x8xi32>, 8, 16)
                aie.use_lock(%full, Release)
            }}]
            %1 = aie.dma(MM2S, 1) {{loop = false, repeat_count = 3 : i32}} [{{
                aie.use_lock(%full, Acquire, 1)
                aie.dma_bd(%a : memref<4x8xi32>)
                aie.use_lock(%free, Release, 1)
            }}]
            aie.end
        }}"
    ));
    for netlist in [blocks, regions] {
        let receive = |buffer, range| transfer(buffer, range, ("free", 1), ("full", 1));
        let (transfers, around) = program(&netlist, (0, 2), Direction::S2mm, 0);
        assert_eq!(transfers, [receive("a", (0, 128)), receive("b", (32, 64))]);
        assert!(around);
        let (transfers, around) = program(&netlist, (0, 2), Direction::Mm2s, 1);
        assert_eq!(transfers, [transfer("a", (0, 128), ("full", 1), ("free", 1))]);
        assert!(!around);
        let numbers: Vec<_> = netlist.descriptors.iter().map(|d| d.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        let task = netlist.channels.iter().flat_map(|channel| &channel.tasks).last();
        assert_eq!(task.map(|task| task.runs), Some(4), "one run and three repeats");
        let how: Vec<_> = netlist.descriptors.iter().filter_map(|d| d.acquire).collect();
        assert_eq!((how[0].1, how[2].1), (Acquire::GreaterEqual, Acquire::Equal));
        assert_eq!(netlist.locks[1].number, 0, "the lowest free one");
    }
}

#[test]
fn dimensions_become_steps_in_bytes() {
    let netlist = build(
        "%t = aie.buffer(%mem) : memref<64xbf16>
         aie.memtile_dma(%mem) {
            %0 = aie.dma(MM2S, 0) [{
                aie.dma_bd(%t : memref<64xbf16>, 4, 32, [<size = 4, stride = 8>, \
                <size = 2, stride = 6>, <size = 4, stride = 1>])
            }]
            aie.end
         }",
    );
    let descriptor = &netlist.descriptors[0];
    assert_eq!((descriptor.offset, descriptor.length, descriptor.element_bytes), (8, 64, 2));
    let steps = [(4, 16), (2, 12), (4, 2)].map(|(size, stride)| Step { size, stride });
    assert_eq!(descriptor.steps, steps);
    assert!(netlist.warnings.is_empty());
}

#[test]
fn dimensions_that_end_too_early_go_on_as_the_hardware_does() {
    // Core tiles have three dimensions: a third one is still unused, and steps by a word.
    let dma = |dimensions: &str| {
        build(&format!(
            "%t = aie.buffer(%core) : memref<64xi32>
             aie.mem(%core) {{
                %0 = aie.dma(MM2S, 0) [{{ aie.dma_bd(%t : memref<64xi32>, 0, 16, [{dimensions}]) }}]
                aie.end
             }}"
        ))
    };
    let netlist = dma("<size = 4, stride = 8>, <size = 2, stride = 1>");
    let step = |(size, stride)| Step { size, stride };
    assert_eq!(netlist.descriptors[0].steps, [(2, 4), (4, 32), (2, 4)].map(step));
    let [warning] = netlist.warnings.as_slice() else { panic!("one warning") };
    assert_eq!(warning.message, "the dimensions make 8 elements of a transfer of 16");
    let netlist = dma("<size = 2, stride = 4>, <size = 2, stride = 8>, <size = 2, stride = 1>");
    assert_eq!(netlist.descriptors[0].steps, [(4, 16), (2, 32), (2, 4)].map(step));
}

#[test]
fn memtiles_number_descriptors_by_the_parity_of_the_channel() {
    let netlist = build(
        "%t = aie.buffer(%mem) : memref<64xi32>
         aie.memtile_dma(%mem) {
            %0 = aie.dma(MM2S, 1) [{ aie.dma_bd(%t : memref<64xi32>) }]
            %1 = aie.dma(S2MM, 4) [{ aie.dma_bd(%t : memref<64xi32>) {bd_id = 1 : i32} }]
            %2 = aie.dma(MM2S, 0) [{ aie.dma_bd(%t : memref<64xi32>) }, \
                                  { aie.dma_bd(%t : memref<64xi32>) }]
            aie.end
         }",
    );
    let numbers: Vec<_> = netlist.descriptors.iter().map(|d| d.number).collect();
    assert_eq!(numbers, [24, 1, 0, 2]);
}

#[test]
fn packets_are_marked_by_operation_or_attribute() {
    let netlist = build(
        "%t = aie.buffer(%core) : memref<64xi32>
         aie.mem(%core) {
            %0 = aie.dma(MM2S, 0) [{
                aie.dma_bd_packet(2, 5)
                aie.dma_bd(%t : memref<64xi32>)
            }, {
                aie.dma_bd(%t : memref<64xi32>) {packet = #aie.packet_info<pkt_type = 1, pkt_id = 7>}
            }]
            aie.end
         }",
    );
    let packets: Vec<_> = netlist.descriptors.iter().map(|d| d.packet).collect();
    assert_eq!(packets, [Some((2, 5)), Some((1, 7))]);
}

#[test]
fn memtiles_get_at_those_beside_them() {
    let netlist = build(
        "%t = aie.buffer(%mem1) : memref<64xi32>
         %l = aie.lock(%mem1)
         aie.memtile_dma(%mem) {
            %0 = aie.dma(MM2S, 3) [{
                aie.use_lock(%l, AcquireGreaterEqual, 1)
                aie.dma_bd(%t : memref<64xi32>)
                aie.use_lock(%l, Release, 1)
            }]
            aie.end
         }",
    );
    assert_eq!(netlist.descriptors.len(), 1);
}
