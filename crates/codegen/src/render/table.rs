//! The dispatch table: Rust text that refers to `tilewright-kernel`.

use serde::Serialize;
use tilewright_kernel::Loops;

use super::design::RenderedDesign;
use super::{RenderError, render};
use crate::device::{Epilogue, MicroTile, Precision, Shape, Tile};
use crate::model::{Extent, Model, ModelFile};
use crate::plan::{Design, Kernel, Plan};

/// Renders the table of a plan. `designs` are the plan's, rendered, in the same order.
///
/// The text is the same with and without a toolchain: what the toolchain makes stands in
/// `artifacts.rs`, beside it.
///
/// # Errors
/// When the template does not fit its context, which is a fault of this library.
pub fn table(
    file: &ModelFile,
    plan: &Plan,
    designs: &[RenderedDesign],
) -> Result<String, RenderError> {
    let rendered: Vec<(&Design, &RenderedDesign)> = plan.designs.iter().zip(designs).collect();
    let models = file.models.iter().map(|model| ModelView::new(model, &rendered));
    let ops = file.ops.iter().map(|op| OpName { type_name: camel_case(&op.name), op: &op.name });
    let view =
        TableView { models: models.collect(), constants: constants(file), ops: ops.collect() };
    render("table.rs", &view)
}

/// Name of a model's module.
fn model_module(name: &str) -> String {
    name.replace(['-', '.'], "_")
}

/// Name of the module of a design's artifacts: `whisper_base_npu1_i8`.
pub(super) fn artifacts_module(design: &Design) -> String {
    format!("{}_{}", model_module(&design.model), design.target().replace('-', "_"))
}

fn camel_case(name: &str) -> String {
    let capitalised = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => String::new(),
    };
    name.split('_').map(capitalised).collect()
}

/// Dimensions that every model has as a number.
fn constants(file: &ModelFile) -> Vec<ConstantView> {
    let Some((first, others)) = file.models.split_first() else { return Vec::new() };
    let fixed = |model: &Model, name: &str| matches!(model.dimension(name), Some(Extent::Fixed(_)));
    let names = first.dimensions.iter().map(|(name, _)| name);
    let shared = names
        .filter(|name| fixed(first, name) && others.iter().all(|other| fixed(other, name)))
        .map(|name| ConstantView { constant: name.to_uppercase(), name: name.clone() });
    shared.collect()
}

/// Context of `table.rs.tera`.
#[derive(Serialize)]
struct TableView<'a> {
    models: Vec<ModelView<'a>>,
    constants: Vec<ConstantView>,
    ops: Vec<OpName<'a>>,
}

#[derive(Serialize)]
struct ConstantView {
    constant: String,
    name: String,
}

#[derive(Serialize)]
struct OpName<'a> {
    type_name: String,
    op: &'a str,
}

#[derive(Serialize)]
struct ModelView<'a> {
    module: String,
    name: &'a str,
    dimensions: Vec<DimensionView<'a>>,
    targets: Vec<TargetView<'a>>,
}

impl<'a> ModelView<'a> {
    fn new(model: &'a Model, rendered: &[(&'a Design, &'a RenderedDesign)]) -> Self {
        let own = rendered.iter().filter(|(design, _)| design.model == model.name);
        let dimensions = model.dimensions.iter();
        Self {
            module: model_module(&model.name),
            name: &model.name,
            dimensions: dimensions.map(|(name, extent)| DimensionView::new(name, extent)).collect(),
            targets: own.map(|(design, text)| TargetView::new(model, design, text)).collect(),
        }
    }
}

#[derive(Serialize)]
struct DimensionView<'a> {
    constant: String,
    name: &'a str,
    kind: String,
    value: String,
}

impl<'a> DimensionView<'a> {
    fn new(name: &'a str, extent: &Extent) -> Self {
        let (kind, value) = match extent {
            Extent::Fixed(size) => ("usize".to_owned(), size.to_string()),
            Extent::Lengths(lengths) => {
                (format!("[usize; {}]", lengths.len()), format!("{lengths:?}"))
            }
        };
        Self { constant: name.to_uppercase(), name, kind, value }
    }
}

#[derive(Serialize)]
struct TargetView<'a> {
    module: String,
    title: String,
    device: String,
    precision: String,
    element: &'static str,
    tile: Tile,
    micro: MicroTile,
    configuration: &'a str,
    artifacts: String,
    ops: Vec<OpView>,
    kernels: Vec<KernelView<'a>>,
    at_doc: &'static str,
    at_generic: &'static str,
    passes: Vec<PassView>,
}

