//! The array of a design as a drawing: which tile holds what, which stream goes where.
//!
//! Everything is read off the [`Array`]: boxes are its tiles, lines its fifos. What a line is
//! called comes from the host buffer that its fifo is filled from or drained to. Lines run in lanes
//! beside and below the boxes: up on the left of a column, down on its right, across below a row,
//! and straight between a shim and its memtile.

mod geometry;
mod route;
mod scene;

use serde::Serialize;

use super::{RenderError, render};
use crate::device::{self, TileKind};
use crate::plan::Design;
use crate::plan::array::{Array, At, Fifo};
use crate::plan::usage::Usage;
use geometry::{BAR, BOX_WIDTH, Geometry, HEADING, LEGEND, LINE, MARGIN, PAD, TITLE};
use route::Route;
use scene::{REST, SUMS, Scene, TileContents, element_name};

/// Draws the array of a design as a standalone SVG document.
///
/// # Errors
/// When the template does not fit its context, which is a fault of this library.
pub fn array(design: &Design) -> Result<String, RenderError> {
    let scene = Scene::new(design);
    let geometry = Geometry::new(&scene);
    let layout = &design.layout;
    let (array, micro) = (&design.array, layout.micro);
    render(
        "array.svg",
        &Drawing {
            width: geometry.width,
            height: geometry.height,
            title: format!("{} · {} · tile {}", layout.device, layout.precision, layout.tile),
            subtitle: format!(
                "{} cores in {} columns, micro-tile {}×{}×{}: one static configuration, whatever the shape",
                array.cores.len(),
                layout.device.columns(),
                micro.r,
                micro.s,
                micro.t
            ),
            legend: legend(&scene),
            box_width: BOX_WIDTH,
            text: TextView {
                left: PAD,
                indented: PAD + 13,
                right: BOX_WIDTH - PAD,
                bar_width: BOX_WIDTH - 2 * PAD,
            },
            boxes: scene.tiles.iter().map(|(&at, tile)| tile_box(&geometry, at, tile)).collect(),
            streams: scene.routes.iter().map(|route| stream(&scene, &geometry, route)).collect(),
        },
    )
}

/// Context of `array.svg.tera`.
#[derive(Serialize)]
struct Drawing {
    width: i32,
    height: i32,
    title: String,
    subtitle: String,
    legend: Vec<LegendView>,
    box_width: i32,
    text: TextView,
    boxes: Vec<BoxView>,
    streams: Vec<StreamView>,
}

/// Where text stands in a box.
#[derive(Serialize)]
struct TextView {
    left: i32,
    indented: i32,
    right: i32,
    bar_width: i32,
}

#[derive(Serialize)]
struct LegendView {
    class: &'static str,
    /// Whether it explains a line, and not a part of a bar.
    line: bool,
    x: i32,
    y: i32,
    text: String,
}

#[derive(Serialize)]
struct BoxView {
    at: At,
    kind: TileKind,
    x: i32,
    y: i32,
    height: i32,
    title: String,
    tooltip: String,
    lines: Vec<LineView>,
    bar: Option<BarView>,
}

#[derive(Serialize)]
struct LineView {
    class: &'static str,
    y: i32,
    name: String,
    size: String,
}

#[derive(Serialize)]
struct BarView {
    y: i32,
    parts: Vec<PartView>,
    text: String,
}

#[derive(Serialize)]
struct PartView {
    class: &'static str,
    x: i32,
    width: i32,
}

#[derive(Serialize)]
struct StreamView {
    class: &'static str,
    name: String,
    tooltip: String,
    path: String,
    /// Triangles, as the points of polygons.
    heads: Vec<String>,
    dots: Vec<(i32, i32)>,
}

fn stream(scene: &Scene<'_>, geometry: &Geometry<'_>, route: &Route<'_>) -> StreamView {
    let fifo = route.fifo;
    let pen = geometry.draw(route);
    let consumers: Vec<String> = fifo.consumers.iter().map(ToString::to_string).collect();
    StreamView {
        class: scene.class(&fifo.name),
        name: fifo.name.clone(),
        tooltip: format!(
            "{}: {} → {}; objects of {} {} elements, {} bytes, {} at each end",
            fifo.name,
            fifo.producer,
            consumers.join(", "),
            fifo.elements,
            element_name(fifo.element),
            fifo.bytes(),
            fifo.depth
        ),
        path: pen.path,
        heads: pen.heads,
        dots: pen.dots,
    }
}

