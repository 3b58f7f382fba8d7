//! The plan against the real compiler: what it accepts `aiecc` compiles, and what it refuses `aiecc`
//! refuses too, or the rule is one that the tools are known to let pass.
//!
//! Needs MLIR-AIE's `aiecc`, but not Peano: cores are not compiled, configurations and instruction
//! streams are. Ignored without it:
//!
//! ```sh
//! TILEWRIGHT_AIECC=/path/to/aiecc cargo test --release -p tilewright-codegen \
//!     --test against_compiler -- --ignored --nocapture --test-threads 1
//! ```
//!
//! `SWEEP_MODELS` sets the number of random model files (300).

#![allow(clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{broken, good, models::model_file};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tilewright_codegen::device::{Device, Epilogue, Precision, Shape, Tile};
use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::Plan;
use tilewright_codegen::plan::array::{Array, Layout};
use tilewright_codegen::plan::limits::Rule;
use tilewright_codegen::plan::sequence::Sequence;
use tilewright_codegen::render::Rendered;
use tilewright_codegen::render::design::{SEQUENCES_MARKER, configuration, sequence};

fn aiecc() -> PathBuf {
    std::env::var_os("TILEWRIGHT_AIECC").map(PathBuf::from).expect("TILEWRIGHT_AIECC is set")
}

/// What `aiecc` makes of a module.
struct Verdict {
    /// Sizes of the streams, or what it says against the module.
    streams: Result<Vec<u64>, String>,
    /// All configuration data, file by file.
    cdo: Vec<Vec<u8>>,
}

fn compile(module: &str) -> Verdict {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("design.mlir");
    std::fs::write(&file, module).expect("a file in it");
    let output = Command::new(aiecc())
        .args(["--no-compile", "--no-link", "--no-compile-host", "--alloc-scheme=basic-sequential"])
        .args(["--aie-generate-cdo", "--aie-generate-npu-insts", "--tmpdir=work", "design.mlir"])
        .current_dir(folder.path())
        .output()
        .expect("aiecc runs");
    let mut cdo = files(&folder.path().join("work"), "bin");
    cdo.sort();
    let cdo = cdo.iter().map(|path| std::fs::read(path).expect("it is there")).collect();
    let streams = if output.status.success() {
        let mut streams = files(folder.path(), "bin");
        streams.sort();
        Ok(streams.iter().map(|path| path.metadata().expect("it is there").len()).collect())
    } else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines = stderr.lines().filter(|line| line.contains("error:"));
        let told = lines.take(2).collect::<Vec<_>>().join(" / ");
        let first = stderr.lines().next().unwrap_or_default();
        Err(if told.is_empty() { format!("{}: {first}", output.status) } else { told })
    };
    Verdict { streams, cdo }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

fn module(array: &Array, sequences: &[Sequence]) -> String {
    let text = sequences.iter().map(|s| sequence(array, s).expect("it renders"));
    let text: String = text.collect();
    configuration(array).expect("it renders").replacen(SEQUENCES_MARKER, &text, 1)
}

