//! Random objectfifos between random tiles.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A design; the same for the same seed.
pub(crate) fn design(seed: u64) -> String {
    let mut design = Design { random: Random(seed), ..Design::default() };
    for _ in 0..1 + design.random.below(4) {
        match design.random.below(6) {
            0 | 1 => design.plain(),
            2 | 3 => design.through(),
            4 => design.distribute(),
            _ => design.join(),
        }
    }
    design.text()
}

/// SplitMix64.
#[derive(Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in so many cases of a hundred.
    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

type Place = (u64, u64);

#[derive(Default)]
struct Design {
    random: Random,
    /// The whole of a join or distribute, which has no dimensions here.
    whole: bool,
    fifos: String,
    links: String,
    count: usize,
    /// What cores may acquire: fifo, port and type, by tile.
    ends: BTreeMap<Place, Vec<(String, &'static str, u64)>>,
}

const COLUMNS: u64 = 3;

fn tile((column, row): Place) -> String {
    format!("%t{column}{row}")
}

impl Design {
    fn place(&mut self) -> Place {
        // Mostly cores.
        let row = [0, 1, 1, 2, 2, 3, 3, 4][self.random.below(8) as usize];
        (self.random.below(COLUMNS), row)
    }

    fn not_shim(&mut self) -> Place {
        let (column, row) = self.place();
        (column, row.max(1))
    }

    fn memtile(&mut self) -> Place {
        (self.random.below(COLUMNS), 1)
    }

    fn dimensions(&mut self, word: &str, size: u64, at: Place, share: u64) -> String {
        if at.1 == 0 || self.whole || !self.random.percent(share) {
            return String::new();
        }
        format!(
            " {word} [<size = 4, stride = 2>, <size = {}, stride = 8>, <size = 2, stride = 1>]",
            size / 8
        )
    }

    /// One more fifo; its name.
    fn fifo(&mut self, from: Place, to: &[Place], size: u64, extra: &str, plain: bool) -> String {
        let name = format!("f{}", self.count);
        self.count += 1;
        let to_stream = self.dimensions("dimensionsToStream", size, from, 15);
        let consumers: Vec<_> = to
            .iter()
            .map(|&place| tile(place) + &self.dimensions("dimensionsFromStream", size, place, 15))
            .collect();
        let each = self.random.percent(25);
        let mut depth = || 1 + self.random.below(3);
        let depth = if each {
            let depths: Vec<_> = (0..=to.len()).map(|_| depth().to_string()).collect();
            format!("[{}]", depths.join(", "))
        } else {
            format!("{} : i32", depth())
        };
        let mut attributes: Vec<String> = Vec::new();
        if !extra.is_empty() {
            attributes.push(extra.to_owned());
        }
        if self.random.percent(15) {
            attributes.push("via_DMA = true".to_owned());
        }
        if self.random.percent(8) {
            attributes.push("disable_synchronization = true".to_owned());
        }
        let on_memtile = from.1 == 1 || to.iter().any(|place| place.1 == 1);
        if on_memtile && self.random.percent(15) {
            attributes.push(format!("iter_count = {} : i32", 1 + self.random.below(256)));
        }
        if plain && from.1 > 0 && self.random.percent(15) {
            attributes.push(format!("repeat_count = {} : i32", 1 + self.random.below(3)));
        }
        let _ = writeln!(
            self.fifos,
            "    aie.objectfifo @{name}({}{to_stream}, {{{}}}, {depth}) {{{}}} : \
             !aie.objectfifo<memref<{size}xi32>>",
            tile(from),
            consumers.join(", "),
            attributes.join(", ")
        );
        name
    }

    fn end(&mut self, place: Place, name: &str, port: &'static str, size: u64) {
        if place.1 >= 2 && self.random.percent(80) {
            self.ends.entry(place).or_default().push((name.to_owned(), port, size));
        }
    }

