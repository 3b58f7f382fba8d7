//! Every mistake in a model file is told with its place, the line, and what would work.

use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::Plan;

const GOOD: &str = r#"
[[model]]
name = "tiny-block"
length = [300, 128]
d_model = 256
layers = 2

[[target]]
device = "npu1"
precision = "i8"
tile = { m = 64, k = 64, n = 64 }

[[op]]
name = "up"
shape = ["length", "d_model", "4 * d_model"]
epilogue = "bias_gelu"
count = "layers"
"#;

/// What parsing and planning say of a file.
fn errors(text: &str) -> String {
    match ModelFile::parse("model.toml", text).and_then(|file| Plan::new(&file)) {
        Ok(_) => "no error".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// The good file with one thing replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    errors(&GOOD.replacen(from, to, 1))
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(errors(GOOD), "no error");
    let without_options = GOOD
        .replace("tile = { m = 64, k = 64, n = 64 }\n", "")
        .replace("epilogue = \"bias_gelu\"\ncount = \"layers\"\n", "");
    assert_eq!(errors(&without_options), "no error");
}

macro_rules! mistakes {
    ($($name:ident: $errors:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), $errors);
        })*
    };
}

mistakes! {
    empty_file: errors("");
    bad_toml: with("d_model = 256", "d_model = = 256");
    unknown_table: with("[[op]]", "[[opp]]");
    unknown_key_in_target: with("precision =", "presicion =");
    unknown_key_in_op: with("epilogue =", "epilog =");
    unknown_key_in_tile: with("n = 64 }", "n = 64, o = 1 }");
    single_bracket: with("[[model]]", "[model]");
    missing_name: with("name = \"tiny-block\"\n", "");
    missing_dimension: with("d_model = 256\n", "");
    misspelt_dimension: with("\"4 * d_model\"", "\"4 * d_modle\"");
    zero: with("d_model = 256", "d_model = 0");
    negative: with("d_model = 256", "d_model = -256");
    float: with("d_model = 256", "d_model = 256.5");
    huge: with("d_model = 256", "d_model = 99999999999999999999999");
    overflowing_product: with("\"4 * d_model\"", "\"1048576 * 1048576 * 1048576 * 1048576 * d_model\"");
    zero_factor: with("\"4 * d_model\"", "\"0 * d_model\"");
    no_product: with("\"4 * d_model\"", "\"4 + d_model\"");
    empty_factor: with("\"4 * d_model\"", "\"4 * \"");
    two_dimensions: with("[\"length\", \"d_model\", \"4 * d_model\"]", "[\"length\", \"d_model\"]");
    shape_is_no_list: with("[\"length\", \"d_model\", \"4 * d_model\"]", "\"length\"");
    duplicate_length: with("[300, 128]", "[300, 128, 300]");
    no_lengths: with("[300, 128]", "[]");
    two_lists: with("d_model = 256", "d_model = [256, 512]");
    unknown_device: with("\"npu1\"", "\"npu3\"");
    unknown_precision: with("\"i8\"", "\"int8\"");
    unknown_epilogue: with("\"bias_gelu\"", "\"gelu\"");
    tile_word: with("{ m = 64, k = 64, n = 64 }", "\"big\"");
    tile_without_k: with("k = 64, ", "");
    tile_zero: with("{ m = 64,", "{ m = 0,");
    tile_that_does_not_divide: with("{ m = 64,", "{ m = 60,");
    tile_beyond_l1: with("{ m = 64, k = 64, n = 64 }", "{ m = 64, k = 128, n = 128 }");
    parameters_beyond_tile: with("{ m = 64, k = 64, n = 64 }", "{ m = 16, k = 4, n = 16 }");
    duplicate_op: errors(&format!("{GOOD}\n[[op]]\nname = \"up\"\nshape = [1, 2, 4]\n"));
    ops_alike_in_rust: errors(&format!("{GOOD}\n[[op]]\nname = \"u_p\"\nshape = [8, 8, 8]\n"));
    duplicate_target: errors(&format!("{GOOD}\n[[target]]\ndevice = \"npu1\"\nprecision = \"i8\"\n"));
    duplicate_model: errors(&format!("{GOOD}\n[[model]]\nname = \"tiny.block\"\nlength = 5\nd_model = 8\nlayers = 1\n"));
    keyword_model: with("\"tiny-block\"", "\"crate\"");
    reserved_op: with("name = \"up\"", "name = \"self\"");
    name_with_path: with("\"tiny-block\"", "\"../../etc\"");
    stride_wall: errors(&GOOD.replace("d_model = 256", "d_model = 2048").replace("{ m = 64, k = 64, n = 64 }", "{ m = 128, k = 32, n = 16 }").replace("[300, 128]", "[3000, 300]"));
    too_many_blocks: errors(&GOOD.replace("[300, 128]", "[20000]").replace("{ m = 64,", "{ m = 8,"));
    several_at_once: errors(&GOOD.replace("\"npu1\"", "\"npu9\"").replace("d_model = 256", "d_model = 0").replace("epilogue", "epilog"));
}
