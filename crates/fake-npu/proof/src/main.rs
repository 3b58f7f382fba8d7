//! Goes through XRT by hand, on an NPU that may be a simulated one.
//!
//! `npu-proof smoke TARGET SECONDS` goes through XRT by hand, and says what each kernel computed: one
//! line per run, with the BLAKE3 of the results. It waits so long for each. `npu-proof cut TARGET`
//! does it with half an xclbin, `npu-proof foreign TARGET OTHER` runs a stream of another target.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use npu_proof::{pattern, target, words};
use tilewright_kernel::{KernelInfo, TargetInfo};
use tilewright_xrt::{Context, Device, Kernel, Run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["smoke", name, seconds] => smoke(name, seconds),
        ["cut", name] => cut(name),
        ["foreign", name, other] => foreign(name, other),
        _ => {
            Err("usage: npu-proof smoke TARGET SECONDS | cut TARGET | foreign TARGET OTHER".into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn smoke(name: &str, seconds: &str) -> Result<(), Box<dyn Error>> {
    let (target, patience) = (target(name)?, Duration::from_secs(seconds.parse()?));
    let device = Device::open(0)?;
    let info = device.info();
    println!("{}, {}, {:?}, XRT {}", info.name, info.bdf, info.firmware, info.xrt.version);
    let context = device.context(xclbin(target)?)?;
    let kernel = context.kernel("MLIR_AIE")?;
    let kernels = npu_proof::kernels_of(target);
    for info in &kernels {
        let run = prepared(&kernel, info)?.start()?.wait(patience)?;
        report("run", info, run)?;
    }
    list(&context, &kernel, &kernels, patience)
}

/// Half an xclbin.
fn cut(name: &str) -> Result<(), Box<dyn Error>> {
    let xclbin = xclbin(target(name)?)?;
    Device::open(0)?.context(&xclbin[..xclbin.len() / 2])?;
    Ok(())
}

/// A kernel of a target, and then one of another on the same array.
fn foreign(name: &str, other: &str) -> Result<(), Box<dyn Error>> {
    let kernel = Device::open(0)?.context(xclbin(target(name)?)?)?.kernel("MLIR_AIE")?;
    for name in [name, other] {
        let info = npu_proof::kernels_of(target(name)?)[0];
        let run = prepared(&kernel, info)?.start()?.wait(Duration::from_secs(60))?;
        report("run", info, run)?;
    }
    Ok(())
}

fn xclbin(target: &'static TargetInfo) -> Result<&'static [u8], Box<dyn Error>> {
    Ok(target.xclbin.ok_or("built without a toolchain")?.bytes)
}

/// The same in one list.
fn list(
    context: &Context,
    kernel: &Kernel,
    kernels: &[&'static KernelInfo],
    patience: Duration,
) -> Result<(), Box<dyn Error>> {
    let mut list = context.runlist()?;
    for info in kernels {
        list.push(prepared(kernel, info)?)?;
    }
    let list = list.start()?.wait(patience)?;
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
