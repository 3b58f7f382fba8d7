//! Buffer descriptors as the words that their registers hold.

use crate::netlist::TileKind;

/// Words of a descriptor; those of cores use 6.
pub(super) const WORDS: usize = 8;

/// A step of a dimension in words, and the size at which the next dimension goes on; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dimension {
    pub(super) step: u64,
    pub(super) wrap: u64,
    pub(super) before: u64,
    pub(super) after: u64,
}

/// What the words of a descriptor say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// In words.
    pub(super) length: u64,
    /// First byte, as the tile's DMA counts; of shims the lower half.
    pub(super) base: u64,
    pub(super) packet: Option<(u32, u32)>,
    /// Innermost first: 3 of cores and shims, 4 of memtiles; the last has no wrap.
    pub(super) dimensions: Vec<Dimension>,
    /// Current one, number and step in words.
    pub(super) iteration: (u64, u64, u64),
    pub(super) next: Option<u32>,
    pub(super) valid: bool,
    /// Lock as the tile's DMA counts, and its change: negative for "at least".
    pub(super) acquire: Option<(u32, i32)>,
    pub(super) release: Option<(u32, i32)>,
    pub(super) compressed: bool,
}

/// Where a field is: word, lowest bit, bits.
type Place = (usize, u32, u32);

/// The layout of a tile's descriptors.
struct Layout {
    length: Place,
    base: Place,
    /// Bytes that the base counts in.
    unit: u64,
    enable_packet: Place,
    packet_type: Place,
    packet_id: Place,
    steps: &'static [Place],
    wraps: &'static [Place],
    before: &'static [Place],
    after: &'static [Place],
    /// Current, wrap, step.
    iteration: [Place; 3],
    next: Place,
    use_next: Place,
    valid: Place,
    acquire: [Place; 3],
    release: [Place; 2],
    compressed: Option<Place>,
}

const CORE: Layout = Layout {
    length: (0, 0, 14),
    base: (0, 14, 14),
    unit: 4,
    enable_packet: (1, 30, 1),
    packet_type: (1, 16, 3),
    packet_id: (1, 19, 5),
    steps: &[(2, 0, 13), (2, 13, 13), (3, 0, 13)],
    wraps: &[(3, 13, 8), (3, 21, 8)],
    before: &[],
    after: &[],
    iteration: [(4, 19, 6), (4, 13, 6), (4, 0, 13)],
    next: (5, 27, 4),
    use_next: (5, 26, 1),
    valid: (5, 25, 1),
    acquire: [(5, 12, 1), (5, 0, 4), (5, 5, 7)],
    release: [(5, 13, 4), (5, 18, 7)],
    compressed: Some((1, 31, 1)),
};

const MEMTILE: Layout = Layout {
    length: (0, 0, 17),
    base: (1, 0, 19),
    unit: 4,
    enable_packet: (0, 31, 1),
    packet_type: (0, 28, 3),
    packet_id: (0, 23, 5),
    steps: &[(2, 0, 17), (3, 0, 17), (4, 0, 17), (5, 0, 17)],
    wraps: &[(2, 17, 10), (3, 17, 10), (4, 17, 10)],
    before: &[(1, 26, 6), (3, 27, 5), (4, 27, 4)],
    after: &[(5, 17, 6), (5, 23, 5), (5, 28, 4)],
    iteration: [(6, 23, 6), (6, 17, 6), (6, 0, 17)],
    next: (1, 20, 6),
    use_next: (1, 19, 1),
    valid: (7, 31, 1),
    acquire: [(7, 15, 1), (7, 0, 8), (7, 8, 7)],
    release: [(7, 16, 8), (7, 24, 7)],
    compressed: Some((4, 31, 1)),
};

const SHIM: Layout = Layout {
    length: (0, 0, 32),
    base: (1, 0, 32),
    unit: 1,
    enable_packet: (2, 30, 1),
    packet_type: (2, 16, 3),
    packet_id: (2, 19, 5),
    steps: &[(3, 0, 20), (4, 0, 20), (5, 0, 20)],
    wraps: &[(3, 20, 10), (4, 20, 10)],
    before: &[],
    after: &[],
    iteration: [(6, 26, 6), (6, 20, 6), (6, 0, 20)],
    next: (7, 27, 4),
    use_next: (7, 26, 1),
    valid: (7, 25, 1),
    acquire: [(7, 12, 1), (7, 0, 4), (7, 5, 7)],
    release: [(7, 13, 4), (7, 18, 7)],
    compressed: None,
};

const fn layout(kind: TileKind) -> &'static Layout {
    match kind {
        TileKind::Core => &CORE,
        TileKind::Memtile => &MEMTILE,
        TileKind::Shim => &SHIM,
    }
}

const fn mask(bits: u32) -> u32 {
    if bits >= 32 { u32::MAX } else { (1 << bits) - 1 }
}

