//! What the array consists of, once a design's objectfifos are elaborated.
//!
//! The same things that the compiler lowers to and that the device has: tiles, buffers, locks,
//! buffer descriptors, DMA channels, flows between ports, core programs and runtime sequences.
//! Ids are indices into the lists of the [`Netlist`] and only mean something within it.

mod build;
mod device;

use std::collections::BTreeMap;

use crate::text::{MemRef, Module, Op, Padding, Region, Span, Type, ValueId};

pub use device::{DeviceModel, Family};

/// Ids: indices into lists of the [`Netlist`].
macro_rules! id {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// As an index.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        })*
    };
}

id! {
    /// Index into [`Netlist::tiles`].
    TileId,
    /// Index into [`Netlist::buffers`].
    BufferId,
    /// Index into [`Netlist::locks`].
    LockId,
    /// Index into [`Netlist::descriptors`].
    DescriptorId,
    /// Index into [`Netlist::channels`].
    ChannelId,
}

/// One device of a design with all that stands in it.
#[derive(Debug)]
pub struct Netlist {
    /// The operations that it was made from.
    pub module: Module,
    /// The symbol of the `aie.device`, if it has one.
    pub name: Option<String>,
    /// The device.
    pub device: DeviceModel,
    /// Tiles that the design names.
    pub tiles: Vec<Tile>,
    /// Buffers of tiles.
    pub buffers: Vec<Buffer>,
    /// Locks of tiles.
    pub locks: Vec<Lock>,
    /// Static descriptors.
    pub descriptors: Vec<Descriptor>,
    /// DMA channels, those that run a static program and those that runtime sequences feed.
    pub channels: Vec<Channel>,
    /// Streams between ports.
    pub flows: Vec<Flow>,
    /// Cores with a program.
    pub cores: Vec<Core>,
    /// `func.func`s by symbol.
    pub functions: BTreeMap<String, FunctionDeclaration>,
    /// `memref.global`s by symbol: type and value.
    pub globals: BTreeMap<String, Global>,
    /// What runtime sequences may name as `metadata` or `@symbol`: `aie.shim_dma_allocation`s and
    /// objectfifos that end at a shim.
    pub allocations: BTreeMap<String, Allocation>,
    /// `aie.bd_chain`s by symbol.
    pub chains: BTreeMap<String, Op>,
    /// Runtime sequences in the order of the text.
    pub sequences: Vec<Sequence>,
    /// SSA values of the device's body that stand for something: the operands of core programs and
    /// runtime sequences.
    pub entities: BTreeMap<ValueId, Entity>,
    /// Bytes that a core's stack takes from the beginning of its tile's memory.
    pub stacks: BTreeMap<TileId, u64>,
    /// What the design does that is legal, but surely not meant.
    pub warnings: Vec<Warning>,
}

impl Netlist {
    /// The position of a runtime sequence: of that symbol, which is `sequence` where the design gives
    /// none; an empty one means the only sequence.
    pub fn sequence(&self, symbol: &str) -> Option<usize> {
        let named = |name: &str| self.sequences.iter().position(|known| known.name == name);
        let only = (symbol.is_empty() && self.sequences.len() == 1).then_some(0);
        named(symbol).or(only).or_else(|| if symbol == "sequence" { named("") } else { None })
    }

    /// A tile by its id; ids of another netlist mean nothing here.
    pub(crate) fn tile(&self, id: TileId) -> &Tile {
        &self.tiles[id.index()]
    }

    /// Bytes of a tile's memory that the stack of its core takes.
    pub(crate) fn stack(&self, id: TileId) -> u64 {
        self.stacks.get(&id).copied().unwrap_or(0)
    }

    /// A buffer by its id.
    pub(crate) fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// A lock by its id.
    pub(crate) fn lock(&self, id: LockId) -> &Lock {
        &self.locks[id.index()]
    }
}

/// What an SSA value of the device's body stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// Result of `aie.tile`.
    Tile(TileId),
    /// Result of `aie.buffer`.
    Buffer(BufferId),
    /// Result of `aie.lock`.
    Lock(LockId),
}