fn tile_box(geometry: &Geometry<'_>, at: At, tile: &TileContents) -> BoxView {
    let height = geometry.box_height(at);
    let lines = tile.items.iter().zip(0..).map(|(item, i)| LineView {
        class: item.class,
        y: TITLE + LINE * i + LINE / 2,
        name: item.name.clone(),
        size: item.size.clone(),
    });
    BoxView {
        at,
        kind: at.kind(),
        x: geometry.left(at),
        y: geometry.top(at),
        height,
        title: at.to_string(),
        tooltip: tooltip(at, &tile.usage),
        lines: lines.collect(),
        bar: (tile.usage.memory > 0).then(|| bar(at, tile, height - BAR)),
    }
}

fn tooltip(at: At, usage: &Usage) -> String {
    let (inputs, outputs) = (usage.inputs.len(), usage.outputs.len());
    let channels = format!("{at}: {inputs} input and {outputs} output channels");
    match at.kind() {
        // The rest belongs to the runtime sequences.
        TileKind::Shim => channels,
        TileKind::Memtile | TileKind::Core => {
            format!("{channels}, {} descriptors, {} locks", usage.descriptors(), usage.locks)
        }
    }
}

/// Fills a bar with what a tile holds, in the order of its lines.
fn bar(at: At, tile: &TileContents, y: i32) -> BarView {
    let (used, limit) = (tile.usage.memory, device::limits(at.kind()).memory);
    let whole = (BOX_WIDTH - 2 * PAD) as usize;
    // A plan that was not checked may hold more than there is; its bar is full then.
    let scale = |bytes: usize| (bytes * whole / limit.max(used).max(1)) as i32;
    let mut before = 0;
    let parts = tile.items.iter().map(|item| {
        let (from, to) = (scale(before), scale(before + item.bytes));
        before += item.bytes;
        PartView { class: item.class, x: from, width: to - from }
    });
    let parts = parts.filter(|part| part.width > 0).collect();
    let percent = used as f64 * 100.0 / limit.max(1) as f64;
    BarView { y, parts, text: format!("{used} of {limit} B ({percent:.0} %)") }
}

fn legend(scene: &Scene<'_>) -> Vec<LegendView> {
    let y = |row: i32| MARGIN + HEADING + LEGEND * row;
    let classes = scene.stream_classes();
    let last = y(classes.len() as i32);
    let streams = classes.into_iter().zip(0..).map(|(class, row)| LegendView {
        class,
        line: true,
        x: MARGIN,
        y: y(row),
        text: describe(scene, class),
    });
    let memory = [
        (SUMS, 0, "accumulators"),
        (REST, 150, "runtime parameters, stack, fifo counters"),
        ("free", 500, "free memory of the tile"),
    ];
    let memory = memory.map(|(class, x, text)| LegendView {
        class,
        line: false,
        x: MARGIN + x,
        y: last,
        text: text.to_owned(),
    });
    streams.chain(memory).collect()
}

/// Says in words where the fifos of a class go, as the array has them.
fn describe(scene: &Scene<'_>, class: &str) -> String {
    let mut ways: Vec<(String, usize)> = Vec::new();
    for fifo in scene.array.fifos.iter().filter(|fifo| scene.class(&fifo.name) == class) {
        let way = describe_way(scene.array, fifo);
        match ways.iter_mut().find(|(other, _)| *other == way) {
            Some((_, count)) => *count += 1,
            None => ways.push((way, 1)),
        }
    }
    let ways: Vec<String> = ways.iter().map(|(way, count)| format!("{count} × {way}")).collect();
    let role = match class {
        "a" => "A, activations",
        "b" => "B, weights",
        "c" => "C, results",
        other => other,
    };
    format!("{role}: {}", ways.join("; "))
}

fn describe_way(array: &Array, fifo: &Fifo) -> String {
    let joined = array.links.iter().find(|link| link.from.contains(&fifo.name));
    let from = fifo.producer.kind();
    let to = fifo.consumers.first().map_or(from, |at| at.kind());
    match (fifo.consumers.len(), joined.map_or(1, |link| link.from.len())) {
        (1, 1) => format!("{from} → {to}"),
        (1, parts) => format!("{from} → {to}, joined {parts} to one"),
        (consumers, _) => format!("{from} → {consumers} {to}s each"),
    }
}
