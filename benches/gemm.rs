//! The matmuls of the compiled model's longest window on one core, as a share of what the core can
//! do, measured in the same run.
//!
//! `cargo bench --bench gemm` prints a table; a word after `--` takes only lines that have it
//! (`-- amx`). Times are processor time of the thread, the shortest of many rounds, in which peaks and
//! matmuls take turns, so that other work on the machine counts as little as it can.
#![allow(missing_docs)]
#![allow(unsafe_code, reason = "peaks are loops of single instructions")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tilewright::backend::cpu::{
    Attention, Cpu, CpuError, Isa, LayerNorm, Numeric, Output, Prepared, Scaling, Workspace,
};
use tilewright::kernels::whisper_base::AUDIO_CTX;
use tilewright::kernels::whisper_base::npu2_i8::{AttnOut, AttnQkv, FfnDown, FfnUp};
use tilewright_kernel::Kernel;

const LENGTH: usize = AUDIO_CTX[0];
const I8: Numeric = Numeric::I8 { activations: Scaling::PerRow };
const ROUNDS: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| -> Result<(), CpuError> {
        println!("one core, base, {LENGTH} rows; GMAC/s");
        println!("{:10} {:5} {:32} {:>8} {:>8} {:>7}", "isa", "", "", "reached", "peak", "");
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (name, numeric) in [("i8", I8), ("bf16", Numeric::Bf16)] {
                if isa.name().contains(&filter) || name == filter {
                    measure(isa, name, numeric)?;
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Something that takes time, and its multiply-adds.
struct Job<'a> {
    name: String,
    products: f64,
    run: Box<dyn FnMut() -> Result<(), CpuError> + 'a>,
    best: f64,
}

impl<'a> Job<'a> {
    fn new(
        name: impl Into<String>,
        products: usize,
        run: impl FnMut() -> Result<(), CpuError> + 'a,
    ) -> Self {
        let (name, products) = (name.into(), products as f64);
        Self { name, products, run: Box::new(run), best: f64::INFINITY }
    }

    fn rate(&self) -> f64 {
        self.products / self.best / 1e9
    }
}

/// Numbers of −1..1 without a pattern.
fn noise(length: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(next).collect()
}

fn weights<K: Kernel>(cpu: Cpu, numeric: Numeric) -> Result<Prepared<K>, CpuError> {
    let shape = K::INFO.shape;
    // So that results are of the size of the inputs.
    let scaled = noise(shape.n * shape.k).iter().map(|x| x / (shape.k as f32).sqrt()).collect();
    let scaled: Vec<f32> = scaled;
    cpu.prepare(numeric, &scaled, Some(&noise(shape.n)))
}

fn matmul<'a, K: Kernel + 'a>(
    cpu: Cpu,
    numeric: Numeric,
    output: Output,
) -> Result<Job<'a>, CpuError> {
    let shape = K::INFO.shape;
    let weights = weights::<K>(cpu, numeric)?;
    let (a, mut c) = (noise(shape.m * shape.k), vec![0.0; shape.m * shape.n]);
    let mut workspace = Workspace::new();
    let name = format!("{} {shape}, {}", K::INFO.op, K::INFO.epilogue.name());
    Ok(Job::new(name, shape.m * shape.k * shape.n, move || {
        cpu.matmul(&weights, &a, output, &mut c, &mut workspace)
    }))
}

/// Both matmuls of the feed-forward network, the norm before them included.
fn feed_forward<'a>(cpu: Cpu, numeric: Numeric) -> Result<Job<'a>, CpuError> {
    let up = weights::<FfnUp<LENGTH>>(cpu, numeric)?;
    let down = weights::<FfnDown<LENGTH>>(cpu, numeric)?;
    let shape = FfnUp::<LENGTH>::INFO.shape;
    let (ones, zeros) = (vec![1.0; shape.k], vec![0.0; shape.k]);
    let (start, mut x) = (noise(shape.m * shape.k), vec![0.0; shape.m * shape.k]);
    let mut workspace = Workspace::new();
    Ok(Job::new("feed_forward, norm to residual", 2 * shape.m * shape.k * shape.n, move || {
        x.copy_from_slice(&start);
        let norm = LayerNorm { weight: &ones, bias: &zeros };
        cpu.feed_forward(&up, &down, norm, &mut x, &mut workspace)
    }))
}

/// Attention of all rows to all, whose products are those of bf16.
fn attention<'a>(cpu: Cpu, numeric: Numeric) -> Job<'a> {
    let (rows, d_model) = (LENGTH, AttnOut::<LENGTH>::INFO.shape.k);
    let shape = Attention { heads: d_model / 64, d_model, rows, valid: rows, numeric };
    let (qkv, mut out) = (noise(3 * rows * d_model), vec![0.0; rows * d_model]);
    let mut workspace = Workspace::new();
    Job::new("attention, softmax included", 2 * rows * rows * d_model, move || {
        cpu.attention(&shape, &qkv, &mut out, &mut workspace)
    })
}

/// Processor time of this thread, which is the pool's only one.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn measure(isa: Isa, name: &str, numeric: Numeric) -> Result<(), CpuError> {
    let cpu = Cpu::with_isa(isa)?;
    let mut jobs = vec![
        matmul::<AttnQkv<LENGTH>>(cpu, numeric, Output::Store)?,
        matmul::<AttnOut<LENGTH>>(cpu, numeric, Output::Add)?,
        matmul::<FfnUp<LENGTH>>(cpu, numeric, Output::Store)?,
        matmul::<FfnDown<LENGTH>>(cpu, numeric, Output::Add)?,
        feed_forward(cpu, numeric)?,
    ];
    if numeric == Numeric::Bf16 {
        jobs.push(attention(cpu, numeric));
    }
    let peaks = jobs.len();
    jobs.extend(peaks::of(isa, numeric));
    let rounds = if isa == Isa::Portable { 3 } else { ROUNDS };
    for _ in 0..rounds {
        for job in &mut jobs {
            let start = thread_time();
            (job.run)()?;
            job.best = job.best.min((thread_time() - start).as_secs_f64());
        }
    }
    let (jobs, peaks) = jobs.split_at(peaks);
    for peak in peaks {
        println!("{isa:10} {name:5} {:32} {:8} {:8.0}", peak.name, "", peak.rate());
    }
    // The last is the one from the first-level cache, where there is one.
    let peak = peaks.last().map_or(f64::NAN, Job::rate);
    for job in jobs {
        let share = job.rate() / peak * 100.0;
        println!("{isa:10} {name:5} {:32} {:8.0} {peak:8.0} {share:6.0}%", job.name, job.rate());
    }
    println!();
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
mod peaks {
    use super::{Isa, Job, Numeric};

    /// None are known.
    pub(super) fn of<'a>(_: Isa, _: Numeric) -> Vec<Job<'a>> {
        Vec::new()
    }
}

/// Loops of multiply-adds that do not wait for each other.
#[cfg(target_arch = "x86_64")]
mod peaks {
    use std::arch::asm;

    use super::{Isa, Job, Numeric};

    /// Repetitions of a loop: a fraction of a millisecond.
    const TIMES: usize = 4000;

    /// Ten independent instructions on registers, `$products` each.
    macro_rules! registers {
        ($name:literal, $instruction:literal, $register:literal, $products:literal) => {
            Job::new(concat!("peak: ", $name, ", registers"), TIMES * 10 * $products, || {
                for _ in 0..TIMES {
                    // SAFETY: called where the instruction set is available; it changes the
                    // registers that are named.
                    unsafe {
                        asm!(
                            concat!($instruction, " ", $register, "0, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "1, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "2, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "3, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "4, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "5, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "6, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "7, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "8, ", $register, "14, ", $register, "15"),
                            concat!($instruction, " ", $register, "9, ", $register, "14, ", $register, "15"),
                            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
                            out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
                            out("xmm14") _, out("xmm15") _,
                            options(nostack, nomem),
                        );
                    }
                }
                Ok(())
            })
        };
    }

    /// Two by two tiles, from registers and from operands in the first-level cache.
    macro_rules! tiles {
        ($name:literal, $instruction:literal, $products:literal) => {[
            Job::new(concat!("peak: ", $name, ", registers"), TIMES * 4 * $products, || {
                let _configured = Configured::new();
                for _ in 0..TIMES {
                    // SAFETY: tiles are configured.
                    unsafe {
                        asm!(
                            concat!($instruction, " tmm0, tmm4, tmm6"),
                            concat!($instruction, " tmm1, tmm4, tmm7"),
                            concat!($instruction, " tmm2, tmm5, tmm6"),
                            concat!($instruction, " tmm3, tmm5, tmm7"),
                            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                            options(nostack, nomem),
                        );
                    }
                }
                Ok(())
            }),
            Job::new(concat!("peak: ", $name, ", L1"), TIMES * 4 * $products, || {
                let _configured = Configured::new();
                let operands = [Line([0; 64]); 512];
                for i in 0..TIMES {
                    // SAFETY: tiles are configured; 8 steps of two tiles of A and 8 of B are 32 KiB.
                    unsafe {
                        let a = operands.as_ptr().cast::<u8>().add(i % 8 * 1024);
                        asm!(
                            "tileloadd tmm4, [{a} + {a_stride}*1]",
                            "tileloadd tmm6, [{b} + {b_stride}*1]",
                            concat!($instruction, " tmm0, tmm4, tmm6"),
                            "tileloadd tmm7, [{b} + {b_stride}*1 + 64]",
                            concat!($instruction, " tmm1, tmm4, tmm7"),
                            "tileloadd tmm5, [{a} + {a_stride}*1 + 8192]",
                            concat!($instruction, " tmm2, tmm5, tmm6"),
                            concat!($instruction, " tmm3, tmm5, tmm7"),
                            a = in(reg) a,
                            b = in(reg) a.add(16384 + i % 8 * 1024),
                            a_stride = in(reg) 64_usize,
                            b_stride = in(reg) 128_usize,
                            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                            options(nostack, readonly),
                        );
                    }
                }
                Ok(())
            }),
        ]};
    }

    /// What an instruction set can do at a precision.
    pub(super) fn of<'a>(isa: Isa, numeric: Numeric) -> Vec<Job<'a>> {
        let i8 = matches!(numeric, Numeric::I8 { .. });
        match isa {
            Isa::Amx if i8 => tiles!("tdpbssd", "tdpbssd", 16384).into(),
            Isa::Amx => tiles!("tdpbf16ps", "tdpbf16ps", 8192).into(),
            Isa::Avx512Vnni | Isa::Avx512Bf16 if i8 => {
                vec![registers!("vpdpbusd zmm", "vpdpbusd", "zmm", 64)]
            }
            Isa::Avx512Bf16 => vec![registers!("vdpbf16ps zmm", "vdpbf16ps", "zmm", 32)],
            Isa::Avx512Vnni => vec![registers!("vfmadd231ps zmm", "vfmadd231ps", "zmm", 16)],
            Isa::AvxVnni if i8 => vec![registers!("vpdpbusd ymm", "{{vex}} vpdpbusd", "ymm", 32)],
            Isa::Avx2 if i8 => vec![registers!("vpmaddwd ymm", "vpmaddwd", "ymm", 16)],
            Isa::Avx2 | Isa::AvxVnni => {
                vec![registers!("vfmadd231ps ymm", "vfmadd231ps", "ymm", 8)]
            }
            Isa::Portable | Isa::Neon | Isa::NeonDot | Isa::NeonI8mm => Vec::new(),
        }
    }

    #[derive(Clone, Copy)]
    #[repr(C, align(64))]
    struct Line([u8; 64]);

    /// Tiles of this thread while it lives. Made where `Isa::Amx` is available, which has asked for
    /// the permission.
    struct Configured;

    impl Configured {
        fn new() -> Self {
            let mut bytes = Line([0; 64]);
            bytes.0[0] = 1;
            for tile in 0..8 {
                (bytes.0[16 + 2 * tile], bytes.0[48 + tile]) = (64, 16);
            }
            // SAFETY: palette 1, eight tiles of 16 rows of 64 bytes, which `Isa::Amx` needs.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &bytes, options(nostack, readonly)) };
            Self
        }
    }

    impl Drop for Configured {
        fn drop(&mut self) {
            // SAFETY: as where they are configured.
            unsafe { asm!("tilerelease", options(nostack, nomem)) }
        }
    }
}
