//! Makes kernels of all sizes.

fn main() -> Result<(), tilewright_codegen::Error> {
    tilewright_codegen::Config::new("model.toml").compile()?;
    Ok(())
}
