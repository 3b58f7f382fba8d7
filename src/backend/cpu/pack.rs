//! Weights in the order in which tiles read them.
//!
//! One block of bytes, the same in memory and on disk: a header, then for each column (padded to
//! whole panels) its scale, its bias and, for integers, the start value of its sums, then the
//! panels. A panel holds two vectors (or tiles) of columns; for each step of K their elements lie
//! together, in groups of as many as one instruction multiplies. Each section starts on a cache line.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use half::bf16;
use rayon::prelude::*;
use tilewright_kernel::Epilogue;

use super::error::check_length;
use super::math::INTEGERS;
use super::simd::{Geometry, Isa, Level};
use super::tile::Element;
use super::workspace::{ALIGNMENT, Buffer};
use super::{CpuError, Numeric, Scaling};

/// Changes whenever the layout does.
const VERSION: u32 = 2;
/// 65536 products of 255 × 127 fit an i32.
const MAX_INTEGER_K: usize = 1 << 16;
const MAGIC: [u8; 8] = *b"TWpacked";

/// Bytes that weights lie in, which may be a file in memory.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What the first cache line of packed weights says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u32,
    numeric: u32,
    isa: u32,
    epilogue: u32,
    k: u32,
    n: u32,
    panel: u32,
    group: u32,
    unused: [u32; 6],
}

/// What packed weights are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) numeric: Numeric,
    pub(super) epilogue: Epilogue,
    pub(super) k: usize,
    pub(super) n: usize,
}

/// Packed weights.
#[derive(Clone)]
pub(super) struct PackedWeights {
    spec: Spec,
    isa: Isa,
    layout: Layout,
    bytes: SharedBytes,
    range: Range<usize>,
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, isa, layout, bytes: _, range } = self;
        f.debug_struct("PackedWeights")
            .field("spec", spec)
            .field("isa", isa)
            .field("layout", layout)
            .field("range", range)
            .finish_non_exhaustive()
    }
}

/// Where the sections lie.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    geometry: Geometry,
    scales: Range<usize>,
    bias: Range<usize>,
    starts: Range<usize>,
    panels: Range<usize>,
    /// Bytes of one panel.
    panel_bytes: usize,
}

impl Layout {
    fn new(spec: &Spec, geometry: Geometry) -> Self {
        let panels = spec.n.div_ceil(geometry.panel);
        let mut end = size_of::<Header>();
        let mut section = |bytes: usize| {
            let start = end;
            end = (start + bytes).next_multiple_of(ALIGNMENT);
            start..start + bytes
        };
        let columns = panels * geometry.panel * 4;
        let (scales, bias) = (section(columns), section(columns));
        let starts = section(if spec.is_integer() { columns } else { 0 });
        let panel_bytes = geometry.panel
            * match spec.numeric {
                Numeric::F32 => spec.k * 4,
                Numeric::Bf16 => spec.k.next_multiple_of(geometry.step) * 2,
                Numeric::I8 { .. } => spec.k.next_multiple_of(geometry.step),
            };
        let panels = section(panels * panel_bytes);
        Self { geometry, scales, bias, starts, panels, panel_bytes }
    }

    /// All bytes. A panel is a whole number of words, of cache lines with wider vectors.
    fn length(&self) -> usize {
        self.panels.end.next_multiple_of(ALIGNMENT)
    }
}

impl Spec {
    fn is_integer(&self) -> bool {
        matches!(self.numeric, Numeric::I8 { .. })
    }

    fn header(&self, isa: Isa, geometry: Geometry) -> Result<Header, CpuError> {
        if self.is_integer() && self.k > MAX_INTEGER_K {
            let rule = "a sum of i8 products fits i32 up to K = 65536";
            return Err(CpuError::Geometry { what: "weights", rule });
        }
        let size = |size: usize| {
            u32::try_from(size)
                .map_err(|_| CpuError::Geometry {
                    what: "weights", rule: "K and N are below 2³²"
                })
        };
        Ok(Header {
            magic: MAGIC,
            version: VERSION,
            numeric: match self.numeric {
                Numeric::F32 => 0,
                Numeric::Bf16 => 1,
                Numeric::I8 { activations: Scaling::PerRow } => 2,
                Numeric::I8 { activations: Scaling::PerTensor } => 3,
            },
            isa: isa as u32,
            epilogue: self.epilogue.code().unsigned_abs(),
            k: size(self.k)?,
            n: size(self.n)?,
            panel: size(geometry.panel)?,
            group: size(geometry.group)?,
            unused: [0; 6],
        })
    }
}

