//! The machine's C++ compiler.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::LibraryError;

/// An environment variable by its name.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What is tried where `CXX` names none.
const USUAL: [&str; 3] = ["c++", "g++", "clang++"];

/// Flags of every compilation. Contraction would round differently from machine to machine.
const FLAGS: [&str; 3] = ["-std=c++17", "-O3", "-ffp-contract=off"];

/// Makes the most of this machine, where the compiler knows it.
const NATIVE: &str = "-march=native";

/// Position-independent code, and undefined symbols found when linking, not when calling.
#[cfg(all(unix, not(target_os = "macos")))]
const SHARED: [&str; 3] = ["-shared", "-fPIC", "-Wl,-z,defs"];
#[cfg(target_os = "macos")]
const SHARED: [&str; 2] = ["-shared", "-fPIC"];
#[cfg(not(unix))]
const SHARED: [&str; 1] = ["-shared"];

/// A compiler that works.
#[derive(Debug, Clone)]
pub(super) struct Compiler {
    program: OsString,
    arguments: Vec<String>,
    flags: Vec<&'static str>,
    /// What it says of itself and of the machine.
    identity: Vec<u8>,
}

impl Compiler {
    /// The one that `CXX` names, which may have arguments, or else the first of the usual ones that
    /// runs.
    pub(super) fn find(environment: Environment<'_>) -> Result<Self, LibraryError> {
        let named = environment("CXX").filter(|value| !value.is_empty());
        let named = named.map(|value| value.to_string_lossy().into_owned());
        let candidates = match &named {
            Some(command) => vec![command.as_str()],
            None => USUAL.to_vec(),
        };
        candidates.iter().find_map(|command| Self::probe(command)).ok_or_else(|| {
            let tried = match &named {
                Some(command) => format!("CXX={command}"),
                None => USUAL.join(", "),
            };
            LibraryError::NoCompiler { tried }
        })
    }

    /// Asks a command for the macros that it predefines: they tell its version, its target, and the
    /// instructions that it uses here.
    fn probe(command: &str) -> Option<Self> {
        let mut words = command.split_whitespace().map(str::to_owned);
        let program = OsString::from(words.next()?);
        let arguments: Vec<String> = words.collect();
        let with = |native: &[&'static str]| {
            let flags = [&FLAGS[..], native].concat();
            let mut compiler = Self {
                program: program.clone(),
                arguments: arguments.clone(),
                flags,
                identity: Vec::new(),
            };
            let output = compiler.output(&["-dM", "-E", "-x", "c++", "-"], &[]).ok()?;
            compiler.identity = output.status.success().then_some(output.stdout)?;
            Some(compiler)
        };
        with(&[NATIVE]).or_else(|| with(&[]))
    }

    /// Everything about the compiler that what it makes depends on.
    pub(super) fn identity(&self) -> impl Iterator<Item = &[u8]> {
        let words = self.arguments.iter().map(String::as_bytes);
        let flags = self.flags.iter().chain(&SHARED).map(|flag| flag.as_bytes());
        [self.program.as_encoded_bytes(), &self.identity].into_iter().chain(words).chain(flags)
    }

    /// A source with all that it includes.
    pub(super) fn preprocess(
        &self,
        source: &Path,
        include: &[PathBuf],
    ) -> Result<Vec<u8>, LibraryError> {
        let mut arguments = includes(include);
        arguments.extend(["-E".into(), "-P".into(), source.into()]);
        self.run(&arguments).map(|output| output.stdout)
    }

    /// Makes a shared library.
    pub(super) fn compile(
        &self,
        sources: &[PathBuf],
        include: &[PathBuf],
        library: &Path,
    ) -> Result<(), LibraryError> {
        let mut arguments = includes(include);
        arguments.extend(SHARED.map(OsString::from));
        arguments.extend(["-o".into(), library.into()]);
        arguments.extend(sources.iter().map(OsString::from));
        self.run(&arguments).map(|_| ())
    }

    fn run(&self, arguments: &[OsString]) -> Result<Output, LibraryError> {
        let output = self.output(&[], arguments).map_err(|source| LibraryError::Run {
            command: self.program.to_string_lossy().into_owned(),
            source,
        })?;
        if output.status.success() {
            return Ok(output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stderr = match stderr.trim() {
            "" => format!("it said nothing and ended with {}", output.status),
            text => text.to_owned(),
        };
        Err(LibraryError::Compiler { command: self.line(arguments), stderr })
    }

    fn output(&self, before: &[&str], arguments: &[OsString]) -> io::Result<Output> {
        Command::new(&self.program)
            .args(&self.arguments)
            .args(&self.flags)
            .args(before)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
    }

    fn line(&self, arguments: &[OsString]) -> String {
        let program = self.program.to_string_lossy();
        let words = self.arguments.iter().map(String::as_str).chain(self.flags.iter().copied());
        let words = std::iter::once(program.as_ref()).chain(words).map(str::to_owned);
        let rest = arguments.iter().map(|argument| argument.to_string_lossy().into_owned());
        words.chain(rest).collect::<Vec<_>>().join(" ")
    }
}

fn includes(folders: &[PathBuf]) -> Vec<OsString> {
    let flag = |folder: &PathBuf| {
        let mut flag = OsString::from("-I");
        flag.push(folder);
        flag
    };
    folders.iter().map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_says_what_was_tried_and_what_to_do() {
        let error = Compiler::find(&|_| Some("no-such-compiler -O2".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "core kernels are compiled for the host, and there is no C++ compiler: tried \
             CXX=no-such-compiler -O2; install one (Debian, Ubuntu: apt install g++), or name it \
             in the environment variable CXX"
        );
    }

    #[test]
    fn a_command_that_is_no_compiler_is_passed_over() {
        assert!(Compiler::probe("false").is_none());
    }

    #[test]
    fn identity_depends_on_the_flags() {
        let Ok(compiler) = Compiler::find(&|_| None) else { return };
        let named = Compiler::probe("c++ -mno-avx");
        if let Some(named) = named {
            let all = |compiler: &Compiler| compiler.identity().collect::<Vec<_>>().concat();
            assert_ne!(all(&compiler), all(&named));
        }
    }
}
