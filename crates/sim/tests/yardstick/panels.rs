//! The design of arXiv 2512.13282 ("Striking the Balance"), as far as its text and the companion
//! example of MLIR-AIE tell: whole array, A broadcast along rows, B along columns, contiguous panels
//! of K in the memtiles, C in its output type, single-buffered on the core, joined in the memtile.
//!
//! Buffers, locks, descriptors and flows are written by hand, because an objectfifo cannot cut a
//! panel into tiles. The shuffling of elements within a tile is left out: it moves the same bytes in
//! the same number of cycles.

use std::fmt::Write as _;

use super::gemm::Gemm;

/// Blocks of C whose tasks are queued at once: the depth of a channel's queue.
const AHEAD: usize = 4;

/// Text of a design, line by line.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }
}

/// A descriptor of a static chain.
struct Bd {
    buffer: String,
    ty: String,
    offset: usize,
    length: usize,
    dimensions: String,
    acquire: String,
    release: String,
}

/// What one channel does for ever.
struct Chain {
    direction: &'static str,
    channel: usize,
    bds: Vec<Bd>,
}

/// Writes the DMA program of a tile.
fn program(text: &mut Text, op: &str, tile: &str, chains: &[Chain]) {
    text.line(format!("%{op}_{tile} = aie.{op}(%{tile}) {{"));
    let mut block = 0;
    for (i, chain) in chains.iter().enumerate() {
        let first = block + 1;
        let after = first + chain.bds.len();
        if i > 0 {
            text.line(format!("^bb{block}:"));
        }
        let Chain { direction, channel, .. } = chain;
        text.line(format!("%s{i} = aie.dma_start({direction}, {channel}, ^bb{first}, ^bb{after})"));
        for (j, bd) in chain.bds.iter().enumerate() {
            let Bd { buffer, ty, offset, length, dimensions, acquire, release } = bd;
            text.line(format!("^bb{}:", first + j));
            text.line(format!("aie.use_lock(%{acquire}, AcquireGreaterEqual, 1)"));
            text.line(format!("aie.dma_bd(%{buffer} : {ty}, {offset}, {length}{dimensions})"));
            text.line(format!("aie.use_lock(%{release}, Release, 1)"));
            text.line(format!("aie.next_bd ^bb{}", first + (j + 1) % chain.bds.len()));
        }
        block = after;
    }
    text.line(format!("^bb{block}:"));
    text.line("aie.end");
    text.line("}");
}

/// Two buffers by turns.
fn ping_pong(
    name: &str,
    ty: &str,
    length: usize,
    dimensions: &str,
    locks: (&str, &str),
) -> Vec<Bd> {
    (0..2)
        .map(|i| Bd {
            buffer: format!("{name}_{i}"),
            ty: ty.to_owned(),
            offset: 0,
            length,
            dimensions: dimensions.to_owned(),
            acquire: format!("{name}_{}", locks.0),
            release: format!("{name}_{}", locks.1),
        })
        .collect()
}

/// Declares buffers `NAME_0` and on, and the locks `NAME_free` and `NAME_full`.
fn buffers(text: &mut Text, tile: &str, name: &str, ty: &str, count: usize) {
    for i in 0..count {
        text.line(format!(
            "%{name}_{i} = aie.buffer(%{tile}) {{sym_name = \"{name}_{i}\"}} : {ty}"
        ));
    }
    text.line(format!("%{name}_free = aie.lock(%{tile}) {{init = {count} : i32}}"));
    text.line(format!("%{name}_full = aie.lock(%{tile}) {{init = 0 : i32}}"));
}

