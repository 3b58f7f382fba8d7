//! Flows, allocations, cascades and what else a device states.

use tilewright_sim::netlist::{Direction, Entity, Port, TileKind};

use super::{build, place};

#[test]
fn circuits_from_one_source_are_one_flow() {
    let netlist = build(
        "aie.flow(%shim, DMA : 1, %core, DMA : 0)
         aie.flow(%shim, DMA : 1, %north, DMA : 1)
         aie.flow(%core, Core : 0, %far, Core : 0)",
    );
    assert_eq!(netlist.flows.len(), 2);
    assert_eq!(netlist.flows[0].destinations.len(), 2);
    let core = |name: (u32, u32)| {
        netlist.tiles.iter().position(|tile| (tile.column, tile.row) == name).expect("the tile")
    };
    let Port::Core(tile, 0) = netlist.flows[1].source else { panic!("a core") };
    assert_eq!(tile.index(), core((0, 2)));
}

#[test]
fn packet_flows_keep_their_ids() {
    let netlist = build(
        "aie.packet_flow(3) {
            aie.packet_source<%shim, DMA : 0>
            aie.packet_dest<%core, DMA : 0>
            aie.packet_dest<%north, TileControl : 0>
         } {keep_pkt_header = true}
         aie.packet_flow(4) {
            aie.packet_source<%core, Trace : 0>
            aie.packet_dest<%core, DMA : 0>
         }
         aie.packet_flow(15) {
            aie.packet_source<%shim, TileControl : 0>
            aie.packet_dest<%shim, South : 0>
         }",
    );
    let ids: Vec<_> = netlist.flows.iter().map(|f| (f.packet, f.keep_header)).collect();
    assert_eq!(ids, [(Some(3), true), (Some(4), false)], "tokens need no flow");
    assert!(matches!(netlist.flows[0].destinations[1], Port::Control(_)));
    assert!(matches!(netlist.flows[1].source, Port::Trace(_, 0)));
}

#[test]
fn switchboxes_make_flows() {
    let netlist = build(
        "aie.shim_mux(%shim) { aie.connect<DMA : 0, North : 3> }
         aie.switchbox(%shim) { aie.connect<South : 3, North : 1> }
         aie.switchbox(%mem) { aie.connect<South : 1, North : 0>  aie.connect<South : 1, DMA : 2> }
         aie.switchbox(%core) {
            %0 = aie.amsel<1>(0)
            %1 = aie.masterset(South : 2, %0)
            aie.packet_rules(DMA : 1) { aie.rule(31, 6, %0) }
            aie.connect<South : 0, DMA : 1>
         }",
    );
    let [flow] = netlist.flows.as_slice() else { panic!("the packets go nowhere") };
    let Port::Dma(source) = flow.source else { panic!("a DMA") };
    let source = &netlist.channels[source.index()];
    assert_eq!((place(&netlist, source.tile), source.number), ((0, 0), 0));
    let ends: Vec<_> = flow
        .destinations
        .iter()
        .map(|port| match port {
            Port::Dma(id) => {
                let channel = &netlist.channels[id.index()];
                (place(&netlist, channel.tile), channel.number)
            }
            _ => panic!("a DMA"),
        })
        .collect();
    assert!(ends.contains(&((0, 1), 2)) && ends.contains(&((0, 2), 1)), "{ends:?}");
}

#[test]
fn allocations_name_channels_of_shims() {
    let netlist = build(
        "aie.shim_dma_allocation @in(%shim, MM2S, 1)
         aie.shim_dma_allocation @out(%shim1, S2MM, 0, <pkt_type = 0, pkt_id = 9>)",
    );
    let of = |name: &str| {
        let channel = &netlist.channels[netlist.allocations[name].channel.index()];
        (place(&netlist, channel.tile), channel.direction, channel.number)
    };
    assert_eq!(of("in"), ((0, 0), Direction::Mm2s, 1));
    assert_eq!(of("out"), ((1, 0), Direction::S2mm, 0));
    assert_eq!(netlist.allocations["out"].packet, Some((0, 9)));
}

#[test]
fn cascades_lead_south_or_east() {
    let netlist = build(
        "aie.core(%north) { aie.end }
         aie.core(%core) { aie.end }
         aie.core(%east) { aie.end }
         aie.cascade_flow(%north, %core)
         aie.cascade_flow(%core, %east)",
    );
    let to: Vec<_> =
        netlist.cores.iter().map(|c| c.cascade_to.map(|t| place(&netlist, t))).collect();
    assert_eq!(to, [Some((0, 2)), Some((1, 2)), None]);
}

#[test]
fn declarations_are_kept() {
    let netlist = build(
        "func.func private @kernel(memref<16xi32>, i32) -> i32 attributes {link_with = \"k.o\"}
         memref.global \"private\" constant @table : memref<2xi16> = dense<[1, -2]>
         memref.global \"public\" @plain : memref<2xi16>
         aie.runtime_sequence @run(%a: memref<16xi32>, %b: memref<8xi8>) { }",
    );
    assert_eq!(netlist.name.as_deref(), Some("d"));
    let kernel = &netlist.functions["kernel"];
    assert_eq!((kernel.arguments.len(), kernel.results.len()), (2, 1));
    assert_eq!(kernel.link_with.as_deref(), Some("k.o"));
    assert!(kernel.body.is_none());
    assert_eq!(netlist.globals["table"].value.as_deref(), Some(&[1, 0, 254, 255][..]));
    assert_eq!(netlist.globals["plain"].value, None);
    assert_eq!(netlist.sequences[0].name, "run");
    assert_eq!(netlist.sequences[0].arguments.len(), 2);
}

#[test]
fn values_stand_for_tiles_buffers_and_locks() {
    let netlist = build(
        "%b = aie.buffer(%core) : memref<4xi32>
         aie.memtile_dma(%mem) {
            %inside = aie.lock(%mem, 5)
            aie.end
         }",
    );
    let of = |name: &str| {
        let value = netlist.module.values.iter().position(|v| v.name == name).expect("the value");
        netlist.entities[&tilewright_sim::text::ValueId(value as u32)]
    };
    let Entity::Tile(tile) = of("%mem") else { panic!("a tile") };
    assert_eq!(netlist.tiles[tile.index()].kind, TileKind::Memtile);
    assert!(matches!(of("%b"), Entity::Buffer(_)));
    let Entity::Lock(lock) = of("%inside") else { panic!("a lock") };
    assert_eq!(netlist.locks[lock.index()].number, 5);
    assert_eq!(netlist.locks[lock.index()].name, "inside");
}
