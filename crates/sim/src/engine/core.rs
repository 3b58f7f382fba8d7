//! Programs at work: a core's, and that of a runtime sequence.

mod call;
mod view;

pub(super) use call::missing;

use std::sync::Arc;

use super::array::{Array, Cycle, Event, Waiter};
use super::memory::Party;
use super::program::{Conversion, Index, Instruction, Program, Slot};
use super::value::{Element, PlaceId, Value, compare_floats, compare_integers, zero_extend};
use super::value::{Kind, sign_extend};
use super::{FindingKind, RunError};
use crate::netlist::{FifoEnd, LockId, Port};
use crate::text::Span;

/// Instructions of a core between looks at the rest of the array.
const QUANTUM: u64 = 256;
/// Calls within calls.
const MAX_DEPTH: usize = 64;

/// A program with its place in it.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub(super) program: Arc<Program>,
    pub(super) pc: usize,
    pub(super) slots: Vec<Value>,
    base: usize,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone)]
struct Frame {
    back_to: usize,
    base: usize,
    results: Box<[Slot]>,
}

/// What a core waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nothing: it runs, or will at an event.
    Nothing,
    Lock(LockId, i32),
    Stream(Port),
    /// Its program has ended.
    Ended,
}

/// A core.
pub(super) struct CoreState {
    pub(super) thread: Thread,
    pub(super) waiting: Waiting,
    /// Whether a lock that it waited for was given to it.
    granted: bool,
    /// Ends of objectfifos, as the program numbers them.
    ends: Vec<EndState>,
    /// Places that the running function uses.
    pub(super) using: Vec<PlaceId>,
    /// Since when it waits.
    since: Cycle,
}

/// A core's place in an objectfifo.
#[derive(Debug, Clone)]
struct EndState {
    end: FifoEnd,
    name: String,
    /// Objects since the beginning, modulo the number of buffers.
    cursor: usize,
    held: u32,
}

/// What an instruction came to.
enum Step {
    /// Goes on with the next one.
    Next,
    /// Waits; the same instruction comes again.
    Wait(Waiting),
    /// Takes time; goes on with the next one.
    Busy(u64),
    Ended,
}

