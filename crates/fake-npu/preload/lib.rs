//! What is loaded into the program under test: the mouth of the kernel, without a mind of its own.
//!
//! `build.rs` makes a shared library of this file, for `LD_PRELOAD`. It stands in for five functions
//! of the C library where they are called for the device node, and passes every other call on. A
//! call on the node goes to the driver, which is another process, over a socket; the driver answers
//! it, and in between reads and writes the caller's memory through this side, as a kernel does with
//! `copy_from_user`. So what the driver is and does is ordinary safe code elsewhere.
//!
//! It needs nothing but the standard library: it is loaded into whatever program there is, and the
//! system calls that it makes itself go past the C library, whose names it has taken.

// It exists to take the place of C functions. The rules are stated with each block. As the library that
// it is, what is public is reached; for lints it is a module.
#![allow(unsafe_code, unreachable_pub)]

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

/// Names the socket of the driver. Without it this library only passes calls on.
const SOCKET: &str = "TILEWRIGHT_FAKE_NPU";

/// Calls, as `wire.rs` has them.
const HELLO: u32 = 0;
const OPEN: u32 = 1;
const IOCTL: u32 = 2;
const MMAP: u32 = 3;

/// Answers, likewise.
const DONE: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

// Numbers of x86-64 Linux, the only system that XRT drives NPUs on.
const SYS_MMAP: c_long = 9;
const SYS_IOCTL: c_long = 16;
const SYS_OPENAT: c_long = 257;
const AT_FDCWD: c_int = -100;
const MAP_LOCKED: c_int = 0x2000;
const EIO: i64 = 5;
/// `_IOC_TYPE` of all DRM calls: 'd'.
const DRM: c_ulong = 0x64;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

/// The node as `/proc` names an open file.
struct Node {
    device: u64,
    inode: u64,
}

static NODE: OnceLock<Node> = OnceLock::new();

/// Whether a path is that of a node of an NPU.
fn is_node(path: &CStr) -> bool {
    path.to_bytes().starts_with(b"/dev/accel/accel")
}

/// Whether a descriptor is that of the node. Descriptors are not remembered: they are closed and
/// given to other files without this library hearing of it.
fn is_open_node(fd: c_int) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(node) = NODE.get() else { return false };
    std::fs::metadata(format!("/proc/self/fd/{fd}"))
        .is_ok_and(|file| file.dev() == node.device && file.ino() == node.inode)
}

fn connect() -> Option<UnixStream> {
    UnixStream::connect(std::env::var_os(SOCKET)?).ok()
}

/// Sends a call and serves the driver until it is answered: the result, or a negative error number.
///
/// # Safety
/// `a` and `b` are what the caller passed to the C function. Where one is an address, the memory
/// that the interface of the driver says lies there must be the caller's: a real kernel would find
/// out, this function writes where it is told.
unsafe fn call(stream: &mut UnixStream, kind: u32, a: u64, b: u64) -> std::io::Result<i64> {
    let mut request = Vec::with_capacity(24);
    request.extend(kind.to_le_bytes());
    request.extend(std::process::id().to_le_bytes());
    request.extend(a.to_le_bytes());
    request.extend(b.to_le_bytes());
    stream.write_all(&request)?;
    loop {
        let mut head = [0; 17];
        stream.read_exact(&mut head)?;
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (first, length) = (word(1), word(9) as usize);
        match head[0] {
            DONE => return Ok(first as i64),
            READ => {
                // SAFETY: the driver asks for memory that the call's interface says the caller
                // handed over, which lives until the call returns.
                let bytes = unsafe { std::slice::from_raw_parts(first as *const u8, length) };
                stream.write_all(bytes)?;
            }
            WRITE => {
                let mut bytes = vec![0; length];
                stream.read_exact(&mut bytes)?;
                // SAFETY: as above, and the interface says that it is written to; `bytes` is ours.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), first as *mut u8, length) };
            }
            _ => return Err(std::io::ErrorKind::InvalidData.into()),
        }
    }
}

