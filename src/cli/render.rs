//! `tilewright render`: writes down what a build makes of a model file, without a build.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use tilewright_codegen::files;
use tilewright_codegen::model::{ModelFile, Target};
use tilewright_codegen::plan::{Design, Plan};
use tilewright_codegen::render::Rendered;

use super::error::CliError;
use super::{ModelArgs, complain, output};

/// Write designs, core kernels and the dispatch table without a build
///
/// Only files that change are written.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct RenderArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// The folder to write to; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Write designs in spite of broken limits, to hold a rule against the compiler
    #[arg(long)]
    unchecked: bool,
}

const EXAMPLE: &str = "\
Example:
  tilewright render --model models/whisper-tiny.toml --out designs";

/// Plans, renders, writes. Nothing is written unless everything could be rendered.
pub(crate) fn run(args: &RenderArgs) -> Result<(), CliError> {
    let file = args.model.read()?;
    let plan = if args.unchecked { plan_unchecked(&file)? } else { Plan::new(&file)? };
    let rendered = Rendered::new(&file, &plan)?.files();
    let mut report = String::new();
    let mut written = 0;
    for (name, text) in &rendered {
        let path = args.out.join(name);
        if files::write_if_changed(&path, text.as_bytes())? {
            written += 1;
            // Writing to a string cannot fail.
            let _ = writeln!(report, "wrote {}", path.display());
        }
    }
    let unchanged = rendered.len() - written;
    let _ = writeln!(report, "{}: {written} written, {unchanged} unchanged", args.out.display());
    output::print(&report)
}

/// Plans whatever can be planned and warns of every broken limit.
fn plan_unchecked(file: &ModelFile) -> Result<Plan, CliError> {
    let (plan, refusals) = Plan::unchecked(file);
    let problems: Vec<_> = refusals.into_iter().map(|refusal| refusal.problem).collect();
    if !problems.is_empty() {
        complain(&format!("warning: these limits are broken:\n\n{}\n", file.problems(problems)));
    }
    for name in missing(file, &plan) {
        complain(&format!("warning: {name} has no design, since no tile could be picked"));
    }
    if plan.designs.is_empty() { Err(CliError::NoDesign) } else { Ok(plan) }
}

/// Every model × target that has no design.
fn missing(file: &ModelFile, plan: &Plan) -> Vec<String> {
    let planned: BTreeSet<String> = plan.designs.iter().map(Design::name).collect();
    let all = file.models.iter().flat_map(|model| {
        let target = move |target: &Target| format!("{}.{}", model.name, target.name());
        file.targets.iter().map(target)
    });
    all.filter(|name| !planned.contains(name)).collect()
}
