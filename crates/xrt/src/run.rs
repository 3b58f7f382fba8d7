//! Streams that are uploaded, and their runs.

#![allow(unsafe_code, reason = "calls the shim")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytemuck::Pod;

use crate::buffer::Buffer;
use crate::context::{Context, FIRST_BUFFER, Kernel, lock};
use crate::error::{Action, CommandState, Error};
use crate::raw::{self, Owned, tw_run, tw_runlist};
use crate::running::{Progress, Running, Startable, sealed::Sealed};

/// Tells the firmware that the instructions are in a buffer.
const OPCODE: u64 = 3;

/// A stream that is uploaded: what [`Kernel::program`] returned.
#[derive(Debug)]
pub struct Program {
    instructions: Arc<Buffer<u32>>,
    words: u32,
    bytes: Vec<usize>,
    kernel: Kernel,
}

impl Program {
    pub(crate) fn new(kernel: &Kernel, words: &[u32], bytes: &[usize]) -> Result<Self, Error> {
        let count = u32::try_from(words.len());
        let count = count.map_err(|_| Error::Memory { action: Action::Allocate })?;
        let mut instructions = Buffer::<u32>::new(kernel, 1, words.len(), true)?;
        instructions.as_mut_slice().copy_from_slice(words);
        instructions.sync_to_device()?;
        let instructions = Arc::new(instructions);
        Ok(Self { instructions, words: count, bytes: bytes.to_vec(), kernel: kernel.clone() })
    }

    /// Bytes of each argument.
    pub fn bytes(&self) -> &[usize] {
        &self.bytes
    }

    /// A run of it, without buffers yet.
    ///
    /// # Errors
    /// As XRT has them.
    pub fn run(self: &Arc<Self>) -> Result<Run, Error> {
        let kernel = lock(&self.kernel.inner);
        let shim = kernel.shim();
        // SAFETY: the function of this type; the kernel lives.
        let mut run = unsafe {
            let new = |error| (shim.tw_run_new)(kernel.as_ptr(), error);
            Owned::<tw_run>::new(shim, Action::Start, new)?
        };
        drop(kernel);
        let bo = lock(&self.instructions.bo);
        // SAFETY: run and buffer object live, and the program keeps the latter.
        raw::call(Action::Start, |error| unsafe {
            (shim.tw_run_set_u64)(run.as_mut(), 0, OPCODE, error);
        })?;
        raw::call(Action::Start, |error| unsafe {
            (shim.tw_run_set_bo)(run.as_mut(), 1, bo.as_ptr(), error);
        })?;
        raw::call(Action::Start, |error| unsafe {
            (shim.tw_run_set_u32)(run.as_mut(), 2, self.words, error);
        })?;
        drop(bo);
        let slots = self.bytes.iter().map(|_| Slot::Empty).collect();
        Ok(Run { run: Mutex::new(run), slots, program: Arc::clone(self) })
    }
}

/// The buffer of an argument.
#[derive(Debug)]
enum Slot {
    Empty,
    Own(Buffer<u8>),
    Shared(Arc<Buffer<u8>>),
}

/// A run of a program, with its buffers.
pub struct Run {
    run: Mutex<Owned<tw_run>>,
    slots: Vec<Slot>,
    // After the run, which is freed first.
    program: Arc<Program>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("slots", &self.slots).finish_non_exhaustive()
    }
}

impl Run {
    /// Gives it the buffer of an argument, for good: from now on it is read and written through the
    /// run.
    ///
    /// # Errors
    /// When it is too small, or was allocated for another argument or on another device.
    pub fn give<T: Pod>(&mut self, argument: usize, buffer: Buffer<T>) -> Result<(), Error> {
        let buffer = buffer.into_bytes();
        self.set(argument, &buffer)?;
        self.slots[argument] = Slot::Own(buffer);
        Ok(())
    }

    /// Lends it a buffer that several runs read.
    ///
    /// # Errors
    /// As [`Run::give`].
    pub fn share(&mut self, argument: usize, buffer: &Arc<Buffer<u8>>) -> Result<(), Error> {
        if let Some(Slot::Shared(shared)) = self.slots.get(argument)
            && Arc::ptr_eq(shared, buffer)
        {
            return Ok(());
        }
        self.set(argument, buffer)?;
        self.slots[argument] = Slot::Shared(Arc::clone(buffer));
        Ok(())
    }

    /// The program that it runs.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// What the buffer of an argument holds, whose size is the program's or more.
    ///
    /// # Errors
    /// When it has none.
    pub fn bytes(&self, argument: usize) -> Result<&[u8], Error> {
        match self.slots.get(argument) {
            Some(Slot::Own(buffer)) => Ok(buffer.as_slice()),
            Some(Slot::Shared(buffer)) => Ok(buffer.as_slice()),
            _ => Err(Error::Argument { argument, rule: NO_BUFFER }),
        }
    }

