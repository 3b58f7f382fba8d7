//! `tilewright plan`: the table and the JSON, held against arithmetic of their own.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Outcome, PRESETS, SMALL, Sandbox, preset};

fn json(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["plan", "--json"].iter().chain(arguments).copied().collect();
    serde_json::from_str(&sandbox.run(&arguments).success()).expect("one JSON object")
}

fn integer(value: &Value, key: &str) -> u64 {
    value[key].as_u64().expect(key)
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().expect(key)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect(key)
}

#[test]
fn the_table_of_a_small_model() {
    let text = Sandbox::with_model(SMALL).run(&["plan"]).success();
    insta::assert_snapshot!(text);
}

#[test]
fn tables_of_all_presets_fit_120_columns() {
    let sandbox = Sandbox::new();
    for name in PRESETS {
        let text = sandbox.run(&["plan", "--model", &preset(name)]).success();
        assert_eq!(text.matches("needs at most").count(), 4, "{name}: devices × precisions");
        for line in text.lines() {
            assert!(line.chars().count() <= 120, "{name}: {line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

#[test]
fn a_kernel_is_what_one_gets_by_hand() {
    let plan = json(&Sandbox::with_model(SMALL), &["--target", "npu1-i8"]);
    let kernel = &list(&plan["designs"][0], "kernels")[0];
    let shape = |m: u64, k: u64, n: u64| serde_json::json!({ "m": m, "k": k, "n": n });
    assert_eq!((&kernel["op"], integer(kernel, "length")), (&Value::from("up"), 300));
    assert_eq!(integer(kernel, "count"), 2);
    // 4 rows and 4 columns of cores with 64×64 of C each: 256 at a time.
    assert_eq!(kernel["shape"], shape(300, 256, 1024));
    assert_eq!(kernel["padded"], shape(512, 256, 1024));
    assert_eq!(integer(kernel, "k_tiles"), 4);
    assert_eq!((integer(kernel, "row_blocks"), integer(kernel, "column_blocks")), (2, 4));
    assert_eq!(integer(kernel, "output_tiles"), 8);
    // 5 tiles of 4096 bytes (one carries scales and bias) for 4 core rows, in 8 blocks.
    assert_eq!(integer(kernel, "a_bytes"), 655_360);
    assert_eq!(integer(kernel, "b_bytes"), 655_360);
    // 512×1024 of bf16.
    assert_eq!(integer(kernel, "c_bytes"), 1_048_576);
    assert_eq!(integer(kernel, "total_bytes"), 2_359_296);
    // At 15 bytes per nanosecond, and 3050 cycles at 1 GHz before the first.
    assert!((number(kernel, "array_us") - 160.336).abs() < 0.001, "{kernel}");
    assert!((number(kernel, "call_us") - 270.336).abs() < 0.001, "{kernel}");
    assert_eq!(kernel["bound"], "dram");
    // 300·256·1024 of 16 cores × 256 per cycle.
    assert!((number(kernel, "utilisation") - 0.11975).abs() < 0.0001, "{kernel}");
}

#[test]
fn the_resources_are_what_one_gets_by_hand() {
    let plan = json(&Sandbox::with_model(SMALL), &["--target", "npu1-i8"]);
    let resources = &plan["designs"][0]["resources"];
    let core = &resources["core"];
    // A and B twice, i32 sums, C twice in bf16, 4 parameters, 3 counters, the stack.
    let needed = 2 * 4096 + 2 * 4096 + 4 * 4096 + 2 * 2 * 4096 + 16 + 12 + 0xD00;
    assert_eq!(integer(core, "memory_bytes"), needed);
    assert_eq!(integer(core, "memory_limit_bytes"), 65_536);
    // Three fifos of depth 2; two locks each and `go`.
    assert_eq!((integer(core, "descriptors"), integer(core, "locks")), (6, 7));
    assert_eq!((integer(core, "input_channels"), integer(core, "output_channels")), (2, 1));
    let memtile = &resources["memtile"];
    // A and B twice, and the C of four cores twice.
    assert_eq!(integer(memtile, "memory_bytes"), 4 * 4096 + 2 * 4 * 2 * 4096);
    assert_eq!(integer(memtile, "memory_limit_bytes"), 524_288);
    // In: A, B and four parts of C. Out: A to the row, B to the column, C to the shim.
    assert_eq!((integer(memtile, "input_channels"), integer(memtile, "output_channels")), (6, 3));
    // Two row blocks: C, B, and A once for each.
    assert_eq!(integer(&resources["shim"], "descriptors"), 4);
}

#[test]
fn a_pass_counts_every_kernel_of_the_longest_length() {
    let plan = json(&Sandbox::with_model(SMALL), &[]);
    for design in list(&plan, "designs") {
        let kernels = list(design, "kernels");
        let lengths: Vec<Option<u64>> = kernels.iter().map(|one| one["length"].as_u64()).collect();
        assert_eq!(lengths, [Some(300), Some(100), None]);
        let pass = &design["pass"];
        assert_eq!((integer(pass, "length"), integer(pass, "calls")), (300, 3));
        for key in ["array_us", "call_us"] {
            let expected = 2.0 * number(&kernels[0], key) + number(&kernels[2], key);
            assert!((number(pass, key) - expected).abs() < 1e-6, "{key}");
        }
    }
}

/// Padding, loops and bytes of every kernel of every preset, from the shapes and tiles alone.
#[test]
fn all_presets_agree_with_independent_arithmetic() {
    let sandbox = Sandbox::new();
    for name in PRESETS {
        let plan = json(&sandbox, &["--model", &preset(name)]);
        assert_eq!(list(&plan, "designs").len(), 4);
        for design in list(&plan, "designs") {
            assert_eq!(list(design, "kernels").len(), 12, "ops × lengths");
            for kernel in list(design, "kernels") {
                check_kernel(design, kernel);
            }
        }
    }
}

fn check_kernel(design: &Value, kernel: &Value) {
    let columns = if design["device"] == "npu1" { 4 } else { 8 };
    let (element, scales) = if design["precision"] == "i8" { (1, 1) } else { (2, 0) };
    let [m, k, n] = ["m", "k", "n"].map(|axis| integer(&design["tile"], axis));
    let [rows, depth, width] = ["m", "k", "n"].map(|axis| integer(&kernel["shape"], axis));
    let blocks = |extent: u64, size: u64| (1..).find(|count| count * size >= extent).unwrap_or(0);
    let (row_blocks, column_blocks) = (blocks(rows, 4 * m), blocks(width, columns * n));
    let k_tiles = blocks(depth, k);
    assert_eq!(integer(kernel, "row_blocks"), row_blocks);
    assert_eq!(integer(kernel, "column_blocks"), column_blocks);
    assert_eq!(integer(kernel, "k_tiles"), k_tiles);
    assert_eq!(integer(&kernel["padded"], "m"), row_blocks * 4 * m);
    assert_eq!(integer(&kernel["padded"], "k"), k_tiles * k);
    assert_eq!(integer(&kernel["padded"], "n"), column_blocks * columns * n);
    let tiles = row_blocks * column_blocks;
    let a = tiles * 4 * (k_tiles + scales) * m * k * element;
    let b = tiles * columns * (k_tiles + 1) * k * n * element;
    let c = tiles * 4 * columns * m * n * 2;
    assert_eq!([integer(kernel, "a_bytes"), integer(kernel, "b_bytes")], [a, b]);
    assert_eq!([integer(kernel, "c_bytes"), integer(kernel, "total_bytes")], [c, a + b + c]);
    let utilisation = number(kernel, "utilisation");
    assert!(utilisation > 0.0 && utilisation <= 1.0, "{kernel}");
    assert!(number(kernel, "call_us") > number(kernel, "array_us"));
}

#[test]
fn json_and_table_say_the_same() {
    let sandbox = Sandbox::with_model(SMALL);
    let text = sandbox.run(&["plan"]).success();
    for design in list(&json(&sandbox, &[]), "designs") {
        let core = integer(&design["resources"]["core"], "memory_bytes");
        assert!(text.contains(&format!("core           {core} of 65536")), "{text}");
        for kernel in list(design, "kernels") {
            let padded = ["m", "k", "n"].map(|axis| integer(&kernel["padded"], axis).to_string());
            assert!(text.contains(&padded.join("×")), "{text}");
        }
    }
}

/// All keys of an object and of what it holds.
fn keys(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                into.insert(key.clone());
                keys(value, into);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_help_names_every_key_of_the_json() {
    let sandbox = Sandbox::with_model(SMALL);
    let mut all = BTreeSet::new();
    keys(&json(&sandbox, &[]), &mut all);
    let help = sandbox.run(&["plan", "--help"]).success();
    let words: BTreeSet<&str> =
        help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<&String> = all.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(all.len() > 30, "{all:?}");
}

#[test]
fn targets_can_be_chosen() {
    let sandbox = Sandbox::with_model(SMALL);
    let targets = |arguments: &[&str]| -> Vec<String> {
        let plan = json(&sandbox, arguments);
        let designs = list(&plan, "designs").iter();
        designs.map(|one| one["target"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(targets(&[]), ["npu1-i8", "npu2-bf16"]);
    assert_eq!(targets(&["--target", "npu2-bf16"]), ["npu2-bf16"]);
    let both = ["--target", "npu2-bf16", "--target", "npu1-i8", "--target", "npu1-i8"];
    assert_eq!(targets(&both), ["npu1-i8", "npu2-bf16"]);
}

#[test]
fn a_target_that_is_not_chosen_may_break_limits() {
    let sandbox = Sandbox::with_model(&SMALL.replace("n = 32", "n = 512"));
    sandbox.run(&["plan"]).failure(1);
    sandbox.run(&["plan", "--target", "npu1-i8"]).success();
    sandbox.run(&["plan", "--target", "npu2-bf16"]).failure(1);
}

#[test]
fn the_model_file_can_be_named_in_two_ways() {
    let sandbox = Sandbox::new();
    sandbox.write("other.toml", SMALL);
    let plan = json(&sandbox, &["--model", "other.toml"]);
    assert_eq!(plan["model_file"], "other.toml");
    let mut command = sandbox.command(&["plan", "--json"]);
    let named = Outcome::of(command.env("TILEWRIGHT_MODEL", "other.toml")).success();
    assert_eq!(serde_json::from_str::<Value>(&named).ok(), Some(plan));
    // The argument wins.
    let mut command = sandbox.command(&["plan", "--model", "other.toml"]);
    Outcome::of(command.env("TILEWRIGHT_MODEL", "missing.toml")).success();
}
