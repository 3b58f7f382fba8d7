//! Whatever is wrong with a model file, the message says what, where and what would work, and
//! nothing is written.

use crate::{SMALL, Sandbox};

/// A file that is bad in one way, the place of it, and words of the message and the remedy.
struct Case {
    name: &'static str,
    text: String,
    place: &'static str,
    message: &'static str,
    help: &'static str,
}

fn replaced(old: &str, new: &str) -> String {
    assert!(SMALL.contains(old), "{old}");
    SMALL.replace(old, new)
}

fn case(
    name: &'static str,
    text: String,
    place: &'static str,
    message: &'static str,
    help: &'static str,
) -> Case {
    Case { name, text, place, message, help }
}

const WIDTH: &str = "width = 256";
const TILE: &str = "{ m = 64, k = 64, n = 64 }";

/// What is wrong by itself, without a device.
fn malformed() -> Vec<Case> {
    let range = "an integer from 1 to 1048576";
    vec![
        case("bad TOML", replaced(WIDTH, "width 256"), "5:", "no valid TOML", "https://toml.io"),
        case("empty", String::new(), "1:1", "there is no [[model]]", "add at least one [[model]]"),
        case(
            "unknown key",
            replaced("count =", "cuont ="),
            "22:1",
            "`cuont`",
            "did you mean `count`",
        ),
        case("missing dimension", replaced(WIDTH, ""), "20:20", "`width`", "add `width = …`"),
        case("misspelt dimension", replaced(WIDTH, "widht = 256"), "20:20", "`width`", "`widht`"),
        case("zero", replaced(WIDTH, "width = 0"), "5:9", "`width` is 0", range),
        case("negative", replaced(WIDTH, "width = -256"), "5:9", "`width` is -256", range),
        case(
            "beyond 64 bits",
            replaced(WIDTH, "width = 99999999999999999999"),
            "5:9",
            "999",
            range,
        ),
        case("fraction", replaced(WIDTH, "width = 1.5"), "5:9", "float", "a positive integer"),
        case(
            "overflowing product",
            replaced("4 * width", "1048576 * 1048576 * 1048576 * 1048576"),
            "20:29",
            "`up` of model `small` is too large",
            "1048576 or below",
        ),
        case(
            "zero tile",
            replaced("m = 64, k = 64, n = 64", "m = 0, k = 64, n = 64"),
            "11:14",
            "`m`",
            "from 1",
        ),
        case(
            "unknown device",
            replaced("\"npu1\"", "\"npu3\""),
            "9:10",
            "unknown device `npu3`",
            "\"npu",
        ),
        case(
            "unknown precision",
            replaced("\"i8\"", "\"i4\""),
            "10:13",
            "unknown precision `i4`",
            "\"i8\"",
        ),
        case("duplicate op", replaced("\"fixed\"", "\"up\""), "25:8", "a second op", "remove one"),
        case(
            "duplicate target",
            replaced(
                "device = \"npu2\"\nprecision = \"bf16\"",
                "device = \"npu1\"\nprecision = \"i8\"",
            ),
            "13:1",
            "a second target",
            "remove one",
        ),
    ]
}

/// What a device cannot do.
fn beyond_the_device() -> Vec<Case> {
    let tile = |tile: &str| replaced(TILE, tile);
    vec![
        case(
            "a tile that does not divide",
            tile("{ m = 60, k = 64, n = 64 }"),
            "11:8",
            "m = 60 is no multiple of 8",
            "take m = 56 or 64",
        ),
        case(
            "a tile that overflows the core",
            tile("{ m = 128, k = 128, n = 128 }"),
            "11:8",
            "needs 167196 bytes of memory and has 65536",
            "tile = \"auto\"",
        ),
        case(
            "the stride wall",
            replaced("4 * width", "64 * width"),
            "20:9",
            "`up` at 300×256×16384: transfer `c_0_0` has a stride of 2097152 words",
            "take a smaller m",
        ),
        case(
            "no tile at all",
            tile("\"auto\"") + "\n[[op]]\nname = \"long\"\nshape = [1_048_576, 64, 64]\n",
            "11:8",
            "no tile serves every shape of `small` on npu1 with i8",
            "use smaller dimensions",
        ),
    ]
}

#[test]
fn every_mistake_is_shown_with_its_place_and_its_remedy() {
    for case in malformed().into_iter().chain(beyond_the_device()) {
        let sandbox = Sandbox::with_model(&case.text);
        let commands = [
            &["plan", "--target", "npu1-i8", "--svg", "array.svg"][..],
            &["plan", "--json"],
            &["render", "--out", "out"],
        ];
        for command in commands {
            let message = sandbox.run(command).failure(1);
            let name = case.name;
            let place = format!("model.toml:{}", case.place);
            let first = message.lines().find(|line| line.starts_with(&place));
            assert!(first.is_some_and(|line| line.contains(case.message)), "{name}: {message}");
            let help = |line: &str| line.contains("= help: ") && line.contains(case.help);
            assert!(message.lines().any(help), "{name}: {message}");
            assert!(message.contains("^"), "{name}: {message}");
            assert!(sandbox.files().is_empty(), "{name}: {:?}", sandbox.files());
        }
    }
}

#[test]
fn several_mistakes_are_shown_at_once() {
    let text = SMALL.replace("width = 256", "width = 0").replace("count =", "cuont =");
    let message = Sandbox::with_model(&text).run(&["plan"]).failure(1);
    insta::assert_snapshot!(message);
}

#[test]
fn a_missing_file_says_what_to_do() {
    let message = Sandbox::new().run(&["plan"]).failure(1);
    assert!(message.starts_with("error: cannot read the model file model.toml: "), "{message}");
    assert!(
        message.contains("\n  = help: name a model file with --model FILE or TILEWRIGHT_MODEL")
    );
}

#[test]
fn a_folder_is_no_model_file() {
    let message = Sandbox::new().run(&["render", "--model", ".", "--out", "out"]).failure(1);
    assert!(message.starts_with("error: cannot read the model file .: "), "{message}");
    assert!(message.ends_with("\n  = help: name the model file in it\n"), "{message}");
}

#[test]
fn a_model_file_is_text() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("model.toml"), [0x66, 0xff, 0xfe]).expect("a file");
    let message = sandbox.run(&["plan"]).failure(1);
    assert!(message.ends_with("\n  = help: a model file is UTF-8 text\n"), "{message}");
}

#[test]
fn an_unknown_target_says_which_exist() {
    let arguments = ["plan", "--target", "npu1-i8", "--target", "npu3-i8"];
    let message = Sandbox::with_model(SMALL).run(&arguments).failure(1);
    let expected = "\
error: the model file has no target `npu3-i8`
  = help: its targets are npu1-i8, npu2-bf16
";
    assert_eq!(message, expected);
}
