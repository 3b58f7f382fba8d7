//! The static array configuration of a design: fifos, links, buffers and the core program.
//!
//! It depends on device, precision and tile only, never on a shape, so that one xclbin serves every
//! kernel. The data flow:
//!
//! - **A**: shim → memtile → broadcast along one row of cores.
//! - **B**: shim → memtile → broadcast down one column of cores.
//! - **C**: core → memtile, which joins the four rows → shim.
//!
//! The scales and the bias ride on A and B as one more tile after the K tiles, because both input
//! channels of a core are taken.

use serde::Serialize;
use tilewright_kernel::Loops;

use crate::device::{self, Device, MicroTile, Precision, Shape, Tile, TileKind};

/// Element type of a buffer, by MLIR's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// 8-bit integer.
    I8,
    /// bfloat16.
    Bf16,
    /// 32-bit integer.
    I32,
    /// 32-bit float.
    F32,
}

impl Element {
    /// Size of one element in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::Bf16 => 2,
            Self::I32 | Self::F32 => 4,
        }
    }

    /// Type of the elements of A and B.
    pub const fn input(precision: Precision) -> Self {
        match precision {
            Precision::I8 => Self::I8,
            Precision::Bf16 => Self::Bf16,
        }
    }

    /// Type of the sums.
    pub const fn accumulator(precision: Precision) -> Self {
        match precision {
            Precision::I8 => Self::I32,
            Precision::Bf16 => Self::F32,
        }
    }
}

/// Place of a tile in the array: row 0 holds shims, row 1 memtiles, rows 2 and up cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct At {
    /// Column, counted from the left.
    pub column: usize,
    /// Row, counted from the bottom.
    pub row: usize,
}

impl At {
    /// The shim of a column.
    pub const fn shim(column: usize) -> Self {
        Self { column, row: 0 }
    }

    /// The memtile of a column.
    pub const fn memtile(column: usize) -> Self {
        Self { column, row: 1 }
    }

    /// A core by its column and its row among the cores.
    pub const fn core(column: usize, core_row: usize) -> Self {
        Self { column, row: core_row + 2 }
    }

    /// What kind of tile stands there.
    pub const fn kind(self) -> TileKind {
        match self.row {
            0 => TileKind::Shim,
            1 => TileKind::Memtile,
            _ => TileKind::Core,
        }
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {})", self.kind(), self.column, self.row)
    }
}

/// One dimension of a layout, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Dimension {
    /// How many steps.
    pub size: usize,
    /// Elements from one step to the next.
    pub stride: usize,
}

/// An objectfifo: a queue of equally sized objects from one tile to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fifo {
    /// Symbol name.
    pub name: String,
    /// The tile that fills it.
    pub producer: At,
    /// The tiles that drain it, each seeing every object.
    pub consumers: Vec<At>,
    /// Objects that either end holds.
    pub depth: usize,
    /// Elements of one object.
    pub elements: usize,
    /// Type of the elements.
    pub element: Element,
    /// Order in which the producer's DMA reads an object, outermost first; empty: as it lies. On
    /// the output of a join it describes one part.
    pub to_stream: Vec<Dimension>,
}

impl Fifo {
    /// Bytes of one object.
    pub const fn bytes(&self) -> usize {
        self.elements * self.element.bytes()
    }
}

/// A memtile passing objects on: from one fifo to another, or joining several into one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The memtile.
    pub at: At,
    /// Names of the fifos that end there.
    pub from: Vec<String>,
    /// Name of the fifo that begins there.
    pub to: String,
    /// Where each part lies in the joined object, in elements; empty when nothing is joined.
    pub offsets: Vec<usize>,
}

/// A named buffer in the memory of a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Buffer {
    /// Symbol name.
    pub name: String,
    /// Number of elements.
    pub elements: usize,
    /// Type of the elements.
    pub element: Element,
}

impl Buffer {
    /// Size in bytes.
    pub const fn bytes(&self) -> usize {
        self.elements * self.element.bytes()
    }
}

/// Runtime parameters of a core, in the order in which they lie in its `rtp` buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// K tiles per output tile, without the one that carries scales and bias.
    pub k_tiles: usize,
    /// Output tiles of each core.
    pub output_tiles: usize,
    /// [`crate::device::Epilogue::code`].
    pub epilogue: i32,
}

/// How often a loop of the core program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trips {
    /// As the runtime parameter [`Parameters::k_tiles`] says.
    KTiles,
    /// As the runtime parameter [`Parameters::output_tiles`] says.
    OutputTiles,
}

impl Trips {
    /// The number for given runtime parameters.
    pub const fn count(self, parameters: &Parameters) -> usize {
        match self {
            Self::KTiles => parameters.k_tiles,
            Self::OutputTiles => parameters.output_tiles,
        }
    }
}

