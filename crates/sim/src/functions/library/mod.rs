//! Real core kernels: C++ that is compiled for the host and called by core programs.
//!
//! [`Library::compile`] gives kernel sources to the machine's C++ compiler, found when it is needed,
//! so that building this crate takes none. [`Library::open`] takes a shared library that exists
//! already. Either way the functions are called through trampolines: generated C++ with one
//! signature for all, which hands each argument on as the type that the design declares.
//!
//! What is compiled is kept by the hash of everything that it is made from: sources, headers,
//! declarations, and what the compiler says of itself and of this machine's instructions.
//!
//! Floating-point contraction is off, so that results are the same on every machine.
//!
//! ```no_run
//! use tilewright_sim::functions::{Declaration, Functions, Library, Parameter, Sources};
//!
//! let mut sources = Sources::new();
//! sources.file("double.cc", "extern \"C\" void twice(int *x, int n) { while (n--) x[n] *= 2; }");
//! let declarations = [Declaration {
//!     symbol: "twice".to_owned(),
//!     parameters: vec![
//!         Parameter::Buffer { bytes: 64, alignment: 4 },
//!         Parameter::Integer { bits: 32, unsigned: false },
//!     ],
//!     result: None,
//! }];
//! let library = Library::compile(&sources, &declarations, None)?;
//! let mut functions = Functions::new();
//! library.register(&mut functions);
//! # Ok::<_, tilewright_sim::functions::LibraryError>(())
//! ```
//!
//! # Limits
//! A kernel is trusted, as a program is that one runs: one that writes outside of its buffers, or
//! ends the process, does so here too. Nothing keeps it from looping for ever.

mod cache;
mod compiler;
mod declaration;
mod error;
mod loaded;
mod trampoline;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Access, Argument, Function, Functions, Returned, Scalar};
use cache::Cache;
pub use cache::default_folder;
use compiler::Compiler;
pub use declaration::{Declaration, Parameter};
pub use error::LibraryError;
use loaded::{Call, Loaded};

/// The header with stand-ins for what the cores' compilers have built in.
const BUILTIN: &str = "tilewright_builtin.h";

/// Kernel sources and what they include.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    folders: Vec<PathBuf>,
}

impl Sources {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source by its name, for messages, and its text.
    pub fn file(&mut self, name: impl Into<String>, text: impl Into<String>) -> &mut Self {
        self.files.push((name.into(), text.into()));
        self
    }

    /// Adds a source that was written for the cores' compilers, with stand-ins for what these have
    /// built in. Messages name the file as it is named here.
    pub fn foreign(&mut self, name: impl Into<String>, text: &str) -> &mut Self {
        let name = name.into();
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("#include \"{BUILTIN}\"\n#line 1 \"{quoted}\"\n{text}");
        if !self.headers.iter().any(|(path, _)| path == BUILTIN) {
            self.header(BUILTIN, include_str!("builtin.h"));
        }
        self.file(name, text)
    }

    /// Adds a header by the path that it is included with.
    pub fn header(&mut self, path: impl Into<String>, text: impl Into<String>) -> &mut Self {
        self.headers.push((path.into(), text.into()));
        self
    }

    /// Adds a folder to look for headers in.
    pub fn folder(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.folders.push(folder.into());
        self
    }
}

/// Cycles that a call takes on a core, by its integer arguments in order.
pub type Cycles = Arc<dyn Fn(&[i64]) -> u64 + Send + Sync>;

/// What is known of a function besides its declaration.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// How long it takes; without, the simulator assumes a rate.
    pub cycles: Option<Cycles>,
    /// What it does with each argument, see [`Function::access`].
    pub access: Vec<Access>,
}

/// Functions of a shared library, for core programs to call.
#[derive(Debug)]
pub struct Library {
    loaded: Arc<Loaded>,
    functions: Vec<(Arc<Declaration>, Call)>,
    missing: Vec<String>,
}

impl Library {
    /// Compiles sources, or takes from the cache what was compiled before.
    ///
    /// The cache lies in `cache`, or where [`default_folder`] says; where it cannot be written to,
    /// nothing is kept. Declared functions that the sources lack are no error, see
    /// [`Library::missing`]: a design may declare what it never calls.
    ///
    /// # Errors
    /// When there is no C++ compiler, when it refuses the sources, or when a declaration has a type
    /// that cannot be passed.
    pub fn compile(
        sources: &Sources,
        declarations: &[Declaration],
        cache: Option<&Path>,
    ) -> Result<Self, LibraryError> {
        let trampolines = trampoline::source(declarations)?;
        let compiler = Compiler::find(&|name| std::env::var_os(name))?;
        let library = Cache::new(cache).library(&compiler, sources, &trampolines)?;
        let loaded = Arc::new(Loaded::open(library, None)?);
        Ok(Self::new(loaded, declarations))
    }

