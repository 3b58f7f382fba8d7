//! `tilewright transcribe`, as a user runs it, on synthetic weights.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{Outcome, Sandbox};

/// The sample of the repository.
pub(crate) fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/speech.wav").display().to_string()
}

/// Few tokens, tried once: synthetic weights are never sure of what they hear.
const QUICK: [&str; 8] = [
    "--max-tokens",
    "8",
    "--temperature-increment",
    "0",
    "--no-speech-threshold",
    "2",
    "--logprob-threshold",
    "-1000",
];

/// The command that transcribes what comes through a pipe.
pub(crate) fn from_pipe(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command(&["transcribe", "-", "--no-timestamps"]);
    command.args(QUICK).env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let mut command = sandbox.command(&["transcribe"]);
    let command = command.args(arguments).args(QUICK);
    Outcome::of(command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")))
}

#[test]
fn the_sample_becomes_text_in_every_format() {
    let sandbox = Sandbox::new();
    let outcome = run(&sandbox, &[&sample(), "--no-timestamps"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the text means nothing"), "{}", outcome.stderr);
    let text = outcome.stdout.trim().to_owned();
    assert!(!text.is_empty());

    let arguments =
        [&sample(), "--no-timestamps", "--format", "txt,srt,vtt,json,tsv", "--out", "o"];
    let outcome = run(&sandbox, &arguments);
    assert_eq!((outcome.status, &outcome.stdout[..]), (Some(0), ""), "{}", outcome.stderr);
    assert_eq!(sandbox.read("o/speech.txt").trim(), text);
    assert!(sandbox.read("o/speech.srt").starts_with("1\n00:00:00,000 --> 00:00:12,"));
    assert!(sandbox.read("o/speech.vtt").starts_with("WEBVTT\n\n00:00.000 --> 00:12."));
    assert!(sandbox.read("o/speech.tsv").starts_with("start\tend\ttext\n0\t12"));
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.read("o/speech.json")).expect("JSON");
    assert_eq!(json["text"], text);
    assert_eq!(json["segments"][0]["tokens"].as_array().expect("a list").len(), 8);

    // Nothing has changed, so nothing is done; with other options it is.
    let before =
        sandbox.path("o/speech.txt").metadata().expect("there").modified().expect("a time");
    let outcome = run(&sandbox, &arguments);
    assert!(outcome.stderr.contains("done before"), "{}", outcome.stderr);
    let after = sandbox.path("o/speech.txt").metadata().expect("there").modified().expect("a time");
    assert_eq!(before, after);
    let outcome = run(&sandbox, &[&arguments[..], &["--language", "German"]].concat());
    assert!(!outcome.stderr.contains("done before"), "{}", outcome.stderr);
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.read("o/speech.json")).expect("JSON");
    assert_eq!(json["language"], "german");
}

#[test]
fn what_was_written_in_part_is_not_taken_for_what_was_done_before() {
    let sandbox = Sandbox::new();
    let transcribe = |language: &str| {
        let arguments = ["--no-timestamps", "--format", "txt,json", "--out", "o", "--language"];
        run(&sandbox, &[&[&sample()[..]], &arguments[..], &[language]].concat())
    };
    assert_eq!(transcribe("en").status, Some(0));
    let text = sandbox.read("o/speech.txt");
    // The text is written, and then something stands where the JSON should be.
    std::fs::remove_file(sandbox.path("o/speech.json")).expect("just written");
    std::fs::create_dir(sandbox.path("o/speech.json")).expect("the sandbox is writable");
    assert_eq!(transcribe("de").status, Some(1));
    assert_ne!(sandbox.read("o/speech.txt"), text);
    let outcome = transcribe("en");
    assert!(!outcome.stderr.contains("done before"), "{}", outcome.stderr);
    assert_eq!(sandbox.read("o/speech.txt"), text);
}

#[test]
fn one_failure_does_not_stop_the_rest_and_shards_divide_the_work() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("in/sub")).expect("the sandbox is writable");
    for name in ["in/a.wav", "in/sub/b.wav"] {
        std::fs::copy(sample(), sandbox.path(name)).expect("the sandbox is writable");
    }
    sandbox.write("in/c.wav", "this is no sound");
    sandbox.write("in/notes.txt", "no recording");
    let outcome = run(&sandbox, &["in", "--out", "o", "--jobs", "2", "--no-timestamps"]);
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("c.wav: error: "), "{}", outcome.stderr);
    assert_eq!(sandbox.read("o/a.txt"), sandbox.read("o/sub/b.txt"));
    assert!(!sandbox.path("o/c.txt").exists());
    let outcome = run(&sandbox, &["in", "--out", "p", "--shard", "3/3", "--no-timestamps"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(sandbox.path("p/sub/b.txt").exists() && !sandbox.path("p/a.txt").exists());
}

#[test]
fn standard_input_is_a_recording_or_samples() {
    let sandbox = Sandbox::new();
    let wav = std::fs::read(sample()).expect("the sample");
    let run = |bytes: &[u8]| {
        let path = sandbox.path("stdin");
        std::fs::write(&path, bytes).expect("the sandbox is writable");
        let stdin = std::fs::File::open(path).expect("just written");
        Outcome::of(from_pipe(&sandbox).stdin(stdin))
    };
    let transcribe = |bytes: &[u8]| {
        let outcome = run(bytes);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        outcome.stdout
    };
    let text = transcribe(&wav);
    assert!(!text.trim().is_empty());
    // The sample is 16 kHz, 16 bits and one channel, behind a header of 44 bytes.
    assert_eq!(transcribe(&wav[44..]), text);
    assert_eq!(transcribe(b""), "");
    // A recording that cannot be read is no sequence of samples.
    for beginning in [&b"\0\0\0\x20ftypM4A "[..], b"\x1A\x45\xDF\xA3", b"FORM", b".snd", b"caff"] {
        let outcome = run(&[beginning, &[1; 6400]].concat());
        assert_eq!((outcome.status, &outcome.stdout[..]), (Some(1), ""), "{beginning:?}");
        assert!(outcome.stderr.contains("is not a sound file"), "{}", outcome.stderr);
    }
}

/// A header as ffmpeg writes it to a pipe, and sound: the first window is transcribed before the second
/// has come.
#[test]
fn a_recording_is_transcribed_while_it_comes_through_a_pipe() {
    let sandbox = Sandbox::new();
    let mut wav = std::fs::read(sample()).expect("the sample");
    for size in [4, 40] {
        wav[size..size + 4].fill(0xFF);
    }
    let (header, sound) = wav.split_at(44);
    let of_seconds =
        |seconds: usize| sound.iter().copied().cycle().take(seconds * 32_000).collect::<Vec<u8>>();
    let mut child = from_pipe(&sandbox).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    stdin.write_all(header).expect("the program reads");
    stdin.write_all(&of_seconds(31)).expect("the program reads");
    let first = lines.next().expect("a line").expect("UTF-8");
    assert!(!first.is_empty());
    stdin.write_all(&of_seconds(9)).expect("the program reads");
    drop(stdin);
    assert_eq!(lines.count(), 1);
    assert!(child.wait().expect("the program ends").success());
}

/// A name of 255 bytes is as long as names can be.
#[test]
#[cfg(target_os = "linux")]
fn names_may_be_as_long_as_the_system_allows() {
    let sandbox = Sandbox::new();
    let name = "x".repeat(251);
    std::fs::copy(sample(), sandbox.path(&format!("{name}.wav"))).expect("names may be so long");
    let outcome = run(&sandbox, &[&format!("{name}.wav"), "--out", "o", "--no-timestamps"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(!sandbox.read(&format!("o/{name}.txt")).is_empty());
}

/// Folders of the system, in which there can be no files.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_takes_no_files_is_named_once() {
    let sandbox = Sandbox::new();
    let outcome = run(&sandbox, &[&sample(), "missing.wav", "--out", "/proc"]);
    assert_eq!(outcome.status, Some(1), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("cannot write /proc: "), "{}", outcome.stderr);
}

/// Sound without an end, as far as the program can know: windows until it reads no more.
fn ends_by_itself(mut child: Child, windows: usize) -> (Option<i32>, String) {
    let wav = std::fs::read(sample()).expect("the sample");
    let window: Vec<u8> = wav[44..].iter().copied().cycle().take(960_000).collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    let reads = (0..windows).all(|_| stdin.write_all(&window).is_ok());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(!reads, "it reads to the end: {stderr}");
    (output.status.code(), stderr)
}

#[test]
fn what_nobody_reads_is_not_transcribed() {
    let sandbox = Sandbox::new();
    let mut child = from_pipe(&sandbox).spawn().expect("the program starts");
    drop(child.stdout.take());
    let (status, stderr) = ends_by_itself(child, 20);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(!stderr.contains("error: "), "{stderr}");
}

#[test]
#[cfg(target_os = "linux")]
fn where_nothing_can_be_written_nothing_is_transcribed() {
    let sandbox = Sandbox::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let child = from_pipe(&sandbox).stdout(full).spawn().expect("the program starts");
    let (status, stderr) = ends_by_itself(child, 20);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains("error: cannot write to standard output: "), "{stderr}");
}

/// A recording that was cut off makes for a warning.
#[test]
#[cfg(target_os = "linux")]
fn warnings_that_nobody_can_read_do_no_harm() {
    let sandbox = Sandbox::new();
    let wav = std::fs::read(sample()).expect("the sample");
    std::fs::write(sandbox.path("cut.wav"), &wav[..100_000]).expect("the sandbox is writable");
    let mut command = sandbox.command(&["transcribe", "cut.wav", "--no-timestamps"]);
    let command = command.args(QUICK).env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache"));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let child = command.stdout(Stdio::piped()).stderr(full).spawn().expect("the program starts");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty());
}

#[test]
fn patterns_are_expanded_where_the_shell_does_not() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("talks/sub")).expect("the sandbox is writable");
    for name in ["talks/a.wav", "talks/sub/b.wav", "talks/sub/[c].wav", "talks/.d.wav"] {
        std::fs::copy(sample(), sandbox.path(name)).expect("the sandbox is writable");
    }
    sandbox.write("talks/notes.txt", "no recording");
    let transcribe = |pattern: &str, out: &str| {
        let outcome = run(&sandbox, &[pattern, "--out", out, "--no-timestamps"]);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        let below = format!("{out}/");
        let files = sandbox.files().into_iter();
        files
            .filter_map(|name| Some(name.strip_prefix(&below)?.to_owned()))
            .filter(|name| name.ends_with(".txt"))
            .collect::<Vec<_>>()
    };
    assert_eq!(transcribe("talks/**/*.wav", "o"), ["a.txt", "sub/[c].txt", "sub/b.txt"]);
    assert_eq!(transcribe("talks/*/b.???", "p"), ["sub/b.txt"]);
    // What is named twice is transcribed once.
    let outcome =
        run(&sandbox, &["talks/a.wav", "./talks/a.wav", "talks/[a].wav", "--no-timestamps"]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    // What exists is no pattern.
    assert_eq!(transcribe("talks/sub/[c].wav", "q"), ["[c].txt"]);
}

