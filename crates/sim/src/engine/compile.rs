//! From regions of operations to straight code.

mod affine;
mod control;
mod fifo;
mod memory;
mod scalar;

use std::collections::{BTreeMap, HashMap};

use super::program::{Address, Instruction, Program, Routine, Slot};
use super::sequence::SequenceOp;
use super::value::{Element, Layout, PlaceId, Value, View};
use crate::netlist::{Acquire, Core, Entity, Netlist};
use crate::text::{DesignError, MemRef, Op, Region, Span, Symbol, Type, ValueId};

/// Bytes that a program may allocate or hold as constants: more than any core has.
const MAX_LOCAL_BYTES: usize = 1 << 20;
/// Instructions of one program: more than its 16 KB hold, and an end to functions that are huge.
const MAX_CODE: usize = 1 << 22;

/// A place beyond the netlist's buffers: a global or what a program allocates.
#[derive(Debug)]
pub(super) struct LocalPlace {
    pub(super) name: String,
    pub(super) bytes: usize,
    pub(super) initial: Option<Vec<u8>>,
}

/// Where values of an enclosing operation go when a region is left.
struct Exit {
    results: Vec<Slot>,
    /// Jumps to set to the end of the region's operation.
    jumps: Vec<Address>,
}

/// Compiles one program.
pub(super) struct Compiler<'a> {
    pub(super) netlist: &'a Netlist,
    pub(super) program: Program,
    /// Operations of a runtime sequence; `None` in cores.
    pub(super) sequence: Option<Vec<SequenceOp>>,
    core: Option<&'a Core>,
    /// Id of the first local place, and what they hold.
    places: &'a mut Vec<LocalPlace>,
    frame: HashMap<ValueId, Slot>,
    slots: u32,
    exits: Vec<Exit>,
    routines: BTreeMap<&'a str, u32>,
    globals: BTreeMap<&'a str, PlaceId>,
    /// Where the operation that is compiled stands.
    path: Vec<Step>,
    fifos: fifo::Held,
}

/// A block, by its address, and a position in it.
type Step = (usize, usize);

pub(super) type Result<T> = std::result::Result<T, DesignError>;

impl<'a> Compiler<'a> {
    /// A compiler of a core's program, or of a runtime sequence.
    pub(super) fn new(
        netlist: &'a Netlist,
        core: Option<&'a Core>,
        places: &'a mut Vec<LocalPlace>,
    ) -> Self {
        Self {
            netlist,
            program: Program::default(),
            sequence: core.is_none().then(Vec::new),
            core,
            places,
            frame: HashMap::new(),
            slots: 0,
            exits: Vec::new(),
            routines: BTreeMap::new(),
            globals: BTreeMap::new(),
            path: Vec::new(),
            fifos: fifo::Held::default(),
        }
    }

    /// Compiles a body, whose frame begins with its arguments, and all functions that it calls.
    pub(super) fn body(&mut self, region: &'a Region) -> Result<()> {
        let entry = self.program.here();
        self.program.routines.push(Routine { entry, slots: 0 });
        for &argument in region.blocks.first().map_or(&[][..], |block| &block.arguments) {
            self.define(argument);
        }
        self.region(region)?;
        self.program.push(Span::default(), Instruction::End);
        self.program.routines[0].slots = self.slots;
        let mut done = 1;
        while done < self.program.routines.len() {
            let Some((&symbol, _)) = self.routines.iter().find(|&(_, &id)| id as usize == done)
            else {
                break;
            };
            self.routine(symbol, done)?;
            done += 1;
        }
        Ok(())
    }

    /// Compiles a function's body; its frame begins with the arguments.
    fn routine(&mut self, symbol: &'a str, id: usize) -> Result<()> {
        self.frame.clear();
        self.slots = 0;
        let netlist = self.netlist;
        let Some(body) = netlist.functions.get(symbol).and_then(|f| f.body.as_ref()) else {
            return Ok(());
        };
        let entry = self.program.here();
        for &argument in body.blocks.first().map_or(&[][..], |block| &block.arguments) {
            self.define(argument);
        }
        self.region(body)?;
        self.program.push(Span::default(), Instruction::Return { values: Box::default() });
        self.program.routines[id] = Routine { entry, slots: self.slots };
        Ok(())
    }

