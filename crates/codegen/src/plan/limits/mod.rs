//! The rules that a plan must keep: what the device cannot do, and what MLIR-AIE accepts although
//! it is wrong.
//!
//! [`check_array`] looks at a static configuration, [`check_sequence`] at one runtime sequence on
//! it. Both report every violation. Sources of the numbers stand in
//! [`crate::device`].

mod array;
mod sequence;
mod strides;

use super::array::Layout;
pub use array::check_array;
pub use sequence::check_sequence;

/// A rule, by what it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Tiles are made of whole pairs of micro-tiles.
    MicroTile,
    /// The parameters fit into the tile that carries them.
    ParameterTile,
    /// Data memory of a core, with its stack.
    CoreMemory,
    /// Memory of a memtile.
    MemtileMemory,
    /// A stack fits into one bank.
    Stack,
    /// Vectors are loaded from whole multiples of 64 bytes.
    VectorAlignment,
    /// Buffer descriptors of a tile.
    Descriptors,
    /// Locks of a tile.
    Locks,
    /// DMA channels of a tile.
    Channels,
    /// Number of dimensions of a descriptor.
    Dimensions,
    /// Size of a dimension.
    Wrap,
    /// Stride of a dimension.
    Stride,
    /// Only the iteration may have stride 0.
    ZeroStride,
    /// Strides and rows in multiples of 4 bytes.
    Alignment,
    /// Objects, lengths and offsets of transfers in multiples of 4 bytes.
    WholeWords,
    /// The dimensions move exactly as much as the object or the transfer holds.
    Coverage,
    /// Fifos named by links, programs and transfers exist, with matching ends and sizes.
    Wiring,
    /// The depth of a fifo suits what is acquired of it.
    Depth,
    /// Everything acquired is released.
    Release,
    /// Host buffers are small enough to be addressed.
    HostBuffer,
    /// Transfers stay within their host buffer.
    HostBounds,
    /// The host moves as many objects as the cores work on.
    HostLength,
    /// Runs of a descriptor that step.
    Iteration,
    /// Runs of a descriptor in one task.
    Runs,
    /// Tasks queued on one channel.
    Queue,
    /// What is waited for reports its completion.
    Token,
    /// A sequence ends only when its results have arrived.
    Completion,
    /// A sequence gives all its descriptors back.
    Leak,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 28] = [
        Self::MicroTile,
        Self::ParameterTile,
        Self::CoreMemory,
        Self::MemtileMemory,
        Self::Stack,
        Self::VectorAlignment,
        Self::Descriptors,
        Self::Locks,
        Self::Channels,
        Self::Dimensions,
        Self::Wrap,
        Self::Stride,
        Self::ZeroStride,
        Self::Alignment,
        Self::WholeWords,
        Self::Coverage,
        Self::Wiring,
        Self::Depth,
        Self::Release,
        Self::HostBuffer,
        Self::HostBounds,
        Self::HostLength,
        Self::Iteration,
        Self::Runs,
        Self::Queue,
        Self::Token,
        Self::Completion,
        Self::Leak,
    ];

    /// Whether `aiecc` of 2026-03 lets a violation pass.
    ///
    /// `tests/against_compiler.rs` holds every rule against the real tool.
    pub const fn tools_accept(self) -> bool {
        matches!(
            self,
            Self::MicroTile
                | Self::ParameterTile
                | Self::Stack
                | Self::VectorAlignment
                | Self::WholeWords
                | Self::Coverage
                | Self::Depth
                | Self::Release
                | Self::HostBuffer
                | Self::HostBounds
                | Self::HostLength
                | Self::Queue
                | Self::Completion
                | Self::Leak
        )
    }
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What is wrong, with numbers.
    pub message: String,
    /// What would work.
    pub help: String,
}

fn violation(rule: Rule, message: String, help: impl Into<String>) -> Violation {
    Violation { rule, message, help: help.into() }
}

/// Checks a tile before anything is built from it: whole micro-tiles, and room for the parameters.
pub fn check_layout(layout: &Layout) -> Vec<Violation> {
    let (tile, micro) = (layout.tile, layout.micro);
    let steps = [("m", tile.m, 2 * micro.r), ("k", tile.k, micro.s), ("n", tile.n, 2 * micro.t)];
    let mut found = Vec::new();
    for (name, value, step) in steps {
        if value == 0 || !value.is_multiple_of(step) {
            let below = (value / step * step).max(step);
            found.push(violation(
                Rule::MicroTile,
                format!(
                    "{name} = {value} is no multiple of {step}, which {} with {} needs",
                    layout.device, layout.precision
                ),
                format!("take {name} = {below} or {}", below + step),
            ));
        }
    }
    let bytes = layout.precision.bytes();
    let carriers = [
        ("A", layout.a_parameter_bytes(), layout.a_elements() * bytes),
        ("B", layout.b_parameter_bytes(), layout.b_elements() * bytes),
    ];
    for (name, parameters, room) in carriers {
        if parameters > room {
            found.push(violation(
                Rule::ParameterTile,
                format!("{parameters} bytes of scales and bias do not fit into a tile of {name} of {room} bytes"),
                "take a larger k",
            ));
        }
    }
    found
}
