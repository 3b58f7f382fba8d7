//! Any text ends in a module or an error, soon and without much memory.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tilewright_sim::text::{Module, Source, parse};

fn read(text: &str) -> Result<Module, String> {
    parse(&Source::new("any.mlir", text)).map_err(|error| {
        assert!(error.line() >= 1 && error.column() >= 1);
        assert!(!error.message().is_empty() && !error.help().is_empty());
        error.to_string()
    })
}

/// A text with something of everything, short enough to be read very often.
const SAMPLE: &str = r##"#map = affine_map<(d0)[s0] -> (d0 * 2 + s0)>
!obj = !aie.objectfifo<memref<16xi32>>
module @m attributes {a.b = dense<[[1, 2], [3, 4]]> : tensor<2x2xi8>} {
  aie.device(npu1) @main {
    func.func private @k(memref<16xi32>, i32) -> () attributes {link_with = "k.o"}
    %t0 = aie.tile(0, 0)
    %t2 = aie.tile(0, 2)
    %b = aie.buffer(%t2) {sym_name = "b"} : memref<16xi32> = dense<7>
    %l = aie.lock(%t2, 0) {init = 1 : i32}
    aie.objectfifo @in(%t0 dimensionsToStream [<size = 4, stride = 4>], {%t2}, [2, 2]) : !obj
    aie.flow(%t0, DMA : 0, %t2, DMA : 0)
    aie.packet_flow(3) { aie.packet_source<%t0, DMA : 1> aie.packet_dest<%t2, DMA : 1> } {keep_pkt_header = true}
    %core = aie.core(%t2) {
      %c0 = arith.constant 0 : index
      %c4 = arith.constant 4 : index
      %r = scf.for %i = %c0 to %c4 step %c4 iter_args(%x = %c0) -> (index) {
        %v = aie.objectfifo.acquire @in(Consume, 1) : !aie.objectfifosubview<memref<16xi32>>
        %e = aie.objectfifo.subview.access %v[0] : !aie.objectfifosubview<memref<16xi32>> -> memref<16xi32>
        %y = affine.apply #map(%i)[%x]
        %z = memref.load %e[%y] : memref<16xi32>
        func.call @k(%e, %z) : (memref<16xi32>, i32) -> ()
        scf.yield %y : index
      } loc("x":1:2)
      aie.end
    } {stack_size = 0x800 : i32}
    %mem = aie.mem(%t2) {
      %d = aie.dma_start(S2MM, 0, ^bd, ^end)
    ^bd:
      aie.use_lock(%l, AcquireGreaterEqual, 1)
      aie.dma_bd(%b : memref<16xi32>, 0, 16, [<size = 2, stride = 8>]) {bd_id = 0 : i32}
      aie.next_bd ^bd
    ^end:
      aie.end
    }
    aie.runtime_sequence @go(%h: memref<?x16xi32, strided<[?, 1], offset: ?>>) {
      aiex.npu.dma_memcpy_nd(%h[0, 0, 0, 0][1, 1, 1, 16][0, 0, 0, 1]) {id = 0 : i64, metadata = @in} : memref<?x16xi32, strided<[?, 1], offset: ?>>
      "aiex.npu.write32"() <{address = 4 : ui32, value = 7 : ui32}> : () -> ()
    }
  }
}
"##;

/// Pieces that mean something in some place.
static PIECES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut pieces: Vec<&str> =
        SAMPLE.split_inclusive([' ', '\n', '(', ')', '<', '>', ',']).collect();
    pieces.extend([
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        "\"",
        "^",
        "%",
        "@",
        "#",
        "!",
        "-",
        "0x",
        "9".repeat(40).leak(),
    ]);
    pieces
});

fn piece() -> impl Strategy<Value = &'static str> {
    (0..PIECES.len()).prop_map(|index| PIECES[index])
}

#[test]
fn the_sample_is_right() {
    read(SAMPLE).unwrap();
}

#[test]
fn every_truncation_of_a_design_is_refused_or_read() {
    for (end, _) in SAMPLE.char_indices() {
        let _ = read(&SAMPLE[..end]);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../generated/whisper-base/npu1-i8/design.mlir");
    let text = std::fs::read_to_string(path).unwrap();
    for end in (0..text.len()).step_by(text.len() / 40) {
        let _ = read(&text[..end]);
    }
}

proptest! {
    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(piece(), 0..60)) {
        let _ = read(&pieces.concat());
    }

    #[test]
    fn a_design_with_a_piece_in_place_of_others(
        start in 0..SAMPLE.len(), length in 0_usize..40, piece in piece()
    ) {
        let end = (start + length).min(SAMPLE.len());
        let _ = read(&[&SAMPLE[..start], piece, &SAMPLE[end..]].concat());
    }

    #[test]
    fn any_characters(text in "\\PC{0,80}") {
        let _ = read(&text);
    }
}

