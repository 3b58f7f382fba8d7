//! Makes the library that is loaded into programs under test: `preload/lib.rs`, by rustc alone.
//!
//! Cargo cannot do it: a test cannot depend on a package's `cdylib`, and as an ordinary dependency
//! it would replace the functions of the test itself.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=preload/lib.rs");
    let variable = |name: &str| env::var(name).map_err(|_| format!("cargo does not set {name}"));
    let library = PathBuf::from(variable("OUT_DIR")?).join("preload.so");
    let target = variable("TARGET")?;
    if !(target.starts_with("x86_64-") && target.contains("-linux-gnu")) {
        // XRT drives NPUs nowhere else; the tests say that they skip.
        std::fs::write(&library, [])?;
        return Ok(());
    }
    let mut rustc = Command::new(variable("RUSTC")?);
    rustc.args(["preload/lib.rs", "--crate-name", "tilewright_fake_npu_preload"]);
    rustc.args(["--crate-type", "cdylib", "--edition", "2024", "-O", "-D", "warnings"]);
    // What panics here must not unwind into C.
    rustc.args(["-C", "panic=abort", "--target", &target, "-o"]).arg(&library);
    if !rustc.status()?.success() {
        return Err("preload/lib.rs does not compile".into());
    }
    Ok(())
}
