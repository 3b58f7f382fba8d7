//! How long a text is that zlib has compressed, to the byte.
//!
//! Another program of the same format finds other matches, and a text that just repeats itself too much
//! for one would not for the other. So this is what zlib does at its usual level, 6: `deflate_slow` of
//! its `deflate.c` and the trees of its `trees.c`, without the bytes. Exact up to 32 KiB, and close
//! beyond.

/// The shortest match.
const SHORTEST: usize = 3;
/// The longest.
const LONGEST: usize = 258;
/// How far back matches are looked for.
const MAX_DISTANCE: usize = 32768 - 262;
/// A shortest match from further away is none.
const TOO_FAR: usize = 4096;
/// Matches at least so long are not looked for a longer one of, one byte on.
const LAZY: usize = 16;
/// After one at least so long, a quarter of the places is looked at.
const GOOD: usize = 8;
/// One at least so long is taken at once.
const NICE: usize = 128;
/// Places that are looked at.
const CHAIN: usize = 128;
/// Symbols of a block.
const BLOCK: usize = 16383;
const NOWHERE: usize = 0;

/// The length of a text after `zlib.compress`.
pub(super) fn compressed_length(text: &[u8]) -> usize {
    let mut matcher = Matcher::new(text);
    let mut bits = 0;
    while let Some(from) = matcher.block() {
        let stored = matcher.place() - from;
        bits += block_bits(&matcher.symbols, stored, bits);
    }
    // Before: method and flags; behind: a checksum.
    2 + usize::div_ceil(bits, 8) + 4
}

/// A byte, or how many bytes are repeated from how far back.
#[derive(Debug, Clone, Copy)]
enum Symbol {
    Byte(u8),
    Match { length: usize, distance: usize },
}

/// The search for matches.
struct Matcher {
    /// The text, and zeros that a match may be compared with.
    window: Vec<u8>,
    length: usize,
    at: usize,
    /// By hash: the last place, and before each place the one before. Place 0 is nowhere.
    head: Vec<usize>,
    before: Vec<usize>,
    /// The match of the last place.
    found: (usize, usize),
    /// Whether the byte before `at` is not written yet.
    pending: bool,
    ended: bool,
    symbols: Vec<Symbol>,
}

impl Matcher {
    fn new(text: &[u8]) -> Self {
        let mut window = text.to_vec();
        window.resize(text.len() + 2 * LONGEST, 0);
        Self {
            length: text.len(),
            at: 0,
            head: vec![NOWHERE; 1 << 15],
            before: vec![NOWHERE; window.len()],
            window,
            found: (SHORTEST - 1, NOWHERE),
            pending: false,
            ended: false,
            symbols: Vec::new(),
        }
    }

    /// Where the symbols so far end.
    fn place(&self) -> usize {
        self.at - usize::from(self.pending)
    }

    /// Finds the symbols of the next block, and says where it begins; nothing at the end.
    fn block(&mut self) -> Option<usize> {
        if self.ended {
            return None;
        }
        let from = self.place();
        self.symbols.clear();
        while self.at < self.length && self.symbols.len() < BLOCK {
            self.step();
        }
        if self.symbols.len() < BLOCK {
            self.write_pending();
            self.ended = true;
        }
        Some(from)
    }

    /// A place further, or as many as a match has.
    fn step(&mut self) {
        let head = self.insert(self.at);
        let (last_length, last_start) = self.found;
        self.found = (SHORTEST - 1, last_start);
        if head != NOWHERE && last_length < LAZY && self.at - head <= MAX_DISTANCE {
            self.found = self.longest(head, last_length, last_start);
            let (length, start) = self.found;
            if length == SHORTEST && self.at - start > TOO_FAR {
                self.found.0 = SHORTEST - 1;
            }
        }
        if last_length >= SHORTEST && self.found.0 <= last_length {
            let distance = self.at - 1 - last_start;
            self.symbols.push(Symbol::Match { length: last_length, distance });
            for _ in 0..last_length - 2 {
                self.at += 1;
                self.insert(self.at);
            }
            self.at += 1;
            self.pending = false;
            self.found.0 = SHORTEST - 1;
            return;
        }
        self.write_pending();
        self.pending = true;
        self.at += 1;
    }

