//! What a drawing shows, before anything has a place.

use std::collections::{BTreeMap, BTreeSet};

use super::route::Route;
use crate::device::TileKind;
use crate::plan::Design;
use crate::plan::array::{Array, At, Element, Fifo};
use crate::plan::usage::Usage;

/// What is drawn, before it has a place.
pub(super) struct Scene<'a> {
    pub(super) array: &'a Array,
    /// Class of each fifo: the host buffer that its objects come from or go to.
    pub(super) classes: BTreeMap<&'a str, &'static str>,
    pub(super) tiles: BTreeMap<At, TileContents>,
    /// One per fifo, in the order of the array.
    pub(super) routes: Vec<Route<'a>>,
}

pub(super) struct TileContents {
    pub(super) usage: Usage,
    pub(super) items: Vec<Item>,
}

/// One line of a box.
pub(super) struct Item {
    pub(super) class: &'static str,
    pub(super) name: String,
    pub(super) size: String,
    pub(super) bytes: usize,
}

/// Class of what belongs to no stream.
pub(super) const SUMS: &str = "sums";
pub(super) const REST: &str = "rest";

impl<'a> Scene<'a> {
    pub(super) fn new(design: &'a Design) -> Self {
        let array = &design.array;
        let classes = classes(design);
        let tiles = array.usage().into_iter().map(|(at, usage)| {
            let items = items(array, at, usage.memory, &classes);
            (at, TileContents { usage, items })
        });
        let tiles = tiles.collect();
        Self { array, classes, tiles, routes: array.fifos.iter().map(Route::new).collect() }
    }

    pub(super) fn class(&self, fifo: &str) -> &'static str {
        self.classes.get(fifo).copied().unwrap_or(REST)
    }

    pub(super) fn route(&self, fifo: &str) -> Option<&Route<'a>> {
        self.routes.iter().find(|route| route.fifo.name == fifo)
    }

    /// The classes of streams, in the order of the host buffers.
    pub(super) fn stream_classes(&self) -> BTreeSet<&'static str> {
        self.classes.values().copied().collect()
    }

    /// One per class of streams, and one for what fills the rest of a tile.
    pub(super) fn legend_rows(&self) -> i32 {
        self.stream_classes().len() as i32 + 1
    }
}

/// The host buffer behind every fifo. A memtile passes on what it got from, or gives to, a shim.
fn classes(design: &Design) -> BTreeMap<&str, &'static str> {
    let mut classes = BTreeMap::new();
    // Every sequence serves every fifo of a shim, so one is enough.
    for sequence in design.sequences.iter().take(1) {
        for transfer in &sequence.transfers {
            let argument = sequence.arguments.get(transfer.argument);
            classes.extend(argument.map(|buffer| (transfer.fifo.as_str(), buffer.name)));
        }
    }
    for link in &design.array.links {
        let names = || link.from.iter().chain([&link.to]).map(String::as_str);
        if let Some(class) = names().find_map(|name| classes.get(name).copied()) {
            classes.extend(names().map(|name| (name, class)));
        }
    }
    classes
}

/// What a tile holds. On a memtile the fifos of a link share the buffers of the one that leaves.
fn items(
    array: &Array,
    at: At,
    memory: usize,
    classes: &BTreeMap<&str, &'static str>,
) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let passed_on = |fifo: &Fifo| {
        array.links.iter().any(|link| link.at == at && link.from.contains(&fifo.name))
    };
    let ends = |fifo: &Fifo| fifo.producer == at || fifo.consumers.contains(&at);
    for fifo in array.fifos.iter().filter(|fifo| ends(fifo) && !passed_on(fifo)) {
        let class = classes.get(fifo.name.as_str()).copied().unwrap_or(REST);
        let (bytes, size) = match (at.kind(), fifo.producer == at) {
            (TileKind::Shim, true) => (0, format!("↑ {} B each", fifo.bytes())),
            (TileKind::Shim, false) => (0, format!("↓ {} B each", fifo.bytes())),
            _ => (fifo.depth * fifo.bytes(), format!("{} × {} B", fifo.depth, fifo.bytes())),
        };
        items.push(Item { class, name: fifo.name.clone(), size, bytes });
    }
    let whole =
        |class, name: String, bytes| Item { class, name, size: format!("{bytes} B"), bytes };
    for core in array.cores.iter().filter(|core| core.at == at) {
        let sums = &core.accumulators;
        let name = format!("{} ({})", sums.name, element_name(sums.element));
        items.push(whole(SUMS, name, sums.bytes()));
        items.push(whole(REST, core.parameters.name.clone(), core.parameters.bytes()));
        items.push(whole(REST, "stack".to_owned(), core.stack));
    }
    let known: usize = items.iter().map(|item| item.bytes).sum();
    if memory > known {
        items.push(whole(REST, "fifo counters".to_owned(), memory - known));
    }
    items
}

pub(super) fn element_name(element: Element) -> &'static str {
    match element {
        Element::I8 => "i8",
        Element::Bf16 => "bf16",
        Element::I32 => "i32",
        Element::F32 => "f32",
    }
}
