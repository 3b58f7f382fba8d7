//! Makes the kernels of nano, with xclbins and streams of the stand-in toolchain where there is an `xclbinutil`
//! for it: see `../stand-in`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tilewright_codegen::{Config, Error};

fn main() -> Result<(), Error> {
    for name in ["TILEWRIGHT_TEST_XRT", "TILEWRIGHT_TEST_AIECC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=../stand-in");
    let xrt = xrt().join("complete");
    println!("cargo::rerun-if-changed={}", xrt.display());
    let stand_in = Path::new("../stand-in");
    let stand_in = std::path::absolute(stand_in).map_err(|source| Error::File {
        action: "find",
        path: stand_in.to_owned(),
        source,
    })?;
    let toolchain = xrt.is_file();
    Config::new("model.toml").compile_in(&|name| match name {
        "OUT_DIR" => env::var_os(name),
        "TILEWRIGHT_AIECC" if toolchain => Some(stand_in.join("bin/aiecc").into()),
        "TILEWRIGHT_PEANO" if toolchain => Some(stand_in.clone().into()),
        // The tools of the machine, for the scripts, behind ours, which are not its `xclbinutil`.
        "PATH" if toolchain => {
            let mut path = OsString::from(stand_in.join("bin"));
            path.push(":");
            path.push(env::var_os("PATH").unwrap_or_default());
            Some(path)
        }
        // Whatever other toolchain there is, it is not what this is about.
        _ => None,
    })?;
    Ok(())
}

/// Where `.ci/xrt` unpacks XRT.
fn xrt() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let home = || set("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = || set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap_or_default();
    set("TILEWRIGHT_TEST_XRT").map_or_else(|| cache().join("tilewright/xrt"), PathBuf::from)
}