/// A call on a connection of its own, so that one that waits keeps no other thread waiting.
///
/// # Safety
/// As [`call`].
unsafe fn ask(kind: u32, a: u64, b: u64) -> i64 {
    let Some(mut stream) = connect() else { return -EIO };
    // SAFETY: passed on.
    unsafe { call(&mut stream, kind, a, b) }.unwrap_or(-EIO)
}

/// As C functions report it.
fn outcome(result: i64) -> c_long {
    if result >= 0 {
        return result as c_long;
    }
    // SAFETY: the C library gives the address of this thread's errno.
    unsafe { *__errno_location() = -result as c_int };
    -1
}

/// Asks the driver for leave to open the node, and remembers which file it is.
///
/// # Safety
/// `path` is a C string.
unsafe fn open_file(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: `openat` with the arguments of `open`; the C library's wrapper would do no more.
    let open = || unsafe { syscall(SYS_OPENAT, AT_FDCWD, path, flags, mode) as c_int };
    // SAFETY: the caller's C string.
    if path.is_null() || !is_node(unsafe { CStr::from_ptr(path) }) {
        return open();
    }
    let Some(mut stream) = connect() else { return open() };
    // SAFETY: this call has no addresses.
    let leave = unsafe { call(&mut stream, OPEN, 0, 0) }.unwrap_or(-EIO);
    if leave < 0 {
        return outcome(leave) as c_int;
    }
    let fd = open();
    if fd >= 0 && NODE.get().is_none() {
        use std::os::unix::fs::MetadataExt;
        if let Ok(file) = std::fs::metadata(format!("/proc/self/fd/{fd}")) {
            let _ = NODE.set(Node { device: file.dev(), inode: file.ino() });
        }
        // A connection that is never closed: its end tells the driver that this process is gone.
        // SAFETY: this call has no addresses.
        if let Some(mut stream) = connect()
            && unsafe { call(&mut stream, HELLO, 0, 0) }.is_ok()
        {
            let _ = stream.into_raw_fd();
        }
    }
    fd
}

// The functions that are replaced. `open` and `ioctl` are variadic in C; on x86-64 Linux a callee
// with fixed parameters finds the variadic ones in the same registers, and one that the caller left
// out holds a value that is not looked at.

/// # Safety
/// As `open` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { open_file(path, flags, mode) }
}

/// # Safety
/// As `open64` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { open_file(path, flags, mode) }
}

/// # Safety
/// As `ioctl` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    if request >> 8 & 0xff == DRM && is_open_node(fd) {
        // SAFETY: a DRM call's argument is the structure that its number tells the size of.
        return outcome(unsafe { ask(IOCTL, request, argument as u64) }) as c_int;
    }
    // SAFETY: the caller's own call.
    unsafe { syscall(SYS_IOCTL, fd, request, argument) as c_int }
}

/// Mapping memory of the device is mapping the file behind the node, but not locked: the limit for
/// locked memory is a matter of the machine, and the driver plays its part.
///
/// # Safety
/// As `mmap` of the C library.
unsafe fn map(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    let mut flags = flags;
    if fd >= 0 && is_open_node(fd) {
        // SAFETY: a length and an offset, no addresses.
        let leave = unsafe { ask(MMAP, length as u64, offset as u64) };
        if leave < 0 {
            return outcome(leave) as *mut c_void;
        }
        flags &= !MAP_LOCKED;
    }
    // SAFETY: the caller's own call.
    unsafe { syscall(SYS_MMAP, address, length, protection, flags, fd, offset) as *mut c_void }
}

/// # Safety
/// As `mmap` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: passed on.
    unsafe { map(address, length, protection, flags, fd, offset) }
}

/// # Safety
/// As `mmap64` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: passed on.
    unsafe { map(address, length, protection, flags, fd, offset) }
}