impl PackedWeights {
    /// Packs N × K weights, in parallel.
    pub(super) fn pack(
        level: Level,
        spec: Spec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, CpuError> {
        check_length("the weight matrix", spec.n * spec.k, weights.len())?;
        let quantise = |channel: usize, into: &mut [i8]| -> f32 {
            let row = &weights[channel * spec.k..][..spec.k];
            let scale = scale_of(max_magnitude(row));
            for (into, x) in into.iter_mut().zip(row) {
                // Ties to even, as `round_ties_even`, which is a function call on old processors.
                *into = (((x / scale).clamp(-127.0, 127.0) + INTEGERS) - INTEGERS) as i8;
            }
            scale
        };
        if let Some(channel) = (0..spec.n)
            .into_par_iter()
            .find_first(|n| !max_magnitude(&weights[n * spec.k..][..spec.k]).is_finite())
        {
            return Err(CpuError::NotFinite { channel });
        }
        let float = |channel: usize, at: usize| weights[channel * spec.k + at];
        Self::pack_with(level, spec, bias, float, quantise)
    }

    /// Packs N × K weights that are integers already, with their scales.
    pub(super) fn pack_integers(
        level: Level,
        spec: Spec,
        weight: impl Fn(usize, usize) -> i8 + Sync,
        scales: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self, CpuError> {
        check_length("the scales of the weights", spec.n, scales.len())?;
        let quantise = |channel: usize, into: &mut [i8]| -> f32 {
            for (at, into) in into.iter_mut().enumerate() {
                *into = weight(channel, at);
            }
            scales[channel]
        };
        Self::pack_with(level, spec, bias, |_, _| 0.0, quantise)
    }

    /// Packs weights given by functions: one element as a float, or one channel as integers.
    fn pack_with(
        level: Level,
        spec: Spec,
        bias: Option<&[f32]>,
        float: impl Fn(usize, usize) -> f32 + Sync,
        quantise: impl Fn(usize, &mut [i8]) -> f32 + Sync,
    ) -> Result<Self, CpuError> {
        match (bias, spec.epilogue) {
            (None, _) => {}
            (Some(_), Epilogue::None) => return Err(CpuError::UnusedBias),
            (Some(bias), _) => check_length("the bias", spec.n, bias.len())?,
        }
        let geometry = level.geometry_of(spec.numeric);
        let layout = Layout::new(&spec, geometry);
        let header = spec.header(level.isa(), geometry)?;
        let mut buffer = Buffer::default();
        let bytes = buffer.get::<u8>(layout.length());
        bytes[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        if let Some(bias) = bias {
            bytemuck::cast_slice_mut(&mut bytes[layout.bias.clone()])[..spec.n]
                .copy_from_slice(bias);
        }
        bytemuck::cast_slice_mut(&mut bytes[layout.scales.clone()]).fill(1.0_f32);
        let (columns, panels) = bytes.split_at_mut(layout.panels.start);
        let panels = &mut panels[..layout.panels.len()];
        match spec.numeric {
            Numeric::F32 => pack_floats::<f32>(&spec, geometry, panels, float),
            Numeric::Bf16 => pack_floats::<bf16>(&spec, geometry, panels, float),
            Numeric::I8 { .. } => {
                let (before, starts) = columns.split_at_mut(layout.starts.start);
                let starts = bytemuck::cast_slice_mut(&mut starts[..layout.starts.len()]);
                let scales = bytemuck::cast_slice_mut(&mut before[layout.scales.clone()]);
                pack_integer_panels(&spec, geometry, panels, scales, starts, quantise);
            }
        }
        let range = 0..layout.length();
        Ok(Self { spec, isa: level.isa(), layout, bytes: Arc::new(buffer), range })
    }

    /// Weights that were packed before, where they lie; copied if they do not lie on a cache line.
    pub(super) fn from_bytes(
        level: Level,
        spec: Spec,
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<Self, CpuError> {
        let geometry = level.geometry_of(spec.numeric);
        let layout = Layout::new(&spec, geometry);
        let all = (*bytes).as_ref();
        let Some(slice) = all.get(range.clone()) else {
            return Err(packed("the range", format!("within {} bytes", all.len()), &range));
        };
        if slice.len() != layout.length() {
            return Err(packed("the length", layout.length(), slice.len()));
        }
        let found: Header = bytemuck::pod_read_unaligned(&slice[..size_of::<Header>()]);
        let expected = spec.header(level.isa(), geometry)?;
        if found.magic != expected.magic {
            return Err(packed("the magic", MAGIC.escape_ascii(), found.magic.escape_ascii()));
        }
        let fields = [
            ("the layout's version", expected.version, found.version),
            ("the instruction set", expected.isa, found.isa),
            ("the precision", expected.numeric, found.numeric),
            ("the epilogue", expected.epilogue, found.epilogue),
            ("K", expected.k, found.k),
            ("N", expected.n, found.n),
            ("the panel's width", expected.panel, found.panel),
            ("the group", expected.group, found.group),
        ];
        for (field, expected, found) in fields {
            if expected != found {
                return Err(packed(field, expected, found));
            }
        }
        let (bytes, range) = if (slice.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            (bytes, range)
        } else {
            let mut buffer = Buffer::default();
            buffer.get::<u8>(slice.len()).copy_from_slice(slice);
            (Arc::new(buffer) as SharedBytes, 0..slice.len())
        };
        Ok(Self { spec, isa: level.isa(), layout, bytes, range })
    }

    /// The bytes that [`PackedWeights::from_bytes`] reads.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &(*self.bytes).as_ref()[self.range.clone()]
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.layout.geometry
    }

    /// The sections, to multiply with.
    pub(super) fn view(&self) -> View<'_> {
        let bytes = self.as_bytes();
        let layout = &self.layout;
        View {
            scales: bytemuck::cast_slice(&bytes[layout.scales.clone()]),
            bias: bytemuck::cast_slice(&bytes[layout.bias.clone()]),
            starts: bytemuck::cast_slice(&bytes[layout.starts.clone()]),
            panels: &bytes[layout.panels.clone()],
            panel_bytes: layout.panel_bytes,
        }
    }
}

fn packed(field: &'static str, expected: impl fmt::Display, found: impl fmt::Debug) -> CpuError {
    CpuError::Packed { field, expected: expected.to_string(), found: format!("{found:?}") }
}

/// The sections of packed weights.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Of each column; ones for floats.
    pub(super) scales: &'a [f32],
    /// Of each column; zeros if there is none.
    pub(super) bias: &'a [f32],
    /// What the sum of each column starts at.
    pub(super) starts: &'a [i32],
    panels: &'a [u8],
    panel_bytes: usize,
}

impl<'a> View<'a> {
    /// A panel of columns.
    #[inline(always)]
    pub(super) fn panel<T: Pod>(self, panel: usize) -> &'a [T] {
        bytemuck::cast_slice(&self.panels[panel * self.panel_bytes..][..self.panel_bytes])
    }
}

