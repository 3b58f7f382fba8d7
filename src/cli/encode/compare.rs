//! `--compare`: how far features are from those of a reference file.
//!
//! The reference is a safetensors file that holds some of
//!
//! | tensor | shape | what |
//! |---|---|---|
//! | `features` | any × width | what `encode` writes |
//! | `encoder.full` | positions × width | the features |
//! | `encoder.rows`, `encoder.row_index` | rows × width | the features at some positions |
//! | `hidden.rows`, `hidden.row_index` | layers + 1 × rows × width | the input of the first layer, the output of each but the last, and the features, at some positions |

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use tilewright::encoder::Distance;

use super::report::Compared;
use super::shown;
use crate::cli::error::CliError;

/// A reference, and the values that are compared with it.
pub(super) struct Comparison {
    file: String,
    /// Rows of hidden values: of each index, the reference.
    hidden: Option<Rows>,
    features: Vec<(&'static str, Rows)>,
    found: Vec<Compared>,
    problem: Option<String>,
}

/// Values of a reference: … × rows × width.
struct Rows {
    values: Vec<f32>,
    rows: usize,
    width: usize,
    /// The positions of the rows; the first ones if none are given.
    positions: Option<Vec<usize>>,
}

impl Comparison {
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let fail = |reason: String| CliError::Reference { file: shown(path), reason };
        let bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
        let rows = |values: &str, positions: Option<&str>| {
            rows(&tensors, values, positions).map_err(&fail)
        };
        let hidden = rows("hidden.rows", Some("hidden.row_index"))?;
        let candidates = [
            ("features", rows("features", None)?),
            ("features (full)", rows("encoder.full", None)?),
            ("features (rows)", rows("encoder.rows", Some("encoder.row_index"))?),
        ];
        let features: Vec<(&'static str, Rows)> =
            candidates.into_iter().filter_map(|(name, rows)| Some((name, rows?))).collect();
        if hidden.is_none() && features.is_empty() {
            let reason = "it holds none of features, encoder.full, encoder.rows and hidden.rows";
            return Err(fail(reason.to_owned()));
        }
        let (found, problem) = (Vec::new(), None);
        Ok(Self { file: shown(path), hidden, features, found, problem })
    }

    /// Compares what passes by. The features come with the last index.
    pub(super) fn hidden(&mut self, index: usize, values: &[f32]) {
        let Self { hidden, found, problem, .. } = self;
        let Some(rows) = hidden else { return };
        match rows.compare(index, values) {
            Ok(distance) => found.push(Compared::new(format!("hidden {index}"), distance)),
            Err(reason) => *problem = Some(format!("hidden.rows: {reason}")),
        }
    }

    /// Compares the features themselves.
    pub(super) fn features(&mut self, values: &[f32]) {
        for (name, rows) in &self.features {
            match rows.compare(0, values) {
                Ok(distance) => self.found.push(Compared::new((*name).to_owned(), distance)),
                Err(reason) => self.problem = Some(format!("{name}: {reason}")),
            }
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Compared>, CliError> {
        match self.problem {
            None => Ok(self.found),
            Some(reason) => Err(CliError::Reference { file: self.file, reason }),
        }
    }
}

impl Rows {
    /// Compares positions × width values with the rows of an index, or with the first there are.
    fn compare(&self, index: usize, values: &[f32]) -> Result<Distance, String> {
        let Self { rows, width, .. } = *self;
        if !values.len().is_multiple_of(width) {
            return Err(format!("it is {width} wide, which this model is not"));
        }
        let there = values.len() / width;
        let of_index = self.values.get(index * rows * width..(index + 1) * rows * width);
        let of_index = of_index.ok_or("it has fewer layers than this model")?;
        let Some(positions) = &self.positions else {
            let both = rows.min(there) * width;
            return Ok(Distance::new(&values[..both], &of_index[..both]));
        };
        let row = |&at: &usize| values.get(at * width..(at + 1) * width);
        let chosen: Option<Vec<&[f32]>> = positions.iter().map(row).collect();
        let chosen =
            chosen.ok_or_else(|| format!("it has positions beyond the {there} compiled"))?;
        Ok(Distance::new(&chosen.concat(), of_index))
    }
}

/// Reads a tensor of at least rows × width, with the positions of its rows.
fn rows(
    tensors: &SafeTensors<'_>,
    name: &str,
    positions: Option<&str>,
) -> Result<Option<Rows>, String> {
    let Ok(tensor) = tensors.tensor(name) else { return Ok(None) };
    let &[.., rows, width] = tensor.shape() else {
        return Err(format!("{name} has fewer than two dimensions"));
    };
    if tensor.dtype() != Dtype::F32 || width == 0 {
        return Err(format!("{name} is no f32 of some width"));
    }
    let values =
        tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let positions = positions.map(|name| indices(tensors, name, rows)).transpose()?;
    Ok(Some(Rows { values: values.collect(), rows, width, positions }))
}

fn indices(tensors: &SafeTensors<'_>, name: &str, rows: usize) -> Result<Vec<usize>, String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("{name} is missing"))?;
    if tensor.dtype() != Dtype::I64 || tensor.shape() != [rows] {
        return Err(format!("{name} is not one i64 for each of {rows} rows"));
    }
    let numbers = tensor.data().chunks_exact(8).map(|bytes| {
        let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
        usize::try_from(i64::from_le_bytes(bytes)).map_err(|_| format!("{name} is negative"))
    });
    numbers.collect()
}