/// Which end of a fifo a core holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Port {
    /// The core fills objects.
    Produce,
    /// The core reads objects.
    Consume,
}

/// What a core function is called with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Argument {
    /// The object last acquired of this fifo.
    Object {
        /// Name of the fifo.
        fifo: String,
    },
    /// The core's accumulators.
    Accumulators,
    /// The runtime parameter [`Parameters::epilogue`].
    Epilogue,
    /// The index of the K tile that the loop over [`Trips::KTiles`] is at.
    KTile,
}

/// One step of a core program, which repeats for ever: wait for `go`, read the runtime parameters,
/// do these steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Step {
    /// Repeat steps.
    Loop {
        /// How often.
        trips: Trips,
        /// What.
        body: Vec<Step>,
    },
    /// Wait for objects of a fifo.
    Acquire {
        /// Name of the fifo.
        fifo: String,
        /// End of the fifo.
        port: Port,
        /// How many objects.
        count: usize,
    },
    /// Give objects back.
    Release {
        /// Name of the fifo.
        fifo: String,
        /// End of the fifo.
        port: Port,
        /// How many objects.
        count: usize,
    },
    /// Call a function of the core kernel.
    Call {
        /// Symbol of the function.
        function: String,
        /// Its arguments.
        arguments: Vec<Argument>,
    },
}

/// A compute core: its buffers and its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Core {
    /// Where it is.
    pub at: At,
    /// Buffer of the sums.
    pub accumulators: Buffer,
    /// Buffer of the runtime parameters, see [`Parameters`].
    pub parameters: Buffer,
    /// Lock that starts a pass of the program.
    pub go: String,
    /// Bytes of stack.
    pub stack: usize,
    /// What it does once started.
    pub program: Vec<Step>,
}

/// A function of the core kernel as the design declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Symbol.
    pub name: String,
    /// MLIR types of its arguments.
    pub arguments: Vec<String>,
}

/// The static array configuration of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Array {
    /// The device.
    pub device: Device,
    /// Functions of the core kernel.
    pub functions: Vec<Function>,
    /// All tiles in use, by column, then row.
    pub tiles: Vec<At>,
    /// All fifos.
    pub fifos: Vec<Fifo>,
    /// What the memtiles pass on.
    pub links: Vec<Link>,
    /// All cores, by column, then row.
    pub cores: Vec<Core>,
}

/// Stack of a core in bytes: what the stock kernels of MLIR-AIE reserve; with less, emulated bf16
/// on AIE2P was silently wrong.
pub const STACK: usize = 0xD00;

/// Bytes that MLIR-AIE's dynamic lowering of fifos takes from a core's memory per fifo: a counter.
pub const FIFO_COUNTER_BYTES: usize = 4;

/// Fifos that end or begin at a core: A, B and C.
const CORE_FIFOS: usize = 3;

/// Words of the runtime parameter buffer: [`Parameters`] and one reserved.
pub const PARAMETER_WORDS: usize = 4;

/// Names of the core kernel's functions for one device, precision and tile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    /// Adds one product of tiles to the accumulators; the product of K tile 0 replaces them, which
    /// saves a pass that sets them to zero.
    pub matmul: String,
    /// Scales, adds the bias, applies the activation and narrows to bf16.
    pub epilogue: String,
}

/// What tells one static configuration from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// The device.
    pub device: Device,
    /// Element types.
    pub precision: Precision,
    /// Block of one core.
    pub tile: Tile,
    /// Block of one instruction.
    pub micro: MicroTile,
    /// Objects of C that a core holds: 2 where its memory allows, else 1.
    pub c_depth: usize,
}

impl Layout {
    /// The layout of a tile; C is double-buffered when the core's memory has room for it.
    pub fn new(device: Device, precision: Precision, tile: Tile) -> Self {
        let micro = device.micro_tile(precision);
        let mut layout = Self { device, precision, tile, micro, c_depth: 2 };
        if layout.core_bytes() > device::limits(TileKind::Core).memory {
            layout.c_depth = 1;
        }
        layout
    }

    /// Elements of one A object.
    pub const fn a_elements(&self) -> usize {
        self.tile.m * self.tile.k
    }

    /// Elements of one B object.
    pub const fn b_elements(&self) -> usize {
        self.tile.k * self.tile.n
    }

    /// Elements of one core's C object.
    pub const fn c_elements(&self) -> usize {
        self.tile.m * self.tile.n
    }

    /// Whether row scales ride on A.
    pub const fn a_has_parameters(&self) -> bool {
        matches!(self.precision, Precision::I8)
    }

