//! Regions and blocks.

use super::form::Form;
use super::lexer::{Kind, Token};
use super::scope::{Label, Visibility};
use super::{Parsed, Parser};
use crate::text::{Attribute, Block, BlockId, Op, Region, Span, Type, ValueId};

/// Operations after which no implicit terminator comes.
const TERMINATORS: &[&str] = &[
    "aie.end",
    "aie.next_bd",
    "affine.yield",
    "cf.br",
    "cf.cond_br",
    "cf.switch",
    "func.return",
    "scf.condition",
    "scf.reduce",
    "scf.reduce.return",
    "scf.yield",
];

/// An argument that an operation names in front of its region.
pub(super) struct Argument<'s> {
    pub(super) name: Token<'s>,
    pub(super) ty: Type,
}

impl<'s> Parser<'s> {
    /// `%a: i32 loc(…)`, with attributes if the operation keeps them.
    pub(super) fn argument(&mut self) -> Parsed<(Argument<'s>, Vec<(String, Attribute)>)> {
        let name = self.expect_kind(Kind::Value, "an argument `%name: type`")?;
        self.check_name(name)?;
        self.expect(":")?;
        let ty = self.ty()?;
        let attributes = self.optional_dictionary()?;
        self.skip_location()?;
        Ok((Argument { name, ty }, attributes))
    }

    /// `(%a: i32, %b: f32)`.
    pub(super) fn arguments(&mut self) -> Parsed<Vec<Argument<'s>>> {
        self.expect("(")?;
        self.list(")", |p| p.argument().map(|(argument, _)| argument))
    }

    /// A region of a pretty operation; `entry` are the arguments that stand in front of it.
    pub(super) fn region(
        &mut self,
        entry: Vec<Argument<'s>>,
        form: &'static Form,
    ) -> Parsed<Region> {
        let outer = std::mem::replace(&mut self.default_dialect, form.default_dialect);
        let mut region = self.nested(|p| p.region_within(entry, form.visibility))?;
        self.default_dialect = outer;
        if let Some(terminator) = form.ends {
            self.terminate(&mut region, terminator);
        }
        Ok(region)
    }

    /// A region of the current operation's form.
    pub(super) fn body(&mut self, entry: Vec<Argument<'s>>) -> Parsed<Region> {
        match self.form {
            Some(form) => self.region(entry, form),
            None => Err(self.expected("an operation")),
        }
    }

    pub(super) fn generic_region(&mut self, visibility: Visibility) -> Parsed<Region> {
        self.nested(|p| p.region_within(Vec::new(), visibility))
    }

    /// Adds the terminator that the text leaves out.
    fn terminate(&self, region: &mut Region, terminator: &str) {
        if region.blocks.is_empty() {
            region.blocks.push(Block::default());
        }
        let [block] = region.blocks.as_mut_slice() else { return };
        if block.ops.last().is_some_and(|op| TERMINATORS.contains(&op.name.as_str())) {
            return;
        }
        let end = self.token.start;
        block.ops.push(Op {
            name: terminator.to_owned(),
            span: Span { start: end, end },
            results: Vec::new(),
            operands: Vec::new(),
            attributes: Vec::new(),
            regions: Vec::new(),
            successors: Vec::new(),
        });
    }

    fn region_within(
        &mut self,
        entry: Vec<Argument<'s>>,
        visibility: Visibility,
    ) -> Parsed<Region> {
        let form = self.form.take();
        let open = self.expect("{")?;
        self.enter_region(visibility);
        let mut region = Region::default();
        if !entry.is_empty() || !(self.at("}") || self.at_kind(Kind::Caret)) {
            if let (true, Some(first)) = (self.at_kind(Kind::Caret), entry.first()) {
                let message = format!(
                    "the entry block has the argument `{}` already and cannot have a label",
                    first.name.text
                );
                return Err(self.error(self.token.span(), message, "leave the label out"));
            }
            self.begin_block();
            let arguments = self.block_arguments(entry)?;
            region.blocks.push(Block { label: String::new(), arguments, ops: Vec::new() });
            self.ops(&mut region, open)?;
        }
        while self.at_kind(Kind::Caret) {
            let label = self.advance();
            self.define_label(label, BlockId(region.blocks.len() as u32))?;
            self.begin_block();
            let entry = if self.at("(") { self.arguments()? } else { Vec::new() };
            let arguments = self.block_arguments(entry)?;
            self.expect(":")?;
            region.blocks.push(Block { label: label.text.to_owned(), arguments, ops: Vec::new() });
            self.ops(&mut region, open)?;
        }
        self.expect("}")?;
        let labels = self.leave_region()?;
        self.connect(&mut region, &labels)?;
        self.form = form;
        Ok(region)
    }

    fn block_arguments(&mut self, entry: Vec<Argument<'s>>) -> Parsed<Vec<ValueId>> {
        entry.into_iter().map(|argument| self.define(argument.name, 0, 1, argument.ty)).collect()
    }

    /// Operations up to the next block or the end of the region.
    fn ops(&mut self, region: &mut Region, open: Token<'s>) -> Parsed<()> {
        while !self.at("}") && !self.at_kind(Kind::Caret) {
            if self.at_kind(Kind::End) {
                return Err(self.error(
                    open.span(),
                    "this `{` is not closed before the text ends",
                    "add a `}`",
                ));
            }
            let op = self.operation()?;
            if let Some(block) = region.blocks.last_mut() {
                block.ops.push(op);
            }
        }
        Ok(())
    }

    /// Turns labels' numbers into blocks.
    fn connect(&self, region: &mut Region, labels: &[Label<'s>]) -> Parsed<()> {
        if let Some(missing) = labels.iter().find(|label| label.block.is_none()) {
            return Err(self.error(
                missing.span,
                format!("block `{}` is not in this region", missing.name),
                "blocks can only be reached from the region that they stand in",
            ));
        }
        let counts: Vec<usize> = region.blocks.iter().map(|block| block.arguments.len()).collect();
        for op in region.blocks.iter_mut().flat_map(|block| &mut block.ops) {
            for successor in &mut op.successors {
                let label = labels.get(successor.block.0 as usize);
                let Some(block) = label.and_then(|label| label.block) else { continue };
                successor.block = block;
                let wanted = counts.get(block.0 as usize).copied().unwrap_or_default();
                if successor.arguments.len() != wanted && op.name.starts_with("cf.") {
                    return Err(self.error(
                        op.span,
                        format!(
                            "block `{}` takes {wanted} arguments, but gets {}",
                            label.map_or("", |label| label.name),
                            successor.arguments.len()
                        ),
                        "pass a value for each argument",
                    ));
                }
            }
        }
        Ok(())
    }
}
