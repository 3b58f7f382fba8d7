//! Kernels of a model file as a compiled table has them, made at run time.

use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::{Design, Plan};
use tilewright_codegen::render::Rendered;
use tilewright_codegen::render::design::RenderedDesign;
use tilewright_kernel::{DesignText, KernelInfo, TargetInfo};

/// Every target of a model file with its kernels, which live as long as the tests.
pub(crate) fn targets(text: &str) -> Vec<(&'static TargetInfo, &'static [KernelInfo])> {
    changed(text, |module| module)
}

/// The same with other designs than those that are planned.
pub(crate) fn changed(
    text: &str,
    change: impl Fn(String) -> String,
) -> Vec<(&'static TargetInfo, &'static [KernelInfo])> {
    let file = ModelFile::parse("model.toml", text).unwrap();
    let plan = Plan::new(&file).unwrap();
    let rendered = Rendered::new(&file, &plan).unwrap();
    let designs = plan.designs.iter().zip(&rendered.designs);
    designs.map(|(design, text)| target(design, text, change(text.module()))).collect()
}

fn target(
    design: &Design,
    rendered: &RenderedDesign,
    module: String,
) -> (&'static TargetInfo, &'static [KernelInfo]) {
    let layout = design.layout;
    let target: &TargetInfo = Box::leak(Box::new(TargetInfo {
        model: design.model.clone().leak(),
        device: layout.device,
        precision: layout.precision,
        tile: layout.tile,
        micro_tile: layout.micro,
        configuration: rendered.hash.clone().leak(),
        design: DesignText { module: module.leak(), core_kernel: rendered.kernel.clone().leak() },
        xclbin: None,
    }));
    let kernels = design.kernels.iter().map(|kernel| {
        let sequence = design.sequences.iter().find(|one| one.name == kernel.sequence).unwrap();
        let bytes: Vec<usize> = sequence.arguments.iter().map(|buffer| buffer.bytes()).collect();
        KernelInfo {
            target,
            op: kernel.op.clone().leak(),
            length: kernel.length.map(|length| length as usize),
            count: kernel.count as usize,
            shape: kernel.shape,
            padded: kernel.padded,
            loops: kernel.loops,
            epilogue: kernel.epilogue,
            sequence: kernel.sequence.clone().leak(),
            host_bytes: bytes.try_into().unwrap(),
            stream: None,
        }
    });
    (target, kernels.collect::<Vec<_>>().leak())
}