    /// Bytes of parameters in the tile that follows A's K tiles: a scale per row.
    pub const fn a_parameter_bytes(&self) -> usize {
        if self.a_has_parameters() { 4 * self.tile.m } else { 0 }
    }

    /// Bytes of parameters in the tile that follows B's K tiles: a bias and, for i8, a scale per
    /// column.
    pub const fn b_parameter_bytes(&self) -> usize {
        if self.a_has_parameters() { 8 * self.tile.n } else { 4 * self.tile.n }
    }

    /// The loop counts of a shape.
    pub const fn loops(&self, shape: Shape) -> Loops {
        Loops::new(self.device, self.tile, shape)
    }

    /// Objects of A per output tile: the K tiles and the parameter tile.
    pub const fn a_tiles(&self, loops: &Loops) -> usize {
        loops.k_tiles + self.a_has_parameters() as usize
    }

    /// Objects of B per output tile: the K tiles and the parameter tile.
    pub const fn b_tiles(&self, loops: &Loops) -> usize {
        loops.k_tiles + 1
    }

    /// Data memory that a core needs, with its stack, in bytes.
    pub const fn core_bytes(&self) -> usize {
        let inputs = 2 * (self.a_elements() + self.b_elements()) * self.precision.bytes();
        let outputs = (4 + 2 * self.c_depth) * self.c_elements();
        inputs + outputs + 4 * PARAMETER_WORDS + CORE_FIFOS * FIFO_COUNTER_BYTES + STACK
    }

    /// The functions of the core kernel.
    pub fn symbols(&self) -> Symbols {
        let Tile { m, k, n } = self.tile;
        let id = format!("{}_{}_{m}x{k}x{n}", self.device, self.precision);
        Symbols { matmul: format!("matmul_{id}"), epilogue: format!("epilogue_{id}") }
    }

    /// The column whose shim and memtile carry A for a row of cores: spread over the array.
    pub const fn a_column(&self, core_row: usize) -> usize {
        core_row * self.device.columns() / Device::ROWS
    }

    /// Builds the whole configuration.
    pub fn array(&self) -> Array {
        let columns = self.device.columns();
        let mut tiles: Vec<At> = Vec::new();
        for column in 0..columns {
            tiles.extend((0..Device::ROWS + 2).map(|row| At { column, row }));
        }
        let mut fifos = Vec::new();
        let mut links = Vec::new();
        for row in 0..Device::ROWS {
            self.add_a(row, &mut fifos, &mut links);
        }
        for column in 0..columns {
            self.add_b(column, &mut fifos, &mut links);
        }
        for column in 0..columns {
            self.add_c(column, &mut fifos, &mut links);
        }
        let symbols = self.symbols();
        let cores = (0..columns)
            .flat_map(|column| (0..Device::ROWS).map(move |row| (column, row)))
            .map(|(column, row)| self.core(column, row, &symbols))
            .collect();
        Array {
            device: self.device,
            functions: self.functions(&symbols),
            tiles,
            fifos,
            links,
            cores,
        }
    }

    fn add_a(&self, row: usize, fifos: &mut Vec<Fifo>, links: &mut Vec<Link>) {
        let column = self.a_column(row);
        let cores = (0..self.device.columns()).map(|c| At::core(c, row)).collect();
        self.add_input(
            [format!("A_l2_{row}"), format!("A_l1_{row}")],
            column,
            cores,
            self.a_elements(),
            fifos,
            links,
        );
    }

    fn add_b(&self, column: usize, fifos: &mut Vec<Fifo>, links: &mut Vec<Link>) {
        let cores = (0..Device::ROWS).map(|r| At::core(column, r)).collect();
        self.add_input(
            [format!("B_l2_{column}"), format!("B_l1_{column}")],
            column,
            cores,
            self.b_elements(),
            fifos,
            links,
        );
    }

    /// Shim → memtile → broadcast to cores.
    fn add_input(
        &self,
        [outer, inner]: [String; 2],
        column: usize,
        cores: Vec<At>,
        elements: usize,
        fifos: &mut Vec<Fifo>,
        links: &mut Vec<Link>,
    ) {
        let memtile = At::memtile(column);
        let fifo = |name: &str, producer, consumers| Fifo {
            name: name.to_owned(),
            producer,
            consumers,
            depth: 2,
            elements,
            element: Element::input(self.precision),
            to_stream: Vec::new(),
        };
        fifos.push(fifo(&outer, At::shim(column), vec![memtile]));
        fifos.push(fifo(&inner, memtile, cores));
        links.push(Link { at: memtile, from: vec![outer], to: inner, offsets: Vec::new() });
    }

