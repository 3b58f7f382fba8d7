//! The matmuls of an encoder, on the CPU or on an array.

use std::sync::Arc;
use std::time::Instant;

use tilewright_kernel::{Kernel, Precision};

use super::EncoderError;
use super::layer::Source;
use super::observe::{Observer, timed};
use super::smooth::Smoothing;
use crate::backend::array::{self, Array};
use crate::backend::cpu::{
    self, Attention, Cpu, LayerNorm, Numeric, Output, Scaling, SharedBytes, Workspace,
};

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
    /// What rows of A go through first.
    pub(super) norm: Option<LayerNorm<'a>>,
    pub(super) a: &'a [f32],
    pub(super) output: Output,
    pub(super) c: &'a mut [f32],
}

/// Both matmuls of a feed-forward network and the norm before them.
pub(super) struct FeedForward<'a, U, D> {
    pub(super) up: &'a MatmulWeights<U>,
    pub(super) down: &'a MatmulWeights<D>,
    pub(super) norm: LayerNorm<'a>,
}

/// The matmuls before and after an attention, and the norm before them.
pub(super) struct SelfAttention<'a, Q, O> {
    pub(super) qkv: &'a MatmulWeights<Q>,
    pub(super) out: &'a MatmulWeights<O>,
    pub(super) norm: LayerNorm<'a>,
    pub(super) shape: Attention,
}

/// Scratch memory of matmuls.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) workspace: Workspace,
    /// For an array: rows after their norm.
    normed: Vec<f32>,
    /// For an array: rows between the matmuls of a feed-forward network; queries, keys and values.
    between: Vec<f32>,
    /// For an array: what is attended to.
    attended: Vec<f32>,
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

    /// The weights of a kernel: the projections of these names, one under the other, of smoothed
    /// channels.
    pub(super) fn load<K: Kernel>(
        &mut self,
        source: &Source<'_>,
        names: &[String],
        smoothing: Option<&Smoothing>,
    ) -> Result<MatmulWeights<K>, EncoderError> {
        let shape = K::INFO.shape;
        let what = format!("{} {}×{}", names.join(" + "), shape.k, shape.n);
        let stacked = || {
            let (mut weights, bias) = source.stacked(names, shape.k, shape.n / names.len())?;
            if let Some(smoothing) = smoothing {
                smoothing.multiply(&mut weights);
            }
            Ok::<_, EncoderError>((weights, bias))
        };
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
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<(), EncoderError> {
        let Call { name, weights, norm, mut a, output, c } = call;
        let Scratch { normed, workspace, .. } = scratch;
        let mut start = Instant::now();
        match (self, weights) {
            (Self::Cpu(_), MatmulWeights::Cpu(weights)) => {
                match norm {
                    Some(norm) => cpu.normed_matmul(weights, norm, a, output, c, workspace)?,
                    None => cpu.matmul(weights, a, output, c, workspace)?,
                }
                observer.operator(name, start.elapsed());
            }
            (Self::Array(array, scaling), MatmulWeights::Array(weights)) => {
                if let Some(LayerNorm { weight, bias }) = norm {
                    normed.resize(a.len(), 0.0);
                    cpu.layer_norm(a, weight, bias, normed)?;
                    observer.operator("layer_norm", start.elapsed());
                    (a, start) = (normed, Instant::now());
                }
                let spent = array.matmul(weights, *scaling, a, output, c)?;
                observer.operator(name, start.elapsed());
                observer.array(name, &spent);
            }
            _ => return Err(EncoderError::Elsewhere),
        }
        Ok(())
    }

    /// X plus self-attention of its LayerNorm.
    pub(super) fn self_attention<Q: Kernel, O: Kernel>(
        &mut self,
        cpu: &Cpu,
        attention: SelfAttention<'_, Q, O>,
        x: &mut [f32],
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<(), EncoderError> {
        let SelfAttention { qkv, out, norm, shape } = attention;
        if let (Self::Cpu(_), MatmulWeights::Cpu(qkv), MatmulWeights::Cpu(out)) = (&self, qkv, out)
        {
            let workspace = &mut scratch.workspace;
            return timed(observer, "self_attention", || {
                Ok(cpu.self_attention(qkv, out, norm, &shape, x, workspace)?)
            });
        }
        let mut between = std::mem::take(&mut scratch.between);
        let mut attended = std::mem::take(&mut scratch.attended);
        between.resize(3 * x.len(), 0.0);
        attended.resize(x.len(), 0.0);
        let (output, c) = (Output::Store, &mut between[..]);
        let call = Call { name: "attn_qkv", weights: qkv, norm: Some(norm), a: x, output, c };
        self.run(cpu, call, scratch, observer)?;
        timed(observer, "attention", || {
            cpu.attention(&shape, &between, &mut attended, &mut scratch.workspace)
        })?;
        let (a, output) = (&attended[..], Output::Add);
        let call = Call { name: "attn_out", weights: out, norm: None, a, output, c: x };
        self.run(cpu, call, scratch, observer)?;
        (scratch.between, scratch.attended) = (between, attended);
        Ok(())
    }

    /// X plus a feed-forward network of its LayerNorm.
    pub(super) fn feed_forward<U: Kernel, D: Kernel>(
        &mut self,
        cpu: &Cpu,
        network: FeedForward<'_, U, D>,
        x: &mut [f32],
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<(), EncoderError> {
        let FeedForward { up, down, norm } = network;
        if let (Self::Cpu(_), MatmulWeights::Cpu(up), MatmulWeights::Cpu(down)) = (&self, up, down)
        {
            let workspace = &mut scratch.workspace;
            return timed(observer, "feed_forward", || {
                Ok(cpu.feed_forward(up, down, norm, x, workspace)?)
            });
        }
        // An array keeps nothing between two matmuls.
        let mut between = std::mem::take(&mut scratch.between);
        between.resize(x.len() / U::INFO.shape.k * U::INFO.shape.n, 0.0);
        let (output, c) = (Output::Store, &mut between[..]);
        let call = Call { name: "ffn_up", weights: up, norm: Some(norm), a: x, output, c };
        self.run(cpu, call, scratch, observer)?;
        let (a, output) = (&between[..], Output::Add);
        let call = Call { name: "ffn_down", weights: down, norm: None, a, output, c: x };
        self.run(cpu, call, scratch, observer)?;
        scratch.between = between;
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
