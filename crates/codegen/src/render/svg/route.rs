//! The ways of lines: which lane each fifo runs in.

use std::collections::{BTreeMap, BTreeSet};

use crate::device::TileKind;
use crate::plan::array::{At, Fifo};

/// The way of a fifo's line.
pub(super) struct Route<'a> {
    pub(super) fifo: &'a Fifo,
    pub(super) way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From box to box, between a shim and the memtile above it.
    Straight,
    /// In a lane beside the column that all its ends are in.
    Beside(Side),
    /// In a lane beside the column of its producer, then in one below each row of consumers.
    Across(Side),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Left,
    Right,
}

impl<'a> Route<'a> {
    pub(super) fn new(fifo: &'a Fifo) -> Self {
        let from = fifo.producer;
        let rises = fifo.consumers.iter().any(|at| at.row > from.row);
        let side = if rises { Side::Left } else { Side::Right };
        let one_column = fifo.consumers.iter().all(|at| at.column == from.column);
        let neighbours = fifo.consumers.iter().all(|at| at.row.abs_diff(from.row) == 1);
        let meets_shim = ends(fifo).any(|at| at.kind() == TileKind::Shim);
        let way = match (one_column, neighbours && meets_shim) {
            (true, true) => Way::Straight,
            (true, false) => Way::Beside(side),
            (false, _) => Way::Across(side),
        };
        Self { fifo, way }
    }

    fn side(&self) -> Option<Side> {
        match self.way {
            Way::Straight => None,
            Way::Beside(side) | Way::Across(side) => Some(side),
        }
    }

    /// How high its lane beside the column goes, in halves of a row: a way across ends below its
    /// highest row.
    fn reach(&self) -> usize {
        let top = ends(self.fifo).map(|at| at.row).max().unwrap_or(0);
        2 * top - usize::from(matches!(self.way, Way::Across(_)))
    }

    /// Rows below which it runs across.
    pub(super) fn rows_across(&self) -> BTreeSet<usize> {
        match self.way {
            Way::Across(_) => self.fifo.consumers.iter().map(|at| at.row).collect(),
            Way::Straight | Way::Beside(_) => BTreeSet::new(),
        }
    }
}

pub(super) fn ends(fifo: &Fifo) -> impl Iterator<Item = At> {
    fifo.consumers.iter().copied().chain([fifo.producer])
}

/// Which fifos run in which lanes, by name, the one nearest to the boxes first.
#[derive(Default)]
pub(super) struct Lanes<'a> {
    pub(super) beside: BTreeMap<(usize, Side), Vec<&'a str>>,
    pub(super) below: BTreeMap<usize, Vec<&'a str>>,
    /// Straight lines by the tile at their upper end.
    pub(super) straight: BTreeMap<At, Vec<&'a str>>,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(routes: &[Route<'a>]) -> Self {
        let mut lanes = Self::default();
        // A lane that ends lower lies nearer, so that the way to a farther one crosses nothing.
        let mut by_reach: Vec<&Route<'a>> = routes.iter().collect();
        by_reach.sort_by_key(|route| route.reach());
        for route in by_reach {
            let (name, column) = (route.fifo.name.as_str(), route.fifo.producer.column);
            match route.side() {
                Some(side) => lanes.beside.entry((column, side)).or_default().push(name),
                None => lanes.straight.entry(upper_end(route.fifo)).or_default().push(name),
            }
            for row in route.rows_across() {
                lanes.below.entry(row).or_default().push(name);
            }
        }
        lanes
    }

    pub(super) fn count_beside(&self, column: usize, side: Side) -> i32 {
        self.beside.get(&(column, side)).map_or(0, Vec::len) as i32
    }
}

pub(super) fn upper_end(fifo: &Fifo) -> At {
    ends(fifo).max_by_key(|at| at.row).unwrap_or(fifo.producer)
}
