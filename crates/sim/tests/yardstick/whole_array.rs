//! The design of MLIR-AIE's example `matrix_multiplication/whole_array`, on four columns: what IRON's
//! GEMM and whisper-xdna ran.
//!
//! Objectfifos of depth 2 throughout, B row-major, tiles shuffled by the memtiles, two rows of blocks
//! in each of two groups of tasks that alternate.

use std::fmt::Write as _;

use super::gemm::Gemm;

/// Rows of blocks whose C is one task; two such groups are in flight.
const GROUP: usize = 2;

/// Text of the design; `micro` is the micro-tile r, s, t.
pub(crate) fn design(gemm: &Gemm, micro: [usize; 3]) -> String {
    let Gemm { m, k, n, input, output, .. } = *gemm;
    let [r, s, t] = micro;
    let columns = gemm.columns();
    assert_eq!(columns, 4, "the published rows are of npu1");
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let [a_ty, b_ty] = [m * k, k * n].map(|size| format!("memref<{size}x{input}>"));
    let c_ty = format!("memref<{}x{output}>", m * n);
    let c_join = format!("memref<{}x{output}>", 4 * m * n);
    let steps = |steps: [(usize, usize); 4]| {
        let steps = steps.map(|(size, stride)| format!("<size = {size}, stride = {stride}>"));
        format!("[{}]", steps.join(", "))
    };
    line(format!("module {{ aie.device({}) {{", gemm.device));
    line(format!("func.func private @zero({c_ty})"));
    line(format!("func.func private @matmul({a_ty}, {b_ty}, {c_ty})"));
    for column in 0..columns {
        line(format!("%shim{column} = aie.tile({column}, 0)"));
        line(format!("%mem{column} = aie.tile({column}, 1)"));
        for row in 0..4 {
            line(format!("%t{column}{row} = aie.tile({column}, {})", row + 2));
        }
    }
    let fifo = |name: String, from: &str, dims: &str, to: &[String], ty: &str| {
        let to: Vec<String> = to.iter().map(|to| format!("%{to}")).collect();
        let to = to.join(", ");
        format!("aie.objectfifo @{name}(%{from}{dims}, {{{to}}}, 2 : i32) : !aie.objectfifo<{ty}>")
    };
    let a_dims = steps([(m / r, r * k), (k / s, s), (r, k), (s, 1)]);
    let b_dims = steps([(k / s, s * n), (n / t, t), (s, n), (t, 1)]);
    let c_dims = steps([(m / r, r * n), (r, t), (n / t, r * t), (t, 1)]);
    for i in 0..columns {
        let (shim, mem) = (format!("shim{i}"), format!("mem{i}"));
        let to_stream = |dims: &str| format!(" dimensionsToStream {dims}");
        let row: Vec<String> = (0..columns).map(|column| format!("t{column}{i}")).collect();
        let column: Vec<String> = (0..4).map(|row| format!("t{i}{row}")).collect();
        line(fifo(format!("a2_{i}"), &shim, "", std::slice::from_ref(&mem), &a_ty));
        line(fifo(format!("a1_{i}"), &mem, &to_stream(&a_dims), &row, &a_ty));
        line(fifo(format!("b2_{i}"), &shim, "", std::slice::from_ref(&mem), &b_ty));
        line(fifo(format!("b1_{i}"), &mem, &to_stream(&b_dims), &column, &b_ty));
        let mut parts = Vec::new();
        for (row, tile) in column.iter().enumerate() {
            line(fifo(format!("c1_{i}_{row}"), tile, "", std::slice::from_ref(&mem), &c_ty));
            parts.push(format!("@c1_{i}_{row}"));
        }
        line(fifo(format!("c2_{i}"), &mem, &to_stream(&c_dims), &[shim], &c_join));
        line(format!("aie.objectfifo.link [@a2_{i}] -> [@a1_{i}]([] [])"));
        line(format!("aie.objectfifo.link [@b2_{i}] -> [@b1_{i}]([] [])"));
        let offsets: Vec<String> = (0..4).map(|row| (row * m * n).to_string()).collect();
        let (parts, offsets) = (parts.join(", "), offsets.join(", "));
        line(format!("aie.objectfifo.link [{parts}] -> [@c2_{i}]([{offsets}] [])"));
    }
    for column in 0..columns {
        for row in 0..4 {
            line(core(gemm, column, row, [&a_ty, &b_ty, &c_ty]));
        }
    }
    line(sequence(gemm));
    line("} }".to_owned());
    text
}

