//! One layer: self-attention and a feed-forward network.

use super::matmul::{FeedForward, MatmulWeights, Matmuls, Scratch, SelfAttention, shared};
use super::observe::Observer;
use super::smooth::Smoothing;
use super::{EncoderError, EncoderOps};
use crate::backend::cpu::{Attention, Cpu, CpuError, LayerNorm, Numeric, SharedBytes};
use crate::weights::{PackCache, Packed, Weights};

/// What packed weights in a cache are told apart by, besides their kernel: change it whenever the
/// order of the tensors that go into one matrix, or of what is packed, changes.
const PACKING: &str = "v3";

/// Where the parts of an encoder come from, and what they are made for.
pub(super) struct Source<'a> {
    pub(super) cpu: Cpu,
    pub(super) numeric: Numeric,
    pub(super) weights: &'a Weights,
    pub(super) cache: Option<&'a PackCache>,
}

impl Source<'_> {
    pub(super) fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, EncoderError> {
        Ok(self.weights.tensor(name, &[len])?.into_vec())
    }

    pub(super) fn norm(&self, name: &str, width: usize) -> Result<Norm, EncoderError> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), width)?,
            bias: self.vector(&format!("{name}.bias"), width)?,
        })
    }

    /// For i8, takes what makes channels stand out off a LayerNorm: for the weights that follow it.
    fn smoothing(&self, norm: &mut Norm) -> Option<Smoothing> {
        matches!(self.numeric, Numeric::I8 { .. }).then(|| {
            let smoothing = Smoothing::of(norm);
            smoothing.divide(norm);
            smoothing
        })
    }

    /// Packed bytes from the cache, or else made and kept there. `what` tells them from all others
    /// of the same weights.
    pub(super) fn packed(
        &self,
        what: &str,
        make: impl FnOnce() -> Result<Vec<u8>, EncoderError>,
    ) -> Result<SharedBytes, EncoderError> {
        let Some(cache) = self.cache else { return Ok(shared(make()?)) };
        let key = format!("{what}, {:?}, {}, {PACKING}", self.numeric, self.cpu.isa());
        Ok(shared(PackedBytes(cache.get_or_make(&key, make)?)))
    }

    /// Weights and biases of projections, each with `outputs` rows. The key projection has no bias.
    pub(super) fn stacked(
        &self,
        names: &[String],
        inputs: usize,
        outputs: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), EncoderError> {
        let (mut weights, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            let tensor = self.weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
            weights.extend_from_slice(&tensor);
            if name.ends_with("k_proj") {
                bias.resize(bias.len() + outputs, 0.0);
            } else {
                bias.extend(self.vector(&format!("{name}.bias"), outputs)?);
            }
        }
        Ok((weights, bias))
    }
}

/// Bytes of a cache entry, as the backend takes them.
struct PackedBytes(Packed);

impl AsRef<[u8]> for PackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A LayerNorm.
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl Norm {
    fn borrow(&self) -> LayerNorm<'_> {
        LayerNorm { weight: &self.weight, bias: &self.bias }
    }

    pub(super) fn run(&self, cpu: &Cpu, x: &[f32], out: &mut [f32]) -> Result<(), CpuError> {
        cpu.layer_norm(x, &self.weight, &self.bias, out)
    }
}

/// Values between the operators, for some windows one behind the other.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) hidden: Vec<f32>,
    pub(super) features: Vec<f32>,
}

impl Buffers {
    pub(super) fn resize<O: EncoderOps>(&mut self, windows: usize) {
        let rows = windows * O::positions();
        self.hidden.resize(rows * O::D_MODEL, 0.0);
        self.features.resize(rows * O::D_MODEL, 0.0);
    }
}

/// The weights of a layer.
pub(super) struct Layer<O: EncoderOps> {
    attention_norm: Norm,
    qkv: MatmulWeights<O::AttnQkv>,
    out: MatmulWeights<O::AttnOut>,
    ffn_norm: Norm,
    up: MatmulWeights<O::FfnUp>,
    down: MatmulWeights<O::FfnDown>,
}

impl<O: EncoderOps> Layer<O> {
    pub(super) fn load(
        source: &Source<'_>,
        matmuls: &mut Matmuls,
        index: usize,
    ) -> Result<Self, EncoderError> {
        let name = |part: &str| format!("model.encoder.layers.{index}.{part}");
        let [q, k, v] = ["q", "k", "v"].map(|which| name(&format!("self_attn.{which}_proj")));
        let mut attention_norm = source.norm(&name("self_attn_layer_norm"), O::D_MODEL)?;
        let mut ffn_norm = source.norm(&name("final_layer_norm"), O::D_MODEL)?;
        let attention_smoothing = source.smoothing(&mut attention_norm);
        let ffn_smoothing = source.smoothing(&mut ffn_norm);
        Ok(Self {
            attention_norm,
            qkv: matmuls.load(source, &[q, k, v], attention_smoothing.as_ref())?,
            out: matmuls.load(source, &[name("self_attn.out_proj")], None)?,
            ffn_norm,
            up: matmuls.load(source, &[name("fc1")], ffn_smoothing.as_ref())?,
            down: matmuls.load(source, &[name("fc2")], None)?,
        })
    }

    /// Runs the layer on the hidden values, in place.
    pub(super) fn run(
        &self,
        cpu: &Cpu,
        matmuls: &mut Matmuls,
        hidden: &mut [f32],
        scratch: &mut Scratch,
        observer: &mut dyn Observer,
    ) -> Result<(), EncoderError> {
        let (rows, numeric) = (O::positions(), matmuls.numeric());
        let shape = Attention { heads: O::HEADS, d_model: O::D_MODEL, rows, valid: rows, numeric };
        let (qkv, out) = (&self.qkv, &self.out);
        let attention = SelfAttention { qkv, out, norm: self.attention_norm.borrow(), shape };
        matmuls.self_attention(cpu, attention, hidden, scratch, observer)?;
        let (up, down) = (&self.up, &self.down);
        let network = FeedForward { up, down, norm: self.ffn_norm.borrow() };
        matmuls.feed_forward(cpu, network, hidden, scratch, observer)
    }
}
