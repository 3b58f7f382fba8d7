//! Enumerations of the `aie` dialect.
//!
//! The pretty form names their cases, the generic form has their numbers, and
//! [`Attribute::Integer`](super::Attribute::Integer) holds the number.

/// Names and numbers of the cases of an enumeration.
#[derive(Debug)]
pub struct Enumeration {
    /// What a case is, for messages: "a bundle of wires".
    pub what: &'static str,
    /// Each case as the pretty form writes it, and its number in the generic form.
    pub cases: &'static [(&'static str, i128)],
}

impl Enumeration {
    /// The number of a case.
    pub fn number(&self, name: &str) -> Option<i128> {
        self.cases.iter().find(|(case, _)| *case == name).map(|&(_, number)| number)
    }

    /// The name of a case.
    pub fn name(&self, number: i128) -> Option<&'static str> {
        self.cases.iter().find(|&&(_, case)| case == number).map(|&(name, _)| name)
    }

    /// All names, for messages.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.cases.iter().map(|&(name, _)| name).collect();
        names.join(" | ")
    }
}

/// A Rust enumeration and the table of its cases.
macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident, $what:literal,
     $($(#[$case_doc:meta])* $case:ident = $spelling:literal = $number:literal,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$case_doc])* $case = $number,)*
        }

        impl $name {
            /// Names and numbers.
            pub const CASES: Enumeration =
                Enumeration { what: $what, cases: &[$(($spelling, $number),)*] };

            /// The case of a number of the generic form.
            pub const fn from_number(number: i128) -> Option<Self> {
                match number {
                    $($number => Some(Self::$case),)*
                    _ => None,
                }
            }

            /// As the pretty form writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$case => $spelling,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

enumeration! {
    /// The side of a tile or switchbox that a stream is connected to.
    WireBundle, "a bundle of wires",
    /// The core's stream ports.
    Core = "Core" = 0,
    /// DMA channels.
    Dma = "DMA" = 1,
    /// The stream switch's FIFOs.
    Fifo = "FIFO" = 2,
    /// The tile below.
    South = "South" = 3,
    /// The tile on the left.
    West = "West" = 4,
    /// The tile above.
    North = "North" = 5,
    /// The tile on the right.
    East = "East" = 6,
    /// Programmable logic.
    Plio = "PLIO" = 7,
    /// The network on chip.
    Noc = "NOC" = 8,
    /// The trace unit.
    Trace = "Trace" = 9,
    /// The port that takes control packets; `Ctrl` in some versions.
    TileControl = "TileControl" = 10,
}

enumeration! {
    /// What `aie.use_lock` does.
    LockAction, "an action on a lock",
    /// Waits until the lock has exactly the value.
    Acquire = "Acquire" = 0,
    /// Adds the value.
    Release = "Release" = 1,
    /// Waits until the lock has at least the value.
    AcquireGreaterEqual = "AcquireGreaterEqual" = 2,
}

enumeration! {
    /// Whether `aie.use_lock` waits.
    LockBlocking, "whether the operation waits",
    /// It does not.
    NonBlocking = "NonBlocking" = 0,
    /// It does.
    Blocking = "Blocking" = 1,
}

enumeration! {
    /// Direction of a DMA channel.
    DmaChannelDir, "a direction of a DMA channel",
    /// Stream to memory.
    S2mm = "S2MM" = 0,
    /// Memory to stream.
    Mm2s = "MM2S" = 1,
}

enumeration! {
    /// Side of an objectfifo.
    ObjectFifoPort, "a side of an objectfifo",
    /// Fills objects.
    Produce = "Produce" = 0,
    /// Uses them.
    Consume = "Consume" = 1,
}

enumeration! {
    /// Side that a cascade comes from or goes to.
    CascadeDir, "a direction of a cascade",
    /// The tile below.
    South = "South" = 3,
    /// The tile on the left.
    West = "West" = 4,
    /// The tile above.
    North = "North" = 5,
    /// The tile on the right.
    East = "East" = 6,
}

enumeration! {
    /// Kind of an `aie.logical_tile`.
    TileType, "a kind of tile",
    /// With a core.
    Core = "CoreTile" = 0,
    /// With memory only.
    Mem = "MemTile" = 1,
    /// At the edge, with DMAs to the host.
    ShimNoc = "ShimNOCTile" = 2,
    /// At the edge, without.
    ShimPl = "ShimPLTile" = 3,
}

/// Devices: `aie.device`'s attribute `device` is a name in either form.
///
/// These are the numbers of MLIR-AIE of 2026-03; other versions have others, so that the generic
/// form of a design only means the same to the version that printed it.
pub const DEVICES: Enumeration = Enumeration {
    what: "a device",
    cases: &[
        ("xcvc1902", 1),
        ("xcve2302", 2),
        ("xcve2802", 3),
        ("npu1", 4),
        ("npu1_1col", 5),
        ("npu1_2col", 6),
        ("npu1_3col", 7),
        ("npu2", 8),
        ("npu2_1col", 9),
        ("npu2_2col", 10),
        ("npu2_3col", 11),
        ("npu2_4col", 12),
        ("npu2_5col", 13),
        ("npu2_6col", 14),
        ("npu2_7col", 15),
    ],
};

/// Modes of `aie.trace.mode`.
pub(super) const TRACE_MODE: Enumeration = Enumeration {
    what: "a mode of a trace",
    cases: &[("Event-Time", 0), ("Event-PC", 1), ("Execution", 2)],
};

/// Kinds of packets that `aie.trace.packet` writes.
pub(super) const TRACE_PACKET: Enumeration = Enumeration {
    what: "a kind of trace packet",
    cases: &[("core", 0), ("mem", 1), ("shimtile", 2), ("memtile", 3)],
};

/// How `aie.trace.combo_event` joins two events.
pub(super) const COMBO_LOGIC: Enumeration = Enumeration {
    what: "a way to join two events",
    cases: &[("AND", 0), ("AND_NOT", 1), ("OR", 2), ("OR_NOT", 3)],
};

/// Edges of `aie.trace.edge_event`.
pub(super) const EDGE_TRIGGER: Enumeration =
    Enumeration { what: "an edge", cases: &[("RISING", 1), ("FALLING", 2), ("BOTH", 3)] };