/// A remark on a design that does not keep it from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
}

/// The kinds of tiles.
pub use tilewright_codegen::device::TileKind;

/// A tile.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Column, from 0 on the west.
    pub column: u32,
    /// Row: 0 is the shim, 1 the memtile, 2 and up the cores.
    pub row: u32,
    /// What it is.
    pub kind: TileKind,
    /// `aie.tile`.
    pub span: Span,
}

/// A buffer in the memory of a core tile or memtile.
#[derive(Debug, Clone)]
pub struct Buffer {
    /// Its tile.
    pub tile: TileId,
    /// Its symbol, or the name of its value; `A_l1_0[1]` for an element of an objectfifo.
    pub name: String,
    /// Shape and element.
    pub ty: MemRef,
    /// Bytes.
    pub bytes: usize,
    /// Address in the tile's memory, where the design gives one.
    pub address: Option<u32>,
    /// Contents when the array is configured; otherwise it is uninitialised.
    pub initial: Option<Vec<u8>>,
    /// `aie.buffer` or `aie.objectfifo`.
    pub span: Span,
}

/// A lock.
#[derive(Debug, Clone)]
pub struct Lock {
    /// Its tile.
    pub tile: TileId,
    /// Number on the tile: as given, or assigned.
    pub number: u32,
    /// Its symbol, or the name of its value; `A_l1_0 free` and `A_l1_0 full` for those of an
    /// objectfifo.
    pub name: String,
    /// Value when the array is configured.
    pub initial: i32,
    /// `aie.lock` or `aie.objectfifo`.
    pub span: Span,
}

/// How an acquire compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquire {
    /// Waits until the lock is at least the value, then takes the value off.
    GreaterEqual,
    /// Waits until the lock equals the value, then takes the value off.
    Equal,
}

/// Direction of a DMA channel, from the memory's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Stream to memory: writes the buffer.
    S2mm,
    /// Memory to stream: reads the buffer.
    Mm2s,
}

/// What a descriptor moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A buffer of this tile, or of a neighbouring memtile.
    Buffer(BufferId),
    /// An argument of the runtime sequence, by its position.
    Argument(u32),
    /// The memory of a tile, by address, where no buffer is: only registers that a runtime sequence
    /// writes get there.
    Tile(TileId),
}

/// A step pattern in bytes; `size` steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Steps.
    pub size: u64,
    /// Bytes from one step to the next.
    pub stride: i64,
}

/// A buffer descriptor: which bytes one transfer moves in which order, under which locks.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// The tile whose DMA uses it.
    pub tile: TileId,
    /// Number on the tile: as given, or assigned.
    pub number: u32,
    /// What is moved.
    pub memory: Memory,
    /// First byte.
    pub offset: u64,
    /// Bytes that go over the stream in one run, padding not counted.
    pub length: u64,
    /// Bytes of an element: the unit of `steps`' innermost entry and of `padding`.
    pub element_bytes: u32,
    /// Order of the bytes, outermost first, over elements; empty for a contiguous run. When the
    /// sizes do not multiply to `length`, the pattern starts over (more) or stops early (fewer), as
    /// the hardware's counter does.
    pub steps: Vec<Step>,
    /// Zeros around each step, outermost first; memtile MM2S only. Empty for none.
    pub padding: Vec<Padding>,
    /// Value that padding has.
    pub pad_value: i32,
    /// Outer offset that changes with each run of a task: `size` runs, then from the beginning.
    pub iteration: Option<Step>,
    /// Waited for and taken before the transfer.
    pub acquire: Option<(LockId, Acquire, i32)>,
    /// Given back after it.
    pub release: Option<(LockId, i32)>,
    /// Header that makes it a packet: type and id.
    pub packet: Option<(u32, u32)>,
    /// The descriptor that follows in the same task.
    pub next: Option<DescriptorId>,
    /// `aie.dma_bd`, or the objectfifo that it was made from.
    pub span: Span,
}

