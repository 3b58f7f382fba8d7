//! Compiles the shim over XRT's C++ API, where XRT's headers are, into a shared object that
//! `src/library.rs` embeds.
//!
//! The object is linked against an empty library with the name of XRT's, not against XRT: so the
//! program starts everywhere, and what it finds at run time decides. Without headers everything
//! builds all the same, and says at run time that it was built so.
//!
//! Headers are looked for in the folder `TILEWRIGHT_XRT_INCLUDE`, which decides if it is set; else in
//! `include` of `XILINX_XRT`, `/opt/xilinx/xrt` and `/usr`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const INCLUDE: &str = "TILEWRIGHT_XRT_INCLUDE";
const XRT: &str = "XILINX_XRT";
const REQUIRE_NPU: &str = "TILEWRIGHT_REQUIRE_NPU";
/// A header that XRT's older versions, which know no NPU, do not have.
const HEADER: &str = "xrt/xrt_hw_context.h";

fn main() -> Result<(), Box<dyn Error>> {
    for name in [INCLUDE, XRT, REQUIRE_NPU] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let shim = headers().and_then(|include| compile(&include, &out));
    let text = match shim {
        Ok(file) => format!("Ok(include_bytes!({file:?}))"),
        Err(reason) if is_set(REQUIRE_NPU) => return Err(reason.into()),
        Err(reason) => {
            // No news where nobody asked for it: most machines have no XRT.
            if is_set(INCLUDE) {
                println!("cargo::warning=built without XRT: {}", reason.replace('\n', " "));
            }
            format!("Err({reason:?})")
        }
    };
    fs::write(out.join("shim.rs"), text)?;
    Ok(())
}

/// The folder of XRT's headers.
fn headers() -> Result<PathBuf, String> {
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Err("XRT serves NPUs on Linux only".to_owned());
    }
    let has_header = |folder: &PathBuf| folder.join(HEADER).is_file();
    if let Some(folder) = variable(INCLUDE) {
        let told = format!("there is no {HEADER} in {}, which {INCLUDE} names", folder.display());
        return Some(folder).filter(has_header).ok_or(told);
    }
    let installed = variable(XRT).into_iter().chain(["/opt/xilinx/xrt".into(), "/usr".into()]);
    let mut folders = installed.map(|root| root.join("include"));
    folders
        .find(has_header)
        .ok_or("XRT's headers (libxrt-dev, or XRT from source) were not there".to_owned())
}

/// Makes the shared object.
fn compile(include: &Path, out: &Path) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-changed={}", include.join(HEADER).display());
    let stub = out.join("libxrt_coreutil.so.2");
    let mut command = compiler(false)?;
    command.args(["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libxrt_coreutil.so.2", "-o"]);
    run(command.arg(&stub).arg("shim/stub.c"))?;
    let shim = out.join("libtilewright_xrt.so");
    let mut command = compiler(true)?;
    command.args(["-shared", "-fPIC", "-std=c++17", "-O2", "-Wall", "-Wextra", "-isystem"]);
    command.arg(include).arg("-o").arg(&shim).arg("shim/shim.cc");
    // Nothing of the stub is used, yet it has to be named.
    run(command.args(["-Wl,-s", "-Wl,--no-as-needed"]).arg(&stub))?;
    Ok(shim)
}

fn compiler(cpp: bool) -> Result<Command, String> {
    let compiler = cc::Build::new().cpp(cpp).warnings(false).debug(false).try_get_compiler();
    compiler.map(|compiler| compiler.to_command()).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let told = |what: &str| {
        let hint = if what.contains("uuid/uuid.h") { "; install uuid-dev" } else { "" };
        format!("the shim over XRT could not be compiled{hint}:\n{what}")
    };
    let output = command.output().map_err(|error| told(&error.to_string()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(told(stderr.trim())) }
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}