/// Names that are no UTF-8, and a link that leads back to where it is.
#[test]
#[cfg(target_os = "linux")]
fn patterns_find_every_recording_once_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("in/sub")).expect("the sandbox is writable");
    for name in [&b"in/a\xFF.wav"[..], b"in/sub/b.wav"] {
        let path = sandbox.folder.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::copy(sample(), path).expect("the sandbox is writable");
    }
    std::os::unix::fs::symlink("../in", sandbox.path("in/loop")).expect("the sandbox is writable");
    for pattern in ["in/**/*.wav", "in/**/**/?*"] {
        let outcome = run(&sandbox, &[pattern, "--out", "o", "--no-timestamps"]);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        let mut texts = sandbox.files();
        texts.retain(|name| name.ends_with(".txt"));
        assert_eq!(texts, ["o/a\u{FFFD}.txt", "o/sub/b.txt"]);
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    let sandbox = Sandbox::new();
    sandbox.write("a.wav", "this is no sound");
    for (arguments, words) in [
        (&["a.wav", "b.wav"][..], "--out DIR"),
        (&["a.wav", "--format", "srt,vtt"], "--out DIR"),
        (&["-", "a.wav"], "by itself"),
        (&["a.wav", "sub/a.wav", "--out", "o"], "name the folder that both are in"),
        (&["a.mp3", "a.wav", "--out", "o"], "into a folder of its own"),
        (&["a.wav"], "a.wav"),
        (&["missing.wav"], "missing.wav"),
        (&["a.wav", "b.wav", "--out", "a.wav"], "cannot write a.wav"),
        (&["*.mp3"], "no file matches `*.mp3`"),
        (&["missing/*.mp3"], "no file matches `missing/*.mp3`"),
        (&["[.mp3"], "`[.mp3` is no pattern"),
        (&["a/**b"], "`a/**b` is no pattern"),
    ] {
        let outcome = run(&sandbox, arguments);
        assert_eq!(outcome.status, Some(1), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{arguments:?}: {}", outcome.stderr);
        // Which is before anything is loaded.
        assert!(!outcome.stderr.contains("weights"), "{arguments:?}: {}", outcome.stderr);
    }
    for arguments in [&["--patience", "0"][..], &["--temperature", "11"]] {
        let outcome = run(&sandbox, &[&["a.wav", "b.wav", "--out", "o"], arguments].concat());
        assert_eq!(outcome.status, Some(1), "{arguments:?}: {}", outcome.stderr);
        let errors = outcome.stderr.matches("error: ").count();
        assert_eq!(errors, 1, "{arguments:?}: {}", outcome.stderr);
    }
    let outcome = run(&sandbox, &[&sample(), "--audio-ctx", "385"]);
    assert!(outcome.stderr.contains("at length 385 are compiled in"), "{}", outcome.stderr);
    for arguments in [&["a.wav", "--language", "klingon"][..], &["a.wav", "--shard", "3/2"], &[]] {
        assert_eq!(run(&sandbox, arguments).status, Some(2), "{arguments:?}");
    }
}
