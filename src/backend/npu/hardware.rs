//! What the backend needs of XRT: a seam, so that everything around it is tested without.

use std::time::Duration;

use tilewright_xrt::Error;

/// What an NPU is, for reports.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Description {
    /// The name that XRT has for it.
    pub name: String,
    /// Its PCI address.
    pub bdf: String,
    /// Version of its firmware, where the driver tells.
    pub firmware: Option<String>,
    /// Version of XRT.
    pub xrt: String,
    /// Its generation, where it is one that there are targets for.
    pub generation: Option<tilewright_kernel::Device>,
}

/// A stream that a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProgramId(pub(super) usize);

/// Weights that a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BufferId(pub(super) usize);

/// Runs that are on the device at a time: while one runs, the next is packed.
pub(super) const DEPTH: usize = 2;

/// An NPU.
pub(super) trait Hardware: Send {
    /// What it is.
    fn description(&self) -> &Description;

    /// A context with an xclbin.
    fn open(&mut self, xclbin: &[u8]) -> Result<Box<dyn Session>, Error>;
}

/// A context, with streams, weights, and [`DEPTH`] pairs of buffers for each stream.
pub(super) trait Session: Send {
    /// Uploads a stream that moves so many bytes of A, B and C.
    fn load(&mut self, words: &[u32], bytes: [usize; 3]) -> Result<ProgramId, Error>;

    /// Uploads weights.
    fn keep(&mut self, packed: &[u8]) -> Result<BufferId, Error>;

    /// Frees weights.
    fn release(&mut self, weights: BufferId);

    /// The buffer A of the next run.
    fn input(&mut self, program: ProgramId) -> Result<&mut [u8], Error>;

    /// Fills the buffer C of the next run with what no result is.
    fn poison(&mut self, program: ProgramId) -> Result<(), Error>;

    /// Starts the next run.
    fn start(&mut self, program: ProgramId, weights: BufferId) -> Result<(), Error>;

    /// Waits at most so long for the run that was started first, and says how long it took.
    fn finish(&mut self, time: Duration) -> Result<Duration, Error>;

    /// The buffer C of the run that was finished last.
    fn output(&self) -> &[u8];
}
