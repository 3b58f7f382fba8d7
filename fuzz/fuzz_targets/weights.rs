//! Any bytes as a safetensors file: opened, checked and read, or refused, without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tilewright::weights::{Dimensions, Weights};

const MODEL: Dimensions =
    Dimensions { mel_bins: 4, d_model: 8, heads: 2, layers: 1, ffn: 32, positions: 10 };

fuzz_target!(|file: &[u8]| {
    let Ok(weights) = Weights::from_bytes("fuzzed", file.to_vec()) else { return };
    let _ = weights.check(&MODEL).map_err(|error| error.to_string());
    let _ = weights.dimensions();
    let names: Vec<String> = weights.names().map(str::to_owned).collect();
    for name in names {
        let shape = weights.shape(&name).map(<[usize]>::to_vec).unwrap_or_default();
        if let Ok(tensor) = weights.tensor(&name, &shape) {
            assert_eq!(tensor.len(), shape.iter().product::<usize>());
            assert!(tensor.iter().all(|value| value.is_finite()));
        }
    }
});