impl Thread {
    pub(super) fn new(program: Arc<Program>) -> Self {
        let (entry, slots) =
            program.routines.first().map_or((0, 0), |main| (main.entry, main.slots));
        Self {
            program,
            pc: entry as usize,
            slots: vec![Value::Undefined; slots as usize],
            base: 0,
            frames: Vec::new(),
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Value {
        self.slots.get(self.base + slot.0 as usize).copied().unwrap_or(Value::Undefined)
    }

    pub(super) fn set(&mut self, slot: Slot, value: Value) {
        if let Some(to) = self.slots.get_mut(self.base + slot.0 as usize) {
            *to = value;
        }
    }

    pub(super) fn integer(&self, slot: Slot) -> Option<i64> {
        match self.get(slot) {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    fn float(&self, slot: Slot) -> Option<f64> {
        match self.get(slot) {
            Value::Float(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn index(&self, index: Index) -> Option<i64> {
        match index {
            Index::Static(value) => Some(value),
            Index::Slot(slot) => self.integer(slot),
        }
    }

    /// The operation that comes next.
    pub(super) fn span(&self) -> Span {
        self.program.spans.get(self.pc).copied().unwrap_or_default()
    }

    /// Computes what needs nothing but the thread; `None` for any other instruction, and the
    /// message when it cannot be computed.
    pub(super) fn compute(&mut self, instruction: &Instruction) -> Option<Result<u32, String>> {
        let next = self.pc as u32 + 1;
        let done = self.pure(instruction)?;
        Some(done.map(|jump| jump.unwrap_or(next)))
    }

    fn pure(&mut self, instruction: &Instruction) -> Option<Result<Option<u32>, String>> {
        const WHAT: &str = "a value is used before it is defined, or of another type";
        let undefined = || WHAT.to_owned();
        let result = match *instruction {
            Instruction::Constant { to, value } => (to, Some(value)),
            Instruction::Copy { to, from } => (to, Some(self.get(from))),
            Instruction::Integer { op, to, a, b, bits } => {
                let (Some(a), Some(b)) = (self.integer(a), self.integer(b)) else {
                    return Some(Err(undefined()));
                };
                let Some(value) = op.apply(a, b, bits) else {
                    return Some(Err("a division by zero".to_owned()));
                };
                (to, Some(Value::Integer(value)))
            }
            Instruction::Float { op, to, a, b, kind } => {
                let value = self.float(a).zip(self.float(b)).map(|(a, b)| op.apply(a, b, kind));
                (to, value.map(Value::Float))
            }
            Instruction::Map { to, from, function, kind } => {
                (to, self.float(from).map(|value| Value::Float(kind.round(function(value)))))
            }
            Instruction::CompareIntegers { to, a, b, predicate, bits } => {
                let pair = self.integer(a).zip(self.integer(b));
                let value = pair.map(|(a, b)| compare_integers(predicate, a, b, bits));
                (to, value.map(|value| Value::Integer(-i64::from(value))))
            }
            Instruction::CompareFloats { to, a, b, predicate } => {
                let pair = self.float(a).zip(self.float(b));
                let value = pair.map(|(a, b)| compare_floats(predicate, a, b));
                (to, value.map(|value| Value::Integer(-i64::from(value))))
            }
            Instruction::Select { to, condition, a, b } => {
                let value = self.integer(condition).map(|c| self.get(if c != 0 { a } else { b }));
                (to, value)
            }
            Instruction::Convert { to, from, conversion } => {
                (to, convert(conversion, self.get(from)))
            }
            Instruction::Jump { to } => return Some(Ok(Some(to))),
            Instruction::Branch { condition, then, otherwise } => {
                let condition = self.integer(condition).ok_or_else(undefined);
                return Some(condition.map(|c| Some(if c != 0 { then } else { otherwise })));
            }
            Instruction::Switch { value, ref cases, otherwise } => {
                let value = self.integer(value).ok_or_else(undefined);
                return Some(value.map(|value| {
                    let case = cases.iter().find(|(case, _)| *case == value);
                    Some(case.map_or(otherwise, |&(_, to)| to))
                }));
            }
            Instruction::Positive { step } => {
                return Some(match self.integer(step) {
                    Some(1..) => Ok(None),
                    Some(step) => Err(format!("a loop with a step of {step} never ends")),
                    None => Err(undefined()),
                });
            }
            Instruction::Assert { condition, ref message } => {
                return Some(match self.integer(condition) {
                    Some(0) => Err(format!("the assertion failed: {message}")),
                    Some(_) => Ok(None),
                    None => Err(undefined()),
                });
            }
            Instruction::Subview { to, from, ref offsets, reset, layout } => {
                (to, self.subview(from, offsets, reset, layout).map(Value::View))
            }
            Instruction::Size { to, view, dimension } => {
                let size = self.integer(dimension).and_then(|dimension| {
                    let Value::View(view) = self.get(view) else { return None };
                    let layout = self.program.layouts.get(view.layout as usize)?;
                    layout.sizes.get(usize::try_from(dimension).ok()?).copied()
                });
                (to, size.map(Value::Integer))
            }
            Instruction::Enter { function, ref arguments, ref results } => {
                return Some(self.enter(function, arguments, results).map(Some));
            }
            Instruction::Return { ref values } => {
                return Some(self.leave(values).map(Some));
            }
            _ => return None,
        };
        match result {
            (to, Some(value)) => {
                self.set(to, value);
                Some(Ok(None))
            }
            (_, None) => Some(Err(undefined())),
        }
    }

    fn enter(
        &mut self,
        function: u32,
        arguments: &[Slot],
        results: &[Slot],
    ) -> Result<u32, String> {
        let Some(routine) = self.program.routines.get(function as usize).cloned() else {
            return Err("a call of nothing".to_owned());
        };
        if self.frames.len() >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} calls within calls"));
        }
        let values: Vec<Value> = arguments.iter().map(|&slot| self.get(slot)).collect();
        let base = self.slots.len();
        self.slots.resize(base + routine.slots as usize, Value::Undefined);
        self.slots[base..][..values.len()].copy_from_slice(&values);
        let frame = Frame { back_to: self.pc + 1, base: self.base, results: results.into() };
        self.frames.push(frame);
        self.base = base;
        Ok(routine.entry)
    }

    fn leave(&mut self, values: &[Slot]) -> Result<u32, String> {
        let values: Vec<Value> = values.iter().map(|&slot| self.get(slot)).collect();
        let Some(frame) = self.frames.pop() else {
            return Err("a return outside of a function".to_owned());
        };
        self.slots.truncate(self.base);
        self.base = frame.base;
        if values.len() != frame.results.len() {
            return Err("a function returns another number of values than it is said to".to_owned());
        }
        for (&slot, value) in frame.results.iter().zip(values) {
            self.set(slot, value);
        }
        Ok(frame.back_to as u32)
    }
}

fn convert(conversion: Conversion, value: Value) -> Option<Value> {
    Some(match (conversion, value) {
        (Conversion::Keep, value) => value,
        (Conversion::SignExtend { bits }, Value::Integer(value)) => {
            Value::Integer(sign_extend(value, bits))
        }
        (Conversion::ZeroExtend { from, bits }, Value::Integer(value)) => {
            Value::Integer(sign_extend(zero_extend(value, from) as i64, bits))
        }
        (Conversion::IntegerToFloat { unsigned_bits, kind }, Value::Integer(value)) => {
            let value = match unsigned_bits {
                Some(bits) => zero_extend(value, bits) as f64,
                None => value as f64,
            };
            Value::Float(kind.round(value))
        }
        (Conversion::FloatToInteger { bits, unsigned }, Value::Float(value)) => {
            let value = if unsigned { value as u64 as i64 } else { value as i64 };
            Value::Integer(sign_extend(value, bits))
        }
        (Conversion::Round { kind }, Value::Float(value)) => Value::Float(kind.round(value)),
        (Conversion::FloatBits { kind }, Value::Float(value)) => Value::Integer(kind.bits(value)),
        (Conversion::BitsFloat { kind }, Value::Integer(value)) => {
            Value::Float(Kind::of_bits(kind, value))
        }
        _ => return None,
    })
}

impl CoreState {
    /// A core at the beginning of its program.
    pub(super) fn new(program: Arc<Program>, ends: Vec<(String, FifoEnd)>) -> Self {
        let ends = ends
            .into_iter()
            .map(|(name, end)| EndState { end, name, cursor: 0, held: 0 })
            .collect();
        Self {
            thread: Thread::new(program),
            waiting: Waiting::Nothing,
            granted: false,
            ends,
            using: Vec::new(),
            since: 0,
        }
    }
}

impl Array {
    /// A core has its lock.
    pub(super) fn granted(&mut self, core: u32) {
        let state = &mut self.cores[core as usize];
        state.granted = true;
        state.waiting = Waiting::Nothing;
        let since = state.since;
        self.recorder.core_waited(core, since, self.now, state.thread.span());
        self.at(self.now + self.timing.lock, Event::Core(core));
    }

    /// Lets a core run until it waits, calls a function or has used its quantum.
    pub(super) fn run_core(&mut self, core: u32) -> Result<(), RunError> {
        self.end_call(core);
        let mut cycles = 0_u64;
        let mut steps = 0_u64;
        let program = Arc::clone(&self.cores[core as usize].thread.program);
        loop {
            let thread = &mut self.cores[core as usize].thread;
            let span = thread.span();
            let Some(instruction) = program.code.get(thread.pc) else {
                self.cores[core as usize].waiting = Waiting::Ended;
                return self.count(steps);
            };
            steps += 1;
            // What others see happens at its own time: first this core's time must come.
            if interacts(instruction) && cycles > 0 || steps > QUANTUM {
                self.at(self.now + cycles.max(1), Event::Core(core));
                return self.count(steps);
            }
            if let Some(done) = thread.compute(instruction) {
                match done {
                    Ok(next) => thread.pc = next as usize,
                    Err(message) => return Err(self.error(span, message)),
                }
                cycles += cost(instruction);
                continue;
            }
            match self.step(core, instruction, span)? {
                Step::Next => {
                    self.cores[core as usize].thread.pc += 1;
                    cycles += cost(instruction);
                }
                Step::Busy(busy) => {
                    self.cores[core as usize].thread.pc += 1;
                    self.recorder.core_busy(core, self.now, self.now + busy, span);
                    self.at(self.now + busy.max(1), Event::Core(core));
                    return self.count(steps);
                }
                Step::Wait(waiting) => {
                    let state = &mut self.cores[core as usize];
                    state.waiting = waiting;
                    state.since = self.now;
                    return self.count(steps);
                }
                Step::Ended => {
                    self.cores[core as usize].waiting = Waiting::Ended;
                    return self.count(steps);
                }
            }
        }
    }

    /// One instruction that needs more than the thread.
    fn step(&mut self, core: u32, instruction: &Instruction, span: Span) -> Result<Step, RunError> {
        match *instruction {
            Instruction::End => Ok(Step::Ended),
            Instruction::Load { to, view, ref indices } => {
                let thread = &self.cores[core as usize].thread;
                let at = thread.address(view, indices).map_err(|e| self.error(span, e))?;
                let value = self.load(Party::Core(core), at, span)?;
                self.cores[core as usize].thread.set(to, value);
                Ok(Step::Next)
            }
            Instruction::Store { value, view, ref indices } => {
                let thread = &self.cores[core as usize].thread;
                let value = thread.get(value);
                let at = thread.address(view, indices).map_err(|e| self.error(span, e))?;
                self.store(Party::Core(core), at, value, span)?;
                Ok(Step::Next)
            }
            Instruction::CopyView { from, to } => {
                let thread = self.cores[core as usize].thread.clone_views();
                self.copy_view(Party::Core(core), &thread, from, to, span)?;
                Ok(Step::Next)
            }
            Instruction::Acquire { lock, how, count } => {
                if self.take(core, lock, how, count) {
                    return Ok(Step::Next);
                }
                Ok(Step::Wait(Waiting::Lock(lock, count)))
            }
            Instruction::Release { lock, count } => {
                self.release(lock, count, span)?;
                Ok(Step::Next)
            }
            Instruction::FifoAcquire { to, end, more, .. } => {
                let state = &self.cores[core as usize];
                let EndState { end: fifo, cursor, .. } = &state.ends[end as usize];
                let (start, lock, times) = (*cursor as u32, fifo.acquire, fifo.times.max(1));
                if more > 0
                    && let Some(lock) = lock
                {
                    let count = (more as i32).saturating_mul(times);
                    let how = crate::netlist::Acquire::GreaterEqual;
                    if !self.take(core, lock, how, count) {
                        return Ok(Step::Wait(Waiting::Lock(lock, count)));
                    }
                }
                let state = &mut self.cores[core as usize];
                state.ends[end as usize].held += more;
                state.thread.set(to, Value::Objects { end, start });
                Ok(Step::Next)
            }
            Instruction::FifoRelease { end, count } => {
                let state = &mut self.cores[core as usize].ends[end as usize];
                if count > state.held {
                    let (held, name) = (state.held, state.name.clone());
                    return Err(self.error(
                        span,
                        format!("{count} objects of `{name}` are released, {held} are held"),
                    ));
                }
                state.held -= count;
                state.cursor = (state.cursor + count as usize) % state.end.buffers.len().max(1);
                let (lock, times) = (state.end.release, state.end.times.max(1));
                if let Some(lock) = lock {
                    self.release(lock, (count as i32).saturating_mul(times), span)?;
                }
                Ok(Step::Next)
            }
            Instruction::FifoObject { to, objects, index, layout } => {
                let state = &mut self.cores[core as usize];
                let (Value::Objects { end, start }, Some(index)) =
                    (state.thread.get(objects), state.thread.index(index))
                else {
                    return Err(self.error(span, "objects are used before they are acquired"));
                };
                let EndState { end, held, name, .. } = &state.ends[end as usize];
                let index = usize::try_from(index).ok().filter(|&index| index < *held as usize);
                let Some(index) = index else {
                    let message =
                        format!("an object of `{name}` is used beyond the {held} that are held");
                    return Err(self.error(span, message));
                };
                let buffer = end.buffers[(start as usize + index) % end.buffers.len()];
                let place = PlaceId(buffer.0);
                let view = super::value::View { place, offset: 0, layout };
                state.thread.set(to, Value::View(view));
                Ok(Step::Next)
            }
            Instruction::Call { function, ref arguments, to } => {
                let cycles = self.call(core, function, arguments, to, span)?;
                Ok(Step::Busy(cycles))
            }
            Instruction::PutStream { channel, value } => {
                self.put_stream(core, channel, value, span)
            }
            Instruction::GetStream { to, channel, element } => {
                self.get_stream(core, to, channel, element, span)
            }
            _ => Err(self.error(span, "an operation of a runtime sequence in a core's program")),
        }
    }

    /// Takes a lock for a core, or uses the one that it was given while it waited.
    fn take(&mut self, core: u32, lock: LockId, how: crate::netlist::Acquire, count: i32) -> bool {
        if std::mem::take(&mut self.cores[core as usize].granted) {
            return true;
        }
        self.acquire(lock, Waiter { party: Party::Core(core), how, count })
    }

    fn stream_port(&self, core: u32, channel: Slot, source: bool) -> Option<Port> {
        let tile = self.netlist.cores[core as usize].tile;
        let number = self.cores[core as usize].thread.integer(channel)?;
        let port = Port::Core(tile, u32::try_from(number).ok()?);
        let flows = self.at_port.get(&port)?;
        let fits = flows.iter().any(|&flow| {
            let flow = &self.netlist.flows[flow as usize];
            if source { flow.source == port } else { flow.destinations.contains(&port) }
        });
        fits.then_some(port)
    }

    fn put_stream(
        &mut self,
        core: u32,
        channel: Slot,
        value: Slot,
        span: Span,
    ) -> Result<Step, RunError> {
        let Some(port) = self.stream_port(core, channel, true) else {
            return Err(self.error(span, "no flow begins at this port of the core"));
        };
        let word = match self.cores[core as usize].thread.get(value) {
            Value::Integer(value) => value as u32,
            Value::Float(value) => (value as f32).to_bits(),
            _ => return Err(self.error(span, "a stream takes a scalar of 32 bits")),
        };
        let words = &mut self.ports.entry(port).or_default().words;
        if words.len() >= super::stream::PORT_WORDS {
            return Ok(Step::Wait(Waiting::Stream(port)));
        }
        words.push_back(word);
        self.wake_port(port);
        Ok(Step::Next)
    }

    fn get_stream(
        &mut self,
        core: u32,
        to: Slot,
        channel: Slot,
        element: Element,
        span: Span,
    ) -> Result<Step, RunError> {
        let Some(port) = self.stream_port(core, channel, false) else {
            return Err(self.error(span, "no flow ends at this port of the core"));
        };
        let Some(word) = self.ports.entry(port).or_default().words.pop_front() else {
            return Ok(Step::Wait(Waiting::Stream(port)));
        };
        self.cores[core as usize].thread.set(to, element.load(&word.to_le_bytes()));
        self.wake_port(port);
        Ok(Step::Next)
    }

    /// The names of a function's buffers are no longer in use.
    fn end_call(&mut self, core: u32) {
        for place in std::mem::take(&mut self.cores[core as usize].using) {
            self.memory.place_mut(place).end(Party::Core(core));
        }
    }

    /// Notes a race of a short access with a transfer.
    pub(super) fn check_race(
        &mut self,
        party: Party,
        place: PlaceId,
        range: (u64, u64),
        writes: bool,
        span: Span,
    ) {
        let Some(other) = self.memory.place(place).conflict(party, range, writes) else { return };
        let (other_party, other_writes, other_span) = (other.party, other.writes, other.span);
        let message = format!(
            "{} {} `{}` while {} {} it ({})",
            self.party_name(party),
            if writes { "writes" } else { "reads" },
            self.memory.place(place).name,
            self.party_name(other_party),
            if other_writes { "writes" } else { "reads" },
            self.line(other_span),
        );
        self.finding(FindingKind::Race, span, message);
    }
}

/// Whether an instruction is seen by others, or sees them.
fn interacts(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Acquire { .. }
            | Instruction::Release { .. }
            | Instruction::FifoAcquire { .. }
            | Instruction::FifoRelease { .. }
            | Instruction::Call { .. }
            | Instruction::PutStream { .. }
            | Instruction::GetStream { .. }
    )
}

/// Cycles of an instruction. Assumption: what a scalar core without optimisation would take; that
/// loops and constants are free makes up for what it does at once.
fn cost(instruction: &Instruction) -> u64 {
    match instruction {
        Instruction::Constant { .. }
        | Instruction::Copy { .. }
        | Instruction::Jump { .. }
        | Instruction::Positive { .. }
        | Instruction::Subview { .. }
        | Instruction::Size { .. }
        | Instruction::FifoObject { .. } => 0,
        _ => 1,
    }
}
