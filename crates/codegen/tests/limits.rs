//! Each rule of the plan is broken once or more and must be reported, with a message of its own.

mod common;

use std::collections::BTreeSet;

use common::{broken, good, layout};
use tilewright_codegen::device::{Device, Epilogue, Precision, Shape, Tile};
use tilewright_codegen::plan::array::Layout;
use tilewright_codegen::plan::limits::{
    Rule, Violation, check_array, check_layout, check_sequence,
};
use tilewright_codegen::plan::sequence::Sequence;

#[test]
fn a_good_design_breaks_nothing() {
    let (array, sequence) = good();
    assert_eq!(check_layout(&layout()), []);
    assert_eq!(check_array(&array), []);
    assert_eq!(check_sequence(&array, &sequence), []);
}

#[test]
fn each_broken_rule_is_reported_with_its_message() {
    for case in broken() {
        let mut found = check_array(&case.array);
        found.extend(check_sequence(&case.array, &case.sequence));
        let told = |v: &Violation| v.rule == case.rule && v.message.contains(case.message);
        assert!(found.iter().any(told), "{:?} {}: {found:#?}", case.rule, case.name);
        assert!(found.iter().all(|v| !v.help.is_empty()));
    }
}

#[test]
fn rules_of_the_tile_itself() {
    let violations = |m, k, n| {
        let layout = Layout::new(Device::Npu2, Precision::I8, Tile { m, k, n });
        check_layout(&layout).into_iter().map(|v| (v.rule, v.message)).collect::<Vec<_>>()
    };
    assert_eq!(violations(64, 64, 64), []);
    let of_m = violations(40, 64, 64);
    assert_eq!(of_m[0].0, Rule::MicroTile);
    assert_eq!(of_m[0].1, "m = 40 is no multiple of 16, which npu2 with i8 needs");
    let of_k = violations(64, 4, 64);
    assert!(of_k.iter().any(|(rule, _)| *rule == Rule::ParameterTile), "{of_k:?}");
}

#[test]
fn no_rule_is_left_untried() {
    let mut tried: BTreeSet<Rule> = broken().iter().map(|case| case.rule).collect();
    // Those of `rules_of_the_tile_itself`.
    tried.extend([Rule::MicroTile, Rule::ParameterTile]);
    let untried: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !tried.contains(rule)).collect();
    assert_eq!(untried, []);
}

#[test]
fn the_stride_wall_stands_where_arithmetic_says() {
    // A row block of C is 4·m·N elements of 2 bytes; the shim's step reaches 2^20 words of 4 bytes.
    for (m, n, beyond) in
        [(64, 8192, false), (64, 8448, true), (128, 4096, false), (128, 4352, true)]
    {
        let layout = Layout::new(Device::Npu1, Precision::I8, Tile { m, k: 16, n: 64 });
        let shape = Shape { m: 8 * m, k: 64, n };
        assert_eq!(4 * m * n * 2 / 4 > 1 << 20, beyond);
        let sequence = Sequence::new(&layout, shape, Epilogue::None);
        let found = check_sequence(&layout.array(), &sequence);
        assert_eq!(found.iter().any(|v| v.rule == Rule::Stride), beyond, "{m} {n}: {found:?}");
    }
}
