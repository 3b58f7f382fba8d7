//! A length that model.toml does not list.
use tilewright_kernel::Kernel;
use transformer_block::kernels::deit_tiny::npu1_i8::MlpUp;

fn main() {
    println!("{:?}", <MlpUp<256> as Kernel>::INFO.shape);
}
