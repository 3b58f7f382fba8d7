//! Operators of the encoder on the CPU: any x86-64 or aarch64, with the best instructions that the
//! machine has.
//!
//! [`Cpu`] finds out at run time which instruction set to use (see [`Isa`]; the environment variable
//! `TILEWRIGHT_ISA` overrules it). Weights are packed once for the kernel that will use them,
//! [`Cpu::prepare`], and can be stored and mapped back into memory, [`Cpu::load`]. Operators run on
//! the rayon pool that they are called from, take their scratch memory from a [`Workspace`], and
//! return the same bits whatever the number of threads.
//!
//! Activations are f32, row by row. How a matmul multiplies them is up to its weights: see
//! [`Numeric`].
//!
//! ```
//! use tilewright::backend::cpu::{Cpu, Numeric, Output, Scaling, Workspace};
//! use tilewright::kernels::TABLE;
//! use tilewright_kernel::Kernel;
//!
//! fn project<K: Kernel>(weights: &[f32], bias: &[f32], hidden: &[f32]) -> Vec<f32> {
//!     let cpu = Cpu::new().unwrap();
//!     let mut workspace = Workspace::new();
//!     let numeric = Numeric::I8 { activations: Scaling::PerRow };
//!     let weights = cpu.prepare::<K>(numeric, weights, Some(bias)).unwrap();
//!     let mut out = vec![0.0; K::INFO.shape.m * K::INFO.shape.n];
//!     cpu.matmul(&weights, hidden, Output::Store, &mut out, &mut workspace).unwrap();
//!     out
//! }
//! # let _ = TABLE;
//! ```
//!
//! Limits: rows are divided among threads, columns are not, so a matmul of few rows uses few
//! threads. The kernels of aarch64 were tested on an emulated processor; their speed was not measured.

mod attention;
mod conv;
mod dense;
mod error;
mod gemm;
mod gemv;
mod logits;
mod math;
mod norm;
mod pack;
mod recall;
mod rows;
mod run;
mod simd;
#[cfg(test)]
mod tests;
mod threads;
mod tile;
mod workspace;

use std::marker::PhantomData;
use std::ops::Range;

use tilewright_kernel::{Kernel, Shape};

pub use attention::Attention;
pub use conv::PreparedConv;
pub use dense::PreparedDense;
pub use error::CpuError;
pub use gemv::{Linear, LinearWorkspace, Then};
pub use pack::SharedBytes;
pub use recall::{Heads, MAX_PAST, Memory, Past, Probe, Recall, RecallWorkspace, Seen};
pub use simd::Isa;
pub use threads::Threads;
pub use workspace::Workspace;

use error::check_length;
use gemm::{FeedForward, Matmul, SelfAttention};
use norm::Norm;
use pack::{PackedWeights, Spec};
use simd::Level;
use tile::Rows;

/// What activations share a scale when they are quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scaling {
    /// Those of a row.
    PerRow,
    /// All of a matmul: for comparison, as it loses accuracy.
    PerTensor,
}

/// How a matmul multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numeric {
    /// f32 throughout: the reference.
    F32,
    /// Weights and activations rounded to bf16, sums in f32.
    Bf16,
    /// Weights with a scale per output channel, activations quantised as they come, both to
    /// −127..=127; exact sums in i32.
    I8 {
        /// What shares a scale.
        activations: Scaling,
    },
}

/// What a matmul does with its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// Overwrites.
    Store,
    /// Adds to what is there: a residual connection.
    Add,
}

/// Weights packed for kernel `K` and this machine's instruction set: no other kernel takes them.
///
/// ```compile_fail
/// use tilewright::backend::cpu::{Cpu, CpuError, Output, Prepared, Workspace};
/// use tilewright_kernel::Kernel;
///
/// fn mismatched<Up: Kernel, Down: Kernel>(
///     cpu: &Cpu, up: &Prepared<Up>, a: &[f32], c: &mut [f32], workspace: &mut Workspace,
/// ) -> Result<(), CpuError> {
///     cpu.matmul::<Down>(up, a, Output::Store, c, workspace)
/// }
/// ```
pub struct Prepared<K> {
    weights: PackedWeights,
    kernel: PhantomData<fn() -> K>,
}