impl<'a> TargetView<'a> {
    fn new(model: &Model, design: &'a Design, text: &'a RenderedDesign) -> Self {
        let layout = &design.layout;
        let kernels = design.kernels.iter().enumerate();
        let kernels: Vec<KernelView> =
            kernels.map(|(i, kernel)| KernelView::new(i, kernel, design)).collect();
        let has_lengths = model.lengths().is_some();
        Self {
            module: design.target().replace('-', "_"),
            title: format!("{} with {}: tile {}", layout.device, layout.precision, layout.tile),
            // The variants' names are their `Debug` form.
            device: format!("{:?}", layout.device),
            precision: format!("{:?}", layout.precision),
            element: match layout.precision {
                Precision::I8 => "i8",
                Precision::Bf16 => "rt::bf16",
            },
            tile: layout.tile,
            micro: layout.micro,
            configuration: &text.hash,
            artifacts: artifacts_module(design),
            ops: ops(&design.kernels),
            kernels,
            at_doc: if has_lengths { " at one of its lengths" } else { "" },
            at_generic: if has_lengths { "<const LENGTH: usize>" } else { "" },
            passes: passes(model, &design.kernels),
        }
    }
}

#[derive(Serialize)]
struct OpView {
    type_name: String,
    doc: String,
    generic: &'static str,
}

/// One type per op: the kernels of an op follow one another.
fn ops(kernels: &[Kernel]) -> Vec<OpView> {
    let of_one_op = kernels.chunk_by(|one, next| one.op == next.op);
    of_one_op.filter_map(|kernels| kernels.first()).map(op_view).collect()
}

fn op_view(kernel: &Kernel) -> OpView {
    let by_length = if kernel.length.is_some() { " at the length `LENGTH`" } else { "" };
    let after = match kernel.epilogue {
        Epilogue::None => "no epilogue",
        Epilogue::Bias => "then the bias",
        Epilogue::BiasGelu => "then the bias and GELU",
    };
    OpView {
        type_name: camel_case(&kernel.op),
        doc: format!("`{}`{by_length}, {after}", kernel.op),
        generic: if kernel.length.is_some() { "<const LENGTH: usize>" } else { "" },
    }
}

#[derive(Serialize)]
struct KernelView<'a> {
    type_name: String,
    arguments: String,
    index: usize,
    op: &'a str,
    length: String,
    count: u64,
    shape: Shape,
    padded: Shape,
    loops: Loops,
    epilogue: String,
    sequence: &'a str,
    host_bytes: Vec<usize>,
}

impl<'a> KernelView<'a> {
    fn new(index: usize, kernel: &'a Kernel, design: &Design) -> Self {
        let sequence = design.sequences.iter().find(|sequence| sequence.name == kernel.sequence);
        let arguments = sequence.map(|sequence| sequence.arguments.as_slice()).unwrap_or_default();
        Self {
            type_name: camel_case(&kernel.op),
            arguments: generic_arguments(kernel.length),
            index,
            op: &kernel.op,
            length: format!("{:?}", kernel.length),
            count: kernel.count,
            shape: kernel.shape,
            padded: kernel.padded,
            loops: kernel.loops,
            epilogue: format!("{:?}", kernel.epilogue),
            sequence: &kernel.sequence,
            host_bytes: arguments.iter().map(|buffer| buffer.bytes()).collect(),
        }
    }
}

fn generic_arguments(length: Option<u64>) -> String {
    length.map(|length| format!("<{length}>")).unwrap_or_default()
}

#[derive(Serialize)]
struct PassView {
    arguments: String,
    length: String,
    ops: Vec<OpArguments>,
}

#[derive(Serialize)]
struct OpArguments {
    type_name: String,
    arguments: String,
}

fn passes(model: &Model, kernels: &[Kernel]) -> Vec<PassView> {
    let lengths: Vec<Option<u64>> = match model.lengths() {
        Some((_, lengths)) => lengths.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    let pass = |length: Option<u64>| {
        let own =
            kernels.iter().filter(|kernel| kernel.length.is_none() || kernel.length == length);
        let ops = own.map(|kernel| OpArguments {
            type_name: camel_case(&kernel.op),
            arguments: generic_arguments(kernel.length),
        });
        PassView {
            arguments: generic_arguments(length),
            length: format!("{length:?}"),
            ops: ops.collect(),
        }
    };
    lengths.into_iter().map(pass).collect()
}
