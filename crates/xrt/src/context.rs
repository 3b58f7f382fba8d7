//! A context, which is an array that an xclbin configures, and its kernels.

#![allow(unsafe_code, reason = "calls the shim")]

use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;

use crate::buffer::Buffer;
use crate::device::Device;
use crate::error::{Action, Error};
use crate::raw::{self, Owned, tw_context, tw_kernel};
use crate::run::{Program, Runlist};

/// What several threads may share is called by one at a time. A thread that panicked left XRT's
/// object as it was: every call on it is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A context: the array, configured by an xclbin.
#[derive(Clone)]
pub struct Context {
    pub(crate) inner: Arc<Mutex<Owned<tw_context>>>,
    // After the context, which is freed first.
    device: Device,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Context {
    pub(crate) fn new(device: &Device, xclbin: &[u8]) -> Result<Self, Error> {
        // XRT reads the header before it looks how long it is.
        if xclbin.len() < HEADER || !xclbin.starts_with(MAGIC) {
            let reason = "it does not begin as an xclbin does".to_owned();
            return Err(Error::Xclbin { reason });
        }
        let mut locked = lock(&device.inner);
        let shim = locked.shim();
        // SAFETY: the function of this type; the device lives, and so many bytes are at `xclbin`.
        let context = unsafe {
            Owned::<tw_context>::new(shim, Action::Context, |error| {
                (shim.tw_context_new)(locked.as_mut(), xclbin.as_ptr().cast(), xclbin.len(), error)
            })?
        };
        drop(locked);
        Ok(Self { inner: Arc::new(Mutex::new(context)), device: device.clone() })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Names of the xclbin's kernels.
    ///
    /// # Errors
    /// As XRT has them.
    pub fn kernels(&self) -> Result<Vec<String>, Error> {
        let context = lock(&self.inner);
        let shim = context.shim();
        let names = raw::text(|text, capacity, error| {
            // SAFETY: the context lives, and there is room for so many bytes at `text`.
            unsafe { (shim.tw_context_kernels)(context.as_ptr(), text, capacity, error) }
        })?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The kernel of a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn kernel(&self, name: &str) -> Result<Kernel, Error> {
        let known = self.kernels()?;
        let missing = || Error::NoKernel { name: name.to_owned(), known: known.clone() };
        if !known.iter().any(|known| known == name) {
            return Err(missing());
        }
        let text = CString::new(name).map_err(|_| missing())?;
        let context = lock(&self.inner);
        let shim = context.shim();
        // SAFETY: the function of this type; the context and the name live.
        let kernel = unsafe {
            Owned::<tw_kernel>::new(shim, Action::Kernel, |error| {
                (shim.tw_kernel_new)(context.as_ptr(), text.as_ptr(), error)
            })?
        };
        drop(context);
        Ok(Kernel { inner: Arc::new(Mutex::new(kernel)), context: self.clone() })
    }

    /// An empty list of runs, which are then submitted at once.
    ///
    /// # Errors
    /// As XRT has them.
    pub fn runlist(&self) -> Result<Runlist, Error> {
        Runlist::new(self)
    }
}

/// What an xclbin begins with.
const MAGIC: &[u8] = b"xclbin2\0";
/// Bytes of its header.
const HEADER: usize = 456;

/// A kernel of a context: takes an opcode, instructions and buffers.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) inner: Arc<Mutex<Owned<tw_kernel>>>,
    // After the kernel, which is freed first.
    pub(crate) context: Context,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Arguments in front of the buffers: the opcode, the instructions, their number.
pub(crate) const FIRST_BUFFER: usize = 3;

impl Kernel {
    /// A buffer of so many elements, zeros, for an argument: 0 is the first buffer.
    ///
    /// # Errors
    /// When memory is full, or the kernel has no such argument.
    pub fn buffer<T: Pod>(&self, argument: usize, length: usize) -> Result<Buffer<T>, Error> {
        Buffer::new(self, argument + FIRST_BUFFER, length, false)
    }

    /// Uploads a stream: instructions that move data of so many bytes of each argument.
    ///
    /// # Errors
    /// When memory is full, or the kernel takes no instructions.
    ///
    /// # Safety
    /// An NPU reads and writes memory of this process. The stream has to be one that was compiled for
    /// the xclbin of this kernel, and has to touch nothing but the first `bytes[i]` bytes of each
    /// argument `i`.
    pub unsafe fn program(&self, words: &[u32], bytes: &[usize]) -> Result<Program, Error> {
        Program::new(self, words, bytes)
    }
}
