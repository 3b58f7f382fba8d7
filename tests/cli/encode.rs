//! `tilewright encode`, as a user runs it.

use std::path::Path;

use safetensors::SafeTensors;

use crate::{Outcome, Sandbox};

/// The sample of the repository.
fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/speech.wav").display().to_string()
}

/// A sandbox whose cache is its own.
fn run(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let mut command = sandbox.command(&["encode"]);
    Outcome::of(command.args(arguments).env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")))
}

fn json(sandbox: &Sandbox, arguments: &[&str]) -> serde_json::Value {
    let outcome = run(sandbox, &[arguments, &["--json"]].concat());
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("one JSON object and nothing else")
}

/// A mono WAV of 16-bit samples.
fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let bytes = samples.len() as u32 * 2;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

fn write(sandbox: &Sandbox, name: &str, bytes: &[u8]) {
    std::fs::write(sandbox.path(name), bytes).expect("the sandbox is writable");
}

#[test]
fn the_sample_becomes_features_and_a_summary() {
    let sandbox = Sandbox::new();
    let outcome = run(&sandbox, &[&sample()]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("synthetic weights"), "{}", outcome.stderr);
    for word in
        ["model", "backend", "precision", "kernels", "real time", "checksum", "1500×512×1536"]
    {
        assert!(outcome.stdout.contains(word), "{word}: {}", outcome.stdout);
    }
    let bytes = std::fs::read(sandbox.path("speech.features.safetensors")).expect("written");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    assert_eq!(tensors.tensor("features").expect("there").shape(), [1, 1500, 512]);
}

#[test]
fn json_is_all_there_is_and_the_checksum_is_that_of_the_features() {
    let sandbox = Sandbox::new();
    let report = json(&sandbox, &[&sample(), "--out", "f.npy", "--format", "npy", "--profile"]);
    let bytes = std::fs::read(sandbox.path("f.npy")).expect("written");
    let hash = blake3::hash(&bytes[256..]).to_hex().to_string();
    assert_eq!(report["checksum"], hash.as_str());
    assert_eq!(report["tensor"], serde_json::json!([1, 1500, 512]));
    assert!(report["encoder_ms"].as_f64().expect("a number") > 0.0);
    let shares = report["profile"].as_array().expect("a list").iter();
    let sum: f64 = shares.map(|operator| operator["share"].as_f64().expect("a number")).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    // Deterministic: another run, another precision of the same weights.
    let again = json(&sandbox, &[&sample(), "--out", "g.npy", "--format", "npy"]);
    assert_eq!(again["checksum"], report["checksum"]);
    let other =
        json(&sandbox, &[&sample(), "--out", "h.npy", "--format", "npy", "--precision", "f32"]);
    assert_ne!(other["checksum"], report["checksum"]);
}

#[test]
fn features_compare_with_themselves_and_with_another_precision() {
    let sandbox = Sandbox::new();
    json(&sandbox, &[&sample(), "--out", "ref.safetensors", "--precision", "f32"]);
    let compared = |precision: &str| {
        let arguments = [&sample(), "--compare", "ref.safetensors", "--precision", precision];
        json(&sandbox, &arguments)["comparison"][0]["cosine"].as_f64().expect("a number")
    };
    assert_eq!(compared("f32"), 1.0);
    assert!((0.9995..1.0).contains(&compared("i8")));
    assert!((0.9999..1.0).contains(&compared("bf16")));
}

#[test]
fn a_shorter_context_cuts_the_recording_into_more_windows() {
    let sandbox = Sandbox::new();
    let report = json(&sandbox, &[&sample(), "--audio-ctx", "384"]);
    let seconds = report["audio_seconds"].as_f64().expect("a number");
    let windows = (seconds / (384.0 * 0.02)).ceil();
    assert_eq!(report["tensor"], serde_json::json!([windows as usize, 384, 512]));
    let outcome = run(&sandbox, &[&sample(), "--audio-ctx", "385"]);
    let message = outcome.stderr;
    assert_eq!(outcome.status, Some(1));
    assert!(message.contains("385") && message.contains("384, 768, 1500"), "{message}");
}

#[test]
fn telephone_audio_is_encoded() {
    let sandbox = Sandbox::new();
    let samples: Vec<i16> =
        (0..16_000).map(|i| ((i as f32 * 0.35).sin() * 9000.0) as i16).collect();
    write(&sandbox, "call.wav", &wav(8_000, &samples));
    let report = json(&sandbox, &["call.wav"]);
    assert!((report["audio_seconds"].as_f64().expect("a number") - 2.0).abs() < 0.01);
}

#[test]
fn what_cannot_be_encoded_is_said_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    write(&sandbox, "text.wav", b"this is no sound");
    write(&sandbox, "empty.wav", b"");
    write(&sandbox, "silent.wav", &wav(16_000, &[]));
    write(&sandbox, "good.wav", &wav(16_000, &[0; 1600]));
    write(&sandbox, "bad.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff{}");
    std::fs::create_dir(sandbox.path("folder")).expect("a folder");
    let before = sandbox.files();
    for (arguments, words) in [
        (&["missing.wav"][..], "missing.wav"),
        (&["text.wav"], "text.wav"),
        (&["empty.wav"], "empty.wav"),
        (&["silent.wav"], "silent.wav"),
        (&["folder"], "folder"),
        (&["good.wav", "--weights", "missing.safetensors"], "missing.safetensors"),
        (&["good.wav", "--weights", "bad.safetensors"], "bad.safetensors"),
        (&["good.wav", "--compare", "bad.safetensors"], "bad.safetensors"),
        (&["good.wav", "--out", "folder"], "folder"),
        (&["good.wav", "--out", "no/such/folder/x"], "no/such/folder/x"),
    ] {
        let message = run(&sandbox, arguments).failure(1);
        assert!(message.contains(words), "{arguments:?}: {message}");
        assert!(message.lines().any(|line| line.starts_with("error: ")), "{message}");
        let mut after = sandbox.files();
        after.retain(|name| !name.starts_with("cache"));
        assert_eq!(after, before, "{arguments:?}");
    }
}
