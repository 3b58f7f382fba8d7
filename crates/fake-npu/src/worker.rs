//! The array: runs commands, one after the other.

use std::collections::HashMap;
use std::sync::MutexGuard;
use std::thread;
use std::time::Duration;

use tilewright_sim::engine::{RunError, Simulator};

use crate::command::{ERROR_INDEX, Packet, Registers, State as CommandState, with_state};
use crate::driver::{Job, Process, Ran, Shared, State};
use crate::fault::Fault;
use crate::known::Match;
use crate::memory::Part;

/// When the driver gives a command up: the watchdog of `amdxdna`.
const WATCHDOG: Duration = Duration::from_secs(2);
/// How long to wait for a command before looking again.
const IDLE: Duration = Duration::from_secs(1);

/// An array, as a context left it.
struct Configured {
    pdi: blake3::Hash,
    design: usize,
    simulator: Simulator,
}

/// What the worker keeps from command to command.
#[derive(Default)]
struct Worker {
    /// By process and context.
    arrays: HashMap<(u32, u32), Configured>,
    /// The design that a PDI was first run with: the one that it was compiled from.
    designs: HashMap<blake3::Hash, usize>,
}

/// How a command ended.
enum End {
    /// With a state.
    State(CommandState),
    /// Not at all.
    Never,
}

/// A run: what was found out about it under the lock.
struct Run {
    found: Match,
    pdi: blake3::Hash,
    parts: Vec<Part>,
    buffers: Vec<Vec<u8>>,
    in_list: bool,
}

/// Runs commands until the end.
pub(crate) fn work(shared: &Shared) {
    let mut worker = Worker::default();
    loop {
        let mut state = shared.lock();
        let job = loop {
            if state.ended {
                return;
            }
            if let Some(job) = next(&mut state) {
                break job;
            }
            state = shared.wait(state, IDLE);
        };
        worker.arrays.retain(|(process, context), _| {
            state.processes.get(process).is_some_and(|owner| owner.contexts.contains_key(context))
        });
        drop(state);
        let end = worker.command(shared, job);
        let mut state = shared.lock();
        match end {
            End::State(end) => {
                state.set_state(job.process, job.command, end);
                if let Some(context) = state.context(job) {
                    context.over = job.seq;
                }
            }
            End::Never => {
                if let Some(context) = state.context(job) {
                    context.stuck = true;
                }
            }
        }
        drop(state);
        shared.notify();
    }
}

/// The first command whose context is not stuck.
fn next(state: &mut State) -> Option<Job> {
    let at = (0..state.queue.len()).find(|&at| {
        let job = state.queue[at];
        state.context(job).is_some_and(|context| !context.stuck)
    })?;
    state.queue.remove(at)
}

impl Worker {
    fn command(&mut self, shared: &Shared, job: Job) -> End {
        let packet = shared.lock().packet(job.process, job.command);
        match packet {
            Ok(Packet::Start(registers)) => self.run(shared, job, &registers, false),
            Ok(Packet::Chain(commands)) => self.chain(shared, job, &commands),
            Err(problem) => failed(shared, problem),
        }
    }

    fn chain(&mut self, shared: &Shared, job: Job, commands: &[u32]) -> End {
        for (i, &command) in commands.iter().enumerate() {
            let packet = shared.lock().packet(job.process, command);
            let end = match packet {
                Ok(Packet::Start(registers)) => self.run(shared, job, &registers, true),
                Ok(Packet::Chain(_)) => failed(shared, "a chain of chains".to_owned()),
                Err(problem) => failed(shared, problem),
            };
            match end {
                End::State(CommandState::Completed) => {}
                End::State(end) => {
                    let mut state = shared.lock();
                    state.set_state(job.process, command, end);
                    state.set_error_index(job, i as u32);
                    return End::State(end);
                }
                End::Never => return End::Never,
            }
        }
        End::State(CommandState::Completed)
    }

