//! Weights that do not fit the model.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::Dtype;
use serde_json::json;
use tilewright::weights::{Dimensions, TensorProblem, Weights, WeightsError, encoder_tensors};

use crate::checkpoint::{BASE, Folder, MINI, Tensor, bytes_of, config, file_of, tensors};

#[test]
fn a_layer_has_fifteen_tensors_and_the_rest_seven() {
    for layers in [0, 1, 6, 32] {
        let tensors = encoder_tensors(&Dimensions { layers, ..BASE });
        assert_eq!(tensors.len(), 7 + 15 * layers);
        let names: std::collections::HashSet<_> = tensors.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), tensors.len());
    }
    // 20.6 million parameters, as the paper's table of base minus its decoder has.
    let base = encoder_tensors(&BASE);
    let parameters: usize = base.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 20_590_592);
    assert!(!base.iter().any(|(name, _)| name.ends_with("k_proj.bias")));
}

/// `models/*.toml` and what errors recommend cannot drift apart.
#[test]
fn every_preset_is_recommended_for_its_weights() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let mut seen = 0;
    for file in fs::read_dir(models).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let model = &text["model"][0];
        let number = |key: &str| model[key].as_integer().unwrap() as usize;
        let dimensions = Dimensions {
            mel_bins: number("mel_bins"),
            d_model: number("d_model"),
            heads: number("heads"),
            layers: number("layers"),
            ffn: number("ffn"),
            positions: model["audio_ctx"][0].as_integer().unwrap() as usize,
        };
        let folder = Folder::new();
        folder.write("model.safetensors", file_of(&BTreeMap::new()));
        let mut config = config(&dimensions);
        if name.ends_with("turbo") {
            config["decoder_layers"] = json!(4);
        }
        folder.write("config.json", config.to_string());
        let error = folder.error("", &MINI);
        let help = format!(
            "\n  = help: build for it: TILEWRIGHT_MODEL=models/{name}.toml cargo build --release"
        );
        assert!(error.ends_with(&help), "{error}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}

fn small() -> Dimensions {
    Dimensions { d_model: 768, heads: 12, layers: 12, ffn: 3072, ..BASE }
}

#[test]
fn another_size_names_the_preset_to_build() {
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&BTreeMap::new()));
    folder.write("config.json", config(&small()).to_string());
    insta::assert_snapshot!(folder.error("", &BASE), @r"
    DIR/config.json says whisper-small (d_model 768, heads 12, layers 12, ffn 3072), this build has kernels for whisper-base (d_model 512, heads 8, layers 6, ffn 2048)
      = help: build for it: TILEWRIGHT_MODEL=models/whisper-small.toml cargo build --release
    ");
    let distilled = Dimensions { layers: 7, heads: 4, ..BASE };
    folder.write("config.json", config(&distilled).to_string());
    insta::assert_snapshot!(folder.error("", &BASE), @r"
    DIR/config.json says heads 4, layers 7, this build has kernels for whisper-base (heads 8, layers 6)
      = help: build for it: write these sizes into the [[model]] of a copy of model.toml, then TILEWRIGHT_MODEL=that.toml cargo build --release
    ");
}

#[test]
fn without_a_config_the_shapes_tell_the_size() {
    let small = small();
    let mut tensors = BTreeMap::new();
    for (name, shape) in encoder_tensors(&small) {
        let is_needed = shape.len() == 1 || name.contains("conv1") || name.contains("embed");
        if is_needed || name.ends_with("layers.0.fc1.weight") {
            let bytes = vec![0; 2 * shape.iter().product::<usize>()];
            tensors.insert(name, Tensor { dtype: Dtype::F16, shape, bytes });
        }
    }
    let folder = Folder::new();
    let file = folder.write("model.safetensors", file_of(&tensors));
    assert_eq!(Weights::open(&file).unwrap().dimensions(), Some(small));
    let error = folder.error("", &BASE);
    assert!(error.starts_with("DIR/model.safetensors says whisper-small ("), "{error}");
    assert!(error.contains("models/whisper-small.toml cargo build"), "{error}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut tensors = tensors(&MINI, Dtype::F32);
    tensors.remove("model.encoder.layers.1.fc2.bias");
    let k = tensors.get_mut("model.encoder.layers.0.self_attn.k_proj.weight").unwrap();
    *k = Tensor { dtype: Dtype::F64, shape: vec![8, 8], bytes: vec![0; 512] };
    let norm = tensors.get_mut("model.encoder.layer_norm.weight").unwrap();
    *norm = Tensor { dtype: Dtype::F32, shape: vec![2, 4], bytes: vec![0; 32] };
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&tensors));
    insta::assert_snapshot!(folder.error("", &MINI), @r"
    DIR/model.safetensors: 3 tensors do not fit:
      - tensor `model.encoder.layers.0.self_attn.k_proj.weight` is of type F64; F32, F16 and BF16 are read
      - there is no tensor `model.encoder.layers.1.fc2.bias`; like it are `model.encoder.layers.0.fc2.bias`, `model.encoder.layers.1.fc1.bias`, `model.encoder.layers.0.fc1.bias`
      - tensor `model.encoder.layer_norm.weight` has the shape [2, 4], the model needs [8]
    ");
}

#[test]
fn a_file_of_something_else_is_no_wall_of_text() {
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&BTreeMap::new()));
    let error = folder.error("", &BASE);
    assert!(error.starts_with("DIR/model.safetensors: 97 tensors do not fit:"), "{error}");
    assert!(error.ends_with("\n  - and 85 more"), "{error}");
}

