//! What runtime sequences do beside plain transfers: registers, control packets, packets of all
//! kinds, descriptor chains, reconfiguration; and cascades between cores.

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod packets;
mod registers;
mod robustness;
mod sequences;

use std::sync::Arc;

use tilewright_sim::engine::{Limits, Run, RunError, Simulator};
use tilewright_sim::functions::Functions;
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, parse};

fn netlist(text: &str) -> Arc<Netlist> {
    let source = Source::new("design.mlir", text);
    Arc::new(Netlist::build(parse(&source).unwrap(), None).unwrap())
}

/// Runs the only sequence on buffers of words.
fn simulate(text: &str, functions: Functions, buffers: &mut [Vec<i32>]) -> Result<Run, RunError> {
    let limits = Limits { steps: 10_000_000, time: None };
    let mut simulator = Simulator::new(netlist(text), functions, limits)?;
    let mut bytes: Vec<Vec<u8>> = buffers
        .iter()
        .map(|words| words.iter().flat_map(|word| word.to_le_bytes()).collect())
        .collect();
    let mut views: Vec<&mut [u8]> = bytes.iter_mut().map(Vec::as_mut_slice).collect();
    let run = simulator.run("", &mut views)?;
    for (words, bytes) in buffers.iter_mut().zip(&bytes) {
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = i32::from_le_bytes(bytes.try_into().unwrap());
        }
    }
    Ok(run)
}

/// The same for a design without functions and findings; gives the last buffer.
fn last(text: &str, mut buffers: Vec<Vec<i32>>) -> Vec<i32> {
    let run = simulate(text, Functions::new(), &mut buffers).unwrap();
    assert_eq!(run.findings, []);
    buffers.pop().unwrap()
}

fn refusal(text: &str, buffers: usize) -> String {
    let mut buffers = vec![vec![0; 64]; buffers];
    match simulate(text, Functions::new(), &mut buffers) {
        Err(error) => error.to_string(),
        Ok(run) => panic!("it runs: {run:?}"),
    }
}
