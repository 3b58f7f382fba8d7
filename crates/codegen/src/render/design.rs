//! MLIR-AIE text of a design: its static configuration and its runtime sequences.

use serde::Serialize;

use super::kernel::kernel;
use super::{RenderError, render};
use crate::plan::Design;
use crate::plan::array::{
    Argument, Array, At, Core, Dimension, Element, Fifo, Link, Parameters, Port, Step, Trips,
};
use crate::plan::sequence::{Command, Sequence, Transfer};

/// The line of a configuration where its runtime sequences go.
pub const SEQUENCES_MARKER: &str = "    // runtime sequences\n";

/// Object file of the core kernel, as designs link it.
pub const KERNEL_OBJECT: &str = "gemm.o";

/// File name of the core kernel's source.
pub const KERNEL_SOURCE: &str = "gemm.cc";

/// A design as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedDesign {
    /// Folder of its files: `whisper-base/npu1-i8`.
    pub folder: String,
    /// BLAKE3 of the configuration and the core kernel, in hexadecimal.
    pub hash: String,
    /// C++ source of the core kernel.
    pub kernel: String,
    /// The module without sequences, with [`SEQUENCES_MARKER`] in their place.
    pub configuration: String,
    /// Name and text of each sequence.
    pub sequences: Vec<(String, String)>,
}

impl RenderedDesign {
    /// Renders a design.
    ///
    /// # Errors
    /// When a template does not fit its context, which is a fault of this library.
    pub fn new(design: &Design) -> Result<Self, RenderError> {
        let configuration = configuration(&design.array)?;
        let kernel = kernel(&design.layout)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(configuration.as_bytes()).update(kernel.as_bytes());
        let sequences = design
            .sequences
            .iter()
            .map(|sequence| Ok((sequence.name.clone(), self::sequence(&design.array, sequence)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            folder: folder(design),
            hash: hasher.finalize().to_hex().to_string(),
            kernel,
            configuration,
            sequences,
        })
    }

    /// The whole module, with all its sequences.
    pub fn module(&self) -> String {
        let sequences: String = self.sequences.iter().map(|(_, text)| text.as_str()).collect();
        self.configuration.replacen(SEQUENCES_MARKER, &sequences, 1)
    }
}

/// Folder of a design's files.
pub(super) fn folder(design: &Design) -> String {
    format!("{}/{}", design.model, design.target())
}

/// Renders the static configuration.
///
/// # Errors
/// As [`RenderedDesign::new`].
pub fn configuration(array: &Array) -> Result<String, RenderError> {
    let functions = array.functions.iter().map(|function| FunctionView {
        name: &function.name,
        signature: function.arguments.join(", "),
    });
    let view = Configuration {
        device: array.device.name(),
        object: KERNEL_OBJECT,
        functions: functions.collect(),
        tiles: &array.tiles,
        fifos: array.fifos.iter().map(FifoView::new).collect(),
        links: array.links.iter().map(LinkView::new).collect(),
        cores: array.cores.iter().map(|core| CoreView::new(array, core)).collect(),
    };
    render("design.mlir", &view)
}

/// Renders one runtime sequence.
///
/// # Errors
/// As [`RenderedDesign::new`].
pub fn sequence(array: &Array, sequence: &Sequence) -> Result<String, RenderError> {
    let arguments = sequence
        .arguments
        .iter()
        .map(|buffer| format!("%{}: {}", buffer.name, memref(buffer.elements, buffer.element)));
    let view = SequenceView {
        name: &sequence.name,
        comment: format!("{} padded to {}", sequence.shape, sequence.padded),
        arguments: arguments.collect::<Vec<_>>().join(", "),
        cores: array.cores.iter().map(core_id).collect(),
        parameters: sequence.parameters,
        commands: sequence.commands.iter().map(|&c| CommandView::new(sequence, c)).collect(),
    };
    render("sequence.mlir", &view)
}

fn memref(elements: usize, element: Element) -> String {
    let element = match element {
        Element::I8 => "i8",
        Element::Bf16 => "bf16",
        Element::I32 => "i32",
        Element::F32 => "f32",
    };
    format!("memref<{elements}x{element}>")
}

fn tile(at: At) -> String {
    format!("%t_{}_{}", at.column, at.row)
}

/// `column_row`, with the row counted among the cores.
fn core_id(core: &Core) -> String {
    format!("{}_{}", core.at.column, core.at.row - At::core(0, 0).row)
}

/// Context of `design.mlir.tera`.
#[derive(Serialize)]
struct Configuration<'a> {
    device: &'a str,
    object: &'a str,
    functions: Vec<FunctionView<'a>>,
    tiles: &'a [At],
    fifos: Vec<FifoView<'a>>,
    links: Vec<LinkView<'a>>,
    cores: Vec<CoreView<'a>>,
}

