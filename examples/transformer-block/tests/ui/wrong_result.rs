//! A result buffer of the padded shape, where the exact one is expected.
use tilewright_kernel::{Activations, Kernel, Matrix, Reference, Weights, bf16};
use transformer_block::kernels::deit_tiny::npu1_i8::MlpUp;

fn main() {
    let a: Activations<i8, 197, 192> = Activations::from_f32(&Matrix::zeros());
    let b: Weights<i8, 192, 768> = Weights::from_f32(&Matrix::zeros(), &[0.0; 768]).unwrap();
    let mut c = Matrix::<bf16, 256, 768>::zeros();
    MlpUp::<197>::run(&Reference, &a, &b, &mut c).unwrap();
}
