//! Objects of the shim: each freed exactly once, each call's error turned into a Rust one.

#![allow(unsafe_code, reason = "calls the shim")]

use std::ffi::{CStr, c_char};
use std::ptr::NonNull;

use crate::bindings::{self, Shim, tw_error};
use crate::error::{Action, Error, Thrown, translate};

/// A type of object that the shim hands out.
pub(crate) trait Foreign: Sized {
    /// Frees an object.
    fn free(shim: &Shim) -> unsafe extern "C" fn(*mut Self);
}

macro_rules! foreign {
    ($($name:ident: $free:ident,)*) => {
        $(
            pub(crate) use bindings::$name;
            impl Foreign for bindings::$name {
                fn free(shim: &Shim) -> unsafe extern "C" fn(*mut Self) {
                    shim.$free
                }
            }
        )*
    };
}

foreign! {
    tw_device: tw_device_free,
    tw_context: tw_context_free,
    tw_kernel: tw_kernel_free,
    tw_bo: tw_bo_free,
    tw_run: tw_run_free,
    tw_runlist: tw_runlist_free,
}

/// An object of the shim.
///
/// Invariant: `pointer` came from the `_new` function of its type and was not freed.
pub(crate) struct Owned<T: Foreign> {
    pointer: NonNull<T>,
    shim: &'static Shim,
}

// SAFETY: XRT's objects are handles with atomic reference counts on state that is not tied to the
// thread that made it. They are not `Sync`: what several threads share is behind a mutex.
unsafe impl<T: Foreign> Send for Owned<T> {}

impl<T: Foreign> Owned<T> {
    /// Makes an object.
    ///
    /// # Safety
    /// `make` calls the `_new` function of `T` of this shim, with what it asks for.
    pub(crate) unsafe fn new(
        shim: &'static Shim,
        action: Action,
        make: impl FnOnce(*mut tw_error) -> *mut T,
    ) -> Result<Self, Error> {
        let pointer = call(action, make)?;
        let text = || "no object and no reason".to_owned();
        let pointer = NonNull::new(pointer).ok_or_else(|| Error::Other { action, text: text() })?;
        Ok(Self { pointer, shim })
    }

    /// The pointer, for a call that may change the object.
    pub(crate) fn as_mut(&mut self) -> *mut T {
        self.pointer.as_ptr()
    }

    /// The pointer, for a call that does not.
    pub(crate) fn as_ptr(&self) -> *const T {
        self.pointer.as_ptr()
    }

    pub(crate) fn shim(&self) -> &'static Shim {
        self.shim
    }
}

impl<T: Foreign> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant, and nothing uses it after this.
        unsafe { T::free(self.shim)(self.pointer.as_ptr()) }
    }
}

/// Calls a function of the shim.
pub(crate) fn call<R>(
    action: Action,
    function: impl FnOnce(*mut tw_error) -> R,
) -> Result<R, Error> {
    let mut error = tw_error { kind: 0, code: 0, text: [0; 1024] };
    let result = function(&raw mut error);
    if error.kind == bindings::TW_OK.cast_signed() {
        return Ok(result);
    }
    let bytes: &[u8] = bytemuck::cast_slice(&error.text);
    let text = CStr::from_bytes_until_nul(bytes).unwrap_or_default().to_string_lossy();
    let thrown = Thrown { kind: error.kind.cast_unsigned(), code: error.code, text: &text };
    Err(translate(action, thrown, memlock()))
}

/// Asks for a text: once for its length, once for itself.
pub(crate) fn text(
    ask: impl Fn(*mut c_char, usize, *mut tw_error) -> usize,
) -> Result<String, Error> {
    let length = call(Action::Ask, |error| ask(std::ptr::null_mut(), 0, error))?;
    let mut bytes = vec![0_u8; length + 1];
    call(Action::Ask, |error| ask(bytes.as_mut_ptr().cast(), bytes.len(), error))?;
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    Ok(text.to_string_lossy().into_owned())
}

/// The limit for locked memory of this process in bytes; none if there is none.
pub fn memlock() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    #[cfg(not(target_os = "linux"))]
    None
}
