//! What `verify` says: to people, or as JSON.

use std::fmt::Write;

use serde::Serialize;
use tilewright_codegen::plan::array::Layout;
use tilewright_codegen::plan::cost::Cost;
use tilewright_kernel::{KernelInfo, Shape};

use super::encoder::{Part, Prediction};
use super::{Outcome, Row};
use crate::cli::error::CliError;
use crate::cli::status::Status;
use crate::cli::table::{Align, Column, Table};

/// The JSON object; its keys stay what they are.
#[derive(Serialize)]
pub(super) struct Report {
    kernels: Vec<KernelView>,
    encoders: Vec<Prediction>,
}

#[derive(Serialize)]
struct KernelView {
    model: &'static str,
    target: String,
    op: &'static str,
    length: Option<usize>,
    runs: usize,
    shape: Shape,
    padded: Shape,
    status: &'static str,
    error: Option<String>,
    wrong_sums: Option<usize>,
    first_wrong_sum: Option<WrongSumView>,
    ulps: Option<f64>,
    again: Option<bool>,
    cycles: Option<u64>,
    array_us: Option<f64>,
    utilisation: Option<f64>,
    bound: Option<&'static str>,
    busy: Option<f64>,
    planned_us: f64,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct WrongSumView {
    row: usize,
    column: usize,
    got: f64,
    expected: f64,
}

impl Report {
    pub(super) fn new(rows: &[Row], encoders: Vec<Prediction>) -> Self {
        Self { kernels: rows.iter().map(KernelView::new).collect(), encoders }
    }

    pub(super) fn json(&self) -> Result<String, CliError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| CliError::Stdout(error.into()))
    }

    pub(super) fn text(&self) -> String {
        let mut text = kernel_table(&self.kernels).to_string();
        for kernel in &self.kernels {
            text += &kernel.remarks();
        }
        for encoder in &self.encoders {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}", encoder.text());
        }
        text
    }
}

impl KernelView {
    fn new(row: &Row) -> Self {
        let kernel = row.kernel;
        let mut view = Self {
            model: kernel.target.model,
            target: kernel.target.name(),
            op: kernel.op,
            length: kernel.length,
            runs: kernel.count,
            shape: kernel.shape,
            padded: kernel.padded,
            status: match row.status() {
                Status::Hang => "hang",
                Status::Mismatch => "mismatch",
                Status::Findings => "findings",
                Status::Done | Status::Failed => "right",
            },
            error: None,
            wrong_sums: None,
            first_wrong_sum: None,
            ulps: None,
            again: None,
            cycles: None,
            array_us: None,
            utilisation: None,
            bound: None,
            busy: None,
            planned_us: planned_us(kernel),
            findings: Vec::new(),
        };
        match &row.outcome {
            Outcome::Hang(error) => view.error = Some(error.clone()),
            Outcome::Ran(verified, again) => {
                view.wrong_sums = Some(verified.wrong_sums);
                view.first_wrong_sum = verified.first_wrong_sum.map(|wrong| WrongSumView {
                    row: wrong.row,
                    column: wrong.column,
                    got: wrong.got,
                    expected: wrong.expected,
                });
                view.ulps = Some(verified.ulps);
                view.again = Some(*again);
                view.cycles = Some(verified.cycles);
                view.array_us = Some(verified.microseconds);
                view.utilisation = Some(verified.utilisation);
                view.bound = Some(verified.bound);
                view.busy = Some(verified.busy);
                view.findings.clone_from(&verified.findings);
            }
        }
        view
    }

    fn name(&self) -> String {
        format!("{} {} {} {}", self.model, self.target, self.op, self.shape)
    }

    /// What does not fit into the table: nothing for a kernel that is right.
    fn remarks(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.error.clone());
        if let Some(WrongSumView { row, column, got, expected }) = self.first_wrong_sum {
            let count = self.wrong_sums.unwrap_or_default();
            lines.push(format!(
                "{count} wrong sums, the first in row {row}, column {column}: {got}, not {expected}"
            ));
        }
        if self.again == Some(false) {
            lines.push("other results the second time".to_owned());
        }
        lines.extend(self.findings.iter().cloned());
        lines.iter().map(|line| format!("\n{}: {line}\n", self.name())).collect()
    }
}

