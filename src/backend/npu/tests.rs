//! The backend without an NPU: hardware that answers as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use half::bf16;
use tilewright_codegen::plan::array::Layout;
use tilewright_codegen::plan::sequence::Sequence;
use tilewright_kernel::{
    Artifact, DesignText, Device as Generation, Epilogue, KernelInfo, Precision, Shape, Stream,
    TargetInfo, Tile,
};
use tilewright_xrt::Error;

use super::artifacts::Xclbin;
use super::hardware::{BufferId, Description, Hardware, ProgramId, Session};
use super::{Npu, NpuError};
use crate::backend::array::{ArrayError, Device};
use crate::backend::reference::{self, Operands};

/// What the hardware is told, and what it was asked to do.
#[derive(Default)]
struct Told {
    /// What each wait ends with; right results when there is nothing left.
    waits: VecDeque<Result<Wrong, Error>>,
    opened: usize,
    kept: usize,
    in_flight: usize,
    most_in_flight: usize,
}

/// How results are wrong.
#[derive(Clone, Copy)]
enum Wrong {
    Not,
    Zero,
    Unwritten,
    One { row: usize, column: usize },
}

struct Fake {
    told: Arc<Mutex<Told>>,
    kernel: &'static KernelInfo,
    description: Description,
}

struct FakeSession {
    told: Arc<Mutex<Told>>,
    kernel: &'static KernelInfo,
    a: Vec<u8>,
    c: Vec<u8>,
}

impl Hardware for Fake {
    fn description(&self) -> &Description {
        &self.description
    }

    fn open(&mut self, _: &[u8]) -> Result<Box<dyn Session>, Error> {
        self.told.lock().unwrap().opened += 1;
        let [a, _, c] = self.kernel.host_bytes;
        let (a, c) = (vec![0; a], vec![0; c]);
        Ok(Box::new(FakeSession { told: Arc::clone(&self.told), kernel: self.kernel, a, c }))
    }
}

impl Session for FakeSession {
    fn load(&mut self, words: &[u32], bytes: [usize; 3]) -> Result<ProgramId, Error> {
        assert_eq!((words, bytes), (&[0x0403_0201][..], self.kernel.host_bytes));
        Ok(ProgramId(0))
    }

    fn keep(&mut self, packed: &[u8]) -> Result<BufferId, Error> {
        assert_eq!(packed.len(), self.kernel.host_bytes[1]);
        let mut told = self.told.lock().unwrap();
        told.kept += 1;
        Ok(BufferId(told.kept))
    }

    fn release(&mut self, _: BufferId) {}

    fn input(&mut self, _: ProgramId) -> Result<&mut [u8], Error> {
        Ok(&mut self.a)
    }

    fn poison(&mut self, _: ProgramId) -> Result<(), Error> {
        self.c.fill(0xff);
        Ok(())
    }

    fn start(&mut self, _: ProgramId, _: BufferId) -> Result<(), Error> {
        let mut told = self.told.lock().unwrap();
        told.in_flight += 1;
        told.most_in_flight = told.most_in_flight.max(told.in_flight);
        Ok(())
    }

    fn finish(&mut self, _: Duration) -> Result<Duration, Error> {
        let mut told = self.told.lock().unwrap();
        told.in_flight -= 1;
        let wrong = told.waits.pop_front().unwrap_or(Ok(Wrong::Not))?;
        let kernel = self.kernel;
        let operands = Operands::new(kernel);
        let sums = reference::sums(kernel, &operands);
        let n = kernel.shape.n;
        match wrong {
            Wrong::Unwritten => return Ok(Duration::ZERO),
            Wrong::Zero => self.c.fill(0),
            Wrong::Not | Wrong::One { .. } => {
                for (i, &sum) in sums.iter().enumerate() {
                    let value = bf16::from_f64(reference::result(kernel, &operands, i, sum));
                    let at = (i / n * kernel.padded.n + i % n) * 2;
                    self.c[at..at + 2].copy_from_slice(&value.to_le_bytes());
                }
            }
        }
        if let Wrong::One { row, column } = wrong {
            let at = (row * kernel.padded.n + column) * 2;
            self.c[at..at + 2].copy_from_slice(&bf16::from_f32(1e4).to_le_bytes());
        }
        Ok(Duration::from_micros(7))
    }

