//! A matmul whose sizes are those of its weights: what no generated kernel is of.

use std::ops::Range;

use tilewright_kernel::Epilogue;

use super::error::check_length;
use super::gemm::Matmul;
use super::pack::{PackedWeights, SharedBytes, Spec};
use super::tile::Rows;
use super::{Cpu, CpuError, Numeric, Output, Workspace};

/// A matrix and a bias, packed for products with many rows. For few rows there is
/// [`Linear`](super::Linear).
#[derive(Debug, Clone)]
pub struct PreparedDense {
    weights: PackedWeights,
}

impl PreparedDense {
    fn spec(numeric: Numeric, [outputs, inputs]: [usize; 2]) -> Spec {
        Spec { numeric, epilogue: Epilogue::Bias, k: inputs, n: outputs }
    }

    /// The bytes to store for [`Cpu::load_dense`].
    pub fn as_bytes(&self) -> &[u8] {
        self.weights.as_bytes()
    }
}

impl Cpu {
    /// Packs outputs × inputs weights, row by row as Hugging Face stores them, and a bias for each
    /// output.
    ///
    /// # Errors
    /// When lengths do not fit, or a weight is not finite.
    pub fn prepare_dense(
        &self,
        numeric: Numeric,
        shape: [usize; 2],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<PreparedDense, CpuError> {
        let spec = PreparedDense::spec(numeric, shape);
        let weights = PackedWeights::pack(self.level, spec, weights, bias)?;
        Ok(PreparedDense { weights })
    }

    /// Weights that were packed before, used where they lie: see [`Cpu::load`].
    ///
    /// # Errors
    /// When they were packed for another shape, precision, instruction set or version of the layout.
    pub fn load_dense(
        &self,
        numeric: Numeric,
        shape: [usize; 2],
        bytes: SharedBytes,
        range: Range<usize>,
    ) -> Result<PreparedDense, CpuError> {
        let spec = PreparedDense::spec(numeric, shape);
        let weights = PackedWeights::from_bytes(self.level, spec, bytes, range)?;
        Ok(PreparedDense { weights })
    }

    /// C = A · Wᵀ + bias for rows A of as many elements as there are inputs.
    ///
    /// # Errors
    /// When lengths do not fit, or the weights were packed for another instruction set.
    pub fn dense(
        &self,
        weights: &PreparedDense,
        a: &[f32],
        c: &mut [f32],
        workspace: &mut Workspace,
    ) -> Result<(), CpuError> {
        let weights = &weights.weights;
        self.check_isa(weights)?;
        let Spec { k, n, .. } = *weights.spec();
        let rows = a.len().checked_div(k).unwrap_or(0);
        check_length("A", rows * k, a.len())?;
        check_length("C", rows * n, c.len())?;
        let (level, a) = (self.level, Rows { elements: a, stride: k });
        let (output, narrow) = (Output::Store, self.narrow);
        Matmul { level, weights, a, rows, norm: None, scales: None, output, narrow }
            .run(c, workspace);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::{Isa, Linear, LinearWorkspace, Scaling, Then};

    #[test]
    fn the_same_as_few_rows_at_a_time() {
        let number = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0;
        let (rows, shape) = (45, [70, 96]);
        let a: Vec<f32> = (0..rows * shape[1]).map(number).collect();
        let w: Vec<f32> = (0..shape[0] * shape[1]).map(|i| number(3 * i + 1)).collect();
        let bias: Vec<f32> = (0..shape[0]).map(number).collect();
        for cpu in Isa::ALL.into_iter().filter_map(|isa| Cpu::with_isa(isa).ok()) {
            let i8 = Numeric::I8 { activations: Scaling::PerTensor };
            for (numeric, most) in [(Numeric::F32, 1e-4), (Numeric::Bf16, 1e-4), (i8, 1e-4)] {
                let (mut dense, mut few) = ([0.0; 45 * 70], [0.0; 45 * 70]);
                let weights = cpu.prepare_dense(numeric, shape, &w, Some(&bias)).unwrap();
                cpu.dense(&weights, &a, &mut dense, &mut Workspace::new()).unwrap();
                let weights: Linear = cpu.prepare_linear(numeric, shape, &w, Some(&bias)).unwrap();
                let workspace = &mut LinearWorkspace::default();
                cpu.linear(&weights, &a, Then::Store, &mut few, workspace).unwrap();
                for (x, y) in dense.iter().zip(few) {
                    assert!((x - y).abs() < most, "{x} {y}: {numeric:?} on {}", cpu.isa());
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let cpu = Cpu::with_isa(Isa::Portable).unwrap();
        let weights = cpu.prepare_dense(Numeric::F32, [2, 3], &[1.0; 6], None).unwrap();
        let run = |a: &[f32], c: &mut [f32]| cpu.dense(&weights, a, c, &mut Workspace::new());
        assert!(run(&[1.0; 7], &mut [0.0; 4]).is_err());
        assert!(run(&[1.0; 6], &mut [0.0; 5]).is_err());
        assert!(run(&[1.0; 6], &mut [0.0; 4]).is_ok());
        assert!(cpu.prepare_dense(Numeric::F32, [2, 3], &[1.0; 5], None).is_err());
        if let Ok(other) = Cpu::with_isa(Isa::Avx2) {
            let mut c = [0.0; 4];
            assert!(other.dense(&weights, &[1.0; 6], &mut c, &mut Workspace::new()).is_err());
        }
    }
}
