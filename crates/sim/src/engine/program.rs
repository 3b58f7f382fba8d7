//! Programs: bodies of cores, functions and runtime sequences as straight code.

use std::collections::HashMap;

use super::value::{Element, FloatOp, IntegerOp, Kind, Layout, Value};
use crate::netlist::{Acquire, LockId};
use crate::text::Span;

/// A value of the frame of the running function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) u32);

/// Where code goes on.
pub(super) type Address = u32;

/// An index that is known, or a slot that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    Static(i64),
    Slot(Slot),
}

/// One instruction.
#[derive(Debug, Clone)]
pub(super) enum Instruction {
    Constant {
        to: Slot,
        value: Value,
    },
    Copy {
        to: Slot,
        from: Slot,
    },
    Integer {
        op: IntegerOp,
        to: Slot,
        a: Slot,
        b: Slot,
        bits: u32,
    },
    Float {
        op: FloatOp,
        to: Slot,
        a: Slot,
        b: Slot,
        kind: Kind,
    },
    /// A one-operand function of floats, rounded to a type.
    Map {
        to: Slot,
        from: Slot,
        function: fn(f64) -> f64,
        kind: Kind,
    },
    CompareIntegers {
        to: Slot,
        a: Slot,
        b: Slot,
        predicate: u8,
        bits: u32,
    },
    CompareFloats {
        to: Slot,
        a: Slot,
        b: Slot,
        predicate: u8,
    },
    Select {
        to: Slot,
        condition: Slot,
        a: Slot,
        b: Slot,
    },
    Convert {
        to: Slot,
        from: Slot,
        conversion: Conversion,
    },
    Load {
        to: Slot,
        view: Slot,
        indices: Box<[Index]>,
    },
    Store {
        value: Slot,
        view: Slot,
        indices: Box<[Index]>,
    },
    /// A part of a view, or the same bytes laid out otherwise.
    Subview {
        to: Slot,
        from: Slot,
        offsets: Box<[Index]>,
        reset: bool,
        layout: u32,
    },
    /// The size of a dimension.
    Size {
        to: Slot,
        view: Slot,
        dimension: Slot,
    },
    /// Copies all elements.
    CopyView {
        from: Slot,
        to: Slot,
    },
    /// Fresh memory for each run: `memref.alloca` by its place.
    Jump {
        to: Address,
    },
    Branch {
        condition: Slot,
        then: Address,
        otherwise: Address,
    },
    /// Goes on at the address of the value, or at the last one.
    Switch {
        value: Slot,
        cases: Box<[(i64, Address)]>,
        otherwise: Address,
    },
    /// Checks the step of a loop.
    Positive {
        step: Slot,
    },
    Acquire {
        lock: LockId,
        how: Acquire,
        count: i32,
    },
    Release {
        lock: LockId,
        count: i32,
    },
    /// `more` of the `count` objects are not held yet.
    FifoAcquire {
        to: Slot,
        end: u32,
        count: u32,
        more: u32,
    },
    FifoRelease {
        end: u32,
        count: u32,
    },
    FifoObject {
        to: Slot,
        objects: Slot,
        index: Index,
        layout: u32,
    },
    /// Calls a registered function.
    Call {
        function: u32,
        arguments: Box<[Slot]>,
        to: Option<Slot>,
    },
    /// Calls code of this program, whose frame begins with the arguments.
    Enter {
        function: u32,
        arguments: Box<[Slot]>,
        results: Box<[Slot]>,
    },
    Return {
        values: Box<[Slot]>,
    },
    PutStream {
        channel: Slot,
        value: Slot,
    },
    GetStream {
        to: Slot,
        channel: Slot,
        element: Element,
    },
    /// `cf.assert`.
    Assert {
        condition: Slot,
        message: Box<str>,
    },
    /// An operation of a runtime sequence, by its index in [`super::sequence::Code`].
    Sequence(u32),
    End,
}

/// Conversions between scalar types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    SignExtend { bits: u32 },
    ZeroExtend { from: u32, bits: u32 },
    IntegerToFloat { unsigned_bits: Option<u32>, kind: Kind },
    FloatToInteger { bits: u32, unsigned: bool },
    Round { kind: Kind },
    FloatBits { kind: Kind },
    BitsFloat { kind: Kind },
    Keep,
}

/// A function's code.
#[derive(Debug, Clone)]
pub(super) struct Routine {
    pub(super) entry: Address,
    /// Slots of its frame.
    pub(super) slots: u32,
}

/// Straight code with what it refers to.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) code: Vec<Instruction>,
    /// The operation behind each instruction.
    pub(super) spans: Vec<Span>,
    pub(super) layouts: Vec<Layout>,
    pub(super) routines: Vec<Routine>,
    /// Symbols of registered functions.
    pub(super) functions: Vec<String>,
    /// Indices into the core's ends, by symbol and port.
    pub(super) ends: Vec<(String, crate::netlist::FifoPort)>,
    layout_ids: HashMap<Layout, u32>,
}

impl Program {
    pub(super) fn push(&mut self, span: Span, instruction: Instruction) -> Address {
        self.code.push(instruction);
        self.spans.push(span);
        self.code.len() as Address - 1
    }

    pub(super) fn here(&self) -> Address {
        self.code.len() as Address
    }

    /// The number of a layout.
    pub(super) fn layout(&mut self, layout: Layout) -> u32 {
        if let Some(&id) = self.layout_ids.get(&layout) {
            return id;
        }
        let id = self.layouts.len() as u32;
        self.layouts.push(layout.clone());
        self.layout_ids.insert(layout, id);
        id
    }

    /// The number of a registered function.
    pub(super) fn function(&mut self, symbol: &str) -> u32 {
        match self.functions.iter().position(|known| known == symbol) {
            Some(at) => at as u32,
            None => {
                self.functions.push(symbol.to_owned());
                self.functions.len() as u32 - 1
            }
        }
    }
}
