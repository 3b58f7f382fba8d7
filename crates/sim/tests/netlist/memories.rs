//! How much fits into a tile.

use proptest::prelude::*;

use super::{build, try_build};

fn core_with(bytes: usize, stack: usize) -> String {
    format!(
        "%b = aie.buffer(%core) : memref<{bytes}xi8>
         aie.core(%core) {{ aie.end }} {{stack_size = {stack} : i32}}"
    )
}

proptest! {
    /// A core's 64 KiB hold its buffers and its stack, to the last byte.
    #[test]
    fn a_core_is_full_at_the_last_byte(bytes in 1_usize..65_536) {
        let rest = 65_536 - bytes;
        prop_assert!(try_build(&core_with(bytes, rest)).is_ok());
        let error = try_build(&core_with(bytes, rest + 1)).unwrap_err();
        prop_assert!(error.message().starts_with("core (0, 2) has 65536 bytes and needs 65537"));
    }
}

#[test]
fn the_stack_takes_a_kilobyte_if_nothing_is_said() {
    let design = |bytes| {
        format!("%b = aie.buffer(%core) : memref<{bytes}xi8>\naie.core(%core) {{ aie.end }}")
    };
    build(&design(65_536 - 1024));
    assert!(try_build(&design(65_536 - 1023)).is_err());
    build("%b = aie.buffer(%core) : memref<65536xi8>");
}

#[test]
fn addresses_may_overlap_but_not_leave_the_tile() {
    let netlist = build(
        "%a = aie.buffer(%core) {address = 0 : i32, sym_name = \"a\"} : memref<40000xi8>
         %b = aie.buffer(%core) {address = 20000 : i32, sym_name = \"b\"} : memref<40000xi8>",
    );
    let [warning] = netlist.warnings.as_slice() else { panic!("one warning") };
    assert_eq!(warning.message, "`b` overlaps another buffer");
    let error =
        try_build("%a = aie.buffer(%core) {address = 65533 : i32} : memref<4xi8>").unwrap_err();
    assert_eq!(error.message(), "4 bytes at address 65533 are beyond the tile's memory");
}

#[test]
fn sizes_are_checked_before_anything_is_made() {
    let absurd = [
        "%b = aie.buffer(%mem) : memref<9999999999xi8> = dense<1>",
        "%b = aie.buffer(%mem) : memref<9999999999x9999999999xi64>",
        "aie.objectfifo @f(%mem, {%core}, 1000000000 : i32) : !aie.objectfifo<memref<1xi32>>",
        "aie.objectfifo @f(%mem, {%core}, 500000 : i32) : !aie.objectfifo<memref<4xi32>>",
        "aie.objectfifo @f(%mem, {%core}, 2 : i32) {repeat_count = 2000000000 : i32} : \
         !aie.objectfifo<memref<4xi32>>",
        "memref.global constant @g : memref<9999999999xi8> = dense<1>",
        "%b = aie.buffer(%core) : memref<4xi32>\n\
         aie.core(%core) { aie.end } {stack_size = 9223372036854775807 : i64}",
        "%e = aie.external_buffer : memref<9999999999xi8>",
    ];
    for body in absurd {
        assert!(try_build(body).is_err(), "{body}");
    }
}
