//! Designs with one limit broken each: held against the plan's rules by `limits.rs`, and against the
//! real compiler by `against_compiler.rs`.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

pub(crate) mod models;

use tilewright_codegen::device::{Device, Epilogue, Precision, Shape, Tile};
use tilewright_codegen::plan::array::{Array, At, Dimension, Element, Fifo, Layout, Step};
use tilewright_codegen::plan::limits::Rule;
use tilewright_codegen::plan::sequence::{Command, Sequence};

/// A design that breaks a rule.
pub(crate) struct Broken {
    /// The rule.
    pub(crate) rule: Rule,
    /// What tells this case from others of the rule.
    pub(crate) name: &'static str,
    /// Part of the message that the plan must give.
    pub(crate) message: &'static str,
    /// The configuration.
    pub(crate) array: Array,
    /// A sequence on it.
    pub(crate) sequence: Sequence,
}

pub(crate) fn layout() -> Layout {
    Layout::new(Device::Npu1, Precision::I8, Tile { m: 64, k: 64, n: 64 })
}

/// Six row blocks and two column blocks: enough to need more tasks than a queue holds.
pub(crate) const SHAPE: Shape = Shape { m: 1500, k: 512, n: 512 };

pub(crate) fn good() -> (Array, Sequence) {
    let layout = layout();
    (layout.array(), Sequence::new(&layout, SHAPE, Epilogue::Bias))
}

fn with_tile(m: usize, k: usize, n: usize) -> (Array, Sequence) {
    let layout = Layout::new(Device::Npu1, Precision::I8, Tile { m, k, n });
    (layout.array(), Sequence::new(&layout, SHAPE, Epilogue::Bias))
}

fn fifo<'a>(array: &'a mut Array, name: &str) -> &'a mut Fifo {
    array.fifos.iter_mut().find(|fifo| fifo.name == name).expect("the fifo exists")
}

/// One more fifo between two cores, so far unused.
fn extra(name: &str, producer: At, consumer: At) -> Fifo {
    Fifo {
        name: name.to_owned(),
        producer,
        consumers: vec![consumer],
        depth: 1,
        elements: 64,
        element: Element::I8,
        to_stream: Vec::new(),
    }
}

fn transfer<'a>(
    sequence: &'a mut Sequence,
    name: &str,
) -> &'a mut tilewright_codegen::plan::sequence::Transfer {
    sequence.transfers.iter_mut().find(|t| t.name == name).expect("the transfer exists")
}

/// The steps of the loop over K of the first core.
fn k_loop(array: &mut Array) -> &mut Vec<Step> {
    let Step::Loop { body, .. } = &mut array.cores[0].program[0] else { panic!("a loop") };
    let Step::Loop { body, .. } = &mut body[0] else { panic!("a loop") };
    body
}

fn dims(all: &[(usize, usize)]) -> Vec<Dimension> {
    all.iter().map(|&(size, stride)| Dimension { size, stride }).collect()
}

type Change = fn(&mut Array, &mut Sequence);

