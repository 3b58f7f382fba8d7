//! From a plan to text: MLIR-AIE designs, core kernels and the dispatch table.
//!
//! Rendering is pure and does no arithmetic: every number comes from the plan. Each template's
//! context is a type of its own, and a variable that a template names and the context lacks is an
//! error.

pub mod design;

use std::sync::LazyLock;

use serde::Serialize;
use tera::Tera;

/// Why a template could not be rendered. Templates are compiled in, so this is a fault of this
/// library and not of a model file.
#[derive(Debug, thiserror::Error)]
#[error("cannot render {template}: {reason}")]
pub struct RenderError {
    template: &'static str,
    reason: String,
}

const TEMPLATES: [(&str, &str); 2] = [
    ("design.mlir", include_str!("../../kernel-templates/design.mlir.tera")),
    ("sequence.mlir", include_str!("../../kernel-templates/sequence.mlir.tera")),
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
    tera.render(template, &context).map_err(|error| fail(reasons(&error)))
}

/// An error with everything that led to it: tera names the variable only in the source.
fn reasons(error: &tera::Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