    /// The error at an operation.
    pub(super) fn error(
        &self,
        op: &Op,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> DesignError {
        self.netlist.module.source.error(op.span, message, help)
    }

    /// A new slot.
    pub(super) fn fresh(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    /// The slot of a value that is defined here.
    pub(super) fn define(&mut self, id: ValueId) -> Slot {
        if let Some(&slot) = self.frame.get(&id) {
            return slot;
        }
        let slot = self.fresh();
        self.frame.insert(id, slot);
        slot
    }

    /// The slot of a value that is used here.
    pub(super) fn value(&mut self, op: &Op, id: ValueId) -> Result<Slot> {
        if let Some(&slot) = self.frame.get(&id) {
            return Ok(slot);
        }
        let Some(&Entity::Buffer(buffer)) = self.netlist.entities.get(&id) else {
            // Values of later blocks: defined before they are reached. Tiles and locks are looked up
            // by who uses them.
            return Ok(self.define(id));
        };
        let layout = self.layout(op, &self.netlist.buffers[buffer.index()].ty)?;
        let value = Value::View(View { place: PlaceId(buffer.0), offset: 0, layout });
        // Entities belong to the device: they are constants wherever they are used, but a slot
        // filled in one branch is not filled in the other.
        let to = self.fresh();
        self.program.push(op.span, Instruction::Constant { to, value });
        Ok(to)
    }

    /// The slots of all operands.
    pub(super) fn operands(&mut self, op: &Op) -> Result<Vec<Slot>> {
        op.operands.iter().map(|&id| self.value(op, id)).collect()
    }

    /// The slot of the only result.
    pub(super) fn result(&mut self, op: &Op) -> Result<Slot> {
        match op.results.first() {
            Some(&id) => Ok(self.define(id)),
            None => Err(self.error(op, format!("`{}` has no result here", op.name), "")),
        }
    }

    /// The operand at a position.
    pub(super) fn operand(&mut self, op: &Op, at: usize) -> Result<Slot> {
        match op.operands.get(at) {
            Some(&id) => self.value(op, id),
            None => Err(self.error(op, format!("`{}` lacks operand {at}", op.name), "")),
        }
    }

    /// The type of an operand or result.
    pub(super) fn type_of(&self, id: ValueId) -> &'a Type {
        &self.netlist.module.value(id).ty
    }

    /// Bits of an integer type; 64 for an index.
    pub(super) fn bits(&self, op: &Op, ty: &Type) -> Result<u32> {
        match ty {
            Type::Index => Ok(64),
            Type::Integer { width: width @ 1..=64, .. } => Ok(*width),
            _ => Err(self.error(
                op,
                format!("`{}` computes with {ty:?}, which the simulator cannot", op.name),
                "it computes with integers of up to 64 bits, index, f16, bf16, f32 and f64; put vector \
                 code into a core kernel",
            )),
        }
    }

    /// The layout of a memref type with static sizes and strides.
    pub(super) fn layout(&mut self, op: &Op, memref: &MemRef) -> Result<u32> {
        let dynamic = |compiler: &Self| {
            compiler.error(
                op,
                "a memref of dynamic size or stride".to_owned(),
                "designs for the array have static sizes; offsets alone may be dynamic",
            )
        };
        let mut sizes = Vec::with_capacity(memref.shape.len());
        for size in &memref.shape {
            let size = size.and_then(|size| i64::try_from(size).ok());
            sizes.push(size.ok_or_else(|| dynamic(self))?);
        }
        let Some(element) = Element::of(&memref.element) else {
            return Err(self.error(op, format!("elements of type {:?}", memref.element), ""));
        };
        let strides = match &memref.layout {
            Some((strides, _)) => {
                let strides: Option<Vec<i64>> = strides.iter().copied().collect();
                strides.ok_or_else(|| dynamic(self))?
            }
            None => {
                let mut strides = vec![1_i64; sizes.len()];
                for i in (0..sizes.len().saturating_sub(1)).rev() {
                    strides[i] = strides[i + 1].saturating_mul(sizes[i + 1]);
                }
                strides
            }
        };
        Ok(self.program.layout(Layout { element, sizes, strides }))
    }

    /// The memref type of a value.
    pub(super) fn memref_of(&self, op: &Op, id: ValueId) -> Result<&'a MemRef> {
        match self.type_of(id) {
            Type::MemRef(memref) => Ok(memref),
            other => {
                Err(self.error(op, format!("`{}` wants a memref, not {other:?}", op.name), ""))
            }
        }
    }

    /// Emits an instruction of an operation.
    pub(super) fn emit(&mut self, op: &Op, instruction: Instruction) -> Address {
        self.program.push(op.span, instruction)
    }

    /// Compiles the operations of a block, or the first ones.
    fn ops(&mut self, ops: &'a [Op]) -> Result<()> {
        let block = ops.as_ptr() as usize;
        ops.iter().enumerate().try_for_each(|(i, op)| self.op_at((block, i), op))
    }

