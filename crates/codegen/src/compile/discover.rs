//! Finds the tools: MLIR-AIE's `aiecc`, Peano's `clang++`, XRT's `xclbinutil`.
//!
//! | tool | looked for in this order |
//! |---|---|
//! | `aiecc` or `aiecc.py` | the file `TILEWRIGHT_AIECC`, `MLIR_AIE_INSTALL_DIR`/bin, `PATH` |
//! | AIE API headers | `include` of the installation that `aiecc` belongs to, then of `MLIR_AIE_INSTALL_DIR` |
//! | Peano's `clang++` | bin of the directory `TILEWRIGHT_PEANO`, of `PEANO_INSTALL_DIR`, of `peano` in or beside MLIR-AIE's installation, of the Python package `llvm-aie` beside it or in `VIRTUAL_ENV` |
//! | `xclbinutil` | `PATH`, beside `aiecc`, `XILINX_XRT`/bin |
//!
//! The first variable that is set decides: if it points to nothing, that is an error and not a
//! reason to look further. An empty variable counts as unset.

use std::env::consts::EXE_SUFFIX;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::CompileError;

const AIECC: &str = "TILEWRIGHT_AIECC";
const MLIR_AIE: &str = "MLIR_AIE_INSTALL_DIR";
const PEANO: &str = "TILEWRIGHT_PEANO";
const PEANO_INSTALL: &str = "PEANO_INSTALL_DIR";
const XRT: &str = "XILINX_XRT";
const VENV: &str = "VIRTUAL_ENV";
const PATH: &str = "PATH";

/// The environment variables that [`discover`] reads.
pub const VARIABLES: [&str; 7] = [AIECC, MLIR_AIE, PEANO, PEANO_INSTALL, XRT, VENV, PATH];

/// Reads environment variables: [`std::env::var_os`], or a table in a test.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What [`discover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// All that is needed to compile for the NPU.
    Found(Toolchain),
    /// Not all of it.
    Missing(Missing),
}

/// Where the tools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// MLIR-AIE's compiler driver.
    pub aiecc: PathBuf,
    /// Peano's installation, with `clang++`, `opt` and `llc` in `bin`.
    pub peano: PathBuf,
    /// XRT's tool that packs an xclbin; `aiecc` calls it.
    pub xclbinutil: PathBuf,
    /// The directory that contains the headers `aie_api/*.hpp`.
    pub include: PathBuf,
    /// Directories to add to PATH, for the tools to find each other.
    pub(super) search: Vec<PathBuf>,
}

impl Toolchain {
    /// Peano's C++ compiler.
    pub fn clang(&self) -> PathBuf {
        clang_of(&self.peano)
    }
}

/// A toolchain that is not there, or not all of it. Prints as one line that says what to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The tools that were not found.
    pub tools: Vec<Tool>,
}

/// A part of the toolchain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// MLIR-AIE's compiler driver.
    Aiecc,
    /// The C++ headers that come with MLIR-AIE.
    AieApi,
    /// Peano's C++ compiler.
    Clang,
    /// XRT's tool that packs an xclbin.
    Xclbinutil,
}

/// Looks for the toolchain; runs nothing.
///
/// # Errors
/// When a variable that decides is set and points to nothing.
pub fn discover(environment: Environment<'_>) -> Result<Discovery, CompileError> {
    let found = Search { environment }.run()?;
    Ok(match found {
        Ok(toolchain) => Discovery::Found(toolchain),
        Err(tools) => Discovery::Missing(Missing { tools }),
    })
}

struct Search<'a> {
    environment: Environment<'a>,
}

