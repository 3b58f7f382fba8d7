//! The activations of the wide side of the MLP, where the narrow side is expected.
use tilewright_kernel::{Activations, Kernel, Matrix, Reference, Weights};
use transformer_block::kernels::deit_tiny::npu1_i8::MlpUp;

fn main() {
    let a: Activations<i8, 197, 768> = Activations::from_f32(&Matrix::zeros());
    let b: Weights<i8, 192, 768> = Weights::from_f32(&Matrix::zeros(), &[0.0; 768]).unwrap();
    MlpUp::<197>::run(&Reference, &a, &b, &mut Matrix::zeros()).unwrap();
}
