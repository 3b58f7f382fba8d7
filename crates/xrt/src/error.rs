//! What XRT reports, translated for people.

use std::fmt;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Opening the device.
    Open,
    /// Reading what the device is.
    Ask,
    /// Loading an xclbin and opening a context for it.
    Context,
    /// Finding a kernel.
    Kernel,
    /// Allocating a buffer.
    Allocate,
    /// Making a buffer's contents visible to the device or to the host.
    Sync,
    /// Starting a run.
    Start,
    /// Waiting for a run.
    Wait,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open the NPU",
            Self::Ask => "ask the NPU what it is",
            Self::Context => "open a context on the NPU",
            Self::Kernel => "find the kernel in the xclbin",
            Self::Allocate => "allocate a buffer of the NPU",
            Self::Sync => "synchronise a buffer of the NPU",
            Self::Start => "start a run on the NPU",
            Self::Wait => "wait for the NPU",
        })
    }
}

/// How a command ended, or where it is: XRT's `ert_cmd_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandState(pub i32);

impl CommandState {
    /// It was carried out.
    pub const COMPLETED: Self = Self(4);
    /// XRT's own time was up, or the driver's.
    pub const TIMEOUT: Self = Self(8);

    /// Whether the device has nothing more to do with the command: completed, error, abort, no
    /// response, or an error of a soft kernel.
    pub(crate) fn is_final(self) -> bool {
        matches!(self.0, 4..=6 | 9..=11)
    }
}

impl fmt::Display for CommandState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "new",
            2 => "queued",
            3 => "running",
            4 => "completed",
            5 => "error",
            6 => "aborted",
            7 => "submitted",
            8 => "timed out",
            9 => "no response",
            _ => return write!(f, "state {}", self.0),
        };
        f.write_str(name)
    }
}

/// Why an NPU could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program has no shim inside.
    #[error("this program was built without XRT: {reason}")]
    NotBuilt {
        /// Why not.
        reason: &'static str,
    },
    /// XRT is not installed, or not where it was looked for.
    #[error("XRT was not found: {}", tried.join("; "))]
    NoLibrary {
        /// Where it was looked for, and what the loader said.
        tried: Vec<String>,
    },
    /// There is an XRT, of a version that does not know NPUs, or a later one that lacks something.
    #[error("the XRT of this machine, {}, does not serve: {reason}", found.join(", "))]
    WrongLibrary {
        /// Where it is and its version.
        found: Vec<String>,
        /// What is wrong with it.
        reason: String,
    },
    /// XRT works, and sees no NPU.
    #[error("XRT finds no NPU")]
    NoDevice,
    /// The device node cannot be opened.
    #[error("no permission to open the NPU, {node}")]
    Permission {
        /// The device node.
        node: String,
    },
    /// The limit for locked memory is too low.
    #[error("the limit for locked memory is too low for the NPU{}", kibibytes(*.limit))]
    Memlock {
        /// The limit in bytes, where it is known.
        limit: Option<u64>,
    },
    /// Other processes have all contexts.
    #[error("the NPU has no context left: other programs use all of them")]
    Contexts,
    /// An xclbin that is none, is cut off, or is for something else.
    #[error("the xclbin is damaged or not for this NPU: {reason}")]
    Xclbin {
        /// What XRT says.
        reason: String,
    },
    /// No kernel of this name.
    #[error("the xclbin has no kernel {name}; it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NoKernel {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A buffer, or an argument, that does not fit: a mistake of the caller.
    #[error("argument {argument} {rule}")]
    Argument {
        /// Index among the buffers of the run.
        argument: usize,
        /// What must hold.
        rule: &'static str,
    },
    /// Memory is full.
    #[error("out of memory for the NPU: could not {action}")]
    Memory {
        /// What was being done.
        action: Action,
    },
    /// A run did not end.
    #[error("the NPU did not finish within {milliseconds} ms")]
    TimedOut {
        /// How long it was waited for.
        milliseconds: u128,
    },
    /// A run ended otherwise than completed.
    #[error("a run on the NPU ended with: {state}")]
    Command {
        /// How it ended.
        state: CommandState,
    },
    /// The device went away while it was in use.
    #[error("the NPU is gone: could not {action}: {text}")]
    Gone {
        /// What was being done.
        action: Action,
        /// What XRT says.
        text: String,
    },
    /// Anything else that XRT throws.
    #[error("XRT could not {action}: {text}")]
    Other {
        /// What was being done.
        action: Action,
        /// What XRT says.
        text: String,
    },
}

