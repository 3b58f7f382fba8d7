//! Weights for few rows, in the order in which they are read.
//!
//! The panels are those of a matmul of many rows, for the vectors of the instruction set alone: what
//! engines of tiles read suits many rows only. One block of bytes, the same in memory and on disk: a
//! header, then for each output (padded to whole panels) its scale, its bias and, for integers, the
//! start value of its sums, then the panels.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use half::bf16;
use rayon::prelude::*;

use super::super::error::check_length;
use super::super::math::INTEGERS;
use super::super::pack::{SharedBytes, scale_of};
use super::super::simd::{Isa, Level};
use super::super::tile::Element;
use super::super::workspace::{ALIGNMENT, Buffer};
use super::super::{CpuError, Numeric};

/// Changes whenever the layout does.
const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"TWlinear";
/// 65536 products of 255 × 127 fit an i32.
const MAX_INTEGER_INPUTS: usize = 1 << 16;

/// What the first cache line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u32,
    numeric: u32,
    isa: u32,
    inputs: u32,
    outputs: u32,
    panel: u32,
    group: u32,
    unused: [u32; 7],
}

/// A matrix and a bias, packed for few rows and this machine's instruction set.
#[derive(Clone)]
pub struct Linear {
    numeric: Numeric,
    inputs: usize,
    outputs: usize,
    isa: Isa,
    layout: Layout,
    bytes: SharedBytes,
    range: Range<usize>,
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { numeric, inputs, outputs, isa, layout: _, bytes: _, range } = self;
        f.debug_struct("Linear")
            .field("numeric", numeric)
            .field("inputs", inputs)
            .field("outputs", outputs)
            .field("isa", isa)
            .field("bytes", &range.len())
            .finish_non_exhaustive()
    }
}

/// Where the sections lie.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    panel: usize,
    group: usize,
    offset: i32,
    scales: Range<usize>,
    bias: Range<usize>,
    starts: Range<usize>,
    panels: Range<usize>,
    panel_bytes: usize,
}

impl Layout {
    fn new(level: Level, numeric: Numeric, inputs: usize, outputs: usize) -> Self {
        let vectors = level.geometry();
        let is_integer = matches!(numeric, Numeric::I8 { .. });
        let (group, offset) = if is_integer { (vectors.group, vectors.offset) } else { (1, 0) };
        let count = outputs.div_ceil(vectors.panel);
        let mut end = size_of::<Header>();
        let mut section = |bytes: usize| {
            let start = end;
            end = (start + bytes).next_multiple_of(ALIGNMENT);
            start..start + bytes
        };
        let columns = count * vectors.panel * 4;
        let (scales, bias) = (section(columns), section(columns));
        let starts = section(if is_integer { columns } else { 0 });
        let element = match numeric {
            Numeric::F32 => 4,
            Numeric::Bf16 => 2,
            Numeric::I8 { .. } => 1,
        };
        let panel_bytes = vectors.panel * inputs.next_multiple_of(group) * element;
        let panels = section(count * panel_bytes);
        Self { panel: vectors.panel, group, offset, scales, bias, starts, panels, panel_bytes }
    }

    fn length(&self) -> usize {
        self.panels.end.next_multiple_of(ALIGNMENT)
    }
}

