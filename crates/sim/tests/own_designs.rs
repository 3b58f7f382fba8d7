//! Our own designs: the simulator's time beside the cost model's, for every kernel of `model.toml`.
//!
//! The core functions compute nothing and take the cycles that the cost model gives them, so that
//! what differs is streams, DRAM, locks and the controller.

// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tilewright_codegen::device::Epilogue;
use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::cost::{epilogue_cycles, matmul_cycles};
use tilewright_codegen::plan::{Design, Plan};
use tilewright_codegen::render::design::RenderedDesign;
use tilewright_sim::engine::{Limits, Simulator};
use tilewright_sim::functions::{Argument, Functions, Returned, Scalar};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, Type, parse};

fn functions(design: &Design) -> Functions {
    let layout = design.layout;
    let symbols = layout.symbols();
    let returned = |cycles: f64| Ok(Returned { cycles: cycles.round() as u64, value: None });
    let mut functions = Functions::new();
    let multiply = matmul_cycles(&layout);
    let matmul = move |_: &mut [Argument<'_>]| returned(multiply);
    functions.register(symbols.matmul, Arc::new(matmul));
    let finish = move |arguments: &mut [Argument<'_>]| {
        let code = match arguments.last() {
            Some(Argument::Scalar(Scalar::Integer(code))) => *code,
            _ => return Err("no epilogue".to_owned()),
        };
        let all = [Epilogue::None, Epilogue::Bias, Epilogue::BiasGelu];
        let epilogue = all.into_iter().find(|e| i64::from(e.code()) == code);
        returned(epilogue_cycles(&layout, epilogue.ok_or("an unknown epilogue")?))
    };
    functions.register(symbols.epilogue, Arc::new(finish));
    functions
}

/// Microseconds of every sequence of a design.
fn simulate(design: &Design) -> BTreeMap<String, f64> {
    let text = RenderedDesign::new(design).unwrap().module();
    let netlist = Netlist::build(parse(&Source::new("design.mlir", &text)).unwrap(), None).unwrap();
    let netlist = Arc::new(netlist);
    let mut simulator =
        Simulator::new(Arc::clone(&netlist), functions(design), Limits::default()).unwrap();
    simulator.move_no_data();
    let mut times = BTreeMap::new();
    for sequence in &netlist.sequences {
        let buffer = |ty: &Type| match ty {
            Type::MemRef(memref) => vec![0_u8; memref.bytes().unwrap()],
            _ => Vec::new(),
        };
        let mut buffers: Vec<Vec<u8>> = sequence.arguments.iter().map(buffer).collect();
        let mut slices: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
        let run = simulator.run(&sequence.name, &mut slices).unwrap();
        assert!(run.findings.is_empty(), "{}: {:?}", sequence.name, run.findings);
        times.insert(sequence.name.clone(), run.microseconds);
    }
    times
}

/// How far the cost model may be from the simulator; `YARDSTICKS.md` says where it is far and why.
const BOUND: f64 = 0.25;

#[test]
fn the_cost_model_is_within_a_quarter_of_the_simulator() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../model.toml");
    let file = ModelFile::parse("model.toml", &std::fs::read_to_string(path).unwrap()).unwrap();
    let plan = Plan::new(&file).unwrap();
    let mut wrong = Vec::new();
    println!("| target | kernel | simulated µs | cost model µs | | bound |");
    println!("|---|---|---|---|---|---|");
    for design in &plan.designs {
        let times = simulate(design);
        let longest = design.kernels.iter().filter_map(|kernel| kernel.length).max();
        let mut pass = (0.0, 0.0);
        for kernel in &design.kernels {
            let (simulated, predicted) = (times[&kernel.sequence], kernel.cost.array_us);
            let error = predicted / simulated - 1.0;
            println!(
                "| {} {} | {} | {simulated:.0} | {predicted:.0} | {:+.1} % | {} |",
                design.target(),
                design.layout.tile,
                kernel.sequence,
                100.0 * error,
                kernel.cost.bound,
            );
            if kernel.length == longest {
                pass.0 += kernel.count as f64 * simulated / 1e3;
                pass.1 += kernel.count as f64 * predicted / 1e3;
            }
            if error.abs() > BOUND {
                wrong.push(format!(
                    "{} {}: {:+.1} %",
                    design.name(),
                    kernel.sequence,
                    100.0 * error
                ));
            }
        }
        println!("| {} | one pass, in ms | {:.1} | {:.1} | | |", design.target(), pass.0, pass.1);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
