//! The peers' side of the conversation with `peers.py`: raw `f32` files, lines on standard streams.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs before the first measurement.
const WARM_UP: usize = 3;

/// Little-endian `f32` values.
pub(crate) fn read(path: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let (values, _) = bytes.as_chunks();
    Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect())
}

/// Warms up, writes the output to `out`, and then encodes as often as the driver asks for, until it
/// closes standard input.
pub(crate) fn serve(
    version: &str,
    out: &Path,
    mut encode: impl FnMut() -> Result<Vec<f32>>,
) -> Result<()> {
    let mut output = Vec::new();
    for _ in 0..WARM_UP {
        output = encode()?;
    }
    let bytes: Vec<u8> = output.into_iter().flat_map(f32::to_le_bytes).collect();
    std::fs::write(out, bytes)?;
    answer(&serde_json::json!({ "version": version }))?;

    for line in io::stdin().lock().lines() {
        let line = line?;
        let Some(runs) = line.strip_prefix("run ") else { bail!("what is `{line}`?") };
        let mut times = Vec::new();
        for _ in 0..runs.parse()? {
            let start = Instant::now();
            encode()?;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        answer(&serde_json::json!({ "ms": times }))?;
    }
    Ok(())
}

fn answer(value: &serde_json::Value) -> Result<()> {
    println!("{value}");
    Ok(io::stdout().flush()?)
}