    /// Opens a shared library; its trampolines are compiled.
    ///
    /// # Errors
    /// As [`Library::compile`], and when the file is no shared library of this machine.
    pub fn open(
        path: &Path,
        declarations: &[Declaration],
        cache: Option<&Path>,
    ) -> Result<Self, LibraryError> {
        let trampolines = trampoline::source(declarations)?;
        let compiler = Compiler::find(&|name| std::env::var_os(name))?;
        let trampolines = Cache::new(cache).library(&compiler, &Sources::new(), &trampolines)?;
        let loaded = Arc::new(Loaded::open(trampolines, Some(path))?);
        Ok(Self::new(loaded, declarations))
    }

    fn new(loaded: Arc<Loaded>, declarations: &[Declaration]) -> Self {
        let (mut functions, mut missing) = (Vec::new(), Vec::new());
        for (index, declaration) in declarations.iter().enumerate() {
            match loaded.find(&declaration.symbol, &trampoline::name(index)) {
                Some(call) => functions.push((Arc::new(declaration.clone()), call)),
                None => missing.push(declaration.symbol.clone()),
            }
        }
        Self { loaded, functions, missing }
    }

    /// Symbols that were declared and are not in the library. A C++ function is found only when it
    /// is `extern "C"`.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// A function by its symbol.
    pub fn function(&self, symbol: &str, behaviour: Behaviour) -> Option<Arc<dyn Function>> {
        let found = self.functions.iter().find(|(declaration, _)| declaration.symbol == symbol);
        let (declaration, call) = found?;
        Some(Arc::new(HostFunction {
            declaration: Arc::clone(declaration),
            call: *call,
            behaviour,
            loaded: Arc::clone(&self.loaded),
        }))
    }

    /// Registers every function, with nothing more known of it than its declaration.
    pub fn register(&self, functions: &mut Functions) {
        for (declaration, _) in &self.functions {
            if let Some(function) = self.function(&declaration.symbol, Behaviour::default()) {
                functions.register(declaration.symbol.clone(), function);
            }
        }
    }
}

/// A function of a library.
struct HostFunction {
    declaration: Arc<Declaration>,
    call: Call,
    behaviour: Behaviour,
    /// Keeps the code that `call` leads to.
    loaded: Arc<Loaded>,
}

impl Function for HostFunction {
    fn call(&self, arguments: &mut [Argument<'_>]) -> Result<Returned, String> {
        let mut passed = Passed::default();
        passed.fill(&self.declaration, arguments)?;
        let value = self.loaded.call(
            self.call,
            &passed.buffers,
            &passed.integers,
            &passed.floats,
            self.declaration.result,
        );
        let integers = &passed.integers[..passed.integer_count];
        let cycles = self.behaviour.cycles.as_ref().map_or(0, |cycles| cycles(integers));
        Ok(Returned { cycles, value })
    }

    fn access(&self) -> &[Access] {
        &self.behaviour.access
    }
}

/// The most arguments of one kind that a function has.
const MOST: usize = 32;

/// Arguments by their kind, as trampolines take them.
struct Passed {
    buffers: [*mut u8; MOST],
    integers: [i64; MOST],
    floats: [f64; MOST],
    integer_count: usize,
}

impl Default for Passed {
    fn default() -> Self {
        Self {
            buffers: [std::ptr::null_mut(); MOST],
            integers: [0; MOST],
            floats: [0.0; MOST],
            integer_count: 0,
        }
    }
}

impl Passed {
    /// Checks the arguments against the declaration: their number and kinds, and the length of
    /// buffers and where they lie.
    fn fill(
        &mut self,
        declaration: &Declaration,
        arguments: &mut [Argument<'_>],
    ) -> Result<(), String> {
        let Declaration { symbol, parameters, .. } = declaration;
        if parameters.len() != arguments.len() {
            return Err(format!(
                "`{symbol}` takes {} arguments, {} were given",
                parameters.len(),
                arguments.len()
            ));
        }
        let (mut buffers, mut integers, mut floats) = (0, 0, 0);
        for (position, (parameter, argument)) in parameters.iter().zip(arguments).enumerate() {
            match (parameter, argument) {
                (&Parameter::Buffer { bytes, alignment }, Argument::Buffer(buffer)) => {
                    if buffer.len() < bytes {
                        return Err(format!(
                            "argument {position} of `{symbol}` is a buffer of {bytes} bytes, {} \
                             were given",
                            buffer.len()
                        ));
                    }
                    let pointer = buffer.as_mut_ptr();
                    if !(pointer as usize).is_multiple_of(alignment) {
                        return Err(format!(
                            "argument {position} of `{symbol}` lies at an address that is no \
                             multiple of its elements' {alignment} bytes"
                        ));
                    }
                    self.buffers[buffers] = pointer;
                    buffers += 1;
                }
                (Parameter::Integer { .. }, Argument::Scalar(Scalar::Integer(value))) => {
                    self.integers[integers] = *value;
                    integers += 1;
                }
                (Parameter::Float { .. }, Argument::Scalar(Scalar::Float(value))) => {
                    self.floats[floats] = *value;
                    floats += 1;
                }
                (expected, _) => {
                    return Err(format!("argument {position} of `{symbol}` is no {expected}"));
                }
            }
        }
        self.integer_count = integers;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
