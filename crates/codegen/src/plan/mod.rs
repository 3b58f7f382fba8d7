//! Everything that is decided before rendering: padding, loop counts, buffers, transfers, costs.
//!
//! [`Plan::new`] is a pure function of a [`ModelFile`]. Each model × target becomes a [`Design`]:
//! one static [`array::Array`], one [`sequence::Sequence`] per exact shape and epilogue, and one
//! [`Kernel`] per op and length that names its sequence. All of it is checked by [`limits`], so that
//! what the device cannot do is refused here, with the reason and the line of `model.toml`.

pub mod array;
pub mod cost;
pub mod limits;
pub mod sequence;
pub mod tile;
pub mod usage;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::device::{Epilogue, Shape};
use crate::model::{Matmul, Model, ModelFile, Target, TileChoice};
use crate::problem::{Problem, Problems};
use array::{Array, Layout};
use cost::Cost;
use limits::{Rule, Violation};
use sequence::{Sequence, sequence_name};
use tile::Load;
use tilewright_kernel::Loops;

/// All designs of a model file.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One per model and target, in the order of the file.
    pub designs: Vec<Design>,
}

/// Why a plan must not be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The rule that is broken; none if there was no tile to pick.
    pub rule: Option<Rule>,
    /// What to tell the user.
    pub problem: Problem,
}

/// One model on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Name of the model.
    pub model: String,
    /// Device, precision, tile.
    pub layout: Layout,
    /// Whether the tile was picked here.
    pub auto_tile: bool,
    /// The static configuration.
    pub array: Array,
    /// One per exact shape and epilogue, in the order of first use.
    pub sequences: Vec<Sequence>,
    /// One per op and length.
    pub kernels: Vec<Kernel>,
}

/// One op at one length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kernel {
    /// Name of the op.
    pub op: String,
    /// Value of the list dimension, if the op depends on it.
    pub length: Option<u64>,
    /// Runs in one pass of the model.
    pub count: u64,
    /// Exact shape.
    pub shape: Shape,
    /// Shape that the array runs.
    pub padded: Shape,
    /// What follows the sums.
    pub epilogue: Epilogue,
    /// Loop counts.
    pub loops: Loops,
    /// Name of its [`Sequence`].
    pub sequence: String,
    /// Prediction.
    pub cost: Cost,
}

impl Plan {
    /// Plans every model × target.
    ///
    /// # Errors
    /// Every broken limit, at the tile or the shape in the file that breaks it.
    pub fn new(file: &ModelFile) -> Result<Self, Problems> {
        let (plan, refusals) = Self::unchecked(file);
        if refusals.is_empty() {
            return Ok(plan);
        }
        Err(file.problems(refusals.into_iter().map(|refusal| refusal.problem).collect()))
    }

    /// Plans in spite of broken limits and says which ones, so that a rule can be held against the
    /// compiler. A target for which no tile could be picked has no design.
    pub fn unchecked(file: &ModelFile) -> (Self, Vec<Refusal>) {
        let mut designs = Vec::new();
        let mut refusals = Vec::new();
        for model in &file.models {
            let matmuls = file.matmuls(model);
            for target in &file.targets {
                let planned = Design::new(file, model, target, &matmuls, &mut refusals);
                designs.extend(planned);
            }
        }
        (Self { designs }, refusals)
    }
}

impl Design {
    /// Name of the target: `npu1-i8`.
    pub fn target(&self) -> String {
        format!("{}-{}", self.layout.device, self.layout.precision)
    }

    /// Unique name: `whisper-base.npu1-i8`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.model, self.target())
    }

    fn new(
        file: &ModelFile,
        model: &Model,
        target: &Target,
        matmuls: &[Matmul],
        refusals: &mut Vec<Refusal>,
    ) -> Option<Self> {
        let layout = match target.tile {
            TileChoice::Fixed(tile) => Layout::new(target.device, target.precision, tile),
            TileChoice::Auto => match pick(target, matmuls) {
                Some(layout) => layout,
                None => {
                    refusals.push(Refusal { rule: None, problem: no_tile(model, target) });
                    return None;
                }
            },
        };
        let array = layout.array();
        let mut violations = limits::check_layout(&layout);
        // What follows from a tile that is no tile would only repeat it.
        if violations.is_empty() {
            violations = limits::check_array(&array);
        }
        let is_clean = violations.is_empty();
        report(violations, |violation| at_tile(target, violation), refusals);
        let mut of_shapes = Vec::new();
        let sequences = sequences(file, target, &layout, &array, matmuls, &mut of_shapes);
        // On a tile that does not fit, what is wrong with the shapes is of no use yet.
        refusals.extend(of_shapes.into_iter().filter(|_| is_clean));
        let kernels = matmuls.iter().map(|matmul| kernel(file, &layout, matmul)).collect();
        Some(Self {
            model: model.name.clone(),
            layout,
            auto_tile: target.tile == TileChoice::Auto,
            array,
            sequences,
            kernels,
        })
    }

    /// Predicted time of one pass of the model at the longest length, on the array alone and with
    /// the floor of a call for every kernel, in microseconds.
    pub fn pass_us(&self) -> (f64, f64) {
        let longest = self.kernels.iter().filter_map(|kernel| kernel.length).max();
        let in_pass = self
            .kernels
            .iter()
            .filter(|kernel| kernel.length.is_none() || kernel.length == longest);
        in_pass.fold((0.0, 0.0), |(array, calls), kernel| {
            let count = kernel.count as f64;
            (array + count * kernel.cost.array_us, calls + count * kernel.cost.call_us)
        })
    }
}

