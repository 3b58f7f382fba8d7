//! From designs and core kernels to xclbins and instruction streams: the only stage that runs
//! programs.
//!
//! [`discover`] finds the tools, [`compile`] runs them. Everything that they make is cached by the
//! hash of all that it is made from, so that each call runs only what an edit touches:
//!
//! | what changed | what is made again |
//! |---|---|
//! | nothing | nothing; the tools are asked for their versions |
//! | the source of a core kernel | its object, and the xclbins with it |
//! | a configuration | its xclbin and streams |
//! | a runtime sequence, or a new one | its stream |
//! | a flag or version of a tool | what that tool makes, and what is made from it |
//!
//! Targets that share a configuration and a kernel, as those of two models may, share the xclbin.
//! The tools are not trusted: a file that was promised and is not there, or cannot be right, is an
//! error with all that the tool said, and so is a tool that does not end. After a failure there is
//! no artifact of the failed step, but its inputs are kept in `failed`, where the command line in
//! the message runs again.
//!
//! ```no_run
//! use tilewright_codegen::compile::{Discovery, Options, compile, discover};
//!
//! let environment = |name: &str| std::env::var_os(name);
//! match discover(&environment)? {
//!     Discovery::Missing(missing) => println!("cargo::warning={missing}"),
//!     Discovery::Found(toolchain) => {
//!         let options = Options::new(std::env::var_os("OUT_DIR").unwrap(), &environment)?;
//!         for compiled in compile(&toolchain, &[/* a job per target */], &options)? {
//!             println!("{}", compiled.xclbin.path.display());
//!         }
//!     }
//! }
//! # Ok::<(), tilewright_codegen::compile::CompileError>(())
//! ```
//!
//! Limits: the headers of the AIE API count by the version of the `aiecc` that they come with.
//! Nothing is ever removed from the cache; it lies in the output folder, and goes with it. A tool
//! runs in a process group of its own, so Ctrl-C ends the build but not a tool that is running,
//! which goes on until it is done.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

mod cache;
mod discover;
mod error;
mod options;
mod process;
mod recipe;
mod step;

pub use cache::Artifact;
use cache::{Cache, Key};
pub use discover::{Discovery, Environment, Missing, Tool, Toolchain, VARIABLES, discover};
pub use error::{CompileError, ToolError};
pub use options::{Options, TIMEOUT_VARIABLE};
use recipe::{Recipes, Sequence};
use step::{Step, Workshop};

use crate::device::Device;

/// A static configuration to compile, with the sequences that run on it.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// For messages: "npu1-i8 of whisper-base". Different for each job.
    pub name: &'a str,
    /// What to compile for.
    pub device: Device,
    /// The module without sequences, with [`SEQUENCES_MARKER`] in their place. It links the object
    /// file [`KERNEL_OBJECT`].
    ///
    /// [`SEQUENCES_MARKER`]: crate::render::design::SEQUENCES_MARKER
    /// [`KERNEL_OBJECT`]: crate::render::design::KERNEL_OBJECT
    pub configuration: &'a str,
    /// Name and text of each sequence; no name occurs twice.
    pub sequences: &'a [(String, String)],
    /// C++ source of the core kernel.
    pub kernel_source: &'a str,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The configuration of the array, with the programs of its cores.
    pub xclbin: Artifact,
    /// Name and instruction stream of each sequence, in the order of the design.
    pub streams: Vec<(String, Artifact)>,
}

/// Compiles what is not in the cache yet; one result per job, in their order.
///
/// # Errors
/// Whatever went wrong, in any of the jobs: a failure of one step does not keep the others from
/// being tried, and their results are in the cache.
pub fn compile(
    toolchain: &Toolchain,
    jobs: &[Job<'_>],
    options: &Options,
) -> Result<Vec<Compiled>, CompileError> {
    let out_dir = std::path::absolute(&options.out_dir)
        .map_err(|e| CompileError::file("find", &options.out_dir, e))?;
    let shop = Workshop {
        cache: Cache::new(out_dir.join("cache")),
        out_dir,
        timeout: options.timeout,
        search: toolchain.search.clone(),
    };
    let recipes = Recipes::new(toolchain, &shop)?;
    let orders: Vec<Order<'_>> = jobs.iter().map(|job| Order::new(&recipes, job)).collect();
    let mut shelf = Shelf { shop: &shop, threads: options.threads, artifacts: HashMap::new() };
    shelf.fill(&recipes, &orders)?;
    Ok(orders.iter().map(|order| shelf.compiled(order)).collect())
}

/// A job and the keys of what it needs.
#[derive(Debug)]
struct Order<'a> {
    job: &'a Job<'a>,
    object: Key,
    xclbin: Key,
    sequences: Vec<Sequence<'a>>,
}

