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

/// The whole encoder through the simulated array: the same within what another order of rounding
/// costs, and the array's time apart from the simulation's.
#[test]
fn the_simulated_array_encodes_what_the_cpu_does() {
    let sandbox = Sandbox::new();
    let common = ["--audio-ctx", "384", "--profile", "--format", "npy"];
    let mut on_cpu = None;
    for target in ["npu1-i8", "npu2-i8"] {
        let file = sample();
        let own = [&file, "--backend", "sim", "--target", target, "--out", "sim.npy"];
        let report = json(&sandbox, &[&own[..], &common].concat());
        assert_eq!(report["backend"], "sim");
        assert_eq!(report["precision"], "i8");
        assert_eq!(report["array"]["target"], target);
        assert_eq!(report["array"]["simulated"], true);
        // Two windows of 384 positions hold the sample.
        assert_eq!(report["array"]["runs"], 24 * report["windows"].as_u64().expect("a number"));
        let mut sum = 0.0;
        for operator in report["profile"].as_array().expect("a list") {
            sum += operator["array"]["array_us"].as_f64().unwrap_or_default();
        }
        let whole = report["array"]["array_us"].as_f64().expect("a number");
        assert!((sum - whole).abs() < 1e-6 * whole, "{sum} {whole}");
        assert!(whole > 100.0, "{whole}");

        let cpu = on_cpu.get_or_insert_with(|| {
            let arguments = [&[file.as_str(), "--out", "cpu.npy"], &common[..]].concat();
            assert_eq!(json(&sandbox, &arguments)["array"], serde_json::Value::Null);
            floats(&sandbox, "cpu.npy")
        });
        let simulated = floats(&sandbox, "sim.npy");
        assert_eq!(cpu.len(), simulated.len());
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        let norms = dot(cpu, cpu).sqrt() * dot(&simulated, &simulated).sqrt();
        let cosine = dot(cpu, &simulated) / norms;
        assert!(cosine > 0.999, "{target}: {cosine}");
    }
}

fn floats(sandbox: &Sandbox, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(sandbox.path(name)).expect("written");
    let words = bytes[256..].as_chunks::<4>().0.iter();
    words.map(|word| f32::from_le_bytes(*word)).collect()
}

#[test]
fn an_array_that_is_not_there_is_an_error_that_says_what_is() {
    let (sandbox, file) = (Sandbox::new(), sample());
    for (arguments, words) in [
        (&["--target", "npu1-i8"][..], ["none is simulated", "add --backend sim"]),
        (&["--backend", "sim", "--precision", "f32"], ["multiplies in f32", "--precision i8"]),
        (
            &["--backend", "sim", "--target", "npu9-i8"],
            ["no target `npu9-i8` of precision i8", "npu1-bf16, npu1-i8"],
        ),
        (
            &["--backend", "sim", "--target", "npu1-i8", "--precision", "bf16"],
            ["no target `npu1-i8` of precision bf16", "the compiled targets are"],
        ),
    ] {
        let outcome = run(&sandbox, &[&[file.as_str()], arguments].concat());
        assert_eq!(outcome.status, Some(1), "{arguments:?}");
        for word in words {
            assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
        }
    }
    let mut command = sandbox.command(&["encode", &file, "--backend", "sim"]);
    command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")).env("CXX", "no-such-compiler");
    let outcome = Outcome::of(&mut command);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("there is no C++ compiler"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("CXX=no-such-compiler"), "{}", outcome.stderr);
}

#[test]
fn without_an_npu_npu_fails_and_auto_takes_the_cpu_and_says_so_once() {
    // Whatever this machine has, there is no XRT where the variable says.
    let (sandbox, file) = (Sandbox::new(), sample());
    let encode = |arguments: &[&str]| {
        let mut command = sandbox.command(&[&["encode", &file], arguments].concat());
        command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache"));
        command.env("TILEWRIGHT_XRT", sandbox.path("no-xrt"));
        Outcome::of(&mut command)
    };
    let outcome = encode(&["--backend", "npu"]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("error: ") && outcome.stderr.contains("= help: "));
    let outcome = encode(&["--audio-ctx", "384"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("note: running on the CPU, as ").count(), 1);
    let outcome = encode(&["--audio-ctx", "384", "--backend", "cpu"]);
    assert!(!outcome.stderr.contains("note:"), "{}", outcome.stderr);
}

#[test]
fn a_receipt_says_what_really_ran() {
    let (sandbox, file) = (Sandbox::new(), sample());
    let arguments = ["--backend", "cpu", "--audio-ctx", "384", "--json", "--receipt", "r.json"];
    let outcome = run(&sandbox, &[&[file.as_str()], &arguments[..]].concat());
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
    let report = json(&outcome.stdout);
    let receipt = json(&std::fs::read_to_string(sandbox.path("r.json")).expect("it is written"));
    assert_eq!(receipt["features"], report["checksum"]);
    assert!(receipt["device"].is_null() && receipt["xclbin"].is_null());
    let ops = receipt["ops"].as_array().expect("a list");
    assert!(ops.iter().all(|op| op["backend"] == "cpu" && op["device_us"].is_null()));
    // On the CPU the two matmuls of a feed-forward network are one operator.
    let up = ops.iter().find(|op| op["op"] == "feed_forward").expect("it ran");
    let shape = report["shapes"].as_array().expect("a list").iter().find(|s| s["op"] == "ffn_up");
    assert_eq!(up["calls"], shape.expect("it ran")["calls"]);
}
