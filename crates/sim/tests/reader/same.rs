//! Modules as text that does not depend on names of values and labels of blocks.

use std::collections::HashMap;
use std::fmt::Write as _;

use tilewright_sim::text::{Module, Op, Region, Source, ValueId, parse};

/// Reads a text that must be right.
pub(crate) fn read(text: &str) -> Module {
    parse(&Source::new("test.mlir", text))
        .unwrap_or_else(|error| panic!("{error}\n{}", error.help()))
}

/// What a module says, one line for each operation.
pub(crate) fn outline(module: &Module) -> String {
    let mut outline = Outline { module, numbers: HashMap::new(), text: String::new() };
    outline.ops(&module.body, 0);
    outline.text
}

/// Where two texts differ first; empty if nowhere.
pub(crate) fn difference(left: &str, right: &str) -> String {
    let pairs = left.lines().map(Some).chain(std::iter::repeat(None));
    let others = right.lines().map(Some).chain(std::iter::repeat(None));
    for (number, (a, b)) in pairs.zip(others).enumerate() {
        match (a, b) {
            (None, None) => break,
            (a, b) if a != b => {
                return format!(
                    "operation {number}:\n  {}\n  {}",
                    a.unwrap_or("-"),
                    b.unwrap_or("-")
                );
            }
            _ => {}
        }
    }
    String::new()
}

struct Outline<'a> {
    module: &'a Module,
    numbers: HashMap<ValueId, usize>,
    text: String,
}

impl Outline<'_> {
    fn value(&mut self, id: ValueId) -> String {
        let fresh = self.numbers.len();
        let number = *self.numbers.entry(id).or_insert(fresh);
        format!("%{number}: {}", self.module.value(id).ty)
    }

    fn values(&mut self, ids: &[ValueId]) -> String {
        let shown: Vec<String> = ids.iter().map(|&id| self.value(id)).collect();
        shown.join(", ")
    }

    fn ops(&mut self, ops: &[Op], depth: usize) {
        for op in ops {
            let operands = self.values(&op.operands);
            let results = self.values(&op.results);
            let successors: Vec<String> = op
                .successors
                .iter()
                .map(|next| format!("{}({})", next.block.0, self.values(&next.arguments)))
                .collect();
            let _ = writeln!(
                self.text,
                "{:depth$}{results} = {}({operands}) {:?} {successors:?}",
                "", op.name, op.attributes,
            );
            for region in &op.regions {
                self.region(region, depth + 1);
            }
        }
    }

    fn region(&mut self, region: &Region, depth: usize) {
        let _ = writeln!(self.text, "{:depth$}region of {}", "", region.blocks.len());
        for block in &region.blocks {
            let arguments = self.values(&block.arguments);
            let _ = writeln!(self.text, "{:depth$}block({arguments})", "");
            self.ops(&block.ops, depth + 1);
        }
    }
}
