//! The runtime sequence of one exact shape: what the host's command processor does with the array.
//!
//! Loop order: for every block of `4·m` rows, for every block of `columns·n` columns, all of K.
//!
//! - A is packed `[row block][core row][K tiles…, parameter tile][m·k]`: one linear task per row
//!   block and core row, run once per column block.
//! - B is packed `[column][column block][K tiles…, parameter tile][k·n]`: one linear task per
//!   column, run once per row block.
//! - C is row-major, M × N padded: per column one task (or more, [`MAX_ITERATION`] row blocks
//!   each), queued before any input so that results always have somewhere to go.

use serde::Serialize;

use super::array::{Dimension, Element, Layout, Parameters};
use tilewright_kernel::Loops;

use crate::device::{Device, Epilogue, MAX_ITERATION, Shape, TASK_QUEUE, Tile};

/// A host buffer that a sequence is run with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostBuffer {
    /// Name of the argument.
    pub name: &'static str,
    /// Number of elements, with padding and parameters.
    pub elements: usize,
    /// Type of the elements.
    pub element: Element,
}

impl HostBuffer {
    /// Size in bytes.
    pub const fn bytes(&self) -> usize {
        self.elements * self.element.bytes()
    }
}

/// A task of a shim's DMA: one descriptor, run once or more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// SSA name, unique in its sequence.
    pub name: String,
    /// The fifo that it fills or drains.
    pub fifo: String,
    /// Position of the host buffer among the arguments.
    pub argument: usize,
    /// First element in the host buffer.
    pub offset: usize,
    /// Elements that one run moves.
    pub length: usize,
    /// Layout in the host buffer, outermost first; with four, the first is the iteration, which
    /// steps from run to run. Empty: linear, and each run moves the same elements.
    pub dimensions: Vec<Dimension>,
    /// How often the descriptor runs.
    pub runs: usize,
    /// Whether completion can be waited for.
    pub token: bool,
}

/// One step of a sequence, after the runtime parameters are written and the cores started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "transfer", rename_all = "snake_case")]
pub enum Command {
    /// Configure and queue a transfer.
    Start(usize),
    /// Wait for a transfer's token; frees its descriptor.
    Await(usize),
    /// Free the descriptor of a transfer that is known to be done.
    Free(usize),
}

/// A runtime sequence: one exact shape with its epilogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sequence {
    /// Symbol name, which tells shape and epilogue.
    pub name: String,
    /// Exact shape.
    pub shape: Shape,
    /// Shape that the array runs.
    pub padded: Shape,
    /// Loop counts.
    pub loops: Loops,
    /// What the cores are told.
    pub parameters: Parameters,
    /// Host buffers A, B and C.
    pub arguments: Vec<HostBuffer>,
    /// All transfers.
    pub transfers: Vec<Transfer>,
    /// In which order they are queued and waited for.
    pub commands: Vec<Command>,
}

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

impl Sequence {
    /// Plans the sequence of a shape.
    pub fn new(layout: &Layout, shape: Shape, epilogue: Epilogue) -> Self {
        let loops = layout.loops(shape);
        let padded = loops.padded(layout.device, layout.tile);
        let columns = layout.device.columns();
        let input = Element::input(layout.precision);
        let a_panel = layout.a_tiles(&loops) * layout.a_elements();
        let b_panel = loops.column_blocks * layout.b_tiles(&loops) * layout.b_elements();
        let arguments = vec![
            HostBuffer {
                name: "a",
                elements: loops.row_blocks * Device::ROWS * a_panel,
                element: input,
            },
            HostBuffer { name: "b", elements: columns * b_panel, element: input },
            HostBuffer { name: "c", elements: padded.m * padded.n, element: Element::Bf16 },
        ];
        let mut builder = Builder::default();
        let results = builder.results(layout, &loops, padded);
        builder.weights(columns, &loops, b_panel);
        builder.activations(&loops, a_panel);
        builder.finish(&results);
        Self {
            name: sequence_name(shape, epilogue),
            shape,
            padded,
            loops,
            parameters: Parameters {
                k_tiles: loops.k_tiles,
                output_tiles: loops.output_tiles(),
                epilogue: epilogue.code(),
            },
            arguments,
            transfers: builder.transfers,
            commands: builder.commands,
        }
    }
}

