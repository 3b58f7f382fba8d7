//! The published measurements of `npu.md`, row by row.

use super::gemm::Gemm;

/// Who published a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// arXiv 2512.13282, wall clock, mean of 100 calls, DDR5-5600.
    P,
    /// IRON's GEMM on npu1, wall clock of a call.
    I,
    /// whisper-xdna on a Ryzen 7 8845HS with LPDDR5X, wall clock of a call, best observed.
    W,
}

/// Which design was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Design {
    /// That of the paper, with contiguous panels of so much K.
    Panels(usize),
    /// MLIR-AIE's `whole_array`, with micro-tiles of r, s, t.
    WholeArray([usize; 3]),
}

/// How fast a core multiplies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Core {
    /// Published MAC per cycle.
    Published(f64),
    /// The stock kernel for bf16, compiled by Peano: fitted.
    StockBf16,
    /// The stock kernel for i8 to i32, compiled by Peano: fitted.
    StockI8,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub source: Source,
    pub gemm: Gemm,
    pub design: Design,
    pub core: Core,
    /// Microseconds of a call.
    pub published: f64,
    /// Whether constants were fitted on it: every other row of a table.
    pub fitted: bool,
    /// If it is not predicted within 15 %.
    pub known: Option<Known>,
}

/// A row that cannot be predicted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// What it is held to instead.
    pub bound: f64,
    /// Why.
    pub why: &'static str,
}

/// The first row of W moves 23.6 MB through the array in 0.9 ms, 26 GB/s, with the tile that the
/// others run; these get 19.
const UNLIKE_THE_OTHERS: Known = Known {
    bound: 0.27,
    why: "\"best observed\", with tiles \"tuned per shape\" that are not published: with 64×64×32 the \
          array would have to move 26 GB/s, where the other rows of W get 19",
};

impl Row {
    /// `npu1 i8→i16 96×112×96, 4224×4032×4224`.
    pub(crate) fn name(&self) -> String {
        let Gemm { device, input, output, m, k, n, size: [rows, depth, width] } = self.gemm;
        format!("{device} {input}→{output} {m}×{k}×{n}, {rows}×{depth}×{width}")
    }
}

type Published = (&'static str, [&'static str; 2], [usize; 3], usize, [usize; 3], f64, f64);

/// Device, types, tile, panel, size, TOPS, MAC per cycle of one core.
///
/// The panels are not in `npu.md`: the multiples of k that are closest to 448 bytes and divide K.
const P: [Published; 8] = [
    ("npu1", ["i8", "i8"], [112, 112, 112], 448, [4032, 4032, 4032], 6.52, 233.0),
    ("npu1", ["i8", "i16"], [96, 112, 96], 448, [4224, 4032, 4224], 5.85, 217.6),
    ("npu1", ["i8", "i32"], [80, 88, 96], 352, [4160, 4224, 4224], 4.42, 192.0),
    ("npu1", ["bf16", "bf16"], [96, 56, 96], 224, [4224, 4032, 4224], 3.12, 112.6),
    ("npu2", ["i8", "i8"], [144, 72, 144], 432, [4032, 4320, 4608], 37.35, 450.6),
    ("npu2", ["i8", "i16"], [128, 72, 112], 432, [4096, 4320, 4480], 30.77, 419.8),
    ("npu2", ["i8", "i32"], [96, 64, 96], 384, [4224, 4224, 4608], 24.74, 384.0),
    ("npu2", ["bf16", "bf16"], [112, 48, 96], 192, [4032, 4224, 4608], 14.52, 158.1),
];

/// M×K×N, microseconds.
const I: [([usize; 3], f64); 7] = [
    ([256, 512, 512], 218.0),
    ([512, 512, 1024], 390.0),
    ([512, 1024, 1024], 639.0),
    ([1024, 1024, 1024], 1071.0),
    ([512, 1536, 1536], 1498.0),
    ([1024, 2048, 1024], 2134.0),
    ([1024, 2560, 2560], 6364.0),
];

type Observed = ([&'static str; 2], [usize; 3], [usize; 3], f64);

/// Input, output, tile, M×K×N, GFLOPS.
///
/// Skinny shapes run a tile of their own (`tiles_for` in its `rawxrt.py`); the shape of the i8 row is
/// not published, that of a projection is taken.
const W: [Observed; 5] = [
    (["bf16", "f32"], [64, 64, 32], [1536, 1536, 384], 1761.0),
    (["bf16", "f32"], [64, 64, 32], [1536, 5120, 1280], 1514.0),
    (["bf16", "f32"], [64, 64, 32], [1536, 1280, 1280], 1409.0),
    (["bf16", "f32"], [32, 64, 64], [1536, 64, 1536], 386.0),
    (["i8", "i32"], [64, 64, 32], [1536, 1280, 1280], 1970.0),
];

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (i, &(device, [input, output], [m, k, n], panel, size, tops, core)) in P.iter().enumerate()
    {
        let gemm = Gemm { device, input, output, m, k, n, size };
        rows.push(Row {
            source: Source::P,
            gemm,
            design: Design::Panels(panel),
            core: Core::Published(core),
            published: 2.0 * gemm.macs() / tops / 1e6,
            fitted: i % 2 == 0,
            known: None,
        });
    }
    for (i, &(size, published)) in I.iter().enumerate() {
        let (input, output) = ("bf16", "bf16");
        rows.push(Row {
            source: Source::I,
            gemm: Gemm { device: "npu1", input, output, m: 64, k: 64, n: 64, size },
            design: Design::WholeArray([4, 8, 4]),
            core: Core::StockBf16,
            published,
            fitted: i % 2 == 0,
            known: None,
        });
    }
    for (i, &([input, output], [m, k, n], size, gflops)) in W.iter().enumerate() {
        let gemm = Gemm { device: "npu1", input, output, m, k, n, size };
        let i8 = input == "i8";
        rows.push(Row {
            source: Source::W,
            gemm,
            design: Design::WholeArray([4, 8, if i8 { 8 } else { 4 }]),
            core: if i8 { Core::StockI8 } else { Core::StockBf16 },
            published: 2.0 * gemm.macs() / gflops / 1e3,
            // From the second row on, because the first contradicts all others.
            fitted: i % 2 == 1 || i8,
            known: (i == 0).then_some(UNLIKE_THE_OTHERS),
        });
    }
    rows
}
