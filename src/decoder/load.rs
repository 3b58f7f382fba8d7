//! Where the parts of a decoder come from.

use std::ops::Range;
use std::sync::Arc;

use super::DecoderError;
use crate::backend::cpu::{Cpu, CpuError, Linear, Numeric, PreparedDense, SharedBytes};
use crate::weights::{PackCache, Packed, Weights};

/// What packed weights in a cache are told apart by: change it whenever the order of the tensors that
/// go into one matrix, or of what is packed, changes.
const PACKING: &str = "decoder v1";

pub(super) struct Source<'a> {
    pub(super) cpu: Cpu,
    pub(super) numeric: Numeric,
    pub(super) weights: &'a Weights,
    pub(super) cache: Option<&'a PackCache>,
}

/// Bytes of a cache entry, as the backend takes them.
struct PackedBytes(Packed);

impl AsRef<[u8]> for PackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Source<'_> {
    pub(super) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, DecoderError> {
        Ok(self.weights.tensor(name, &[len])?.into_vec())
    }

    pub(super) fn norm(&self, name: &str, width: usize) -> Result<Norm, DecoderError> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), width)?,
            bias: self.vector(&format!("{name}.bias"), width)?,
        })
    }

    /// Projections of these names, one under the other, each from `inputs` to `outputs`. Key
    /// projections have no bias.
    pub(super) fn projection(
        &self,
        names: &[String],
        [outputs, inputs]: [usize; 2],
    ) -> Result<Linear, DecoderError> {
        self.matrix(&names.join(" + "), [names.len() * outputs, inputs], || {
            let (mut weights, mut bias) = (Vec::new(), Vec::new());
            for name in names {
                let weight = self.weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
                weights.extend_from_slice(&weight);
                if name.ends_with("k_proj") {
                    bias.resize(bias.len() + outputs, 0.0);
                } else {
                    bias.extend(self.vector(&format!("{name}.bias"), outputs)?);
                }
            }
            Ok((weights, Some(bias)))
        })
    }

    /// A projection of many rows. A key projection has no bias.
    pub(super) fn dense(
        &self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<PreparedDense, DecoderError> {
        let make = || {
            let weight = self.weights.tensor(&format!("{name}.weight"), &shape)?;
            let bias = if name.ends_with("k_proj") {
                None
            } else {
                Some(self.vector(&format!("{name}.bias"), shape[0])?)
            };
            Ok(self.cpu.prepare_dense(self.numeric, shape, &weight, bias.as_deref())?)
        };
        let what = format!("{name}, of many rows");
        let Some(cache) = self.cache else { return make() };
        let (bytes, range) =
            self.cached(cache, &what, shape, || Ok(make()?.as_bytes().to_vec()))?;
        Ok(self.cpu.load_dense(self.numeric, shape, bytes, range)?)
    }

    /// A matrix from the cache, or made and kept there.
    pub(super) fn matrix(
        &self,
        what: &str,
        shape: [usize; 2],
        make: impl FnOnce() -> Result<(Vec<f32>, Option<Vec<f32>>), DecoderError>,
    ) -> Result<Linear, DecoderError> {
        let prepare = || {
            let (weights, bias) = make()?;
            Ok(self.cpu.prepare_linear(self.numeric, shape, &weights, bias.as_deref())?)
        };
        let Some(cache) = self.cache else { return prepare() };
        let (bytes, range) =
            self.cached(cache, what, shape, || Ok(prepare()?.as_bytes().to_vec()))?;
        Ok(self.cpu.load_linear(self.numeric, shape, bytes, range)?)
    }

    /// What was packed, from the cache.
    fn cached(
        &self,
        cache: &PackCache,
        what: &str,
        [outputs, inputs]: [usize; 2],
        pack: impl FnOnce() -> Result<Vec<u8>, DecoderError>,
    ) -> Result<(SharedBytes, Range<usize>), DecoderError> {
        let isa = self.cpu.isa();
        let key = format!("{what} {inputs}×{outputs}, {:?}, {isa}, {PACKING}", self.numeric);
        let bytes: SharedBytes = Arc::new(PackedBytes(cache.get_or_make(&key, pack)?));
        let range = 0..(*bytes).as_ref().len();
        Ok((bytes, range))
    }
}

/// A LayerNorm.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    pub(super) fn run(&self, cpu: &Cpu, x: &[f32], out: &mut [f32]) -> Result<(), CpuError> {
        cpu.layer_norm(x, &self.weight, &self.bias, out)
    }
}
