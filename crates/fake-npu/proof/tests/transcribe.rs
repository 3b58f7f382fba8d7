//! `tilewright transcribe` on a simulated NPU that fails in the midst of a recording.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::machine;
use fake_npu::{Fault, Machine};
use serde_json::Value;
use tilewright_kernel::Device;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tilewright-nano");

/// Runs before the first window, one of each shape; see `encode.rs`.
const TESTS: u64 = 4;
/// Runs of a window.
const RUNS: u64 = 8;
/// Windows of the recording.
const WINDOWS: usize = 3;
/// A run in the midst of the second window.
const FAILS: u64 = TESTS + RUNS + 3;

/// One segment per window, which depends on nothing but that window.
const PLAIN: [&str; 9] = [
    "--no-timestamps",
    "--no-context",
    "--max-tokens=8",
    "--temperature-increment=0",
    "--no-speech-threshold=2",
    "--logprob-threshold=-1000",
    "--language=en",
    "--format=json",
    "--again",
];

struct Scratch {
    folder: tempfile::TempDir,
    recordings: Vec<PathBuf>,
}

/// How a run ended, and the segments of each recording that it wrote.
struct Outcome {
    is_success: bool,
    said: String,
    segments: Vec<Vec<Heard>>,
}

/// What the decoder made of a window's features: the text, and a number that others would change.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    text: String,
    log_probability: f64,
}

impl Scratch {
    /// With so many recordings, each of other sound.
    fn new(recordings: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recording = |i: usize| {
            let path = folder.path().join(format!("{i}.wav"));
            std::fs::write(&path, wav(i)).unwrap();
            path
        };
        let recordings = (0..recordings).map(recording).collect();
        Self { folder, recordings }
    }

    fn run(&self, mut command: Command, arguments: &[&str]) -> Outcome {
        let out = self.folder.path().join("out");
        command.arg("transcribe").args(&self.recordings).args(PLAIN).args(arguments);
        // None of the faults here hangs, and the simulator takes its time on a busy machine.
        command.arg("--out").arg(&out).env("TILEWRIGHT_NPU_TIMEOUT", "3600");
        command.env("TILEWRIGHT_CACHE_DIR", self.folder.path().join("cache"));
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        eprintln!("{said}");
        let texts = self.recordings.iter().filter_map(|path| {
            let name = path.with_extension("json");
            std::fs::read(out.join(name.file_name()?)).ok()
        });
        let segments = texts.map(|text| heard(&text)).collect();
        if out.exists() {
            std::fs::remove_dir_all(out).unwrap();
        }
        Outcome { is_success: output.status.success(), said, segments }
    }

    fn on(&self, machine: &Machine, arguments: &[&str]) -> Outcome {
        self.run(machine.command(PROGRAM), arguments)
    }

    /// What the CPU, and what the simulator hears, both without any driver.
    fn references(&self) -> [Vec<Vec<Heard>>; 2] {
        [&["--backend", "cpu"][..], &["--backend", "sim", "--target", "npu1-i8"]].map(|backend| {
            let outcome = self.run(Command::new(PROGRAM), backend);
            assert!(outcome.is_success, "{backend:?}");
            assert!(outcome.segments.iter().all(|segments| segments.len() == WINDOWS));
            outcome.segments
        })
    }
}

/// The sample over and over, from another place in it for each recording: two whole windows and a half.
fn wav(number: usize) -> Vec<u8> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../samples/speech.wav");
    let mut wav = std::fs::read(sample).unwrap();
    // Behind a header of 44 bytes it is 16 kHz, 16 bits and one channel.
    let sound = wav.split_off(44);
    let sound = sound.iter().copied().cycle().skip(number * 80_000);
    wav.extend(sound.take(75 * 32_000));
    let bytes = wav.len() as u32;
    wav[4..8].copy_from_slice(&(bytes - 8).to_le_bytes());
    wav[40..44].copy_from_slice(&(bytes - 44).to_le_bytes());
    wav
}

