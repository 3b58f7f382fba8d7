//! The core kernel of Tilewright's own designs, with the cycles of codegen's cost model.

use std::path::Path;
use std::sync::Arc;

use tilewright_codegen::device::{Device, Epilogue, Precision, Tile};
use tilewright_codegen::plan::array::{Layout, Symbols};
use tilewright_codegen::plan::cost::{epilogue_cycles, matmul_cycles};
use tilewright_codegen::render::RenderError;
use tilewright_codegen::render::kernel::{HOST_HEADERS, kernel};

use super::{
    Access, Behaviour, Cycles, Declaration, Functions, Library, LibraryError, Parameter, Sources,
};

/// Why the core kernel of a layout could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GemmError {
    /// It could not be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// It could not be compiled.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// A source is not that of the layout.
    #[error("the core kernel has no function `{symbol}`, which tile {tile} needs")]
    Missing {
        /// The function.
        symbol: String,
        /// The layout's tile.
        tile: Tile,
    },
}

/// The core functions of a layout, compiled for the host. `source` is the text of its `gemm.cc`;
/// without, it is rendered.
///
/// # Errors
/// When it cannot be rendered or compiled, or is not that of the layout.
pub fn gemm(
    layout: &Layout,
    source: Option<&str>,
    cache: Option<&Path>,
) -> Result<Functions, GemmError> {
    let mut sources = Sources::new();
    match source {
        Some(text) => sources.file("gemm.cc", text),
        None => sources.file("gemm.cc", kernel(layout)?),
    };
    for (path, text) in HOST_HEADERS {
        sources.header(*path, *text);
    }
    let library = Library::compile(&sources, &declarations(layout), cache)?;
    let Symbols { matmul, epilogue } = layout.symbols();
    let mut functions = Functions::new();
    for (symbol, behaviour) in [(matmul, of_matmul(layout)), (epilogue, of_epilogue(layout))] {
        let function = library.function(&symbol, behaviour);
        let missing = || GemmError::Missing { symbol: symbol.clone(), tile: layout.tile };
        functions.register(symbol.clone(), function.ok_or_else(missing)?);
    }
    Ok(functions)
}

/// The layout whose matmul has this symbol: `matmul_npu1_i8_96x64x64`.
pub fn gemm_layout(symbol: &str) -> Option<Layout> {
    let mut words = symbol.strip_prefix("matmul_")?.split('_');
    let (device, precision, tile) = (words.next()?, words.next()?, words.next()?);
    let device = Device::ALL.into_iter().find(|one| one.name() == device)?;
    let precision = Precision::ALL.into_iter().find(|one| one.name() == precision)?;
    let mut sides = tile.split('x').map(|side| side.parse().ok().filter(|&side| side <= 1 << 16));
    let mut side = || sides.next().flatten();
    let tile = Tile { m: side()?, k: side()?, n: side()? };
    let layout = Layout::new(device, precision, tile);
    (layout.symbols().matmul == symbol).then_some(layout)
}

/// What [`Layout::array`] declares in MLIR.
fn declarations(layout: &Layout) -> [Declaration; 2] {
    let Symbols { matmul, epilogue } = layout.symbols();
    let buffer = |elements: usize, bytes: usize| Parameter::Buffer {
        bytes: elements * bytes,
        alignment: bytes,
    };
    let input = layout.precision.bytes();
    let a = buffer(layout.a_elements(), input);
    let b = buffer(layout.b_elements(), input);
    let sums = buffer(layout.c_elements(), 4);
    let c = buffer(layout.c_elements(), 2);
    let number = Parameter::Integer { bits: 32, unsigned: false };
    let mut of_epilogue = vec![sums];
    of_epilogue.extend(layout.a_has_parameters().then_some(a));
    of_epilogue.extend([b, c, number]);
    [
        Declaration { symbol: matmul, parameters: vec![a, b, sums, number], result: None },
        Declaration { symbol: epilogue, parameters: of_epilogue, result: None },
    ]
}

/// The same for every K tile: the model does not tell the first from the others.
fn of_matmul(layout: &Layout) -> Behaviour {
    let cycles = matmul_cycles(layout).round() as u64;
    Behaviour {
        cycles: Some(Arc::new(move |_| cycles)),
        // A, B, sums: those of K tile 0 are written and not read.
        access: vec![Access::Read, Access::Read, Access::Update],
    }
}

