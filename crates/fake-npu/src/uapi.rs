//! The driver's interface, from `drm/amdxdna_accel.h` and `drm/drm.h` of Linux, and its errors.

use bytemuck::{Pod, Zeroable};

/// Error numbers of Linux, negative, as calls return them.
pub(crate) mod errno {
    /// No such thing: a handle that is none.
    pub(crate) const ENOENT: i64 = -2;
    /// Input and output: the process broke off in the middle of its own call.
    pub(crate) const EIO: i64 = -5;
    /// Again: the limit for locked memory; a heap that is used up.
    pub(crate) const EAGAIN: i64 = -11;
    /// No permission.
    pub(crate) const EACCES: i64 = -13;
    /// The device is gone.
    pub(crate) const ENODEV: i64 = -19;
    /// What was asked makes no sense.
    pub(crate) const EINVAL: i64 = -22;
    /// There is no such call.
    pub(crate) const ENOTTY: i64 = -25;
    /// The time is up.
    pub(crate) const ETIME: i64 = -62;
}

/// The driver's calls, by `_IOC_NR`.
pub(crate) mod nr {
    pub(crate) const GEM_CLOSE: u8 = 0x09;
    pub(crate) const CREATE_HWCTX: u8 = 0x40;
    pub(crate) const DESTROY_HWCTX: u8 = 0x41;
    pub(crate) const CONFIG_HWCTX: u8 = 0x42;
    pub(crate) const CREATE_BO: u8 = 0x43;
    pub(crate) const GET_BO_INFO: u8 = 0x44;
    pub(crate) const SYNC_BO: u8 = 0x45;
    pub(crate) const EXEC_CMD: u8 = 0x46;
    pub(crate) const GET_INFO: u8 = 0x47;
    pub(crate) const SET_STATE: u8 = 0x48;
    pub(crate) const WAIT_CMD: u8 = 0x49;
}

/// An address that there is not: of a buffer that is not to be mapped.
pub(crate) const INVALID_ADDRESS: u64 = u64::MAX;

/// Structures of the header, field by field.
macro_rules! structures {
    ($($name:ident { $($field:ident: $ty:ty,)* })*) => {
        $(#[repr(C)]
        #[derive(Debug, Clone, Copy, Pod, Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: $ty,)*
        })*
    };
}

structures! {
    GemClose { handle: u32, pad: u32, }
    CreateHwctx {
        ext: u64, ext_flags: u64, qos: u64, umq_bo: u32, log_buf_bo: u32, max_opc: u32,
        num_tiles: u32, mem_size: u32, umq_doorbell: u32, handle: u32, syncobj: u32,
    }
    DestroyHwctx { handle: u32, pad: u32, }
    ConfigHwctx { handle: u32, kind: u32, value: u64, size: u32, pad: u32, }
    CuConfig { bo: u32, function: u8, pad: [u8; 3], }
    CreateBo { flags: u64, vaddr: u64, size: u64, kind: u32, handle: u32, }
    GetBoInfo {
        ext: u64, ext_flags: u64, handle: u32, pad: u32, map_offset: u64, vaddr: u64,
        xdna_addr: u64,
    }
    SyncBo { handle: u32, direction: u32, offset: u64, size: u64, }
    ExecCmd {
        ext: u64, ext_flags: u64, hwctx: u32, kind: u32, commands: u64, arguments: u64,
        command_count: u32, argument_count: u32, seq: u64,
    }
    WaitCmd { hwctx: u32, timeout: u32, seq: u64, }
    GetInfo { parameter: u32, size: u32, buffer: u64, }
    TileMetadata { rows: u16, first_row: u16, channels: u16, locks: u16, events: u16, pad: [u16; 3], }
    AieVersion { major: u32, minor: u32, }
    AieMetadata {
        column_bytes: u32, columns: u16, rows: u16, version: AieVersion, core: TileMetadata,
        mem: TileMetadata, shim: TileMetadata,
    }
    Clock { name: [u8; 16], mhz: u32, pad: u32, }
    Clocks { mp_npu: Clock, h: Clock, }
    Firmware { major: u32, minor: u32, patch: u32, build: u32, }
}

/// Kinds of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Data of the host.
    Share,
    /// Where the device's own buffers are taken from; one for each process.
    Heap,
    /// Instructions and PDIs, in the heap.
    Device,
    /// Commands.
    Command,
}

impl Kind {
    pub(crate) fn new(kind: u32) -> Option<Self> {
        Some(match kind {
            1 => Self::Share,
            2 => Self::Heap,
            3 => Self::Device,
            4 => Self::Command,
            _ => return None,
        })
    }
}

/// What [`GetInfo`] asks for.
pub(crate) mod info {
    pub(crate) const METADATA: u32 = 1;
    pub(crate) const VERSION: u32 = 2;
    pub(crate) const CLOCKS: u32 = 3;
    pub(crate) const FIRMWARE: u32 = 8;
}

/// A structure from bytes that may be shorter or longer than it, as the kernel takes them.
pub(crate) fn structure<T: Pod>(bytes: &[u8]) -> T {
    let mut value = T::zeroed();
    let length = bytes.len().min(size_of::<T>());
    bytemuck::bytes_of_mut(&mut value)[..length].copy_from_slice(&bytes[..length]);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes are part of the numbers of the calls, `_IOC_SIZE`.
    #[test]
    fn structures_are_as_large_as_in_the_header() {
        let sizes = [
            (size_of::<GemClose>(), 8),
            (size_of::<CreateHwctx>(), 56),
            (size_of::<DestroyHwctx>(), 8),
            (size_of::<ConfigHwctx>(), 24),
            (size_of::<CuConfig>(), 8),
            (size_of::<CreateBo>(), 32),
            (size_of::<GetBoInfo>(), 48),
            (size_of::<SyncBo>(), 24),
            (size_of::<ExecCmd>(), 56),
            (size_of::<WaitCmd>(), 16),
            (size_of::<GetInfo>(), 16),
            (size_of::<AieMetadata>(), 64),
            (size_of::<Clocks>(), 48),
            (size_of::<Firmware>(), 16),
        ];
        for (i, (ours, theirs)) in sizes.into_iter().enumerate() {
            assert_eq!(ours, theirs, "structure {i}");
        }
    }
}