    /// The same to write to, for a buffer that is the run's own.
    ///
    /// # Errors
    /// When it has none, or shares it.
    pub fn bytes_mut(&mut self, argument: usize) -> Result<&mut [u8], Error> {
        self.own(argument).map(Buffer::as_mut_slice)
    }

    /// See [`Buffer::sync_to_device`].
    ///
    /// # Errors
    /// When the run has no own buffer there, and as XRT has them.
    pub fn sync_to_device(&mut self, argument: usize) -> Result<(), Error> {
        self.own(argument)?.sync_to_device()
    }

    /// See [`Buffer::sync_from_device`].
    ///
    /// # Errors
    /// As [`Run::sync_to_device`].
    pub fn sync_from_device(&mut self, argument: usize) -> Result<(), Error> {
        self.own(argument)?.sync_from_device()
    }

    /// Starts it.
    ///
    /// # Errors
    /// When an argument has no buffer, or XRT does not start it.
    pub fn start(self) -> Result<Running<Self>, Error> {
        Running::start(self)
    }

    fn own(&mut self, argument: usize) -> Result<&mut Buffer<u8>, Error> {
        match self.slots.get_mut(argument) {
            Some(Slot::Own(buffer)) => Ok(buffer),
            Some(Slot::Shared(_)) => {
                Err(Error::Argument { argument, rule: "is shared, so it can only be read" })
            }
            _ => Err(Error::Argument { argument, rule: NO_BUFFER }),
        }
    }

    fn set(&mut self, argument: usize, buffer: &Buffer<u8>) -> Result<(), Error> {
        let fail = |rule| Err(Error::Argument { argument, rule });
        let Some(&bytes) = self.program.bytes.get(argument) else {
            return fail("is none that the program has");
        };
        if !Arc::ptr_eq(&self.context().device().inner, &buffer.device.inner) {
            return fail("has a buffer of another device");
        }
        if buffer.argument != argument + FIRST_BUFFER {
            return fail("has a buffer that was allocated for another argument");
        }
        if buffer.len() < bytes {
            return fail("has a buffer that is smaller than what the program moves");
        }
        let index = buffer.argument as i32;
        let (mut run, bo) = (lock(&self.run), lock(&buffer.bo));
        let set = run.shim().tw_run_set_bo;
        // SAFETY: run and buffer object live, and the caller keeps the latter in the slot.
        raw::call(Action::Start, |error| unsafe { set(run.as_mut(), index, bo.as_ptr(), error) })
    }

    /// Every argument has its buffer.
    fn check(&self) -> Result<(), Error> {
        match self.slots.iter().position(|slot| matches!(slot, Slot::Empty)) {
            Some(argument) => Err(Error::Argument { argument, rule: NO_BUFFER }),
            None => Ok(()),
        }
    }

    fn context(&self) -> &Context {
        &self.program.kernel.context
    }
}

const NO_BUFFER: &str = "has no buffer";

impl Sealed for Run {
    fn submit(&mut self) -> Result<(), Error> {
        self.check()?;
        let mut run = lock(&self.run);
        let start = run.shim().tw_run_start;
        // SAFETY: the run lives; all that it works on is kept by `self`, see `Running`.
        raw::call(Action::Start, |error| unsafe { start(run.as_mut(), error) })
    }

    fn wait(&self, time: Duration) -> Result<Progress, Error> {
        let run = lock(&self.run);
        let milliseconds = milliseconds(time);
        // SAFETY: the run lives.
        let state = raw::call(Action::Wait, |error| unsafe {
            (run.shim().tw_run_wait)(run.as_ptr(), milliseconds, error)
        })?;
        if CommandState(state) != CommandState::TIMEOUT {
            return Ok(progress(CommandState(state)));
        }
        // The time may be up here, or the driver has given the command up.
        // SAFETY: the run lives.
        let state = raw::call(Action::Wait, |error| unsafe {
            (run.shim().tw_run_state)(run.as_ptr(), error)
        })?;
        Ok(match CommandState(state) {
            CommandState::TIMEOUT => {
                Progress::Failed(Error::TimedOut { milliseconds: time.as_millis() })
            }
            state => progress(state),
        })
    }
}

/// Where a run in a state is that does not say "timed out".
fn progress(state: CommandState) -> Progress {
    match state {
        CommandState::COMPLETED => Progress::Completed,
        state if state.is_final() => Progress::Failed(Error::Command { state }),
        _ => Progress::Busy,
    }
}

impl Startable for Run {}