fn kibibytes(limit: Option<u64>) -> String {
    limit.map_or(String::new(), |limit| format!(": {} KiB", limit / 1024))
}

impl Error {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotBuilt { .. } => {
                "install XRT's headers (Debian: libxrt-dev and uuid-dev of 2.18 or later; elsewhere \
                 set TILEWRIGHT_XRT_INCLUDE) and build again"
            }
            Self::NoLibrary { .. } => {
                "install XRT 2.18 or later (Debian: libxrt2 and libxrt-npu2 of trixie-backports or later; \
                 Ubuntu: the same of ppa:amd-team/xrt), or set TILEWRIGHT_XRT to its lib folder"
            }
            Self::WrongLibrary { .. } => {
                "NPUs need XRT 2.18 or later; set TILEWRIGHT_XRT to the lib folder of one"
            }
            Self::NoDevice => {
                "load the driver (modprobe amdxdna; Linux 6.14 or later has it), install XRT's plugin \
                 for NPUs (libxrt-npu2), and see that the NPU is enabled in the firmware setup; \
                 tilewright doctor says which of them is missing"
            }
            Self::Permission { .. } => {
                "add yourself to the group render (sudo usermod -aG render $USER) and log in again"
            }
            Self::Memlock { .. } => {
                "raise it: add the lines `* soft memlock unlimited` and `* hard memlock unlimited` to \
                 /etc/security/limits.d/99-npu.conf and log in again (a service: LimitMEMLOCK=infinity)"
            }
            Self::Contexts => "end another program that uses the NPU (xrt-smi examine lists them)",
            Self::Xclbin { .. } | Self::NoKernel { .. } => {
                "build again with the toolchain for this device"
            }
            Self::TimedOut { .. } | Self::Command { .. } | Self::Gone { .. } => {
                "dmesg says what the driver saw; modprobe -r amdxdna && modprobe amdxdna resets the NPU"
            }
            Self::Argument { .. } | Self::Memory { .. } | Self::Other { .. } => return None,
        })
    }
}

/// What the shim reports: the kind of exception, a code if it has one, and its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thrown<'a> {
    pub(crate) kind: u32,
    pub(crate) code: i32,
    pub(crate) text: &'a str,
}

/// Codes of errno that count.
mod errno {
    pub(super) const EAGAIN: i32 = 11;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EACCES: i32 = 13;
    pub(super) const ENODEV: i32 = 19;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const EPERM: i32 = 1;
    pub(super) const EIO: i32 = 5;
    pub(super) const ENXIO: i32 = 6;
    pub(super) const ETIME: i32 = 62;
    pub(super) const ETIMEDOUT: i32 = 110;
}

/// What people can do something with, of what XRT throws. `limit` is that for locked memory.
pub(crate) fn translate(action: Action, thrown: Thrown<'_>, limit: Option<u64>) -> Error {
    use errno::{EACCES, EAGAIN, EINVAL, EIO, ENODEV, ENOMEM, ENXIO, EPERM, ETIME, ETIMEDOUT};
    let text = thrown.text.trim();
    let has = |part: &str| text.contains(part);
    let code = code(thrown);
    if thrown.kind == crate::bindings::TW_MEMORY {
        return Error::Memory { action };
    }
    if has("No such device with index") {
        return Error::NoDevice;
    }
    if matches!(code, Some(EACCES | EPERM)) && has("/dev/accel") {
        return Error::Permission { node: node(text) };
    }
    // The driver answers EAGAIN to a mapping that may not be locked, which looks like a device that
    // is busy.
    if code == Some(EAGAIN) && (has("mmap") || has("MAP_LOCKED")) {
        return Error::Memlock { limit };
    }
    if action == Action::Context {
        let damaged = ["m_length", "too small to contain header", "xclbin", "axlf", "magic"];
        if damaged.iter().any(|part| has(part)) {
            return Error::Xclbin { reason: text.to_owned() };
        }
        if code == Some(EINVAL) {
            return Error::Contexts;
        }
    }
    let text = text.to_owned();
    match code {
        Some(ENODEV | ENXIO | EIO) if action == Action::Open => Error::NoDevice,
        Some(ENODEV | ENXIO | EIO) => Error::Gone { action, text },
        Some(ENOMEM) => Error::Memory { action },
        Some(ETIME | ETIMEDOUT) if action == Action::Wait => Error::TimedOut { milliseconds: 0 },
        _ => Error::Other { action, text },
    }
}

