//! Files that are no weights, each with its reason.

use std::fs::File;
use std::io::Write;

use safetensors::Dtype;
use tilewright::weights::{Options, Weights};

use crate::checkpoint::{Folder, MINI, file_of, raw, tensors};

/// What opening a file with these bytes says.
fn error(bytes: &[u8]) -> String {
    let folder = Folder::new();
    folder.write("bad.safetensors", bytes);
    let error = folder.error("bad.safetensors", &MINI);
    error.strip_prefix("DIR/bad.safetensors: ").expect("the file is named").to_owned()
}

fn two(a: &str, b: &str) -> String {
    format!(
        r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{b}}}}}"#
    )
}

#[test]
fn a_file_that_is_too_short() {
    insta::assert_snapshot!(error(b""), @"the file is empty");
    insta::assert_snapshot!(error(b"1234567"), @"the file has 7 bytes, too few for a safetensors header");
    let whole = file_of(&tensors(&MINI, Dtype::F32));
    insta::assert_snapshot!(error(&whole[..100]), @"the header claims 3648 bytes and the file has 92 after its length: it is cut off or not a safetensors file");
    insta::assert_snapshot!(error(&whole[..whole.len() - 1]), @"tensor `model.encoder.layers.1.self_attn_layer_norm.weight` ends at byte 8512 of the data, but the file has only 8511 bytes of it: it is cut off");
    // Wherever it is cut off.
    for length in (0..whole.len()).step_by(97) {
        assert!(Weights::from_bytes("cut", whole[..length].to_vec()).is_err(), "{length}");
    }
}

#[test]
fn a_file_that_is_too_long() {
    let mut whole = file_of(&tensors(&MINI, Dtype::F32));
    whole.extend_from_slice(b"xyz");
    insta::assert_snapshot!(error(&whole), @"the file has 3 bytes after its last tensor");
}

