//! What can go wrong while tools run.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use super::process::{Command, Finished};

/// Why kernels were not compiled.
///
/// `Debug` prints the same as `Display`.
#[derive(thiserror::Error)]
pub enum CompileError {
    /// An environment variable is set to something that does not work.
    #[error("{name} is set to `{value}`: {problem}")]
    Variable {
        /// Name of the variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it and what would work.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "create a folder in".
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A tool was found but could not be run.
    #[error("cannot run {}: {source}", program.display())]
    Run {
        /// The tool.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A tool failed, took too long, or did not write what it should.
    #[error(transparent)]
    Tool(Box<ToolError>),
    /// Several steps failed; those that did not are in the cache.
    #[error("{} steps of the compilation failed\n\n{}", .0.len(), list(.0))]
    Several(Vec<CompileError>),
}

impl CompileError {
    pub(super) fn file(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    /// One error for all of `errors`, each told once; none when there are none.
    pub(super) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        let mut told = HashSet::new();
        errors.retain(|error| told.insert(error.to_string()));
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

impl fmt::Debug for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn list(errors: &[CompileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// A tool that did not do its work: what it was to do, how to see it again, and all it said.
#[derive(Debug)]
pub struct ToolError {
    /// What it was to do, for which target: "make the xclbin of npu1-i8".
    task: String,
    fault: Fault,
    command: Command,
    stdout: String,
    stderr: String,
}

/// In which way a tool did not do its work.
#[derive(Debug)]
pub(super) enum Fault {
    /// It said so.
    Failed(ExitStatus),
    /// It did not end.
    TimedOut(Duration),
    /// It said that it had done its work, but this file is missing or wrong.
    Lied { file: String, problem: String },
}

impl ToolError {
    pub(super) fn new(task: String, fault: Fault, command: Command, said: Finished) -> Self {
        Self { task, fault, command, stdout: said.stdout, stderr: said.stderr }
    }

    /// File name of the tool.
    fn tool(&self) -> String {
        let name = self.command.program.file_name().unwrap_or(self.command.program.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

impl std::error::Error for ToolError {}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tool, task) = (self.tool(), &self.task);
        match &self.fault {
            Fault::Failed(status) => writeln!(f, "{tool} failed to {task}: {status}")?,
            Fault::TimedOut(limit) => writeln!(
                f,
                "{tool} did not {task} within {} seconds and was killed; {} sets another \
                 limit",
                limit.as_secs_f64(),
                super::TIMEOUT_VARIABLE,
            )?,
            Fault::Lied { file, problem } => {
                writeln!(f, "{tool} was to {task} and exited with success, but {file} {problem}")?
            }
        }
        writeln!(f, "to reproduce: {}", self.command)?;
        if !self.stdout.trim().is_empty() {
            fence(f, "stdout", &self.stdout)?;
            writeln!(f)?;
        }
        fence(f, "stderr", &self.stderr)
    }
}

/// A tool's output between two lines that it is not likely to contain itself.
fn fence(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    if text.trim().is_empty() {
        return write!(f, "<{name} is empty>");
    }
    write!(f, "----- {name} -----\n{}\n----- end of {name} -----", text.trim_end())
}
