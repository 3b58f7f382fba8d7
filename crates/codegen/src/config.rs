//! The facade: everything from a model file to a dispatch table in one call.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::files;
use crate::model::ModelFile;
use crate::plan::Plan;
use crate::render::{Rendered, TABLE, artifacts};

/// File name of what the toolchain made, which the table includes.
const ARTIFACTS: &str = "artifacts.rs";

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
}

impl Config {
    /// Plans, renders, compiles where there is a toolchain, and writes the dispatch table.
    ///
    /// In a build script it also tells cargo what to watch. All text is rendered before anything is
    /// written, so that a mistake leaves the output of the last good build alone.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn compile(&self) -> Result<Compiled, Error> {
        let out_dir =
            self.out_dir.clone().or_else(|| std::env::var_os("OUT_DIR").map(PathBuf::from));
        let out_dir = out_dir.ok_or(Error::NoOutDir)?;
        self.directive(&format!("rerun-if-changed={}", self.model.display()));
        let file = ModelFile::read(&self.model)?;
        let plan = Plan::new(&file)?;
        let rendered = Rendered::new(&file, &plan)?;
        let artifacts = artifacts::artifacts(&plan, &[])?;
        let text = rendered.files();
        for (path, text) in &text {
            files::write_if_changed(&out_dir.join(path), text.as_bytes())?;
        }
        files::write_if_changed(&out_dir.join(ARTIFACTS), artifacts.as_bytes())?;
        if let Some(folder) = &self.mirror {
            self.mirror_to(folder, &text);
        }
        Ok(Compiled { table: out_dir.join(TABLE), plan })
    }

    /// A mirror is for people; that it cannot be written never fails a build.
    fn mirror_to(&self, folder: &Path, text: &[(String, String)]) {
        match files::mirror(folder, text) {
            Err(error) if !files::is_read_only(&error) => {
                self.directive(&format!("warning={error}"));
            }
            _ => {}
        }
    }

    /// Says something to cargo, if this is a build script.
    fn directive(&self, text: &str) {
        if std::env::var_os("OUT_DIR").is_some() {
            println!("cargo::{text}");
        }
    }
}

/// What [`Config::compile`] made.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Path of the dispatch table.
    pub table: PathBuf,
    /// The plan behind it.
    pub plan: Plan,
}