    fn write_pending(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.symbols.push(Symbol::Byte(self.window[self.at - 1]));
        }
    }

    /// Remembers a place, and returns the last one with the same hash.
    fn insert(&mut self, at: usize) -> usize {
        if at + SHORTEST > self.length {
            return NOWHERE;
        }
        let byte = |i: usize| usize::from(self.window[at + i]);
        let hash = ((byte(0) << 10) ^ (byte(1) << 5) ^ byte(2)) & 0x7FFF;
        let head = std::mem::replace(&mut self.head[hash], at);
        self.before[at] = head;
        head
    }

    /// The longest match, longer than the one before if there is such.
    fn longest(&self, mut place: usize, last: usize, last_start: usize) -> (usize, usize) {
        let left = self.length - self.at;
        let scan = &self.window[self.at..];
        let limit = self.at.saturating_sub(MAX_DISTANCE);
        let (mut best, mut start) = (last, last_start);
        let chain = if last >= GOOD { CHAIN / 4 } else { CHAIN };
        for _ in 0..chain {
            let other = &self.window[place..];
            if other[best] == scan[best] && other[best - 1] == scan[best - 1] {
                let same = scan.iter().zip(other).take(LONGEST).take_while(|(a, b)| a == b);
                let length = same.count();
                if length > best {
                    (best, start) = (length, place);
                    if length >= NICE.min(left) {
                        break;
                    }
                }
            }
            place = self.before[place];
            if place <= limit {
                break;
            }
        }
        (best.min(left), start)
    }
}

/// Bits of a block behind so many others: as it is, or with the usual code or its own.
fn block_bits(symbols: &[Symbol], stored: usize, before: usize) -> usize {
    const KIND: usize = 3;
    let mut literals = [0; 286];
    let mut distances = [0; 30];
    literals[256] = 1;
    let mut extra = 0;
    for symbol in symbols {
        match *symbol {
            Symbol::Byte(byte) => literals[usize::from(byte)] += 1,
            Symbol::Match { length, distance } => {
                let (length, bits) = length_code(length);
                let (distance, more) = distance_code(distance);
                literals[257 + length] += 1;
                distances[distance] += 1;
                extra += bits + more;
            }
        }
    }
    let usual = |symbol: usize| match symbol {
        0..144 | 280.. => 8,
        144..256 => 9,
        256..280 => 7,
    };
    let literal_bits = literals.iter().enumerate().map(|(symbol, n)| n * usual(symbol));
    let fixed = literal_bits.sum::<usize>() + 5 * distances.iter().sum::<usize>() + extra;

    let trees = [Code::new(&literals, 15), Code::new(&distances, 15)];
    let mut lengths = [0; 19];
    let mut described = 0;
    for tree in &trees {
        described += describe(&tree.lengths, &mut lengths);
    }
    let code = Code::new(&lengths, 7);
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let is_used = |place: &usize| code.lengths.get(ORDER[*place]).is_some_and(|n| *n > 0);
    let count = (3..19).rev().find(is_used).unwrap_or(2) + 1;
    let header = 14 + 3 * count + code.bits + described;
    let own = trees.iter().map(|tree| tree.bits).sum::<usize>() + extra + header;

    let bytes = |bits: usize| (bits + KIND).div_ceil(8);
    let best = bytes(own).min(bytes(fixed));
    if stored + 4 <= best {
        let begun = before + KIND;
        return KIND + (begun.next_multiple_of(8) - begun) + 8 * (4 + stored);
    }
    KIND + if bytes(fixed) <= bytes(own) { fixed } else { own }
}

/// The code of a match's length, and the bits behind it.
fn length_code(length: usize) -> (usize, usize) {
    match length {
        258 => (28, 0),
        _ => part(length - SHORTEST, 2),
    }
}

/// The code of a distance, and the bits behind it.
fn distance_code(distance: usize) -> (usize, usize) {
    part(distance - 1, 1)
}

/// Of numbers whose code tells the place of the highest bit and so many bits behind it.
fn part(number: usize, kept: u32) -> (usize, usize) {
    match number.checked_ilog2() {
        Some(highest) if highest >= kept => {
            let bits = highest - kept;
            (((bits as usize) << kept) + (number >> bits), bits as usize)
        }
        _ => (number, 0),
    }
}

/// A Huffman code as zlib makes it.
struct Code {
    /// Bits of each symbol, up to the last that is used.
    lengths: Vec<u8>,
    /// Bits of all symbols.
    bits: usize,
}

impl Code {
    /// For symbols that occur so often; no code is longer than `limit`.
    fn new(counts: &[usize], limit: usize) -> Self {
        let mut nodes: Vec<Node> =
            counts.iter().map(|count| Node { count: *count, ..Node::default() }).collect();
        let mut heap: Vec<usize> = (0..counts.len()).filter(|symbol| counts[*symbol] > 0).collect();
        let mut last = heap.last().copied();
        // A code has two symbols at least.
        while heap.len() < 2 {
            let forced = match last {
                Some(used @ 2..) => {
                    last = Some(used);
                    0
                }
                Some(used) => used + 1,
                None => 0,
            };
            last = last.max(Some(forced));
            nodes[forced].count = 1;
            heap.push(forced);
        }
        for place in (0..heap.len() / 2).rev() {
            sift(&mut heap, place, &nodes);
        }
        let mut order = Vec::new();
        while heap.len() > 1 {
            let least = heap.swap_remove(0);
            sift(&mut heap, 0, &nodes);
            let next = heap[0];
            let pair = nodes.len();
            let count = nodes[least].count + nodes[next].count;
            let depth = nodes[least].depth.max(nodes[next].depth) + 1;
            nodes.push(Node { count, depth, ..Node::default() });
            (nodes[least].parent, nodes[next].parent) = (pair, pair);
            order.extend([least, next]);
            heap[0] = pair;
            sift(&mut heap, 0, &nodes);
        }
        measure(&mut nodes, &order, counts.len(), limit);
        let symbols = &nodes[..=last.unwrap_or(0)];
        let lengths = symbols.iter().map(|node| node.length as u8).collect();
        // What was forced to be there is not written.
        let bits = symbols.iter().zip(counts).map(|(node, count)| node.length * count).sum();
        Self { lengths, bits }
    }
}