/// Too deep for the stack, in every way there is.
#[test]
fn nesting_has_an_end() {
    let deep = |open: &str, close: &str| [open.repeat(50_000), close.repeat(50_000)].concat();
    let attribute = |text: String| format!("\"a.b\"() {{x = {text}}} : () -> ()");
    let texts = [
        deep("module {", "}"),
        deep("\"a.b\"() ({", "}) : () -> ()"),
        format!("func.func @f(%c: i1) {{ {} }}", deep("scf.if %c {", "}")),
        format!(
            "func.func @f(%c: index) {{ {}",
            (0..50_000)
                .map(|i| format!("scf.for %i{i} = %c to %c step %c {{ "))
                .collect::<String>()
        ),
        attribute(deep("[", "]")),
        attribute(deep("{x = ", "}")),
        attribute(format!("dense<{}> : tensor<1xi32>", deep("[", "]"))),
        attribute(deep("memref<", ">")),
        attribute(deep("vector<4x", ">")),
        attribute(deep("!aie.objectfifo<", ">")),
        attribute(deep("() -> (", ")")),
        attribute(deep("(", ")")),
        attribute(format!("affine_map<(d0) -> ({})>", deep("(", ")"))),
        attribute(format!("affine_map<(d0) -> ({}d0)>", "-".repeat(50_000).replace("--", "- -"))),
        attribute(format!("affine_map<(d0) -> (d0{})>", " + d0".repeat(50_000))),
        attribute(format!("affine_map<(d0) -> (d0{})>", " floordiv 2".repeat(50_000))),
        attribute(format!("#a.b{}", deep("<", ">"))),
    ];
    let (last, limited) = texts.split_last().unwrap();
    for text in limited {
        let error = read(text).map(drop).unwrap_err();
        assert!(
            error.contains("levels deep")
                || error.contains("operators")
                || error.contains("expected"),
            "{error}"
        );
    }
    read(last).unwrap();
    // What is within the limit fits in the stack of a thread.
    for (open, close) in [("scf.if %c {", "}"), ("\"a.b\"() ({", "}) : () -> ()")] {
        let text = format!("func.func @f(%c: i1) {{ {}{} }}", open.repeat(60), close.repeat(60));
        read(&text).unwrap();
    }
}

#[test]
fn aliases_of_aliases_do_not_explode() {
    let mut text = "#a0 = [1, 2, 3, 4, 5, 6, 7, 8]\n!a0 = (i32) -> i32\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        text += &format!("#a{level} = [#a{before}, #a{before}, #a{before}]\n");
    }
    let error = read(&text).map(drop).unwrap_err();
    assert!(error.contains("the aliases of this text stand for too much"), "{error}");
}

#[test]
fn names_and_counts_cost_no_more_than_the_text() {
    assert!(read("%a:4000000000 = \"a.b\"() : () -> ()").is_err());
    let name = format!("%{}:3 = \"a.b\"() : () -> (i32, i32, i32)", "a".repeat(1000));
    assert!(read(&name).unwrap_err().contains("longer than"));
    assert!(
        read("\"a.b\"() {x = dense<0> : tensor<9000000000x9000000000xi8>} : () -> ()").is_err()
    );
    read("\"a.b\"() {x = dense<0> : tensor<4000000000x1000000000xi8>} : () -> ()").unwrap();
}

/// Twice the text takes about twice the time.
#[test]
#[ignore = "measures"]
fn long_texts_are_read_in_linear_time() {
    let time = |text: &str| {
        let start = std::time::Instant::now();
        let _ = read(text);
        start.elapsed()
    };
    let many = |count: usize, one: &str, between: &str| vec![one; count].join(between);
    let texts = |count: usize| {
        [
            format!(
                "func.func @f(%a: i32) {{ call @g({}) : ({}) -> () return }}",
                many(count, "%a", ","),
                many(count, "i32", ",")
            ),
            format!("\"a.b\"() {{x = [{}]}} : () -> ()", many(count, "1", ",")),
            format!(
                "\"a.b\"() {{x = dense<[{}]> : tensor<{count}xi32>}} : () -> ()",
                many(count, "1", ",")
            ),
            format!("\"a.b\"() {{x = #c.d<{}>}} : () -> ()", many(count, "1", ",")),
            format!(
                "\"a.b\"() {{x = affine_map<({}) -> (d1)>}} : () -> ()",
                (0..count).map(|i| format!("d{i}")).collect::<Vec<_>>().join(",")
            ),
            format!(
                "\"a.b\"() {{{}}} : () -> ()",
                (0..count).map(|i| format!("a{i}")).collect::<Vec<_>>().join(",")
            ),
            format!(
                "func.func @f() {{ {} return }}",
                (0..count).map(|i| format!("cf.br ^b{i} ^b{i}:")).collect::<Vec<_>>().join(" ")
            ),
            format!(
                "func.func @f(%a: i32) {{ cf.switch %a : i32, [default: ^b, {}] ^b: return }}",
                (0..count).map(|i| format!("{i}: ^b")).collect::<Vec<_>>().join(",")
            ),
            many(count, "//", "\n"),
        ]
    };
    for (small, large) in texts(4_000).iter().zip(texts(32_000)) {
        let (short, long) = (time(small), time(&large));
        let shown = &large[..large.len().min(60)];
        assert!(
            long < short * 30 + std::time::Duration::from_millis(100),
            "{short:?} {long:?} {shown}"
        );
    }
}
