//! `tilewright plan --svg`: what is drawn is tested where the drawing is made; here, where it goes.

use crate::{PRESETS, SMALL, Sandbox, preset};

const NPU1: [&str; 5] = ["plan", "--target", "npu1-i8", "--svg", "array.svg"];

fn count(text: &str, class: &str) -> usize {
    let document = roxmltree::Document::parse(text).expect("well-formed XML");
    let of_class = |node: &roxmltree::Node<'_, '_>| {
        node.attribute("class").is_some_and(|classes| classes.split(' ').any(|one| one == class))
    };
    document.descendants().filter(of_class).count()
}

#[test]
fn the_drawing_is_written_and_the_table_printed() {
    let sandbox = Sandbox::with_model(SMALL);
    let text = sandbox.run(&NPU1).success();
    assert!(text.starts_with("small on npu1-i8: tile 64×64×64, micro-tile 4×8×8\n"), "{text}");
    assert_eq!(sandbox.files(), ["array.svg"]);
    let drawing = sandbox.read("array.svg");
    assert_eq!(count(&drawing, "tile"), 4 * 6);
    // Shim to memtile and on, for A and B; 4 from each column's cores and one to its shim.
    assert_eq!(count(&drawing, "stream"), 2 * 4 + 2 * 4 + 4 * 5);
}

#[test]
fn json_and_drawing_both_happen() {
    let sandbox = Sandbox::with_model(SMALL);
    let arguments = ["plan", "--json", "--target", "npu2-bf16", "--svg", "array.svg"];
    let text = sandbox.run(&arguments).success();
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    let drawing = sandbox.read("array.svg");
    assert_eq!(count(&drawing, "tile"), 8 * 6);
    assert_eq!(count(&drawing, "stream"), 2 * 4 + 2 * 8 + 8 * 5);
}

#[test]
fn every_preset_is_drawn_for_every_target() {
    let sandbox = Sandbox::new();
    for name in PRESETS {
        for target in ["npu1-i8", "npu1-bf16", "npu2-i8", "npu2-bf16"] {
            let model = preset(name);
            let arguments = ["plan", "--model", &model, "--target", target, "--svg", "array.svg"];
            sandbox.run(&arguments).success();
            assert!(count(&sandbox.read("array.svg"), "tile") >= 24, "{name} {target}");
        }
    }
}

#[test]
fn one_target_has_to_be_chosen() {
    let sandbox = Sandbox::with_model(SMALL);
    let message = sandbox.run(&["plan", "--svg", "array.svg"]).failure(1);
    let expected = "\
error: --svg draws the array of one target, 2 are selected
  = help: choose one: --target npu1-i8, --target npu2-bf16
";
    assert_eq!(message, expected);
    assert!(sandbox.files().is_empty());
}

#[test]
fn models_share_a_drawing_if_they_share_the_tile() {
    let second = "[[model]]\nname = \"large\"\nframes = 4000\nwidth = 2048\nlayers = 1\n";
    let fixed = format!("{SMALL}\n{second}");
    Sandbox::with_model(&fixed).run(&NPU1).success();
    let auto = fixed.replace("{ m = 64, k = 64, n = 64 }", "\"auto\"");
    let sandbox = Sandbox::with_model(&auto);
    let message = sandbox.run(&NPU1).failure(1);
    assert!(
        message.starts_with("error: --svg draws one array, small and large differ"),
        "{message}"
    );
    assert!(message.contains("= help: "), "{message}");
    assert!(sandbox.files().is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::with_model(SMALL);
    std::fs::create_dir(sandbox.path("folder")).expect("a folder");
    let cases = [
        ("missing/array.svg", "create its folder first"),
        ("folder", "name a file, not a folder"),
        ("model.toml/array.svg", "a file stands where a folder is needed: choose another place"),
    ];
    for (path, help) in cases {
        let arguments = ["plan", "--target", "npu1-i8", "--svg", path];
        let message = sandbox.run(&arguments).failure(1);
        assert!(message.starts_with(&format!("error: cannot write {path}: ")), "{message}");
        assert!(message.ends_with(&format!("\n  = help: {help}\n")), "{message}");
    }
    assert_eq!(sandbox.files(), ["folder"]);
}

#[test]
fn an_old_drawing_is_replaced_whole_or_left() {
    let sandbox = Sandbox::with_model(SMALL);
    sandbox.write("array.svg", "old");
    sandbox.write("bad.toml", "model = 1");
    let mut bad = vec!["plan", "--model", "bad.toml"];
    bad.extend(&NPU1[1..]);
    sandbox.run(&bad).failure(1);
    assert_eq!(sandbox.read("array.svg"), "old");
    sandbox.run(&NPU1).success();
    assert!(sandbox.read("array.svg").starts_with("<svg "));
    assert_eq!(sandbox.files(), ["array.svg", "bad.toml"]);
}

#[test]
#[cfg(unix)]
fn links_and_devices_stay_what_they_are() {
    let sandbox = Sandbox::with_model(SMALL);
    sandbox.write("target.svg", "old");
    std::os::unix::fs::symlink("target.svg", sandbox.path("array.svg")).expect("a link");
    sandbox.run(&NPU1).success();
    assert!(sandbox.path("array.svg").is_symlink());
    assert!(sandbox.read("target.svg").starts_with("<svg "));
    sandbox.run(&["plan", "--target", "npu1-i8", "--svg", "/dev/null"]).success();
    assert!(!std::path::Path::new("/dev/null").is_file());
}