/// A DMA channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its tile.
    pub tile: TileId,
    /// Which way.
    pub direction: Direction,
    /// Number within its direction.
    pub number: u32,
    /// Tasks that it runs from the configuration on, in this order.
    pub tasks: Vec<Task>,
    /// For messages: the objectfifo or allocation that it serves, empty if none.
    pub name: String,
    /// `aie.dma_start`, `aie.dma`, `aie.objectfifo` or `aie.shim_dma_allocation`.
    pub span: Span,
}

/// A chain of descriptors that a channel runs.
#[derive(Debug, Clone)]
pub struct Task {
    /// First descriptor.
    pub first: DescriptorId,
    /// Runs of the chain: 1 and more. A chain that is a ring never ends its first run.
    pub runs: u32,
    /// Where it stands.
    pub span: Span,
}

/// What a stream ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// A DMA channel: of MM2S as a source, of S2MM as a destination.
    Dma(ChannelId),
    /// A stream port of a core's program.
    Core(TileId, u32),
    /// The control port of a tile, which takes packets that write registers, or sends its answers.
    Control(TileId),
    /// A trace unit; nothing is simulated behind it.
    Trace(TileId, u32),
}

/// A stream from one port to others.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Where it begins.
    pub source: Port,
    /// Where it ends; every destination gets all of it.
    pub destinations: Vec<Port>,
    /// The packet id that takes this way; `None` for a circuit.
    pub packet: Option<u32>,
    /// Whether the destination sees packet headers as data.
    pub keep_header: bool,
    /// `aie.flow`, `aie.packet_flow` or `aie.objectfifo`.
    pub span: Span,
}

/// A core and its program.
#[derive(Debug, Clone)]
pub struct Core {
    /// Its tile.
    pub tile: TileId,
    /// The program.
    pub body: Region,
    /// What it may acquire of objectfifos, by symbol.
    pub ends: BTreeMap<(String, FifoPort), FifoEnd>,
    /// The core that its cascade output goes to.
    pub cascade_to: Option<TileId>,
    /// `aie.core`.
    pub span: Span,
}

/// Side of an objectfifo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FifoPort {
    /// Fills objects.
    Produce,
    /// Uses them.
    Consume,
}

/// A core's end of an objectfifo: the buffers in turn, and the locks that count them.
#[derive(Debug, Clone)]
pub struct FifoEnd {
    /// The buffers, used in turn.
    pub buffers: Vec<BufferId>,
    /// Acquired (at least [`Self::times`]) per object.
    pub acquire: Option<LockId>,
    /// Released by [`Self::times`] per object.
    pub release: Option<LockId>,
    /// Count of either lock per object: more than 1 where objects are sent repeatedly
    /// (`repeat_count`).
    pub times: i32,
}

/// A declared or defined `func.func`.
#[derive(Debug, Clone)]
pub struct FunctionDeclaration {
    /// Types of its arguments.
    pub arguments: Vec<Type>,
    /// Types of its results.
    pub results: Vec<Type>,
    /// Its body, unless it is only declared.
    pub body: Option<Region>,
    /// `link_with`: the object file that it is meant to come from.
    pub link_with: Option<String>,
    /// `func.func`.
    pub span: Span,
}

/// A `memref.global`.
#[derive(Debug, Clone)]
pub struct Global {
    /// Shape and element.
    pub ty: MemRef,
    /// Contents; `None` when it is uninitialised or external.
    pub value: Option<Vec<u8>>,
    /// `memref.global`.
    pub span: Span,
}

/// What a symbol in a runtime sequence means.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// The shim's channel.
    pub channel: ChannelId,
    /// Packet header that transfers through it get, if any.
    pub packet: Option<(u32, u32)>,
    /// Where it is defined.
    pub span: Span,
}

/// A runtime sequence.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// Its symbol; empty for one without.
    pub name: String,
    /// Types of the host buffers.
    pub arguments: Vec<Type>,
    /// Its operations.
    pub body: Region,
    /// `aie.runtime_sequence`.
    pub span: Span,
}
