//! What the parts of a text become.

use tilewright_sim::text::{
    AffineExpr, Attribute, BlockId, Dense, DenseElements, Dimension, Float, MemRef, Op, Padding,
    Symbol, Type, enums,
};

use crate::same::read;

const I32: Type = Type::Integer { width: 32, unsigned: false };

/// The attribute that a text means.
fn attribute(text: &str) -> Attribute {
    let module = read(&format!("\"a.b\"() {{x = {text}}} : () -> ()"));
    module.body[0].attribute("x").unwrap().clone()
}

fn ty(text: &str) -> Type {
    match attribute(text) {
        Attribute::Type(ty) => ty,
        other => panic!("{other:?}"),
    }
}

fn dense(text: &str) -> (Vec<u64>, DenseElements) {
    match attribute(text) {
        Attribute::Dense(Dense { shape, elements, .. }) => (shape, elements),
        other => panic!("{other:?}"),
    }
}

/// Every operation, those within others too.
fn walk<'a>(ops: &'a [Op], into: &mut Vec<&'a Op>) {
    for op in ops {
        into.push(op);
        for block in op.regions.iter().flat_map(|region| &region.blocks) {
            walk(&block.ops, into);
        }
    }
}

#[test]
fn attributes() {
    assert_eq!(attribute("4"), Attribute::Integer(4));
    assert_eq!(attribute("-4 : i8"), Attribute::Integer(-4));
    assert_eq!(attribute("0xFF : i8"), Attribute::Integer(-1));
    assert_eq!(attribute("255 : ui8"), Attribute::Integer(255));
    assert_eq!(attribute("1 : i1"), Attribute::Bool(true));
    assert_eq!(attribute("false"), Attribute::Bool(false));
    assert_eq!(attribute("unit"), Attribute::Unit);
    assert_eq!(attribute("2.5"), Attribute::Float(2.5));
    assert_eq!(attribute("0x3F80 : bf16"), Attribute::Float(1.0));
    assert_eq!(attribute("0.1 : f32"), Attribute::Float(f64::from(0.1_f32)));
    assert_eq!(attribute(r#""a\22\n\\b""#), Attribute::String("a\"\n\\b".to_owned()));
    assert_eq!(
        attribute(r#"@a::@"b c""#),
        Attribute::Symbol(Symbol(vec!["a".to_owned(), "b c".to_owned()]))
    );
    assert_eq!(attribute("array<i32: 1, -2>"), Attribute::Integers(vec![1, -2]));
    assert_eq!(attribute("array<i64>"), Attribute::Integers(vec![]));
    assert_eq!(attribute("[]"), Attribute::Array(vec![]));
    assert_eq!(
        attribute("{b, a = 1}"),
        Attribute::Dictionary(vec![
            ("a".to_owned(), Attribute::Integer(1)),
            ("b".to_owned(), Attribute::Unit),
        ])
    );
    assert_eq!(
        attribute("#aie.bd_dim_layout_array[<stride = 1, size = 2>]"),
        Attribute::Dimensions(vec![Dimension { size: 2, stride: 1 }])
    );
    assert_eq!(
        attribute("#aie<bd_pad_layout_array[<const_pad_before = 3, const_pad_after = 4>]>"),
        Attribute::Paddings(vec![Padding { before: 3, after: 4 }])
    );
    assert_eq!(
        attribute("#aie.packet_info<pkt_type = 1, pkt_id = 9>"),
        Attribute::Packet { pkt_type: 1, pkt_id: 9 }
    );
    assert_eq!(
        attribute("#dlti.dl_spec<i32 =  32 , \"x\"->1>"),
        Attribute::Other("#dlti.dl_spec<i32=32, \"x\"->1>".to_owned())
    );
}

#[test]
fn types() {
    assert_eq!(ty("i32"), I32);
    assert_eq!(ty("ui8"), Type::Integer { width: 8, unsigned: true });
    assert_eq!(ty("si8"), Type::Integer { width: 8, unsigned: false });
    assert_eq!(
        ty("vector<4x8xbf16>"),
        Type::Vector(vec![4, 8], Box::new(Type::Float(Float::Bf16)))
    );
    assert_eq!(ty("tensor<f16>"), Type::Tensor(vec![], Box::new(Type::Float(Float::F16))));
    assert_eq!(ty("(i32) -> ()"), Type::Function(vec![I32], vec![]));
    let memref = |shape: &[Option<u64>], layout| {
        Type::MemRef(Box::new(MemRef { shape: shape.to_vec(), element: I32, layout }))
    };
    assert_eq!(ty("memref<i32>"), memref(&[], None));
    assert_eq!(ty("memref<0x4xi32>"), memref(&[Some(0), Some(4)], None));
    assert_eq!(ty("memref<4xi32, 2>"), memref(&[Some(4)], None));
    assert_eq!(ty("memref<4xi32, 2 : i32>"), memref(&[Some(4)], None));
    assert_eq!(ty("memref<4xi32, #foo.space<l1>>"), memref(&[Some(4)], None));
    assert_eq!(
        ty("memref<?x4xi32, strided<[?, 1], offset: ?>, 2>"),
        memref(&[None, Some(4)], Some((vec![None, Some(1)], None)))
    );
    assert_eq!(ty("memref<4xi32, affine_map<(d0) -> (d0)>>"), memref(&[Some(4)], None));
    assert_eq!(
        ty("memref<4x4xi32, affine_map<(d0, d1) -> (d0 * 8 + d1 * 2 + 5)>>"),
        memref(&[Some(4); 2], Some((vec![Some(8), Some(2)], Some(5))))
    );
    assert_eq!(
        ty("!aiex.bfp<\"v8bfp16ebs8\">"),
        Type::Other("!aiex.bfp<\"v8bfp16ebs8\">".to_owned())
    );
    assert_eq!(
        ty("memref<4xi32, strided<[2], offset: 3>>").to_string(),
        "memref<4xi32, strided<[2], offset: 3>>"
    );
}

#[test]
fn constants() {
    use DenseElements::{Bytes, Each, Splat};
    assert_eq!(dense("dense<3> : tensor<1000000x1000000xi32>"), (vec![1_000_000; 2], Splat(3.0)));
    assert_eq!(dense("dense<[1, 2, 200]> : tensor<3xi8>"), (vec![3], Each(vec![1.0, 2.0, -56.0])));
    assert_eq!(dense("dense<[[1, 1], [1, 1]]> : tensor<2x2xi8>"), (vec![2, 2], Splat(1.0)));
    assert_eq!(dense("dense<[true, false]> : tensor<2xi1>"), (vec![2], Each(vec![1.0, 0.0])));
    assert_eq!(dense("dense<[0x3F80, -2.0]> : tensor<2xbf16>"), (vec![2], Each(vec![1.0, -2.0])));
    assert_eq!(dense("dense<> : tensor<0xi32>"), (vec![0], Each(vec![])));
    assert_eq!(dense("dense<\"0xFF01\"> : tensor<2xi8>"), (vec![2], Each(vec![-1.0, 1.0])));
    assert_eq!(dense("dense<\"0x803F\"> : tensor<64xbf16>"), (vec![64], Splat(1.0)));
    // What a floating-point number does not hold stays bytes.
    let large = [0_u8, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0, 0, 0, 0, 0, 0x40];
    assert_eq!(
        dense("dense<[4611686018427387904, 4611686018427387905]> : tensor<2xi64>"),
        (vec![2], Bytes(large.to_vec()))
    );
}

#[test]
fn affine_maps() {
    let map = |text: &str| match attribute(text) {
        Attribute::AffineMap(map) => map,
        other => panic!("{other:?}"),
    };
    let one =
        map("affine_map<(d0, d1)[s0] -> (d0 * 2 + d1 mod 3 - s0, d1 ceildiv 4, -(d0 floordiv 2))>");
    assert_eq!((one.dimensions, one.symbols), (2, 1));
    assert_eq!(one.evaluate(&[-5, 7], &[2]), Some(vec![-11, 2, 3]));
    assert_eq!(one.evaluate(&[-5], &[2]), None);
    assert_eq!(map("affine_map<() -> (2 * 3 + 1)>").results, [AffineExpr::Constant(7)]);
    assert_eq!(map("affine_map<(d0) -> (d0 mod 0)>").evaluate(&[1], &[]), None);
    assert_eq!(map("affine_map<(d0) -> (d0 + 9223372036854775807)>").evaluate(&[1], &[]), None);
}

#[test]
fn values_know_their_names_types_and_places() {
    let module = read(
        "%a:2, %b = \"x.y\"() : () -> (i32, f32, index)\n\"x.z\"(%a#1, %b, %a#0) : (f32, index, i32) -> ()",
    );
    let [first, second] = module.body.as_slice() else { panic!() };
    let named: Vec<(&str, String)> = first
        .results
        .iter()
        .map(|&id| (module.value(id).name.as_str(), module.value(id).ty.to_string()))
        .collect();
    assert_eq!(
        named,
        [("%a#0", "i32".to_owned()), ("%a#1", "f32".to_owned()), ("%b", "index".to_owned())]
    );
    assert_eq!(second.operands, [first.results[1], first.results[2], first.results[0]]);
    assert_eq!(module.source.line(second.span), 2);
    assert_eq!(module.source.column(second.span), 1);
}

#[test]
fn names_are_free_again_beside_and_below_what_is_isolated() {
    let module = read(
        "aie.device(npu1) {
            %t = aie.tile(0, 2)
            %u = aie.tile(1, 2)
            aie.core(%t) { %x = arith.constant 1 : i32 aie.end }
            aie.core(%u) { %x = arith.constant 1.0 : f32 aie.end }
            func.func @f(%t: i32) { %u = arith.addi %t, %t : i32 return }
        }",
    );
    let mut ops = Vec::new();
    walk(&module.body, &mut ops);
    let add = ops.iter().find(|op| op.name == "arith.addi").unwrap();
    assert_eq!(module.value(add.operands[0]).ty, I32);
}

#[test]
fn values_and_blocks_may_come_later() {
    let module = read(
        "func.func @f(%c: i1) {
            cf.br ^second
        ^first:
            %b = arith.addi %a, %a : i32
            return
        ^second:
            %a = arith.constant 1 : i32
            cf.cond_br %c, ^first, ^second
        }",
    );
    let mut ops = Vec::new();
    walk(&module.body, &mut ops);
    let of = |name: &str| *ops.iter().find(|op| op.name == name).unwrap();
    assert_eq!(of("arith.addi").operands[0], of("arith.constant").results[0]);
    assert_eq!(of("cf.br").successors[0].block, BlockId(2));
    assert_eq!(of("cf.cond_br").successors[0].block, BlockId(1));
}

#[test]
fn enumerations_have_the_numbers_of_the_generic_form() {
    assert_eq!(enums::WireBundle::from_number(10), Some(enums::WireBundle::TileControl));
    assert_eq!(enums::WireBundle::from_number(11), None);
    assert_eq!(enums::LockAction::AcquireGreaterEqual as i128, 2);
    assert_eq!(enums::DmaChannelDir::Mm2s.name(), "MM2S");
    assert_eq!(enums::ObjectFifoPort::CASES.number("Consume"), Some(1));
    assert_eq!(enums::DEVICES.name(4), Some("npu1"));
    let module =
        read("aie.device(npu1_1col) { %t = aie.tile(0, 0) aie.flow(%t, Trace : 0, %t, DMA : 1) }");
    assert_eq!(module.body[0].string("device"), Some("npu1_1col"));
    let flow = &module.body[0].regions[0].blocks[0].ops[1];
    assert_eq!(flow.integer("source_bundle"), Some(9));
}

#[test]
fn defaults_are_always_or_never_there() {
    let module = read("aie.device(npu1) { %t = aie.tile(0, 2) %c = aie.core(%t) { aie.end } }");
    let device = &module.body[0];
    assert_eq!(device.string("sym_name"), Some("main"));
    let ops = &device.regions[0].blocks[0].ops;
    assert_eq!(ops[1].integer("stack_size"), Some(1024));
    assert_eq!(ops[2].name, "aie.end");
    assert_eq!(ops[1].attribute("link_with"), None);
}
