//! Matmuls on whatever runs packed kernels.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use tilewright_kernel::{Kernel, KernelInfo, TargetInfo};

use super::error::check_length;
use super::{ArrayError, Geometry, Operand};
use crate::backend::cpu::{Cpu, Output, Scaling, SharedBytes};

/// Weights that a device keeps: what [`Device::keep`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WeightsId(pub usize);

/// Time of one run on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceTime {
    /// How long it took, or is predicted to take.
    pub time: Duration,
    /// Whether it is the prediction of a simulator.
    pub simulated: bool,
}

/// What runs kernels on packed buffers: a simulator, or an NPU.
///
/// A device owns the host buffers of its kernels. It is used by one caller at a time: fill
/// [`Device::input`], [`Device::start`], [`Device::finish`], read [`Device::output`]. Where
/// [`Device::depth`] is more than one, so many runs can be started before the first is finished.
pub trait Device: Send {
    /// The backend's name in reports.
    fn name(&self) -> &'static str;

    /// The target that the array is configured for.
    fn target(&self) -> &'static TargetInfo;

    /// Keeps packed weights of a kernel for good.
    ///
    /// # Errors
    /// As the device defines them.
    fn keep(&mut self, kernel: &KernelInfo, packed: SharedBytes) -> Result<WeightsId, ArrayError>;

    /// Runs that it takes at a time.
    fn depth(&self) -> usize {
        1
    }

    /// The buffer A of a kernel for the next run, with whatever was left in it.
    ///
    /// # Errors
    /// As the device defines them.
    fn input(&mut self, kernel: &KernelInfo) -> Result<&mut [u8], ArrayError>;

    /// Starts a kernel on what its input holds.
    ///
    /// # Errors
    /// As the device defines them.
    fn start(&mut self, kernel: &KernelInfo, weights: WeightsId) -> Result<(), ArrayError>;

    /// Waits for the run that was started first, of those that were not finished.
    ///
    /// # Errors
    /// As the device defines them.
    fn finish(&mut self) -> Result<DeviceTime, ArrayError>;

    /// The buffer C of the run that was finished last.
    fn output(&self) -> &[u8];

    /// Told why a run failed: makes all runs that were not finished worth another try, after which
    /// what was kept is still there; or says why not, which is `error` or more than that.
    ///
    /// # Errors
    /// When there is no other try.
    fn recover(&mut self, error: ArrayError) -> Result<(), ArrayError> {
        Err(error)
    }
}

/// Weights that a device keeps for kernel `K`: no other kernel takes them.
#[derive(Debug)]
pub struct Prepared<K> {
    geometry: Geometry<'static>,
    weights: WeightsId,
    kernel: PhantomData<fn() -> K>,
}

/// Where the time of a matmul went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Narrowing and packing activations, on this machine.
    pub packing: Duration,
    /// On the device; all its runs together.
    pub device: DeviceTime,
    /// What the runs took on this machine's clock: much more than `device` when that is simulated.
    pub waiting: Duration,
    /// Unpacking and widening results, on this machine.
    pub unpacking: Duration,
    /// Runs of the device.
    pub runs: u32,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.packing += other.packing;
        self.device.time += other.device.time;
        self.device.simulated |= other.device.simulated;
        self.waiting += other.waiting;
        self.unpacking += other.unpacking;
        self.runs += other.runs;
    }
}

/// Windows of a matmul that were handed to the device, and that came back.
#[derive(Debug, Default)]
struct Queue {
    started: usize,
    finished: usize,
}

impl Queue {
    fn in_flight(&self) -> usize {
        self.started - self.finished
    }
}

/// Matmuls on a device, with activations and results in f32.
pub struct Array {
    device: Box<dyn Device>,
    cpu: Cpu,
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, target) = (self.device.name(), self.device.target().name());
        f.debug_struct("Array").field("device", &name).field("target", &target).finish()
    }
}

impl Array {
    /// A device, with the processor that packs and unpacks for it.
    pub fn new(device: Box<dyn Device>, cpu: Cpu) -> Self {
        Self { device, cpu }
    }

