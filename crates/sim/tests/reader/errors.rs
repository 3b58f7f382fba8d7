//! What is wrong, where, and what to do about it.

use tilewright_sim::text::{Source, parse};

/// Line, column, message and help of the error that a text must give.
#[track_caller]
fn error(text: &str) -> (usize, usize, String, String) {
    let error = parse(&Source::new("bad.mlir", text)).expect_err("an error");
    (error.line(), error.column(), error.message().to_owned(), error.help().to_owned())
}

#[track_caller]
fn is(text: &str, line: usize, column: usize, message: &str, help: &str) {
    let (at, behind, said, remedy) = error(text);
    assert_eq!((at, behind, said.as_str()), (line, column, message));
    assert!(remedy.contains(help), "{remedy}");
}

#[test]
fn a_slip_in_an_operation_shows_its_syntax() {
    is(
        "aie.device(npu1) {\n  %t = aie.tile(0 2)\n}",
        2,
        19,
        "expected `,`, but `2` stands here",
        "the syntax is `aie.tile(<col>, <row>) {attributes}`",
    );
    is(
        "aie.device(npu1) {\n  %t = aie.tile(0, 2)\n  aie.flow(%t, DMS : 0, %t, DMA : 0)\n}",
        3,
        16,
        "expected a bundle of wires (Core | DMA | FIFO | South | West | North | East | PLIO | NOC | \
         Trace | TileControl), but `DMS` stands here",
        "the syntax is `aie.flow(%source,",
    );
}

#[test]
fn an_unknown_operation_is_named() {
    is(
        "module {\n  linalg.fill ins(%a)\n}",
        2,
        3,
        "the pretty form of the operation `linalg.fill` is not known",
        "`aiex`, `affine`, `arith`, `builtin`, `cf`, `func`, `math`, `memref`, `scf`, `vector`; \
         anything can be read in the generic form `\"linalg.fill\"(…) …`",
    );
    is(
        "aie.tile2(0, 1)",
        1,
        1,
        "the pretty form of the operation `aie.tile2` is not known",
        "slip",
    );
    is(
        "aie.device(npu1) { call @f() : () -> () }",
        1,
        20,
        "the pretty form of the operation `call` is not known",
        "`func.call`",
    );
}

#[test]
fn values_must_be_defined_once_before_their_use_and_of_one_type() {
    is(
        "\"a.b\"(%x) : (i32) -> ()",
        1,
        7,
        "`%x` is used, but nothing in scope defines it",
        "visible after its definition",
    );
    is(
        "func.func @f() {\n  %a = arith.constant 1 : i32\n  %a = arith.constant 2 : i32\n  return\n}",
        3,
        3,
        "`%a` is already defined, in line 2",
        "another name",
    );
    is(
        "func.func @f() {\n  %b = arith.addi %a, %a : i32\n  %a = arith.constant 2 : i32\n  return\n}",
        2,
        19,
        "`%a` is used before it is defined, in line 3",
        "move the definition up",
    );
    is(
        "func.func @f(%a: f32) {\n  %b = arith.addi %a, %a : i32\n  return\n}",
        2,
        19,
        "`%a` is of type f32, but is used as i32 here",
        "arith.addi",
    );
    is(
        "aie.device(npu1) {\n  %t = aie.tile(0, 2)\n  aie.core(%t) {\n    %x = arith.constant 1 : i32\n    aie.end\n  }\n  \"a.b\"(%x) : (i32) -> ()\n}",
        7,
        9,
        "`%x` is used, but nothing in scope defines it",
        "",
    );
    is(
        "aie.device(npu1) {\n  %t = aie.tile(0, 2)\n  func.func @f() {\n    aie.event(0)\n    \"a.b\"(%t) : (index) -> ()\n    return\n  }\n}",
        5,
        11,
        "`%t` is used, but nothing in scope defines it",
        "",
    );
    is("%a, %b = aie.tile(0, 2)", 1, 1, "`aie.tile` has 1 results, but 2 are named", "name each");
}

#[test]
fn blocks_must_be_there_once_and_get_their_arguments() {
    let body = |text: &str| format!("func.func @f(%a: i32) {{\n{text}\n}}");
    is(
        &body("cf.br ^b"),
        2,
        7,
        "block `^b` is not in this region",
        "the region that they stand in",
    );
    is(
        &body("cf.br ^b\n^b:\nreturn\n^b:\nreturn"),
        5,
        1,
        "block `^b` is already there, see line 2",
        "another label",
    );
    is(
        &body("cf.br ^b(%a : i32)\n^b:\nreturn"),
        2,
        1,
        "block `^b` takes 0 arguments, but gets 1",
        "pass a value",
    );
}

#[test]
fn numbers_must_fit() {
    is(
        "aie.device(npu1) { %t = aie.tile(0, 4294967296) }",
        1,
        37,
        "4294967296 is out of the range of i32",
        "-2147483648 to 4294967295",
    );
    is("%c = arith.constant 256 : i8", 1, 21, "256 is out of the range of i8", "-128 to 255");
    is(
        "%c = arith.constant 1 : f32",
        1,
        21,
        "expected a number of type f32, but this is an integer",
        "decimal point",
    );
    let number = "9".repeat(50);
    is(
        &format!("%c = arith.constant {number} : i32"),
        1,
        21,
        "this number has more than 127 bits",
        "",
    );
    is(
        "\"a.b\"() {x = dense<[[1, 2], [3]]> : tensor<2x2xi32>} : () -> ()",
        1,
        29,
        "this list has 1 elements, the one before it 2",
        "same size",
    );
    is(
        "\"a.b\"() {x = dense<[1, 2]> : tensor<3xi32>} : () -> ()",
        1,
        14,
        "the lists have the sizes [2], the type has [3]",
        "same size",
    );
}

#[test]
fn what_is_open_must_be_closed() {
    is("module {\n", 1, 8, "this `{` is not closed before the text ends", "add a `}`");
    is(
        "\"a.b\"() {x = \"never",
        1,
        14,
        "expected an attribute, but a string stands here that is not closed on its line",
        "",
    );
    is("module {} loc(\"a\"", 1, 14, "`(` is not closed before the text ends", "");
    is("module { $ }", 1, 10, "expected an operation, but `$` stands here", "");
}

#[test]
fn the_same_twice_is_refused() {
    is(
        "\"a.b\"() {x = 1, y, x = 2} : () -> ()",
        1,
        20,
        "the attribute `x` is given twice",
        "leave one of the two out",
    );
    is("\"a.b\"() <{x = 1}> {x = 1} : () -> ()", 1, 1, "`a.b` has the attribute `x` twice", "");
    is("#a = 1\n#a = 2", 2, 1, "`#a` is already defined", "");
    is("\"a.b\"() {x = #c} : () -> ()", 1, 14, "`#c` is not defined", "before its use");
}

#[test]
fn the_generic_form_must_agree_with_itself() {
    is("\"a.b\"() : (i32) -> ()", 1, 11, "0 operands have 1 types", "give each operand its type");
    is(
        "\"aie.device\"() <{device = 99 : i32}> ({}) : () -> ()",
        1,
        1,
        "there is no device of the number 99",
        "xcvc1902 | xcve2302",
    );
}
