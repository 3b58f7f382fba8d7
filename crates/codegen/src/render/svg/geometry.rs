//! Where boxes and lines come to lie, in pixels.

use std::collections::BTreeMap;

use super::route::{Lanes, Route, Side, Way, ends, upper_end};
use super::scene::Scene;
use crate::plan::array::{At, Fifo};

pub(super) const BOX_WIDTH: i32 = 190;
/// Height of a line of text in a box.
pub(super) const LINE: i32 = 16;
/// Height of a box's title, and of its bar with the text below it.
pub(super) const TITLE: i32 = 24;
pub(super) const BAR: i32 = 34;
/// Between text and the border of its box.
pub(super) const PAD: i32 = 9;
/// Between two lines that run side by side.
const LANE: i32 = 10;
/// Around the lanes beside and below a box.
const GUTTER: i32 = 28;
/// From a lane below a row to the boxes above it.
const RISE: i32 = 17;
/// Between shims and memtiles, where lines run straight.
const STRAIGHT: i32 = 44;
/// Around the drawing.
pub(super) const MARGIN: i32 = 24;
/// Height of the titles, and of a line of the legend.
pub(super) const HEADING: i32 = 62;
pub(super) const LEGEND: i32 = 20;
/// Length and half the width of an arrowhead.
const HEAD: (i32, i32) = (8, 4);

/// Places of boxes and lanes, in pixels.
pub(super) struct Geometry<'a> {
    lanes: Lanes<'a>,
    /// Left edge of the boxes of each column.
    columns: Vec<i32>,
    /// Upper edge and height of the boxes of each row.
    rows: Vec<(i32, i32)>,
    /// Names of the fifos at each side of each box, from the top.
    ports: BTreeMap<(At, Side), Vec<&'a str>>,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl<'a> Geometry<'a> {
    pub(super) fn new(scene: &Scene<'a>) -> Self {
        let lanes = Lanes::new(&scene.routes);
        let (columns, width) = columns(scene, &lanes);
        let (rows, height) = rows(scene, &lanes);
        let mut ports: BTreeMap<(At, Side), Vec<&'a str>> = BTreeMap::new();
        for ((_, side), names) in &lanes.beside {
            for route in names.iter().filter_map(|name| scene.route(name)) {
                // Across, the consumers are reached from below.
                let beside = matches!(route.way, Way::Beside(_));
                let fifo = route.fifo;
                for at in ends(fifo).filter(|&at| beside || at == fifo.producer) {
                    ports.entry((at, *side)).or_default().push(&fifo.name);
                }
            }
        }
        Self { lanes, columns, rows, ports, width, height }
    }

    pub(super) fn left(&self, at: At) -> i32 {
        self.columns.get(at.column).copied().unwrap_or(0)
    }

    pub(super) fn top(&self, at: At) -> i32 {
        self.rows.get(at.row).map_or(0, |row| row.0)
    }

    pub(super) fn box_height(&self, at: At) -> i32 {
        self.rows.get(at.row).map_or(0, |row| row.1)
    }

    fn edge(&self, at: At, side: Side) -> i32 {
        match side {
            Side::Left => self.left(at),
            Side::Right => self.left(at) + BOX_WIDTH,
        }
    }

    /// Where a fifo meets the side of a box.
    fn port(&self, at: At, side: Side, fifo: &str) -> i32 {
        let names = self.ports.get(&(at, side)).map_or(&[][..], Vec::as_slice);
        self.top(at) + spread(self.box_height(at), names, fifo)
    }

    fn lane_beside(&self, fifo: &Fifo, side: Side) -> i32 {
        let names = self.lanes.beside.get(&(fifo.producer.column, side));
        let lane = GUTTER / 2 + LANE * position(names, &fifo.name);
        let edge = self.edge(fifo.producer, side);
        if side == Side::Left { edge - lane } else { edge + lane }
    }

    fn lane_below(&self, row: usize, fifo: &str) -> i32 {
        let (top, height) = self.rows.get(row).copied().unwrap_or_default();
        top + height + RISE + LANE * position(self.lanes.below.get(&row), fifo)
    }

    /// Draws the line of a fifo.
    pub(super) fn draw(&self, route: &Route<'a>) -> Pen {
        let mut pen = Pen::default();
        match route.way {
            Way::Straight => self.draw_straight(route.fifo, &mut pen),
            Way::Beside(side) => self.draw_beside(route.fifo, side, &mut pen),
            Way::Across(side) => self.draw_across(route, side, &mut pen),
        }
        pen
    }

    fn draw_straight(&self, fifo: &Fifo, pen: &mut Pen) {
        let upper = upper_end(fifo);
        let names = self.lanes.straight.get(&upper).map_or(&[][..], Vec::as_slice);
        let x = self.left(upper) + spread(BOX_WIDTH, names, &fifo.name);
        let high = self.top(upper) + self.box_height(upper);
        for &other in fifo.consumers.iter().chain([&fifo.producer]).filter(|&&at| at != upper) {
            let low = self.top(other);
            let (from, to) = if fifo.producer == upper { (high, low) } else { (low, high) };
            pen.line((x, from), (x, to));
            pen.head((x, to), (0, (to - from).signum()));
        }
    }

    fn draw_beside(&self, fifo: &Fifo, side: Side, pen: &mut Pen) {
        let lane = self.lane_beside(fifo, side);
        let start = self.port(fifo.producer, side, &fifo.name);
        pen.line((self.edge(fifo.producer, side), start), (lane, start));
        let ys: Vec<i32> =
            fifo.consumers.iter().map(|&at| self.port(at, side, &fifo.name)).collect();
        let (low, high) = range(ys.iter().copied().chain([start]));
        pen.line((lane, low), (lane, high));
        for (&at, &y) in fifo.consumers.iter().zip(&ys) {
            let edge = self.edge(at, side);
            pen.line((lane, y), (edge, y));
            pen.head((edge, y), ((edge - lane).signum(), 0));
            if y != low && y != high {
                pen.dots.push((lane, y));
            }
        }
    }

    fn draw_across(&self, route: &Route<'a>, side: Side, pen: &mut Pen) {
        let fifo = route.fifo;
        let lane = self.lane_beside(fifo, side);
        let start = self.port(fifo.producer, side, &fifo.name);
        pen.line((self.edge(fifo.producer, side), start), (lane, start));
        for row in route.rows_across() {
            let y = self.lane_below(row, &fifo.name);
            pen.line((lane, start), (lane, y));
            let in_row: Vec<At> =
                fifo.consumers.iter().copied().filter(|at| at.row == row).collect();
            let xs: Vec<i32> = in_row.iter().map(|&at| self.left(at) + BOX_WIDTH / 2).collect();
            let (first, last) = range(xs.iter().copied().chain([lane]));
            pen.line((first, y), (last, y));
            if lane != first && lane != last {
                pen.dots.push((lane, y));
            }
            for (&at, &x) in in_row.iter().zip(&xs) {
                let bottom = self.top(at) + self.box_height(at);
                pen.line((x, y), (x, bottom));
                pen.head((x, bottom), (0, -1));
                if x != first && x != last {
                    pen.dots.push((x, y));
                }
            }
        }
    }
}