    fn output(&self) -> &[u8] {
        &self.c
    }
}

/// BLAKE3, for as long as the tests.
fn hash(bytes: &[u8]) -> &'static str {
    Box::leak(blake3::hash(bytes).to_hex().to_string().into_boxed_str())
}

const XCLBIN: &[u8] = b"xclbin2\0";

/// A kernel with a stream for the xclbin of this hash.
fn kernel(xclbin_hash: &'static str, artifact_hash: &'static str) -> &'static KernelInfo {
    let tile = Tile { m: 16, k: 16, n: 16 };
    let layout = Layout::new(Generation::Npu1, Precision::I8, tile);
    let shape = Shape { m: 70, k: 40, n: 50 };
    let sequence = Sequence::new(&layout, shape, Epilogue::BiasGelu);
    let xclbin = Artifact { bytes: XCLBIN, hash: artifact_hash };
    let target = Box::leak(Box::new(TargetInfo {
        model: "test",
        device: layout.device,
        precision: layout.precision,
        tile: layout.tile,
        micro_tile: layout.micro,
        configuration: "",
        design: DesignText { module: "", core_kernel: "" },
        xclbin: Some(Box::leak(Box::new(xclbin))),
    }));
    let bytes = &[1, 2, 3, 4];
    let stream = Stream { bytes, hash: hash(bytes), xclbin_hash };
    let host_bytes: Vec<usize> = sequence.arguments.iter().map(|buffer| buffer.bytes()).collect();
    Box::leak(Box::new(KernelInfo {
        target,
        op: "ffn_up",
        length: None,
        count: 1,
        shape,
        padded: sequence.padded,
        loops: sequence.loops,
        epilogue: Epilogue::BiasGelu,
        sequence: "sequence",
        host_bytes: host_bytes.try_into().unwrap(),
        stream: Some(Box::leak(Box::new(stream))),
    }))
}

fn good() -> &'static KernelInfo {
    kernel(hash(XCLBIN), hash(XCLBIN))
}

fn open_on(
    kernel: &'static KernelInfo,
    waits: impl IntoIterator<Item = Result<Wrong, Error>>,
    generation: Generation,
) -> (Result<Npu, NpuError>, Arc<Mutex<Told>>) {
    let told = Told { waits: waits.into_iter().collect(), ..Told::default() };
    let told = Arc::new(Mutex::new(told));
    let description = Description {
        name: "NPU Phoenix".to_owned(),
        bdf: "0000:c4:00.1".to_owned(),
        firmware: Some("1.5.2.380".to_owned()),
        xrt: "2.25.0".to_owned(),
        generation: Some(generation),
    };
    let hardware = Box::new(Fake { told: Arc::clone(&told), kernel, description });
    let npu = Xclbin::of(kernel.target)
        .and_then(|xclbin| Npu::with(xclbin, kernel.target, hardware, [kernel]));
    (npu, told)
}

fn open(
    kernel: &'static KernelInfo,
    waits: impl IntoIterator<Item = Result<Wrong, Error>>,
) -> (Result<Npu, NpuError>, Arc<Mutex<Told>>) {
    open_on(kernel, waits, Generation::Npu1)
}

#[test]
fn what_is_right_is_used() {
    let kernel = good();
    let (npu, told) = open(kernel, []);
    let mut npu = npu.unwrap();
    let weights = npu.keep(kernel, Arc::new(vec![0_u8; kernel.host_bytes[1]])).unwrap();
    for _ in 0..npu.depth() {
        assert_eq!(npu.input(kernel).unwrap().len(), kernel.host_bytes[0]);
        npu.start(kernel, weights).unwrap();
    }
    for _ in 0..npu.depth() {
        let time = npu.finish().unwrap();
        assert_eq!((time.time, time.simulated), (Duration::from_micros(7), false));
    }
    assert_eq!(npu.output().len(), kernel.host_bytes[2]);
    let told = told.lock().unwrap();
    assert_eq!((told.opened, told.kept, told.most_in_flight), (1, 2, 2));
}

