//! The weights of one op, where those of another are expected.
use tilewright_kernel::{Activations, Kernel, Matrix, Reference, Weights};
use transformer_block::kernels::deit_tiny::npu1_i8::{MlpDown, MlpUp};

fn main() {
    let down: <MlpDown<197> as Kernel>::B = Weights::from_f32(&Matrix::zeros(), &[0.0; 192]).unwrap();
    let a: Activations<i8, 197, 192> = Activations::from_f32(&Matrix::zeros());
    MlpUp::<197>::run(&Reference, &a, &down, &mut Matrix::zeros()).unwrap();
}
