//! A matrix product on the whole array, and its run in the simulator.

use std::sync::Arc;

use tilewright_sim::engine::{Limits, Run, Simulator, Timing};
use tilewright_sim::functions::{Argument, Functions, Returned};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, parse};

/// What is multiplied, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gemm {
    /// `npu1` or `npu2`.
    pub device: &'static str,
    /// Type of A and B.
    pub input: &'static str,
    /// Type of C, which is also the type of the sums that a core keeps.
    pub output: &'static str,
    /// Rows of a core's tile of A.
    pub m: usize,
    /// Columns of a core's tile of A.
    pub k: usize,
    /// Columns of a core's tile of C.
    pub n: usize,
    /// M, K, N.
    pub size: [usize; 3],
}

/// Cycles of the core functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Multiply-accumulates per cycle of `matmul`, without the call.
    pub macs: f64,
    /// Bytes that `zero` stores per cycle.
    pub zero_bytes: f64,
}

impl Gemm {
    /// Columns of the array.
    pub(crate) fn columns(&self) -> usize {
        if self.device == "npu1" { 4 } else { 8 }
    }

    /// The column whose shim and memtile bring a row its A: every other one of eight.
    pub(crate) fn a_column(&self, row: usize) -> usize {
        row * self.columns() / 4
    }

    /// Tiles along K.
    pub(crate) fn k_tiles(&self) -> usize {
        self.size[1] / self.k
    }

    /// Multiply-accumulates of the product.
    pub(crate) fn macs(&self) -> f64 {
        self.size.iter().map(|&size| size as f64).product()
    }

    /// Runs a design of this product once; what it computes is not looked at.
    pub(crate) fn run(&self, design: &str, rates: Rates, timing: Timing) -> Run {
        let source = Source::new("yardstick.mlir", design);
        let netlist = Netlist::build(parse(&source).unwrap(), None).unwrap();
        let macs = (self.m * self.k * self.n) as f64;
        let mut functions = Functions::new();
        let takes = |cycles: f64| {
            Arc::new(move |_: &mut [Argument<'_>]| {
                Ok(Returned { cycles: cycles.round() as u64, value: None })
            })
        };
        functions.register("matmul", takes(macs / rates.macs));
        let c_tile = (self.m * self.n * bytes(self.output)) as f64;
        functions.register("zero", takes(c_tile / rates.zero_bytes));
        let netlist = Arc::new(netlist);
        let mut simulator = Simulator::new(netlist, functions, Limits::default()).unwrap();
        simulator.set_timing(timing);
        simulator.move_no_data();
        let [m, k, n] = self.size;
        let mut a = vec![0; m * k * bytes(self.input)];
        let mut b = vec![0; k * n * bytes(self.input)];
        let mut c = vec![0; m * n * bytes(self.output)];
        simulator.run("gemm", &mut [&mut a, &mut b, &mut c]).unwrap()
    }
}

/// Bytes of an element.
pub(crate) fn bytes(element: &str) -> usize {
    match element {
        "i8" => 1,
        "i16" | "bf16" => 2,
        _ => 4,
    }
}