impl<K> Clone for Prepared<K> {
    /// Cheap: the clones share the weights.
    fn clone(&self) -> Self {
        Self { weights: self.weights.clone(), kernel: PhantomData }
    }
}

impl<K: Kernel> std::fmt::Debug for Prepared<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("op", &K::INFO.op).field("weights", &self.weights).finish()
    }
}

impl<K: Kernel> Prepared<K> {
    /// How it multiplies.
    pub fn numeric(&self) -> Numeric {
        self.weights.spec().numeric
    }

    /// The bytes to store for [`Cpu::load`].
    pub fn as_bytes(&self) -> &[u8] {
        self.weights.as_bytes()
    }

    /// The same weights for the kernel of another length.
    ///
    /// # Errors
    /// When the kernels differ in more than M.
    pub fn share<L: Kernel>(&self) -> Result<Prepared<L>, CpuError> {
        if spec_of::<L>(self.numeric()) == *self.weights.spec() {
            Ok(Prepared { weights: self.weights.clone(), kernel: PhantomData })
        } else {
            let rule = "kernels that share weights have the same K, N and epilogue";
            Err(CpuError::Geometry { what: "sharing weights", rule })
        }
    }
}

fn spec_of<K: Kernel>(numeric: Numeric) -> Spec {
    let shape = K::INFO.shape;
    Spec { numeric, epilogue: K::INFO.epilogue, k: shape.k, n: shape.n }
}

/// The weights of a LayerNorm (ε = 10⁻⁵) over rows as long as they are.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// What normalised elements are scaled by.
    pub weight: &'a [f32],
    /// What is then added to them.
    pub bias: &'a [f32],
}

impl<'a> LayerNorm<'a> {
    fn check(self, width: usize) -> Result<Norm<'a>, CpuError> {
        check_length("the weight of LayerNorm", width, self.weight.len())?;
        check_length("the bias of LayerNorm", width, self.bias.len())?;
        Ok(Norm { weight: self.weight, bias: self.bias })
    }
}

/// Rows of A, which is one window or several.
fn whole_windows(shape: Shape, a: &[f32]) -> Result<usize, CpuError> {
    let window = shape.m * shape.k;
    if window == 0 || !a.len().is_multiple_of(window) {
        return Err(CpuError::Windows { shape, given: a.len() });
    }
    Ok(a.len() / shape.k)
}

/// The processor, and the instruction set that operators use.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    level: Level,
    narrow: bool,
}

impl Cpu {
    /// With the best instruction set that the machine has, or the one that `TILEWRIGHT_ISA` names.
    ///
    /// # Errors
    /// When `TILEWRIGHT_ISA` names none, or one that the machine does not have.
    pub fn new() -> Result<Self, CpuError> {
        match std::env::var_os("TILEWRIGHT_ISA") {
            None => Self::with_isa(Isa::best()),
            Some(name) => {
                let name = name.to_string_lossy();
                let isa = Isa::from_name(&name);
                Self::with_isa(isa.ok_or(CpuError::UnknownIsa { given: name.into_owned() })?)
            }
        }
    }

    /// With an instruction set of one's choice.
    ///
    /// # Errors
    /// When the machine does not have it.
    pub fn with_isa(isa: Isa) -> Result<Self, CpuError> {
        let level = Level::new(isa).ok_or(CpuError::Unavailable { isa })?;
        Ok(Self { level, narrow: false })
    }

    /// Whether matmuls round their results to bf16, as an NPU does, before they store or add them.
    /// Off unless set.
    #[must_use]
    pub fn narrow(self, narrow: bool) -> Self {
        Self { narrow, ..self }
    }

    /// The instruction set that operators use.
    pub fn isa(&self) -> Isa {
        self.level.isa()
    }