/// A symbol, or two nodes.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    count: usize,
    depth: usize,
    parent: usize,
    length: usize,
}

/// Gives all nodes their lengths, from the root on: `order` has the rarest first. Those that are too
/// long are shortened at the expense of others.
fn measure(nodes: &mut [Node], order: &[usize], symbols: usize, limit: usize) {
    let mut of_length = [0usize; 16];
    let mut surplus = 0isize;
    for node in order.iter().rev() {
        let mut length = nodes[nodes[*node].parent].length + 1;
        if length > limit {
            length = limit;
            surplus += 1;
        }
        nodes[*node].length = length;
        of_length[length] += usize::from(*node < symbols);
    }
    if surplus == 0 {
        return;
    }
    while surplus > 0 {
        let Some(longest) = (1..limit).rev().find(|length| of_length[*length] > 0) else { break };
        of_length[longest] -= 1;
        of_length[longest + 1] += 2;
        of_length[limit] -= 1;
        surplus -= 2;
    }
    let mut leaves = order.iter().filter(|node| **node < symbols);
    for length in (1..=limit).rev() {
        for node in leaves.by_ref().take(of_length[length]) {
            nodes[*node].length = length;
        }
    }
}

/// Moves a node down until none below it is rarer.
fn sift(heap: &mut [usize], mut place: usize, nodes: &[Node]) {
    let rarer = |a: usize, b: usize| {
        let key = |node: usize| (nodes[node].count, nodes[node].depth);
        key(a) <= key(b)
    };
    let Some(&moved) = heap.get(place) else { return };
    let mut child = 2 * place + 1;
    while child < heap.len() {
        if child + 1 < heap.len() && rarer(heap[child + 1], heap[child]) {
            child += 1;
        }
        if rarer(moved, heap[child]) {
            break;
        }
        heap[place] = heap[child];
        place = child;
        child = 2 * place + 1;
    }
    heap[place] = moved;
}

/// Counts the symbols that describe a code's lengths, in which repetitions are one, and returns the
/// bits behind them.
fn describe(lengths: &[u8], counts: &mut [usize; 19]) -> usize {
    const AGAIN: usize = 16;
    const FEW_ZEROS: usize = 17;
    const MANY_ZEROS: usize = 18;
    let (mut bits, mut before, mut count) = (0, None, 0);
    let (mut max, mut min) = if lengths.first() == Some(&0) { (138, 3) } else { (7, 4) };
    for (i, &length) in lengths.iter().enumerate() {
        let next = lengths.get(i + 1).copied();
        count += 1;
        if count < max && Some(length) == next {
            continue;
        }
        if count < min {
            counts[usize::from(length)] += count;
        } else if length != 0 {
            counts[usize::from(length)] += usize::from(before != Some(length));
            counts[AGAIN] += 1;
            bits += 2;
        } else if count <= 10 {
            counts[FEW_ZEROS] += 1;
            bits += 3;
        } else {
            counts[MANY_ZEROS] += 1;
            bits += 7;
        }
        count = 0;
        before = Some(length);
        (max, min) = match next {
            Some(0) => (138, 3),
            next if Some(length) == next => (6, 3),
            _ => (7, 4),
        };
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes of so many kinds.
    fn bytes(count: usize, kinds: u32) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) % kinds + 32) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    /// Against `len(zlib.compress(text))` of Python 3.11 with zlib 1.2.13.
    #[test]
    fn lengths_are_those_of_zlib() {
        for (text, expected) in [
            ("", 8),
            ("a", 9),
            (" Thank you.", 19),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 11),
            (
                "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country.",
                79,
            ),
            ("Ein Fischer fischt frische Fische, frische Fische fischt ein Fischer.", 39),
            ("世界、こんにちは。世界、こんにちは。", 40),
        ] {
            assert_eq!(compressed_length(text.as_bytes()), expected, "{text:?}");
        }
        for (count, kinds, expected) in [
            (300, 4, 123),
            (300, 90, 279),
            (3000, 2, 527),
            (3000, 30, 1917),
            (30_000, 12, 16078),
            (60_000, 200, 56870),
        ] {
            assert_eq!(compressed_length(&bytes(count, kinds)), expected, "{count} of {kinds}");
        }
    }
}
