//! Random model files: some sensible, many not, so that every limit is met from both sides.

use proptest::prelude::*;

/// The text of a model file with one model, one target and one or two ops.
///
/// Sizes are biased to those of transformers and to the edges of the limits; tiles need neither
/// divide nor fit.
pub(crate) fn model_file() -> impl Strategy<Value = String> {
    let lengths = prop::collection::btree_set(length(), 1..4);
    let ops = prop::collection::vec(op(), 1..3);
    (lengths, width(), target(), ops).prop_map(|(lengths, width, target, ops)| {
        let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "[[model]]\nname = \"random\"\nlength = [{}]\nwidth = {width}\n\n{target}",
            lengths.join(", ")
        );
        for (i, op) in ops.iter().enumerate() {
            text += &format!("\n[[op]]\nname = \"op_{i}\"\n{op}");
        }
        text
    })
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 1_u64..1600,
        2 => prop::sample::select(vec![64_u64, 256, 384, 768, 1500, 1536, 3000]),
        1 => 1600_u64..40_000,
    ]
}

fn width() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => prop::sample::select(vec![64_u64, 384, 512, 768, 1024, 1280]),
        1 => 1_u64..2000,
    ]
}

fn target() -> impl Strategy<Value = String> {
    let device = prop::sample::select(vec!["npu1", "npu2"]);
    let precision = prop::sample::select(vec!["i8", "bf16"]);
    (device, precision, tile()).prop_map(|(device, precision, tile)| {
        format!("[[target]]\ndevice = \"{device}\"\nprecision = \"{precision}\"\ntile = {tile}\n")
    })
}

fn tile() -> impl Strategy<Value = String> {
    let side = |step: usize, most: usize| (1..=most / step).prop_map(move |i| i * step);
    let shaped = |(m, k, n)| format!("{{ m = {m}, k = {k}, n = {n} }}");
    prop_oneof![
        1 => Just("\"auto\"".to_owned()),
        // Of whole micro-tile pairs, about half of which fit into a core.
        6 => (side(16, 128), side(8, 128), side(16, 128)).prop_map(shaped),
        // Long and narrow: for the limits of descriptors.
        3 => (side(16, 512), side(8, 32), side(16, 32)).prop_map(shaped),
        3 => (side(16, 32), side(8, 32), side(16, 512)).prop_map(shaped),
        1 => (1_usize..100, 1_usize..100, 1_usize..100).prop_map(shaped),
    ]
}

fn op() -> impl Strategy<Value = String> {
    let factor = |name: &'static str| {
        prop::sample::select(vec![1_u64, 1, 1, 2, 3, 4, 8])
            .prop_map(move |f| format!("{f} * {name}"))
    };
    let epilogue = prop::sample::select(vec!["none", "bias", "bias_gelu"]);
    (factor("width"), factor("width"), epilogue).prop_map(|(k, n, epilogue)| {
        format!("shape = [\"length\", \"{k}\", \"{n}\"]\nepilogue = \"{epilogue}\"\n")
    })
}