fn heard(transcript: &[u8]) -> Vec<Heard> {
    let transcript: Value = serde_json::from_slice(transcript).unwrap();
    let heard = |segment: &Value| Heard {
        text: segment["text"].as_str().unwrap().to_owned(),
        log_probability: segment["avg_logprob"].as_f64().unwrap(),
    };
    transcript["segments"].as_array().unwrap().iter().map(heard).collect()
}

fn broken(fault: &str) -> Option<Machine> {
    let machine = machine(Device::Npu1)?;
    machine.npu().inject(fault.parse::<Fault>().unwrap());
    Some(machine)
}

/// The window that the NPU left is encoded again: what was heard before is the simulator's, all else
/// the CPU's, to the bit.
#[test]
fn what_the_npu_leaves_is_transcribed_on_the_cpu() {
    let scratch = Scratch::new(1);
    let [cpu, simulated] = scratch.references();
    // Else nothing would show who encoded which window.
    for (on_cpu, simulated) in cpu[0].iter().zip(&simulated[0]) {
        assert_ne!(on_cpu, simulated);
    }
    for fault in ["gone@", "failed@+", "timeout@+"] {
        let fault = fault.replace('@', &format!("@{FAILS}"));
        let Some(machine) = broken(&fault) else { return };
        let Outcome { is_success, said, segments } = scratch.on(&machine, &[]);
        assert!(is_success, "{fault}: {said}");
        let note = "note: running on the CPU, as the NPU was given up: ";
        assert_eq!(said.matches(note).count(), 1, "{fault}: {said}");
        assert_eq!(segments[0], [&simulated[0][..1], &cpu[0][1..]].concat(), "{fault}");
    }
}

/// A failure that passes is not the end of the NPU, and nothing is heard twice or left out.
#[test]
fn a_failure_that_passes_leaves_no_trace_in_the_text() {
    let scratch = Scratch::new(1);
    let [_, simulated] = scratch.references();
    let Some(machine) = broken(&format!("failed@{FAILS}")) else { return };
    let Outcome { is_success, said, segments } = scratch.on(&machine, &[]);
    assert!(is_success, "{said}");
    assert!(said.contains("set up anew"), "{said}");
    assert!(!said.contains("running on the CPU"), "{said}");
    assert_eq!(segments, simulated);
}

/// Two recordings at the same time share the NPU, and leave it together: it is said once.
#[test]
fn all_recordings_leave_an_npu_that_fails() {
    let scratch = Scratch::new(2);
    let [cpu, simulated] = scratch.references();
    let fault = format!("gone@{}", FAILS + 2 * RUNS);
    let Some(machine) = broken(&fault) else { return };
    let Outcome { is_success, said, segments } = scratch.on(&machine, &["--jobs", "2"]);
    assert!(is_success, "{said}");
    assert_eq!(said.matches("note: running on the CPU").count(), 1, "{said}");
    assert_eq!(segments.len(), 2);
    // Which windows are encoded together, and so how many of a recording were before, is chance.
    let mut before = 0;
    for ((segments, cpu), simulated) in segments.iter().zip(&cpu).zip(&simulated) {
        let on_npu = segments.iter().zip(simulated).take_while(|(x, y)| x == y).count();
        assert_eq!(segments[on_npu..], cpu[on_npu..]);
        before += on_npu;
    }
    assert!((1..2 * WINDOWS).contains(&before), "{before} windows on the NPU");
}

/// Who asked for the NPU is told that it failed, and gets no half of a transcript.
#[test]
fn who_asked_for_the_npu_gets_no_cpu() {
    let scratch = Scratch::new(1);
    let Some(machine) = broken(&format!("gone@{FAILS}")) else { return };
    let Outcome { is_success, said, segments } = scratch.on(&machine, &["--backend", "npu"]);
    assert!(!is_success);
    assert!(said.contains("error: the NPU "), "{said}");
    assert!(!said.contains("running on the CPU"), "{said}");
    assert_eq!(segments, [[]; 0]);
}