impl Linear {
    /// Packs outputs × inputs weights, in parallel.
    pub(super) fn pack(
        level: Level,
        numeric: Numeric,
        [outputs, inputs]: [usize; 2],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, CpuError> {
        check_length("the weight matrix", outputs * inputs, weights.len())?;
        if let Some(bias) = bias {
            check_length("the bias", outputs, bias.len())?;
        }
        let row = |output: usize| &weights[output * inputs..][..inputs];
        let is_finite = |output: usize| row(output).iter().all(|x| x.is_finite());
        if let Some(channel) = (0..outputs).into_par_iter().find_first(|n| !is_finite(*n)) {
            return Err(CpuError::NotFinite { channel });
        }
        let layout = Layout::new(level, numeric, inputs, outputs);
        let header = header(level.isa(), numeric, inputs, outputs, &layout)?;
        let mut buffer = Buffer::default();
        let bytes = buffer.get::<u8>(layout.length());
        bytes[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        bytemuck::cast_slice_mut(&mut bytes[layout.scales.clone()]).fill(1.0_f32);
        if let Some(bias) = bias {
            bytemuck::cast_slice_mut(&mut bytes[layout.bias.clone()])[..outputs]
                .copy_from_slice(bias);
        }
        let (before, panels) = bytes.split_at_mut(layout.panels.start);
        let panels = &mut panels[..layout.panels.len()];
        match numeric {
            Numeric::F32 => pack_floats::<f32>(&layout, panels, outputs, row),
            Numeric::Bf16 => pack_floats::<bf16>(&layout, panels, outputs, row),
            Numeric::I8 { .. } => {
                let (before, starts) = before.split_at_mut(layout.starts.start);
                let starts = bytemuck::cast_slice_mut(&mut starts[..layout.starts.len()]);
                let scales = bytemuck::cast_slice_mut(&mut before[layout.scales.clone()]);
                pack_integers(&layout, panels, scales, starts, outputs, row);
            }
        }
        let range = 0..layout.length();
        let bytes = Arc::new(buffer);
        let isa = level.isa();
        Ok(Self { numeric, inputs, outputs, isa, layout, bytes, range })
    }

    /// Weights that were packed before, where they lie; copied if they do not lie on a cache line.
    pub(super) fn from_bytes(
        level: Level,
        numeric: Numeric,
        [outputs, inputs]: [usize; 2],
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<Self, CpuError> {
        let layout = Layout::new(level, numeric, inputs, outputs);
        let all = (*bytes).as_ref();
        let Some(slice) = all.get(range.clone()) else {
            return Err(packed("the range", format!("within {} bytes", all.len()), &range));
        };
        if slice.len() != layout.length() {
            return Err(packed("the length", layout.length(), slice.len()));
        }
        let found: Header = bytemuck::pod_read_unaligned(&slice[..size_of::<Header>()]);
        let expected = header(level.isa(), numeric, inputs, outputs, &layout)?;
        if found != expected {
            return Err(packed("the header", format!("{expected:?}"), found));
        }
        let (bytes, range) = if (slice.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            (bytes, range)
        } else {
            let mut buffer = Buffer::default();
            buffer.get::<u8>(slice.len()).copy_from_slice(slice);
            (Arc::new(buffer) as SharedBytes, 0..slice.len())
        };
        let isa = level.isa();
        Ok(Self { numeric, inputs, outputs, isa, layout, bytes, range })
    }

    /// How it multiplies.
    pub fn numeric(&self) -> Numeric {
        self.numeric
    }

    /// Elements of a row that goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Elements of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The bytes to store for [`Cpu::load_linear`](crate::backend::cpu::Cpu::load_linear).
    pub fn as_bytes(&self) -> &[u8] {
        &(*self.bytes).as_ref()[self.range.clone()]
    }

    /// The weights of an output as they were rounded, which is its row of the matrix.
    ///
    /// # Errors
    /// When there is no such output, or `row` is not as long as one.
    pub fn row(&self, output: usize, row: &mut [f32]) -> Result<(), CpuError> {
        if output >= self.outputs {
            let rule = "an output is below their number";
            return Err(CpuError::Geometry { what: "a row of a matrix", rule });
        }
        check_length("a row of a matrix", self.inputs, row.len())?;
        let (panel, column) = (output / self.layout.panel, output % self.layout.panel);
        let (width, group) = (self.layout.panel, self.layout.group);
        match self.numeric {
            Numeric::F32 => unpack(self.panel::<f32>(panel), width, column, row),
            Numeric::Bf16 => {
                let slot = bf16::slot(column, width);
                unpack(self.panel::<bf16>(panel), width, slot, row);
            }
            Numeric::I8 { .. } => {
                let (panel, scale) = (self.panel::<i8>(panel), self.scales()[output]);
                for (at, x) in row.iter_mut().enumerate() {
                    let weight = panel[(at / group * width + column) * group + at % group];
                    *x = f32::from(weight) * scale;
                }
            }
        }
        Ok(())
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    /// Outputs of a panel.
    pub(super) fn width(&self) -> usize {
        self.layout.panel
    }

    /// Bytes of a panel.
    pub(super) fn panel_bytes(&self) -> usize {
        self.layout.panel_bytes
    }

    pub(super) fn scales(&self) -> &[f32] {
        bytemuck::cast_slice(&self.as_bytes()[self.layout.scales.clone()])
    }

    pub(super) fn bias(&self) -> &[f32] {
        bytemuck::cast_slice(&self.as_bytes()[self.layout.bias.clone()])
    }

    pub(super) fn starts(&self) -> &[i32] {
        bytemuck::cast_slice(&self.as_bytes()[self.layout.starts.clone()])
    }

    pub(super) fn panel<T: Pod>(&self, panel: usize) -> &[T] {
        let panels = &self.as_bytes()[self.layout.panels.clone()];
        let bytes = self.layout.panel_bytes;
        bytemuck::cast_slice(&panels[panel * bytes..][..bytes])
    }
}

fn header(
    isa: Isa,
    numeric: Numeric,
    inputs: usize,
    outputs: usize,
    layout: &Layout,
) -> Result<Header, CpuError> {
    let is_integer = matches!(numeric, Numeric::I8 { .. });
    if is_integer && inputs > MAX_INTEGER_INPUTS {
        let rule = "a sum of i8 products fits i32 up to 65536 inputs";
        return Err(CpuError::Geometry { what: "weights", rule });
    }
    let size = |size: usize| {
        let rule = "inputs and outputs are below 2³²";
        u32::try_from(size).map_err(|_| CpuError::Geometry { what: "weights", rule })
    };
    Ok(Header {
        magic: MAGIC,
        version: VERSION,
        numeric: match numeric {
            Numeric::F32 => 0,
            Numeric::Bf16 => 1,
            Numeric::I8 { .. } => 2,
        },
        isa: isa as u32,
        inputs: size(inputs)?,
        outputs: size(outputs)?,
        panel: size(layout.panel)?,
        group: size(layout.group)?,
        unused: [0; 7],
    })
}

fn packed(field: &'static str, expected: impl fmt::Display, found: impl fmt::Debug) -> CpuError {
    CpuError::Packed { field, expected: expected.to_string(), found: format!("{found:?}") }
}

fn pack_floats<'a, E: Element + Pod>(
    layout: &Layout,
    panels: &mut [u8],
    outputs: usize,
    row: impl Fn(usize) -> &'a [f32] + Sync,
) {
    let width = layout.panel;
    let length = (layout.panel_bytes / size_of::<E>()).max(1);
    let panels: &mut [E] = bytemuck::cast_slice_mut(panels);
    panels.par_chunks_mut(length).enumerate().for_each(|(panel, into)| {
        for column in 0..width.min(outputs - panel * width) {
            let slots = into[E::slot(column, width)..].iter_mut().step_by(width);
            for (x, slot) in row(panel * width + column).iter().zip(slots) {
                *slot = E::narrow(*x);
            }
        }
    });
}

fn pack_integers<'a>(
    layout: &Layout,
    panels: &mut [u8],
    scales: &mut [f32],
    starts: &mut [i32],
    outputs: usize,
    row: impl Fn(usize) -> &'a [f32] + Sync,
) {
    let (width, group) = (layout.panel, layout.group);
    let panels: &mut [i8] = bytemuck::cast_slice_mut(panels);
    panels
        .par_chunks_mut(layout.panel_bytes.max(1))
        .zip(scales.par_chunks_mut(width).zip(starts.par_chunks_mut(width)))
        .enumerate()
        .for_each(|(panel, (into, (scales, starts)))| {
            for column in 0..width.min(outputs - panel * width) {
                let row = row(panel * width + column);
                let scale = scale_of(row.iter().fold(0.0, |max, x| x.abs().max(max)));
                let mut sum = 0;
                for (at, x) in row.iter().enumerate() {
                    // Ties to even, as in the matmuls of many rows.
                    let x = (((x / scale).clamp(-127.0, 127.0) + INTEGERS) - INTEGERS) as i8;
                    into[(at / group * width + column) * group + at % group] = x;
                    sum += i32::from(x);
                }
                scales[column] = scale;
                starts[column] = -layout.offset * sum;
            }
        });
}

fn unpack<E: Copy + Into<f32>>(panel: &[E], width: usize, slot: usize, row: &mut [f32]) {
    for (x, weight) in row.iter_mut().zip(panel[slot..].iter().step_by(width)) {
        *x = (*weight).into();
    }
}
