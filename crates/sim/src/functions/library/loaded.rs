//! Code of shared libraries: the only unsafe code of this crate.
//!
//! Invariants that make the calls sound, as far as foreign code can be:
//! - A [`Call`] is only made by [`Loaded::find`], of a symbol that the library has and of a
//!   trampoline that was generated for the same declaration, which has the signature
//!   [`Trampoline`]; [`Loaded::call`] is given the `Loaded` that made it, which keeps the code in
//!   memory.
//! - The caller has checked the arguments against that declaration: each buffer is borrowed
//!   mutably for the call, is as long as declared and aligned to its elements.
//! - The kernel keeps to its buffers and to the types that the design declares of it. That is the
//!   one thing that cannot be checked here; a kernel is trusted.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use super::{LibraryError, MOST, Parameter, Scalar};

/// Signature of all trampolines: function, buffers, integers, floats; results.
type Trampoline =
    unsafe extern "C" fn(*mut c_void, *const *mut u8, *const i64, *const f64, *mut i64, *mut f64);

/// A function and the trampoline that knows its types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    trampoline: Trampoline,
    function: *mut c_void,
}

// SAFETY: both are addresses of code, which any thread may call; a kernel keeps its state, if any,
// per thread, as the emulated AIE API does.
unsafe impl Send for Call {}
// SAFETY: as for `Send`.
unsafe impl Sync for Call {}

/// A library file, and the temporary folder that it lies in, if it is not kept.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) _folder: Option<tempfile::TempDir>,
}

/// Shared libraries in memory: trampolines, and the kernels, which may be in the same.
#[derive(Debug)]
pub(super) struct Loaded {
    trampolines: libloading::Library,
    kernels: Option<libloading::Library>,
    _file: File,
}

impl Loaded {
    /// Loads trampolines, and kernels where they are another library.
    pub(super) fn open(file: File, kernels: Option<&Path>) -> Result<Self, LibraryError> {
        let trampolines = load(&file.path)?;
        let kernels = kernels.map(load).transpose()?;
        Ok(Self { trampolines, kernels, _file: file })
    }

    /// A function and its trampoline; `None` if there is no such function.
    pub(super) fn find(&self, function: &str, trampoline: &str) -> Option<Call> {
        let kernels = self.kernels.as_ref().unwrap_or(&self.trampolines);
        // SAFETY: an address is taken and nothing else; trampolines have the one signature.
        unsafe {
            let function = kernels.get::<*mut c_void>(function.as_bytes()).ok()?;
            let trampoline = self.trampolines.get::<Trampoline>(trampoline.as_bytes()).ok()?;
            Some(Call { trampoline: *trampoline, function: *function })
        }
    }

    /// Calls a function that was found in this library with arguments that fit its declaration.
    pub(super) fn call(
        &self,
        call: Call,
        buffers: &[*mut u8; MOST],
        integers: &[i64; MOST],
        floats: &[f64; MOST],
        result: Option<Parameter>,
    ) -> Option<Scalar> {
        let (mut integer, mut real) = (0, 0.0);
        // SAFETY: see the module's invariants. The arrays have an entry for each argument of their
        // kind, and the results outlive the call.
        unsafe {
            (call.trampoline)(
                call.function,
                buffers.as_ptr(),
                integers.as_ptr(),
                floats.as_ptr(),
                &raw mut integer,
                &raw mut real,
            );
        }
        result.map(|parameter| match parameter {
            Parameter::Float { .. } => Scalar::Float(real),
            Parameter::Buffer { .. } | Parameter::Integer { .. } => Scalar::Integer(integer),
        })
    }
}

fn load(path: &Path) -> Result<libloading::Library, LibraryError> {
    let wrong =
        |error: libloading::Error| LibraryError::Load { path: path.into(), reason: reason(&error) };
    // A name without a folder would be looked for where the system keeps its libraries.
    let path = std::path::absolute(path).map_err(LibraryError::file("find", path))?;
    // SAFETY: loading runs the library's initialisers, which are trusted as its functions are.
    unsafe { libloading::Library::new(&path) }.map_err(wrong)
}

/// The system's words, which libloading keeps in the source.
fn reason(error: &libloading::Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