/// A word of a tile's descriptor that holds the address.
pub(super) const fn address_word(kind: TileKind) -> usize {
    layout(kind).base.0
}

/// Reads a descriptor.
pub(super) fn read(kind: TileKind, words: &[u32; WORDS]) -> Fields {
    let layout = layout(kind);
    let get = |(word, low, bits): Place| words[word] >> low & mask(bits);
    let signed = |place: Place| {
        let unused = 32 - place.2;
        (get(place) << unused) as i32 >> unused
    };
    let [current, wrap, step] = layout.iteration;
    let [enable, acquired, change] = layout.acquire;
    let [released, by] = layout.release;
    let dimensions = layout.steps.iter().enumerate().map(|(i, &step)| {
        let field = |places: &[Place]| places.get(i).map_or(0, |&place| u64::from(get(place)));
        Dimension {
            step: u64::from(get(step)) + 1,
            wrap: field(layout.wraps),
            before: field(layout.before),
            after: field(layout.after),
        }
    });
    Fields {
        length: u64::from(get(layout.length)),
        base: u64::from(get(layout.base)) * layout.unit,
        packet: (get(layout.enable_packet) == 1)
            .then(|| (get(layout.packet_type), get(layout.packet_id))),
        dimensions: dimensions.collect(),
        iteration: (u64::from(get(current)), u64::from(get(wrap)) + 1, u64::from(get(step)) + 1),
        next: (get(layout.use_next) == 1).then(|| get(layout.next)),
        valid: get(layout.valid) == 1,
        acquire: (get(enable) == 1).then(|| (get(acquired), signed(change))),
        release: (signed(by) != 0).then(|| (get(released), signed(by))),
        compressed: layout.compressed.is_some_and(|place| get(place) == 1),
    }
}

/// Writes a descriptor; fields that do not fit are cut.
pub(super) fn write(kind: TileKind, fields: &Fields) -> [u32; WORDS] {
    let layout = layout(kind);
    let mut words = [0; WORDS];
    let mut set = |(word, low, bits): Place, value: u64| {
        words[word] |= (value as u32 & mask(bits)) << low;
    };
    set(layout.length, fields.length);
    set(layout.base, fields.base / layout.unit);
    if let Some((packet_type, id)) = fields.packet {
        set(layout.enable_packet, 1);
        set(layout.packet_type, u64::from(packet_type));
        set(layout.packet_id, u64::from(id));
    }
    for (i, dimension) in fields.dimensions.iter().enumerate() {
        let places = [
            (layout.steps, dimension.step.saturating_sub(1)),
            (layout.wraps, dimension.wrap),
            (layout.before, dimension.before),
            (layout.after, dimension.after),
        ];
        for (places, value) in places {
            if let Some(&place) = places.get(i) {
                set(place, value);
            }
        }
    }
    let (current, count, step) = fields.iteration;
    set(layout.iteration[0], current);
    set(layout.iteration[1], count.saturating_sub(1));
    set(layout.iteration[2], step.saturating_sub(1));
    if let Some(next) = fields.next {
        set(layout.use_next, 1);
        set(layout.next, u64::from(next));
    }
    set(layout.valid, u64::from(fields.valid));
    if let Some((lock, change)) = fields.acquire {
        set(layout.acquire[0], 1);
        set(layout.acquire[1], u64::from(lock));
        set(layout.acquire[2], change as u64);
    }
    if let Some((lock, change)) = fields.release {
        set(layout.release[0], u64::from(lock));
        set(layout.release[1], change as u64);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shim_descriptor_of_the_compiler_is_read() {
        // 2 words of packet 1, type 1.
        let fields = read(TileKind::Shim, &[2, 0, 0x4009_0000, 0, 0x4000_0000, 0, 0, 0x200_0000]);
        assert_eq!((fields.length, fields.packet, fields.valid), (2, Some((1, 1)), true));
        assert_eq!((fields.next, fields.acquire, fields.release), (None, None, None));
    }

    #[test]
    fn a_memtile_descriptor_of_the_compiler_is_read() {
        let fields = read(TileKind::Memtile, &[4096, 0x18_0000, 0, 0, 0, 0, 0, 0x8140_ff41]);
        assert_eq!((fields.length, fields.base, fields.next), (4096, 0, Some(1)));
        assert_eq!((fields.acquire, fields.release), (Some((65, -1)), Some((64, 1))));
    }

    proptest! {
        #[test]
        fn words_say_what_was_written(words: [u32; WORDS], tile in 0..3_usize) {
            let kind = [TileKind::Core, TileKind::Memtile, TileKind::Shim][tile];
            let fields = read(kind, &words);
            prop_assert_eq!(read(kind, &write(kind, &fields)), Fields { compressed: false, ..fields });
        }
    }
}
