//! The facade: everything from a model file to a dispatch table in one call.

use std::path::{Path, PathBuf};

use crate::compile::{
    self, CompileError, Discovery, Environment, Job, Options, TIMEOUT_VARIABLE, discover,
};
use crate::error::Error;
use crate::files;
use crate::model::ModelFile;
use crate::plan::Plan;
use crate::render::artifacts::{CompiledDesign, CompiledFile, artifacts};
use crate::render::{Rendered, TABLE};

/// File name of what the toolchain made, which the table includes.
const ARTIFACTS: &str = "artifacts.rs";
/// The variable that makes a missing toolchain an error.
const REQUIRE_NPU: &str = "TILEWRIGHT_REQUIRE_NPU";

/// Configuration of [`Config::compile`].
#[derive(Debug, Clone)]
pub struct Config {
    model: PathBuf,
    out_dir: Option<PathBuf>,
    mirror: Option<PathBuf>,
}

impl Config {
    /// Kernels for a model file; a relative path starts from the current folder, which for a build
    /// script is its package.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self { model: model.into(), out_dir: None, mirror: None }
    }

    /// Folder for everything that is generated. Default: `OUT_DIR`, which cargo sets for a build
    /// script.
    pub fn out_dir(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.out_dir = Some(folder.into());
        self
    }

    /// Folder that gets a copy of all generated text, to be committed: a change of the model file is
    /// then a diff that can be reviewed. A folder that cannot be written to is left alone. Default:
    /// none.
    pub fn mirror(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.mirror = Some(folder.into());
        self
    }

    /// Plans, renders, compiles where there is a toolchain, and writes the dispatch table
    /// `kernels.rs`, to be included by the program.
    ///
    /// In a build script it also tells cargo what to watch, and warns when there is no toolchain;
    /// with `TILEWRIGHT_REQUIRE_NPU=1` in the environment that is an error. The other variables that
    /// count are described in [`compile`](crate::compile).
    ///
    /// Nothing is written before everything is rendered and compiled, so that a mistake leaves the
    /// output of the last good build alone.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn compile(&self) -> Result<Generated, Error> {
        self.compile_in(&|name| std::env::var_os(name))
    }

    /// The same with other environment variables than those of the process.
    ///
    /// # Errors
    /// As [`Config::compile`].
    pub fn compile_in(&self, environment: Environment<'_>) -> Result<Generated, Error> {
        let out_dir = self.out_dir.clone().or_else(|| environment("OUT_DIR").map(PathBuf::from));
        let out_dir = out_dir.ok_or(Error::NoOutDir)?;
        let cargo = Cargo { listens: environment("OUT_DIR").is_some() };
        cargo.watch(&self.model);
        let file = ModelFile::read(&self.model)?;
        let plan = Plan::new(&file)?;
        let rendered = Rendered::new(&file, &plan)?;
        let compiled = compiled(&rendered, &plan, &out_dir, environment, cargo)?;
        let artifacts = artifacts(&plan, &compiled)?;
        let text = rendered.files();
        for (path, text) in &text {
            files::write_if_changed(&out_dir.join(path), text.as_bytes())?;
        }
        files::write_if_changed(&out_dir.join(ARTIFACTS), artifacts.as_bytes())?;
        if let Some(folder) = &self.mirror {
            mirror(folder, &text, cargo);
        }
        Ok(Generated { table: out_dir.join(TABLE), plan, compiled: !compiled.is_empty() })
    }
}

/// What [`Config::compile`] made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Path of the dispatch table.
    pub table: PathBuf,
    /// The plan behind it.
    pub plan: Plan,
    /// Whether the table has xclbins and streams: whether there was a toolchain.
    pub compiled: bool,
}

/// Cargo, which listens to what a build script prints.
#[derive(Debug, Clone, Copy)]
struct Cargo {
    listens: bool,
}

impl Cargo {
    fn say(self, text: &str) {
        if self.listens {
            println!("cargo::{text}");
        }
    }

    fn warn(self, text: &str) {
        self.say(&format!("warning={}", text.replace('\n', " ")));
    }

    fn watch(self, model: &Path) {
        self.say(&format!("rerun-if-changed={}", model.display()));
        // A change of PATH alone is no reason to build again: it differs from shell to shell.
        let variables = compile::VARIABLES.into_iter().filter(|name| *name != "PATH");
        for name in variables.chain([TIMEOUT_VARIABLE, REQUIRE_NPU]) {
            self.say(&format!("rerun-if-env-changed={name}"));
        }
    }
}

/// Compiles every design; nothing if there is no toolchain and none is required.
fn compiled(
    rendered: &Rendered,
    plan: &Plan,
    out_dir: &Path,
    environment: Environment<'_>,
    cargo: Cargo,
) -> Result<Vec<CompiledDesign>, Error> {
    let toolchain = match discover(environment)? {
        Discovery::Found(toolchain) => toolchain,
        Discovery::Missing(missing) if is_set(environment, REQUIRE_NPU) => {
            return Err(Error::NoToolchain(missing));
        }
        Discovery::Missing(missing) => {
            cargo.warn(&missing.to_string());
            return Ok(Vec::new());
        }
    };
    // The tool itself, so that another version of it is seen.
    cargo.say(&format!("rerun-if-changed={}", toolchain.aiecc.display()));
    let designs = plan.designs.iter().zip(&rendered.designs);
    let names: Vec<String> = designs
        .clone()
        .map(|(design, _)| format!("{} of {}", design.target(), design.model))
        .collect();
    let jobs = designs.zip(&names).map(|((design, text), name)| Job {
        name,
        device: design.layout.device,
        configuration: &text.configuration,
        sequences: &text.sequences,
        kernel_source: &text.kernel,
    });
    let jobs: Vec<Job<'_>> = jobs.collect();
    let options = Options::new(out_dir, environment)?;
    let compiled = compile::compile(&toolchain, &jobs, &options)?;
    let out_dir = std::path::absolute(out_dir)
        .map_err(|source| Error::file("find the folder", out_dir, source))?;
    Ok(compiled.iter().map(|compiled| listed(compiled, &out_dir)).collect())
}

/// Like CI systems and cargo do: anything but nothing and `0`.
fn is_set(environment: Environment<'_>, name: &str) -> bool {
    environment(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Compiled files by their paths from the table.
fn listed(compiled: &compile::Compiled, out_dir: &Path) -> CompiledDesign {
    let file = |artifact: &compile::Artifact| CompiledFile {
        file: files::portable(&artifact.path, out_dir),
        hash: artifact.hash.clone(),
    };
    let streams = compiled.streams.iter().map(|(name, stream)| (name.clone(), file(stream)));
    CompiledDesign { xclbin: file(&compiled.xclbin), streams: streams.collect() }
}

/// A mirror is for people; that it cannot be written never fails a build.
fn mirror(folder: &Path, text: &[(String, String)], cargo: Cargo) {
    if let Err(error) = files::mirror(folder, text)
        && !files::is_read_only(&error)
    {
        cargo.warn(&error.to_string());
    }
}

impl From<CompileError> for Error {
    fn from(error: CompileError) -> Self {
        Self::Compile(Box::new(error))
    }
}
