//! From a plan to text: MLIR-AIE designs, core kernels and the dispatch table.
//!
//! Rendering is pure and does no arithmetic: every number comes from the plan. Each template's
//! context is a type of its own, and a variable that a template names and the context lacks is an
//! error.

pub mod artifacts;
pub mod design;
pub mod kernel;
pub mod svg;
pub mod table;

use std::sync::LazyLock;

use serde::Serialize;
use tera::Tera;

use crate::model::ModelFile;
use crate::plan::{Design, Plan};
use design::{KERNEL_SOURCE, RenderedDesign};

/// File name of the dispatch table.
pub const TABLE: &str = "kernels.rs";
/// File name of a design.
pub const DESIGN: &str = "design.mlir";

/// A plan as text: designs, core kernels and the dispatch table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One per design of the plan, in its order.
    pub designs: Vec<RenderedDesign>,
    /// The dispatch table.
    pub table: String,
}

impl Rendered {
    /// Renders a plan of a model file.
    ///
    /// # Errors
    /// When a template does not fit its context, which is a fault of this library.
    pub fn new(file: &ModelFile, plan: &Plan) -> Result<Self, RenderError> {
        let designs =
            plan.designs.iter().map(RenderedDesign::new).collect::<Result<Vec<_>, _>>()?;
        let table = table::table(file, plan, &designs)?;
        Ok(Self { designs, table })
    }

    /// All files: path, with `/` between folders, and text.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files = vec![(TABLE.to_owned(), self.table.clone())];
        for design in &self.designs {
            files.push((format!("{}/{DESIGN}", design.folder), design.module()));
            files.push((format!("{}/{KERNEL_SOURCE}", design.folder), design.kernel.clone()));
        }
        files
    }
}

/// Path of a file of a design from the table's folder.
fn design_path(design: &Design, file: &str) -> String {
    format!("{}/{file}", design::folder(design))
}

/// Why a template could not be rendered. Templates are compiled in, so this is a fault of this
/// library and not of a model file.
#[derive(Debug, thiserror::Error)]
#[error("cannot render {template}: {reason}")]
pub struct RenderError {
    template: &'static str,
    reason: String,
}

const TEMPLATES: [(&str, &str); 6] = [
    ("array.svg", include_str!("../../kernel-templates/array.svg.tera")),
    ("artifacts.rs", include_str!("../../kernel-templates/artifacts.rs.tera")),
    ("design.mlir", include_str!("../../kernel-templates/design.mlir.tera")),
    ("gemm.cc", include_str!("../../kernel-templates/gemm.cc.tera")),
    ("sequence.mlir", include_str!("../../kernel-templates/sequence.mlir.tera")),
    ("table.rs", include_str!("../../kernel-templates/table.rs.tera")),
];

static TERA: LazyLock<Result<Tera, String>> = LazyLock::new(|| {
    let mut tera = Tera::default();
    tera.autoescape_on(Vec::new());
    tera.add_raw_templates(TEMPLATES).map_err(|error| reasons(&error))?;
    Ok(tera)
});

fn render(template: &'static str, context: &impl Serialize) -> Result<String, RenderError> {
    let fail = |reason: String| RenderError { template, reason };
    let tera = TERA.as_ref().map_err(|error| fail(error.clone()))?;
    let context = tera::Context::from_serialize(context).map_err(|error| fail(reasons(&error)))?;
    let text = tera.render(template, &context).map_err(|error| fail(reasons(&error)))?;
    // What is left of the template's header is an empty line.
    Ok(text.trim_start_matches('\n').to_owned())
}

/// An error with everything that led to it: tera names the variable only in the source.
fn reasons(error: &tera::Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
