//! Results: on standard output, and in files that are never half-written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::CliError;

/// Writes to standard output. A reader that has seen enough, like `head`, is no error.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    print_on(text).map(drop)
}

/// The same, and says whether somebody still reads.
pub(crate) fn print_on(text: &str) -> Result<bool, CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::Stdout(error)),
    }
}

/// Writes a file that the user names, whole or not at all.
///
/// Other than `tilewright_codegen::files`, which writes into folders of its own, it makes no folders
/// and leaves links and devices what they are.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), CliError> {
    write_bytes(path, text.as_bytes())
}

/// The same for a file that is no text.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    replace(path, bytes).map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// Makes a folder, if it is not there.
pub(crate) fn folder(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path).map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// Says whether files can be written to a folder: before the work that they are to hold.
pub(crate) fn check_folder(path: &Path) -> Result<(), CliError> {
    let temporary = beside(&path.join("probe"));
    let probed =
        temporary.and_then(|path| File::create(&path).and_then(|_| fs::remove_file(&path)));
    probed.map_err(|source| CliError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A symbolic link stays one: its target is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A device or a pipe cannot be replaced, and a folder says so when it is written to.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(&path, bytes);
    }
    let temporary = beside(&path)?;
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // What went wrong first is what the user has to know.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A name in the same folder, from where a rename is atomic. It has nothing of the file's, which may be
/// as long as names can be.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".tilewright-{}-{count}.tmp", std::process::id())))
}
