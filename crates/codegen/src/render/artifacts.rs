//! The part of the dispatch table that includes files: the text of each design, and what the
//! toolchain made of it.

use serde::Serialize;

use super::design::KERNEL_SOURCE;
use super::table::artifacts_module;
use super::{DESIGN, RenderError, design_path, render};
use crate::plan::{Design, Plan};

/// A compiled file: its path from the table's folder, with `/`, and the BLAKE3 of its contents in
/// hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct CompiledFile {
    /// Path.
    pub file: String,
    /// Hash.
    pub hash: String,
}

/// What the toolchain made of one design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledDesign {
    /// The static configuration.
    pub xclbin: CompiledFile,
    /// Name of each sequence and its stream.
    pub streams: Vec<(String, CompiledFile)>,
}

/// Renders `artifacts.rs` for a plan, with what was compiled of its designs, in the same order;
/// nothing if there was no toolchain.
///
/// # Errors
/// When the template does not fit its context, which is a fault of this library.
pub fn artifacts(plan: &Plan, compiled: &[CompiledDesign]) -> Result<String, RenderError> {
    let mut view = ArtifactsView::default();
    for (i, design) in plan.designs.iter().enumerate() {
        view.add(design, compiled.get(i));
    }
    render("artifacts.rs", &view)
}

/// Context of `artifacts.rs.tera`.
#[derive(Serialize, Default)]
struct ArtifactsView<'a> {
    xclbins: Vec<StaticView<'a>>,
    streams: Vec<StaticView<'a>>,
    designs: Vec<DesignView>,
}

#[derive(Serialize)]
struct StaticView<'a> {
    name: String,
    #[serde(flatten)]
    file: &'a CompiledFile,
    xclbin_hash: &'a str,
}

#[derive(Serialize)]
struct DesignView {
    module: String,
    text: String,
    core_kernel: String,
    xclbin: String,
    streams: Vec<String>,
}

impl<'a> ArtifactsView<'a> {
    fn add(&mut self, design: &Design, compiled: Option<&'a CompiledDesign>) {
        let xclbin = compiled.map(|compiled| self.xclbin(&compiled.xclbin));
        let streams = design.kernels.iter().map(|kernel| {
            let stream = compiled.and_then(|compiled| {
                let named = compiled.streams.iter().find(|(name, _)| *name == kernel.sequence);
                named.map(|(_, stream)| self.stream(stream, &compiled.xclbin.hash))
            });
            option(stream)
        });
        let streams = streams.collect();
        self.designs.push(DesignView {
            module: artifacts_module(design),
            text: design_path(design, DESIGN),
            core_kernel: design_path(design, KERNEL_SOURCE),
            xclbin: option(xclbin),
            streams,
        });
    }

    /// Name of the static of an xclbin; designs that share one share the static.
    fn xclbin(&mut self, file: &'a CompiledFile) -> String {
        static_of(&mut self.xclbins, "XCLBIN", file, "")
    }

    fn stream(&mut self, file: &'a CompiledFile, xclbin_hash: &'a str) -> String {
        static_of(&mut self.streams, "STREAM", file, xclbin_hash)
    }
}

fn static_of<'a>(
    statics: &mut Vec<StaticView<'a>>,
    prefix: &str,
    file: &'a CompiledFile,
    xclbin_hash: &'a str,
) -> String {
    let same = |view: &&StaticView| view.file == file && view.xclbin_hash == xclbin_hash;
    if let Some(view) = statics.iter().find(same) {
        return view.name.clone();
    }
    let name = format!("{prefix}_{}", statics.len());
    statics.push(StaticView { name: name.clone(), file, xclbin_hash });
    name
}

fn option(name: Option<String>) -> String {
    name.map_or_else(|| "None".to_owned(), |name| format!("Some(&super::{name})"))
}