/// Left edges of the boxes, and the width of the drawing.
fn columns(scene: &Scene<'_>, lanes: &Lanes<'_>) -> (Vec<i32>, i32) {
    let count = scene.tiles.keys().map(|at| at.column + 1).max().unwrap_or(0);
    let mut x = MARGIN;
    let mut columns = Vec::new();
    for column in 0..count {
        x += GUTTER + LANE * lanes.count_beside(column, Side::Left);
        columns.push(x);
        x += BOX_WIDTH + GUTTER + LANE * lanes.count_beside(column, Side::Right);
    }
    (columns, x + MARGIN)
}

/// Upper edges and heights of the boxes by row, counted from the bottom, and the height of the
/// drawing.
fn rows(scene: &Scene<'_>, lanes: &Lanes<'_>) -> (Vec<(i32, i32)>, i32) {
    let mut heights: BTreeMap<usize, i32> = BTreeMap::new();
    for (at, tile) in &scene.tiles {
        let bar = if tile.usage.memory > 0 { BAR + PAD / 2 } else { PAD };
        let height = TITLE + LINE * tile.items.len() as i32 + bar;
        let row = heights.entry(at.row).or_default();
        *row = height.max(*row);
    }
    let count = heights.keys().max().map_or(0, |row| row + 1);
    let mut rows = vec![(0, 0); count];
    let mut y = MARGIN + HEADING + LEGEND * scene.legend_rows() + GUTTER / 2;
    for (&row, &height) in heights.iter().rev() {
        rows[row] = (y, height);
        let straight = lanes.straight.keys().any(|upper| upper.row == row);
        let gap = if straight { STRAIGHT } else { 0 };
        let across = lanes.below.get(&row).map_or(0, Vec::len) as i32;
        y += height + gap.max(RISE) + LANE * across;
    }
    (rows, y + MARGIN - RISE)
}

/// Lines, arrowheads and branching points of one stream.
#[derive(Default)]
pub(super) struct Pen {
    pub(super) path: String,
    /// Triangles, as the points of polygons.
    pub(super) heads: Vec<String>,
    pub(super) dots: Vec<(i32, i32)>,
}

impl Pen {
    fn line(&mut self, from: (i32, i32), to: (i32, i32)) {
        let gap = if self.path.is_empty() { "" } else { " " };
        self.path += &format!("{gap}M{} {}L{} {}", from.0, from.1, to.0, to.1);
    }

    /// An arrowhead with its tip at a point, in a direction along one axis.
    fn head(&mut self, (x, y): (i32, i32), (dx, dy): (i32, i32)) {
        let (length, half) = HEAD;
        let back = (x - dx * length, y - dy * length);
        let [left, right] = [half, -half].map(|h| (back.0 + dy * h, back.1 + dx * h));
        self.heads.push(format!("{x},{y} {},{} {},{}", left.0, left.1, right.0, right.1));
    }
}

/// Spreads names over a length and tells where one of them comes to lie.
fn spread(length: i32, names: &[&str], name: &str) -> i32 {
    let index = names.iter().position(|other| *other == name).unwrap_or(0) as i32;
    length * (index + 1) / (names.len() as i32 + 1)
}

/// Position of a name in its lane group.
fn position(names: Option<&Vec<&str>>, name: &str) -> i32 {
    names.and_then(|names| names.iter().position(|other| *other == name)).unwrap_or(0) as i32
}

fn range(values: impl Iterator<Item = i32> + Clone) -> (i32, i32) {
    (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
}
