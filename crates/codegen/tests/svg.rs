//! The drawing of the array, held against the array that it draws.

#![allow(clippy::expect_used)] // Helpers outside of test functions.

use roxmltree::{Document, Node};
use tilewright_codegen::device::{Device, Precision};
use tilewright_codegen::model::ModelFile;
use tilewright_codegen::plan::array::{Array, At};
use tilewright_codegen::plan::{Design, Plan};
use tilewright_codegen::render::svg;

/// x and y.
type Point = (i32, i32);

/// One design per device and precision.
fn designs() -> Vec<Design> {
    let mut text = "[[model]]\nname = \"small\"\nwidth = 256\n\n".to_owned();
    for device in Device::ALL {
        for precision in Precision::ALL {
            text += &format!("[[target]]\ndevice = \"{device}\"\nprecision = \"{precision}\"\n");
            text += "tile = { m = 64, k = 64, n = 64 }\n\n";
        }
    }
    text += "[[op]]\nname = \"square\"\nshape = [\"width\", \"width\", \"width\"]\n";
    let file = ModelFile::parse("model.toml", &text).expect("the file is good");
    let plan = Plan::new(&file).expect("the plan keeps every limit");
    assert_eq!(plan.designs.len(), 4);
    plan.designs
}

fn for_every_drawing(check: impl Fn(&Array, &Document<'_>)) {
    for design in designs() {
        let text = svg::array(&design).expect("the template fits");
        let document = Document::parse(&text).expect("well-formed XML");
        check(&design.array, &document);
    }
}

fn of_class<'a>(document: &'a Document<'_>, class: &str) -> Vec<Node<'a, 'a>> {
    let named = |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|classes| classes.split(' ').any(|one| one == class))
    };
    document.descendants().filter(named).collect()
}