/// The fastest tile at the longest length among those that serve every length. Other lengths do not
/// count, so that adding one leaves the tile, and with it the compiled configuration, as it is.
fn pick(target: &Target, matmuls: &[Matmul]) -> Option<Layout> {
    let load = |matmul: &Matmul| Load {
        shape: matmul.shape,
        epilogue: matmul.epilogue,
        count: matmul.count,
    };
    let longest = matmuls.iter().filter_map(|matmul| matmul.length).max();
    let counts = |matmul: &&Matmul| matmul.length.is_none() || matmul.length == longest;
    let (judged, rest): (Vec<&Matmul>, Vec<&Matmul>) = matmuls.iter().partition(counts);
    let judged: Vec<Load> = judged.into_iter().map(load).collect();
    let rest: Vec<Load> = rest.into_iter().map(load).collect();
    tile::pick(target.device, target.precision, &judged, &rest)
}

fn kernel(file: &ModelFile, layout: &Layout, matmul: &Matmul) -> Kernel {
    let loops = layout.loops(matmul.shape);
    Kernel {
        op: file.ops[matmul.op].name.clone(),
        length: matmul.length,
        count: matmul.count,
        shape: matmul.shape,
        padded: loops.padded(layout.device, layout.tile),
        epilogue: matmul.epilogue,
        loops,
        sequence: sequence_name(matmul.shape, matmul.epilogue),
        cost: Cost::new(layout, matmul.shape, matmul.epilogue),
    }
}

/// One sequence per shape and epilogue: ops that agree in both share it.
fn sequences(
    file: &ModelFile,
    target: &Target,
    layout: &Layout,
    array: &Array,
    matmuls: &[Matmul],
    refusals: &mut Vec<Refusal>,
) -> Vec<Sequence> {
    let mut sequences: Vec<Sequence> = Vec::new();
    for matmul in matmuls {
        let name = sequence_name(matmul.shape, matmul.epilogue);
        if sequences.iter().any(|sequence| sequence.name == name) {
            continue;
        }
        let sequence = Sequence::new(layout, matmul.shape, matmul.epilogue);
        let violations = limits::check_sequence(array, &sequence);
        report(violations, |violation| at_shape(file, target, layout, matmul, violation), refusals);
        sequences.push(sequence);
    }
    sequences
}

/// Adds one refusal per rule: the same limit is often broken on every tile of the array.
fn report(
    violations: Vec<Violation>,
    problem: impl Fn(&Violation) -> Problem,
    refusals: &mut Vec<Refusal>,
) {
    let mut by_rule: BTreeMap<Rule, Violation> = BTreeMap::new();
    for violation in violations {
        by_rule.entry(violation.rule).or_insert(violation);
    }
    let refusals_of =
        |violation: &Violation| Refusal { rule: Some(violation.rule), problem: problem(violation) };
    refusals.extend(by_rule.values().map(refusals_of));
}

fn at_tile(target: &Target, violation: &Violation) -> Problem {
    Problem {
        message: format!("{} {}: {}", target.device, target.precision, violation.message),
        span: target.tile_span,
        label: "with this tile".to_owned(),
        help: format!("{}, or tile = \"auto\"", violation.help),
    }
}

fn at_shape(
    file: &ModelFile,
    target: &Target,
    layout: &Layout,
    matmul: &Matmul,
    violation: &Violation,
) -> Problem {
    let op = &file.ops[matmul.op];
    Problem {
        message: format!(
            "{} {} with tile {} cannot run `{}` at {}: {}",
            target.device, target.precision, layout.tile, op.name, matmul.shape, violation.message
        ),
        span: op.shape_span,
        label: "this shape".to_owned(),
        help: match target.tile {
            TileChoice::Fixed(_) => format!("{}, or tile = \"auto\"", violation.help),
            TileChoice::Auto => violation.help.clone(),
        },
    }
}

fn no_tile(model: &Model, target: &Target) -> Problem {
    Problem {
        message: format!(
            "no tile serves every shape of `{}` on {} with {}",
            model.name, target.device, target.precision
        ),
        span: target.tile_span,
        label: "nothing to pick from".to_owned(),
        help: "use smaller dimensions; `tilewright plan` with a fixed tile says which limit breaks"
            .to_owned(),
    }
}