    fn run(&mut self, shared: &Shared, job: Job, registers: &Registers, in_list: bool) -> End {
        let mut state = shared.lock();
        let number = state.commands;
        state.commands += 1;
        let hit = |fault: &&Fault| match fault {
            Fault::Hang(which) | Fault::TimeOut(which) | Fault::Failed(which) => {
                which.contains(number)
            }
            Fault::Gone(first) => number >= *first,
            _ => false,
        };
        match state.faults.iter().find(hit) {
            Some(Fault::Hang(_)) => return End::Never,
            Some(Fault::TimeOut(_)) => return give_up(state),
            Some(Fault::Failed(_)) => return End::State(CommandState::Error),
            Some(Fault::Gone(_)) => {
                state.gone = true;
                return End::Never;
            }
            _ => {}
        }
        let run = match self.prepare(shared, &state, job, registers) {
            Ok(run) => Run { in_list, ..run },
            Err(problem) => {
                drop(state);
                return failed(shared, problem);
            }
        };
        drop(state);
        self.simulate(shared, job, run)
    }

    /// Finds out what a run is about.
    fn prepare(
        &self,
        shared: &Shared,
        state: &State,
        job: Job,
        registers: &Registers,
    ) -> Result<Run, String> {
        let process = state.processes.get(&job.process).ok_or("the process is gone")?;
        let pdi = process.contexts.get(&job.context);
        let pdi = pdi.and_then(|context| context.kernels.get(registers.kernel));
        let pdi = *pdi.ok_or_else(|| format!("the context has no kernel {}", registers.kernel))?;
        let stream = read(state, process, registers.instructions, 4 * registers.words as usize)
            .map_err(|problem| format!("the instructions: {problem}"))?
            .1;
        let preferred = self.designs.get(&pdi).copied();
        let Some(found) = shared.known.find(&stream, preferred) else {
            return Err(format!(
                "a stream of {} words that is not known (BLAKE3 {})",
                registers.words,
                blake3::hash(&stream)
            ));
        };
        if let Some(design) = preferred
            && design != found.design
        {
            let (stream, array) = (shared.known.name(found.design), shared.known.name(design));
            return Err(format!(
                "the stream {} of {stream} on an array that is configured for {array}",
                found.sequence
            ));
        }
        let (mut parts, mut buffers) = (Vec::new(), Vec::new());
        for (i, &bytes) in found.buffers.iter().enumerate() {
            let address = registers.buffers.get(i).copied().unwrap_or_default();
            let (part, contents) = read(state, process, address, bytes)
                .map_err(|problem| format!("buffer {i} of {}: {problem}", found.sequence))?;
            parts.push(part);
            buffers.push(contents);
        }
        Ok(Run { found: found.clone(), pdi, parts, buffers, in_list: false })
    }

    fn simulate(&mut self, shared: &Shared, job: Job, run: Run) -> End {
        let Run { found, pdi, parts, mut buffers, .. } = run;
        let key = (job.process, job.context);
        let configured = self.arrays.get(&key).is_some_and(|array| array.pdi == pdi);
        if !configured {
            match shared.known.configure(found.design) {
                Ok(simulator) => {
                    self.designs.insert(pdi, found.design);
                    self.arrays.insert(key, Configured { pdi, design: found.design, simulator });
                }
                Err(error) => return failed(shared, error.to_string()),
            }
        }
        let Some(array) = self.arrays.get_mut(&key) else { return End::Never };
        debug_assert_eq!(array.design, found.design, "a PDI has one design");
        let before = buffers.clone();
        let mut arguments: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
        let done = array.simulator.run(&found.sequence, &mut arguments);
        if let Err(error) = done {
            // It is of no use any more; the next command finds a fresh one, as after a reset.
            self.arrays.remove(&key);
            let hangs = matches!(error, RunError::Hang(_));
            let end = failed(shared, format!("{}: {error}", found.sequence));
            return if hangs { End::State(CommandState::TimeOut) } else { end };
        }
        let mut guard = shared.lock();
        let state = &mut *guard;
        for fault in &state.faults {
            spoil(fault, &found.sequence, &before, &mut buffers);
        }
        let Some(process) = state.processes.get_mut(&job.process) else { return End::Never };
        for ((part, before), after) in parts.into_iter().zip(&before).zip(&buffers) {
            if before != after
                && let Err(error) = process.buffers.write(&state.memory, part, after)
            {
                state.problems.push(format!("{}: {error}", found.sequence));
            }
        }
        let design = shared.known.name(found.design).to_owned();
        state.ran.push(Ran { design, sequence: found.sequence, in_list: run.in_list });
        End::State(CommandState::Completed)
    }
}