impl<'a> Order<'a> {
    fn new(recipes: &Recipes<'_>, job: &'a Job<'a>) -> Self {
        let object = recipes.object_key(job);
        let xclbin = recipes.xclbin_key(job, object);
        let sequences = job.sequences.iter().map(|(name, text)| Sequence {
            name,
            text,
            key: recipes.stream_key(job, name, text),
        });
        Self { job, object, xclbin, sequences: sequences.collect() }
    }
}

/// What was found or made so far.
#[derive(Debug)]
struct Shelf<'a> {
    shop: &'a Workshop,
    threads: usize,
    artifacts: HashMap<Key, Artifact>,
}

impl Shelf<'_> {
    /// Makes all that the orders need; afterwards it is there, or there was an error.
    fn fill(&mut self, recipes: &Recipes<'_>, orders: &[Order<'_>]) -> Result<(), CompileError> {
        let xclbins = self.missing(orders, |order| order.xclbin, recipe::XCLBIN_FILE);
        let mut errors = self.make_objects(recipes, &xclbins);
        let mut steps = Vec::new();
        let threads = (self.threads / xclbins.len().max(1)).max(1);
        for order in xclbins {
            // Without the object there was an error already.
            let Some(object) = self.artifacts.get(&order.object) else { continue };
            match fs::read(&object.path) {
                Ok(object) => {
                    steps.push(recipes.xclbin(order.job, order.xclbin, object, threads));
                }
                Err(e) => errors.push(CompileError::file("read", &object.path, e)),
            }
        }
        let streams = self.missing_streams(orders);
        steps.extend(streams.iter().map(|(job, group)| recipes.streams(job, group)));
        errors.extend(self.run(&steps));
        CompileError::all(errors)
    }

    fn make_objects(&mut self, recipes: &Recipes<'_>, xclbins: &[&Order<'_>]) -> Vec<CompileError> {
        let orders = xclbins.iter().copied();
        let objects = self.missing(orders, |order| order.object, recipe::OBJECT_FILE);
        let steps = objects.iter().map(|order| recipes.object(order.job, order.object));
        let steps: Vec<_> = steps.collect();
        self.run(&steps)
    }

    /// The first order of each key that is neither here nor in the cache.
    fn missing<'b, 'c: 'b>(
        &mut self,
        orders: impl IntoIterator<Item = &'b Order<'c>>,
        key: impl Fn(&Order<'_>) -> Key,
        file: &str,
    ) -> Vec<&'b Order<'c>> {
        let mut seen = HashSet::new();
        let orders = orders.into_iter().filter(|order| seen.insert(key(order)));
        orders.filter(|order| !self.fetch(key(order), file)).collect()
    }

    /// Sequences that are not in the cache, grouped by configuration; a name occurs once in a
    /// group.
    fn missing_streams<'b>(
        &mut self,
        orders: &[Order<'b>],
    ) -> Vec<(&'b Job<'b>, Vec<Sequence<'b>>)> {
        let mut seen = HashSet::new();
        let mut groups: Vec<(&Job<'_>, Vec<Sequence<'_>>)> = Vec::new();
        for order in orders {
            for &sequence in &order.sequences {
                let file = recipe::stream_file(sequence.name);
                if !seen.insert(sequence.key) || self.fetch(sequence.key, &file) {
                    continue;
                }
                let fits = |(job, group): &&mut (&Job<'_>, Vec<Sequence<'_>>)| {
                    job.configuration == order.job.configuration
                        && group.iter().all(|other| other.name != sequence.name)
                };
                match groups.iter_mut().find(fits) {
                    Some((_, group)) => group.push(sequence),
                    None => groups.push((order.job, vec![sequence])),
                }
            }
        }
        groups
    }

    /// Takes an artifact from the cache, if it is there.
    fn fetch(&mut self, key: Key, file: &str) -> bool {
        let found = self.shop.cache.find(&key, file);
        found.map(|artifact| self.artifacts.insert(key, artifact)).is_some()
    }

    fn run(&mut self, steps: &[Step<'_>]) -> Vec<CompileError> {
        let mut errors = Vec::new();
        for result in in_parallel(self.threads, steps, |step| step.run(self.shop)) {
            match result {
                Ok(made) => self.artifacts.extend(made),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// After [`Self::fill`], every key of every order has its artifact.
    fn compiled(&self, order: &Order<'_>) -> Compiled {
        let artifact = |key: &Key| self.artifacts[key].clone();
        let sequences = order.sequences.iter();
        Compiled {
            xclbin: artifact(&order.xclbin),
            streams: sequences.map(|s| (s.name.to_owned(), artifact(&s.key))).collect(),
        }
    }
}

/// Results of `work` in the order of `items`, from up to `threads` threads.
fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break results };
            results.push((index, work(item)));
        }
    };
    let mut results = thread::scope(|scope| {
        let workers = threads.clamp(1, items.len().max(1));
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.flatten().collect::<Vec<_>>()
    });
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Name of a folder for this step of this job.
fn label(job: &str, step: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let job: String = job.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    format!("{job}.{step}")
}
