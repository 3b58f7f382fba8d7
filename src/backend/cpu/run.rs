//! Kernels as every backend runs them: operands narrowed already, results in bf16.

use half::bf16;
use tilewright_kernel::{ActivationsRef, Backend, Epilogue, KernelInfo, Shape, WeightsRef};

use super::error::check_length;
use super::gemm::Matmul;
use super::pack::{PackedWeights, Spec};
use super::tile::Rows;
use super::{Cpu, CpuError, Numeric, Output, Scaling, Workspace};

/// Packs the weights on each call: for holding backends against each other. [`Cpu::matmul`] is the
/// fast way.
impl Backend for Cpu {
    type Error = CpuError;

    fn run(
        &self,
        kernel: &KernelInfo,
        a: ActivationsRef<'_>,
        b: WeightsRef<'_>,
        c: &mut [bf16],
    ) -> Result<(), CpuError> {
        let Shape { m, k, n } = kernel.shape;
        check_length("C", m * n, c.len())?;
        let spec = |numeric| Spec { numeric, epilogue: kernel.epilogue, k, n };
        let (numeric, bias) = match b {
            WeightsRef::I8 { bias, .. } => (Numeric::I8 { activations: Scaling::PerRow }, bias),
            WeightsRef::Bf16 { bias, .. } => (Numeric::Bf16, bias),
        };
        let bias = (kernel.epilogue != Epilogue::None).then_some(bias);
        let (weights, a, scales) = match (a, b) {
            (
                ActivationsRef::I8 { values: a, scales: rows },
                WeightsRef::I8 { values, scales, .. },
            ) => {
                check_length("B", k * n, values.len())?;
                check_length("the scales of A", m, rows.len())?;
                let weight = |column: usize, at: usize| values[at * n + column];
                let weights =
                    PackedWeights::pack_integers(self.level, spec(numeric), weight, scales, bias)?;
                (weights, a.iter().map(|&x| f32::from(x)).collect::<Vec<_>>(), Some(rows))
            }
            (ActivationsRef::Bf16 { values: a }, WeightsRef::Bf16 { values, .. }) => {
                check_length("B", k * n, values.len())?;
                let rows: Vec<_> = (0..n * k).map(|i| values[i % k * n + i / k].to_f32()).collect();
                let weights = PackedWeights::pack(self.level, spec(numeric), &rows, bias)?;
                (weights, a.iter().map(|x| x.to_f32()).collect(), None)
            }
            _ => {
                let rule = "A and B are of the same precision";
                return Err(CpuError::Geometry { what: "the operands of a kernel", rule });
            }
        };
        check_length("A", m * k, a.len())?;
        let mut sums = vec![0.0; m * n];
        let matmul = Matmul {
            level: self.level,
            weights: &weights,
            a: Rows { elements: &a, stride: k },
            rows: m,
            norm: None,
            scales,
            output: Output::Store,
            narrow: true,
        };
        matmul.run(&mut sums, &mut Workspace::new());
        for (c, x) in c.iter_mut().zip(sums) {
            *c = bf16::from_f32(x);
        }
        Ok(())
    }
}