#[derive(Serialize)]
struct FunctionView<'a> {
    name: &'a str,
    signature: String,
}

#[derive(Serialize)]
struct FifoView<'a> {
    name: &'a str,
    producer: String,
    consumers: String,
    depth: usize,
    memref: String,
    to_stream: &'a [Dimension],
}

impl<'a> FifoView<'a> {
    fn new(fifo: &'a Fifo) -> Self {
        let consumers = fifo.consumers.iter().map(|&at| tile(at));
        Self {
            name: &fifo.name,
            producer: tile(fifo.producer),
            consumers: consumers.collect::<Vec<_>>().join(", "),
            depth: fifo.depth,
            memref: memref(fifo.elements, fifo.element),
            to_stream: &fifo.to_stream,
        }
    }
}

#[derive(Serialize)]
struct LinkView<'a> {
    from: String,
    to: &'a str,
    offsets: String,
}

impl<'a> LinkView<'a> {
    fn new(link: &'a Link) -> Self {
        let from = link.from.iter().map(|name| format!("@{name}"));
        let offsets = link.offsets.iter().map(ToString::to_string);
        Self {
            from: from.collect::<Vec<_>>().join(", "),
            to: &link.to,
            offsets: offsets.collect::<Vec<_>>().join(", "),
        }
    }
}

#[derive(Serialize)]
struct CoreView<'a> {
    id: String,
    tile: String,
    accumulators: String,
    parameters: String,
    stack: usize,
    program: Vec<Line<'a>>,
}

impl<'a> CoreView<'a> {
    fn new(array: &'a Array, core: &'a Core) -> Self {
        let mut writer = ProgramWriter { array, core, id: core_id(core), lines: Vec::new() };
        writer.write(&core.program, 4);
        Self {
            tile: tile(core.at),
            accumulators: memref(core.accumulators.elements, core.accumulators.element),
            parameters: memref(core.parameters.elements, core.parameters.element),
            stack: core.stack,
            program: writer.lines,
            id: writer.id,
        }
    }
}