impl Search<'_> {
    fn run(&self) -> Result<Result<Toolchain, Vec<Tool>>, CompileError> {
        let aiecc = self.aiecc()?;
        let roots = self.installations(aiecc.as_deref());
        let include = roots.iter().map(|root| root.join("include"));
        let include = include.into_iter().find(|dir| dir.join("aie_api/aie.hpp").is_file());
        let peano = self.peano(&roots)?;
        let xclbinutil = self.xclbinutil(aiecc.as_deref());
        let mut missing = Vec::new();
        // Without aiecc, its headers are no news.
        missing.extend(aiecc.is_none().then_some(Tool::Aiecc));
        missing.extend((aiecc.is_some() && include.is_none()).then_some(Tool::AieApi));
        missing.extend(peano.is_none().then_some(Tool::Clang));
        missing.extend(xclbinutil.is_none().then_some(Tool::Xclbinutil));
        Ok(match (aiecc, include, peano, xclbinutil) {
            (Some(aiecc), Some(include), Some(peano), Some(xclbinutil)) => {
                let search = self.beyond_path(&aiecc, &xclbinutil);
                Ok(Toolchain { aiecc, peano, xclbinutil, include, search })
            }
            _ => Err(missing),
        })
    }

    fn aiecc(&self) -> Result<Option<PathBuf>, CompileError> {
        if let Some(value) = self.variable(AIECC) {
            let file = absolute(Path::new(&value));
            let problem = "there is no such file; it must name aiecc";
            return is_program(&file).then_some(Some(file)).ok_or(variable(AIECC, &value, problem));
        }
        if let Some(value) = self.variable(MLIR_AIE) {
            let found = aiecc_in(&absolute(Path::new(&value)).join("bin"));
            let problem = "there is no bin/aiecc in it; it must name an installation of MLIR-AIE";
            return found.map(Some).ok_or(variable(MLIR_AIE, &value, problem));
        }
        Ok(self.search_path().iter().find_map(|dir| aiecc_in(dir)))
    }

    fn peano(&self, roots: &[PathBuf]) -> Result<Option<PathBuf>, CompileError> {
        for name in [PEANO, PEANO_INSTALL] {
            if let Some(value) = self.variable(name) {
                let dir = absolute(Path::new(&value));
                let problem = "there is no bin/clang++ in it; it must name an installation of \
                               Peano (llvm-aie)";
                return is_peano(&dir).then_some(Some(dir)).ok_or(variable(name, &value, problem));
            }
        }
        let beside = roots.iter().flat_map(|root| {
            let parent = root.parent().unwrap_or(root);
            [root.join("peano"), parent.join("peano"), parent.join("llvm-aie")]
        });
        let in_venv = self.variable(VENV).map(PathBuf::from);
        let in_venv = in_venv.iter().flat_map(|venv| packages(venv, "llvm-aie"));
        Ok(beside.chain(in_venv).find(|dir| is_peano(dir)))
    }

    fn xclbinutil(&self, aiecc: Option<&Path>) -> Option<PathBuf> {
        let name = format!("xclbinutil{EXE_SUFFIX}");
        let beside = aiecc.and_then(|aiecc| resolved(aiecc).parent().map(Path::to_owned));
        let xrt = self.variable(XRT).map(|xrt| absolute(Path::new(&xrt)).join("bin"));
        let dirs = self.search_path().into_iter().chain(beside).chain(xrt);
        dirs.map(|dir| dir.join(&name)).find(|file| is_program(file))
    }

    /// Where MLIR-AIE may be installed, most likely place first: above the `bin` of `aiecc`, in the
    /// Python environment whose `bin` starts it, and where its variable says.
    fn installations(&self, aiecc: Option<&Path>) -> Vec<PathBuf> {
        let mut roots = Vec::new();
        for file in aiecc.into_iter().flat_map(|aiecc| [resolved(aiecc), aiecc.to_owned()]) {
            if let Some(prefix) = file.parent().and_then(Path::parent) {
                roots.push(prefix.to_owned());
                roots.extend(packages(prefix, "mlir_aie"));
            }
        }
        roots.extend(self.variable(MLIR_AIE).map(|dir| absolute(Path::new(&dir))));
        roots
    }

    /// `aiecc` looks for `xclbinutil` on PATH, and `aiecc.py` for `aiecc`.
    fn beyond_path(&self, aiecc: &Path, xclbinutil: &Path) -> Vec<PathBuf> {
        let known = self.search_path();
        let mut more: Vec<PathBuf> = Vec::new();
        for dir in [xclbinutil, aiecc].into_iter().filter_map(Path::parent) {
            if !known.iter().chain(&more).any(|known| known == dir) {
                more.push(dir.to_owned());
            }
        }
        more
    }

    fn search_path(&self) -> Vec<PathBuf> {
        let path = self.variable(PATH).unwrap_or_default();
        let dirs = std::env::split_paths(&path).filter(|dir| !dir.as_os_str().is_empty());
        dirs.map(|dir| absolute(&dir)).collect()
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

/// Folders of a Python package in the environment at `prefix`.
fn packages(prefix: &Path, name: &str) -> Vec<PathBuf> {
    let versions = std::fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let mut dirs: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    dirs.retain(|dir| dir.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python3")));
    dirs.sort();
    dirs.push(prefix.join("Lib"));
    dirs.into_iter()
        .map(|dir| dir.join("site-packages").join(name))
        .filter(|d| d.is_dir())
        .collect()
}

fn aiecc_in(dir: &Path) -> Option<PathBuf> {
    let names = [format!("aiecc{EXE_SUFFIX}"), "aiecc.py".to_owned()];
    names.into_iter().map(|name| dir.join(name)).find(|file| is_program(file))
}

fn clang_of(peano: &Path) -> PathBuf {
    peano.join("bin").join(format!("clang++{EXE_SUFFIX}"))
}

fn is_peano(dir: &Path) -> bool {
    is_program(&clang_of(dir))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Without symbolic links: an installation is where the file is, not where a link to it is.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn variable(name: &'static str, value: &OsStr, problem: &str) -> CompileError {
    let value = value.to_string_lossy().into_owned();
    CompileError::Variable { name, value, problem: problem.to_owned() }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<String> = self.tools.iter().map(ToString::to_string).collect();
        let remedies: Vec<&str> = self.tools.iter().map(|tool| tool.remedy()).collect();
        write!(
            f,
            "no NPU toolchain: no kernels for the NPU were compiled, all else works without; {} not \
             found; install {}; https://github.com/Xilinx/mlir-aie says how",
            tools.join(", "),
            remedies.join(", "),
        )
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aiecc => "aiecc (MLIR-AIE)",
            Self::AieApi => "include/aie_api/aie.hpp (MLIR-AIE)",
            Self::Clang => "clang++ (Peano)",
            Self::Xclbinutil => "xclbinutil (XRT)",
        })
    }
}

impl Tool {
    /// What to install, or how to point to it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Aiecc => "the Python wheel mlir_aie or set MLIR_AIE_INSTALL_DIR",
            Self::AieApi => "the headers with MLIR-AIE or set MLIR_AIE_INSTALL_DIR",
            Self::Clang => "the Python wheel llvm-aie or set PEANO_INSTALL_DIR",
            Self::Xclbinutil => "XRT or set XILINX_XRT",
        }
    }
}
