//! Runs a program on a machine with a simulated NPU.
//!
//! `fake-npu FOLDER PROGRAM [ARGUMENT…]`: the folder holds the known designs, see [`Known::read`].
//! `TILEWRIGHT_FAKE_NPU_FAULT` names faults, with commas between them; the device is that of
//! `TILEWRIGHT_FAKE_NPU_DEVICE`, `npu1` by default. The status is that of the program, or 99 when it
//! did not come to run.

use std::env;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use fake_npu::{Fault, Known, Machine, Xrt};
use tilewright_kernel::Device;

/// The program did not come to run.
const NOT_RUN: u8 = 99;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(NOT_RUN)
        }
    }
}

fn run() -> Result<u8, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(folder), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fake-npu FOLDER PROGRAM [ARGUMENT...]".into());
    };
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let device = match set("TILEWRIGHT_FAKE_NPU_DEVICE") {
        None => Device::Npu1,
        Some(name) => Device::ALL
            .into_iter()
            .find(|device| device.name() == name)
            .ok_or_else(|| format!("there is no device `{name}`"))?,
    };
    let machine = Machine::start(Xrt::find()?, Known::read(Path::new(&folder))?, device)?;
    for fault in set("TILEWRIGHT_FAKE_NPU_FAULT").iter().flat_map(|faults| faults.split(',')) {
        machine.npu().inject(fault.parse::<Fault>()?);
    }
    let status = machine.command(program).args(arguments).status()?;
    for problem in machine.npu().problems() {
        say(&problem);
    }
    say(&format!("{} runs", machine.npu().ran().len()));
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(NOT_RUN))
}

/// Standard error belongs to the program too; if it is closed there is nobody left to tell.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "fake-npu: {text}");
}
