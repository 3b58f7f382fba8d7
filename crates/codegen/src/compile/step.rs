//! One call of one tool: inputs into a fresh folder, run, check every promised file, keep it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;

use super::cache::{Artifact, Cache, Key, temporary};
use super::error::{CompileError, Fault, ToolError};
use super::process::{Command, Finished};

/// Where steps run.
#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) out_dir: PathBuf,
    pub(super) cache: Cache,
    pub(super) timeout: Duration,
    /// Directories at the end of PATH, besides those of this process.
    pub(super) search: Vec<PathBuf>,
}

/// One call of one tool.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// What the tool is to do: "make the xclbin of npu1-i8".
    pub(super) task: String,
    /// Name of the folder that keeps the inputs if it fails.
    pub(super) label: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Name and contents of the files that the tool reads.
    pub(super) inputs: Vec<(&'a str, Vec<u8>)>,
    pub(super) outputs: Vec<Output>,
}

/// A file that a tool promises to write.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) file: String,
    pub(super) kind: Kind,
    pub(super) key: Key,
}

/// What a file must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An ELF object.
    Object,
    /// An xclbin.
    Xclbin,
    /// An instruction stream of the NPU.
    Stream,
}

impl Workshop {
    /// The version that a tool reports.
    pub(super) fn version(&self, program: &Path) -> Result<String, CompileError> {
        let directory = program.parent().unwrap_or(Path::new(".")).to_owned();
        let command = self.command(program, &["--version".into()], directory);
        let task = "say its version".to_owned();
        let said = run(&command, self.timeout)?;
        if let Err(fault) = self.success(said.status) {
            return Err(CompileError::Tool(Box::new(ToolError::new(task, fault, command, said))));
        }
        Ok(if said.stdout.trim().is_empty() { said.stderr } else { said.stdout })
    }

    fn command(&self, program: &Path, arguments: &[OsString], directory: PathBuf) -> Command {
        let (program, search) = (program.to_owned(), self.search.clone());
        Command { program, arguments: arguments.to_owned(), directory, search }
    }

    fn success(&self, status: Option<ExitStatus>) -> Result<(), Fault> {
        match status {
            None => Err(Fault::TimedOut(self.timeout)),
            Some(status) if !status.success() => Err(Fault::Failed(status)),
            Some(_) => Ok(()),
        }
    }
}

impl Step<'_> {
    /// Runs the tool and puts all that it promised into the cache, or nothing of it.
    pub(super) fn run(&self, shop: &Workshop) -> Result<Vec<(Key, Artifact)>, CompileError> {
        let work = temporary(&shop.out_dir, "work-")?;
        for (name, contents) in &self.inputs {
            let path = work.path().join(name);
            fs::write(&path, contents).map_err(|e| CompileError::file("write", &path, e))?;
        }
        let mut command = shop.command(&self.program, &self.arguments, work.path().to_owned());
        let said = run(&command, shop.timeout)?;
        match shop.success(said.status).and_then(|()| self.collect(work.path())) {
            Ok(contents) => {
                // What failed before does so no longer.
                let _ = fs::remove_dir_all(self.kept(shop));
                self.keep(shop, &contents)
            }
            Err(fault) => {
                command.directory = self.keep_inputs(shop, work);
                let error = ToolError::new(self.task.clone(), fault, command, said);
                Err(CompileError::Tool(Box::new(error)))
            }
        }
    }

    /// Contents of the promised files, all of them sound.
    fn collect(&self, dir: &Path) -> Result<Vec<Vec<u8>>, Fault> {
        let contents = self.outputs.iter().map(|output| {
            let contents = fs::read(dir.join(&output.file))
                .map_err(|error| match error.kind() {
                    std::io::ErrorKind::NotFound => "was not written".to_owned(),
                    _ => format!("cannot be read: {error}"),
                })
                .and_then(|contents| output.kind.check(&contents).map(|()| contents));
            contents.map_err(|problem| Fault::Lied { file: output.file.clone(), problem })
        });
        contents.collect()
    }

    fn keep(
        &self,
        shop: &Workshop,
        contents: &[Vec<u8>],
    ) -> Result<Vec<(Key, Artifact)>, CompileError> {
        let files = self.outputs.iter().zip(contents);
        files
            .map(|(output, contents)| {
                let artifact = shop.cache.insert(&output.key, &output.file, contents)?;
                Ok((output.key, artifact))
            })
            .collect()
    }

    /// Leaves the inputs, and only these, where the command that failed can be run again.
    fn keep_inputs(&self, shop: &Workshop, work: TempDir) -> PathBuf {
        let is_input = |path: &Path| self.inputs.iter().any(|(name, _)| path.ends_with(name));
        for path in fs::read_dir(work.path()).into_iter().flatten().flatten().map(|e| e.path()) {
            if !is_input(&path) {
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            }
        }
        let kept = self.kept(shop);
        let _ = fs::remove_dir_all(&kept);
        let _ = kept.parent().map(fs::create_dir_all);
        // If it cannot be moved it is as good where it is.
        let work = work.keep();
        if fs::rename(&work, &kept).is_ok() { kept } else { work }
    }

    fn kept(&self, shop: &Workshop) -> PathBuf {
        shop.out_dir.join("failed").join(&self.label)
    }
}

fn run(command: &Command, limit: Duration) -> Result<Finished, CompileError> {
    let program = || command.program.clone();
    command.run(limit).map_err(|source| CompileError::Run { program: program(), source })
}

impl Kind {
    /// What is wrong with these contents, as far as a look at the header tells.
    fn check(self, contents: &[u8]) -> Result<(), String> {
        let length = contents.len();
        if length == 0 {
            return Err("is empty".to_owned());
        }
        let problem = match self {
            Self::Object if !contents.starts_with(b"\x7fELF") => "is not an ELF object".to_owned(),
            Self::Xclbin if !contents.starts_with(b"xclbin2\0") => "is not an xclbin".to_owned(),
            Self::Stream if !length.is_multiple_of(4) => {
                format!("has {length} bytes, which is not a whole number of words")
            }
            Self::Stream if stated_length(contents) != Some(length) => {
                format!("has {length} bytes, which is not what its header says")
            }
            _ => return Ok(()),
        };
        Err(problem)
    }
}

/// The fourth word of a stream says how many bytes it has.
fn stated_length(stream: &[u8]) -> Option<usize> {
    let word = stream.get(12..16)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(word)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_right_are_refused() {
        let stream: Vec<u8> = [0x0603_0100_u32, 0x0104, 0, 20, 7].map(u32::to_le_bytes).concat();
        assert_eq!(Kind::Stream.check(&stream), Ok(()));
        assert_eq!(
            Kind::Stream.check(&stream[..16]).unwrap_err(),
            "has 16 bytes, which is not what its header says"
        );
        assert_eq!(
            Kind::Stream.check(&stream[..18]).unwrap_err(),
            "has 18 bytes, which is not a whole number of words"
        );
        assert!(Kind::Stream.check(&stream[..4]).is_err());
        assert_eq!(Kind::Xclbin.check(b"xclbin2\0..."), Ok(()));
        assert_eq!(Kind::Xclbin.check(b"xclbin").unwrap_err(), "is not an xclbin");
        assert_eq!(Kind::Object.check(b"\x7fELF..."), Ok(()));
        assert_eq!(Kind::Object.check(b"!<arch>\n").unwrap_err(), "is not an ELF object");
        assert_eq!(Kind::Object.check(b"").unwrap_err(), "is empty");
    }
}