    fn plain(&mut self) {
        let from = self.place();
        let mut to: Vec<Place> = Vec::new();
        for _ in 0..[1, 1, 1, 2, 3][self.random.below(5) as usize] {
            let place = if from.1 == 0 { self.not_shim() } else { self.place() };
            if !to.contains(&place) {
                to.push(place);
            }
        }
        let name = self.fifo(from, &to, 16, "", true);
        self.end(from, &name, "Produce", 16);
        for &place in &to {
            self.end(place, &name, "Consume", 16);
        }
        if to.len() == 1 && self.random.percent(15) {
            let at = if self.random.percent(50) { from } else { to[0] };
            let _ = writeln!(self.links, "    aie.objectfifo.allocate @{name}({})", tile(at));
        }
    }

    fn repeat(&mut self) -> String {
        if self.random.percent(25) {
            format!("repeat_count = {} : i32", 1 + self.random.below(3))
        } else {
            String::new()
        }
    }

    fn through(&mut self) {
        let middle = if self.random.percent(75) { self.memtile() } else { self.not_shim() };
        let (from, to) = (self.place(), self.place());
        let (a, b) =
            ([16, 32][self.random.below(2) as usize], [16, 32][self.random.below(2) as usize]);
        let mut first = vec![middle];
        if self.random.percent(20) {
            let other = self.not_shim();
            if other != middle {
                first.insert(self.random.below(2) as usize, other);
            }
        }
        let one = self.fifo(from, &first, a, "", false);
        let extra = self.repeat();
        let two = self.fifo(middle, &[to], b, &extra, false);
        self.end(from, &one, "Produce", a);
        for place in first.into_iter().filter(|&place| place != middle) {
            self.end(place, &one, "Consume", a);
        }
        self.end(to, &two, "Consume", b);
        let _ = writeln!(self.links, "    aie.objectfifo.link [@{one}] -> [@{two}]([] [])");
    }

    fn distribute(&mut self) {
        let (from, middle) = (self.place(), self.memtile());
        self.whole = true;
        let one = self.fifo(from, &[middle], 48, "", false);
        self.whole = false;
        self.end(from, &one, "Produce", 48);
        let extra = self.repeat();
        let mut names = Vec::new();
        for size in [16, 32] {
            let to = self.not_shim();
            let name = self.fifo(middle, &[to], size, &extra, false);
            self.end(to, &name, "Consume", size);
            names.push(format!("@{name}"));
        }
        let names = names.join(", ");
        let _ = writeln!(self.links, "    aie.objectfifo.link [@{one}] -> [{names}]([] [0, 16])");
    }

    fn join(&mut self) {
        let (middle, to) = (self.memtile(), self.place());
        let mut names = Vec::new();
        for size in [16, 32] {
            let from = self.not_shim();
            let name = self.fifo(from, &[middle], size, "", true);
            self.end(from, &name, "Produce", size);
            names.push(format!("@{name}"));
        }
        self.whole = true;
        let two = self.fifo(middle, &[to], 48, "", false);
        self.whole = false;
        self.end(to, &two, "Consume", 48);
        let names = names.join(", ");
        let _ = writeln!(self.links, "    aie.objectfifo.link [{names}] -> [@{two}]([0, 16] [])");
    }

    fn text(mut self) -> String {
        let mut text = "module {\n  aie.device(npu2) {\n".to_owned();
        for column in 0..COLUMNS {
            for row in 0..5 {
                let _ = writeln!(text, "    {} = aie.tile({column}, {row})", tile((column, row)));
            }
        }
        text.push_str(&self.fifos);
        text.push_str(&self.links);
        for (place, ends) in std::mem::take(&mut self.ends) {
            let _ = writeln!(text, "    aie.core({}) {{", tile(place));
            for (i, (name, port, size)) in ends.into_iter().enumerate() {
                let count = [1, 1, 2, 3][self.random.below(4) as usize];
                let _ = writeln!(
                    text,
                    "      %v{i} = aie.objectfifo.acquire @{name}({port}, {count}) : \
                     !aie.objectfifosubview<memref<{size}xi32>>\n      \
                     aie.objectfifo.release @{name}({port}, {count})"
                );
            }
            let dynamic = self.random.percent(50);
            let _ =
                writeln!(text, "      aie.end\n    }} {{dynamic_objfifo_lowering = {dynamic}}}");
        }
        text + "  }\n}\n"
    }
}