#[test]
fn a_header_that_is_too_long() {
    insta::assert_snapshot!(error(&[0xff; 64]), @"the header claims 18446744073709551615 bytes and the file has 56 after its length: it is cut off or not a safetensors file");
    insta::assert_snapshot!(error(&[100, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']), @"the header claims 100 bytes and the file has 2 after its length: it is cut off or not a safetensors file");
    let folder = Folder::new();
    let path = folder.path().join("huge.safetensors");
    let mut file = File::create(&path).unwrap();
    file.write_all(&100_000_001u64.to_le_bytes()).unwrap();
    file.set_len(100_000_009).unwrap();
    insta::assert_snapshot!(folder.error("huge.safetensors", &MINI), @"DIR/huge.safetensors: the header claims 100000001 bytes, more than the 100,000,000 that a safetensors file may have");
}

#[test]
fn a_header_that_is_no_json() {
    insta::assert_snapshot!(error(&[2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe]), @"the header is not UTF-8 text: invalid utf-8 sequence of 1 bytes from index 0");
    insta::assert_snapshot!(error(&raw("{\"a\":", b"")), @"the header is not what safetensors headers are: tensor `a`: EOF while parsing a value at line 1 column 5");
    insta::assert_snapshot!(error(&raw("[]", b"")), @"the header is not what safetensors headers are: invalid type: sequence, expected a map of tensors at line 1 column 0");
    insta::assert_snapshot!(error(&raw(r#"{"a":{"dtype":"F32","shape":[1]}}"#, &[0; 4])), @"the header is not what safetensors headers are: tensor `a`: missing field `data_offsets` at line 1 column 32");
    insta::assert_snapshot!(
        error(&raw(r#"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4])), @"the header is not what safetensors headers are: tensor `a`: unknown variant `F31`, expected one of `BOOL`, `F4`, `F6_E2M3`, `F6_E3M2`, `U8`, `I8`, `F8_E5M2`, `F8_E4M3`, `F8_E8M0`, `F8_E4M3FNUZ`, `F8_E5M2FNUZ`, `I16`, `U16`, `F16`, `BF16`, `I32`, `U32`, `F32`, `C64`, `F64`, `I64`, `U64` at line 1 column 19"
    );
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(error(&raw(&deep, b"")).starts_with("the header is not"));
}

#[test]
fn tensors_that_lie_where_they_cannot() {
    insta::assert_snapshot!(error(&raw(&two("[0,8]", "[4,12]"), &[0; 12])), @"tensors `a` and `b` overlap");
    insta::assert_snapshot!(error(&raw(&two("[0,8]", "[12,20]"), &[0; 20])), @"tensor `b` begins at 12, but the one before it ends at 8: safetensors files have no holes");
    insta::assert_snapshot!(error(&raw(&two("[0,8]", "[8,16]"), &[0; 12])), @"tensor `b` ends at byte 16 of the data, but the file has only 12 bytes of it: it is cut off");
    insta::assert_snapshot!(error(&raw(&two("[0,8]", "[8,20]"), &[0; 20])), @"tensor `b` is F32 [2], which takes 64 bits, but its data_offsets (8, 20) are not 8 bytes apart");
    insta::assert_snapshot!(error(&raw(&two("[8,0]", "[8,16]"), &[0; 16])), @"tensor `a` is F32 [2], which takes 64 bits, but its data_offsets (8, 0) are not 8 bytes apart");
    insta::assert_snapshot!(error(&raw(&two("[0,8]", "[0,8]"), &[0; 8])), @"tensors `a` and `b` overlap");
    let far = format!("[{0},{1}]", u64::MAX - 8, u64::MAX);
    insta::assert_snapshot!(error(&raw(&two("[0,8]", &far), &[0; 16])), @"tensor `b` begins at 18446744073709551607, but the one before it ends at 8: safetensors files have no holes");
}

#[test]
fn sizes_that_overflow() {
    let shape = "[4294967296,4294967296]";
    let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#);
    insta::assert_snapshot!(error(&raw(&header, b"")), @"tensor `a` has the shape [4294967296, 4294967296], whose size overflows");
    let header = r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#;
    insta::assert_snapshot!(error(&raw(header, &[0])), @"tensor `a` is F4 [3], which takes 12 bits, but its data_offsets (0, 1) are not 2 bytes apart");
}

#[test]
fn a_name_twice() {
    let header = two("[0,8]", "[8,16]").replace("\"b\"", "\"a\"");
    insta::assert_snapshot!(error(&raw(&header, &[0; 16])), @"tensor `a` is listed twice");
}

/// A name is text of a stranger, which must not move a terminal's cursor.
#[test]
fn control_characters_are_escaped() {
    let header = r#"{"\u001b[2J":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
    let error = error(&raw(header, &[0; 4]));
    assert!(error.contains(r"\u{1b}[2J") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn things_that_are_no_weights() {
    let folder = Folder::new();
    folder.write("empty/readme.md", "");
    insta::assert_snapshot!(folder.error("empty", &MINI), @r"
    DIR/empty has no model.safetensors and no other weights
      = help: name the folder of a checkpoint
    ");
    folder.write("torch/pytorch_model.bin", "");
    insta::assert_snapshot!(folder.error("torch", &MINI), @r"
    DIR/torch has no model.safetensors, but pytorch_model.bin
      = help: only safetensors are read: most checkpoints on the hub have a model.safetensors to download, or convert them with `transformers`' save_pretrained
    ");
    folder.write("named/whisper.safetensors", "");
    insta::assert_snapshot!(folder.error("named", &MINI), @r"
    DIR/named has no model.safetensors, but whisper.safetensors
      = help: name the file that is meant, for example whisper.safetensors
    ");
    folder.write("whisper.bin", "PK\x03\x04 and so on");
    insta::assert_snapshot!(folder.error("whisper.bin", &MINI), @r"
    DIR/whisper.bin: the header claims 7236828441365138256 bytes and the file has 6 after its length: it is cut off or not a safetensors file
      = help: weights are read from *.safetensors, not *.bin
    ");
    insta::assert_snapshot!(folder.error("not/there", &MINI), @r"
    there are no weights at DIR/not/there
      = help: name a folder with model.safetensors, a *.safetensors file, or a hub id such as openai/whisper-base
    ");
    folder.write("folder/model.safetensors/inside", "");
    insta::assert_snapshot!(folder.error("folder", &MINI), @r"
    DIR/folder/model.safetensors is neither a file nor a folder
      = help: name a folder with model.safetensors or a *.safetensors file
    ");
    let error = Options::new().open("").unwrap_err();
    assert!(error.to_string().contains("name a folder"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_device_is_no_file() {
    let error = Weights::open("/dev/zero").unwrap_err();
    assert!(error.to_string().starts_with("/dev/zero is neither a file nor a folder"), "{error}");
}
