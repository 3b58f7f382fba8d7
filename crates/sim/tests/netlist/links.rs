//! Linked objectfifos: one memory for several of them.

use tilewright_sim::netlist::Direction;

use super::{buffers_on, build, locks_on, program, transfer};

const IN: &str = "aie.objectfifo @in(%shim, {%mem}, 2 : i32) : !aie.objectfifo<memref<16xi32>>\n";

#[test]
fn one_to_one_through_a_memtile() {
    let netlist = build(&format!(
        "{IN}aie.objectfifo @out(%mem, {{%core}}, 2 : i32) : !aie.objectfifo<memref<16xi32>>
         aie.objectfifo.link [@in] -> [@out]([] [])"
    ));
    assert_eq!(buffers_on(&netlist, (0, 1)), ["in_cons[0]", "in_cons[1]"], "for both");
    assert_eq!(locks_on(&netlist, (0, 1)), [("in_cons free", 2), ("in_cons full", 0)]);
    let (receives, _) = program(&netlist, (0, 1), Direction::S2mm, 0);
    let (sends, _) = program(&netlist, (0, 1), Direction::Mm2s, 0);
    let (free, full) = (("in_cons free", 1), ("in_cons full", 1));
    for (i, buffer) in ["in_cons[0]", "in_cons[1]"].into_iter().enumerate() {
        assert_eq!(receives[i], transfer(buffer, (0, 64), free, full));
        assert_eq!(sends[i], transfer(buffer, (0, 64), full, free));
    }
}

#[test]
fn distribute_cuts_objects_at_the_offsets() {
    let netlist = build(&format!(
        "{IN}aie.objectfifo @a(%mem, {{%core}}, 2 : i32) : !aie.objectfifo<memref<4xi32>>
         aie.objectfifo @b(%mem, {{%north}}, 2 : i32) : !aie.objectfifo<memref<12xi32>>
         aie.objectfifo.link [@in] -> [@a, @b]([] [0, 4])"
    ));
    let pairs = [("in_cons free[0]", 2), ("in_cons full[0]", 0), ("in_cons free[1]", 2)];
    assert_eq!(locks_on(&netlist, (0, 1))[..3], pairs);
    let (receives, _) = program(&netlist, (0, 1), Direction::S2mm, 0);
    assert_eq!(receives.len(), 4, "two parts of two objects");
    assert_eq!(
        receives[1],
        transfer("in_cons[0]", (16, 48), ("in_cons free[1]", 1), ("in_cons full[1]", 1))
    );
    let (sends, _) = program(&netlist, (0, 1), Direction::Mm2s, 1);
    assert_eq!(
        sends[1],
        transfer("in_cons[1]", (16, 48), ("in_cons full[1]", 1), ("in_cons free[1]", 1))
    );
}

#[test]
fn join_puts_parts_side_by_side() {
    let netlist = build(
        "aie.objectfifo @a(%core, {%mem}, 1 : i32) : !aie.objectfifo<memref<4xi32>>
         aie.objectfifo @b(%north, {%mem}, 1 : i32) : !aie.objectfifo<memref<4xi32>>
         aie.objectfifo @out(%mem, {%shim}, 2 : i32) : !aie.objectfifo<memref<8xi32>>
         aie.objectfifo.link [@a, @b] -> [@out]([0, 4] [])",
    );
    assert_eq!(buffers_on(&netlist, (0, 1)), ["out[0]", "out[1]"]);
    let (receives, _) = program(&netlist, (0, 1), Direction::S2mm, 1);
    let b = |buffer| transfer(buffer, (16, 16), ("out free[1]", 1), ("out full[1]", 1));
    assert_eq!(receives, [b("out[0]"), b("out[1]")]);
    let (sends, _) = program(&netlist, (0, 1), Direction::Mm2s, 0);
    let lengths: Vec<_> = sends.iter().map(|send| (send.offset, send.length)).collect();
    assert_eq!(lengths, [(0, 16), (16, 16), (0, 16), (16, 16)]);
    assert_eq!(netlist.allocations["out"].channel.index(), 5, "after the four ends and out's own");
}

#[test]
fn repeats_of_an_output_count_at_the_input() {
    let netlist = build(&format!(
        "{IN}aie.objectfifo @out(%mem, {{%core}}, 2 : i32) {{repeat_count = 4 : i32}} : \
         !aie.objectfifo<memref<16xi32>>
         aie.objectfifo.link [@in] -> [@out]([] [])"
    ));
    assert_eq!(locks_on(&netlist, (0, 1)), [("in_cons free", 8), ("in_cons full", 0)]);
    let (receives, _) = program(&netlist, (0, 1), Direction::S2mm, 0);
    assert_eq!(
        receives[0],
        transfer("in_cons[0]", (0, 64), ("in_cons free", 4), ("in_cons full", 4))
    );
    let (sends, _) = program(&netlist, (0, 1), Direction::Mm2s, 0);
    let order: Vec<_> = sends.iter().map(|send| send.buffer.as_str()).collect();
    let (a, b) = ("in_cons[0]", "in_cons[1]");
    assert_eq!(order, [a, a, a, a, b, b, b, b]);
}

#[test]
fn padding_makes_larger_objects_on_the_way_out() {
    let netlist = build(&format!(
        "{IN}aie.objectfifo @out(%mem dimensionsToStream [<size = 4, stride = 4>, \
         <size = 4, stride = 1>], {{%core}}, 2 : i32) {{padDimensions = \
         #aie<bd_pad_layout_array[<const_pad_before = 1, const_pad_after = 0>, \
         <const_pad_before = 0, const_pad_after = 1>]>}} : !aie.objectfifo<memref<25xi32>>
         aie.objectfifo.link [@in] -> [@out]([] [])"
    ));
    assert_eq!(buffers_on(&netlist, (0, 1)), ["in_cons[0]", "in_cons[1]"], "the smaller ones");
    let padded = netlist.descriptors.iter().find(|d| !d.padding.is_empty()).expect("padding");
    assert_eq!(padded.length, 64, "data only: 4 × 4 words");
    assert_eq!(padded.steps.len(), 2);
}

#[test]
fn a_full_memtile_spills_to_the_one_beside_it() {
    // Three objects of 200,000 bytes: two fit, the third goes east, as there is nothing west.
    let netlist =
        build("aie.objectfifo @f(%mem, {%shim}, 3 : i32) : !aie.objectfifo<memref<50000xi32>>");
    assert_eq!(buffers_on(&netlist, (0, 1)), ["f[0]", "f[1]"]);
    assert_eq!(buffers_on(&netlist, (1, 1)), ["f[2]"]);
    assert_eq!(locks_on(&netlist, (0, 1)), [("f free", 3), ("f full", 0)]);
}