/// Symbol of the sequence of a shape: `m1500_k512_n2048_bias_gelu`.
pub fn sequence_name(shape: Shape, epilogue: Epilogue) -> String {
    format!("m{}_k{}_n{}_{epilogue}", shape.m, shape.k, shape.n)
}

#[derive(Default)]
struct Builder {
    transfers: Vec<Transfer>,
    commands: Vec<Command>,
}

impl Builder {
    fn start(&mut self, transfer: Transfer) -> usize {
        let index = self.transfers.len();
        self.transfers.push(transfer);
        self.commands.push(Command::Start(index));
        index
    }

    /// C of every column. Returns the transfers to wait for.
    fn results(&mut self, layout: &Layout, loops: &Loops, padded: Shape) -> Vec<usize> {
        let Tile { m, n, .. } = layout.tile;
        let rows = m * Device::ROWS;
        let mut started = Vec::new();
        for first in (0..loops.row_blocks).step_by(MAX_ITERATION) {
            let blocks = MAX_ITERATION.min(loops.row_blocks - first);
            for column in 0..layout.device.columns() {
                started.push(self.start(Transfer {
                    name: format!("c_{column}_{first}"),
                    fifo: format!("C_l2_{column}"),
                    argument: C,
                    offset: first * rows * padded.n + column * n,
                    length: loops.column_blocks * rows * n,
                    dimensions: vec![
                        Dimension { size: blocks, stride: rows * padded.n },
                        Dimension {
                            size: loops.column_blocks,
                            stride: layout.device.columns() * n,
                        },
                        Dimension { size: rows, stride: padded.n },
                        Dimension { size: n, stride: 1 },
                    ],
                    runs: blocks,
                    token: true,
                }));
            }
        }
        started
    }

    /// B of every column, once per row block.
    fn weights(&mut self, columns: usize, loops: &Loops, panel: usize) {
        for column in 0..columns {
            self.start(Transfer {
                name: format!("b_{column}"),
                fifo: format!("B_l2_{column}"),
                argument: B,
                offset: column * panel,
                length: panel,
                dimensions: Vec::new(),
                runs: loops.row_blocks,
                token: false,
            });
        }
    }

    /// A of every core row. A channel queues [`TASK_QUEUE`] tasks, so each further one waits for
    /// the task that many before it.
    fn activations(&mut self, loops: &Loops, panel: usize) {
        let rows = Device::ROWS;
        let mut started = Vec::new();
        for block in 0..loops.row_blocks {
            for row in 0..rows {
                if block >= TASK_QUEUE {
                    let earlier: usize = started[(block - TASK_QUEUE) * rows + row];
                    self.commands.push(Command::Await(earlier));
                }
                started.push(self.start(Transfer {
                    name: format!("a_{row}_{block}"),
                    fifo: format!("A_l2_{row}"),
                    argument: A,
                    offset: (block * rows + row) * panel,
                    length: panel,
                    dimensions: Vec::new(),
                    runs: loops.column_blocks,
                    token: block + TASK_QUEUE < loops.row_blocks,
                }));
            }
        }
    }

    /// Waits for the results; whatever was not waited for is done by then, and is freed.
    fn finish(&mut self, results: &[usize]) {
        self.commands.extend(results.iter().map(|&result| Command::Await(result)));
        let untracked = self.transfers.iter().enumerate().filter(|(_, transfer)| !transfer.token);
        let frees: Vec<Command> = untracked.map(|(index, _)| Command::Free(index)).collect();
        self.commands.extend(frees);
    }
}