pub(crate) fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Runs of one context that are submitted at once and carried out in order.
pub struct Runlist {
    list: Mutex<Owned<tw_runlist>>,
    // After the list, which is freed first and lets go of them.
    runs: Vec<Run>,
    context: Context,
}

impl std::fmt::Debug for Runlist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runlist").field("runs", &self.runs).finish_non_exhaustive()
    }
}

impl Runlist {
    pub(crate) fn new(context: &Context) -> Result<Self, Error> {
        let locked = lock(&context.inner);
        let shim = locked.shim();
        // SAFETY: the function of this type; the context lives.
        let list = unsafe {
            let new = |error| (shim.tw_runlist_new)(locked.as_ptr(), error);
            Owned::<tw_runlist>::new(shim, Action::Start, new)?
        };
        drop(locked);
        Ok(Self { list: Mutex::new(list), runs: Vec::new(), context: context.clone() })
    }

    /// Adds a run at the end. What it works on may be changed between two starts of the list.
    ///
    /// # Errors
    /// When an argument has no buffer, or it is of another context.
    pub fn push(&mut self, run: Run) -> Result<(), Error> {
        run.check()?;
        if !Arc::ptr_eq(&run.context().inner, &self.context.inner) {
            let rule = "is of a run of another context";
            return Err(Error::Argument { argument: self.runs.len(), rule });
        }
        let mut list = lock(&self.list);
        let add = list.shim().tw_runlist_add;
        let locked = lock(&run.run);
        // SAFETY: list and run live; the run is kept for as long as the list.
        raw::call(Action::Start, |error| unsafe { add(list.as_mut(), locked.as_ptr(), error) })?;
        drop((list, locked));
        self.runs.push(run);
        Ok(())
    }

    /// The runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// See [`Run::share`], of one of the runs.
    ///
    /// Runs are not handed out to be changed: one that is swapped for another would be started with
    /// the list although it is somewhere else.
    ///
    /// # Errors
    /// When there is no such run, and as [`Run::share`].
    pub fn share(&mut self, run: usize, argument: usize, b: &Arc<Buffer<u8>>) -> Result<(), Error> {
        self.run_mut(run)?.share(argument, b)
    }

    /// See [`Run::bytes_mut`], of one of the runs.
    ///
    /// # Errors
    /// When there is no such run, and as [`Run::bytes_mut`].
    pub fn bytes_mut(&mut self, run: usize, argument: usize) -> Result<&mut [u8], Error> {
        self.run_mut(run)?.bytes_mut(argument)
    }

    /// See [`Run::sync_to_device`], of one of the runs.
    ///
    /// # Errors
    /// When there is no such run, and as [`Run::sync_to_device`].
    pub fn sync_to_device(&mut self, run: usize, argument: usize) -> Result<(), Error> {
        self.run_mut(run)?.sync_to_device(argument)
    }

    /// See [`Run::sync_from_device`], of one of the runs.
    ///
    /// # Errors
    /// When there is no such run, and as [`Run::sync_from_device`].
    pub fn sync_from_device(&mut self, run: usize, argument: usize) -> Result<(), Error> {
        self.run_mut(run)?.sync_from_device(argument)
    }

    fn run_mut(&mut self, run: usize) -> Result<&mut Run, Error> {
        let missing = Error::Argument { argument: run, rule: "is beyond the runs of the list" };
        self.runs.get_mut(run).ok_or(missing)
    }

    /// The runs without the list.
    pub fn into_runs(self) -> Vec<Run> {
        let Self { list, runs, .. } = self;
        // Lets go of the runs.
        drop(list);
        runs
    }

    /// Starts them all.
    ///
    /// # Errors
    /// When XRT does not start them.
    pub fn start(self) -> Result<Running<Self>, Error> {
        Running::start(self)
    }
}

impl Sealed for Runlist {
    fn submit(&mut self) -> Result<(), Error> {
        self.runs.iter().try_for_each(Run::check)?;
        let mut list = lock(&self.list);
        let execute = list.shim().tw_runlist_execute;
        // SAFETY: the list lives; all that its runs work on is kept by `self`, see `Running`.
        raw::call(Action::Start, |error| unsafe { execute(list.as_mut(), error) })
    }

    fn wait(&self, time: Duration) -> Result<Progress, Error> {
        let list = lock(&self.list);
        let milliseconds = milliseconds(time);
        // SAFETY: the list lives.
        let done = raw::call(Action::Wait, |error| unsafe {
            (list.shim().tw_runlist_wait)(list.as_ptr(), milliseconds, error)
        })?;
        Ok(if done == 1 { Progress::Completed } else { Progress::Busy })
    }
}

impl Startable for Runlist {}
