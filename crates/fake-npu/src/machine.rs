//! A machine with an NPU, for one program.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tilewright_kernel::Device;

use crate::driver::Npu;
use crate::known::Known;
use crate::node;
use crate::xrt::Xrt;

/// The library that is loaded into the program; empty where there is none.
static PRELOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preload.so"));

/// Makes XRT synchronise buffers by calls that the driver sees, and not by flushing caches.
const INI: &str = "[Debug]\nforce_driver_sync=true\n";

/// Puts the folder's `dev` and `sys` in their places and starts the program. The library is loaded
/// by the loader's own option, which programs that this one starts do not inherit.
const SCRIPT: &str = r#"
set -e
root=$1 libraries=$2
shift 2
for node in null zero full random urandom tty; do
    if [ -e "/dev/$node" ]; then mount --bind "/dev/$node" "$root/dev/$node"; fi
done
mount --rbind /sys/devices/system "$root/sys/devices/system"
mount --rbind "$root/dev" /dev
mount --rbind "$root/sys" /sys
exec "$root/loader" --preload "$root/preload.so" --library-path "$libraries" "$@"
"#;

/// Why there can be no such machine here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The library that is loaded into programs is for x86-64 Linux only.
    #[error("XRT drives NPUs on x86-64 Linux only")]
    System,
    /// A mount namespace is not to be had.
    #[error("no mount namespace for a test: `unshare -Urm` says {0}")]
    Namespace(String),
    /// A file of the machine cannot be made.
    #[error("cannot set up a machine with a simulated NPU: {0}")]
    File(#[from] io::Error),
}

/// A folder with all that makes a machine with an NPU, and its driver.
#[derive(Debug)]
pub struct Machine {
    // Ends before the folder is removed.
    npu: Npu,
    folder: TempDir,
    xrt: Xrt,
}

impl Machine {
    /// A machine with an NPU that knows these streams.
    ///
    /// # Errors
    /// When this system does not allow it: see [`MachineError`].
    pub fn start(xrt: Xrt, known: Known, device: Device) -> Result<Self, MachineError> {
        if PRELOAD.is_empty() {
            return Err(MachineError::System);
        }
        namespace()?;
        let folder = tempfile::Builder::new().prefix("tilewright-npu-").tempdir()?;
        let root = folder.path();
        fs::write(root.join("preload.so"), PRELOAD)?;
        // XRT looks for its settings beside the program, which is the loader then; as root, and the
        // namespace makes everybody root, it looks nowhere else.
        fs::copy(xrt.loader(), root.join("loader"))?;
        fs::write(root.join("xrt.ini"), INI)?;
        node::sys(&root.join("sys"), device)?;
        let file = node::dev(&root.join("dev"))?;
        let npu = Npu::start(known, device, file, &root.join("driver"), true)?;
        Ok(Self { npu, folder, xrt })
    }

    /// A command that runs a program on the machine. It is the program's own process.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let root = self.folder.path();
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", SCRIPT, "sh"]);
        command.arg(root).arg(self.xrt.libraries()).arg(program);
        command.env("TILEWRIGHT_FAKE_NPU", root.join("driver"));
        command
    }

    /// The NPU and its driver.
    pub fn npu(&self) -> &Npu {
        &self.npu
    }

    /// Files of the machine, which live as long as it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether this system lets anybody make a mount namespace.
fn namespace() -> Result<(), MachineError> {
    let tried = Command::new("unshare").args(["-Urm", "true"]).output();
    let said = match tried {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Err(MachineError::Namespace(said))
}
