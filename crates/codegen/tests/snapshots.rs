//! What is rendered for a small model, on every device and at every precision, as it was reviewed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use tilewright_codegen::device::{Device, Precision};
use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::Plan;
use tilewright_codegen::render::{Rendered, design::SEQUENCES_MARKER};

fn rendered(device: Device, precision: Precision, lengths: &str) -> Rendered {
    let text = format!(
        "[[model]]\nname = \"small\"\nlength = {lengths}\nwidth = 64\nlayers = 2\n\n\
         [[target]]\ndevice = \"{device}\"\nprecision = \"{precision}\"\n\
         tile = {{ m = 32, k = 32, n = 32 }}\n\n\
         [[op]]\nname = \"ffn_up\"\nshape = [\"length\", \"width\", \"4 * width\"]\n\
         epilogue = \"bias_gelu\"\ncount = \"layers\"\n"
    );
    let file = ModelFile::parse("model.toml", &text).unwrap();
    Rendered::new(&file, &Plan::new(&file).unwrap()).unwrap()
}

fn each(check: impl Fn(Device, Precision)) {
    for device in Device::ALL {
        for precision in Precision::ALL {
            check(device, precision);
        }
    }
}

#[test]
fn designs() {
    each(|device, precision| {
        let rendered = rendered(device, precision, "[300]");
        let name = format!("{device}-{precision}.mlir");
        insta::assert_snapshot!(name, rendered.designs[0].module());
    });
}

#[test]
fn tables() {
    each(|device, precision| {
        let rendered = rendered(device, precision, "[300, 150]");
        // The configuration's hash changes with every template; what it covers is tested below.
        let table = rendered.table.replace(&rendered.designs[0].hash, "HASH");
        insta::assert_snapshot!(format!("{device}-{precision}.rs"), table);
    });
}

#[test]
fn core_kernels() {
    each(|device, precision| {
        let rendered = rendered(device, precision, "[300]");
        insta::assert_snapshot!(format!("{device}-{precision}.cc"), rendered.designs[0].kernel);
    });
}

#[test]
fn the_configuration_depends_on_no_shape() {
    each(|device, precision| {
        let one = rendered(device, precision, "[300]");
        let other = rendered(device, precision, "[1500, 64, 7]");
        assert_eq!(one.designs[0].configuration, other.designs[0].configuration);
        assert_eq!(one.designs[0].hash, other.designs[0].hash);
        assert!(one.designs[0].configuration.contains(SEQUENCES_MARKER));
        assert_ne!(one.designs[0].sequences, other.designs[0].sequences);
    });
}

#[test]
fn more_lengths_leave_an_automatic_tile_alone() {
    let model = std::fs::read_to_string("../../model.toml").unwrap();
    let hashes = |lengths: &str| {
        let text = model.replace("[1500, 768, 384]", lengths);
        let file = ModelFile::parse("model.toml", &text).unwrap();
        let rendered = Rendered::new(&file, &Plan::new(&file).unwrap()).unwrap();
        rendered.designs.into_iter().map(|design| design.hash).collect::<Vec<_>>()
    };
    let one = hashes("[1500]");
    assert_eq!(one.len(), 4);
    assert_eq!(one, hashes("[1500, 768, 384]"));
    assert_eq!(one, hashes("[1500, 1000, 999, 100, 7]"));
}

#[test]
fn the_hash_covers_configuration_and_kernel() {
    let hashes = Device::ALL.map(|device| {
        Precision::ALL.map(|precision| rendered(device, precision, "[300]").designs[0].hash.clone())
    });
    let mut hashes = hashes.concat();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 4);
}