/// Runs a check for every item on two threads and returns what they say, in order.
fn in_parallel<T: Sync, R: Send>(items: &[T], check: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(i) else { break };
                    let result = check(item);
                    results.lock().expect("no panic").push((i, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no panic");
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[test]
#[ignore = "needs MLIR-AIE: set TILEWRIGHT_AIECC"]
fn every_preset_compiles_for_both_devices_and_precisions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let mut presets = files(&folder, "toml");
    presets.sort();
    assert!(presets.len() >= 6, "{presets:?}");
    let mut designs = Vec::new();
    for preset in &presets {
        let file = ModelFile::read(preset).expect("a preset is good");
        let plan = Plan::new(&file).expect("a preset can be planned");
        let rendered = Rendered::new(&file, &plan).expect("it renders");
        for (design, text) in plan.designs.into_iter().zip(&rendered.designs) {
            designs.push((design, text.module()));
        }
    }
    let verdicts = in_parallel(&designs, |(_, module)| compile(module));
    for ((design, _), verdict) in designs.iter().zip(verdicts) {
        let streams = verdict.streams.expect("aiecc accepts every preset");
        assert_eq!(streams.len(), design.sequences.len(), "{}", design.name());
        assert!(streams.iter().all(|&size| size > 0 && size % 4 == 0), "{}", design.name());
        let total: u64 = streams.iter().sum();
        println!(
            "{:32} tile {:10} {:3} streams {total:8} bytes",
            design.name(),
            design.layout.tile.to_string(),
            streams.len()
        );
    }
}

#[test]
#[ignore = "needs MLIR-AIE: set TILEWRIGHT_AIECC"]
fn random_models_are_judged_alike() {
    let count = std::env::var("SWEEP_MODELS").map_or(300, |n| n.parse().expect("a number"));
    let mut runner = TestRunner::deterministic();
    let strategy = model_file();
    let texts: Vec<String> = (0..count)
        .map(|_| strategy.new_tree(&mut runner).expect("a model file").current())
        .collect();
    let outcomes = in_parallel(&texts, |text| judge(text));
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rules: BTreeMap<Rule, [usize; 2]> = BTreeMap::new();
    let mut disagreements = Vec::new();
    for (text, outcome) in texts.iter().zip(outcomes) {
        let (kind, broken, told) = outcome;
        *tally.entry(kind).or_default() += 1;
        for rule in broken {
            rules.entry(rule).or_default()[usize::from(kind.ends_with("accepted"))] += 1;
        }
        if kind.starts_with("DISAGREE") {
            disagreements.push(format!("{kind}: {told}\n{text}"));
        }
    }
    println!("{count} random model files: {tally:#?}");
    println!("rules broken [refused, accepted by aiecc]: {rules:?}");
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n\n"));
}

fn judge(text: &str) -> (&'static str, Vec<Rule>, String) {
    let file = ModelFile::parse("model.toml", text).expect("it makes sense by itself");
    let (plan, refusals) = Plan::unchecked(&file);
    let rules: Vec<Rule> = refusals.iter().filter_map(|refusal| refusal.rule).collect();
    let Some(design) = plan.designs.first() else {
        return ("no tile to pick", rules, String::new());
    };
    let rendered = Rendered::new(&file, &plan).expect("it renders");
    match (refusals.is_empty(), compile(&rendered.designs[0].module()).streams) {
        (true, Ok(streams)) if streams.len() == design.sequences.len() => {
            ("both accepted", rules, String::new())
        }
        (true, Ok(streams)) => ("DISAGREE: too few streams", rules, format!("{streams:?}")),
        (true, Err(told)) => ("DISAGREE: the plan accepts, aiecc refuses", rules, told),
        (false, Err(told)) => ("both refused", rules, told),
        (false, Ok(_)) if rules.iter().all(|rule| rule.tools_accept()) => (
            "the plan refuses by a rule that the tools let pass, aiecc accepted",
            rules,
            String::new(),
        ),
        (false, Ok(_)) => {
            let told = format!("{rules:?}");
            ("DISAGREE: the plan refuses, aiecc accepted", rules, told)
        }
    }
}

#[test]
#[ignore = "needs MLIR-AIE: set TILEWRIGHT_AIECC"]
fn what_the_tools_let_pass_is_known() {
    let cases = broken();
    let verdicts = in_parallel(&cases, |case| {
        compile(&module(&case.array, std::slice::from_ref(&case.sequence)))
    });
    let mut wrong = Vec::new();
    let mut passed = BTreeSet::new();
    for (case, verdict) in cases.iter().zip(verdicts) {
        let told = match &verdict.streams {
            Ok(_) => "accepted".to_owned(),
            Err(told) => format!("refused: {told}"),
        };
        println!("{:?} ({}): {told}", case.rule, case.name);
        if verdict.streams.is_ok() {
            passed.insert(case.rule);
        }
        if verdict.streams.is_ok() && !case.rule.tools_accept() {
            wrong.push(format!("{:?} ({}): {told}", case.rule, case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Those two are about what the core kernel expects, of which the tools know nothing.
    passed.extend([Rule::MicroTile, Rule::ParameterTile]);
    let claimed = Rule::ALL.into_iter().filter(|rule| rule.tools_accept());
    assert_eq!(passed.into_iter().collect::<Vec<_>>(), claimed.collect::<Vec<_>>());
}

#[test]
#[ignore = "needs MLIR-AIE: set TILEWRIGHT_AIECC"]
fn the_configuration_does_not_depend_on_shapes() {
    for device in Device::ALL {
        for precision in Precision::ALL {
            let layout = Layout::new(device, precision, Tile { m: 64, k: 64, n: 32 });
            let array = layout.array();
            let with = |m, n| {
                let shape = Shape { m, k: 512, n };
                compile(&module(&array, &[Sequence::new(&layout, shape, Epilogue::Bias)]))
            };
            let (one, other) = (with(1500, 512), with(384, 2048));
            assert!(one.streams.is_ok() && other.streams.is_ok() && one.streams != other.streams);
            assert!(!one.cdo.is_empty() && one.cdo.iter().any(|file| file.len() > 10_000));
            assert_eq!(one.cdo, other.cdo, "{device} {precision}");
        }
    }
    let (array, sequence) = good();
    assert!(compile(&module(&array, &[sequence])).streams.is_ok());
}
