//! A vision transformer's block on Tilewright's kernels: the toolkit without Whisper.
//!
//! `model.toml` declares the block's four matmuls and two targets; three lines of `build.rs` make the
//! kernels; [`Block`] is generic over the generated [`kernels::Pass`], so that the same code serves
//! every target, each with its own buffer types.

use tilewright_kernel::{ActivationsBuffer, Backend, Kernel, LengthError, WeightsBuffer, bf16};

/// The dispatch table that `build.rs` made.
pub mod kernels {
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

use kernels::Pass;

/// The weights of one block, row-major K × N each, with a bias for each column.
pub struct Parameters {
    /// Query, key and value side by side.
    pub qkv: (Vec<f32>, Vec<f32>),
    /// Output projection of the attention.
    pub proj: (Vec<f32>, Vec<f32>),
    /// First layer of the MLP.
    pub mlp_up: (Vec<f32>, Vec<f32>),
    /// Second layer of the MLP.
    pub mlp_down: (Vec<f32>, Vec<f32>),
}

/// A block whose weights are narrowed for a target.
pub struct Block<P: Pass> {
    qkv: <P::Qkv as Kernel>::B,
    proj: <P::Proj as Kernel>::B,
    mlp_up: <P::MlpUp as Kernel>::B,
    mlp_down: <P::MlpDown as Kernel>::B,
}

impl<P: Pass> Block<P> {
    /// Narrows the weights.
    ///
    /// # Errors
    /// When a matrix is not of the size that the model declares.
    pub fn new(parameters: &Parameters) -> Result<Self, LengthError> {
        fn narrow<B: WeightsBuffer>(
            (weights, bias): &(Vec<f32>, Vec<f32>),
        ) -> Result<B, LengthError> {
            B::from_f32(weights, bias)
        }
        Ok(Self {
            qkv: narrow(&parameters.qkv)?,
            proj: narrow(&parameters.proj)?,
            mlp_up: narrow(&parameters.mlp_up)?,
            mlp_down: narrow(&parameters.mlp_down)?,
        })
    }

    /// Runs the block on `tokens` × `width` hidden values, in place.
    ///
    /// # Errors
    /// When `hidden` has another size, or what the backend reports.
    pub fn run<R: Backend>(
        &self,
        backend: &R,
        hidden: &mut [f32],
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        R::Error: 'static,
    {
        let normed = layer_norm(hidden, P::WIDTH);
        let qkv = multiply::<P::Qkv, R>(backend, &normed, &self.qkv)?;
        let attended = attention(&qkv, P::WIDTH, P::HEADS);
        add(hidden, &multiply::<P::Proj, R>(backend, &attended, &self.proj)?);
        let normed = layer_norm(hidden, P::WIDTH);
        let up = multiply::<P::MlpUp, R>(backend, &normed, &self.mlp_up)?;
        add(hidden, &multiply::<P::MlpDown, R>(backend, &up, &self.mlp_down)?);
        Ok(())
    }
}

/// One op: narrows the activations and runs the kernel of their exact shape.
fn multiply<K: Kernel, R: Backend>(
    backend: &R,
    activations: &[f32],
    weights: &K::B,
) -> Result<Vec<f32>, Box<dyn std::error::Error>>
where
    R::Error: 'static,
{
    let mut result = K::C::default();
    K::run(backend, &K::A::from_f32(activations)?, weights, &mut result)?;
    Ok(result.as_ref().iter().copied().map(bf16::to_f32).collect())
}

fn add(hidden: &mut [f32], more: &[f32]) {
    hidden.iter_mut().zip(more).for_each(|(value, more)| *value += more);
}

fn layer_norm(hidden: &[f32], width: usize) -> Vec<f32> {
    let normed = hidden.chunks(width).flat_map(|row| {
        let mean = row.iter().sum::<f32>() / width as f32;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / width as f32;
        row.iter().map(move |v| (v - mean) / (variance + 1e-6).sqrt())
    });
    normed.collect()
}

/// Softmax attention over rows of query, key and value side by side.
fn attention(qkv: &[f32], width: usize, heads: usize) -> Vec<f32> {
    let (rows, size) = (qkv.len() / (3 * width), width / heads);
    let part = |row: usize, which: usize, head: usize| {
        &qkv[row * 3 * width + which * width + head * size..][..size]
    };
    let mut attended = vec![0.0; rows * width];
    for head in 0..heads {
        for row in 0..rows {
            let query = part(row, 0, head);
            let scores = (0..rows).map(|other| {
                let key = part(other, 1, head);
                query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() / (size as f32).sqrt()
            });
            let weights = softmax(scores.collect());
            let out = &mut attended[row * width + head * size..][..size];
            for (other, weight) in weights.iter().enumerate() {
                let value = part(other, 2, head);
                out.iter_mut().zip(value).for_each(|(out, v)| *out += weight * v);
            }
        }
    }
    attended
}

fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - most).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores
}
