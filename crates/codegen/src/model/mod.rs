//! The model file: models, targets and ops as `model.toml` declares them.
//!
//! [`ModelFile::parse`] checks all that can be said without a device: names, sizes, products. What
//! the device says about it is the plan's business. Keys:
//!
//! | table | key | value |
//! |---|---|---|
//! | `[[model]]` | `name` | lower-case, unique |
//! | | any other | a dimension: a positive integer, or for at most one of them a list of integers, the *lengths* |
//! | `[[target]]` | `device` | `"npu1"` or `"npu2"` |
//! | | `precision` | `"i8"` or `"bf16"` |
//! | | `tile` | `{ m, k, n }` or `"auto"` (the default): the fastest at the longest length |
//! | `[[op]]` | `name` | lower-case, unique |
//! | | `shape` | M, K, N: each an integer or a product of integers and dimensions, like `"3 * d_model"` |
//! | | `epilogue` | `"none"` (the default), `"bias"` or `"bias_gelu"` |
//! | | `count` | how often the op runs in one pass of the model, like `"layers"`; 1 if missing |

mod parse;
mod product;

use std::path::Path;

use miette::SourceSpan;

use crate::device::{Device, Epilogue, Precision, Shape, Tile};
use crate::problem::{Problem, Problems};
pub use product::{Factor, Product};

/// Largest M, K or N: a million, far beyond what any plan serves.
pub const MAX_EXTENT: u64 = 1 << 20;

/// A model file that makes sense by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    name: String,
    text: String,
    /// All models, in the order of the file.
    pub models: Vec<Model>,
    /// All targets, in the order of the file.
    pub targets: Vec<Target>,
    /// All ops, in the order of the file.
    pub ops: Vec<Op>,
}

/// One model: a name and its dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its dimensions by name, in the order of the file.
    pub dimensions: Vec<(String, Extent)>,
    /// Where its name stands.
    pub span: SourceSpan,
}

/// The value of a dimension.
#[derive(Debug, Clone, PartialEq)]
pub enum Extent {
    /// One size.
    Fixed(u64),
    /// Several sizes, of which each gets its own kernels.
    Lengths(Vec<u64>),
}

/// A device, its precision and its tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The device.
    pub device: Device,
    /// Element types.
    pub precision: Precision,
    /// Block of one core.
    pub tile: TileChoice,
    /// Where the tile stands, or the target if it names none.
    pub tile_span: SourceSpan,
}

impl Target {
    /// Its name: `npu1-i8`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.device, self.precision)
    }
}

/// How a target gets its tile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TileChoice {
    /// The plan picks the fastest.
    Auto,
    /// As given.
    Fixed(Tile),
}

/// One matmul of each model by its role.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Its name.
    pub name: String,
    /// M, K and N.
    pub shape: [Product; 3],
    /// What follows the sums.
    pub epilogue: Epilogue,
    /// Runs in one pass.
    pub count: Product,
    /// Where the shape stands.
    pub shape_span: SourceSpan,
}

/// An op of a model at one exact shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Matmul {
    /// Position of the op in [`ModelFile::ops`].
    pub op: usize,
    /// Value of the list dimension, if the op depends on it.
    pub length: Option<u64>,
    /// Exact shape.
    pub shape: Shape,
    /// What follows the sums.
    pub epilogue: Epilogue,
    /// Runs in one pass of the model.
    pub count: u64,
}

impl ModelFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// When it cannot be read, and as [`ModelFile::parse`].
    pub fn read(path: &Path) -> Result<Self, crate::Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| crate::Error::file("read the model file", path, source))?;
        Ok(Self::parse(&path.display().to_string(), &text)?)
    }

    /// Parses the text of a model file; `name` is what errors call it.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problems> {
        let parsed = parse::parse(text).map_err(|found| Problems::new(name, text, found))?;
        let (models, targets, ops) = parsed;
        let file = Self { name: name.to_owned(), text: text.to_owned(), models, targets, ops };
        let mut problems = Vec::new();
        for model in &file.models {
            for op in &file.ops {
                problems.extend(op.matmuls(0, model).err().unwrap_or_default());
            }
        }
        if problems.is_empty() { Ok(file) } else { Err(file.problems(problems)) }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Problems of this file.
    pub fn problems(&self, problems: Vec<Problem>) -> Problems {
        Problems::new(&self.name, &self.text, problems)
    }

    /// Every op of a model at every length, in the order of the file.
    pub fn matmuls(&self, model: &Model) -> Vec<Matmul> {
        let ops = self.ops.iter().enumerate();
        // `parse` has been through the same, so that there is nothing left to report.
        ops.flat_map(|(i, op)| op.matmuls(i, model).unwrap_or_default()).collect()
    }
}

impl Model {
    /// The dimension of that name.
    pub fn dimension(&self, name: &str) -> Option<&Extent> {
        self.dimensions.iter().find(|(key, _)| key == name).map(|(_, extent)| extent)
    }

    /// The list dimension: its name and its lengths.
    pub fn lengths(&self) -> Option<(&str, &[u64])> {
        self.dimensions.iter().find_map(|(name, extent)| match extent {
            Extent::Fixed(_) => None,
            Extent::Lengths(lengths) => Some((name.as_str(), lengths.as_slice())),
        })
    }
}

impl Op {
    fn products(&self) -> impl Iterator<Item = &Product> {
        self.shape.iter().chain([&self.count])
    }

    /// This op of a model at every length.
    fn matmuls(&self, op: usize, model: &Model) -> Result<Vec<Matmul>, Vec<Problem>> {
        let lengths = model.lengths().filter(|(name, _)| self.products().any(|p| p.uses(name)));
        let Some((_, lengths)) = lengths else { return Ok(vec![self.matmul(op, model, None)?]) };
        lengths.iter().map(|&length| self.matmul(op, model, Some(length))).collect()
    }

    fn matmul(
        &self,
        op: usize,
        model: &Model,
        length: Option<u64>,
    ) -> Result<Matmul, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut value = |product: &Product| {
            let value = product.value(&self.name, model, length);
            value.unwrap_or_else(|problem| {
                problems.push(problem);
                1
            })
        };
        let [m, k, n] = self.shape.each_ref().map(|product| value(product) as usize);
        let count = value(&self.count);
        if problems.is_empty() {
            let shape = Shape { m, k, n };
            Ok(Matmul { op, length, shape, epilogue: self.epilogue, count })
        } else {
            Err(problems)
        }
    }
}