/// The code of errno: as thrown, or as the text says in `(err=-22)`, without its sign.
fn code(thrown: Thrown<'_>) -> Option<i32> {
    let told = || {
        let (_, rest) = thrown.text.rsplit_once("err=")?;
        let digits = rest.trim_start_matches('-');
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse().ok()
    };
    let code = thrown.code.checked_abs().filter(|&code| code != 0);
    if thrown.kind == crate::bindings::TW_SYSTEM { code.or_else(told) } else { told() }
}

/// The device node that a text names.
fn node(text: &str) -> String {
    let start = text.find("/dev/accel").unwrap_or(0);
    let rest = &text[start..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '/')).unwrap_or(rest.len());
    rest[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::{TW_MEMORY, TW_OTHER, TW_SYSTEM};

    fn translated(action: Action, kind: u32, code: i32, text: &str) -> Error {
        translate(action, Thrown { kind, code, text }, Some(8 << 20))
    }

    #[test]
    fn every_known_case_is_told_in_words() {
        use Action::{Allocate, Context, Open, Start, Wait};
        let cases = [
            (Open, TW_SYSTEM, 22, "No such device with index '0'"),
            (Open, TW_SYSTEM, 13, "Failed to open /dev/accel/accel0 (err=13): Permission denied"),
            (Open, TW_OTHER, 0, "Failed to open /dev/accel/accel0 (err=-13): Permission denied"),
            (Open, TW_SYSTEM, 11, "mmap(addr=(nil), len=67108864, prot=3) failed (err=11)"),
            (Context, TW_SYSTEM, 11, "mmap_range(len=67108864) failed (err=-11)"),
            (Context, TW_SYSTEM, -22, "DRM_IOCTL_AMDXDNA_CREATE_HWCTX IOCTL failed (err=22)"),
            (Context, TW_SYSTEM, 22, "Invalid xclbin, m_length does not match buffer size"),
            (Context, TW_OTHER, 0, "buffer too small to contain header"),
            (Allocate, TW_MEMORY, 0, "std::bad_alloc"),
            (Allocate, TW_SYSTEM, 12, "DRM_IOCTL_AMDXDNA_CREATE_BO IOCTL failed (err=12)"),
            (Start, TW_SYSTEM, 19, "DRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=19)"),
            (Wait, TW_SYSTEM, 62, "DRM_IOCTL_AMDXDNA_WAIT_CMD IOCTL failed (err=62)"),
            (Start, TW_SYSTEM, 95, "DRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=95)"),
        ];
        let told = cases
            .map(|(action, kind, code, text)| translated(action, kind, code, text).to_string());
        let expected = [
            "XRT finds no NPU",
            "no permission to open the NPU, /dev/accel/accel0",
            "no permission to open the NPU, /dev/accel/accel0",
            "the limit for locked memory is too low for the NPU: 8192 KiB",
            "the limit for locked memory is too low for the NPU: 8192 KiB",
            "the NPU has no context left: other programs use all of them",
            "the xclbin is damaged or not for this NPU: Invalid xclbin, m_length does not match buffer size",
            "the xclbin is damaged or not for this NPU: buffer too small to contain header",
            "out of memory for the NPU: could not allocate a buffer of the NPU",
            "out of memory for the NPU: could not allocate a buffer of the NPU",
            "the NPU is gone: could not start a run on the NPU: DRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=19)",
            "the NPU did not finish within 0 ms",
            "XRT could not start a run on the NPU: DRM_IOCTL_AMDXDNA_EXEC_CMD IOCTL failed (err=95)",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_people_can_change_comes_with_a_remedy() {
        for error in [
            Error::NoLibrary { tried: vec![] },
            Error::WrongLibrary { found: vec![], reason: String::new() },
            Error::NoDevice,
            Error::Permission { node: String::new() },
            Error::Memlock { limit: None },
            Error::Contexts,
            Error::TimedOut { milliseconds: 1 },
        ] {
            assert!(error.help().is_some_and(|help| help.len() > 20), "{error}");
        }
    }

    #[test]
    fn a_state_that_may_still_change_is_not_final() {
        let last: Vec<i32> = (0..12).filter(|&state| CommandState(state).is_final()).collect();
        assert_eq!(last, [4, 5, 6, 9, 10, 11]);
    }
}
