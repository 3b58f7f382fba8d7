//! What has been transcribed already: a record beside the transcripts for each recording.

use std::path::{Path, PathBuf};

use tilewright::transcript::Format;

use super::inputs::Input;

/// The folder of records, in that of the transcripts.
const FOLDER: &str = ".tilewright-done";

/// The record of a recording.
pub(super) struct Record {
    path: PathBuf,
    contents: String,
    outputs: Vec<PathBuf>,
}

impl Record {
    /// Of a recording as it is now, and settings that say all that a transcript depends on. None if
    /// the recording cannot be looked at.
    pub(super) fn of(
        out: &Path,
        input: &Input,
        formats: &[Format],
        settings: &str,
    ) -> Option<Self> {
        let metadata = input.path.metadata().ok()?;
        let time = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        let key = format!("{}\n{}\n{settings}", metadata.len(), time.as_nanos());
        let name = blake3::hash(input.name.as_os_str().as_encoded_bytes()).to_hex();
        Some(Self {
            path: out.join(FOLDER).join(&name.as_str()[..32]),
            contents: blake3::hash(key.as_bytes()).to_hex().to_string(),
            outputs: formats.iter().map(|format| output(out, input, *format)).collect(),
        })
    }

    /// Whether it has been transcribed, and the transcripts are there.
    pub(super) fn is_done(&self) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|contents| contents == self.contents)
            && self.outputs.iter().all(|output| output.exists())
    }

    /// Forgets that it has been, before the transcripts are written: until all of them are, they are
    /// those of different settings.
    pub(super) fn forget(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Remembers that it has been. What cannot be remembered is done again next time.
    pub(super) fn done(&self) {
        let folder = self.path.parent().map(std::fs::create_dir_all);
        if matches!(folder, Some(Ok(()))) {
            let _ = std::fs::write(&self.path, &self.contents);
        }
    }
}

/// The file of a transcript.
pub(super) fn output(out: &Path, input: &Input, format: Format) -> PathBuf {
    let mut name = input.name.clone().into_os_string();
    name.push(".");
    name.push(format.extension());
    out.join(name)
}
