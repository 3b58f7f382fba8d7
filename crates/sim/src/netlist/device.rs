//! Geometry of the devices that designs name.

use tilewright_codegen::device::TileKind;

/// Generations of the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// AIE2: Phoenix, Hawk Point.
    Npu1,
    /// AIE2P: Strix, Strix Halo, Krackan.
    Npu2,
}

impl From<tilewright_kernel::Device> for Family {
    fn from(device: tilewright_kernel::Device) -> Self {
        match device {
            tilewright_kernel::Device::Npu1 => Self::Npu1,
            tilewright_kernel::Device::Npu2 => Self::Npu2,
        }
    }
}

/// A device as designs name it: `npu1`, `npu1_1col`, `npu2`, `npu2_4col`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceModel {
    /// Generation.
    pub family: Family,
    /// Columns.
    pub columns: u32,
}

impl DeviceModel {
    /// Rows of cores, shim and memtile.
    pub const ROWS: u32 = 6;

    /// The device of that name; `None` for one that is not an NPU.
    pub fn from_name(name: &str) -> Option<Self> {
        let (family, all, rest) = if let Some(rest) = name.strip_prefix("npu1") {
            (Family::Npu1, 4, rest)
        } else {
            (Family::Npu2, 8, name.strip_prefix("npu2")?)
        };
        let columns = match rest {
            "" => all,
            _ => rest.strip_prefix('_')?.strip_suffix("col")?.parse().ok()?,
        };
        (1..=all).contains(&columns).then_some(Self { family, columns })
    }

    /// What stands at a place.
    pub const fn kind(self, column: u32, row: u32) -> Option<TileKind> {
        match row {
            _ if column >= self.columns || row >= Self::ROWS => None,
            0 => Some(TileKind::Shim),
            1 => Some(TileKind::Memtile),
            _ => Some(TileKind::Core),
        }
    }
}