/// By the epilogue, the last integer.
fn of_epilogue(layout: &Layout) -> Behaviour {
    let cycles = Epilogue::ALL.map(|epilogue| epilogue_cycles(layout, epilogue).round() as u64);
    let cycles: Cycles = Arc::new(move |integers| {
        let code = integers.last().and_then(|&code| usize::try_from(code).ok());
        // The kernel takes every other code for the last.
        code.and_then(|code| cycles.get(code)).or(cycles.last()).copied().unwrap_or_default()
    });
    // Sums, parameters of A where it has some, parameters of B, C.
    let inputs = if layout.a_has_parameters() { 3 } else { 2 };
    let access = [vec![Access::Read; inputs], vec![Access::Write]].concat();
    Behaviour { cycles: Some(cycles), access }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{Argument, Scalar};

    fn layouts() -> impl Iterator<Item = Layout> {
        let tile = Tile { m: 32, k: 64, n: 64 };
        Device::ALL.into_iter().flat_map(move |device| {
            Precision::ALL.map(move |precision| Layout::new(device, precision, tile))
        })
    }

    /// Zeros on a multiple of 64.
    struct Lines {
        bytes: Vec<u8>,
        length: usize,
    }

    impl Lines {
        fn new(length: usize) -> Self {
            Self { bytes: vec![0; length + 64], length }
        }

        fn bytes(&mut self) -> &mut [u8] {
            let start = self.bytes.as_ptr().align_offset(64);
            &mut self.bytes[start..start + self.length]
        }
    }

    #[test]
    fn a_layout_is_known_by_its_symbol() {
        for layout in layouts() {
            assert_eq!(gemm_layout(&layout.symbols().matmul), Some(layout));
        }
        for wrong in ["matmul_npu1_i8_96x64", "matmul_npu3_i8_8x8x8", "matmul_npu1_i8_1x2x3x4", ""]
        {
            assert_eq!(gemm_layout(wrong), None, "{wrong}");
        }
    }

    /// A matmul and its epilogue, called by the signatures that the design declares.
    #[test]
    fn every_kernel_compiles_and_counts_its_cycles() {
        let folder = tempfile::tempdir().unwrap();
        for layout in layouts() {
            let functions = gemm(&layout, None, Some(folder.path())).unwrap();
            let Symbols { matmul, epilogue } = layout.symbols();
            let mut a = Lines::new(layout.a_elements() * layout.precision.bytes());
            let mut b = Lines::new(layout.b_elements() * layout.precision.bytes());
            let mut sums = Lines::new(layout.c_elements() * 4);
            let mut c = Lines::new(layout.c_elements() * 2);
            let number = |value| Argument::Scalar(Scalar::Integer(value));
            let mut arguments = [
                Argument::Buffer(a.bytes()),
                Argument::Buffer(b.bytes()),
                Argument::Buffer(sums.bytes()),
                number(0),
            ];
            let returned = functions.get(&matmul).unwrap().call(&mut arguments).unwrap();
            assert_eq!(returned.cycles, matmul_cycles(&layout).round() as u64);
            let mut arguments = vec![Argument::Buffer(sums.bytes())];
            arguments.extend(layout.a_has_parameters().then(|| Argument::Buffer(a.bytes())));
            arguments.extend([
                Argument::Buffer(b.bytes()),
                Argument::Buffer(c.bytes()),
                number(i64::from(Epilogue::BiasGelu.code())),
            ]);
            let returned = functions.get(&epilogue).unwrap().call(&mut arguments).unwrap();
            let expected = epilogue_cycles(&layout, Epilogue::BiasGelu).round() as u64;
            assert_eq!(returned.cycles, expected);
        }
    }

    /// `cargo test --release -p tilewright-sim rate -- --ignored --nocapture`
    #[test]
    #[ignore = "measures"]
    fn rate_of_the_kernels_on_this_machine() {
        let number = |value| Argument::Scalar(Scalar::Integer(value));
        for (device, precision, (m, k, n)) in [
            (Device::Npu1, Precision::I8, (96, 64, 64)),
            (Device::Npu1, Precision::Bf16, (64, 64, 64)),
            (Device::Npu2, Precision::I8, (64, 64, 64)),
            (Device::Npu2, Precision::Bf16, (64, 64, 64)),
        ] {
            let layout = Layout::new(device, precision, Tile { m, k, n });
            let functions = gemm(&layout, None, None).unwrap();
            let symbols = layout.symbols();
            let mut a = Lines::new(layout.a_elements() * precision.bytes());
            let mut b = Lines::new(layout.b_elements() * precision.bytes());
            let mut sums = Lines::new(layout.c_elements() * 4);
            let mut c = Lines::new(layout.c_elements() * 2);
            let mut time = |symbol: &str, calls: u32, last: i64| {
                let function = functions.get(symbol).unwrap();
                let start = std::time::Instant::now();
                for _ in 0..calls {
                    let is_matmul = symbol == symbols.matmul;
                    let mut arguments = Vec::new();
                    if is_matmul {
                        arguments.push(Argument::Buffer(a.bytes()));
                        arguments.push(Argument::Buffer(b.bytes()));
                        arguments.push(Argument::Buffer(sums.bytes()));
                    } else {
                        arguments.push(Argument::Buffer(sums.bytes()));
                        if layout.a_has_parameters() {
                            arguments.push(Argument::Buffer(a.bytes()));
                        }
                        arguments.push(Argument::Buffer(b.bytes()));
                        arguments.push(Argument::Buffer(c.bytes()));
                    }
                    arguments.push(number(last));
                    function.call(&mut arguments).unwrap();
                }
                start.elapsed().as_secs_f64() / f64::from(calls)
            };
            let matmul = time(&symbols.matmul, 2000, 1);
            let epilogue = [0, 1, 2].map(|code| time(&symbols.epilogue, 200, code) * 1e6);
            eprintln!(
                "{device} {precision} {m}×{k}×{n}: {:.2} GMAC/s, epilogues {epilogue:.1?} µs",
                (m * k * n) as f64 / matmul * 1e-9
            );
        }
    }
}
