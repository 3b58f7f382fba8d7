//! The seam's other side: XRT.

#![allow(unsafe_code, reason = "uploads streams, whose contract the table keeps")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tilewright_kernel::Device as Generation;
use tilewright_xrt::{Buffer, Device, DeviceInfo, Error, Kernel, Run, Running};

use super::hardware::{BufferId, DEPTH, Description, Hardware, ProgramId, Session};

/// The kernel of every xclbin that `aiecc` makes.
const KERNEL: &str = "MLIR_AIE";
/// Arguments of a runtime sequence.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// The first NPU of the machine.
pub(super) struct Xrt {
    device: Device,
    description: Description,
}

impl Xrt {
    pub(super) fn open() -> Result<Self, Error> {
        let device = Device::open(0)?;
        let description = describe(device.info());
        Ok(Self { device, description })
    }
}

fn describe(info: &DeviceInfo) -> Description {
    Description {
        name: info.name.clone(),
        bdf: info.bdf.clone(),
        firmware: info.firmware.clone(),
        xrt: info.xrt.version.to_string(),
        generation: generation(info.pci, &info.name),
    }
}

/// Which generation a device is of, by its PCI number or, where that is not known, its name.
fn generation(pci: Option<[u16; 2]>, name: &str) -> Option<Generation> {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match pci {
        Some([0x1022, 0x1502]) => Some(Generation::Npu1),
        Some([0x1022, 0x17f0]) => Some(Generation::Npu2),
        _ if has(&["npu1", "Phoenix", "Hawk"]) => Some(Generation::Npu1),
        _ if has(&["npu4", "npu5", "npu6", "Strix", "Krackan"]) => Some(Generation::Npu2),
        _ => None,
    }
}

impl Hardware for Xrt {
    fn description(&self) -> &Description {
        &self.description
    }

    fn open(&mut self, xclbin: &[u8]) -> Result<Box<dyn Session>, Error> {
        let kernel = self.device.context(xclbin)?.kernel(KERNEL)?;
        Ok(Box::new(XrtSession {
            kernel,
            programs: Vec::new(),
            weights: Vec::new(),
            queue: VecDeque::new(),
            finished: None,
            last: Instant::now(),
        }))
    }
}

struct XrtSession {
    // First, so that what is still running is waited for while everything else is there.
    queue: VecDeque<Started>,
    programs: Vec<Program>,
    weights: Vec<Option<Arc<Buffer<u8>>>>,
    /// Program and slot of the run that was finished last.
    finished: Option<(usize, usize)>,
    /// When it was finished.
    last: Instant,
    kernel: Kernel,
}

struct Program {
    /// Runs that are not on the device, each with its own A and C.
    slots: [Option<Run>; DEPTH],
    /// The slot of the next run.
    next: usize,
    c_bytes: usize,
}

struct Started {
    program: usize,
    slot: usize,
    running: Running<Run>,
    at: Instant,
}

/// A slot that is not there: too many runs were started, or one was lost.
const BUSY: Error = Error::Argument { argument: A, rule: "is of a run that is still going on" };

impl XrtSession {
    fn next(&mut self, program: ProgramId) -> Result<&mut Run, Error> {
        let program = self.programs.get_mut(program.0).ok_or(BUSY)?;
        program.slots[program.next].as_mut().ok_or(BUSY)
    }
}

impl Session for XrtSession {
    fn load(&mut self, words: &[u32], bytes: [usize; 3]) -> Result<ProgramId, Error> {
        // SAFETY: the stream was compiled with this xclbin, which its hash shows, from a runtime
        // sequence whose host buffers the plan has checked to be so many bytes.
        let program = Arc::new(unsafe { self.kernel.program(words, &bytes)? });
        let slot = || {
            let mut run = program.run()?;
            run.give(A, self.kernel.buffer::<u8>(A, bytes[A])?)?;
            run.give(C, self.kernel.buffer::<u8>(C, bytes[C])?)?;
            Ok::<_, Error>(Some(run))
        };
        self.programs.push(Program { slots: [slot()?, slot()?], next: 0, c_bytes: bytes[C] });
        Ok(ProgramId(self.programs.len() - 1))
    }

    fn keep(&mut self, packed: &[u8]) -> Result<BufferId, Error> {
        let mut buffer = self.kernel.buffer::<u8>(B, packed.len())?;
        buffer.as_mut_slice().copy_from_slice(packed);
        buffer.sync_to_device()?;
        self.weights.push(Some(Arc::new(buffer)));
        Ok(BufferId(self.weights.len() - 1))
    }

    fn release(&mut self, weights: BufferId) {
        // A run that was given it still has it, until it is given another.
        if let Some(slot) = self.weights.get_mut(weights.0) {
            *slot = None;
        }
    }

    fn input(&mut self, program: ProgramId) -> Result<&mut [u8], Error> {
        self.next(program)?.bytes_mut(A)
    }

    fn poison(&mut self, program: ProgramId) -> Result<(), Error> {
        let run = self.next(program)?;
        run.bytes_mut(C)?.fill(0xff);
        run.sync_to_device(C)
    }

    fn start(&mut self, program: ProgramId, weights: BufferId) -> Result<(), Error> {
        let rule = "is of weights that are not there";
        let missing = Error::Argument { argument: B, rule };
        let weights = self.weights.get(weights.0).and_then(Option::clone).ok_or(missing)?;
        let run = self.next(program)?;
        run.share(B, &weights)?;
        run.sync_to_device(A)?;
        let ProgramId(program) = program;
        let slot = self.programs[program].next;
        let run = self.programs[program].slots[slot].take().ok_or(BUSY)?;
        let at = Instant::now();
        self.queue.push_back(Started { program, slot, running: run.start()?, at });
        self.programs[program].next = (slot + 1) % DEPTH;
        Ok(())
    }

    fn finish(&mut self, time: Duration) -> Result<Duration, Error> {
        let rule = "is of a run that was not started";
        let missing = Error::Argument { argument: A, rule };
        let Started { program, slot, running, at } = self.queue.pop_front().ok_or(missing)?;
        let mut run = running.wait(time)?;
        run.sync_from_device(C)?;
        self.programs[program].slots[slot] = Some(run);
        self.finished = Some((program, slot));
        // It began when it was started, or when the one before was finished.
        let began = at.max(self.last);
        self.last = Instant::now();
        Ok(self.last - began)
    }

    fn output(&self) -> &[u8] {
        let finished = self.finished.and_then(|(program, slot)| {
            let program = self.programs.get(program)?;
            program.slots[slot].as_ref()?.bytes(C).ok()?.get(..program.c_bytes)
        });
        finished.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_known_by_its_number_or_name() {
        let of = |device| generation(Some([0x1022, device]), "");
        assert_eq!(
            [of(0x1502), of(0x17f0), of(0x1234)],
            [Some(Generation::Npu1), Some(Generation::Npu2), None]
        );
        let named = ["RyzenAI-npu1", "NPU Phoenix", "RyzenAI-npu5", "NPU Strix Halo", "NPU"];
        let of = named.map(|name| generation(None, name).map(Generation::columns));
        assert_eq!(of, [Some(4), Some(4), Some(8), Some(8), None]);
    }
}