fn core(gemm: &Gemm, column: usize, row: usize, [a_ty, b_ty, c_ty]: [&str; 3]) -> String {
    let mut text = format!(
        "%core{column}{row} = aie.core(%t{column}{row}) {{
%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%steps = arith.constant {} : index
%ever = arith.constant 4294967295 : index
scf.for %tile = %c0 to %ever step %c1 {{
",
        gemm.k_tiles()
    );
    let acquire = |text: &mut String, name: &str, fifo: String, port: &str, ty: &str| {
        let view = format!("!aie.objectfifosubview<{ty}>");
        let _ = write!(
            text,
            "%{name}v = aie.objectfifo.acquire @{fifo}({port}, 1) : {view}
%{name} = aie.objectfifo.subview.access %{name}v[0] : {view} -> {ty}
"
        );
    };
    acquire(&mut text, "c", format!("c1_{column}_{row}"), "Produce", c_ty);
    let _ = writeln!(text, "func.call @zero(%c) : ({c_ty}) -> ()");
    text.push_str("scf.for %k = %c0 to %steps step %c1 {\n");
    acquire(&mut text, "a", format!("a1_{row}"), "Consume", a_ty);
    acquire(&mut text, "b", format!("b1_{column}"), "Consume", b_ty);
    let _ = write!(
        text,
        "func.call @matmul(%a, %b, %c) : ({a_ty}, {b_ty}, {c_ty}) -> ()
aie.objectfifo.release @a1_{row}(Consume, 1)
aie.objectfifo.release @b1_{column}(Consume, 1)
}}
aie.objectfifo.release @c1_{column}_{row}(Produce, 1)
}}
aie.end
}} {{dynamic_objfifo_lowering = true, stack_size = 3328 : i32}}"
    );
    text
}

fn sequence(gemm: &Gemm) -> String {
    let Gemm { m, k, n, input, output, size: [rows, depth, width], .. } = *gemm;
    let columns = gemm.columns();
    let [a, b] = [rows * depth, depth * width].map(|size| format!("memref<{size}x{input}>"));
    let c = format!("memref<{}x{output}>", rows * width);
    let mut text = format!("aie.runtime_sequence @gemm(%a: {a}, %b: {b}, %c: {c}) {{\n");
    let (row_blocks, across, k_tiles) = (rows / (4 * m), width / (n * columns), gemm.k_tiles());
    let mut running: Vec<String> = Vec::new();
    let finish = |text: &mut String, tasks: &mut Vec<String>| {
        let (out, other): (Vec<_>, Vec<_>) =
            std::mem::take(tasks).into_iter().partition(|task| task.starts_with('c'));
        for task in out {
            let _ = writeln!(text, "aiex.dma_await_task(%{task})");
        }
        for task in other {
            let _ = writeln!(text, "aiex.dma_free_task(%{task})");
        }
    };
    for (group, first) in (0..row_blocks).step_by(GROUP).enumerate() {
        let count = GROUP.min(row_blocks - first);
        for column in 0..columns {
            let mut task = |name: String, fifo: &str, bd: String, attributes: String| {
                let _ = write!(
                    text,
                    "%{name} = aiex.dma_configure_task_for @{fifo}_{column} {{
aie.dma_bd({bd})
aie.end
}}{attributes}
aiex.dma_start_task(%{name})
"
                );
                running.push(name);
            };
            // Of four dimensions the outermost is the iteration, which `repeat_count` runs.
            let repeats = |count: usize| match count {
                1 => String::new(),
                _ => format!("repeat_count = {} : i32", count - 1),
            };
            let offset = first * 4 * m * width + column * n;
            let bd = format!(
                "%c : {c}, {offset}, {}, [<size = {count}, stride = {}>, <size = {across}, stride = {}>, <size = {}, stride = {width}>, <size = {n}, stride = 1>]",
                across * 4 * m * n,
                4 * m * width,
                n * columns,
                4 * m,
            );
            let comma = if count > 1 { ", " } else { "" };
            let attributes = format!(" {{issue_token = true{comma}{}}}", repeats(count));
            task(format!("c{group}_{column}"), "c2", bd, attributes);
            for row_block in first..first + count {
                let offset = (row_block * 4 + column) * m * depth;
                let bd = format!(
                    "%a : {a}, {offset}, {}, [<size = {across}, stride = 0>, <size = {k_tiles}, stride = {k}>, <size = {m}, stride = {depth}>, <size = {k}, stride = 1>]",
                    m * depth
                );
                task(
                    format!("a{row_block}_{column}"),
                    "a2",
                    bd,
                    format!(" {{{}}}", repeats(across)),
                );
                let bd = format!(
                    "%b : {b}, {}, {}, [<size = {across}, stride = {}>, <size = {k_tiles}, stride = {}>, <size = {k}, stride = {width}>, <size = {n}, stride = 1>]",
                    column * n,
                    depth * n,
                    n * columns,
                    k * width
                );
                task(
                    format!("b{row_block}_{column}"),
                    "b2",
                    bd,
                    format!(" {{{}}}", repeats(across)),
                );
            }
        }
        // From the second group on, all that runs is waited for before descriptors are used anew.
        if group > 0 {
            finish(&mut text, &mut running);
        }
    }
    finish(&mut text, &mut running);
    text.push('}');
    text
}
