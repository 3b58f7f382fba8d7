//! The program under test: what the command line does with an NPU, with kernels of its own.
//!
//! `npu-proof smoke` goes through XRT by hand, and says what each kernel computed: one line per run,
//! with the BLAKE3 of the results.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use npu_proof::{pattern, target, words};
use tilewright_kernel::{KernelInfo, TargetInfo};
use tilewright_xrt::{Context, Device, Kernel, Run};

/// Longer than anything takes that ends.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["smoke", name] => target(name).and_then(smoke),
        _ => Err("usage: npu-proof smoke TARGET".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn smoke(target: &'static TargetInfo) -> Result<(), Box<dyn Error>> {
    let device = Device::open(0)?;
    let info = device.info();
    println!("{}, {}, {:?}, XRT {}", info.name, info.bdf, info.firmware, info.xrt.version);
    let xclbin = target.xclbin.ok_or("built without a toolchain")?;
    let context = device.context(xclbin.bytes)?;
    let kernel = context.kernel("MLIR_AIE")?;
    let kernels = npu_proof::kernels_of(target);
    for info in &kernels {
        let run = prepared(&kernel, info)?.start()?.wait(PATIENCE)?;
        report("run", info, run)?;
    }
    list(&context, &kernel, &kernels)
}

/// The same in one list.
fn list(
    context: &Context,
    kernel: &Kernel,
    kernels: &[&'static KernelInfo],
) -> Result<(), Box<dyn Error>> {
    let mut list = context.runlist()?;
    for info in kernels {
        list.push(prepared(kernel, info)?)?;
    }
    let list = list.start()?.wait(PATIENCE)?;
    for (info, run) in kernels.iter().zip(list.into_runs()) {
        report("list", info, run)?;
    }
    Ok(())
}

/// A run on the operands that the test knows.
fn prepared(kernel: &Kernel, info: &KernelInfo) -> Result<Run, Box<dyn Error>> {
    let stream = info.stream.ok_or("built without a toolchain")?;
    // SAFETY: the table keeps stream and xclbin together, and says how large its buffers are.
    #[allow(unsafe_code)]
    let program = unsafe { kernel.program(&words(stream.bytes), &info.host_bytes)? };
    let mut run = Arc::new(program).run()?;
    for (argument, &bytes) in info.host_bytes.iter().enumerate() {
        run.give(argument, kernel.buffer::<u8>(argument, bytes)?)?;
        run.bytes_mut(argument)?[..bytes].copy_from_slice(&pattern(argument, bytes));
        run.sync_to_device(argument)?;
    }
    Ok(run)
}

fn report(how: &str, info: &KernelInfo, mut run: Run) -> Result<(), Box<dyn Error>> {
    run.sync_from_device(2)?;
    let results = &run.bytes(2)?[..info.host_bytes[2]];
    println!("{how} {} {}", info.sequence, blake3::hash(results));
    Ok(())
}
