//! Makes the kernels of `model.toml`, or of the file that `TILEWRIGHT_MODEL` names.

fn main() {}
