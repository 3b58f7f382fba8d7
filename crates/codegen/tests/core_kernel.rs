//! The core kernels, compiled for the host, against references that share nothing with them.
//!
//! Every kernel that is listed at the end runs the same checks: its product against a naive one and
//! its epilogue against one in f64, both read through the layout that the plan gives to the DMA of a
//! core. `cargo test --test core_kernel -- --nocapture` prints the largest errors seen.

// The kernels are C++ functions of a shared library.
#![allow(unsafe_code)]
// Helpers of tests stand outside of them.
#![allow(clippy::unwrap_used)]

use std::ffi::c_void;
use std::fs;
use std::marker::PhantomData;
use std::ops::{AddAssign, Deref, DerefMut};
use std::path::Path;

use half::bf16;
use libloading::Library;
use tempfile::TempDir;
use tilewright_codegen::device::{self, Device, Epilogue, MicroTile, Precision, Tile, TileKind};
use tilewright_codegen::plan::array::Layout;
use tilewright_codegen::plan::limits;
use tilewright_codegen::render::kernel::{HOST_HEADERS, kernel};

// ---- A kernel in a shared library --------------------------------------------------------------

/// Elements aligned as the objects of a fifo are in the memory of a core.
struct Aligned<T> {
    lines: Vec<Line>,
    length: usize,
    element: PhantomData<T>,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Types of which every bit pattern is a value.
trait Plain: Copy {}
impl Plain for i8 {}
impl Plain for i32 {}
impl Plain for f32 {}
impl Plain for bf16 {}

impl<T: Plain> Aligned<T> {
    /// All bits set, which is NaN for floats: memory before anything was written to it.
    fn garbage(length: usize) -> Self {
        let lines = (length * size_of::<T>()).div_ceil(64);
        Self { lines: vec![Line([0xff; 64]); lines], length, element: PhantomData }
    }

