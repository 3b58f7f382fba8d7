//! Operations as they stand in the text.

use super::{AffineMap, Source, Span, Type};

/// An SSA value: an index into [`Module::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// A block of a region: an index into [`Region::blocks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// A whole file.
#[derive(Debug, Clone)]
pub struct Module {
    /// The text that it was read from.
    pub source: Source,
    /// The operations of the module's body.
    pub body: Vec<Op>,
    /// Every SSA value of the file.
    pub values: Vec<Value>,
}

/// An SSA value.
#[derive(Debug, Clone)]
pub struct Value {
    /// Its name with the `%`; results of one operation are `%a#0`, `%a#1`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Where it is defined.
    pub span: Span,
}

/// An operation.
#[derive(Debug, Clone)]
pub struct Op {
    /// Its name with the dialect: `aie.use_lock`.
    pub name: String,
    /// The name in the text, for messages.
    pub span: Span,
    /// What it defines.
    pub results: Vec<ValueId>,
    /// What it uses, in the order of the generic form.
    pub operands: Vec<ValueId>,
    /// Named attributes, properties among them, by the names of the generic form.
    pub attributes: Vec<(String, Attribute)>,
    /// Nested regions.
    pub regions: Vec<Region>,
    /// Blocks that a terminator may go on with.
    pub successors: Vec<Successor>,
}

/// Blocks, the first of which is entered.
#[derive(Debug, Clone, Default)]
pub struct Region {
    /// The blocks in the order of the text.
    pub blocks: Vec<Block>,
}

/// A straight run of operations.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Label with the `^`; empty for an entry block without one.
    pub label: String,
    /// Values that its predecessors or its operation pass.
    pub arguments: Vec<ValueId>,
    /// Its operations.
    pub ops: Vec<Op>,
}

/// Where a terminator may go on, with the values for the block's arguments.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The block of the same region.
    pub block: BlockId,
    /// Values for its arguments.
    pub arguments: Vec<ValueId>,
}

/// A reference to a symbol: `@a` or `@a::@b`, without the `@`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(pub Vec<String>);

/// `<size = 4, stride = 16>`: a dimension of a buffer descriptor, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimension {
    /// Steps.
    pub size: u64,
    /// Elements from one step to the next.
    pub stride: u64,
}

/// `<const_pad_before = 1, const_pad_after = 2>`: zeros around a dimension, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Padding {
    /// Zeros before.
    pub before: u64,
    /// Zeros after.
    pub after: u64,
}

/// A constant attached to an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// An attribute that is present and says no more.
    Unit,
    /// `true`.
    Bool(bool),
    /// `4 : i32`; enumerations of the `aie` dialects too, under the numbers that the generic form
    /// gives them.
    Integer(i128),
    /// `1.5 : f32`.
    Float(f64),
    /// `"text"`.
    String(String),
    /// `@symbol`.
    Symbol(Symbol),
    /// A type.
    Type(Type),
    /// `[…]`.
    Array(Vec<Attribute>),
    /// `{…}`.
    Dictionary(Vec<(String, Attribute)>),
    /// `array<i64: 1, 2>`.
    Integers(Vec<i64>),
    /// `dense<…> : tensor<…>`.
    Dense(Dense),
    /// `#aie<bd_dim_layout_array[…]>`, or `[<size = …, stride = …>, …]`.
    Dimensions(Vec<Dimension>),
    /// One list of dimensions each for several consumers.
    DimensionsOfEach(Vec<Vec<Dimension>>),
    /// `#aie<bd_pad_layout_array[…]>`.
    Paddings(Vec<Padding>),
    /// `#aie.packet_info<pkt_type = 0, pkt_id = 3>`.
    Packet {
        /// Type field of the header.
        pkt_type: u32,
        /// Id that routes it.
        pkt_id: u32,
    },
    /// `affine_map<(d0) -> (d0 + 1)>`, simplified as MLIR does.
    AffineMap(AffineMap),
    /// Anything else, as it is written, but for spaces: `#arith.overflow<nsw, nuw>`.
    Other(String),
}

/// `dense<…> : tensor<…>`, shape and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Sizes.
    pub shape: Vec<u64>,
    /// Type of the elements.
    pub element: Type,
    /// The values, row by row.
    pub elements: DenseElements,
}

/// Elements of a [`Dense`].
#[derive(Debug, Clone, PartialEq)]
pub enum DenseElements {
    /// The same value everywhere.
    Splat(f64),
    /// Each value; integers of up to 53 bits are exact.
    Each(Vec<f64>),
    /// `dense<"0x…">`: the bytes.
    Bytes(Vec<u8>),
}

impl Op {
    /// An attribute by name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// An integer or boolean attribute by name.
    pub fn integer(&self, name: &str) -> Option<i128> {
        match self.attribute(name)? {
            Attribute::Integer(value) => Some(*value),
            Attribute::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// Whether a flag is set: a unit attribute or `true`.
    pub fn flag(&self, name: &str) -> bool {
        match self.attribute(name) {
            Some(Attribute::Unit) => true,
            Some(Attribute::Bool(value)) => *value,
            Some(Attribute::Integer(value)) => *value != 0,
            _ => false,
        }
    }

    /// A string attribute by name.
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.attribute(name)? {
            Attribute::String(text) => Some(text),
            _ => None,
        }
    }

    /// A symbol reference by name.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        match self.attribute(name)? {
            Attribute::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }
}

impl Symbol {
    /// The last part: the name of the thing itself.
    pub fn leaf(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl Module {
    /// A value.
    ///
    /// # Panics
    /// When the id belongs to another module.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }
}
