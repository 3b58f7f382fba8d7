//! The matmuls of an encoder, on the CPU or on an array.

use std::sync::Arc;
use std::time::Instant;

use tilewright_kernel::{Kernel, Precision};

use super::EncoderError;
use super::layer::Source;
use super::observe::Observer;
use crate::backend::array::{self, Array};
use crate::backend::cpu::{self, Cpu, Numeric, Output, Scaling, SharedBytes, Workspace};

/// What an encoder's matmuls run on; everything else runs on the CPU.
#[derive(Debug)]
pub enum Matmuls {
    /// The CPU.
    Cpu(Numeric),
    /// An array, an NPU or a simulated one, which also decides on the precision. For i8 activations
    /// share their scales as told.
    Array(Array, Scaling),
}

impl From<Numeric> for Matmuls {
    fn from(numeric: Numeric) -> Self {
        Self::Cpu(numeric)
    }
}

/// The weights of a matmul, where it runs.
pub(super) enum MatmulWeights<K> {
    Cpu(cpu::Prepared<K>),
    Array(array::Prepared<K>),
}

/// Operands of a matmul.
pub(super) struct Call<'a, K> {
    /// For the observer.
    pub(super) name: &'static str,
    pub(super) weights: &'a MatmulWeights<K>,
    pub(super) a: &'a [f32],
    pub(super) output: Output,
    pub(super) c: &'a mut [f32],
}

impl Matmuls {
    /// How the CPU multiplies where it has to: in the convolutions.
    pub(super) fn numeric(&self) -> Numeric {
        match self {
            Self::Cpu(numeric) => *numeric,
            Self::Array(array, activations) => match array.target().precision {
                Precision::I8 => Numeric::I8 { activations: *activations },
                Precision::Bf16 => Numeric::Bf16,
            },
        }
    }

    /// The weights of a kernel: the projections of these names, one under the other.
    pub(super) fn load<K: Kernel>(
        &mut self,
        source: &Source<'_>,
        names: &[String],
    ) -> Result<MatmulWeights<K>, EncoderError> {
        let shape = K::INFO.shape;
        let what = format!("{} {}×{}", names.join(" + "), shape.k, shape.n);
        let stacked = || source.stacked(names, shape.k, shape.n / names.len());
        match self {
            Self::Cpu(numeric) => {
                let bytes = source.packed(&what, || {
                    let (weights, bias) = stacked()?;
                    let packed = source.cpu.prepare::<K>(*numeric, &weights, Some(&bias))?;
                    Ok(packed.as_bytes().to_vec())
                })?;
                let range = 0..length(&bytes);
                Ok(MatmulWeights::Cpu(source.cpu.load(*numeric, bytes, range)?))
            }
            Self::Array(array, _) => {
                let target = array.target();
                // The length does not count: weights are the same for all of them.
                let what = format!("{what} for {}, tile {}", target.name(), target.tile);
                let bytes = source.packed(&what, || {
                    let (weights, bias) = stacked()?;
                    Ok(array.pack::<K>(&weights, Some(&bias))?)
                })?;
                Ok(MatmulWeights::Array(array.load(bytes)?))
            }
        }
    }

    /// C = epilogue(A × B), or C plus that.
    pub(super) fn run<K: Kernel>(
        &mut self,
        cpu: &Cpu,
        call: Call<'_, K>,
        workspace: &mut Workspace,
        observer: &mut dyn Observer,
    ) -> Result<(), EncoderError> {
        let Call { name, weights, a, output, c } = call;
        let start = Instant::now();
        match (self, weights) {
            (Self::Cpu(_), MatmulWeights::Cpu(weights)) => {
                cpu.matmul(weights, a, output, c, workspace)?;
                observer.operator(name, start.elapsed());
            }
            (Self::Array(array, scaling), MatmulWeights::Array(weights)) => {
                let spent = array.matmul(weights, *scaling, a, output, c)?;
                observer.operator(name, start.elapsed());
                observer.array(name, &spent);
            }
            _ => return Err(EncoderError::Elsewhere),
        }
        Ok(())
    }
}

fn length(bytes: &SharedBytes) -> usize {
    (**bytes).as_ref().len()
}

/// Bytes as backends take them.
pub(super) fn shared(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> SharedBytes {
    Arc::new(bytes)
}
