//! Makes the kernels of `model.toml`, or of the file that `TILEWRIGHT_MODEL` names.

use std::env;

use tilewright_codegen::{Config, Error};

fn main() -> Result<(), Error> {
    println!("cargo::rerun-if-env-changed=TILEWRIGHT_MODEL");
    match env::var_os("TILEWRIGHT_MODEL") {
        // `generated/` is what the committed model.toml makes.
        None => Config::new("model.toml").mirror("generated").compile()?,
        Some(model) => Config::new(model).compile()?,
    };
    Ok(())
}
