//! AMD NPUs through XRT: device, context, kernel, mapped buffers, runs and lists of runs.
//!
//! XRT is not linked. It is looked for at run time, so that the same program starts with and without
//! it: see [`Device::open`]. What was built without XRT's headers says so there.
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//! use tilewright_xrt::Device;
//!
//! # fn main() -> Result<(), tilewright_xrt::Error> {
//! # let (xclbin, words) = (Vec::new(), Vec::<u32>::new());
//! let device = Device::open(0)?;
//! println!("{} with firmware {:?}", device.info().name, device.info().firmware);
//! let context = device.context(&xclbin)?;
//! let kernel = context.kernel("MLIR_AIE")?;
//! // SAFETY: the stream was compiled with this xclbin and moves 4096 bytes of each argument.
//! let program = Arc::new(unsafe { kernel.program(&words, &[4096, 4096])? });
//! let mut run = program.run()?;
//! run.give(0, kernel.buffer::<u8>(0, 4096)?)?;
//! run.give(1, kernel.buffer::<u8>(1, 4096)?)?;
//! run.bytes_mut(0)?.fill(1);
//! run.sync_to_device(0)?;
//! let mut run = run.start()?.wait(Duration::from_secs(4))?;
//! run.sync_from_device(1)?;
//! println!("{:?}", &run.bytes(1)?[..16]);
//! # Ok(())
//! # }
//! ```
//!
//! # What cannot go wrong
//! A buffer that a run works on is inside of the [`Running`] until the run has ended, so nothing reads
//! or writes it meanwhile; a shared one ([`Run::share`]) can only be read. A run starts only when every
//! argument has a buffer, and takes none that is smaller than its program's. Whatever XRT needs is kept
//! alive by what uses it.
//!
//! What remains unsafe is [`Kernel::program`]: an NPU reaches the memory of this process, so a stream
//! that moves more than it says is like a program that does.
//!
//! # Threads
//! XRT keeps nothing per thread, so all objects are [`Send`]. What several threads may share, devices,
//! contexts, kernels, programs and shared buffers, is called by one thread at a time.

// Everything unsafe is in `library`, `raw` and `buffer`, behind the invariants that they state.
#[rustfmt::skip]
#[allow(
    missing_docs, unreachable_pub, unsafe_code, non_camel_case_types, dead_code, clippy::all,
    reason = "generated"
)]
mod bindings;
mod buffer;
mod context;
mod device;
mod error;
mod library;
mod raw;
mod run;
mod running;

pub use buffer::Buffer;
pub use context::{Context, Kernel};
pub use device::{Device, DeviceInfo};
pub use error::{Action, CommandState, Error};
pub use library::{Found, Version, find};
pub use raw::memlock;
pub use run::{Program, Run, Runlist};
pub use running::{Running, Startable};