/// What the device sees at an address.
fn read(
    state: &State,
    process: &Process,
    address: u64,
    bytes: usize,
) -> Result<(Part, Vec<u8>), String> {
    let part = process.buffers.at(address, bytes);
    let part = part.ok_or_else(|| format!("no buffer has {bytes} bytes at {address:#x}"))?;
    let contents = process.buffers.read(&state.memory, part).map_err(|error| error.to_string())?;
    Ok((part, contents))
}

/// Results as a fault makes them. What a run changes are its results.
fn spoil(fault: &Fault, sequence: &str, before: &[Vec<u8>], after: &mut [Vec<u8>]) {
    for (before, after) in before.iter().zip(after) {
        let changed = |i: &usize| before[*i] != after[*i];
        let (first, last) = ((0..before.len()).find(changed), (0..before.len()).rfind(changed));
        let (Some(first), Some(last)) = (first, last) else { continue };
        match fault {
            Fault::Zeros(text) if sequence.contains(text) => after[first..=last].fill(0),
            // The high byte of the first element of 16 bits.
            Fault::Wrong(text) if sequence.contains(text) => {
                after.iter_mut().skip(first | 1).take(1).for_each(|byte| *byte ^= 0x40);
            }
            _ => {}
        }
    }
}

/// Notes what a program did wrong.
fn failed(shared: &Shared, problem: String) -> End {
    shared.lock().problems.push(problem);
    End::State(CommandState::Error)
}

/// What the watchdog does.
fn give_up(state: MutexGuard<'_, State>) -> End {
    drop(state);
    thread::sleep(WATCHDOG);
    End::State(CommandState::TimeOut)
}

impl State {
    fn context(&mut self, job: Job) -> Option<&mut crate::driver::Context> {
        self.processes.get_mut(&job.process)?.contexts.get_mut(&job.context)
    }

    fn packet(&self, process: u32, command: u32) -> Result<Packet, String> {
        let process = self.processes.get(&process).ok_or("the process is gone")?;
        let part = process.buffers.whole(command);
        let part = part.ok_or_else(|| format!("there is no command {command}"))?;
        let bytes = process.buffers.read(&self.memory, part).map_err(|error| error.to_string())?;
        Packet::parse(&bytes)
    }

    /// Says in a command what became of it, unless it is gone.
    pub(crate) fn set_state(&mut self, process: u32, command: u32, end: CommandState) {
        self.change_word(process, command, 0, |word| with_state(word, end));
    }

    fn set_error_index(&mut self, job: Job, index: u32) {
        self.change_word(job.process, job.command, ERROR_INDEX, |_| index);
    }

    fn change_word(
        &mut self,
        process: u32,
        command: u32,
        at: usize,
        change: impl FnOnce(u32) -> u32,
    ) {
        let Some(process) = self.processes.get_mut(&process) else { return };
        let Some(part) = process.buffers.whole(command).and_then(|part| part.word(at)) else {
            return;
        };
        if let Ok(bytes) = process.buffers.read(&self.memory, part) {
            let word = change(bytemuck::pod_read_unaligned(&bytes));
            // A command is in the file itself, where there is nothing that can fail.
            let _ = process.buffers.write(&self.memory, part, &word.to_le_bytes());
        }
    }
}
