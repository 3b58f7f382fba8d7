//! What is committed in `generated/` is what `model.toml` makes today.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::Plan;
use tilewright_codegen::render::Rendered;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.insert(path);
        }
    }
}

fn rendered(model: &Path) -> Rendered {
    let file = ModelFile::read(model).unwrap();
    Rendered::new(&file, &Plan::new(&file).unwrap()).unwrap()
}

#[test]
fn generated_is_fresh() {
    let folder = root().join("generated");
    let mut committed = BTreeSet::new();
    files_below(&folder, &mut committed);
    for (path, text) in rendered(&root().join("model.toml")).files() {
        let path = folder.join(path);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is stale: run `cargo build` and commit it", path.display());
        committed.remove(&path);
    }
    assert_eq!(committed, BTreeSet::new(), "nothing makes these: remove them");
}

#[test]
fn the_table_that_was_compiled_in_is_that_of_the_model_file() {
    let table = &tilewright::kernels::TABLE;
    let lengths = table.kernels().filter_map(|kernel| kernel.length).collect::<BTreeSet<_>>();
    assert!(!table.targets.is_empty() && !lengths.is_empty());
    for kernel in table.kernels() {
        let (shape, padded) = (kernel.shape, kernel.padded);
        assert!(padded.m >= shape.m && padded.k >= shape.k && padded.n >= shape.n);
        let found = table.find(
            kernel.target.model,
            kernel.target.device,
            kernel.target.precision,
            kernel.op,
            kernel.length,
        );
        assert!(std::ptr::eq(found.unwrap(), kernel), "{kernel:?}");
        if let Some(stream) = kernel.stream {
            let xclbin = kernel.target.xclbin.expect("a stream without an xclbin");
            assert_eq!(stream.xclbin_hash, xclbin.hash);
        }
    }
}

#[test]
fn every_whisper_size_has_a_preset_that_renders() {
    for (size, d_model, layers) in [
        ("tiny", 384, 4),
        ("base", 512, 6),
        ("small", 768, 12),
        ("medium", 1024, 24),
        ("large-v3", 1280, 32),
        ("large-v3-turbo", 1280, 32),
    ] {
        let preset = root().join(format!("models/whisper-{size}.toml"));
        let rendered = rendered(&preset);
        assert_eq!(rendered.designs.len(), 4, "two devices, two precisions");
        for line in [format!("D_MODEL: usize = {d_model};"), format!("LAYERS: usize = {layers};")] {
            assert!(rendered.table.contains(&line), "{size}: {line}");
        }
    }
}

#[test]
fn the_preset_of_base_is_the_committed_model() {
    let preset = rendered(&root().join("models/whisper-base.toml"));
    assert_eq!(preset, rendered(&root().join("model.toml")));
}
