//! What `sim` says: to people, or as JSON.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use tilewright_sim::engine::{Finding, FindingKind, Run, Stats};
use tilewright_sim::netlist::{Netlist, Warning};
use tilewright_sim::text::Span;

use super::SimArgs;
use super::values::{Buffer, Difference};
use crate::cli::error::CliError;
use crate::cli::status::Status;
use crate::cli::table::{Align, Column, Table};

/// All that happened.
pub(super) struct Report {
    netlist: Arc<Netlist>,
    design: String,
    pub(super) sequences: Vec<Ran>,
    pub(super) expected: Vec<Expectation>,
}

/// A sequence that came to its end.
pub(super) struct Ran {
    pub(super) name: String,
    pub(super) run: Run,
    pub(super) stats: Option<Stats>,
}

/// A buffer that was held against what is expected.
pub(super) struct Expectation {
    buffer: usize,
    described: String,
    difference: Option<Difference>,
}

impl Expectation {
    pub(super) fn new(number: usize, buffer: &Buffer, difference: Option<Difference>) -> Self {
        Self { buffer: number, described: buffer.describe(), difference }
    }

    fn text(&self) -> String {
        let Self { buffer, described, difference } = self;
        match difference {
            None => format!("buffer {buffer} ({described}) is as expected\n"),
            Some(Difference { count, elements, first, got, expected, largest }) => format!(
                "buffer {buffer} ({described}) differs in {count} of {elements} elements, first in \
                 element {first}: {got}, not {expected}; by {largest} at most\n"
            ),
        }
    }

    fn view(&self) -> ExpectedView {
        let difference = self.difference.as_ref();
        ExpectedView {
            buffer: self.buffer,
            right: difference.is_none(),
            different: difference.map_or(0, |one| one.count),
            elements: difference.map(|one| one.elements),
            first: difference.map(|one| one.first),
            got: difference.map(|one| one.got),
            expected: difference.map(|one| one.expected),
            largest: difference.map(|one| one.largest),
        }
    }
}

/// The JSON object; its keys stay what they are.
#[derive(Serialize)]
struct View<'a> {
    design: &'a str,
    device: String,
    sequences: Vec<SequenceView<'a>>,
    expected: Vec<ExpectedView>,
    warnings: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct SequenceView<'a> {
    name: &'a str,
    cycles: u64,
    us: f64,
    findings: Vec<FindingView<'a>>,
    stats: Option<&'a Stats>,
}

#[derive(Serialize)]
struct FindingView<'a> {
    kind: &'static str,
    #[serde(flatten)]
    place: Place<'a>,
}

#[derive(Serialize)]
struct Place<'a> {
    line: usize,
    column: usize,
    message: &'a str,
}

#[derive(Serialize)]
struct ExpectedView {
    buffer: usize,
    right: bool,
    different: usize,
    elements: Option<usize>,
    first: Option<usize>,
    got: Option<f64>,
    expected: Option<f64>,
    largest: Option<f64>,
}

const fn key(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Race => "race",
        FindingKind::DescriptorReuse => "descriptor_reuse",
        FindingKind::Uninitialised => "uninitialised",
        FindingKind::QueueOverflow => "queue_overflow",
        FindingKind::Unfinished => "unfinished",
    }
}

impl Report {
    pub(super) fn new(args: &SimArgs, netlist: &Arc<Netlist>) -> Self {
        Self {
            netlist: Arc::clone(netlist),
            design: args.design.display().to_string(),
            sequences: Vec::new(),
            expected: Vec::new(),
        }
    }

    pub(super) fn status(&self) -> Status {
        if self.expected.iter().any(|one| one.difference.is_some()) {
            Status::Mismatch
        } else if self.sequences.iter().any(|one| !one.run.findings.is_empty()) {
            Status::Findings
        } else {
            Status::Done
        }
    }

    fn device(&self) -> String {
        let device = self.netlist.device;
        let name = self.netlist.name.as_deref().map(|name| format!(" @{name}"));
        format!("{device:?}{}", name.unwrap_or_default())
    }

    fn place<'a>(&self, span: Span, message: &'a str) -> Place<'a> {
        let source = &self.netlist.module.source;
        Place { line: source.line(span), column: source.column(span), message }
    }

    pub(super) fn json(&self) -> Result<String, CliError> {
        let finding =
            |finding: &'_ Finding| -> (&'static str, Span) { (key(finding.kind), finding.span) };
        let sequences = self.sequences.iter().map(|ran| SequenceView {
            name: &ran.name,
            cycles: ran.run.cycles,
            us: ran.run.microseconds,
            findings: ran
                .run
                .findings
                .iter()
                .map(|one| {
                    let (kind, span) = finding(one);
                    FindingView { kind, place: self.place(span, &one.message) }
                })
                .collect(),
            stats: ran.stats.as_ref(),
        });
        let warnings = self.netlist.warnings.iter();
        let view = View {
            design: &self.design,
            device: self.device(),
            sequences: sequences.collect(),
            expected: self.expected.iter().map(Expectation::view).collect(),
            warnings: warnings.map(|one| self.place(one.span, &one.message)).collect(),
        };
        let text = serde_json::to_string_pretty(&view);
        text.map(|text| text + "\n").map_err(|error| CliError::Stdout(error.into()))
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut at = |kind: &str, span: Span, message: &str| {
            let Place { line, column, .. } = self.place(span, message);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}:{line}:{column}: {kind}: {message}", self.design);
        };
        for Warning { span, message } in &self.netlist.warnings {
            at("warning", *span, message);
        }
        for ran in &self.sequences {
            for finding in &ran.run.findings {
                at(&finding.kind.to_string(), finding.span, &finding.message);
            }
        }
        for ran in &self.sequences {
            let Run { cycles, microseconds, .. } = ran.run;
            let _ = writeln!(text, "{}: {cycles} cycles, {microseconds:.2} µs", ran.name);
            if let Some(stats) = &ran.stats {
                let _ = write!(text, "{}", stats_text(stats));
            }
        }
        text + &self.expected.iter().map(Expectation::text).collect::<String>()
    }
}

const fn column(title: &'static str, align: Align) -> Column {
    Column { group: "", title, align }
}

fn stats_text(stats: &Stats) -> String {
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let cores = stats.cores.iter();
    let cores = Table {
        columns: [
            column("core", Align::Left),
            column("busy", Align::Right),
            column("waiting", Align::Right),
        ],
        rows: cores
            .map(|core| [core.name.clone(), percent(core.busy), percent(core.waiting)])
            .collect(),
    };
    let channels = stats.channels.iter();
    let channels = Table {
        columns: [
            column("channel", Align::Left),
            column("bytes", Align::Right),
            column("busy", Align::Right),
        ],
        rows: channels
            .map(|one| [one.name.clone(), one.bytes.to_string(), percent(one.busy)])
            .collect(),
    };
    format!(
        "\n{cores}\n{channels}\nDRAM  {} bytes, {:.0}% of its bandwidth\n\n",
        stats.dram_bytes,
        100.0 * stats.dram_busy
    )
}
