//! How long a build waits for the plan and the text of its kernels:
//! `cargo bench -p tilewright-codegen --bench plan_and_render`.

#![allow(clippy::expect_used, reason = "a benchmark of good input")]

use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::Plan;
use tilewright_codegen::render::Rendered;

fn main() {
    divan::main();
}

/// whisper-large-v3 on both devices at both precisions, six audio lengths.
fn large_v3(tile: &str) -> String {
    let mut text =
        "[[model]]\nname = \"whisper-large-v3\"\naudio_ctx = [1500, 1250, 1000, 768, 512, 384]\n\
                    d_model = 1280\nlayers = 32\nffn = 5120\n"
            .to_owned();
    for device in ["npu1", "npu2"] {
        for precision in ["i8", "bf16"] {
            text += &format!(
                "[[target]]\ndevice = \"{device}\"\nprecision = \"{precision}\"\ntile = {tile}\n"
            );
        }
    }
    for (name, k, n) in [
        ("attn_qkv", "d_model", "3 * d_model"),
        ("attn_out", "d_model", "d_model"),
        ("ffn_up", "d_model", "ffn"),
        ("ffn_down", "ffn", "d_model"),
    ] {
        text += &format!(
            "[[op]]\nname = \"{name}\"\nshape = [\"audio_ctx\", \"{k}\", \"{n}\"]\n\
             epilogue = \"bias\"\ncount = \"layers\"\n"
        );
    }
    text
}

#[divan::bench(args = ["{ m = 64, k = 32, n = 64 }", "\"auto\""])]
fn parse_plan_render(tile: &str) -> Rendered {
    let text = large_v3(tile);
    let file = ModelFile::parse("model.toml", divan::black_box(&text));
    let file = file.expect("the model file is good");
    let plan = Plan::new(&file).expect("it can be planned");
    Rendered::new(&file, &plan).expect("it renders")
}