    /// Compiles one operation at its place.
    fn op_at(&mut self, step: Step, op: &'a Op) -> Result<()> {
        if self.program.code.len() > MAX_CODE {
            return Err(self.error(
                op,
                format!("the program has more than {MAX_CODE} instructions"),
                "a core holds 16 KB of them",
            ));
        }
        self.path.push(step);
        let result = self.op(op);
        self.path.pop();
        result
    }

    fn op(&mut self, op: &'a Op) -> Result<()> {
        let known = scalar::compile(self, op)?
            || memory::compile(self, op)?
            || control::compile(self, op)?
            || affine::compile(self, op)?
            || fifo::compile(self, op)?;
        if known {
            return Ok(());
        }
        if self.sequence.is_some() && super::sequence::compile(self, op)? {
            return Ok(());
        }
        match op.name.as_str() {
            "aie.use_lock" => self.use_lock(op),
            "aie.put_stream" => {
                let (channel, value) = (self.operand(op, 0)?, self.operand(op, 1)?);
                self.emit(op, Instruction::PutStream { channel, value });
                Ok(())
            }
            "aie.get_stream" => {
                let channel = self.operand(op, 0)?;
                let element = op.results.first().and_then(|&id| Element::of(self.type_of(id)));
                let Some(element) = element else {
                    return Err(self.error(op, "a stream gives a scalar of 32 bits", ""));
                };
                let to = self.result(op)?;
                self.emit(op, Instruction::GetStream { to, channel, element });
                Ok(())
            }
            "aie.event" | "aie.debug" => Ok(()),
            _ => Err(self.unsupported(op)),
        }
    }

    /// The error for an operation that the simulator does not know here.
    pub(super) fn unsupported(&self, op: &Op) -> DesignError {
        let place = if self.sequence.is_some() { "a runtime sequence" } else { "a core's program" };
        self.error(
            op,
            format!("the simulator does not support `{}` in {place}", op.name),
            "the README lists what it supports; move computation into a function that the design \
             calls and register that",
        )
    }

    fn use_lock(&mut self, op: &Op) -> Result<()> {
        let lock = match op.operands.first().and_then(|id| self.netlist.entities.get(id)) {
            Some(Entity::Lock(lock)) => *lock,
            _ => {
                return Err(self.error(op, "`aie.use_lock` wants the result of an `aie.lock`", ""));
            }
        };
        let count = op.integer("value").unwrap_or(1);
        let Ok(count) = i32::try_from(count.abs()) else {
            return Err(self.error(op, format!("a lock cannot count {count}"), "at most 63"));
        };
        let instruction = match op.integer("action") {
            Some(0) => Instruction::Acquire { lock, how: Acquire::Equal, count },
            Some(1) => Instruction::Release { lock, count },
            Some(2) => Instruction::Acquire { lock, how: Acquire::GreaterEqual, count },
            other => {
                return Err(self.error(
                    op,
                    format!("no lock action {other:?}"),
                    "Acquire, AcquireGreaterEqual or Release",
                ));
            }
        };
        self.emit(op, instruction);
        Ok(())
    }

    /// A place for this program alone.
    fn local(
        &mut self,
        op: &Op,
        name: String,
        memref: &MemRef,
        initial: Option<Vec<u8>>,
    ) -> Result<PlaceId> {
        let bytes = memref.bytes().filter(|&bytes| bytes <= MAX_LOCAL_BYTES);
        let Some(bytes) = bytes else {
            return Err(self.error(
                op,
                "memory of dynamic size or of more than 1 MB".to_owned(),
                "a core has 64 KB",
            ));
        };
        let id = self.netlist.buffers.len() + self.places.len();
        self.places.push(LocalPlace { name, bytes, initial });
        Ok(PlaceId(id as u32))
    }

    /// The place of a global: each program has its own copy.
    fn global(&mut self, op: &'a Op) -> Result<(PlaceId, &'a MemRef)> {
        let name = op.symbol("name").map_or("", Symbol::leaf);
        let Some(global) = self.netlist.globals.get(name) else {
            return Err(self.error(op, format!("no `memref.global @{name}`"), "define it"));
        };
        let place = match self.globals.get(name) {
            Some(&place) => place,
            None => {
                let place = self.local(op, name.to_owned(), &global.ty, global.value.clone())?;
                let key = op.symbol("name").map_or("", Symbol::leaf);
                self.globals.insert(key, place);
                place
            }
        };
        Ok((place, &global.ty))
    }
}
