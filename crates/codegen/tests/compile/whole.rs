//! The whole way: from a model file to a table with its artefacts.

use std::fs;

use tilewright_codegen::Error;

use crate::machine::{MLIR_AIE, Machine};

const MODEL: &str = r#"
[[model]]
name = "small"
length = [300]
width = 64

[[target]]
device = "npu1"
precision = "i8"
tile = { m = 32, k = 32, n = 32 }

[[op]]
name = "up"
shape = ["length", "width", "2 * width"]
epilogue = "bias"
"#;

fn artifacts(machine: &Machine) -> String {
    fs::read_to_string(machine.path("out/artifacts.rs")).unwrap()
}

/// The text after `key` up to the next quote.
fn quoted<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let parts = text.split(key).skip(1);
    parts.map(|part| part.split('"').next().unwrap()).collect()
}

#[test]
fn artefacts_are_listed_with_their_hashes() {
    let machine = Machine::new();
    assert!(machine.generate(MODEL).unwrap().compiled);
    let text = artifacts(&machine);
    let files = quoted(&text, "include_bytes!(\"");
    let hashes = quoted(&text, " hash: \"");
    assert_eq!((files.len(), hashes.len()), (2, 2));
    for (file, hash) in files.iter().zip(&hashes) {
        assert!(!file.starts_with('/'), "{file}: no path of this machine");
        let contents = fs::read(machine.path("out").join(file)).unwrap();
        assert_eq!(blake3::hash(&contents).to_hex().as_str(), *hash);
    }
    assert_eq!(quoted(&text, "xclbin_hash: \""), [hashes[0]], "the stream names its xclbin");
}

#[test]
fn other_lengths_leave_the_xclbin_alone() {
    let machine = Machine::new();
    machine.generate(MODEL).unwrap();
    let before = artifacts(&machine);
    machine.steps();
    machine.generate(&MODEL.replace("[300]", "[300, 150]")).unwrap();
    let after = artifacts(&machine);
    assert_eq!(machine.steps(), ["aiecc streams m150_k64_n128_bias"]);
    assert_eq!(quoted(&after, "xclbin_hash: \"").len(), 2);
    assert_eq!(quoted(&after, " hash: \"")[0], quoted(&before, " hash: \"")[0]);
    machine.generate(&MODEL.replace("[300]", "[300, 150]")).unwrap();
    assert_eq!(machine.steps(), [""; 0], "nothing changed, nothing is compiled");
}

#[test]
fn two_models_of_one_configuration_share_the_xclbin() {
    let machine = Machine::new();
    let other = MODEL.replace("name = \"small\"", "name = \"smaller\"");
    let other = other.split("[[target]]").next().unwrap();
    machine.generate(&format!("{MODEL}{other}")).unwrap();
    let text = artifacts(&machine);
    assert_eq!(text.matches("Some(&super::XCLBIN_0)").count(), 2);
    assert_eq!(text.matches("static XCLBIN").count(), 1);
}

#[test]
fn without_a_toolchain_the_table_is_there_all_the_same() {
    let machine = Machine::bare();
    assert!(!machine.generate(MODEL).unwrap().compiled);
    let text = artifacts(&machine);
    assert!(
        text.contains("XCLBIN: Option<&'static ::tilewright_kernel::Artifact> = None"),
        "{text}"
    );
    assert!(machine.path("out/kernels.rs").is_file());
    assert!(machine.path("out/small/npu1-i8/design.mlir").is_file());
}

#[test]
fn a_required_toolchain_that_is_missing_is_an_error() {
    let mut machine = Machine::bare();
    machine.set_value("TILEWRIGHT_REQUIRE_NPU", "0");
    machine.generate(MODEL).unwrap();
    fs::remove_dir_all(machine.path("out")).unwrap();
    machine.set_value("TILEWRIGHT_REQUIRE_NPU", "1");
    let error = machine.generate(MODEL).unwrap_err();
    assert!(matches!(error, Error::NoToolchain(_)));
    assert!(error.to_string().starts_with("TILEWRIGHT_REQUIRE_NPU is set, but no NPU toolchain"));
    assert!(!machine.path("out").exists());
}

#[test]
fn a_mistake_leaves_the_last_good_output_alone() {
    let machine = Machine::new();
    machine.generate(MODEL).unwrap();
    let before = (machine.files(), artifacts(&machine));
    let error = machine.generate(&MODEL.replace("width = 64", "width = 0")).unwrap_err();
    assert!(matches!(error, Error::Model(_)));
    machine.mode(MLIR_AIE, "streams", "silent");
    let error = machine.generate(&MODEL.replace("[300]", "[301]")).unwrap_err();
    assert!(error.to_string().contains("was not written"), "{error}");
    let mut files = machine.files();
    files.retain(|file| !file.starts_with("failed/"));
    assert_eq!((files, artifacts(&machine)), before);
}
