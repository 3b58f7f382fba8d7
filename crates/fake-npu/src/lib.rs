//! A kernel driver for NPUs that there are not.
//!
//! A program that drives an NPU runs unchanged, against the XRT that Debian ships, unchanged; only
//! the kernel's side of `/dev/accel/accel0` is played here, and behind it the array is simulated.
//! What such a run proves is everything between the program and the array: contexts, buffers,
//! commands, runlists, waits, and what becomes of every way in which they can fail.
//!
//! ```text
//!  program                               this process
//!  ├ XRT 2.25 (Debian's libraries)       ├ Npu: the driver, a thread per call
//!  └ preload/lib.rs: open, ioctl, mmap ──┤      and one that runs commands
//!            a socket, and a file that   ├ Known: streams by their hash
//!            poses as the device node ───┴ tilewright-sim
//! ```
//!
//! [`Machine`] puts the program into a mount namespace with a `/dev` and a `/sys` that show an NPU;
//! no privileges are needed where the system allows user namespaces. [`Xrt`] is an unpacked XRT, as
//! `.ci/xrt` makes it. [`Fault`]s are injected by name.
//!
//! # Limits
//! - Instructions are not interpreted. A stream is recognised by its hash, among those that
//!   [`Known`] was told of, and the runtime sequence that it was compiled from is simulated. That a
//!   stream does what its sequence says is the compiler's business. Where there is no compiler,
//!   `stand-in` makes streams and PDIs that are nothing but unique; then this crate proves nothing
//!   about streams, and all the same about the rest.
//! - Time is that of the simulator on this machine. Nothing is proved about speed.
//! - Not played: buffers over memory of the user, sharing of buffers between processes, and
//!   instructions in the form of ELF files. A program that needs them gets `EINVAL`.
//! - Caches are only played when XRT is told to synchronise through the driver, which
//!   [`Machine`] does: see [`Npu`].

mod command;
mod driver;
mod fault;
mod known;
mod machine;
mod memory;
mod node;
mod uapi;
mod wire;
mod worker;
mod xrt;

// The library that build.rs makes, to be linted with the rest.
#[cfg(clippy)]
#[path = "../preload/lib.rs"]
mod preload;

pub use driver::{Npu, Ran};
pub use fault::{Fault, FaultError};
pub use known::{Known, KnownError};
pub use machine::{Machine, MachineError};
pub use xrt::{NoXrt, Xrt};
