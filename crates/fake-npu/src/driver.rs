//! The driver: state, and an answer to every call.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytemuck::{Pod, bytes_of};
use tilewright_kernel::Device;

use crate::command::State as CommandState;
use crate::fault::Fault;
use crate::known::Known;
use crate::memory::{Buffers, Memory};
use crate::node;
use crate::uapi::{
    AieVersion, ConfigHwctx, CreateBo, CreateHwctx, CuConfig, DestroyHwctx, ExecCmd, GemClose,
    GetBoInfo, GetInfo, Kind, SyncBo, WaitCmd, errno, info, nr, structure,
};
use crate::wire::{Call, User};
use crate::worker;

/// Contexts that a device has for all processes together.
const CONTEXTS: usize = 6;
/// Kernels that a context can have.
const KERNELS: usize = 32;
/// What mapping the heap asks for, and no other mapping of a test.
const HEAP: u64 = 64 << 20;

/// A sequence that was run, or that should have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The design.
    pub design: String,
    /// The sequence.
    pub sequence: String,
    /// Whether it was part of a runlist.
    pub in_list: bool,
}

/// A simulated NPU with its driver; ends when it is dropped.
#[derive(Debug)]
pub struct Npu {
    shared: Arc<Shared>,
    socket: PathBuf,
    threads: Vec<JoinHandle<()>>,
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Notified of everything that somebody may wait for.
    changed: Condvar,
    pub(crate) known: Known,
    device: Device,
}

/// All that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) queue: VecDeque<Job>,
    /// Commands that were begun.
    pub(crate) commands: u64,
    /// Whether the device is gone.
    pub(crate) gone: bool,
    pub(crate) ran: Vec<Ran>,
    pub(crate) problems: Vec<String>,
    pub(crate) ended: bool,
}

/// What a process has of the device.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) buffers: Buffers,
    pub(crate) contexts: BTreeMap<u32, Context>,
    last: u32,
}

/// A hardware context.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// Hashes of the PDIs, by kernel.
    pub(crate) kernels: Vec<blake3::Hash>,
    submitted: u64,
    /// The last command that is over.
    pub(crate) over: u64,
    /// Whether a command of it will never be over.
    pub(crate) stuck: bool,
}

/// A command that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) process: u32,
    pub(crate) context: u32,
    /// The buffer of the command.
    pub(crate) command: u32,
    pub(crate) seq: u64,
}

impl Npu {
    /// Plays the driver of a device: `node` is the file that poses as its node, `socket` where
    /// `preload/lib.rs` finds the driver.
    ///
    /// With `caches`, the device sees of a buffer what was synchronised through the driver, and the
    /// program sees of results what it synchronised back: an XRT that flushes caches itself, as it
    /// does unless `force_driver_sync` is set, would get nothing done.
    ///
    /// # Errors
    /// When the socket or the file cannot be used.
    pub fn start(
        known: Known,
        device: Device,
        node: File,
        socket: &Path,
        caches: bool,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let state = State {
            memory: Memory::new(node, caches)?,
            processes: BTreeMap::new(),
            faults: Vec::new(),
            queue: VecDeque::new(),
            commands: 0,
            gone: false,
            ran: Vec::new(),
            problems: Vec::new(),
            ended: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { state, changed, known, device });
        let (calls, commands) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || listen(&calls, &listener)),
            thread::spawn(move || worker::work(&commands)),
        ];
        Ok(Self { shared, socket: socket.to_owned(), threads })
    }

    /// Injects a fault, besides those that were injected before.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// What ran so far.
    pub fn ran(&self) -> Vec<Ran> {
        self.shared.lock().ran.clone()
    }

    /// What programs did wrong so far.
    pub fn problems(&self) -> Vec<String> {
        self.shared.lock().problems.clone()
    }
}