    fn from(values: &[T]) -> Self {
        let mut aligned = Self::garbage(values.len());
        aligned.copy_from_slice(values);
        aligned
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least `length` elements, are aligned to 64 bytes and
        // initialised, and every bit pattern is a value of a plain type.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

type Matmul = unsafe extern "C" fn(*const c_void, *const c_void, *mut c_void, i32);
type ScaledEpilogue =
    unsafe extern "C" fn(*const c_void, *const c_void, *const c_void, *mut bf16, i32);
type PlainEpilogue = unsafe extern "C" fn(*const c_void, *const c_void, *mut bf16, i32);

/// A kernel that was compiled for the host.
struct Kernel {
    layout: Layout,
    library: Library,
    _directory: TempDir,
}

impl Kernel {
    fn new(layout: Layout) -> Self {
        Self::compile(layout, &kernel(&layout).unwrap(), &[])
    }

    fn compile(layout: Layout, source: &str, macros: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (path, text) in HOST_HEADERS {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (file, library) = (root.join("gemm.cc"), root.join("gemm.so"));
        fs::write(&file, source).unwrap();
        run_compiler(root, &file, &library, macros);
        // SAFETY: the library was just made from a kernel, which has no initialisers.
        let library = unsafe { Library::new(&library) }.unwrap();
        Self { layout, library, _directory: directory }
    }

    /// `sums = a × b`, or `sums += a × b` from the second K tile on.
    fn matmul<T, S>(&self, a: &Aligned<T>, b: &Aligned<T>, sums: &mut Aligned<S>, k_tile: usize)
    where
        T: Plain,
        S: Plain,
    {
        assert_eq!(a.len(), self.layout.a_elements());
        assert_eq!(b.len(), self.layout.b_elements());
        assert_eq!(sums.len(), self.layout.c_elements());
        let name = self.layout.symbols().matmul;
        let (a, b, sums) = (a.as_ptr().cast(), b.as_ptr().cast(), sums.as_mut_ptr().cast());
        // SAFETY: the symbol has this type, and the buffers are as long as the kernel takes them.
        unsafe {
            let function = self.library.get::<Matmul>(name.as_bytes()).unwrap();
            function(a, b, sums, i32::try_from(k_tile).unwrap());
        }
    }

    /// The results for row-major sums, row-major too.
    fn epilogue<S>(&self, sums: &[S], parameters: &Parameters, epilogue: Epilogue) -> Vec<bf16>
    where
        S: Plain,
    {
        let layout = &self.layout;
        assert_eq!(sums.len(), layout.c_elements());
        let sums = micro_tiles(sums, layout.tile.n, layout.micro.r, layout.micro.t);
        let mut c = Aligned::garbage(layout.c_elements());
        let (a, b) = parameters.tiles(layout);
        let name = layout.symbols().epilogue;
        let (sums, a, b) = (sums.as_ptr().cast(), a.as_ptr().cast(), b.as_ptr().cast());
        // SAFETY: the symbol has the type of its precision, and the buffers are as long as the
        // kernel takes them and outlive the call.
        unsafe {
            if layout.a_has_parameters() {
                let function = self.library.get::<ScaledEpilogue>(name.as_bytes()).unwrap();
                function(sums, a, b, c.as_mut_ptr(), epilogue.code());
            } else {
                let function = self.library.get::<PlainEpilogue>(name.as_bytes()).unwrap();
                function(sums, b, c.as_mut_ptr(), epilogue.code());
            }
        }
        untile(layout, &c)
    }
}

fn run_compiler(include: &Path, source: &Path, library: &Path, macros: &[&str]) {
    let system = match std::env::consts::OS {
        "macos" => "apple-darwin",
        "windows" => "pc-windows-gnu",
        _ => "unknown-linux-gnu",
    };
    let host = format!("{}-{system}", std::env::consts::ARCH);
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").host(&host).target(&host).opt_level(2).pic(true);
    build.cargo_metadata(false).warnings(true).extra_warnings(true).warnings_into_errors(true);
    build.flag("-Wno-psabi").include(include).out_dir(include);
    for name in ["AIE_EMULATION_CHECKS"].iter().chain(macros) {
        build.define(name, None);
    }
    let mut command = build.get_compiler().to_command();
    command.arg("-shared").arg(source).arg("-o").arg(library);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

// ---- Layouts -----------------------------------------------------------------------------------

/// A row-major matrix of `width` columns in micro-tiles of `height` × `breadth`.
fn micro_tiles<T: Plain>(matrix: &[T], width: usize, height: usize, breadth: usize) -> Aligned<T> {
    let mut tiled = Vec::with_capacity(matrix.len());
    for top in (0..matrix.len() / width).step_by(height) {
        for left in (0..width).step_by(breadth) {
            for row in top..top + height {
                tiled.extend_from_slice(&matrix[row * width + left..][..breadth]);
            }
        }
    }
    Aligned::from(&tiled)
}

/// What leaves a core through the dimensions that the plan gives to its DMA.
fn untile<T: Plain>(layout: &Layout, object: &[T]) -> Vec<T> {
    let fifos = layout.array().fifos;
    let fifo = fifos.iter().find(|fifo| !fifo.to_stream.is_empty()).unwrap();
    let mut offsets = vec![0];
    for dimension in &fifo.to_stream {
        let steps = |&base: &usize| (0..dimension.size).map(move |i| base + i * dimension.stride);
        offsets = offsets.iter().flat_map(steps).collect();
    }
    assert_eq!(offsets.len(), object.len());
    offsets.into_iter().map(|offset| object[offset]).collect()
}

/// Scales and biases of one output tile; without scales they are 1.
struct Parameters {
    rows: Vec<f32>,
    columns: Vec<f32>,
    biases: Vec<f32>,
}

impl Parameters {
    fn new(
        layout: &Layout,
        mut row: impl FnMut() -> f32,
        mut column: impl FnMut() -> f32,
        mut bias: impl FnMut() -> f32,
    ) -> Self {
        let Tile { m, n, .. } = layout.tile;
        let scaled = layout.a_has_parameters();
        Self {
            rows: (0..m).map(|_| if scaled { row() } else { 1.0 }).collect(),
            columns: (0..n).map(|_| if scaled { column() } else { 1.0 }).collect(),
            biases: (0..n).map(|_| bias()).collect(),
        }
    }

    /// No scales and no biases.
    fn neutral(layout: &Layout) -> Self {
        Self::new(layout, || 1.0, || 1.0, || 0.0)
    }

    /// The tiles that carry them, with garbage behind.
    fn tiles(&self, layout: &Layout) -> (Aligned<i8>, Aligned<i8>) {
        let bytes = layout.precision.bytes();
        let mut a = Aligned::garbage(layout.a_elements() * bytes);
        let mut b = Aligned::garbage(layout.b_elements() * bytes);
        let write = |tile: &mut Aligned<i8>, values: &[&[f32]]| {
            let bytes = values.concat().into_iter().flat_map(f32::to_ne_bytes);
            tile.iter_mut().zip(bytes).for_each(|(to, from)| *to = from.cast_signed());
        };
        if layout.a_has_parameters() {
            write(&mut a, &[&self.rows]);
            write(&mut b, &[&self.columns, &self.biases]);
        } else {
            write(&mut b, &[&self.biases]);
        }
        (a, b)
    }
}

// ---- Numbers -----------------------------------------------------------------------------------

/// xorshift64*, so that a failure comes back.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 24
    }

    /// Uniform in −1 to 1.
    fn unit(&mut self) -> f32 {
        (self.bits() & 0xff_ffff) as f32 / 8_388_608.0 - 1.0
    }

    /// Uniform in −127 to 127.
    fn quantised(&mut self) -> i8 {
        ((self.bits() % 255) as i32 - 127) as i8
    }
}

/// The exact GELU.
fn gelu(x: f64) -> f64 {
    x * 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Smallest normal f32 and bf16. What is smaller may come out as anything as small.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Distance of a result to an interval, in units of the last place of a bf16 there.
fn ulps(got: bf16, low: f64, high: f64) -> f64 {
    let got = got.to_f64();
    let (largest, smallest) = (low.abs().max(high.abs()), low.abs().min(high.abs()));
    // Above the largest number, infinity is as right as that number.
    if largest >= bf16::MAX.to_f64() && got.abs() >= bf16::MAX.to_f64() {
        return if got.is_sign_negative() == (low < 0.0) { 0.0 } else { f64::INFINITY };
    }
    if got.is_nan() {
        return f64::INFINITY;
    }
    if largest < TINY && got.abs() <= TINY {
        return 0.0;
    }
    let unit = 2f64.powi(smallest.max(TINY).log2().floor() as i32 - 7);
    (low - got).max(got - high).max(0.0) / unit
}

/// Largest error of an epilogue, in units of bf16, against f64.
///
/// What the epilogue narrows or activates may be off by what float arithmetic costs on scales and
/// biases of that size, which shows only where a bias cancels or in the tail of GELU.
fn worst_ulps<S>(kernel: &Kernel, sums: &[S], parameters: &Parameters, epilogue: Epilogue) -> f64
where
    S: Plain + Into<f64>,
{
    let n = kernel.layout.tile.n;
    let results = kernel.epilogue(sums, parameters, epilogue);
    let mut worst = 0.0f64;
    for (index, (&sum, &got)) in sums.iter().zip(&results).enumerate() {
        let (row, column) = (index / n, index % n);
        let scale = f64::from(parameters.rows[row]) * f64::from(parameters.columns[column]);
        let product: f64 = sum.into() * scale;
        let has_bias = epilogue != Epilogue::None;
        let bias = if has_bias { f64::from(parameters.biases[column]) } else { 0.0 };
        let exact = product + bias;
        let slack = match (kernel.layout.precision, epilogue) {
            (Precision::I8, Epilogue::BiasGelu) => (product.abs() + bias.abs()) * 2f64.powi(-22),
            (Precision::I8, _) => product.abs() * 2f64.powi(-15) + bias.abs() * 2f64.powi(-23),
            (Precision::Bf16, _) => exact.abs() * 2f64.powi(-23),
        };
        let activate = |x: f64| if epilogue == Epilogue::BiasGelu { gelu(x) } else { x };
        let values = [exact - slack, exact, exact + slack].map(activate);
        let low = values.into_iter().fold(f64::INFINITY, f64::min);
        let high = values.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let error = ulps(got, low, high);
        let what = epilogue.name();
        assert!(
            error <= 1.0,
            "{what} of {product} + {bias} is {got} and not {low} to {high}: {error} ulp"
        );
        worst = worst.max(error);
    }
    worst
}

fn report(layout: &Layout, epilogue: Epilogue, worst: f64) {
    let name = epilogue.name();
    let Layout { device, precision, tile, .. } = layout;
    eprintln!("{device} {precision} {tile} {name}: {worst:.3} ulp");
}

// ---- The product -------------------------------------------------------------------------------

/// Row-major m × k times k × n.
fn naive<T, S>(a: &[T], b: &[T], k: usize, n: usize, product: impl Fn(T, T) -> S) -> Vec<S>
where
    T: Copy,
    S: Copy + AddAssign + Default,
{
    let mut c = vec![S::default(); a.len() / k * n];
    for (sums, a) in c.chunks_mut(n).zip(a.chunks(k)) {
        for (&x, b) in a.iter().zip(b.chunks(n)) {
            sums.iter_mut().zip(b).for_each(|(sum, &y)| *sum += product(x, y));
        }
    }
    c
}

fn check_i8_product(kernel: &Kernel) {
    let Tile { m, k, n } = kernel.layout.tile;
    let mut random = Random(1);
    let mut quantised = |count| -> Vec<i8> { (0..count).map(|_| random.quantised()).collect() };
    let pairs: Vec<_> = (0..3).map(|_| (quantised(m * k), quantised(k * n))).collect();
    exact_product(kernel, &pairs, 1);

    // The largest sums that there are.
    let deepest = 8192 / k;
    let all = |a: i8, b: i8| (vec![a; m * k], vec![b; k * n]);
    for pair in [all(127, 127), all(-127, -127), all(-127, 127)] {
        exact_product(kernel, &[pair], deepest);
    }
    let alternate = |count| (0..count).map(|i| [127, -127, 0][i % 3]).collect::<Vec<i8>>();
    exact_product(kernel, &[(alternate(m * k), alternate(k * n))], 3);
    exact_product(kernel, &[all(i8::MIN, i8::MIN), all(i8::MIN, 127)], 1);
}

/// Bit for bit, over the pairs of tiles `times` times.
fn exact_product(kernel: &Kernel, pairs: &[(Vec<i8>, Vec<i8>)], times: usize) {
    let Layout { tile: Tile { m, k, n }, micro: MicroTile { r, s, t }, .. } = kernel.layout;
    let mut expected = vec![0i32; m * n];
    let mut tiles = Vec::new();
    for (a, b) in pairs {
        let product = naive(a, b, k, n, |x, y| i32::from(x) * i32::from(y));
        expected.iter_mut().zip(product).for_each(|(sum, x)| *sum += x * times as i32);
        tiles.push((micro_tiles(a, k, r, s), micro_tiles(b, n, s, t)));
    }
    let mut sums = Aligned::<i32>::garbage(m * n);
    for (k_tile, (a, b)) in (0..times).flat_map(|_| &tiles).enumerate() {
        kernel.matmul(a, b, &mut sums, k_tile);
    }
    assert!(untile(&kernel.layout, &sums) == expected, "{}, {times} times", kernel.layout.tile);
}

/// Products of bf16 are exact in f32, and each of the K additions rounds once.
fn check_bf16_product(kernel: &Kernel) {
    let Layout { tile: Tile { m, k, n }, micro: MicroTile { r, s, t }, .. } = kernel.layout;
    let mut random = Random(2);
    let mut values = |count| -> Vec<bf16> {
        let mut value = || random.unit() * 2f32.powi((random.bits() % 16) as i32);
        (0..count).map(|_| bf16::from_f32(value())).collect()
    };
    let mut sums = Aligned::<f32>::garbage(m * n);
    let (mut expected, mut magnitudes) = (vec![0.0f64; m * n], vec![0.0f64; m * n]);
    let k_tiles = 3;
    for k_tile in 0..k_tiles {
        let (a, b) = (values(m * k), values(k * n));
        kernel.matmul(&micro_tiles(&a, k, r, s), &micro_tiles(&b, n, s, t), &mut sums, k_tile);
        let product = naive(&a, &b, k, n, |x, y| x.to_f64() * y.to_f64());
        expected.iter_mut().zip(product).for_each(|(sum, x)| *sum += x);
        let magnitude = naive(&a, &b, k, n, |x, y| (x.to_f64() * y.to_f64()).abs());
        magnitudes.iter_mut().zip(magnitude).for_each(|(sum, x)| *sum += x);
    }
    let bound = (k_tiles * k) as f64 * 2f64.powi(-24);
    let got = untile(&kernel.layout, &sums);
    for ((&got, expected), magnitude) in got.iter().zip(expected).zip(magnitudes) {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= bound * magnitude, "{}: {got}, not {expected}", kernel.layout.tile);
    }
}

// ---- The epilogue ------------------------------------------------------------------------------

fn check_i8_epilogue(kernel: &Kernel) {
    for epilogue in Epilogue::ALL {
        let worst = random_i8_epilogue(kernel, epilogue).max(extreme_epilogue(kernel, epilogue));
        report(&kernel.layout, epilogue, worst);
    }
}

/// Sums as small and as large as they come, with scales that take them to where GELU bends and
/// ends, without a bias, with one, and with one that cancels what it can.
fn random_i8_epilogue(kernel: &Kernel, epilogue: Epilogue) -> f64 {
    let layout = &kernel.layout;
    let mut random = Random(3);
    let mut worst = 0.0f64;
    for largest in [40.0, 3000.0, 100_000.0, 132_128_768.0] {
        for bias in [0.0, 1.0, -7.0] {
            for _ in 0..2 {
                let mut sum = || (random.unit() * largest) as i32;
                let sums: Vec<i32> = (0..layout.c_elements()).map(|_| sum()).collect();
                let rows: Vec<f32> = (0..layout.tile.m).map(|_| 1.1 + random.unit()).collect();
                let mut rows = rows.into_iter();
                let mut other = Random(largest as u64);
                let parameters = Parameters::new(
                    layout,
                    || rows.next().unwrap() * 0.01,
                    || 700.0 / largest * (1.2 + random.unit()),
                    || if bias == 1.0 { other.unit() } else { bias },
                );
                worst = worst.max(worst_ulps(kernel, &sums, &parameters, epilogue));
            }
        }
    }
    worst
}

fn extreme_epilogue(kernel: &Kernel, epilogue: Epilogue) -> f64 {
    let layout = &kernel.layout;
    let deepest = 8192 * 127 * 127;
    let highest = 0x7fff_7fff;
    let extremes = [0, 1, -1, 127, 16_777_217, -16_777_217, deepest, -deepest, highest, i32::MIN];
    let sums: Vec<i32> = extremes.into_iter().cycle().take(layout.c_elements()).collect();
    let scales = [1.0, 1e-9, 1e-19, 1e10, 1e28];
    let worst = scales.map(|scale| {
        let parameters = Parameters::new(layout, || scale, || 0.3, || -0.1);
        worst_ulps(kernel, &sums, &parameters, epilogue)
    });
    worst.into_iter().fold(0.0, f64::max)
}

fn check_bf16_epilogue(kernel: &Kernel) {
    let layout = &kernel.layout;
    let mut random = Random(4);
    for epilogue in Epilogue::ALL {
        let mut worst = 0.0f64;
        for bias in [0.0, 3.0, 1e-3, 1e6] {
            let parameters = Parameters::new(layout, || 1.0, || 1.0, || random.unit() * bias);
            let sums: Vec<f32> = (0..layout.c_elements()).map(|_| random.unit() * 15.0).collect();
            worst = worst.max(worst_ulps(kernel, &sums, &parameters, epilogue));
        }
        report(layout, epilogue, worst);
    }
}

fn cube(device: Device, precision: Precision) -> Layout {
    Layout::new(device, precision, Tile { m: 64, k: 64, n: 64 })
}

/// All bf16 numbers, a fine grid from −40 to 40, and a finer one where results underflow.
fn sweep() -> Vec<f32> {
    let all = (0..=u16::MAX).map(|bits| bf16::from_bits(bits).to_f32());
    let grid = (-600_000..=600_000).map(|i| i as f32 * (40.0 / 600_000.0));
    let tail = (0..100_000).map(|i| -12.5 - i as f32 / 80_000.0);
    all.filter(|x| x.is_finite()).chain(grid).chain(tail).collect()
}

fn worst_of_sweep(kernel: &Kernel, epilogue: Epilogue) -> f64 {
    let parameters = Parameters::neutral(&kernel.layout);
    let mut inputs = sweep();
    let count = kernel.layout.c_elements();
    inputs.resize(inputs.len().next_multiple_of(count), 0.0);
    let worst = |sums: &[f32]| worst_ulps(kernel, sums, &parameters, epilogue);
    inputs.chunks(count).map(worst).fold(0.0, f64::max)
}

#[test]
fn gelu_is_within_0_7_ulp_everywhere() {
    for device in Device::ALL {
        let kernel = Kernel::new(cube(device, Precision::Bf16));
        let worst = worst_of_sweep(&kernel, Epilogue::BiasGelu);
        eprintln!("{device} sweep of GELU: {worst:.3} ulp");
        assert!(worst <= 0.7, "{device}: {worst}");
        check_ends_of_gelu(&kernel);
    }
}

fn check_ends_of_gelu(kernel: &Kernel) {
    let ends = [
        (f32::INFINITY, f32::INFINITY),
        (f32::NEG_INFINITY, 0.0),
        (f32::MAX, f32::INFINITY),
        (3e38, 3e38),
        (-3e38, 0.0),
        (-14.0, 0.0),
        (0.0, 0.0),
        (-0.0, 0.0),
    ];
    let cases: Vec<_> = ends.iter().cycle().take(kernel.layout.c_elements()).collect();
    let sums: Vec<f32> = cases.iter().map(|case| case.0).collect();
    let neutral = Parameters::neutral(&kernel.layout);
    let results = kernel.epilogue(&sums, &neutral, Epilogue::BiasGelu);
    for (got, (sum, expected)) in results.iter().zip(cases) {
        assert_eq!(*got, bf16::from_f32(*expected), "GELU of {sum}");
    }
}

/// A core may round float sums otherwise than the host does, to nearest.
#[test]
fn accuracy_survives_sloppier_float_additions() {
    for (device, precision) in [(Device::Npu1, Precision::I8), (Device::Npu2, Precision::Bf16)] {
        let layout = cube(device, precision);
        let kernel = Kernel::compile(layout, &kernel(&layout).unwrap(), &["AIE_EMULATION_NOISE"]);
        if precision == Precision::Bf16 {
            assert!(worst_of_sweep(&kernel, Epilogue::BiasGelu) <= 0.7);
        }
        for epilogue in [Epilogue::None, Epilogue::Bias] {
            match precision {
                Precision::I8 => drop(random_i8_epilogue(&kernel, epilogue)),
                Precision::Bf16 => drop(worst_of_sweep(&kernel, epilogue)),
            }
        }
    }
}

// ---- Rounding ----------------------------------------------------------------------------------

/// How many of a tile of ties, half of them between an odd number and the even one above it, do not
/// go to even.
fn ties_not_to_even(kernel: &Kernel) -> usize {
    let layout = &kernel.layout;
    let tie = |i: usize| (1.0 + (i % 128) as f32 / 128.0 + 1.0 / 256.0) * [1.0, -1.0][i / 128 % 2];
    let sums: Vec<f32> = (0..layout.c_elements()).map(tie).collect();
    let results = kernel.epilogue(&sums, &Parameters::neutral(layout), Epilogue::None);
    results.iter().zip(&sums).filter(|(got, sum)| **got != bf16::from_f32(**sum)).count()
}

const ROUNDING: &str = "aie::set_rounding(aie::rounding_mode::conv_even);";

#[test]
fn ties_go_to_even_and_would_not_without_the_rounding_mode() {
    let layout = cube(Device::Npu1, Precision::Bf16);
    assert_eq!(ties_not_to_even(&Kernel::new(layout)), 0);
    let source = kernel(&layout).unwrap();
    let truncating = Kernel::compile(layout, &source.replace(ROUNDING, ""), &[]);
    assert_eq!(ties_not_to_even(&truncating), layout.c_elements() / 2);
}

#[test]
fn every_kernel_sets_the_rounding_mode() {
    for device in Device::ALL {
        for precision in Precision::ALL {
            let source = kernel(&cube(device, precision)).unwrap();
            assert_eq!(source.matches(ROUNDING).count(), 1, "{device} {precision}");
        }
    }
}

// ---- The kernels -------------------------------------------------------------------------------

fn fits(layout: &Layout) -> bool {
    limits::check_layout(layout).is_empty()
        && layout.core_bytes() <= device::limits(TileKind::Core).memory
}

/// The tile with the most products in a call that fits into a core.
fn largest(device: Device, precision: Precision) -> Tile {
    let sides = || (16..=160).step_by(16);
    let planes = sides().flat_map(|m| sides().map(move |n| (m, n)));
    let tiles = planes.flat_map(|(m, n)| sides().map(move |k| Tile { m, k, n }));
    let legal = tiles.filter(|&tile| fits(&Layout::new(device, precision, tile)));
    legal.max_by_key(|tile| tile.m * tile.k * tile.n).unwrap()
}

/// What every kernel has to pass.
fn check(device: Device, precision: Precision, tile: Tile) {
    let layout = Layout::new(device, precision, tile);
    assert!(fits(&layout), "{tile}: {:?}", limits::check_layout(&layout));
    let kernel = Kernel::new(layout);
    match precision {
        Precision::I8 => {
            check_i8_product(&kernel);
            check_i8_epilogue(&kernel);
        }
        Precision::Bf16 => {
            check_bf16_product(&kernel);
            check_bf16_epilogue(&kernel);
        }
    }
}

/// Checks for kernels of one device and precision, by m, k and n.
macro_rules! kernels {
    ($target:ident, $device:expr, $precision:expr,
     $($name:ident: $m:literal, $k:literal, $n:literal;)*) => {
        mod $target {
            use super::*;
            $(
                #[test]
                fn $name() {
                    check($device, $precision, Tile { m: $m, k: $k, n: $n });
                }
            )*
            #[test]
            fn largest() {
                check($device, $precision, super::largest($device, $precision));
            }
        }
    };
}

kernels! { npu1_i8, Device::Npu1, Precision::I8,
    smallest: 8, 8, 16;
    cube: 64, 64, 64;
    odd: 24, 40, 48;
    flat: 8, 16, 400;
}
kernels! { npu1_bf16, Device::Npu1, Precision::Bf16,
    smallest: 8, 8, 8;
    cube: 64, 64, 64;
    odd: 24, 40, 56;
}
kernels! { npu2_i8, Device::Npu2, Precision::I8,
    smallest: 16, 8, 16;
    cube: 64, 64, 64;
    odd: 48, 40, 80;
    tall: 272, 8, 16;
}
kernels! { npu2_bf16, Device::Npu2, Precision::Bf16,
    smallest: 8, 8, 16;
    cube: 64, 64, 64;
    odd: 24, 40, 48;
}
