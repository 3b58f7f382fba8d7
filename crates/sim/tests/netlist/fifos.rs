//! Objectfifos without links.

use proptest::prelude::*;
use tilewright_sim::netlist::{Direction, FifoPort, Port};

use super::{buffers_on, build, core, locks_on, place, program, transfer, try_build};

#[test]
fn from_a_shim_to_a_core() {
    let netlist = build(&format!(
        "aie.objectfifo @f(%shim, {{%core}}, 2 : i32) : !aie.objectfifo<memref<16xi32>>\n{}",
        core("core", &[("f", "Consume", 1)])
    ));
    assert_eq!(buffers_on(&netlist, (0, 2)), ["f_cons[0]", "f_cons[1]"]);
    assert_eq!(locks_on(&netlist, (0, 2)), [("f_cons free", 2), ("f_cons full", 0)]);
    assert!(buffers_on(&netlist, (0, 0)).is_empty(), "a shim has no memory");
    let (transfers, around) = program(&netlist, (0, 2), Direction::S2mm, 0);
    let receive = |buffer| transfer(buffer, (0, 64), ("f_cons free", 1), ("f_cons full", 1));
    assert_eq!(transfers, [receive("f_cons[0]"), receive("f_cons[1]")]);
    assert!(around);

    let allocation = &netlist.allocations["f"];
    let channel = &netlist.channels[allocation.channel.index()];
    assert_eq!((channel.direction, channel.number), (Direction::Mm2s, 0));
    assert_eq!(place(&netlist, channel.tile), (0, 0));
    assert_eq!(netlist.allocations["f_shim_alloc"].channel, allocation.channel);
    let [flow] = netlist.flows.as_slice() else { panic!("one flow") };
    assert_eq!(flow.source, Port::Dma(allocation.channel));

    let end = &netlist.cores[0].ends[&("f".to_owned(), FifoPort::Consume)];
    assert_eq!(end.buffers.len(), 2);
    assert_eq!(end.times, 1);
    let name = |lock: Option<tilewright_sim::netlist::LockId>| {
        netlist.locks[lock.expect("a lock").index()].name.as_str()
    };
    assert_eq!((name(end.acquire), name(end.release)), ("f_cons full", "f_cons free"));
}

#[test]
fn neighbours_share_memory_and_need_no_dma() {
    let netlist = build(&format!(
        "aie.objectfifo @f(%core, {{%north}}, 3 : i32) : !aie.objectfifo<memref<16xi32>>\n{}{}",
        core("core", &[("f", "Produce", 1)]),
        core("north", &[("f", "Consume", 2)])
    ));
    assert_eq!(buffers_on(&netlist, (0, 2)), ["f[0]", "f[1]", "f[2]"], "with the producer");
    assert_eq!(locks_on(&netlist, (0, 2)), [("f free", 3), ("f full", 0)]);
    assert!(netlist.channels.is_empty() && netlist.flows.is_empty());
    let ends: Vec<_> = netlist.cores.iter().flat_map(|core| core.ends.values()).collect();
    assert_eq!(ends[0].buffers, ends[1].buffers);
    assert_eq!(ends[0].acquire, ends[1].release);
    assert_eq!(ends[0].release, ends[1].acquire);
}

#[test]
fn a_core_gets_at_the_memory_west_of_it_but_not_east_of_it() {
    // The consumer is east of the producer, whose memory it reaches; not the other way round.
    for fifo in ["(%core, {%east}", "(%east, {%core}"] {
        let netlist =
            build(&format!("aie.objectfifo @f{fifo}, 2 : i32) : !aie.objectfifo<memref<16xi32>>"));
        assert_eq!(buffers_on(&netlist, (0, 2)), ["f[0]", "f[1]"], "{fifo}");
        assert!(netlist.channels.is_empty(), "{fifo}");
    }
}

#[test]
fn neighbours_use_dmas_when_told_to() {
    let netlist = build(
        "aie.objectfifo @f(%core, {%north}, 2 : i32) {via_DMA = true} : \
         !aie.objectfifo<memref<16xi32>>",
    );
    assert_eq!(buffers_on(&netlist, (0, 2)), ["f[0]", "f[1]"]);
    assert_eq!(buffers_on(&netlist, (0, 3)), ["f_cons[0]", "f_cons[1]"]);
    assert_eq!(netlist.channels.len(), 2);
}

#[test]
fn a_core_with_itself_shares_its_memory() {
    let netlist = build(&format!(
        "aie.objectfifo @f(%core, {{%core}}, 1 : i32) : !aie.objectfifo<memref<16xi32>>\n{}",
        core("core", &[("f", "Produce", 1), ("f", "Consume", 1)])
    ));
    assert_eq!(buffers_on(&netlist, (0, 2)), ["f[0]"]);
    assert_eq!(netlist.cores[0].ends.len(), 2);
}

#[test]
fn allocate_moves_the_objects_to_a_tile_that_both_get_at() {
    let fifo = "aie.objectfifo @f(%core, {%north}, 2 : i32) : !aie.objectfifo<memref<16xi32>>";
    let netlist = build(&format!("{fifo}\naie.objectfifo.allocate @f(%north)"));
    assert_eq!(buffers_on(&netlist, (0, 3)), ["f[0]", "f[1]"]);
    assert_eq!(locks_on(&netlist, (0, 3)), [("f free", 2), ("f full", 0)]);
    let error = try_build(&format!("{fifo}\naie.objectfifo.allocate @f(%far)")).unwrap_err();
    assert_eq!(error.message(), "@f cannot be in core (0, 5)");
}