impl Drop for Npu {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        // Wakes the listener, which then sees that it is over.
        let _ = UnixStream::connect(&self.socket);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes calls until the end, each on a thread of its own: some wait.
fn listen(shared: &Arc<Shared>, listener: &UnixListener) {
    for stream in listener.incoming() {
        if shared.lock().ended {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let Ok((mut user, call)) = User::accept(stream) else { return };
            if call == Call::Hello {
                let process = user.process;
                user.outlive();
                shared.forget(process);
                return;
            }
            // When the process breaks off there is nobody to tell.
            let result = shared.answer(&mut user, call).unwrap_or(errno::EIO);
            let _ = user.done(result);
        });
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most so long.
    pub(crate) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        most: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// The end of a process: what it had is free again.
    fn forget(&self, process: u32) {
        let mut state = self.lock();
        state.processes.remove(&process);
        state.queue.retain(|job| job.process != process);
        drop(state);
        self.notify();
    }

    fn answer(&self, user: &mut User, call: Call) -> io::Result<i64> {
        let state = self.lock();
        if state.gone {
            return Ok(errno::ENODEV);
        }
        let has = |fault| state.faults.contains(&fault);
        match call {
            Call::Hello => Ok(0),
            Call::Open if has(Fault::NoPermission) => Ok(errno::EACCES),
            Call::Mmap { length } if length >= HEAP && has(Fault::Memlock) => Ok(errno::EAGAIN),
            Call::Open | Call::Mmap { .. } => Ok(0),
            Call::Ioctl { request, argument } => {
                drop(state);
                self.ioctl(user, request, argument)
            }
        }
    }

    fn ioctl(&self, user: &mut User, request: u32, argument: u64) -> io::Result<i64> {
        let (number, size) = (request as u8, (request >> 16 & 0x3fff) as usize);
        let bytes = user.read(argument, size)?;
        match number {
            nr::GET_INFO => self.get_info(user, argument, structure(&bytes)),
            nr::CONFIG_HWCTX => self.config_context(user, structure(&bytes)),
            nr::WAIT_CMD => Ok(self.wait_command(user.process, structure(&bytes))),
            _ => {
                let (result, bytes) = self.lock().short(user.process, number, &bytes);
                // What was submitted, or destroyed.
                self.notify();
                user.write(argument, &bytes[..bytes.len().min(size)])?;
                Ok(result)
            }
        }
    }

    fn get_info(&self, user: &mut User, argument: u64, mut asked: GetInfo) -> io::Result<i64> {
        let metadata = node::metadata(self.device);
        let clocks = node::clocks(self.device);
        let AieVersion { major, minor } = metadata.version;
        let answer = match asked.parameter {
            info::METADATA => bytes_of(&metadata).to_vec(),
            info::VERSION => bytes_of(&AieVersion { major, minor }).to_vec(),
            info::CLOCKS => bytes_of(&clocks).to_vec(),
            info::FIRMWARE => bytes_of(&node::FIRMWARE).to_vec(),
            // Nothing happens, and nothing is measured.
            _ => Vec::new(),
        };
        let length = answer.len().min(asked.size as usize);
        user.write(asked.buffer, &answer[..length])?;
        asked.size = length as u32;
        user.write(argument, bytes_of(&asked))?;
        Ok(0)
    }

    /// Which PDI each kernel of a context is configured with.
    fn config_context(&self, user: &mut User, asked: ConfigHwctx) -> io::Result<i64> {
        const KERNEL_CONFIGURATION: u32 = 0;
        if asked.kind != KERNEL_CONFIGURATION {
            return Ok(errno::EINVAL);
        }
        let value = user.read(asked.value, (asked.size as usize).min(4096))?;
        let count = usize::from(structure::<u16>(&value));
        let configs = value.get(8..).unwrap_or_default().chunks_exact(size_of::<CuConfig>());
        if count == 0 || count > KERNELS || configs.len() < count {
            return Ok(errno::EINVAL);
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(process) = state.processes.get_mut(&user.process) else {
            return Ok(errno::EINVAL);
        };
        let mut kernels = Vec::new();
        for config in configs.take(count) {
            let config: CuConfig = structure(config);
            let Some(pdi) = process.buffers.whole(config.bo) else { return Ok(errno::EINVAL) };
            kernels.push(blake3::hash(&process.buffers.read(&state.memory, pdi)?));
        }
        let Some(context) = process.contexts.get_mut(&asked.handle) else {
            return Ok(errno::EINVAL);
        };
        context.kernels = kernels;
        Ok(0)
    }

    fn wait_command(&self, process: u32, asked: WaitCmd) -> i64 {
        let forever = Duration::from_secs(u64::from(u32::MAX));
        let most = match asked.timeout {
            0 => forever,
            milliseconds => Duration::from_millis(u64::from(milliseconds)),
        };
        let end = Instant::now() + most;
        let mut state = self.lock();
        loop {
            if state.gone || state.ended {
                return errno::ENODEV;
            }
            let context = state
                .processes
                .get(&process)
                .and_then(|process| process.contexts.get(&asked.hwctx));
            match context {
                None => return errno::EINVAL,
                Some(context) if context.over >= asked.seq => return 0,
                Some(_) => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return errno::ETIME;
            }
            state = self.wait(state, left);
        }
    }
}

impl State {
    /// Calls that need no more memory of the process than their argument: the result, and what
    /// becomes of the argument.
    fn short(&mut self, process: u32, number: u8, argument: &[u8]) -> (i64, Vec<u8>) {
        fn reply<T: Pod>(
            argument: &[u8],
            call: impl FnOnce(&mut T) -> Result<(), i64>,
        ) -> (i64, Vec<u8>) {
            let mut value: T = structure(argument);
            let result = call(&mut value).err().unwrap_or(0);
            (result, bytes_of(&value).to_vec())
        }
        match number {
            nr::CREATE_BO => reply(argument, |asked| self.create_buffer(process, asked)),
            nr::GET_BO_INFO => reply(argument, |asked: &mut GetBoInfo| {
                let (map, address) = self.process(process).buffers.places(asked.handle)?;
                *asked = GetBoInfo { map_offset: map, xdna_addr: address, vaddr: 0, ..*asked };
                Ok(())
            }),
            nr::SYNC_BO => reply(argument, |asked: &mut SyncBo| {
                let process = self.processes.entry(process).or_default();
                let to_device = asked.direction == 0;
                process.buffers.sync(
                    &self.memory,
                    asked.handle,
                    to_device,
                    asked.offset,
                    asked.size,
                )
            }),
            nr::GEM_CLOSE => reply(argument, |asked: &mut GemClose| {
                self.process(process).buffers.close(asked.handle)
            }),
            nr::CREATE_HWCTX => reply(argument, |asked| self.create_context(process, asked)),
            nr::DESTROY_HWCTX => reply(argument, |asked| self.destroy_context(process, *asked)),
            nr::EXEC_CMD => reply(argument, |asked| self.submit(process, asked)),
            nr::SET_STATE => (0, Vec::new()),
            _ => (errno::ENOTTY, Vec::new()),
        }
    }

    fn process(&mut self, process: u32) -> &mut Process {
        self.processes.entry(process).or_default()
    }

    fn create_buffer(&mut self, process: u32, asked: &mut CreateBo) -> Result<(), i64> {
        let kind = Kind::new(asked.kind).ok_or(errno::EINVAL)?;
        if asked.vaddr != 0 || asked.flags != 0 {
            return Err(errno::EINVAL);
        }
        let process = self.processes.entry(process).or_default();
        asked.handle = process.buffers.create(&mut self.memory, kind, asked.size)?;
        Ok(())
    }

    fn create_context(&mut self, process: u32, asked: &mut CreateHwctx) -> Result<(), i64> {
        let open: usize = self.processes.values().map(|process| process.contexts.len()).sum();
        let left = self.faults.iter().find_map(|fault| match fault {
            Fault::Contexts(left) => Some(*left as usize),
            _ => None,
        });
        if asked.num_tiles == 0 || open >= left.unwrap_or(CONTEXTS) {
            return Err(errno::EINVAL);
        }
        let process = self.process(process);
        process.last += 1;
        process.contexts.insert(process.last, Context::default());
        // Without a sync object XRT waits by WAIT_CMD.
        *asked = CreateHwctx { handle: process.last, syncobj: 0, umq_doorbell: 0, ..*asked };
        Ok(())
    }

    fn destroy_context(&mut self, process: u32, asked: DestroyHwctx) -> Result<(), i64> {
        let context = asked.handle;
        self.process(process).contexts.remove(&context).ok_or(errno::EINVAL)?;
        let ours = |job: &Job| job.process == process && job.context == context;
        let aborted: Vec<Job> = self.queue.iter().copied().filter(ours).collect();
        self.queue.retain(|job| !ours(job));
        for job in aborted {
            self.set_state(job.process, job.command, CommandState::Abort);
        }
        Ok(())
    }

    fn submit(&mut self, process: u32, asked: &mut ExecCmd) -> Result<(), i64> {
        const EXECUTE: u32 = 0;
        // XRT submits one command at a time; its handle is in the place of the pointer then.
        if asked.kind != EXECUTE || asked.command_count != 1 {
            return Err(errno::EINVAL);
        }
        let command = u32::try_from(asked.commands).map_err(|_| errno::EINVAL)?;
        let owner = self.process(process);
        owner.buffers.whole(command).ok_or(errno::EINVAL)?;
        let context = owner.contexts.get_mut(&asked.hwctx).ok_or(errno::EINVAL)?;
        if context.kernels.is_empty() {
            return Err(errno::EINVAL);
        }
        context.submitted += 1;
        asked.seq = context.submitted;
        self.queue.push_back(Job { process, context: asked.hwctx, command, seq: asked.seq });
        Ok(())
    }
}
