//! Sizes of a kernel's host buffers and of what they consist of.

use tilewright_kernel::{Device, KernelInfo, MicroTile, Precision, Shape, Tile};

use super::ArrayError;

/// The most columns of a tile of A: what is packed at a time on the stack.
pub(super) const MAX_TILE_K: usize = 4096;

/// Where the elements of a kernel's operands lie in its host buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry<'k> {
    pub(super) kernel: &'k KernelInfo,
}

impl<'k> Geometry<'k> {
    /// The geometry of a kernel.
    ///
    /// # Errors
    /// When the numbers of the kernel contradict each other, which those of a generated table do
    /// not.
    pub fn new(kernel: &'k KernelInfo) -> Result<Self, ArrayError> {
        let geometry = Self { kernel };
        let (Tile { m, k, n }, MicroTile { r, s, t }) = (geometry.tile(), geometry.micro());
        let fail = |rule| Err(ArrayError::Kernel { sequence: kernel.sequence, rule });
        if r * s * t == 0 || m % r != 0 || k % s != 0 || n % t != 0 || m * k * n == 0 {
            return fail("a tile is a whole number of micro-tiles");
        }
        if s != 8 {
            return fail("micro-tiles are 8 deep");
        }
        if k > MAX_TILE_K {
            return fail("a tile of A is at most 4096 wide");
        }
        let (a_parameters, b_parameters) = match geometry.precision() {
            Precision::I8 => (4 * m, 8 * n),
            Precision::Bf16 => (0, 4 * n),
        };
        let bytes = geometry.precision().bytes();
        if a_parameters > m * k * bytes || b_parameters > k * n * bytes {
            return fail("the parameters of a tile fit into a tile");
        }
        let Shape { m, k, n } = kernel.shape;
        let padded = kernel.padded;
        if m > padded.m || k > padded.k || n > padded.n || m * k * n == 0 {
            return fail("the padded shape is no smaller than the exact one");
        }
        if padded != kernel.loops.padded(geometry.device(), geometry.tile()) {
            return fail("the padded shape is what the loops go through");
        }
        let expected = [
            geometry.a_panels() * geometry.a_panel_bytes(),
            geometry.device().columns() * geometry.b_panel_bytes(),
            padded.m * padded.n * 2,
        ];
        if kernel.host_bytes != expected {
            return fail("host buffers are as large as what is packed into them");
        }
        Ok(geometry)
    }

    /// The kernel.
    pub fn kernel(&self) -> &'k KernelInfo {
        self.kernel
    }

    /// Bytes of A, B and C.
    pub fn host_bytes(&self) -> [usize; 3] {
        self.kernel.host_bytes
    }

    pub(super) fn device(&self) -> Device {
        self.kernel.target.device
    }

    pub(super) fn precision(&self) -> Precision {
        self.kernel.target.precision
    }

    pub(super) fn tile(&self) -> Tile {
        self.kernel.target.tile
    }

    pub(super) fn micro(&self) -> MicroTile {
        self.kernel.target.micro_tile
    }

    /// Blocks of m rows of A, one per row block and core row.
    pub(super) fn a_panels(&self) -> usize {
        self.kernel.loops.row_blocks * Device::ROWS
    }

    /// Tiles of A for each block of m rows: those of K, and for i8 the parameters.
    pub(super) fn a_tiles(&self) -> usize {
        self.kernel.loops.k_tiles + usize::from(self.precision() == Precision::I8)
    }

    pub(super) fn a_tile_bytes(&self) -> usize {
        self.tile().m * self.tile().k * self.precision().bytes()
    }

    pub(super) fn a_panel_bytes(&self) -> usize {
        self.a_tiles() * self.a_tile_bytes()
    }

    /// Tiles of B for each block of n columns: those of K and the parameters.
    pub(super) fn b_tiles(&self) -> usize {
        self.kernel.loops.k_tiles + 1
    }

    pub(super) fn b_tile_bytes(&self) -> usize {
        self.tile().k * self.tile().n * self.precision().bytes()
    }

    /// Bytes of one column of the array.
    pub(super) fn b_panel_bytes(&self) -> usize {
        self.kernel.loops.column_blocks * self.b_tiles() * self.b_tile_bytes()
    }
}
