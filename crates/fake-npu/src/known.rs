//! Streams that are recognised, and the designs that they belong to.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tilewright_sim::engine::{Limits, RunError, Simulator};
use tilewright_sim::functions::{Functions, GemmError, gemm, gemm_layout};
use tilewright_sim::netlist::Netlist;
use tilewright_sim::text::{self, Source, Type};

/// Time that one sequence may take to simulate.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why a design cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The design is none, or does not run.
    #[error(transparent)]
    Design(#[from] RunError),
    /// It calls a function that is not the core kernel of a Tilewright design.
    #[error("{design} calls `{symbol}`, and there is no such core kernel")]
    Function {
        /// The design.
        design: String,
        /// The function.
        symbol: String,
    },
    /// The core kernel cannot be compiled.
    #[error(transparent)]
    Kernel(#[from] GemmError),
}

/// A design, read.
#[derive(Debug)]
struct Design {
    name: String,
    netlist: Arc<Netlist>,
    /// Source of the core kernel, unless it is to be rendered.
    kernel: Option<String>,
}

/// A stream that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    /// Index of the design.
    pub(crate) design: usize,
    /// The runtime sequence.
    pub(crate) sequence: String,
    /// Bytes of the buffers that it takes.
    pub(crate) buffers: Vec<usize>,
}

/// The streams that the driver recognises.
#[derive(Default)]
pub struct Known {
    designs: Vec<Design>,
    streams: HashMap<blake3::Hash, Vec<Match>>,
    /// Core functions by the design that they were compiled for.
    functions: Mutex<BTreeMap<usize, Functions>>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let designs: Vec<&str> = self.designs.iter().map(|design| &*design.name).collect();
        f.debug_struct("Known").field("designs", &designs).finish_non_exhaustive()
    }
}

impl Known {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// All designs of a folder, at any depth: each a folder with `design.mlir`, a stream
    /// `SEQUENCE.insts.bin` for each of its sequences, and the core kernel `gemm.cc` unless it is to
    /// be rendered.
    ///
    /// # Errors
    /// When a file cannot be read, or a design is none.
    pub fn read(folder: &Path) -> Result<Self, KnownError> {
        let mut known = Self::new();
        known.read_into(folder)?;
        Ok(known)
    }

    fn read_into(&mut self, folder: &Path) -> Result<(), KnownError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| KnownError::File { path, source }
        };
        let mut streams = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail(folder))? {
            let path = entry.map_err(fail(folder))?.path();
            if path.is_dir() {
                self.read_into(&path)?;
            }
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(sequence) = name.and_then(|name| name.strip_suffix(".insts.bin")) {
                streams.push((sequence.to_owned(), fs::read(&path).map_err(fail(&path))?));
            }
        }
        let design = folder.join("design.mlir");
        if design.exists() {
            let text = fs::read_to_string(&design).map_err(fail(&design))?;
            let kernel = folder.join("gemm.cc");
            let kernel =
                kernel.exists().then(|| fs::read_to_string(&kernel).map_err(fail(&kernel)));
            let streams = streams.iter().map(|(name, bytes)| (&**name, &**bytes));
            let name = folder.display().to_string();
            self.add(&name, &text, kernel.transpose()?.as_deref(), streams)?;
        }
        Ok(())
    }

    /// A design and the streams of its sequences.
    ///
    /// # Errors
    /// When the design is none.
    pub fn add<'a>(
        &mut self,
        name: &str,
        design: &str,
        kernel: Option<&str>,
        streams: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), KnownError> {
        let module = text::parse(&Source::new(name, design)).map_err(RunError::from)?;
        let netlist = Netlist::build(module, None).map_err(RunError::from)?;
        for (sequence, stream) in streams {
            let declared = netlist.sequences.iter().find(|declared| declared.name == sequence);
            let Some(declared) = declared else {
                let message = format!("{name} has no runtime sequence `{sequence}`");
                return Err(RunError::Design(message).into());
            };
            let bytes = |ty: &Type| match ty {
                Type::MemRef(memref) => memref.bytes().unwrap_or_default(),
                _ => 0,
            };
            self.streams.entry(blake3::hash(stream)).or_default().push(Match {
                design: self.designs.len(),
                sequence: sequence.to_owned(),
                buffers: declared.arguments.iter().map(bytes).collect(),
            });
        }
        let kernel = kernel.map(str::to_owned);
        self.designs.push(Design { name: name.to_owned(), netlist: Arc::new(netlist), kernel });
        Ok(())
    }

    /// The sequence of a stream. Designs that agree in a sequence agree in its stream; then it is
    /// that of `preferred`, if it is there.
    pub(crate) fn find(&self, stream: &[u8], preferred: Option<usize>) -> Option<&Match> {
        let matches = self.streams.get(&blake3::hash(stream))?;
        let best = matches.iter().find(|one| Some(one.design) == preferred);
        best.or_else(|| matches.first())
    }

    /// The name of a design.
    pub(crate) fn name(&self, design: usize) -> &str {
        &self.designs[design].name
    }

    /// An array that is configured with a design.
    pub(crate) fn configure(&self, design: usize) -> Result<Simulator, KnownError> {
        let functions = self.functions(design)?;
        let limits = Limits { time: Some(PATIENCE), ..Limits::default() };
        Ok(Simulator::new(Arc::clone(&self.designs[design].netlist), functions, limits)?)
    }

    /// The core functions of a design, compiled for this machine.
    fn functions(&self, index: usize) -> Result<Functions, KnownError> {
        let mut compiled = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(functions) = compiled.get(&index) {
            return Ok(functions.clone());
        }
        let design = &self.designs[index];
        let mut functions = Functions::new();
        for symbol in design.netlist.functions.keys() {
            if let Some(layout) = gemm_layout(symbol) {
                functions = gemm(&layout, design.kernel.as_deref(), None)?;
            }
        }
        let missing =
            design.netlist.functions.iter().find(|(symbol, declared)| {
                declared.body.is_none() && functions.get(symbol).is_none()
            });
        if let Some((symbol, _)) = missing {
            let (design, symbol) = (design.name.clone(), symbol.clone());
            return Err(KnownError::Function { design, symbol });
        }
        compiled.insert(index, functions.clone());
        Ok(functions)
    }
}