    /// Packs weights, N × K row by row (outputs × inputs, as Hugging Face stores them), in parallel.
    ///
    /// # Errors
    /// When lengths are not those of the kernel, a bias is given to a kernel that adds none, or a
    /// weight is not finite.
    pub fn prepare<K: Kernel>(
        &self,
        numeric: Numeric,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Prepared<K>, CpuError> {
        let weights = PackedWeights::pack(self.level, spec_of::<K>(numeric), weights, bias)?;
        Ok(Prepared { weights, kernel: PhantomData })
    }

    /// Weights that were packed before, used where they lie: bytes of a mapped file are read when
    /// they are first multiplied with. They are copied if they do not start on a multiple of 64.
    ///
    /// The header is checked; that the weights behind it are the right ones is up to the caller.
    ///
    /// # Errors
    /// When they were packed for another kernel, precision, instruction set or version of the layout.
    pub fn load<K: Kernel>(
        &self,
        numeric: Numeric,
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<Prepared<K>, CpuError> {
        let weights = PackedWeights::from_bytes(self.level, spec_of::<K>(numeric), bytes, range)?;
        Ok(Prepared { weights, kernel: PhantomData })
    }

    /// C = epilogue(A × B), or C plus that.
    ///
    /// A is the M × K activations of one window, or of several that lie one behind the other; C is
    /// as many times M × N.
    ///
    /// # Errors
    /// When lengths are not those of the kernel, or the weights were packed for another instruction
    /// set.
    pub fn matmul<K: Kernel>(
        &self,
        b: &Prepared<K>,
        a: &[f32],
        output: Output,
        c: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        self.multiply(b, a, None, output, c, workspace)
    }

    /// C = epilogue(LayerNorm(A) × B), or C plus that: as [`Cpu::layer_norm`] and then
    /// [`Cpu::matmul`], to the last bit, without the normalised rows in memory.
    ///
    /// # Errors
    /// As these.
    pub fn normed_matmul<K: Kernel>(
        &self,
        b: &Prepared<K>,
        norm: LayerNorm<'_>,
        a: &[f32],
        output: Output,
        c: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        let norm = norm.check(K::INFO.shape.k)?;
        self.multiply(b, a, Some(norm), output, c, workspace)
    }

    fn multiply<K: Kernel>(
        &self,
        b: &Prepared<K>,
        a: &[f32],
        norm: Option<Norm<'_>>,
        output: Output,
        c: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        self.check_isa(&b.weights)?;
        let shape = K::INFO.shape;
        let rows = whole_windows(shape, a)?;
        check_length("C", rows * shape.n, c.len())?;
        let a = Rows { elements: a, stride: shape.k };
        let (level, weights, narrow) = (self.level, &b.weights, self.narrow);
        Matmul { level, weights, a, rows, norm, scales: None, output, narrow }.run(c, workspace);
        Ok(())
    }

    /// X plus out(attention(qkv(LayerNorm(X)))): as [`Cpu::normed_matmul`] that stores,
    /// [`Cpu::attention`] and then [`Cpu::matmul`] that adds, without the rows between them in memory
    /// as floats where that is faster.
    ///
    /// # Errors
    /// As these, and when the kernels are not those of such an attention.
    pub fn self_attention<Q: Kernel, O: Kernel>(
        &self,
        qkv: &Prepared<Q>,
        out: &Prepared<O>,
        norm: LayerNorm<'_>,
        shape: &Attention,
        x: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        self.check_isa(&qkv.weights)?;
        self.check_isa(&out.weights)?;
        shape.check_shape()?;
        let (first, second, d) = (Q::INFO.shape, O::INFO.shape, shape.d_model);
        let expected = [(first, shape.rows, d, 3 * d), (second, shape.rows, d, d)];
        if !expected.iter().all(|(shape, m, k, n)| (shape.m, shape.k, shape.n) == (*m, *k, *n)) {
            let rule =
                "the first matmul gives queries, keys and values, the second takes the heads";
            return Err(CpuError::Geometry { what: "self-attention", rule });
        }
        let norm = norm.check(d)?;
        whole_windows(first, x)?;
        let (level, qkv, out, narrow) = (self.level, &qkv.weights, &out.weights, self.narrow);
        SelfAttention { level, qkv, out, norm, shape, narrow }.run(x, workspace)
    }

    /// X plus down(up(LayerNorm(X))): as [`Cpu::normed_matmul`] that stores and then [`Cpu::matmul`]
    /// that adds, to the last bit, without the rows between them in memory as floats.
    ///
    /// # Errors
    /// As these, and when one kernel's result is not the other's operand.
    pub fn feed_forward<U: Kernel, D: Kernel>(
        &self,
        up: &Prepared<U>,
        down: &Prepared<D>,
        norm: LayerNorm<'_>,
        x: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        self.check_isa(&up.weights)?;
        self.check_isa(&down.weights)?;
        let (first, second) = (U::INFO.shape, D::INFO.shape);
        if (first.m, first.n, first.k) != (second.m, second.k, second.n) {
            let rule = "the second matmul takes what the first gives, and gives what it takes";
            return Err(CpuError::Geometry { what: "a feed-forward network", rule });
        }
        let norm = norm.check(first.k)?;
        let rows = whole_windows(first, x)?;
        let (level, up, down, narrow) = (self.level, &up.weights, &down.weights, self.narrow);
        FeedForward { level, up, down, norm, rows, narrow }.run(x, workspace);
        Ok(())
    }

    /// Normalises each row to mean 0 and variance 1 (ε = 10⁻⁵), then scales and shifts it.
    ///
    /// # Errors
    /// When `x` and `out` are not the same whole number of rows.
    pub fn layer_norm(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        out: &mut [f32],
    ) -> Result<(), CpuError> {
        let d = weight.len();
        check_length("the bias of LayerNorm", d, bias.len())?;
        check_length("the output of LayerNorm", x.len(), out.len())?;
        check_length("the input of LayerNorm", x.len() / d.max(1) * d, x.len())?;
        norm::layer_norm(self.level, x, Norm { weight, bias }, out);
        Ok(())
    }

    /// softmax(Q·Kᵀ / √head size) · V of each head. Each row of `qkv` holds the query, the key and
    /// the value of all heads: 3 · d_model.
    ///
    /// Scores are expected to be finite.
    ///
    /// # Errors
    /// When the shape makes no sense or lengths do not fit it.
    pub fn attention(
        &self,
        shape: &Attention,
        qkv: &[f32],
        out: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        shape.run(self.level, qkv, out, workspace)
    }

    /// Packs a convolution of three taps: weights of outputs × inputs × 3, a bias for each output.
    ///
    /// # Errors
    /// When lengths do not fit, or a weight is not finite.
    pub fn prepare_conv(
        &self,
        numeric: Numeric,
        inputs: usize,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<PreparedConv, CpuError> {
        PreparedConv::pack(self.level, numeric, inputs, weights, bias)
    }

    /// A convolution that was packed before: see [`Cpu::load`].
    ///
    /// # Errors
    /// When it is another one, or was packed for another precision, instruction set or version.
    pub fn load_conv(
        &self,
        numeric: Numeric,
        inputs: usize,
        outputs: usize,
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<PreparedConv, CpuError> {
        PreparedConv::from_bytes(self.level, numeric, inputs, outputs, bytes, range)
    }

    /// Whisper's conv stem: two convolutions with GELU, the second of stride 2, plus the positions.
    ///
    /// `mel` is bins × frames, with two frames for each row of `positions`; `out` has the shape of
    /// `positions`. Several windows lie one behind the other.
    ///
    /// # Errors
    /// When the convolutions do not fit each other or lengths do not fit them, or they were packed
    /// for another instruction set.
    pub fn conv_stem(
        &self,
        convs: [&PreparedConv; 2],
        mel: &[f32],
        positions: &[f32],
        out: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        for conv in convs {
            self.check_isa(conv.weights())?;
        }
        conv::stem(self.level, convs, mel, positions, out, workspace)
    }

    fn check_isa(&self, weights: &PackedWeights) -> Result<(), CpuError> {
        if weights.isa() == self.isa() {
            Ok(())
        } else {
            Err(CpuError::Packed {
                field: "the instruction set",
                expected: self.isa().to_string(),
                found: weights.isa().to_string(),
            })
        }
    }
}
