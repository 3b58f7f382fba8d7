//! A machine with a toolchain that behaves as a test wants it to: see the script `stand-in`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tilewright_codegen::compile::{CompileError, Discovery, Toolchain, discover};

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

    /// `text` without what differs from run to run.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(self.path("").to_str().unwrap().trim_end_matches('/'), "~")
    }
}
