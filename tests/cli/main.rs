//! The command line, as a user runs it.

#![allow(clippy::expect_used)] // Helpers outside of test functions.

mod bad_input;
mod checkpoints;
mod doctor;
mod encode;
#[cfg(unix)]
mod interrupt;
mod plan;
mod render;
#[cfg(all(feature = "server", unix))]
mod serve;
mod sim;
mod svg;
mod transcribe;
mod verify;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A model of one op at two lengths, on one target per device.
const SMALL: &str = r#"
[[model]]
name = "small"
frames = [300, 100]
width = 256
layers = 2

[[target]]
device = "npu1"
precision = "i8"
tile = { m = 64, k = 64, n = 64 }

[[target]]
device = "npu2"
precision = "bf16"
tile = { m = 64, k = 64, n = 32 }

[[op]]
name = "up"
shape = ["frames", "width", "4 * width"]
epilogue = "bias"
count = "layers"

[[op]]
name = "fixed"
shape = [64, "width", "width"]
"#;

/// An empty folder to run in.
struct Sandbox {
    folder: TempDir,
}

/// What a run left behind.
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Sandbox {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a temporary folder") }
    }

    /// A sandbox with a `model.toml`.
    fn with_model(text: &str) -> Self {
        let sandbox = Self::new();
        sandbox.write("model.toml", text);
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("the sandbox is writable");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file exists")
    }

    /// Everything in the sandbox but `model.toml`, sorted.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.strip_prefix(self.folder.path()).expect("below the sandbox");
                files.push(name.display().to_string());
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                }
            }
        }
        files.retain(|name| name != "model.toml");
        files.sort();
        files
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tilewright"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("TILEWRIGHT_MODEL")
            .env_remove("TILEWRIGHT_TOKEN");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(arguments))
    }
}

impl Outcome {
    fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program starts");
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self {
            status: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Standard output of a run that succeeded in silence otherwise.
    #[track_caller]
    fn success(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// Standard error of a run that failed with a status and printed no results.
    #[track_caller]
    fn failure(self, status: i32) -> String {
        assert_eq!((self.status, self.stdout.as_str()), (Some(status), ""), "{}", self.stderr);
        self.stderr
    }
}

fn preset(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    path.display().to_string()
}

const PRESETS: [&str; 6] = [
    "whisper-tiny.toml",
    "whisper-base.toml",
    "whisper-small.toml",
    "whisper-medium.toml",
    "whisper-large-v3.toml",
    "whisper-large-v3-turbo.toml",
];

#[test]
fn the_version_is_that_of_the_package() {
    let version = Sandbox::new().run(&["--version"]).success();
    assert_eq!(version, concat!("tilewright ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn every_command_has_help_with_an_example() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["--help"][..],
        &["encode", "--help"],
        &["plan", "--help"],
        &["plan", "-h"],
        &["render", "--help"],
    ] {
        let help = sandbox.run(arguments).success();
        assert!(help.contains("Example") && help.contains("\n  tilewright "), "{help}");
    }
}

#[test]
fn a_misunderstood_command_line_has_status_2() {
    let sandbox = Sandbox::with_model(SMALL);
    for arguments in [&[][..], &["plam"], &["plan", "--bogus"], &["plan", "--svg"], &["render"]] {
        let help = sandbox.run(arguments).failure(2);
        assert!(help.contains("Usage:") || help.contains("--help"), "{help}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::with_model(SMALL);
    for arguments in [&["plan"][..], &["plan", "--json"], &["render", "--out", "o"], &["--help"]] {
        let mut command = sandbox.command(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the program ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_an_error() {
    let sandbox = Sandbox::with_model(SMALL);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let outcome = Outcome::of(sandbox.command(&["plan"]).stdout(full));
    let message = outcome.failure(1);
    assert!(message.starts_with("error: cannot write to standard output: "), "{message}");
}
