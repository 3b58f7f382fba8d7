//! A machine with a toolchain that behaves as a test wants it to: see the script `stand-in`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tilewright_codegen::compile::{
    CompileError, Compiled, Discovery, Job, Options, Toolchain, compile, discover,
};
use tilewright_codegen::device::Device;
use tilewright_codegen::render::design::SEQUENCES_MARKER;
use tilewright_codegen::{Config, Error, Generated};

/// A folder with everything installed, and an environment that points to nothing yet.
pub(crate) struct Machine {
    home: TempDir,
    variables: HashMap<String, OsString>,
}

impl Machine {
    /// Every tool is installed and found.
    pub(crate) fn new() -> Self {
        let mut machine = Self::bare();
        machine.install_mlir_aie("mlir_aie");
        machine.install("llvm-aie/bin/clang++");
        machine.install("xrt/bin/xclbinutil");
        machine.set("MLIR_AIE_INSTALL_DIR", "mlir_aie");
        machine.set("XILINX_XRT", "xrt");
        machine
    }

    /// Nothing is installed; PATH is that of the process that runs the test.
    pub(crate) fn bare() -> Self {
        let home = tempfile::tempdir().unwrap();
        let variables = HashMap::from([("PATH".to_owned(), std::env::var_os("PATH").unwrap())]);
        Self { home, variables }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        // Without links, as the driver sees it.
        self.home.path().canonicalize().unwrap().join(relative)
    }

    /// A link to the stand-in: a copy could still be open for writing in another test's child.
    pub(crate) fn install(&self, relative: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile/stand-in"), &path)
            .unwrap();
        path
    }

    pub(crate) fn install_mlir_aie(&self, relative: &str) {
        self.install(&format!("{relative}/bin/aiecc"));
        self.write(&format!("{relative}/include/aie_api/aie.hpp"), "");
    }

    pub(crate) fn write(&self, relative: &str, contents: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }

    /// Sets a variable to a path of this machine.
    pub(crate) fn set(&mut self, name: &str, relative: &str) {
        self.variables.insert(name.to_owned(), self.path(relative).into());
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    pub(crate) fn set_value(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// Sets PATH to these directories of this machine, in front of the usual ones.
    pub(crate) fn set_path(&mut self, relative: &[&str]) {
        let usual = std::env::var_os("PATH").unwrap();
        let dirs = relative.iter().map(|dir| self.path(dir));
        let path = std::env::join_paths(dirs.chain(std::env::split_paths(&usual)));
        self.variables.insert("PATH".to_owned(), path.unwrap());
    }

    pub(crate) fn discover(&self) -> Result<Discovery, CompileError> {
        discover(&|name| self.variables.get(name).cloned())
    }

    pub(crate) fn toolchain(&self) -> Toolchain {
        match self.discover().unwrap() {
            Discovery::Found(toolchain) => toolchain,
            Discovery::Missing(missing) => panic!("{missing}"),
        }
    }

    /// The whole way from a model file on this machine, in the output folder `out`.
    pub(crate) fn generate(&self, model: &str) -> Result<Generated, Error> {
        let model = self.write("model.toml", model);
        Config::new(model)
            .out_dir(self.path("out"))
            .compile_in(&|name| self.variables.get(name).cloned())
    }

    pub(crate) fn options(&self) -> Options {
        // Only a broken test takes so long, on any machine.
        Options { out_dir: self.path("out"), timeout: Duration::from_secs(3600), threads: 4 }
    }

    pub(crate) fn compile(&self, jobs: &[Job<'_>]) -> Result<Vec<Compiled>, CompileError> {
        compile(&self.toolchain(), jobs, &self.options())
    }

    /// How a step (`kernel`, `xclbin`, `streams` or `version`) of the tool in `bin` behaves.
    pub(crate) fn mode(&self, bin: &str, step: &str, mode: &str) {
        self.write(&format!("{bin}/{step}.mode"), mode);
    }

    /// What the tools did since the last time, sorted; `--version` left out.
    pub(crate) fn steps(&self) -> Vec<String> {
        let mut steps = self.calls();
        steps.retain(|step| !step.ends_with("--version"));
        steps
    }

    /// What the tools did since the last time, sorted.
    pub(crate) fn calls(&self) -> Vec<String> {
        let mut calls = Vec::new();
        for bin in BINS {
            let log = self.path(bin).join("log");
            calls.extend(fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned));
            let _ = fs::remove_file(log);
        }
        calls.sort();
        calls
    }

    /// Every file in the output folder, sorted, without the names of cache entries.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        walk(&self.path("out"), "", &mut files);
        files.sort();
        files
    }

    /// `text` without what differs from run to run.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(self.path("").to_str().unwrap().trim_end_matches('/'), "~")
    }
}

const BINS: [&str; 3] = ["mlir_aie/bin", "llvm-aie/bin", "xrt/bin"];
pub(crate) const MLIR_AIE: &str = BINS[0];
pub(crate) const PEANO: &str = BINS[1];
pub(crate) const XRT: &str = BINS[2];

fn walk(dir: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_key = name.len() == 64 && prefix == "cache/";
        let path = format!("{prefix}{}", if is_key { "KEY" } else { &name });
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), files);
        } else {
            files.push(path);
        }
    }
}

/// A configuration and its sequences.
#[derive(Clone)]
pub(crate) struct Design {
    pub(crate) configuration: String,
    pub(crate) sequences: Vec<(String, String)>,
}

/// A design as the stand-in reads it.
pub(crate) fn design(configuration: &str, sequences: &[&str]) -> Design {
    let text = |name| format!("    aie.runtime_sequence @{name}() {{ }}\n");
    Design {
        configuration: format!(
            "module {{\n  aie.device(npu1) @gemm {{\n    // {configuration}\n{SEQUENCES_MARKER}  }}\n}}\n"
        ),
        sequences: sequences.iter().map(|&name| (name.to_owned(), text(name))).collect(),
    }
}

pub(crate) fn job<'a>(name: &'a str, design: &'a Design, kernel_source: &'a str) -> Job<'a> {
    let Design { configuration, sequences } = design;
    Job { name, device: Device::Npu1, configuration, sequences, kernel_source }
}
