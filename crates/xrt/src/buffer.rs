//! Buffers that an NPU and this process see.

#![allow(unsafe_code, reason = "calls the shim, and makes slices of mapped memory")]

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Mutex;

use bytemuck::Pod;

use crate::context::{Kernel, lock};
use crate::device::Device;
use crate::error::{Action, Error};
use crate::raw::{self, Owned, tw_bo};

/// A buffer of elements, mapped into this process for as long as it lives.
///
/// Invariant: `data` points to `length` elements of `T`, aligned for it, which are mapped until `bo`
/// is freed and which no other buffer shares. While a run works on them, the buffer is inside of the
/// run, or shared and only read.
pub struct Buffer<T> {
    pub(crate) bo: Mutex<Owned<tw_bo>>,
    data: NonNull<T>,
    length: usize,
    /// Index of the kernel's argument that it was allocated for.
    pub(crate) argument: usize,
    // After the buffer object, which is freed first.
    pub(crate) device: Device,
    elements: PhantomData<T>,
}

// SAFETY: it owns its memory, as a vector does, and the buffer object may move and is behind a mutex.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: through a shared reference the elements are only read.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("length", &self.length).finish_non_exhaustive()
    }
}

impl<T: Pod> Buffer<T> {
    /// A buffer of zeros.
    pub(crate) fn new(
        kernel: &Kernel,
        argument: usize,
        length: usize,
        instructions: bool,
    ) -> Result<Self, Error> {
        let action = Action::Allocate;
        let bytes = length.checked_mul(size_of::<T>()).ok_or(Error::Memory { action })?;
        let index = i32::try_from(argument).map_err(|_| Error::Memory { action })?;
        let device = kernel.context.device().clone();
        let (opened, locked) = (lock(&device.inner), lock(&kernel.inner));
        let shim = locked.shim();
        // SAFETY: the function of this type; device and kernel live. Nothing is no size to XRT.
        let mut bo = unsafe {
            Owned::<tw_bo>::new(shim, action, |error| {
                let (device, kernel) = (opened.as_ptr(), locked.as_ptr());
                let instructions = i32::from(instructions);
                (shim.tw_bo_new)(device, kernel, index, bytes.max(1), instructions, error)
            })?
        };
        // SAFETY: the buffer object lives.
        let data = raw::call(action, |error| unsafe { (shim.tw_bo_map)(bo.as_mut(), error) })?;
        let aligned = |data: &NonNull<T>| data.is_aligned();
        let text = || "it is mapped to no place that fits".to_owned();
        let data = NonNull::new(data.cast::<T>()).filter(aligned);
        let data = data.ok_or_else(|| Error::Other { action, text: text() })?;
        // SAFETY: so many bytes are mapped there, and nothing else knows of them yet.
        unsafe { data.cast::<u8>().write_bytes(0, bytes) };
        drop((opened, locked));
        Ok(Self { bo: Mutex::new(bo), data, length, argument, device, elements: PhantomData })
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: by the invariant; `T` is plain data, so whatever is there is a value.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }

    /// The elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: by the invariant, and this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.length) }
    }

    /// The same buffer as bytes.
    pub fn into_bytes(self) -> Buffer<u8> {
        let Self { bo, data, length, argument, device, .. } = self;
        let length = length * size_of::<T>();
        Buffer { bo, data: data.cast(), length, argument, device, elements: PhantomData }
    }

    /// Makes what was written here visible to the device.
    ///
    /// # Errors
    /// As XRT has them.
    pub fn sync_to_device(&mut self) -> Result<(), Error> {
        self.sync(true)
    }

    /// Makes what the device wrote visible here.
    ///
    /// # Errors
    /// As XRT has them.
    pub fn sync_from_device(&mut self) -> Result<(), Error> {
        self.sync(false)
    }

    /// The address that the device knows it by.
    ///
    /// # Errors
    /// As XRT has them.
    pub fn address(&self) -> Result<u64, Error> {
        let bo = lock(&self.bo);
        // SAFETY: the buffer object lives.
        raw::call(Action::Ask, |error| unsafe { (bo.shim().tw_bo_address)(bo.as_ptr(), error) })
    }

    fn sync(&mut self, to_device: bool) -> Result<(), Error> {
        let bytes = size_of_val(self.as_slice());
        if bytes == 0 {
            return Ok(());
        }
        let mut bo = lock(&self.bo);
        let sync = bo.shim().tw_bo_sync;
        // SAFETY: the buffer object lives, and is so many bytes long.
        raw::call(Action::Sync, |error| unsafe {
            sync(bo.as_mut(), i32::from(to_device), bytes, error);
        })
    }
}

impl<T> Buffer<T> {
    /// Elements.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}