#[test]
fn a_missing_tensor_names_those_like_it() {
    let weights = Weights::from_bytes("memory", file_of(&tensors(&MINI, Dtype::F32))).unwrap();
    let error = weights.tensor("encoder.layers.0.self_attn.kproj.weight", &[8, 8]).unwrap_err();
    insta::assert_snapshot!(error, @"memory: there is no tensor `encoder.layers.0.self_attn.kproj.weight`; like it are `model.encoder.layers.0.self_attn.k_proj.weight`, `model.encoder.layers.0.self_attn.q_proj.weight`, `model.encoder.layers.0.self_attn.v_proj.weight`");
    let error = weights.tensor("proj_out.weight", &[8]).unwrap_err();
    insta::assert_snapshot!(error, @"memory: there is no tensor `proj_out.weight`");
}

#[test]
fn values_that_are_no_numbers_are_found_where_they_are() {
    let length = 200_003;
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 1023, 65_535, 65_536, 131_072, length - 1] {
                let mut values = vec![0.5; length];
                values[at] = bad;
                values[length - 1] = bad;
                let bytes = bytes_of(dtype, &values);
                let tensor = Tensor { dtype, shape: vec![length], bytes };
                let file = file_of(&[("x".to_owned(), tensor)].into());
                let weights = Weights::from_bytes("memory", file).unwrap();
                let error = weights.tensor("x", &[length]).unwrap_err();
                let WeightsError::Tensors { problems, .. } = &error else { panic!("{error}") };
                let TensorProblem::NotFinite { index, value, .. } = &problems[0] else {
                    panic!("{error}")
                };
                assert_eq!((*index, value.is_nan()), (at, bad.is_nan()));
            }
        }
    }
    let tensor =
        Tensor { dtype: Dtype::F32, shape: vec![2], bytes: bytes_of(Dtype::F32, &[1.0, f32::NAN]) };
    let file = file_of(&[("encoder.conv1.bias".to_owned(), tensor)].into());
    let weights = Weights::from_bytes("nan.safetensors", file).unwrap();
    let error = weights.tensor("encoder.conv1.bias", &[2]).unwrap_err();
    insta::assert_snapshot!(error, @"nan.safetensors: element 1 of tensor `encoder.conv1.bias` is NaN");
}

#[test]
fn a_config_of_another_model_or_of_nothing_is_refused() {
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    folder.write("config.json", r#"{"model_type": "bert", "hidden_size": 768}"#);
    insta::assert_snapshot!(folder.error("", &MINI), @"DIR/config.json is of a `bert` model, not of Whisper");
    folder.write("config.json", r#"{"model_type": "whisper", "d_model": 8}"#);
    insta::assert_snapshot!(folder.error("", &MINI), @"DIR/config.json: missing field `num_mel_bins` at line 1 column 39");
    folder.write("config.json", r#"{"d_model": -8}"#);
    let error = folder.error("", &MINI);
    assert!(error.starts_with("DIR/config.json: invalid value"), "{error}");
    folder.write("config.json", "");
    insta::assert_snapshot!(folder.error("", &MINI), @"DIR/config.json: EOF while parsing a value at line 1 column 0");
}