/// The scale of a row or channel with this largest magnitude: 1 where there is nothing to scale.
#[inline(always)]
pub(super) fn scale_of(max: f32) -> f32 {
    // Below this, dividing by the scale would overflow. NaN and infinity stay what they are.
    if max < 127.0 * f32::MIN_POSITIVE { 1.0 } else { max / 127.0 }
}

pub(super) fn max_magnitude(x: &[f32]) -> f32 {
    f32::from_bits(x.iter().fold(0, |max, x| max.max(x.to_bits() & 0x7fff_ffff)))
}

fn pack_floats<E: Element + Pod>(
    spec: &Spec,
    geometry: Geometry,
    panels: &mut [u8],
    weight: impl Fn(usize, usize) -> f32 + Sync,
) {
    let (width, group) = (geometry.panel, geometry.group);
    let length = width * spec.k.next_multiple_of(geometry.step);
    let panels: &mut [E] = bytemuck::cast_slice_mut(panels);
    panels.par_chunks_mut(length.max(1)).enumerate().for_each(|(panel, into)| {
        for column in 0..width.min(spec.n - panel * width) {
            let slot = if group == 1 { E::slot(column, width) } else { column * group };
            for at in 0..spec.k {
                let x = E::narrow(weight(panel * width + column, at));
                into[at / group * group * width + slot + at % group] = x;
            }
        }
    });
}

fn pack_integer_panels(
    spec: &Spec,
    geometry: Geometry,
    panels: &mut [u8],
    scales: &mut [f32],
    starts: &mut [i32],
    quantise: impl Fn(usize, &mut [i8]) -> f32 + Sync,
) {
    let (width, group) = (geometry.panel, geometry.group);
    let length = width * spec.k.next_multiple_of(geometry.step);
    let panels: &mut [i8] = bytemuck::cast_slice_mut(panels);
    panels
        .par_chunks_mut(length.max(1))
        .zip(scales.par_chunks_mut(width).zip(starts.par_chunks_mut(width)))
        .enumerate()
        .for_each_init(
            || vec![0; spec.k],
            |row, (panel, (into, (scales, starts)))| {
                for column in 0..width.min(spec.n - panel * width) {
                    scales[column] = quantise(panel * width + column, row);
                    let sum: i32 = row.iter().map(|&x| i32::from(x)).sum();
                    starts[column] = -geometry.offset * sum;
                    for (step, weights) in row.chunks(group).enumerate() {
                        into[(step * width + column) * group..][..weights.len()]
                            .copy_from_slice(weights);
                    }
                }
            },
        );
}