#[test]
fn a_broadcast_has_an_end_for_each_consumer_as_deep_as_it_says() {
    let netlist = build(
        "aie.objectfifo @f(%mem, {%core, %north, %far}, [2, 1, 2, 3]) : \
         !aie.objectfifo<memref<16xi32>>",
    );
    assert_eq!(buffers_on(&netlist, (0, 1)), ["f[0]", "f[1]"]);
    assert_eq!(buffers_on(&netlist, (0, 2)), ["f_0_cons[0]"]);
    assert_eq!(buffers_on(&netlist, (0, 3)).len(), 2);
    assert_eq!(buffers_on(&netlist, (0, 5)).len(), 3);
    let [flow] = netlist.flows.as_slice() else { panic!("one flow") };
    assert_eq!(flow.destinations.len(), 3);
}

#[test]
fn repeats_take_a_descriptor_each_and_multiply_the_locks() {
    let netlist = build(&format!(
        "aie.objectfifo @f(%core, {{%far}}, 1 : i32) {{repeat_count = 3 : i32}} : \
         !aie.objectfifo<memref<16xi32>>\n{}",
        core("core", &[("f", "Produce", 1)])
    ));
    assert_eq!(locks_on(&netlist, (0, 2)), [("f free", 3), ("f full", 0)]);
    let (transfers, around) = program(&netlist, (0, 2), Direction::Mm2s, 0);
    assert_eq!(transfers.len(), 3);
    assert!(around);
    assert!(transfers.iter().all(|step| step.buffer == "f[0]"));
    assert_eq!(netlist.cores[0].ends[&("f".to_owned(), FifoPort::Produce)].times, 3);
}

#[test]
fn initial_values_are_full_objects() {
    let netlist = build(
        "aie.objectfifo @f(%mem, {%core}, 2 : i32) : !aie.objectfifo<memref<2xi32>> = \
         [dense<[1, 2]> : memref<2xi32>, dense<7> : memref<2xi32>]",
    );
    assert_eq!(locks_on(&netlist, (0, 1)), [("f free", 0), ("f full", 2)]);
    let contents: Vec<_> =
        netlist.buffers.iter().filter_map(|buffer| buffer.initial.clone()).collect();
    assert_eq!(contents, [vec![1, 0, 0, 0, 2, 0, 0, 0], vec![7, 0, 0, 0, 7, 0, 0, 0]]);
}

#[test]
fn iterations_end_a_memtiles_program() {
    let netlist = build(
        "aie.objectfifo @f(%mem, {%core}, 2 : i32) {iter_count = 5 : i32} : \
         !aie.objectfifo<memref<16xi32>>",
    );
    let (transfers, around) = program(&netlist, (0, 1), Direction::Mm2s, 0);
    assert_eq!((transfers.len(), around), (2, false));
    let runs: Vec<_> = netlist.channels.iter().flat_map(|c| &c.tasks).map(|t| t.runs).collect();
    assert!(runs.contains(&5), "{runs:?}");
    let (_, around) = program(&netlist, (0, 2), Direction::S2mm, 0);
    assert!(around, "the core's end goes on");
}

#[test]
fn without_synchronisation_there_are_no_locks() {
    let netlist = build(&format!(
        "aie.objectfifo @f(%mem, {{%core}}, 2 : i32) {{disable_synchronization = true}} : \
         !aie.objectfifo<memref<16xi32>>\n{}",
        core("core", &[("f", "Consume", 1)])
    ));
    assert!(netlist.locks.is_empty());
    assert!(netlist.descriptors.iter().all(|d| d.acquire.is_none() && d.release.is_none()));
    let end = &netlist.cores[0].ends[&("f".to_owned(), FifoPort::Consume)];
    assert_eq!((end.acquire, end.release), (None, None));
}

#[test]
fn what_the_core_acquires_decides_over_the_depth_and_is_remarked_on() {
    let netlist = build(&format!(
        "aie.objectfifo @f(%mem, {{%core}}, 2 : i32) : !aie.objectfifo<memref<16xi32>>\n{}",
        core("core", &[("f", "Consume", 3)])
    ));
    assert_eq!(buffers_on(&netlist, (0, 2)).len(), 4, "three and one on its way");
    let [warning] = netlist.warnings.as_slice() else { panic!("one warning") };
    assert_eq!(
        warning.message,
        "core (0, 2) acquires 3 objects of @f, which has 2: the compiler makes it deeper, 4"
    );
}

proptest! {
    /// Depth of a core's end: what it acquires and one more, whatever the fifo says; a memtile's is
    /// as stated. Buffers, locks and descriptors agree.
    #[test]
    fn depths_fit_what_is_acquired(depth in 1_u32..9, acquired in 1_u32..7) {
        let netlist = build(&format!(
            "aie.objectfifo @f(%mem, {{%core}}, {depth} : i32) : !aie.objectfifo<memref<16xi32>>\n{}",
            core("core", &[("f", "Consume", acquired)])
        ));
        let expected = if depth == 1 && acquired == 1 { 1 } else { acquired + 1 };
        prop_assert_eq!(buffers_on(&netlist, (0, 1)).len(), depth as usize);
        prop_assert_eq!(buffers_on(&netlist, (0, 2)).len(), expected as usize);
        prop_assert_eq!(locks_on(&netlist, (0, 2))[0], ("f_cons free", expected as i32));
        let (transfers, around) = program(&netlist, (0, 2), Direction::S2mm, 0);
        prop_assert_eq!(transfers.len(), expected as usize);
        prop_assert!(around);
    }
}
