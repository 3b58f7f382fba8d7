//! An ONNX encoder in tract: `peer-tract THREADS ENCODER.onnx BINS MEL OUT`.

mod protocol;

use std::path::Path;

use anyhow::{Result, bail};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

const FRAMES: usize = 3000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [threads, model, bins, mel, out] = &args[..] else {
        bail!("usage: peer-tract THREADS ENCODER.onnx BINS MEL OUT")
    };
    set_default_executor(Executor::multithread(threads.parse()?));
    let shape = [1, bins.parse()?, FRAMES];
    let model = tract_onnx::onnx()
        .model_for_path(model)?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let mel = Tensor::from_shape(&shape, &protocol::read(Path::new(mel))?)?;
    protocol::serve("tract 0.23.9", Path::new(out), || {
        let output = model.run(tvec!(mel.clone().into()))?;
        Ok(output[0].view().as_slice::<f32>()?.to_vec())
    })
}
