//! What the device cannot do, with the line that asks for it.

use super::{TILES, try_build};

/// The error of a design, after the line of the body that it points to, from 1.
fn refusal(body: &str) -> (usize, String) {
    let error = match try_build(body) {
        Ok(_) => panic!("accepted:\n{body}"),
        Err(error) => error,
    };
    assert!(!error.message().is_empty());
    (error.line() - 1 - TILES.lines().count(), error.message().to_owned())
}

fn refused(body: &str, line: usize, message: &str) {
    assert_eq!(refusal(body), (line, message.to_owned()), "\n{body}");
}

fn descriptor(tile: &str, ty: &str, channel: &str, arguments: &str) -> String {
    let program = if tile.starts_with("mem") { "aie.memtile_dma" } else { "aie.mem" };
    format!(
        "%b = aie.buffer(%{tile}) {{sym_name = \"b\"}} : memref<{ty}>
{program}(%{tile}) {{
%0 = aie.dma({channel}) [{{
aie.dma_bd(%b : memref<{ty}>{arguments})
}}]
aie.end
}}"
    )
}

#[test]
fn transfers() {
    let cases = [
        (descriptor("core", "7xi8", "S2MM, 0", ""), "the length of a transfer cannot be 7 bytes"),
        (
            descriptor("core", "8xi16", "S2MM, 0", ", 1, 4"),
            "the offset of a transfer cannot be 2 bytes",
        ),
        (
            descriptor("core", "8xi32", "S2MM, 0", ", 4, 8"),
            "the transfer goes to element 12 of `b`, which has 8",
        ),
        (
            descriptor(
                "core",
                "64xi32",
                "S2MM, 0",
                ", 0, 4, [<size = 1, stride = 1>, <size = 1, stride = 1>, <size = 1, stride = 1>, \
                 <size = 4, stride = 1>]",
            ),
            "4 dimensions are too many",
        ),
        (
            descriptor(
                "core",
                "64xi16",
                "S2MM, 0",
                ", 0, 8, [<size = 4, stride = 3>, <size = 2, stride = 1>]",
            ),
            "dimension 1 cannot have a stride of 6 bytes",
        ),
        (
            descriptor("core", "64xi16", "S2MM, 0", ", 0, 8, [<size = 8, stride = 2>]"),
            "the innermost stride cannot be 2",
        ),
        (
            descriptor(
                "core",
                "64xi8",
                "S2MM, 0",
                ", 0, 12, [<size = 2, stride = 8>, <size = 6, stride = 1>]",
            ),
            "the innermost size cannot be 6 elements",
        ),
        (
            descriptor(
                "core",
                "2048xi32",
                "S2MM, 0",
                ", 0, 1200, [<size = 2, stride = 2>, <size = 300, stride = 4>, <size = 2, stride = 1>]",
            ),
            "dimension 2 has 300 steps, too many",
        ),
        (
            descriptor(
                "core",
                "16384xi32",
                "S2MM, 0",
                ", 0, 4, [<size = 2, stride = 8193>, <size = 2, stride = 1>]",
            ),
            "dimension 1 has a stride of 8193 words",
        ),
        (descriptor("core", "64xi32", "S2MM, 2", ""), "core (0, 2) has no channel S2MM 2"),
    ];
    for (body, message) in cases {
        assert_eq!(refusal(&body).1, message, "\n{body}");
    }
}

#[test]
fn tasks() {
    let program = |count: u32| {
        format!(
            "%b = aie.buffer(%core) : memref<4xi32>
aie.mem(%core) {{
%0 = aie.dma(S2MM, 0) {{repeat_count = {count} : i32}} [{{
aie.dma_bd(%b : memref<4xi32>)
}}]
aie.end
}}"
        )
    };
    assert!(try_build(&program(255)).is_ok());
    refused(&program(256), 3, "a task cannot be repeated 256 times");
}

#[test]
fn what_only_the_outermost_dimension_may() {
    // Three dimensions of a core have two wraps: the last one counts as far as the length goes.
    for body in [
        descriptor(
            "core",
            "2048xi32",
            "S2MM, 0",
            ", 0, 600, [<size = 300, stride = 4>, <size = 1, stride = 1>, <size = 2, stride = 1>]",
        ),
        // A wrap of 256 is cut to none, which a straight run does not miss.
        descriptor("core", "256xi32", "S2MM, 0", ", 0, 256, [<size = 256, stride = 1>]"),
        descriptor(
            "mem",
            "9000xi32",
            "S2MM, 0",
            ", 0, 2000, [<size = 1000, stride = 9>, <size = 2, stride = 1>]",
        ),
    ] {
        assert!(try_build(&body).is_ok(), "{:?}\n{body}", try_build(&body).err());
    }
}

#[test]
fn padding() {
    let padded = |tile: &str, channel: &str, before: u64, length: u64| {
        descriptor(
            tile,
            "64xi16",
            channel,
            &format!(
                ", 0, {length}, [<size = 4, stride = 8>, <size = 8, stride = 1>], \
                 [<const_pad_before = 0, const_pad_after = 0>, \
                 <const_pad_before = {before}, const_pad_after = 0>]"
            ),
        )
    };
    assert!(try_build(&padded("mem", "MM2S, 0", 2, 40)).is_ok());
    let cases = [
        (padded("mem", "S2MM, 0", 2, 40), "memtile (0, 1) cannot pad here"),
        (padded("core", "MM2S, 0", 2, 40), "core (0, 2) cannot pad here"),
        (padded("mem", "MM2S, 0", 1, 36), "the innermost padding cannot be 2 bytes"),
        (padded("mem", "MM2S, 0", 128, 544), "a padding of 64 is too large"),
        (padded("mem", "MM2S, 0", 2, 32), "the length 32 is not that of the padded dimensions, 40"),
    ];
    for (body, message) in cases {
        assert_eq!(refusal(&body).1, message, "\n{body}");
    }
}