/// One step of a core program.
#[derive(Serialize)]
struct Line<'a> {
    indent: String,
    #[serde(flatten)]
    step: LineKind<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum LineKind<'a> {
    Acquire { value: String, fifo: &'a str, port: Port, count: usize, memref: String },
    Release { fifo: &'a str, port: Port, count: usize },
    Call { function: &'a str, values: String, types: String },
    Loop { counter: &'static str, trips: &'static str, index: Option<&'static str> },
    End,
}

/// Flattens the tree of steps into lines.
struct ProgramWriter<'a> {
    array: &'a Array,
    core: &'a Core,
    id: String,
    lines: Vec<Line<'a>>,
}

impl<'a> ProgramWriter<'a> {
    fn write(&mut self, steps: &'a [Step], depth: usize) {
        for step in steps {
            match step {
                Step::Loop { trips, body } => {
                    let (counter, trips, index) = match trips {
                        Trips::KTiles => ("%k", "%k_tiles", Some("%k_tile")),
                        Trips::OutputTiles => ("%output_tile", "%output_tiles", None),
                    };
                    self.push(depth, LineKind::Loop { counter, trips, index });
                    self.write(body, depth + 1);
                    self.push(depth, LineKind::End);
                }
                Step::Acquire { fifo, port, count } => {
                    let (value, memref) = (object_value(fifo), self.object_type(fifo));
                    let step =
                        LineKind::Acquire { value, fifo, port: *port, count: *count, memref };
                    self.push(depth, step);
                }
                Step::Release { fifo, port, count } => {
                    self.push(depth, LineKind::Release { fifo, port: *port, count: *count });
                }
                Step::Call { function, arguments } => {
                    let step = self.call(function, arguments);
                    self.push(depth, step);
                }
            }
        }
    }

    fn push(&mut self, depth: usize, step: LineKind<'a>) {
        self.lines.push(Line { indent: "  ".repeat(depth), step });
    }

    fn call(&self, function: &'a str, arguments: &[Argument]) -> LineKind<'a> {
        let typed = arguments.iter().map(|argument| match argument {
            Argument::Object { fifo } => (object_value(fifo), self.object_type(fifo)),
            Argument::Accumulators => {
                let buffer = &self.core.accumulators;
                (format!("%acc_{}", self.id), memref(buffer.elements, buffer.element))
            }
            Argument::Epilogue => ("%epilogue".to_owned(), "i32".to_owned()),
            Argument::KTile => ("%k_tile".to_owned(), "i32".to_owned()),
        });
        let (values, types): (Vec<String>, Vec<String>) = typed.unzip();
        LineKind::Call { function, values: values.join(", "), types: types.join(", ") }
    }

    fn object_type(&self, fifo: &str) -> String {
        let fifo = self.array.fifo(fifo);
        fifo.map(|fifo| memref(fifo.elements, fifo.element)).unwrap_or_default()
    }
}

/// SSA name of an object by the letter of its fifo: `%a`, `%b` or `%c`.
fn object_value(fifo: &str) -> String {
    let letter = fifo.chars().next().unwrap_or('x').to_ascii_lowercase();
    format!("%{letter}")
}

/// Context of `sequence.mlir.tera`.
#[derive(Serialize)]
struct SequenceView<'a> {
    name: &'a str,
    comment: String,
    arguments: String,
    cores: Vec<String>,
    parameters: Parameters,
    commands: Vec<CommandView<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum CommandView<'a> {
    Start {
        name: &'a str,
        fifo: &'a str,
        buffer: String,
        offset: usize,
        length: usize,
        dimensions: String,
        attributes: String,
    },
    Await {
        name: &'a str,
    },
    Free {
        name: &'a str,
    },
}

impl<'a> CommandView<'a> {
    fn new(sequence: &'a Sequence, command: Command) -> Self {
        let transfer = |index: usize| &sequence.transfers[index];
        match command {
            Command::Start(index) => Self::start(sequence, transfer(index)),
            Command::Await(index) => Self::Await { name: &transfer(index).name },
            Command::Free(index) => Self::Free { name: &transfer(index).name },
        }
    }

    fn start(sequence: &'a Sequence, transfer: &'a Transfer) -> Self {
        let buffer = &sequence.arguments[transfer.argument];
        Self::Start {
            name: &transfer.name,
            fifo: &transfer.fifo,
            buffer: format!("%{} : {}", buffer.name, memref(buffer.elements, buffer.element)),
            offset: transfer.offset,
            length: transfer.length,
            dimensions: dimensions(&transfer.dimensions),
            attributes: attributes(transfer),
        }
    }
}

fn dimensions(dimensions: &[Dimension]) -> String {
    if dimensions.is_empty() {
        return String::new();
    }
    let each = dimensions.iter().map(|d| format!("<size = {}, stride = {}>", d.size, d.stride));
    format!(", [{}]", each.collect::<Vec<_>>().join(", "))
}

fn attributes(transfer: &Transfer) -> String {
    let mut attributes = Vec::new();
    if transfer.token {
        attributes.push("issue_token = true".to_owned());
    }
    if transfer.runs > 1 {
        attributes.push(format!("repeat_count = {} : i32", transfer.runs - 1));
    }
    match attributes.is_empty() {
        true => String::new(),
        false => format!(" {{{}}}", attributes.join(", ")),
    }
}
