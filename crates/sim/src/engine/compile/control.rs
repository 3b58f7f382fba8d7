//! `scf`, `cf` and `func`.

use super::{Compiler, Exit, Result};
use crate::engine::program::{Address, Instruction, Routine, Slot};
use crate::engine::value::{IntegerOp, Value};
use crate::text::{Attribute, BlockId, Op, Region, Successor, Symbol, ValueId};

/// Compiles the operation if it is one of these.
pub(super) fn compile<'a>(c: &mut Compiler<'a>, op: &'a Op) -> Result<bool> {
    match op.name.as_str() {
        "scf.for" => {
            let slots = c.operands(op)?;
            let [low, high, step, inits @ ..] = slots.as_slice() else {
                return Err(c.error(op, "`scf.for` lacks a bound", ""));
            };
            let (low, high, step, inits) = (*low, *high, *step, inits.to_vec());
            c.emit(op, Instruction::Positive { step });
            c.counted(op, low, high, step, &inits)?;
        }
        "scf.while" => c.while_loop(op)?,
        "scf.if" => c.branch(op)?,
        "scf.execute_region" => {
            let results = c.results(op);
            c.nested(op, 0, results)?;
        }
        "scf.index_switch" => c.switch(op)?,
        "scf.yield" | "affine.yield" => c.leave(op)?,
        "scf.condition" => {
            // `scf.while` reads it; nothing else may hold one.
            return Err(c.error(op, "`scf.condition` outside of `scf.while`", ""));
        }
        "cf.br" | "cf.cond_br" | "cf.switch" => {
            // Handled by `region`, which knows the blocks.
            return Err(c.error(op, format!("`{}` outside of a block", op.name), ""));
        }
        "cf.assert" => {
            let condition = c.operand(op, 0)?;
            let message = op.string("msg").unwrap_or("").into();
            c.emit(op, Instruction::Assert { condition, message });
        }
        "func.call" => c.call(op)?,
        "func.return" => {
            let values = c.operands(op)?.into();
            c.emit(op, Instruction::Return { values });
        }
        "aie.end" => {
            c.emit(op, Instruction::End);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl<'a> Compiler<'a> {
    /// Compiles all blocks of a region, entered at the first.
    pub(super) fn region(&mut self, region: &'a Region) -> Result<()> {
        let mut addresses: Vec<Address> = Vec::with_capacity(region.blocks.len());
        // Jumps to blocks whose address is not known yet.
        let mut jumps: Vec<(Address, BlockId)> = Vec::new();
        for block in &region.blocks {
            for &argument in &block.arguments {
                self.define(argument);
            }
        }
        for block in &region.blocks {
            addresses.push(self.program.here());
            let Some((last, ops)) = block.ops.split_last() else { continue };
            self.ops(ops)?;
            match last.name.as_str() {
                "cf.br" => self.jump(last, &region.blocks, last.successors.first(), &mut jumps)?,
                "cf.cond_br" => {
                    let condition = self.operand(last, 0)?;
                    let branch = Instruction::Branch { condition, then: 0, otherwise: 0 };
                    let at = self.emit(last, branch);
                    let then = self.program.here();
                    self.jump(last, &region.blocks, last.successors.first(), &mut jumps)?;
                    let otherwise = self.program.here();
                    self.jump(last, &region.blocks, last.successors.get(1), &mut jumps)?;
                    self.program.code[at as usize] =
                        Instruction::Branch { condition, then, otherwise };
                }
                "cf.switch" => {
                    let value = self.operand(last, 0)?;
                    let at = self.emit(last, Instruction::End);
                    let otherwise = self.program.here();
                    self.jump(last, &region.blocks, last.successors.first(), &mut jumps)?;
                    let values = integers(last, "case_values");
                    let mut cases = Vec::with_capacity(values.len());
                    for (i, value) in values.into_iter().enumerate() {
                        cases.push((value, self.program.here()));
                        self.jump(last, &region.blocks, last.successors.get(i + 1), &mut jumps)?;
                    }
                    self.program.code[at as usize] =
                        Instruction::Switch { value, cases: cases.into(), otherwise };
                }
                _ => self.op_at((block.ops.as_ptr() as usize, ops.len()), last)?,
            }
        }
        for (at, block) in jumps {
            let to = addresses.get(block.0 as usize).copied().unwrap_or(0);
            self.program.code[at as usize] = Instruction::Jump { to };
        }
        Ok(())
    }

    /// A jump to a block, its arguments filled.
    fn jump(
        &mut self,
        op: &'a Op,
        blocks: &'a [crate::text::Block],
        successor: Option<&'a Successor>,
        jumps: &mut Vec<(Address, BlockId)>,
    ) -> Result<()> {
        let target = successor.and_then(|s| blocks.get(s.block.0 as usize).map(|b| (s, b)));
        let Some((successor, block)) = target else {
            return Err(self.error(op, format!("`{}` lacks a block to go on with", op.name), ""));
        };
        let mut from = Vec::with_capacity(successor.arguments.len());
        for &value in &successor.arguments {
            from.push(self.value(op, value)?);
        }
        let to: Vec<Slot> = block.arguments.iter().map(|&id| self.define(id)).collect();
        self.copies(op, &from, &to)?;
        let at = self.emit(op, Instruction::Jump { to: 0 });
        jumps.push((at, successor.block));
        Ok(())
    }

    /// Copies values at once: none sees another's new value.
    fn copies(&mut self, op: &Op, from: &[Slot], to: &[Slot]) -> Result<()> {
        if from.len() != to.len() {
            let message = format!("{} values for {} places", from.len(), to.len());
            return Err(self.error(op, message, ""));
        }
        let direct = from.len() == 1 || !from.iter().any(|slot| to.contains(slot));
        let between: Vec<Slot> = match direct {
            true => from.to_vec(),
            false => from.iter().map(|_| self.fresh()).collect(),
        };
        if !direct {
            for (&from, &to) in from.iter().zip(&between) {
                self.emit(op, Instruction::Copy { to, from });
            }
        }
        for (&from, &to) in between.iter().zip(to) {
            if from != to {
                self.emit(op, Instruction::Copy { to, from });
            }
        }
        Ok(())
    }

    fn results(&mut self, op: &Op) -> Vec<Slot> {
        op.results.iter().map(|&id| self.define(id)).collect()
    }

    /// Compiles a region whose yields fill `results` and go on behind it.
    fn nested(&mut self, op: &'a Op, region: usize, results: Vec<Slot>) -> Result<()> {
        let Some(region) = op.regions.get(region) else { return Ok(()) };
        self.exits.push(Exit { results, jumps: Vec::new() });
        self.region(region)?;
        let here = self.program.here();
        if let Some(exit) = self.exits.pop() {
            for jump in exit.jumps {
                self.program.code[jump as usize] = Instruction::Jump { to: here };
            }
        }
        Ok(())
    }

    /// A yield: fills the results of the innermost exit and leaves.
    fn leave(&mut self, op: &'a Op) -> Result<()> {
        let from = self.operands(op)?;
        let Some(exit) = self.exits.last() else {
            return Err(self.error(op, format!("`{}` outside of a region", op.name), ""));
        };
        // An `affine.yield` or `scf.yield` of nothing is often left out, and may be written.
        let to = exit.results.clone();
        self.copies(op, &from, &to)?;
        let at = self.emit(op, Instruction::Jump { to: 0 });
        if let Some(exit) = self.exits.last_mut() {
            exit.jumps.push(at);
        }
        Ok(())
    }

    /// A loop from `low` up to `high`; `inits` are carried round.
    pub(super) fn counted(
        &mut self,
        op: &'a Op,
        low: Slot,
        high: Slot,
        step: Slot,
        inits: &[Slot],
    ) -> Result<()> {
        let block = op.regions.first().and_then(|region| region.blocks.first());
        let arguments: &[ValueId] = block.map_or(&[], |block| &block.arguments);
        let Some((&variable, carried)) = arguments.split_first() else {
            return Err(self.error(op, "a loop without an induction variable", ""));
        };
        // The value that the body sees may not be the one that counts: a body defines its own.
        let (variable, count) = (self.define(variable), self.fresh());
        let carried: Vec<Slot> = carried.iter().map(|&id| self.define(id)).collect();
        self.emit(op, Instruction::Copy { to: count, from: low });
        self.copies(op, inits, &carried)?;
        let head = self.program.here();
        let test = self.fresh();
        let compare =
            Instruction::CompareIntegers { to: test, a: count, b: high, predicate: 2, bits: 64 };
        self.emit(op, compare);
        let branch = self.emit(op, Instruction::End);
        let body = self.program.here();
        self.emit(op, Instruction::Copy { to: variable, from: count });
        self.nested(op, 0, carried.clone())?;
        self.emit(
            op,
            Instruction::Integer { op: IntegerOp::Add, to: count, a: count, b: step, bits: 64 },
        );
        self.emit(op, Instruction::Jump { to: head });
        let end = self.program.here();
        self.program.code[branch as usize] =
            Instruction::Branch { condition: test, then: body, otherwise: end };
        let results = self.results(op);
        self.copies(op, &carried, &results)
    }

    /// A constant in a slot of its own.
    pub(super) fn constant(&mut self, op: &Op, value: i64) -> Slot {
        let to = self.fresh();
        self.emit(op, Instruction::Constant { to, value: Value::Integer(value) });
        to
    }

    fn while_loop(&mut self, op: &'a Op) -> Result<()> {
        let inits = self.operands(op)?;
        let blocks: Vec<_> = op.regions.iter().filter_map(|r| r.blocks.first()).collect();
        let [before, after] = blocks.as_slice() else {
            return Err(self.error(op, "`scf.while` has two regions", ""));
        };
        let Some((condition, ops)) = before.ops.split_last() else {
            return Err(self.error(op, "`scf.while` lacks its condition", ""));
        };
        if condition.name != "scf.condition" || op.regions[0].blocks.len() != 1 {
            return Err(self.error(condition, "the first region ends in `scf.condition`", ""));
        }
        let carried: Vec<Slot> = before.arguments.iter().map(|&id| self.define(id)).collect();
        self.copies(op, &inits, &carried)?;
        let head = self.program.here();
        self.ops(ops)?;
        let slots = self.operands(condition)?;
        let Some((&test, passed)) = slots.split_first() else {
            return Err(self.error(condition, "`scf.condition` lacks its condition", ""));
        };
        let results = self.results(op);
        self.copies(condition, passed, &results)?;
        let branch = self.emit(condition, Instruction::End);
        let body = self.program.here();
        let arguments: Vec<Slot> = after.arguments.iter().map(|&id| self.define(id)).collect();
        self.copies(condition, passed, &arguments)?;
        self.nested(op, 1, carried)?;
        self.emit(op, Instruction::Jump { to: head });
        let end = self.program.here();
        self.program.code[branch as usize] =
            Instruction::Branch { condition: test, then: body, otherwise: end };
        Ok(())
    }

    fn branch(&mut self, op: &'a Op) -> Result<()> {
        let condition = self.operand(op, 0)?;
        let results = self.results(op);
        let branch = self.emit(op, Instruction::End);
        let then = self.program.here();
        self.nested(op, 0, results.clone())?;
        let over = self.emit(op, Instruction::End);
        let otherwise = self.program.here();
        self.nested(op, 1, results)?;
        let end = self.program.here();
        self.program.code[branch as usize] = Instruction::Branch { condition, then, otherwise };
        self.program.code[over as usize] = Instruction::Jump { to: end };
        Ok(())
    }

    /// `scf.index_switch`: the first region is the default.
    fn switch(&mut self, op: &'a Op) -> Result<()> {
        let value = self.operand(op, 0)?;
        let results = self.results(op);
        let at = self.emit(op, Instruction::End);
        let values = integers(op, "cases");
        let (mut cases, mut otherwise, mut over) = (Vec::new(), 0, Vec::new());
        for region in 0..op.regions.len() {
            match region.checked_sub(1) {
                None => otherwise = self.program.here(),
                Some(case) => {
                    cases.push((values.get(case).copied().unwrap_or(0), self.program.here()));
                }
            }
            self.nested(op, region, results.clone())?;
            over.push(self.emit(op, Instruction::End));
        }
        let end = self.program.here();
        for jump in over {
            self.program.code[jump as usize] = Instruction::Jump { to: end };
        }
        self.program.code[at as usize] =
            Instruction::Switch { value, cases: cases.into(), otherwise };
        Ok(())
    }

    fn call(&mut self, op: &'a Op) -> Result<()> {
        let symbol = op.symbol("callee").map_or("", Symbol::leaf);
        let arguments: Box<[Slot]> = self.operands(op)?.into();
        let netlist = self.netlist;
        let Some((symbol, declared)) = netlist.functions.get_key_value(symbol) else {
            let help = "declare it with `func.func private`";
            return Err(self.error(op, format!("no function `@{symbol}`"), help));
        };
        if declared.arguments.len() != arguments.len() || declared.results.len() != op.results.len()
        {
            let message = format!(
                "`@{symbol}` takes {} arguments and gives {} results, not {} and {}",
                declared.arguments.len(),
                declared.results.len(),
                arguments.len(),
                op.results.len()
            );
            return Err(self.error(op, message, ""));
        }
        if declared.body.is_some() {
            let function = match self.routines.get(symbol.as_str()) {
                Some(&id) => id,
                None => {
                    let id = self.program.routines.len() as u32;
                    self.program.routines.push(Routine { entry: 0, slots: 0 });
                    self.routines.insert(symbol, id);
                    id
                }
            };
            let results = self.results(op).into();
            self.emit(op, Instruction::Enter { function, arguments, results });
        } else {
            let function = self.program.function(symbol);
            let to = op.results.first().map(|&id| self.define(id));
            self.emit(op, Instruction::Call { function, arguments, to });
        }
        Ok(())
    }
}

/// A list of integers, in either form of writing one.
fn integers(op: &Op, name: &str) -> Vec<i64> {
    use crate::text::DenseElements::{Each, Splat};
    match op.attribute(name) {
        Some(Attribute::Integers(values)) => values.clone(),
        Some(Attribute::Dense(dense)) => match &dense.elements {
            Each(values) => values.iter().map(|&value| value as i64).collect(),
            Splat(value) => {
                vec![*value as i64; dense.shape.iter().product::<u64>().min(4096) as usize]
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