fn number(node: Node<'_, '_>, name: &str) -> i32 {
    node.attribute(name).and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn pair(text: &str) -> Point {
    let mut numbers = text.split([' ', ',']).map(|value| value.parse().expect("a number"));
    (numbers.next().expect("x"), numbers.next().expect("y"))
}

#[derive(Debug, Clone, Copy)]
struct Rectangle {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Rectangle {
    fn has_on_its_border(&self, (x, y): Point) -> bool {
        let beside = (x == self.left || x == self.right) && (self.top..=self.bottom).contains(&y);
        let over = (y == self.top || y == self.bottom) && (self.left..=self.right).contains(&x);
        beside || over
    }

    /// Whether a horizontal or vertical line runs through its inside.
    fn is_crossed_by(&self, from: Point, to: Point) -> bool {
        let (left, right) = (from.0.min(to.0), from.0.max(to.0));
        let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
        left < self.right && right > self.left && top < self.bottom && bottom > self.top
    }
}

fn boxes(document: &Document<'_>) -> Vec<(At, Rectangle)> {
    let mut boxes = Vec::new();
    for tile in of_class(document, "tile") {
        let place = tile.attribute("transform").expect("a place");
        let place = place.trim_start_matches("translate(").trim_end_matches(')');
        let (left, top) = pair(place);
        let outline = tile.children().find(|node| node.has_tag_name("rect")).expect("an outline");
        let (width, height) = (number(outline, "width"), number(outline, "height"));
        let at = At {
            column: number(tile, "data-column") as usize,
            row: number(tile, "data-row") as usize,
        };
        boxes.push((at, Rectangle { left, top, right: left + width, bottom: top + height }));
    }
    boxes
}

/// The pieces of a stream's line.
fn pieces(stream: Node<'_, '_>) -> Vec<(Point, Point)> {
    let line = stream.children().find(|node| {
        node.attribute("class").is_some_and(|class| class.split(' ').any(|one| one == "line"))
    });
    let path = line.and_then(|node| node.attribute("d")).expect("a path");
    let pieces = path.split('M').skip(1).map(|piece| {
        let (from, to) = piece.trim().split_once('L').expect("a line");
        (pair(from), pair(to))
    });
    pieces.collect()
}

#[test]
fn every_tile_has_a_box_and_every_fifo_a_stream() {
    for_every_drawing(|array, document| {
        let drawn: Vec<At> = boxes(document).into_iter().map(|(at, _)| at).collect();
        assert_eq!(drawn, array.tiles);
        let streams = of_class(document, "stream");
        let names: Vec<&str> =
            streams.iter().filter_map(|stream| stream.attribute("data-fifo")).collect();
        let fifos: Vec<&str> = array.fifos.iter().map(|fifo| fifo.name.as_str()).collect();
        assert_eq!(names, fifos);
    });
}

#[test]
fn boxes_are_apart_and_inside_the_drawing() {
    for_every_drawing(|_, document| {
        let root = document.root_element();
        let boxes = boxes(document);
        for (i, (at, one)) in boxes.iter().enumerate() {
            assert!(one.left > 0 && one.right < number(root, "width"), "{at}");
            assert!(one.top > 0 && one.bottom < number(root, "height"), "{at}");
            for (_, other) in &boxes[..i] {
                let corners = ((other.left, other.top), (other.right, other.bottom));
                assert!(!one.is_crossed_by(corners.0, corners.1), "{at}: {one:?} {other:?}");
            }
        }
    });
}

#[test]
fn streams_lead_from_their_producer_to_every_consumer() {
    for_every_drawing(|array, document| {
        let boxes = boxes(document);
        let outline = |at: At| boxes.iter().find(|(other, _)| *other == at).expect("a box").1;
        for (fifo, stream) in array.fifos.iter().zip(of_class(document, "stream")) {
            let start = pieces(stream)[0].0;
            assert!(outline(fifo.producer).has_on_its_border(start), "{}", fifo.name);
            let heads = stream.children().filter(|node| node.has_tag_name("polygon"));
            let tips: Vec<Point> = heads
                .map(|head| head.attribute("points").expect("points"))
                .map(|points| pair(points.split(' ').next().expect("a tip")))
                .collect();
            assert_eq!(tips.len(), fifo.consumers.len(), "{}", fifo.name);
            for (&consumer, tip) in fifo.consumers.iter().zip(tips) {
                assert!(outline(consumer).has_on_its_border(tip), "{} {consumer}", fifo.name);
            }
        }
    });
}

#[test]
fn streams_are_in_one_piece() {
    for_every_drawing(|_, document| {
        for stream in of_class(document, "stream") {
            let pieces = pieces(stream);
            for (i, (from, to)) in pieces.iter().enumerate().skip(1) {
                let meets = pieces[..i].iter().any(|(a, b)| {
                    let on = |(x, y): Point| {
                        (a.0.min(b.0)..=a.0.max(b.0)).contains(&x)
                            && (a.1.min(b.1)..=a.1.max(b.1)).contains(&y)
                    };
                    on(*from) || on(*to)
                });
                // A later piece may also run through the end of an earlier one.
                let passes = pieces[..i].iter().any(|(a, b)| {
                    let on = |(x, y): Point| {
                        (from.0.min(to.0)..=from.0.max(to.0)).contains(&x)
                            && (from.1.min(to.1)..=from.1.max(to.1)).contains(&y)
                    };
                    on(*a) || on(*b)
                });
                assert!(meets || passes, "{:?}", stream.attribute("data-fifo"));
            }
        }
    });
}

#[test]
fn streams_run_around_boxes_and_beside_each_other() {
    for_every_drawing(|_, document| {
        let boxes = boxes(document);
        let mut all: Vec<(&str, Point, Point)> = Vec::new();
        let streams = of_class(document, "stream");
        for stream in &streams {
            let name = stream.attribute("data-fifo").expect("a name");
            for (from, to) in pieces(*stream) {
                for (at, outline) in &boxes {
                    assert!(!outline.is_crossed_by(from, to), "{name} runs through {at}");
                }
                all.push((name, from, to));
            }
        }
        for (i, (name, from, to)) in all.iter().enumerate() {
            for (other, a, b) in all[..i].iter().filter(|(other, ..)| other != name) {
                let overlap = |p: fn(&Point) -> i32| {
                    p(from).max(p(to)).min(p(a).max(p(b))) - p(from).min(p(to)).max(p(a).min(p(b)))
                };
                let (x, y) = (overlap(|point| point.0), overlap(|point| point.1));
                let vertical = from.0 == to.0 && a.0 == b.0 && from.0 == a.0;
                let horizontal = from.1 == to.1 && a.1 == b.1 && from.1 == a.1;
                assert!(!(vertical && y > 0 || horizontal && x > 0), "{name} covers {other}");
            }
        }
    });
}

/// `2 × 4096 B` or `4096 B`.
fn size(text: &str) -> usize {
    let numbers = text.trim_end_matches(" B").split(" × ");
    numbers.map(|number| number.parse::<usize>().expect("a number")).product()
}

#[test]
fn the_lines_of_a_box_add_up_to_what_the_tile_uses() {
    for_every_drawing(|array, document| {
        let usage = array.usage();
        for (tile, (at, _)) in of_class(document, "tile").into_iter().zip(boxes(document)) {
            let text_of = |class: &str| -> Vec<&str> {
                let named = tile.descendants().filter(|n| n.attribute("class") == Some(class));
                named.filter_map(|node| node.text()).collect()
            };
            if at.row == 0 {
                assert!(text_of("bar-text").is_empty());
                continue;
            }
            let sum: usize = text_of("size").into_iter().map(size).sum();
            assert_eq!(sum, usage[&at].memory, "{at}");
            let used = text_of("bar-text")[0].split(' ').next().map(str::to_owned);
            assert_eq!(used, Some(sum.to_string()), "{at}");
        }
    });
}

#[test]
fn a_core_of_npu1_holds_what_its_tile_says() {
    let design = &designs()[0];
    let text = svg::array(design).expect("the template fits");
    let document = Document::parse(&text).expect("well-formed XML");
    let core = of_class(&document, "core")[0];
    let texts: Vec<&str> = core
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    // 64×64 of i8, twice; 64×64 of bf16, twice; 64×64 of i32.
    let expected = [
        "core (0, 2)",
        "A_l1_0",
        "2 × 4096 B",
        "B_l1_0",
        "2 × 4096 B",
        "C_l1_0_0",
        "2 × 8192 B",
        "acc_0_0 (i32)",
        "16384 B",
        "rtp_0_0",
        "16 B",
        "stack",
        "3328 B",
        "fifo counters",
        "12 B",
        "52508 of 65536 B (80 %)",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn the_legend_tells_the_streams_by_their_host_buffer() {
    let design = &designs()[2];
    let text = svg::array(design).expect("the template fits");
    let document = Document::parse(&text).expect("well-formed XML");
    let legend: Vec<&str> = of_class(&document, "legend")
        .into_iter()
        .flat_map(|entry| entry.descendants())
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    let streams = [
        "A, activations: 4 × shim → memtile; 4 × memtile → 8 cores each",
        "B, weights: 8 × shim → memtile; 8 × memtile → 4 cores each",
        "C, results: 32 × core → memtile, joined 4 to one; 8 × memtile → shim",
    ];
    assert_eq!(legend[..3], streams);
}

#[test]
fn names_are_escaped() {
    let mut design = designs().remove(0);
    let name = "A<&\"1".to_owned();
    let old = std::mem::replace(&mut design.array.fifos[0].name, name.clone());
    for link in &mut design.array.links {
        for from in link.from.iter_mut().filter(|from| **from == old) {
            from.clone_from(&name);
        }
    }
    let text = svg::array(&design).expect("the template fits");
    let document = Document::parse(&text).expect("well-formed XML");
    assert_eq!(of_class(&document, "stream")[0].attribute("data-fifo"), Some(name.as_str()));
}