    /// Four cores → memtile → shim; the micro-tiles are undone on the way out, so that C arrives
    /// row-major.
    fn add_c(&self, column: usize, fifos: &mut Vec<Fifo>, links: &mut Vec<Link>) {
        let memtile = At::memtile(column);
        let part = self.c_elements();
        let from: Vec<String> = (0..Device::ROWS).map(|r| format!("C_l1_{column}_{r}")).collect();
        for (row, name) in from.iter().enumerate() {
            fifos.push(Fifo {
                name: name.clone(),
                producer: At::core(column, row),
                consumers: vec![memtile],
                depth: self.c_depth,
                elements: part,
                element: Element::Bf16,
                to_stream: Vec::new(),
            });
        }
        let to = format!("C_l2_{column}");
        fifos.push(Fifo {
            name: to.clone(),
            producer: memtile,
            consumers: vec![At::shim(column)],
            depth: 2,
            elements: part * Device::ROWS,
            element: Element::Bf16,
            to_stream: self.untile(),
        });
        let offsets = (0..Device::ROWS).map(|row| row * part).collect();
        links.push(Link { at: memtile, from, to, offsets });
    }

    /// Reads one core's C, which lies in r × t micro-tiles, row by row.
    fn untile(&self) -> Vec<Dimension> {
        let (Tile { m, n, .. }, MicroTile { r, t, .. }) = (self.tile, self.micro);
        vec![
            Dimension { size: m / r, stride: r * n },
            Dimension { size: r, stride: t },
            Dimension { size: n / t, stride: r * t },
            Dimension { size: t, stride: 1 },
        ]
    }

    fn functions(&self, symbols: &Symbols) -> Vec<Function> {
        let input = self.precision.name();
        let a = format!("memref<{}x{input}>", self.a_elements());
        let b = format!("memref<{}x{input}>", self.b_elements());
        let c = format!("memref<{}xbf16>", self.c_elements());
        let acc = format!("memref<{}x{}>", self.c_elements(), self.precision.accumulator());
        let mut epilogue = vec![acc.clone()];
        if self.a_has_parameters() {
            epilogue.push(a.clone());
        }
        epilogue.extend([b.clone(), c, "i32".to_owned()]);
        vec![
            Function { name: symbols.matmul.clone(), arguments: vec![a, b, acc, "i32".to_owned()] },
            Function { name: symbols.epilogue.clone(), arguments: epilogue },
        ]
    }

    fn core(&self, column: usize, row: usize, symbols: &Symbols) -> Core {
        Core {
            at: At::core(column, row),
            accumulators: Buffer {
                name: format!("acc_{column}_{row}"),
                elements: self.c_elements(),
                element: Element::accumulator(self.precision),
            },
            parameters: Buffer {
                name: format!("rtp_{column}_{row}"),
                elements: PARAMETER_WORDS,
                element: Element::I32,
            },
            go: format!("go_{column}_{row}"),
            stack: STACK,
            program: self.program(column, row, symbols),
        }
    }

    fn program(&self, column: usize, row: usize, symbols: &Symbols) -> Vec<Step> {
        let a = format!("A_l1_{row}");
        let b = format!("B_l1_{column}");
        let c = format!("C_l1_{column}_{row}");
        let object = |fifo: &str| Argument::Object { fifo: fifo.to_owned() };
        let call =
            |function: &str, arguments| Step::Call { function: function.to_owned(), arguments };

        let matmul = vec![object(&a), object(&b), Argument::Accumulators, Argument::KTile];
        let mut multiply = vec![acquire(&a, Port::Consume), acquire(&b, Port::Consume)];
        multiply.push(call(&symbols.matmul, matmul));
        multiply.extend([release(&a, Port::Consume), release(&b, Port::Consume)]);

        let mut parameters = vec![b.clone()];
        if self.a_has_parameters() {
            parameters.insert(0, a);
        }
        let mut epilogue = vec![Argument::Accumulators];
        epilogue.extend(parameters.iter().map(|fifo| object(fifo)));
        epilogue.extend([object(&c), Argument::Epilogue]);

        let mut body = vec![Step::Loop { trips: Trips::KTiles, body: multiply }];
        body.extend(parameters.iter().map(|fifo| acquire(fifo, Port::Consume)));
        body.push(acquire(&c, Port::Produce));
        body.push(call(&symbols.epilogue, epilogue));
        body.extend(parameters.iter().map(|fifo| release(fifo, Port::Consume)));
        body.push(release(&c, Port::Produce));
        vec![Step::Loop { trips: Trips::OutputTiles, body }]
    }
}

fn acquire(fifo: &str, port: Port) -> Step {
    Step::Acquire { fifo: fifo.to_owned(), port, count: 1 }
}

fn release(fifo: &str, port: Port) -> Step {
    Step::Release { fifo: fifo.to_owned(), port, count: 1 }
}
