//! Any text as a design: read, elaborated, configured and run on zeros within limits, or refused,
//! without a panic, a hang or an absurd allocation.
//!
//! Seeds are small designs, such as those of `crates/sim/tests`, one a file in
//! `fuzz/corpus/simulate`; then
//! `cargo +nightly fuzz run simulate -- -rss_limit_mb=1024 -timeout=10 -max_len=8192`
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tilewright_sim::engine::{Limits, Simulator};
use tilewright_sim::functions::{Argument, Functions, Returned, Scalar};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, Type, parse};

/// Host memory of a sequence.
const MAX_BYTES: usize = 16 << 20;

/// Every declared function, with an effect and a result.
fn stubs(netlist: &Netlist) -> Functions {
    let mut functions = Functions::new();
    for (symbol, declared) in &netlist.functions {
        let value = declared.results.first().map(|ty| match ty {
            Type::Float(_) => Scalar::Float(1.0),
            _ => Scalar::Integer(1),
        });
        let stub = move |arguments: &mut [Argument<'_>]| {
            for argument in arguments {
                if let Argument::Buffer(bytes) = argument {
                    bytes.reverse();
                }
            }
            Ok::<_, String>(Returned { cycles: 1, value })
        };
        functions.register(symbol, Arc::new(stub));
    }
    functions
}

fuzz_target!(|text: &str| {
    let Ok(module) = parse(&Source::new("fuzz.mlir", text)) else { return };
    let Ok(netlist) = Netlist::build(module, None) else { return };
    let netlist = Arc::new(netlist);
    let limits = Limits { steps: 200_000, time: Some(Duration::from_secs(5)) };
    let Ok(mut simulator) = Simulator::new(Arc::clone(&netlist), stubs(&netlist), limits) else {
        return;
    };
    for sequence in &netlist.sequences {
        let bytes = |ty: &Type| match ty {
            Type::MemRef(memref) => memref.bytes(),
            _ => None,
        };
        let sizes: Option<Vec<usize>> = sequence.arguments.iter().map(bytes).collect();
        let Some(sizes) = sizes else { continue };
        let total = sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size));
        if total.is_none_or(|total| total > MAX_BYTES) {
            continue;
        }
        let mut buffers: Vec<Vec<u8>> = sizes.into_iter().map(|size| vec![0; size]).collect();
        let mut views: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
        if simulator.run(&sequence.name, &mut views).is_err() {
            return;
        }
    }
});