#[test]
fn locks() {
    refused("\n%a = aie.lock(%core, 16)", 2, "core (0, 2) has no lock 16: there are 16");
    refused("%a = aie.lock(%core) {init = 64 : i32}", 1, "lock `a` cannot begin at 64");
    refused(
        "%a = aie.lock(%core, 1)\n%b = aie.lock(%core, 1)",
        2,
        "lock 1 of core (0, 2) is taken already",
    );
    let many: String = (0..17).map(|i| format!("%l{i} = aie.lock(%core)\n")).collect();
    refused(&many, 17, "core (0, 2) has no lock 16: there are 16");
}

#[test]
fn descriptors_and_channels() {
    let fifo = |name: &str, from: &str, to: &str, depth: u32| {
        format!(
            "aie.objectfifo @{name}(%{from}, {{%{to}}}, {depth} : i32) : \
             !aie.objectfifo<memref<4xi32>>\n"
        )
    };
    refused(
        &fifo("f", "mem", "core", 17),
        1,
        "core (0, 2) has 16 buffer descriptors; this would be one more",
    );
    refused(
        &fifo("f", "mem", "shim", 25),
        1,
        "memtile (0, 1) has no descriptor left for channel 0",
    );
    let three: String = ["a", "b", "c"].map(|name| fifo(name, "mem", "core", 1)).concat();
    refused(&three, 3, "@c: core (0, 2) has no input channel left");
}

#[test]
fn who_gets_at_what() {
    refused(
        "%b = aie.buffer(%east) {sym_name = \"b\"} : memref<4xi32>
aie.mem(%core) {
%0 = aie.dma(S2MM, 0) [{
aie.dma_bd(%b : memref<4xi32>)
}]
aie.end
}",
        4,
        "the DMA of core (0, 2) cannot get at `b` of core (1, 2)",
    );
    refused(
        "%b = aie.buffer(%mem1) {sym_name = \"b\"} : memref<4xi32>
aie.memtile_dma(%mem) {
%0 = aie.dma(S2MM, 4) [{
aie.dma_bd(%b : memref<4xi32>)
}]
aie.end
}",
        4,
        "the DMA of memtile (0, 1) cannot get at `b` of memtile (1, 1)",
    );
    refused(
        "%l = aie.lock(%east, 2)
aie.core(%core) {
aie.use_lock(%l, Release, 1)
aie.end
}",
        3,
        "core (0, 2) cannot get at `l` of core (1, 2)",
    );
    refused("%b = aie.buffer(%shim) : memref<4xi32>", 1, "shim (0, 0) has no memory for a buffer");
}

#[test]
fn objectfifos() {
    let object = "!aie.objectfifo<memref<4xi32>>";
    let acquire = |fifo: &str, port: &str| {
        format!(
            "aie.core(%core) {{
%v = aie.objectfifo.acquire @{fifo}({port}, 1) : !aie.objectfifosubview<memref<4xi32>>
aie.end
}}"
        )
    };
    let fifo = format!("aie.objectfifo @f(%mem, {{%core}}, 2 : i32) : {object}\n");
    refused(
        &format!("{fifo}{}", acquire("f", "Produce")),
        3,
        "core (0, 2) does not produce into @f",
    );
    refused(&format!("{fifo}{}", acquire("g", "Consume")), 3, "there is no objectfifo @g");
    refused(
        &format!("aie.objectfifo @f(%mem, {{%core}}, [2, 2, 2]) : {object}"),
        1,
        "3 depths for 2 ends",
    );
    refused(
        &format!("{fifo}aie.objectfifo.link [@f] -> [@nothing]([] [])"),
        2,
        "there is no objectfifo @nothing",
    );
    refused(
        &format!(
            "{fifo}aie.objectfifo @g(%mem, {{%north}}, 2 : i32) : {object}\n\
             aie.objectfifo.link [@f] -> [@g]([] [])"
        ),
        3,
        "linked objectfifos do not meet in a tile",
    );
    refused(
        &format!(
            "aie.objectfifo @f(%shim, {{%core}}, 2 : i32) {{repeat_count = 2 : i32}} : {object}"
        ),
        1,
        "@f: a shim has no repeat_count",
    );
}

#[test]
fn tiles_cores_and_streams() {
    refused("%t = aie.tile(8, 2)", 1, "the device has no tile (8, 2)");
    refused("%t = aie.tile(0, 6)", 1, "the device has no tile (0, 6)");
    refused("aie.core(%mem) { aie.end }", 1, "memtile (0, 1) has no core");
    let core = "aie.core(%core) { aie.end }\n";
    refused(&format!("{core}{core}"), 2, "core (0, 2) has two programs");
    refused(
        "aie.flow(%shim, DMA : 0, %core, DMA : 0)\naie.flow(%mem, DMA : 0, %core, DMA : 0)",
        2,
        "two streams end at S2MM 0 of core (0, 2)",
    );
    refused(
        "aie.cascade_flow(%core, %north)",
        1,
        "no cascade leads from core (0, 2) to core (0, 3)",
    );
    refused("%t = aie.logical_tile<CoreTile>(?, ?)", 1, "aie.logical_tile is not simulated");
}