/// Text of the design; `panel` is the paper's k_mt.
pub(crate) fn design(gemm: &Gemm, panel: usize) -> String {
    let Gemm { m, k, n, input, output, .. } = *gemm;
    let columns = gemm.columns();
    let mut text = Text::default();
    let cut = |rows: usize| {
        format!(
            ", [<size = {}, stride = {k}>, <size = {rows}, stride = {panel}>, <size = {k}, stride = 1>]",
            panel / k
        )
    };
    let [a_ty, b_ty] = [m * k, k * n].map(|size| format!("memref<{size}x{input}>"));
    let [a_panel, b_panel] = [m * panel, n * panel].map(|size| format!("memref<{size}x{input}>"));
    let c_ty = format!("memref<{}x{output}>", m * n);
    let c_join = format!("memref<{}x{output}>", 4 * m * n);
    text.line(format!("module {{ aie.device({}) {{", gemm.device));
    text.line(format!("func.func private @zero({c_ty})"));
    text.line(format!("func.func private @matmul({a_ty}, {b_ty}, {c_ty})"));
    for column in 0..columns {
        text.line(format!("%shim{column} = aie.tile({column}, 0)"));
        text.line(format!("%mem{column} = aie.tile({column}, 1)"));
        for row in 0..4 {
            text.line(format!("%t{column}{row} = aie.tile({column}, {})", row + 2));
        }
    }
    for column in 0..columns {
        memtile(&mut text, gemm, column, &a_panel, &b_panel, &c_join, &cut, panel);
        for row in 0..4 {
            let tile = format!("t{column}{row}");
            for (name, ty, count) in [("a", &a_ty, 2), ("b", &b_ty, 2), ("c", &c_ty, 1)] {
                buffers(&mut text, &tile, &format!("{name}{column}{row}"), ty, count);
            }
            let put = ("free", "full");
            let [a, b, c] = ["a", "b", "c"].map(|name| format!("{name}{column}{row}"));
            let mut out = ping_pong(&c, &c_ty, m * n, "", ("full", "free"));
            out.truncate(1);
            let chains = [
                Chain { direction: "S2MM", channel: 0, bds: ping_pong(&a, &a_ty, m * k, "", put) },
                Chain { direction: "S2MM", channel: 1, bds: ping_pong(&b, &b_ty, k * n, "", put) },
                Chain { direction: "MM2S", channel: 0, bds: out },
            ];
            program(&mut text, "mem", &tile, &chains);
            core(&mut text, gemm, column, row, [&a_ty, &b_ty, &c_ty]);
        }
    }
    sequence(&mut text, gemm, panel);
    text.line("} }");
    text.0
}

#[allow(clippy::too_many_arguments)]
fn memtile(
    text: &mut Text,
    gemm: &Gemm,
    column: usize,
    a_panel: &str,
    b_panel: &str,
    c_join: &str,
    cut: &dyn Fn(usize) -> String,
    panel: usize,
) {
    let Gemm { m, n, .. } = *gemm;
    let tile = format!("mem{column}");
    let mut chains = Vec::new();
    let put = ("free", "full");
    let take = ("full", "free");
    if let Some(row) = (0..4).find(|&row| gemm.a_column(row) == column) {
        let name = format!("pa{row}");
        buffers(text, &tile, &name, a_panel, 2);
        text.line(format!("aie.flow(%shim{column}, DMA : 0, %{tile}, DMA : 0)"));
        for to in 0..gemm.columns() {
            text.line(format!("aie.flow(%{tile}, DMA : 0, %t{to}{row}, DMA : 0)"));
        }
        let length = m * panel;
        chains.push(Chain {
            direction: "S2MM",
            channel: 0,
            bds: ping_pong(&name, a_panel, length, "", put),
        });
        chains.push(Chain {
            direction: "MM2S",
            channel: 0,
            bds: ping_pong(&name, a_panel, length, &cut(m), take),
        });
    }
    let name = format!("pb{column}");
    buffers(text, &tile, &name, b_panel, 2);
    text.line(format!("aie.flow(%shim{column}, DMA : 1, %{tile}, DMA : 1)"));
    for row in 0..4 {
        text.line(format!("aie.flow(%{tile}, DMA : 1, %t{column}{row}, DMA : 1)"));
    }
    let length = n * panel;
    let bds = ping_pong(&name, b_panel, length, "", put);
    chains.push(Chain { direction: "S2MM", channel: 1, bds });
    let bds = ping_pong(&name, b_panel, length, &cut(n), take);
    chains.push(Chain { direction: "MM2S", channel: 1, bds });
    // C: each core fills its quarter of one of two buffers, which leave quarter by quarter.
    for i in 0..2 {
        text.line(format!(
            "%j{column}_{i} = aie.buffer(%{tile}) {{sym_name = \"j{column}_{i}\"}} : {c_join}"
        ));
    }
    let part = |row: usize, i: usize, acquire: &str, release: &str| Bd {
        buffer: format!("j{column}_{i}"),
        ty: c_join.to_owned(),
        offset: row * m * n,
        length: m * n,
        dimensions: String::new(),
        acquire: format!("j{column}{row}_{acquire}"),
        release: format!("j{column}{row}_{release}"),
    };
    for row in 0..4 {
        text.line(format!("%j{column}{row}_free = aie.lock(%{tile}) {{init = 2 : i32}}"));
        text.line(format!("%j{column}{row}_full = aie.lock(%{tile}) {{init = 0 : i32}}"));
        text.line(format!("aie.flow(%t{column}{row}, DMA : 0, %{tile}, DMA : {})", row + 2));
        let bds = (0..2).map(|i| part(row, i, "free", "full")).collect();
        chains.push(Chain { direction: "S2MM", channel: row + 2, bds });
    }
    let bds = (0..8).map(|i| part(i % 4, i / 4, "full", "free")).collect();
    chains.push(Chain { direction: "MM2S", channel: 2, bds });
    text.line(format!("aie.flow(%{tile}, DMA : 2, %shim{column}, DMA : 0)"));
    program(text, "memtile_dma", &tile, &chains);
}

