//! The naive backend, which others are held against.

use half::bf16;

use crate::{ActivationsRef, Backend, Epilogue, KernelInfo, Shape, WeightsRef};

/// Runs kernels with plain loops in f64: correct, deterministic and slow.
///
/// Sums of i8 products are exact; scales, bias and GELU are computed in f64, and the result is
/// rounded to bf16 once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

/// Operands that are not of the kernel's shape or precision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperandError {
    what: &'static str,
    shape: Shape,
}

impl std::fmt::Display for OperandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} does not fit a kernel of {}", self.what, self.shape)
    }
}

impl std::error::Error for OperandError {}

impl Backend for Reference {
    type Error = OperandError;

    fn run(
        &self,
        kernel: &KernelInfo,
        a: ActivationsRef<'_>,
        b: WeightsRef<'_>,
        c: &mut [bf16],
    ) -> Result<(), OperandError> {
        let shape = kernel.shape;
        let Shape { m, k, n } = shape;
        let check =
            |what, fits: bool| if fits { Ok(()) } else { Err(OperandError { what, shape }) };
        check("C", c.len() == m * n)?;
        let (sums, bias): (Vec<f64>, &[f32]) = match (a, b) {
            (
                ActivationsRef::I8 { values: a, scales: rows },
                WeightsRef::I8 { values: b, scales: columns, bias },
            ) => {
                check("A", a.len() == m * k && rows.len() == m)?;
                check("B", b.len() == k * n && columns.len() == n)?;
                let mut sums =
                    products(shape, |row, at| f64::from(a[row * k + at]), |i| f64::from(b[i]));
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum *= f64::from(rows[i / n]) * f64::from(columns[i % n]);
                }
                (sums, bias)
            }
            (ActivationsRef::Bf16 { values: a }, WeightsRef::Bf16 { values: b, bias }) => {
                check("A", a.len() == m * k)?;
                check("B", b.len() == k * n)?;
                (products(shape, |row, at| a[row * k + at].to_f64(), |i| b[i].to_f64()), bias)
            }
            _ => return Err(OperandError { what: "an operand of the other precision", shape }),
        };
        check("the bias", bias.len() == n)?;
        for (i, (c, sum)) in c.iter_mut().zip(sums).enumerate() {
            *c = bf16::from_f64(finish(sum, f64::from(bias[i % n]), kernel.epilogue));
        }
        Ok(())
    }
}

/// M × N sums of products.
fn products(shape: Shape, a: impl Fn(usize, usize) -> f64, b: impl Fn(usize) -> f64) -> Vec<f64> {
    let Shape { m, k, n } = shape;
    let mut sums = vec![0.0; m * n];
    if n == 0 {
        return sums;
    }
    for (row, sums) in sums.chunks_mut(n).enumerate() {
        for at in 0..k {
            let left = a(row, at);
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += left * b(at * n + column);
            }
        }
    }
    sums
}

fn finish(sum: f64, bias: f64, epilogue: Epilogue) -> f64 {
    match epilogue {
        Epilogue::None => sum,
        Epilogue::Bias => sum + bias,
        Epilogue::BiasGelu => gelu(sum + bias),
    }
}

/// x·Φ(x), the exact GELU.
fn gelu(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Activations, DesignText, Device, Kernel, Loops, Matrix, MicroTile, Precision, TargetInfo,
        Tile, Weights,
    };

    const TILE: Tile = Tile { m: 16, k: 8, n: 16 };
    const SHAPE: Shape = Shape { m: 2, k: 3, n: 2 };

    static TARGET: TargetInfo = TargetInfo {
        model: "test",
        device: Device::Npu1,
        precision: Precision::I8,
        tile: TILE,
        micro_tile: MicroTile { r: 4, s: 8, t: 8 },
        configuration: "",
        design: DesignText { module: "", core_kernel: "" },
        xclbin: None,
    };
    static INFO: KernelInfo = KernelInfo {
        target: &TARGET,
        op: "op",
        length: None,
        count: 1,
        shape: SHAPE,
        padded: Loops::new(Device::Npu1, TILE, SHAPE).padded(Device::Npu1, TILE),
        loops: Loops::new(Device::Npu1, TILE, SHAPE),
        epilogue: Epilogue::Bias,
        sequence: "",
        host_bytes: [0; 3],
        stream: None,
    };

    struct Op;
    impl Kernel for Op {
        type A = Activations<i8, 2, 3>;
        type B = Weights<i8, 3, 2>;
        type C = Matrix<bf16, 2, 2>;
        const INFO: &'static KernelInfo = &INFO;
    }

    #[test]
    fn a_small_product_by_hand() {
        let a = Matrix::from_slice(&[1, 2, 3, -4, 5, -6]).unwrap();
        let a = Activations::from_parts(a, &[0.5, 2.0]).unwrap();
        let b = Matrix::from_slice(&[1, 0, 0, 1, 1, 1]).unwrap();
        let b = Weights::from_parts(b, &[1.0, 10.0], &[0.25, -1.0]).unwrap();
        let mut c = Matrix::zeros();
        Op::run(&Reference, &a, &b, &mut c).unwrap();
        // Sums: [4, 5], [-10, -1].
        let expected = [4.0 * 0.5 + 0.25, 5.0 * 5.0 - 1.0, -20.0 + 0.25, -20.0 - 1.0];
        assert_eq!(c.elements(), expected.map(bf16::from_f64));
    }

    #[test]
    fn operands_of_another_shape_or_precision_are_an_error() {
        let a = ActivationsRef::Bf16 { values: &[bf16::ONE; 6] };
        let b = WeightsRef::I8 { values: &[1; 6], scales: &[1.0; 2], bias: &[0.0; 2] };
        let error = Reference.run(&INFO, a, b, &mut [bf16::ZERO; 4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an operand of the other precision does not fit a kernel of 2×3×2"
        );
        let error = Reference.run(&INFO, a, b, &mut [bf16::ZERO; 5]).unwrap_err();
        assert_eq!(error.to_string(), "C does not fit a kernel of 2×3×2");
    }

    #[test]
    fn gelu_of_known_points() {
        assert_eq!(gelu(0.0), 0.0);
        assert!((gelu(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((gelu(-5.0) + 1.433_257_9e-6).abs() < 1e-12);
    }
}
