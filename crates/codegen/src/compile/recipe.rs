//! What is compiled from what and how: command lines, and the keys that follow from them.
//!
//! A core kernel becomes an object, a configuration with that object an xclbin, a runtime sequence
//! in a configuration a stream. The flags of the kernel are those of MLIR-AIE's own Makefiles.
//! xclbin and streams are made by separate calls of `aiecc`, the xclbin from a module without
//! sequences: so it cannot depend on them, and a new sequence costs a second and not a minute.
//! What both must agree on, where the buffers of the cores are, is allocated by the same scheme
//! from the same configuration.

use std::ffi::{OsStr, OsString};

use super::cache::Key;
use super::discover::Toolchain;
use super::error::CompileError;
use super::step::{Kind, Output, Step, Workshop};
use super::{Job, label};
use crate::device::core_arch;
use crate::render::design::{KERNEL_OBJECT, SEQUENCES_MARKER};

/// Flags of a core kernel. Source: `programming_examples/makefile-common` of MLIR-AIE, 2026-03.
const KERNEL: [&str; 8] = [
    "-O2",
    "-std=c++20",
    "-Wno-parentheses",
    "-Wno-attributes",
    "-Wno-macro-redefined",
    "-Wno-empty-body",
    "-Wno-missing-template-arg-list-after-template-kw",
    "-DNDEBUG",
];

/// Flags of every call of `aiecc`. By default it would try one scheme of allocation after the
/// other, and let buffers overlap a stack that is too large.
const AIECC: [&str; 3] = ["--no-compile-host", "--alloc-scheme=basic-sequential", "--tmpdir=prj"];
/// Flags for an xclbin: cores compiled and linked by Peano.
const AIECC_XCLBIN: [&str; 4] =
    ["--no-xchesscc", "--no-xbridge", "--aie-generate-xclbin", "--xclbin-name=design.xclbin"];
/// Flags for streams, which need no compiled core.
const AIECC_STREAMS: [&str; 3] =
    ["--no-compile", "--aie-generate-npu-insts", "--npu-insts-name={1}.insts.bin"];

const SOURCE: &str = "gemm.cc";
const DESIGN: &str = "design.mlir";
const XCLBIN: &str = "design.xclbin";

/// The tools and what they say of their version.
#[derive(Debug)]
pub(super) struct Recipes<'a> {
    toolchain: &'a Toolchain,
    aiecc: String,
    clang: String,
    xclbinutil: String,
}

/// One runtime sequence of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) key: Key,
}

impl<'a> Recipes<'a> {
    /// Asks every tool for its version.
    pub(super) fn new(toolchain: &'a Toolchain, shop: &Workshop) -> Result<Self, CompileError> {
        Ok(Self {
            toolchain,
            aiecc: shop.version(&toolchain.aiecc)?,
            clang: shop.version(&toolchain.clang())?,
            xclbinutil: shop.version(&toolchain.xclbinutil)?,
        })
    }

    /// The AIE API comes with `aiecc`, so its version counts too.
    pub(super) fn object_key(&self, job: &Job<'_>) -> Key {
        let parts = [&self.clang, &self.aiecc, &*words(&self.kernel_flags(job)), job.kernel_source];
        Key::new("object", parts.map(str::as_bytes))
    }

    pub(super) fn object(&self, job: &Job<'_>, key: Key) -> Step<'static> {
        let mut arguments = self.kernel_flags(job);
        arguments.extend(["-c", SOURCE, "-o", KERNEL_OBJECT].map(OsString::from));
        Step {
            task: format!("compile the core kernel of {}", job.name),
            label: label(job.name, "kernel"),
            program: self.toolchain.clang(),
            arguments,
            inputs: vec![(SOURCE, job.kernel_source.into())],
            outputs: vec![Output { file: KERNEL_OBJECT.to_owned(), kind: Kind::Object, key }],
        }
    }

    pub(super) fn xclbin_key(&self, job: &Job<'_>, object: Key) -> Key {
        let flags = words(&os([&AIECC[..], &AIECC_XCLBIN].concat()));
        let parts = [&self.aiecc, &self.xclbinutil, &*flags, job.configuration];
        Key::new("xclbin", parts.map(str::as_bytes).into_iter().chain([object.bytes()]))
    }

    /// `threads` is how many cores of the array are compiled at the same time.
    pub(super) fn xclbin(
        &self,
        job: &Job<'_>,
        key: Key,
        object: Vec<u8>,
        threads: usize,
    ) -> Step<'static> {
        let mut arguments = os([&AIECC[..], &AIECC_XCLBIN].concat());
        let mut peano = OsString::from("--peano=");
        peano.push(&self.toolchain.peano);
        arguments.extend([peano, format!("-j{threads}").into(), DESIGN.into()]);
        Step {
            task: format!("make the xclbin of {}", job.name),
            label: label(job.name, "xclbin"),
            program: self.toolchain.aiecc.clone(),
            arguments,
            inputs: vec![(DESIGN, module(job, &[]).into()), (KERNEL_OBJECT, object)],
            outputs: vec![Output { file: XCLBIN.to_owned(), kind: Kind::Xclbin, key }],
        }
    }

    /// The core kernel does not count: a stream moves data and sets parameters.
    pub(super) fn stream_key(&self, job: &Job<'_>, name: &str, text: &str) -> Key {
        let flags = words(&os([&AIECC[..], &AIECC_STREAMS].concat()));
        let parts = [&self.aiecc, &*flags, job.configuration, name, text];
        Key::new("stream", parts.map(str::as_bytes))
    }

    /// One call for several sequences of the same configuration.
    pub(super) fn streams(&self, job: &Job<'_>, sequences: &[Sequence<'_>]) -> Step<'static> {
        let mut arguments = os([&AIECC[..], &AIECC_STREAMS].concat());
        arguments.push(DESIGN.into());
        let what = match sequences {
            [one] => format!("the stream {}", one.name),
            several => format!("{} streams", several.len()),
        };
        let outputs = sequences.iter().map(|sequence| Output {
            file: stream_file(sequence.name),
            kind: Kind::Stream,
            key: sequence.key,
        });
        Step {
            task: format!("make {what} of {}", job.name),
            label: label(job.name, "streams"),
            program: self.toolchain.aiecc.clone(),
            arguments,
            inputs: vec![(DESIGN, module(job, sequences).into())],
            outputs: outputs.collect(),
        }
    }

    fn kernel_flags(&self, job: &Job<'_>) -> Vec<OsString> {
        let mut flags = os(KERNEL);
        flags.push(format!("--target={}-none-unknown-elf", core_arch(job.device)).into());
        flags.push("-I".into());
        flags.push(self.toolchain.include.clone().into());
        flags
    }
}

/// Files of the cache.
pub(super) const OBJECT_FILE: &str = KERNEL_OBJECT;
/// See [`OBJECT_FILE`].
pub(super) const XCLBIN_FILE: &str = XCLBIN;

/// See [`OBJECT_FILE`].
pub(super) fn stream_file(sequence: &str) -> String {
    format!("{sequence}.insts.bin")
}

/// The module with these sequences only.
fn module(job: &Job<'_>, sequences: &[Sequence<'_>]) -> String {
    let sequences: String = sequences.iter().map(|sequence| sequence.text).collect();
    job.configuration.replacen(SEQUENCES_MARKER, &sequences, 1)
}

fn os<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    arguments.into_iter().map(OsString::from).collect()
}

/// Arguments as a part of a key; an argument contains no zero byte.
fn words(arguments: &[OsString]) -> String {
    arguments.join(OsStr::new("\0")).to_string_lossy().into_owned()
}