fn core(text: &mut Text, gemm: &Gemm, column: usize, row: usize, [a_ty, b_ty, c_ty]: [&str; 3]) {
    let id = format!("{column}{row}");
    let steps = gemm.k_tiles() / 2;
    text.line(format!("%core{id} = aie.core(%t{id}) {{"));
    text.line("%c0 = arith.constant 0 : index");
    text.line("%c1 = arith.constant 1 : index");
    text.line(format!("%steps = arith.constant {steps} : index"));
    text.line("%ever = arith.constant 4294967295 : index");
    text.line("scf.for %tile = %c0 to %ever step %c1 {");
    text.line(format!("aie.use_lock(%c{id}_free, AcquireGreaterEqual, 1)"));
    text.line(format!("func.call @zero(%c{id}_0) : ({c_ty}) -> ()"));
    text.line("scf.for %k = %c0 to %steps step %c1 {");
    for i in 0..2 {
        text.line(format!("aie.use_lock(%a{id}_full, AcquireGreaterEqual, 1)"));
        text.line(format!("aie.use_lock(%b{id}_full, AcquireGreaterEqual, 1)"));
        text.line(format!(
            "func.call @matmul(%a{id}_{i}, %b{id}_{i}, %c{id}_0) : ({a_ty}, {b_ty}, {c_ty}) -> ()"
        ));
        text.line(format!("aie.use_lock(%a{id}_free, Release, 1)"));
        text.line(format!("aie.use_lock(%b{id}_free, Release, 1)"));
    }
    text.line("}");
    text.line(format!("aie.use_lock(%c{id}_full, Release, 1)"));
    text.line("}");
    text.line("aie.end");
    text.line("}");
}

/// Block by block of C, along its rows; as many tasks ahead as the queues hold.
fn sequence(text: &mut Text, gemm: &Gemm, panel: usize) {
    let Gemm { m, n, input, output, size: [rows, depth, width], .. } = *gemm;
    let columns = gemm.columns();
    let [a, b] = [rows * depth, depth * width].map(|size| format!("memref<{size}x{input}>"));
    let c = format!("memref<{}x{output}>", rows * width);
    text.line(format!("aie.runtime_sequence @gemm(%a: {a}, %b: {b}, %c: {c}) {{"));
    let panels = depth / panel;
    let by_panels = |rows: usize| {
        format!(
            "[<size = {panels}, stride = {panel}>, <size = {rows}, stride = {depth}>, <size = {panel}, stride = 1>]"
        )
    };
    let across = width / (n * columns);
    let blocks = (rows / (4 * m)) * across;
    let finish = |text: &mut Text, block: usize| {
        for column in 0..columns {
            text.line(format!("aiex.dma_await_task(%tc{block}_{column})"));
        }
        for column in 0..columns {
            text.line(format!("aiex.dma_free_task(%tb{block}_{column})"));
        }
        for row in 0..4 {
            text.line(format!("aiex.dma_free_task(%ta{block}_{row})"));
        }
    };
    for block in 0..blocks {
        if block >= AHEAD {
            finish(text, block - AHEAD);
        }
        let (row_block, column_block) = (block / across, block % across);
        let mut task = |name: String, tile, channel: &str, bd: String, token| {
            let token = if token { " {issue_token = true}" } else { "" };
            let mut lines = String::new();
            let _ = write!(
                lines,
                "%{name} = aiex.dma_configure_task(%shim{tile}, {channel}) {{\naie.dma_bd({bd})\naie.end\n}}{token}\naiex.dma_start_task(%{name})"
            );
            text.line(lines);
        };
        for column in 0..columns {
            let first = (column_block * columns + column) * n;
            let offset = row_block * 4 * m * width + first;
            let dims = format!("[<size = {}, stride = {width}>, <size = {n}, stride = 1>]", 4 * m);
            let bd = format!("%c : {c}, {offset}, {}, {dims}", 4 * m * n);
            task(format!("tc{block}_{column}"), column, "S2MM, 0", bd, true);
            let bd = format!("%b : {b}, {}, {}, {}", first * depth, n * depth, by_panels(n));
            task(format!("tb{block}_{column}"), column, "MM2S, 1", bd, false);
        }
        for row in 0..4 {
            let offset = (row_block * 4 + row) * m * depth;
            let bd = format!("%a : {a}, {offset}, {}, {}", m * depth, by_panels(m));
            task(format!("ta{block}_{row}"), gemm.a_column(row), "MM2S, 0", bd, false);
        }
    }
    for block in blocks.saturating_sub(AHEAD)..blocks {
        finish(text, block);
    }
    text.line("}");
}
