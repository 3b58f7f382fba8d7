//! What the system shows of an NPU: its node, its entries under `/sys`, and what it says of itself.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use bytemuck::Zeroable;
use tilewright_kernel::Device;

use crate::uapi::{AieMetadata, AieVersion, Clock, Clocks, Firmware, TileMetadata};

/// Version of the firmware; the last part tells that it is none of AMD's.
pub(crate) const FIRMWARE: Firmware = Firmware { major: 1, minor: 5, patch: 5, build: 0 };

/// Where the device sits on the bus.
const PLACE: &str = "0000:c5:00.1";
const BRIDGE: &str = "pci0000:00";

/// PCI device and revision.
const fn pci(device: Device) -> (&'static str, &'static str) {
    match device {
        Device::Npu1 => ("0x1502", "0x00"),
        Device::Npu2 => ("0x17f0", "0x10"),
    }
}

/// Makes the file that poses as the node, in a folder that stands for `/dev`.
pub(crate) fn dev(folder: &Path) -> io::Result<fs::File> {
    fs::create_dir_all(folder.join("accel"))?;
    for place in ["null", "zero", "full", "random", "urandom", "tty"] {
        // To be covered by the real one.
        fs::write(folder.join(place), "")?;
    }
    fs::create_dir_all(folder.join("shm"))?;
    symlink("/proc/self/fd", folder.join("fd"))?;
    let node = folder.join("accel/accel0");
    fs::File::options().read(true).write(true).create_new(true).open(node)
}

/// Makes the part of `/sys` that XRT reads.
pub(crate) fn sys(folder: &Path, device: Device) -> io::Result<()> {
    let bus = folder.join("bus/pci");
    let own = folder.join("devices").join(BRIDGE).join(PLACE);
    fs::create_dir_all(own.join("accel/accel0"))?;
    // To be covered by the machine's own: programs ask there for processors.
    fs::create_dir_all(folder.join("devices/system"))?;
    let (id, revision) = pci(device);
    let entries = [
        ("vendor", "0x1022"),
        ("device", id),
        ("revision", revision),
        ("class", "0x118000"),
        // A queue that the kernel keeps, and not the program.
        ("device_type", "0"),
        ("vbnv", "Tilewright's simulated NPU"),
        ("fw_version", "1.5.5.0"),
        ("ready", "1"),
    ];
    for (name, value) in entries {
        fs::write(own.join(name), format!("{value}\n"))?;
    }
    let links = [("devices", "../../.."), ("drivers/amdxdna", "../../../..")];
    for (place, up) in links {
        fs::create_dir_all(bus.join(place))?;
        symlink(format!("{up}/devices/{BRIDGE}/{PLACE}"), bus.join(place).join(PLACE))?;
    }
    fs::create_dir_all(folder.join("module/amdxdna"))?;
    fs::write(folder.join("module/amdxdna/version"), "0.0-simulated\n")
}

/// What it says of the array.
pub(crate) fn metadata(device: Device) -> AieMetadata {
    let tile = |rows, first_row, channels, locks| TileMetadata {
        rows,
        first_row,
        channels,
        locks,
        ..TileMetadata::zeroed()
    };
    AieMetadata {
        column_bytes: 0,
        columns: device.columns() as u16,
        rows: 2 + Device::ROWS as u16,
        version: AieVersion { major: 2, minor: 0 },
        core: tile(Device::ROWS as u16, 2, 2, 16),
        mem: tile(1, 1, 6, 64),
        shim: tile(1, 0, 2, 16),
    }
}

/// What it says of its clocks.
pub(crate) fn clocks(device: Device) -> Clocks {
    let clock = |text: &str, mhz| {
        let mut name = [0; 16];
        name[..text.len()].copy_from_slice(text.as_bytes());
        Clock { name, mhz, pad: 0 }
    };
    let h = match device {
        Device::Npu1 => 1250,
        Device::Npu2 => 1800,
    };
    Clocks { mp_npu: clock("MP-NPU Clock", 800), h: clock("H Clock", h) }
}
