//! A machine for the programs, or a loud reason why there is none.

use fake_npu::{Known, Machine, Xrt};
use npu_proof::kernels_of;
use tilewright::kernels::TABLE;
use tilewright_kernel::Device;

/// A machine that knows all streams of the program, or a loud reason why not.
pub(crate) fn machine(device: Device) -> Option<Machine> {
    if TABLE.targets.iter().any(|target| target.xclbin.is_none()) {
        skip(format_args!("npu-proof was built without XRT's xclbinutil: run .ci/xrt"));
        return None;
    }
    if let Err(tilewright_xrt::Error::NotBuilt { reason }) = tilewright_xrt::find() {
        skip(format_args!(
            "tilewright-xrt was built without XRT ({reason}): set TILEWRIGHT_XRT_INCLUDE as .ci/run does"
        ));
        return None;
    }
    let started = Xrt::find()
        .map_err(|error| error.to_string())
        .and_then(|xrt| Machine::start(xrt, known(), device).map_err(|error| error.to_string()));
    started.inspect_err(|reason| skip(format_args!("{reason}"))).ok()
}

fn known() -> Known {
    let mut known = Known::new();
    for target in TABLE.targets {
        let kernels = kernels_of(target);
        let streams = kernels.iter().map(|kernel| (kernel.sequence, kernel.stream.unwrap().bytes));
        let design = target.design;
        known.add(&target.name(), design.module, Some(design.core_kernel), streams).unwrap();
    }
    known
}

/// Says on standard error that something is not tested; unlike `eprintln!`, the test runner shows it.
/// Where it has to be tested, that is a failure.
fn skip(reason: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let required = std::env::var_os("TILEWRIGHT_REQUIRE_PROOF").is_some_and(|set| set == "1");
    assert!(!required, "TILEWRIGHT_REQUIRE_PROOF=1, and: {reason}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
