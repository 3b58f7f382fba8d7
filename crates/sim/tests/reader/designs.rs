//! Real designs, as people write them and as `aie-opt` prints them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tilewright_sim::text::{Source, parse};

use crate::same::{difference, outline, read};

fn generated() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../generated")
}

fn mlir_files(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            mlir_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "mlir") {
            into.push(path);
        }
    }
}

#[test]
fn the_generated_designs_are_read() {
    let mut files = Vec::new();
    mlir_files(&generated(), &mut files);
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let module = read(&text);
        let [device] = module.body.as_slice() else { panic!("one device") };
        assert_eq!(device.name, "aie.device");
        let ops = &device.regions[0].blocks[0].ops;
        let lines = |word: &str| text.lines().filter(|line| line.contains(word)).count();
        let count = |name: &str| ops.iter().filter(|op| op.name == name).count();
        assert_eq!(count("aie.tile"), lines("= aie.tile("));
        assert_eq!(count("aie.objectfifo"), lines("aie.objectfifo @"));
        assert_eq!(count("aie.core"), lines("aie.core("));
        assert_eq!(count("aie.runtime_sequence"), lines("aie.runtime_sequence"));
    }
}

/// Prints with `aie-opt`; `None` if that does not accept the text.
fn aie_opt(text: &str, arguments: &[&str]) -> Option<String> {
    let program = std::env::var("TILEWRIGHT_AIE_OPT").unwrap_or_else(|_| "aie-opt".to_owned());
    let mut child = Command::new(&program)
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; TILEWRIGHT_AIE_OPT names it"));
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Reads each design of the folder that `TILEWRIGHT_MLIR_DESIGNS` names as it is written and as
/// `aie-opt` (or what `TILEWRIGHT_AIE_OPT` names) prints it, pretty and generic, with places and
/// without: all must say the same. With `TILEWRIGHT_MLIR_PASSES`, words after the printed form,
/// what these passes make of it too.
#[test]
#[ignore = "needs a folder of designs, in TILEWRIGHT_MLIR_DESIGNS, and aie-opt"]
fn designs_say_the_same_in_every_form() {
    let folder = std::env::var("TILEWRIGHT_MLIR_DESIGNS").expect("TILEWRIGHT_MLIR_DESIGNS");
    let passes = std::env::var("TILEWRIGHT_MLIR_PASSES").unwrap_or_default();
    let passes: Vec<&str> = passes.split_whitespace().collect();
    let mut files = Vec::new();
    mlir_files(Path::new(&folder), &mut files);
    assert!(!files.is_empty(), "no .mlir files in {folder}");
    let (mut failures, mut accepted, mut refused) = (Vec::new(), 0, Vec::new());
    let mut slowest = (Duration::ZERO, String::new());
    for path in files {
        let written = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let devices = ["npu1", "npu1_1col", "npu2"];
        let texts = devices.iter().map(|device| written.replace("NPUDEVICE", device));
        let Some((text, _)) =
            texts.filter_map(|text| aie_opt(&text, &passes).map(|printed| (text, printed))).next()
        else {
            refused.push(name);
            continue;
        };
        accepted += 1;
        let mut outlines = Vec::new();
        let forms: [&[&str]; 4] = [
            &[],
            &["--mlir-print-op-generic"],
            &["--mlir-print-debuginfo"],
            &["--mlir-print-op-generic", "--mlir-print-debuginfo"],
        ];
        let mut texts = Vec::new();
        if passes.is_empty() {
            texts.push(("written".to_owned(), text.clone()));
        }
        for form in forms {
            let printed = aie_opt(&text, &[&passes, form].concat()).unwrap();
            texts.push((format!("printed {form:?}"), printed));
        }
        for (form, text) in texts {
            let start = Instant::now();
            let parsed = parse(&Source::new(&name, &text));
            slowest =
                slowest.max((start.elapsed(), format!("{name} {form}, {} bytes", text.len())));
            match parsed {
                Ok(module) => outlines.push((form, outline(&module))),
                Err(error) => {
                    let line = text.lines().nth(error.line() - 1).unwrap_or_default();
                    failures.push(format!("{form}: {error}\n    {line}\n    {}", error.help()));
                }
            }
        }
        if let Some(((first, left), others)) = outlines.split_first() {
            for (form, right) in others {
                if left != right {
                    let difference = difference(left, right);
                    failures.push(format!("{name}: {first} and {form} differ at {difference}"));
                }
            }
        }
    }
    println!("{accepted} designs; slowest: {slowest:?}");
    println!("refused by aie-opt: {}", refused.len());
    for failure in &failures {
        println!("{failure}");
    }
    assert!(failures.is_empty(), "{} failures", failures.len());
}
