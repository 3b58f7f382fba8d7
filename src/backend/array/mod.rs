//! The host's side of an array: how the operands of a kernel lie in the buffers that its streams
//! move, whatever then runs them, a simulator or an NPU.
//!
//! Everything follows from a kernel's [`KernelInfo`](tilewright_kernel::KernelInfo): its tile m × k × n, its micro-tile r × s × t
//! and its loops. Transfers are long and contiguous, and the cores find what they multiply in the
//! order in which they load it:
//!
//! - **A**, activations: `[row block][core row][K tiles…, parameter tile][m × k]`, an m × k tile in
//!   r × s micro-tiles. The parameter tile, for i8 only, begins with the scales of the m rows.
//! - **B**, weights: `[column][column block][K tiles…, parameter tile][k × n]`, a k × n tile in
//!   s × t micro-tiles. The parameter tile begins with the scales of the n columns, for i8, and
//!   their biases.
//! - **C**, results: row by row, bf16, of the padded shape.
//!
//! Tiles and the micro-tiles in them follow one another row by row, and so do the elements of a
//! micro-tile. What lies outside of the exact shape is zero.
//!
//! [`Geometry`] packs and unpacks, [`Device`] is what runs kernels on such buffers, and [`Array`]
//! puts both together.

mod device;
mod error;
mod geometry;
mod pack;
#[cfg(test)]
mod tests;
mod unpack;
mod weights;

pub use device::{Array, Device, DeviceTime, Prepared, Spent, WeightsId};
pub use error::ArrayError;
pub use geometry::Geometry;
pub use pack::Operand;