fn planned_us(kernel: &KernelInfo) -> f64 {
    let target = kernel.target;
    let layout = Layout::new(target.device, target.precision, target.tile);
    Cost::new(&layout, kernel.shape, kernel.epilogue).array_us
}

const fn column(title: &'static str, align: Align) -> Column {
    Column { group: "", title, align }
}

fn kernel_table(kernels: &[KernelView]) -> Table<12> {
    let columns = [
        column("target", Align::Left),
        column("op", Align::Left),
        column("shape", Align::Left),
        column("sums", Align::Left),
        column("ulp", Align::Right),
        column("again", Align::Left),
        Column { group: "µs", title: "array", align: Align::Right },
        Column { group: "µs", title: "plan", align: Align::Right },
        column("use", Align::Right),
        column("bound", Align::Left),
        column("findings", Align::Right),
        column("", Align::Left),
    ];
    Table { columns, rows: kernels.iter().map(KernelView::row).collect() }
}

impl KernelView {
    fn row(&self) -> [String; 12] {
        fn or_dash<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
            value.map_or("-".to_owned(), text)
        }
        let bound = self.bound.zip(self.busy);
        [
            self.target.clone(),
            self.op.to_owned(),
            self.shape.to_string(),
            or_dash(self.wrong_sums, |wrong| match wrong {
                0 => "exact".to_owned(),
                wrong => format!("{wrong} wrong"),
            }),
            or_dash(self.ulps, |ulps| format!("{ulps:.2}")),
            or_dash(self.again, |again| if again { "same" } else { "other" }.to_owned()),
            or_dash(self.array_us, |us| format!("{us:.0}")),
            format!("{:.0}", self.planned_us),
            or_dash(self.utilisation, |part| format!("{:.1}%", part * 100.0)),
            or_dash(bound, |(what, busy)| format!("{what} {:.0}%", busy * 100.0)),
            self.findings.len().to_string(),
            self.status.to_owned(),
        ]
    }
}

impl Prediction {
    fn text(&self) -> String {
        let at = self.length.map(|length| format!(" at length {length}")).unwrap_or_default();
        let ms = |us: f64| format!("{:.2} ms", us / 1e3);
        let host: f64 = self.host.iter().map(|part| part.us).sum();
        let mut text = format!("{} on {}{at}, predicted:\n", self.model, self.target);
        for (what, us, source) in [
            ("on the array", self.array_us, format!("simulated, {} calls", self.calls)),
            ("floor of calls", self.launch_us, "110 µs each, measured by others".to_owned()),
            ("packing", self.packing_us, "measured on this machine".to_owned()),
            ("unpacking", self.unpacking_us, "measured on this machine".to_owned()),
            (
                "everything else",
                host,
                format!(
                    "measured on this machine, {} threads: {}",
                    self.host_threads,
                    self.host
                        .iter()
                        .map(|part| format!("{} {}", part.operator, ms(part.us)))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            ),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {what:15}  {:>10}  {source}", ms(us));
        }
        let verdict = if self.total_us <= self.aim_us { "within" } else { "beyond" };
        let _ = writeln!(
            text,
            "  {:15}  {:>10}  {verdict} the aim of {:.0} ms",
            "all",
            ms(self.total_us),
            self.aim_us / 1e3
        );
        let named = |parts: &mut dyn Iterator<Item = &Part>| -> String {
            let parts = parts.take(3).map(|part| format!("{} {}", part.part, ms(part.us)));
            parts.collect::<Vec<_>>().join(", then ")
        };
        let _ = writeln!(text, "  bounded by       {}", named(&mut self.largest.iter()));
        let mut on_array = self.largest.iter().filter(|part| part.on_array);
        let _ = writeln!(text, "  on the array by  {}", named(&mut on_array));
        text
    }
}
