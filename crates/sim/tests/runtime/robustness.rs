//! Designs that are a little wrong: refused, or run within limits, without a panic.

use std::sync::Arc;

use tilewright_sim::engine::{Limits, Simulator};
use tilewright_sim::functions::{Argument, Functions, Returned, Scalar};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{Source, Type, parse};

use super::{packets, registers, sequences};

/// Numbers that are near a limit of something.
const NUMBERS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "4",
    "5",
    "7",
    "8",
    "15",
    "16",
    "31",
    "63",
    "64",
    "255",
    "256",
    "1023",
    "4096",
    "65535",
    "131072",
    "1048577",
    "2147483647",
    "4294967295",
    "9223372036854775807",
];

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % most.max(1)
    }
}

/// Where the words and numbers of a text are.
fn words(text: &str) -> Vec<(usize, usize)> {
    let inside =
        |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '%' || c == '@' || c == '.';
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (inside(c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                words.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn mutate(text: &str, random: &mut Random) -> String {
    let words = words(text);
    let numbers: Vec<(usize, usize)> =
        words.iter().copied().filter(|&(from, to)| text[from..to].parse::<i64>().is_ok()).collect();
    let put =
        |(from, to): (usize, usize), with: &str| format!("{}{with}{}", &text[..from], &text[to..]);
    let mut lines: Vec<&str> = text.lines().collect();
    match random.below(8) {
        0..4 if !numbers.is_empty() => {
            let number = NUMBERS[random.below(NUMBERS.len())];
            put(numbers[random.below(numbers.len())], number)
        }
        4 => {
            let (from, to) = words[random.below(words.len())];
            put(words[random.below(words.len())], &text[from..to])
        }
        5 => {
            lines.remove(random.below(lines.len()));
            lines.join("\n")
        }
        6 => {
            let line = lines[random.below(lines.len())];
            lines.insert(random.below(lines.len()), line);
            lines.join("\n")
        }
        _ => {
            let (a, b) = (random.below(lines.len()), random.below(lines.len()));
            lines.swap(a, b);
            lines.join("\n")
        }
    }
}

fn stubs(netlist: &Netlist) -> Functions {
    let mut functions = Functions::new();
    for (symbol, declared) in &netlist.functions {
        let value = declared.results.first().map(|ty| match ty {
            Type::Float(_) => Scalar::Float(1.0),
            _ => Scalar::Integer(1),
        });
        let stub = move |_: &mut [Argument<'_>]| Ok::<_, String>(Returned { cycles: 1, value });
        functions.register(symbol, Arc::new(stub));
    }
    functions
}

/// How far a text gets: 0 unread, 1 read, 2 elaborated, 3 configured, 4 run.
fn run(text: &str) -> usize {
    let Ok(module) = parse(&Source::new("design.mlir", text)) else { return 0 };
    let Ok(netlist) = Netlist::build(module, None) else { return 1 };
    let netlist = Arc::new(netlist);
    let limits = Limits { steps: 200_000, time: None };
    let Ok(mut simulator) = Simulator::new(Arc::clone(&netlist), stubs(&netlist), limits) else {
        return 2;
    };
    for sequence in &netlist.sequences {
        let sizes: Option<Vec<usize>> = sequence
            .arguments
            .iter()
            .map(|ty| match ty {
                Type::MemRef(memref) => memref.bytes().filter(|&bytes| bytes < 1 << 22),
                _ => None,
            })
            .collect();
        let Some(sizes) = sizes else { continue };
        let mut buffers: Vec<Vec<u8>> = sizes.into_iter().map(|size| vec![0; size]).collect();
        let mut views: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
        if simulator.run(&sequence.name, &mut views).is_err() {
            return 3;
        }
    }
    4
}

/// `TILEWRIGHT_MUTANTS` sets how many of each design; 40 by default.
#[test]
fn mutants_do_not_panic() {
    let each: usize =
        std::env::var("TILEWRIGHT_MUTANTS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let seeds = [registers::seeds(), packets::seeds(), sequences::seeds()].concat();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ each as u64);
    let mut reached = [0_usize; 5];
    for seed in &seeds {
        for _ in 0..each {
            let mut text = mutate(seed, &mut random);
            for _ in 0..random.below(3) {
                text = mutate(&text, &mut random);
            }
            let outcome = std::panic::catch_unwind(|| run(&text));
            let Ok(stage) = outcome else { panic!("a panic in\n{text}") };
            reached[stage] += 1;
        }
    }
    println!("unread, read, elaborated, configured, run: {reached:?}");
    assert!(reached[4] > 0 && reached[3] > 0, "{reached:?}");
}