/// Every case: rule, name, part of the message, and the change that breaks a good design.
const CASES: &[(Rule, &str, &str, Change)] = &[
    (Rule::CoreMemory, "64×128×128", "core (0, 2) needs", |array, sequence| {
        (*array, *sequence) = with_tile(64, 128, 128);
    }),
    (Rule::MemtileMemory, "deep C", "memtile (0, 1) needs", |array, _| {
        fifo(array, "C_l2_0").depth = 20;
    }),
    (Rule::Stack, "a bank and more", "stack of core (0, 2) has 20000 bytes", |array, sequence| {
        (*array, *sequence) = with_tile(32, 32, 32);
        array.cores[0].stack = 20_000;
    }),
    (
        Rule::VectorAlignment,
        "an odd stack",
        "the stack of core (0, 2) has 3344 bytes",
        |array, _| {
            array.cores[0].stack = 3344;
        },
    ),
    (Rule::Descriptors, "memtile", "descriptors on even channels", |array, _| {
        fifo(array, "C_l2_0").depth = 7;
    }),
    (Rule::Locks, "core", "core (0, 2) needs 2", |array, _| {
        for i in 0..8 {
            array.fifos.push(extra(&format!("x_{i}"), At::core(0, 0), At::core(1, 1)));
        }
    }),
    (Rule::Channels, "a third input", "core (0, 2) needs 3 input channels", |array, _| {
        array.fifos.push(extra("x", At::core(2, 2), At::core(0, 0)));
    }),
    (Rule::Dimensions, "five on a memtile", "has 5 dimensions", |array, _| {
        fifo(array, "C_l2_0").to_stream = dims(&[(2, 2048), (8, 256), (4, 8), (8, 32), (8, 1)]);
    }),
    (Rule::Wrap, "memtile, 513 steps", "513 steps", |array, _| {
        // With gaps, so that the compiler cannot fold them into one dimension.
        fifo(array, "C_l2_0").to_stream = dims(&[(513, 6), (2, 1)]);
    }),
    (Rule::Wrap, "core, 300 steps", "300 steps", |array, _| {
        fifo(array, "C_l1_0_0").to_stream = dims(&[(300, 4), (4, 1)]);
    }),
    (Rule::Wrap, "shim, 1100 steps", "1100 steps", |_, sequence| {
        let c = transfer(sequence, "c_0_0");
        c.dimensions[2].size = 1100;
    }),
    (Rule::Stride, "shim", "stride of 1048577 words", |_, sequence| {
        transfer(sequence, "c_0_0").dimensions[0].stride = 2 * ((1 << 20) + 1);
    }),
    (Rule::Stride, "memtile", "stride of 131074 words", |array, _| {
        fifo(array, "C_l2_0").to_stream[0].stride = 2 * 131_074;
    }),
    (Rule::Stride, "core", "stride of 8194 words", |array, _| {
        fifo(array, "C_l1_0_0").to_stream = dims(&[(2, 2 * 8194), (2048, 1)]);
    }),
    (Rule::ZeroStride, "inner dimension", "stride of 0", |_, sequence| {
        transfer(sequence, "c_0_0").dimensions[1].stride = 0;
    }),
    (Rule::Alignment, "odd stride", "a stride of 1026 bytes", |_, sequence| {
        transfer(sequence, "c_0_0").dimensions[2].stride = 513;
    }),
    (Rule::WholeWords, "odd length", "moves 36", |_, sequence| {
        transfer(sequence, "b_0").length = 36_863;
    }),
    (Rule::Coverage, "layout on a join", "moves 2048 elements", |array, _| {
        fifo(array, "C_l2_0").to_stream[0].size = 8;
    }),
    (Rule::Wiring, "link to nowhere", "does not exist", |array, _| {
        array.links[0].to = "nowhere".to_owned();
    }),
    (Rule::Wiring, "foreign fifo", "which has no such end there", |array, _| {
        let Step::Acquire { fifo, .. } = &mut k_loop(array)[0] else { panic!("an acquire") };
        *fifo = "A_l1_1".to_owned();
    }),
    (Rule::Depth, "more than there are", "acquires 3 of", |array, _| {
        let body = k_loop(array);
        if let Step::Acquire { count, .. } = &mut body[0] {
            *count = 3;
        }
        if let Step::Release { count, .. } = &mut body[3] {
            *count = 3;
        }
    }),
    (Rule::Release, "missing", "does not release them", |array, _| {
        k_loop(array)
            .retain(|step| !matches!(step, Step::Release { fifo, .. } if fifo == "A_l1_0"));
    }),
    (Rule::Release, "before the use", "that it does not hold", |array, _| {
        let release = k_loop(array).remove(3);
        k_loop(array).insert(2, release);
    }),
    (Rule::HostBuffer, "beyond 31 bits", "host buffer `a` has", |_, sequence| {
        sequence.arguments[0].elements = (1 << 31) + 4;
    }),
    (Rule::HostBounds, "C one row too far", "reaches element", |_, sequence| {
        transfer(sequence, "c_3_0").offset += 512;
    }),
    (Rule::HostLength, "a missing transfer", "is not served at all", |_, sequence| {
        let b = sequence.transfers.iter().position(|t| t.name == "b_0").expect("there");
        sequence.commands.retain(|command| {
            let (Command::Start(i) | Command::Await(i) | Command::Free(i)) = command;
            *i != b
        });
        transfer(sequence, "b_0").runs = 0;
    }),
    (Rule::HostLength, "too few runs", "the host moves", |_, sequence| {
        transfer(sequence, "b_0").runs = 5;
    }),
    (Rule::Iteration, "65 steps", "steps 65 times", |_, sequence| {
        let c = transfer(sequence, "c_0_0");
        (c.dimensions[0].size, c.runs) = (65, 65);
    }),
    (Rule::Runs, "257", "runs 257 times", |_, sequence| {
        transfer(sequence, "b_0").runs = 257;
    }),
    (Rule::Queue, "no waits", "is task 5 in the queue", |_, sequence| {
        let a: Vec<usize> = (0..sequence.transfers.len())
            .filter(|&i| sequence.transfers[i].name.starts_with('a'))
            .collect();
        sequence.commands.retain(|c| !matches!(c, Command::Await(i) if a.contains(i)));
    }),
    (Rule::Leak, "a task not freed", "keeps 1 descriptors", |_, sequence| {
        sequence.commands.pop();
    }),
    (Rule::Token, "waits without one", "which issues no token", |_, sequence| {
        transfer(sequence, "c_0_0").token = false;
    }),
    (Rule::Completion, "no wait for C", "ends without waiting for", |_, sequence| {
        let c = sequence.transfers.iter().position(|t| t.name == "c_2_0").expect("there");
        sequence.commands.iter_mut().for_each(|command| {
            if *command == Command::Await(c) {
                *command = Command::Free(c);
            }
        });
    }),
];

/// All cases.
pub(crate) fn broken() -> Vec<Broken> {
    let case = |&(rule, name, message, change): &(Rule, &'static str, &'static str, Change)| {
        let (mut array, mut sequence) = good();
        change(&mut array, &mut sequence);
        Broken { rule, name, message, array, sequence }
    };
    CASES.iter().map(case).collect()
}
