//! XRT and the shim, loaded at run time.
//!
//! First XRT's library `libxrt_coreutil.so.2` is opened, then the shim, which is embedded in this
//! program and asks for that library by name: the loader gives it the one that is open. The shim is
//! loaded with all symbols resolved at once, so an XRT that lacks one is refused here and does not
//! crash later. Neither is ever unloaded: XRT has threads and handlers of its own.

#![allow(unsafe_code, reason = "loads libraries")]

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::bindings::Shim;
use crate::error::Error;

/// The shim as bytes of a shared object, or why there is none.
const SHIM: Result<&[u8], &str> = include!(concat!(env!("OUT_DIR"), "/shim.rs"));

/// XRT's library. Its name was the same in versions that knew no NPU.
const COREUTIL: &str = "libxrt_coreutil.so.2";
/// The variable that says where XRT's library is: its folder, or itself.
const OVERRIDE: &str = "TILEWRIGHT_XRT";
/// Where XRT installs itself, beyond what the loader searches.
const FOLDERS: [&str; 2] = ["/opt/xilinx/xrt/lib", "/opt/xilinx/xrt/lib64"];
/// What the loader says of a file that is not there: the name alone says the same.
const NO_FILE: &str = ": cannot open shared object file: No such file or directory";
/// The first version that the shim runs with.
const OLDEST: Version = Version { major: 2, minor: 18, patch: 0 };

/// A version of XRT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Changes when old programs no longer run.
    pub major: u32,
    /// One more for each release.
    pub minor: u32,
    /// Counts builds of a release.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The XRT that this process uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its library, as it was opened.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

pub(crate) struct Library {
    pub(crate) shim: Shim,
    found: Found,
}

/// Loads XRT, if that was not done before, and says which it is.
///
/// # Errors
/// When there is no XRT, none that serves, or this program was built without.
pub fn find() -> Result<Found, Error> {
    library().map(|library| library.found.clone())
}

/// The libraries, loaded once for the process; a failure stays as it is, too.
pub(crate) fn library() -> Result<&'static Library, Error> {
    static LIBRARY: OnceLock<Result<Library, Error>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Library, Error> {
    let shim = SHIM.map_err(|reason| Error::NotBuilt { reason })?;
    let (coreutil, found) = coreutil(&candidates(std::env::var_os(OVERRIDE)))?;
    // Stays open for good.
    std::mem::forget(coreutil);
    let wrong = |reason: String| Error::WrongLibrary { found: vec![told(&found)], reason };
    let library = open_embedded(shim).map_err(wrong)?;
    // SAFETY: the library is the shim, made of the header that the bindings are made of.
    let shim = unsafe { Shim::from_library(library) }.map_err(|error| wrong(said(&error)))?;
    Ok(Library { shim, found })
}

/// Where to look, in this order.
fn candidates(decides: Option<OsString>) -> Vec<PathBuf> {
    match decides.filter(|value| !value.is_empty()).map(PathBuf::from) {
        Some(path) if path.is_dir() => vec![path.join(COREUTIL)],
        Some(path) => vec![path],
        None => {
            let installed = FOLDERS.iter().map(|folder| Path::new(folder).join(COREUTIL));
            std::iter::once(PathBuf::from(COREUTIL)).chain(installed).collect()
        }
    }
}

fn told(found: &Found) -> String {
    format!("{} {}", found.path.display(), found.version)
}

/// The first of the candidates that is recent enough.
fn coreutil(candidates: &[PathBuf]) -> Result<(libloading::Library, Found), Error> {
    let (mut tried, mut old) = (Vec::new(), Vec::new());
    for path in candidates {
        match open(path) {
            Ok(library) => match version(&library) {
                Some(version) if version >= OLDEST => {
                    return Ok((library, Found { path: path.clone(), version }));
                }
                Some(version) => old.push(format!("{} {version}", path.display())),
                // Versions tell theirs since they know NPUs.
                None => old.push(format!("{}, of a version before NPUs", path.display())),
            },
            Err(error) => tried.push(error.replace(NO_FILE, "")),
        }
    }
    if old.is_empty() {
        return Err(Error::NoLibrary { tried });
    }
    Err(Error::WrongLibrary { found: old, reason: format!("it is older than {OLDEST}") })
}

fn version(library: &libloading::Library) -> Option<Version> {
    let number = |name: &[u8]| {
        // SAFETY: XRT declares these functions as `unsigned int (void)`.
        let function = unsafe { library.get::<extern "C" fn() -> u32>(name) };
        function.ok().map(|function| function())
    };
    Some(Version {
        major: number(b"xrtVersionMajor\0")?,
        minor: number(b"xrtVersionMinor\0")?,
        patch: number(b"xrtVersionPatch\0")?,
    })
}

/// Opens a library with everything resolved, so that what is missing is missing now.
fn open(path: &Path) -> Result<libloading::Library, String> {
    #[cfg(unix)]
    // SAFETY: initialisers of XRT, or of the shim, run: they set up the library and nothing else.
    let library = unsafe {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
        Library::open(Some(path), RTLD_NOW | RTLD_LOCAL).map(libloading::Library::from)
    };
    #[cfg(not(unix))]
    // SAFETY: as above.
    let library = unsafe { libloading::Library::new(path) };
    library.map_err(|error| said(&error))
}

/// What the loader says, without libloading's words around it.
fn said(error: &libloading::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Opens a shared object that is in memory: from a file without a name, or from a temporary file
/// where that is not possible.
fn open_embedded(bytes: &[u8]) -> Result<libloading::Library, String> {
    #[cfg(target_os = "linux")]
    if let Ok(library) = open_memfd(bytes) {
        return Ok(library);
    }
    use std::io::Write;
    let file = tempfile::Builder::new().prefix("tilewright-xrt-").suffix(".so").tempfile();
    let mut file = file.map_err(|error| format!("a temporary file: {error}"))?;
    file.write_all(bytes).map_err(|error| format!("{}: {error}", file.path().display()))?;
    // What was loaded stays when the file is removed.
    open(file.path())
}

#[cfg(target_os = "linux")]
fn open_memfd(bytes: &[u8]) -> Result<libloading::Library, String> {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    let text = |error: std::io::Error| error.to_string();
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = rustix::fs::memfd_create("tilewright-xrt", flags).map_err(|e| text(e.into()))?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes).map_err(text)?;
    open(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_decides_alone() {
        assert_eq!(candidates(Some("/x/libxrt.so".into())), [PathBuf::from("/x/libxrt.so")]);
        assert_eq!(candidates(Some("/usr".into())), [Path::new("/usr").join(COREUTIL)]);
        assert_eq!(candidates(Some("".into())).len(), 3);
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let Err(Error::NoLibrary { tried }) = coreutil(&["/nowhere/libxrt.so".into()]) else {
            panic!("it is not there")
        };
        assert!(tried[0].contains("/nowhere/libxrt.so"), "{tried:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_without_a_version_is_from_before_npus() {
        // The C library stands in for one.
        let Err(error) = coreutil(&["libc.so.6".into()]) else { panic!("it is not XRT") };
        let told = "the XRT of this machine, libc.so.6, of a version before NPUs, does not serve: \
                    it is older than 2.18.0";
        assert_eq!(error.to_string(), told);
    }
}