#[test]
fn completed_is_not_believed() {
    let (npu, _) = open(good(), [Ok(Wrong::Zero)]);
    let error = npu.unwrap_err();
    let NpuError::SelfTest { wrong, count, got, .. } = &error else { panic!("{error}") };
    assert!(*wrong > count / 2 && *got == 0.0, "{error}");
    let (npu, _) = open(good(), [Ok(Wrong::Unwritten)]);
    let error = npu.unwrap_err();
    let told = "the NPU failed its self-test: ffn_up 70×40×50 has 3500 of 3500 results wrong, first \
                row 0, column 0: NaN where";
    assert!(error.to_string().starts_with(told), "{error}");
}

#[test]
fn a_single_wrong_result_is_named() {
    let (npu, _) = open(good(), [Ok(Wrong::One { row: 69, column: 3 })]);
    let told = npu.unwrap_err().to_string();
    for part in ["1 of 3500", "first row 69, column 3: 9984 where", "firmware 1.5.2.380"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_stream_of_another_xclbin_is_not_run() {
    let (npu, told) = open(kernel("0123", hash(XCLBIN)), []);
    let error = npu.unwrap_err();
    assert!(matches!(error, NpuError::Foreign { .. }), "{error}");
    assert_eq!(told.lock().unwrap().most_in_flight, 0);
}

#[test]
fn a_damaged_xclbin_is_not_loaded() {
    let (npu, told) = open(kernel("0123", "0123"), []);
    let error = npu.unwrap_err();
    assert!(error.to_string().starts_with("the xclbin of npu1-i8 is damaged"), "{error}");
    assert_eq!(told.lock().unwrap().opened, 0);
}

#[test]
fn kernels_of_another_generation_are_not_loaded() {
    let (npu, told) = open_on(good(), [], Generation::Npu2);
    let error = npu.unwrap_err();
    assert!(matches!(error, NpuError::OtherGeneration { .. }), "{error}");
    assert_eq!(told.lock().unwrap().opened, 0);
}

#[test]
fn a_failure_is_recovered_from_once() {
    let kernel = good();
    let failure = || Err(Error::TimedOut { milliseconds: 10_000 });
    // Test, failure, test of the new context, failure.
    let waits = [Ok(Wrong::Not), failure(), Ok(Wrong::Not), failure()];
    let (npu, told) = open(kernel, waits);
    let mut npu = npu.unwrap();
    let weights = npu.keep(kernel, Arc::new(vec![0_u8; kernel.host_bytes[1]])).unwrap();
    npu.start(kernel, weights).unwrap();
    let error = npu.finish().unwrap_err();
    npu.recover(error).unwrap();
    // The weights of the test and the caller's, twice.
    let counts = || {
        let told = told.lock().unwrap();
        (told.opened, told.kept)
    };
    assert_eq!(counts(), (2, 4));
    npu.start(kernel, weights).unwrap();
    let error = npu.finish().unwrap_err();
    let error = npu.recover(error).unwrap_err().to_string();
    let once = "the NPU did not finish within 10000 ms";
    assert_eq!(error, format!("the NPU was given up: {once}; before that, {once}"));
    assert_eq!(told.lock().unwrap().opened, 2);
    assert!(
        npu.start(kernel, weights).unwrap_err().to_string().starts_with("the NPU was given up")
    );
    assert!(npu.output().is_empty());
}

#[test]
fn a_mistake_of_the_caller_is_no_failure_of_the_npu() {
    let (npu, told) = open(good(), []);
    let mut npu = npu.unwrap();
    let error = ArrayError::UnusedBias;
    assert!(matches!(npu.recover(error), Err(ArrayError::UnusedBias)));
    let wrong = NpuError::Xrt(Error::Argument { argument: 0, rule: "has no buffer" });
    assert!(npu.recover(wrong.into()).is_err());
    assert_eq!(told.lock().unwrap().opened, 1);
}
