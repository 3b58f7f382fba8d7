//! Every layout in which a checkpoint comes.

use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::json;
use tilewright::weights::{Weights, encoder_tensors};

use crate::checkpoint::{self, Folder, MINI, Tensor, bytes_of, config, file_of, raw, tensors};

/// All encoder tensors are those of the synthetic weights, but for rounding.
fn assert_same(weights: &Weights, round: impl Fn(f32) -> f32) {
    weights.check(&MINI).unwrap();
    let synthetic = Weights::synthetic();
    for (name, shape) in encoder_tensors(&MINI) {
        let read = weights.tensor(&name, &shape).unwrap();
        let made = synthetic.tensor(&name, &shape).unwrap();
        assert_eq!(read.shape(), shape);
        assert_eq!(read.len(), made.len());
        for (read, made) in read.iter().zip(made.iter()) {
            assert_eq!(read.to_bits(), round(*made).to_bits(), "{name}");
        }
    }
}

#[test]
fn a_folder_of_f32_is_read_where_it_lies() {
    let folder = Folder::new();
    folder.write("model.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    folder.write("config.json", config(&MINI).to_string());
    let weights = Weights::open(folder.path()).unwrap();
    assert_same(&weights, |v| v);
    let bias = weights.tensor("model.encoder.conv1.bias", &[8]).unwrap();
    assert!(bias.is_borrowed());
    assert_eq!(weights.dimensions(), Some(MINI));
    assert!(!weights.is_synthetic());
}

#[test]
fn f16_and_bf16_become_f32() {
    let folder = Folder::new();
    let file = folder.write("half.safetensors", file_of(&tensors(&MINI, Dtype::F16)));
    assert_same(&Weights::open(file).unwrap(), |v| f16::from_f32(v).to_f32());
    let file = folder.write("brain.safetensors", file_of(&tensors(&MINI, Dtype::BF16)));
    assert_same(&Weights::open(file).unwrap(), |v| bf16::from_f32(v).to_f32());
}

#[test]
fn f32_that_lies_badly_is_copied() {
    let values = [1.0, -2.5, 3.25];
    for padding in 0..8 {
        let header = format!(
            r#"{{"x":{{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}}}{}"#,
            " ".repeat(padding)
        );
        let file = raw(&header, &bytes_of(Dtype::F32, &values));
        let weights = Weights::from_bytes("memory", file).unwrap();
        assert_eq!(weights.tensor("x", &[3]).unwrap()[..], values, "{padding}");
    }
}

#[test]
fn tensors_of_many_chunks_are_converted_whole() {
    let values: Vec<f32> = (0..300_007).map(|i| (i % 2048) as f32 - 1024.0).collect();
    for dtype in [Dtype::F32, Dtype::F16] {
        let bytes = bytes_of(dtype, &values);
        let tensor = Tensor { dtype, shape: vec![values.len()], bytes };
        let file = file_of(&[("x".to_owned(), tensor)].into());
        let weights = Weights::from_bytes("memory", file).unwrap();
        assert!(weights.tensor("x", &[values.len()]).unwrap()[..] == values);
        assert!(weights.tensor("x", &[values.len()]).unwrap().into_vec() == values);
    }
}

#[test]
fn every_f16_becomes_what_it_is() {
    let finite = (0..=u16::MAX).map(f16::from_bits).filter(|v| v.is_finite());
    let values: Vec<f16> = finite.collect();
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensor = Tensor { dtype: Dtype::F16, shape: vec![values.len()], bytes };
    let weights =
        Weights::from_bytes("memory", file_of(&[("x".to_owned(), tensor)].into())).unwrap();
    let read = weights.tensor("x", &[values.len()]).unwrap();
    assert!(read.iter().zip(&values).all(|(a, b)| a.to_bits() == f32::from(*b).to_bits()));
}

#[test]
fn names_have_the_prefix_or_not_in_files_and_in_questions() {
    let with = tensors(&MINI, Dtype::F32);
    let without = with
        .iter()
        .map(|(name, tensor)| (name.strip_prefix("model.").unwrap().to_owned(), tensor.clone()));
    for file in [file_of(&with), file_of(&without.collect())] {
        let weights = Weights::from_bytes("memory", file).unwrap();
        assert_same(&weights, |v| v);
        assert!(weights.tensor("encoder.conv1.bias", &[8]).is_ok());
        assert!(weights.tensor("model.encoder.conv1.bias", &[8]).is_ok());
        assert_eq!(weights.shape("encoder.conv1.bias"), Some(&[8][..]));
        assert_eq!(weights.dimensions().unwrap().layers, 2);
    }
}

/// The tensors dealt to files, with their index.
fn shard(folder: &Folder, files: [&str; 3]) {
    let all = tensors(&MINI, Dtype::BF16);
    let mut map = serde_json::Map::new();
    for (i, file) in files.into_iter().enumerate() {
        let part =
            all.iter().skip(i).step_by(3).map(|(name, tensor)| (name.clone(), tensor.clone()));
        let part = part.collect();
        folder.write(file, file_of(&part));
        map.extend(part.into_keys().map(|name| (name, json!(file))));
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    folder.write("model.safetensors.index.json", index.to_string());
}

#[test]
fn shards_are_found_through_their_index() {
    let folder = Folder::new();
    shard(&folder, ["a.safetensors", "b.safetensors", "sub/c.safetensors"]);
    folder.write("config.json", config(&MINI).to_string());
    assert_same(&Weights::open(folder.path()).unwrap(), |v| bf16::from_f32(v).to_f32());
    let index = folder.path().join("model.safetensors.index.json");
    let weights = Weights::open(&index).unwrap();
    assert_same(&weights, |v| bf16::from_f32(v).to_f32());
    assert_eq!(weights.to_string(), index.display().to_string());
    assert_eq!(weights.names().count(), encoder_tensors(&MINI).len());
}

#[test]
fn an_index_that_lies_is_told_so() {
    let folder = Folder::new();
    shard(&folder, ["a.safetensors", "b.safetensors", "c.safetensors"]);
    std::fs::remove_file(folder.path().join("a.safetensors")).unwrap();
    std::fs::remove_file(folder.path().join("c.safetensors")).unwrap();
    insta::assert_snapshot!(folder.error("", &MINI), @"DIR/model.safetensors.index.json: the shard a.safetensors is missing; the shard c.safetensors is missing");

    let swapped = file_of(&tensors(&MINI, Dtype::F32).into_iter().take(1).collect());
    folder.write("a.safetensors", &swapped);
    folder.write("c.safetensors", &swapped);
    let error = folder.error("", &MINI);
    assert!(error.contains("the shard c.safetensors has no tensor `model.encoder."), "{error}");

    for outside in ["../x.safetensors", "/etc/passwd", "a/../../b", "", "..\\b", "C:b", "./a"] {
        let index = json!({"weight_map": {"x": outside}});
        folder.write("model.safetensors.index.json", index.to_string());
        let error = folder.error("", &MINI);
        assert!(error.contains("is not inside of the index's folder"), "{outside}: {error}");
    }
    folder.write("model.safetensors.index.json", r#"{"weight_map": {}}"#);
    insta::assert_snapshot!(folder.error("", &MINI), @"DIR/model.safetensors.index.json: it names no shards");
    folder.write("model.safetensors.index.json", r#"{"weight_map": {"x": 5}}"#);
    insta::assert_snapshot!(folder.error("", &MINI), @"DIR/model.safetensors.index.json: invalid type: integer `5`, expected a string at line 1 column 22");
}

#[test]
fn a_config_beside_a_file_counts_only_if_it_is_the_files() {
    let folder = Folder::new();
    let file = folder.write("mini.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    for other in [config(&checkpoint::BASE).to_string(), "not json".to_owned()] {
        folder.write("config.json", other);
        let weights = Weights::open(&file).unwrap();
        weights.check(&MINI).unwrap();
    }
    folder.write("config.json", config(&MINI).to_string());
    assert_eq!(Weights::open(&file).unwrap().dimensions(), Some(MINI));
}

/// Else a checkpoint that is read tensor by tensor would count as memory whole.
#[test]
#[cfg(target_os = "linux")]
fn a_tensor_that_was_read_leaves_memory() {
    let folder = Folder::new();
    for dtype in [Dtype::F32, Dtype::F16] {
        let bytes = bytes_of(dtype, &vec![0.5; 1 << 21]);
        let tensor = Tensor { dtype, shape: vec![1 << 21], bytes };
        let name = format!("{dtype}.safetensors");
        let path = folder.write(&name, file_of(&[("x".to_owned(), tensor)].into()));
        let weights = Weights::open(&path).unwrap();
        let tensor = weights.tensor("x", &[1 << 21]).unwrap();
        if tensor.is_borrowed() {
            assert!(resident(&path) >= 8 << 10, "{} kB", resident(&path));
        }
        drop(tensor);
        assert!(resident(&path) < 512, "{} kB", resident(&path));
        assert_eq!(weights.tensor("x", &[1 << 21]).unwrap()[12345], 0.5);
    }
}

/// How many kB of a mapped file this process holds.
#[cfg(target_os = "linux")]
fn resident(path: &std::path::Path) -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let path = path.display().to_string();
    let lines = maps.lines().skip_while(|line| !line.ends_with(&path));
    let rss = { lines }.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    rss.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