    /// The backend's name in reports.
    pub fn name(&self) -> &'static str {
        self.device.name()
    }

    /// The target that the array is configured for.
    pub fn target(&self) -> &'static TargetInfo {
        self.device.target()
    }

    /// Narrows and packs weights, N × K row by row: the bytes to be kept with [`Array::load`], now
    /// or after they were stored.
    ///
    /// # Errors
    /// As [`Geometry::pack_weights`].
    pub fn pack<K: Kernel>(
        &self,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<u8>, ArrayError> {
        self.geometry::<K>()?.pack_weights(&self.cpu, weights, bias)
    }

    /// Hands packed weights to the device.
    ///
    /// # Errors
    /// When they are not those of the kernel, or what the device reports.
    pub fn load<K: Kernel>(&mut self, packed: SharedBytes) -> Result<Prepared<K>, ArrayError> {
        let geometry = self.geometry::<K>()?;
        check_length("the buffer of B", geometry.host_bytes()[1], (*packed).as_ref().len())?;
        let weights = self.device.keep(K::INFO, packed)?;
        Ok(Prepared { geometry, weights, kernel: PhantomData })
    }

    /// C = epilogue(A × B), or C plus that.
    ///
    /// A is the M × K activations of one window, or of several that lie one behind the other; C is
    /// as many times M × N. Each window is a run of the device; the next is packed and the one before
    /// unpacked while it runs, if the device can do that.
    ///
    /// # Errors
    /// When lengths are not those of the kernel, or what the device reports.
    pub fn matmul<K: Kernel>(
        &mut self,
        b: &Prepared<K>,
        scaling: Scaling,
        a: &[f32],
        output: Output,
        c: &mut [f32],
    ) -> Result<Spent, ArrayError> {
        let (geometry, shape) = (b.geometry, K::INFO.shape);
        let window = shape.m * shape.k;
        if !a.len().is_multiple_of(window) {
            return Err(ArrayError::Windows { shape, given: a.len() });
        }
        check_length("C", a.len() / shape.k * shape.n, c.len())?;
        let (mut spent, mut queue) = (Spent::default(), Queue::default());
        let windows = a.len() / window;
        while queue.finished < windows {
            let step = if queue.started < windows && queue.in_flight() < self.device.depth() {
                let a = &a[queue.started * window..][..window];
                self.start(K::INFO, b, Operand::F32(a, scaling), &mut spent)
                    .map(|()| queue.started += 1)
            } else {
                let c = &mut c[queue.finished * shape.m * shape.n..][..shape.m * shape.n];
                self.finish(&geometry, output, c, &mut spent).map(|()| queue.finished += 1)
            };
            let Err(error) = step else { continue };
            if let Err(error) = self.device.recover(error) {
                // What is still on the device is of no use, and must not be taken for the results of
                // the next matmul.
                (0..queue.in_flight()).for_each(|_| drop(self.device.finish()));
                return Err(error);
            }
            queue.started = queue.finished;
        }
        Ok(spent)
    }

    /// Packs a window and starts its run.
    fn start<K: Kernel>(
        &mut self,
        kernel: &KernelInfo,
        b: &Prepared<K>,
        a: Operand<'_>,
        spent: &mut Spent,
    ) -> Result<(), ArrayError> {
        let start = Instant::now();
        b.geometry.pack_activations(&self.cpu, a, self.device.input(kernel)?)?;
        let packed = Instant::now();
        self.device.start(kernel, b.weights)?;
        spent.packing += packed - start;
        spent.waiting += packed.elapsed();
        Ok(())
    }

    /// Waits for a window and unpacks it.
    fn finish(
        &mut self,
        geometry: &Geometry<'_>,
        output: Output,
        c: &mut [f32],
        spent: &mut Spent,
    ) -> Result<(), ArrayError> {
        let start = Instant::now();
        let device = self.device.finish()?;
        let ran = Instant::now();
        geometry.unpack(&self.cpu, self.device.output(), output, c)?;
        let unpacking = ran.elapsed();
        let waiting = ran - start;
        *spent += Spent { packing: Duration::ZERO, device, waiting, unpacking, runs: 1 };
        Ok(())
    }

    fn geometry<K: Kernel>(&self) -> Result<Geometry<'static>, ArrayError> {
        let (given, loaded) = (K::INFO.target, self.device.target());
        // Kernels of another table may have another tile under the same name.
        if !std::ptr::eq(given, loaded) && given != loaded {
            let name = |target: &TargetInfo| format!("{} of {}", target.name(), target.model);
            return Err(ArrayError::Target { given: name(given), loaded: name(loaded) });
        }
        Geometry::new(K::INFO)
    }
}
