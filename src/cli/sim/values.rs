//! What host buffers hold: files and generators.

use std::path::{Path, PathBuf};

use tilewright_sim::text::MemRef;

use super::element::Element;
use super::npy;

/// A host buffer as its sequence declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buffer {
    pub(super) element: Element,
    pub(super) shape: Vec<u64>,
    pub(super) bytes: usize,
}

impl Buffer {
    /// None for what cannot be handed to a sequence.
    pub(super) fn of(memref: &MemRef) -> Option<Self> {
        let shape = memref.shape.iter().copied().collect::<Option<Vec<u64>>>()?;
        Some(Self { element: Element::of(memref)?, shape, bytes: memref.bytes()? })
    }

    /// `24×3 i8`.
    pub(super) fn describe(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("{} {}", sizes.join("×"), self.element.name())
    }
}

/// Contents of a buffer, as the user names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    Zeros,
    Sequence,
    Random(u64),
    File(PathBuf),
}

impl std::str::FromStr for Contents {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "zeros" => Self::Zeros,
            "seq" => Self::Sequence,
            _ => match text.strip_prefix("random:") {
                Some(seed) => Self::Random(
                    seed.parse().map_err(|_| format!("`{seed}` is no seed: give a number"))?,
                ),
                None => Self::File(text.into()),
            },
        })
    }
}

impl Contents {
    /// The bytes of a buffer.
    pub(super) fn bytes(&self, buffer: &Buffer) -> Result<Vec<u8>, ValueError> {
        let count = buffer.bytes / buffer.element.bytes();
        let mut bytes = Vec::with_capacity(buffer.bytes);
        match self {
            Self::Zeros => bytes.resize(buffer.bytes, 0),
            Self::Sequence => {
                for i in 0..count {
                    buffer.element.push(i as i64, i as f64, &mut bytes);
                }
            }
            Self::Random(seed) => {
                let mut random = Random::new(*seed);
                for _ in 0..count {
                    let (integer, real) = random.number();
                    buffer.element.push(integer, real, &mut bytes);
                }
            }
            Self::File(path) => return read(path, buffer),
        }
        Ok(bytes)
    }
}

/// splitmix64: any seed will do.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// An integer in −128..=127, and a float in −1..1.
    fn number(&mut self) -> (i64, f64) {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let real = (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        ((bits % 256) as i64 - 128, real)
    }
}

/// Why a file is not the contents of a buffer.
#[derive(Debug)]
pub(super) enum ValueError {
    /// It could not be read.
    Read(PathBuf, std::io::Error),
    /// It holds something else.
    Contents(PathBuf, String),
}

fn read(path: &Path, buffer: &Buffer) -> Result<Vec<u8>, ValueError> {
    let file = std::fs::read(path).map_err(|source| ValueError::Read(path.to_owned(), source))?;
    let wrong = |reason: String| ValueError::Contents(path.to_owned(), reason);
    let bytes = if is_npy(path) {
        let npy::Array { descr, data } = npy::read(&file).map_err(wrong)?;
        buffer.element.convert(&descr, data).ok_or_else(|| {
            let mut reason = format!(
                "it holds {descr} where the design wants {} ({})",
                buffer.element.name(),
                buffer.element.descr()
            );
            if buffer.element.descr() == "<V2" {
                reason += "; bf16 may also be <u2, its bits, or <f4, to be rounded";
            }
            wrong(reason)
        })?
    } else {
        file
    };
    if bytes.len() != buffer.bytes {
        return Err(wrong(format!(
            "it holds {} bytes where the design wants {} ({})",
            bytes.len(),
            buffer.bytes,
            buffer.describe()
        )));
    }
    Ok(bytes)
}

pub(super) fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npy")
}

/// The file of a buffer, by its extension.
pub(super) fn file(path: &Path, buffer: &Buffer, bytes: &[u8]) -> Vec<u8> {
    if is_npy(path) { npy::write(buffer.element, &buffer.shape, bytes) } else { bytes.to_vec() }
}

/// Where two buffers differ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// Elements that differ.
    pub(super) count: usize,
    pub(super) elements: usize,
    /// Index of the first, and its values.
    pub(super) first: usize,
    pub(super) got: f64,
    pub(super) expected: f64,
    /// The largest difference.
    pub(super) largest: f64,
}

/// Compares element by element: equal bits, or numbers that differ by at most `tolerance`, absolutely
/// or relative to what is expected.
pub(super) fn difference(
    element: Element,
    got: &[u8],
    expected: &[u8],
    tolerance: f64,
) -> Option<Difference> {
    let size = element.bytes();
    let mut found: Option<Difference> = None;
    let pairs = got.chunks_exact(size).zip(expected.chunks_exact(size));
    for (i, (x, y)) in pairs.enumerate().filter(|(_, (x, y))| x != y) {
        let (x, y) = (element.value(x), element.value(y));
        let distance = (x - y).abs();
        if distance <= tolerance * y.abs().max(1.0) {
            continue;
        }
        let difference = found.get_or_insert(Difference {
            count: 0,
            elements: got.len() / size,
            first: i,
            got: x,
            expected: y,
            largest: 0.0,
        });
        difference.count += 1;
        // NaN is the largest of all.
        let larger = distance.is_nan() || distance > difference.largest;
        difference.largest = if larger { distance } else { difference.largest };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use tilewright_sim::text::Float;

    fn buffer(element: Element, count: u64) -> Buffer {
        Buffer { element, shape: vec![count], bytes: count as usize * element.bytes() }
    }

    #[test]
    fn generators_fill_buffers_of_any_type() {
        let words = buffer(Element::of_integer(16, false), 300);
        let bytes = "seq".parse::<Contents>().unwrap().bytes(&words).unwrap();
        assert_eq!(bytes[598..], 299_i16.to_le_bytes());
        let small = buffer(Element::of_integer(8, false), 300);
        assert_eq!(Contents::Sequence.bytes(&small).unwrap()[257], 1, "wraps");
        let floats = buffer(Element::Float(Float::F32), 1000);
        let random = Contents::Random(7).bytes(&floats).unwrap();
        assert_eq!(random, Contents::Random(7).bytes(&floats).unwrap());
        assert_ne!(random, Contents::Random(8).bytes(&floats).unwrap());
        let values = random.chunks(4).map(|bytes| floats.element.value(bytes));
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
        assert!((-1.0..-0.9).contains(&low) && (0.9..1.0).contains(&high), "{low} {high}");
        assert_eq!(Contents::Zeros.bytes(&floats).unwrap(), [0; 4000]);
        assert!("random:x".parse::<Contents>().is_err());
    }

    #[test]
    fn files_come_back_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let floats = buffer(Element::Float(Float::Bf16), 6);
        let bytes = Contents::Sequence.bytes(&floats).unwrap();
        for name in ["x.npy", "x.bin"] {
            let path = folder.path().join(name);
            std::fs::write(&path, file(&path, &floats, &bytes)).unwrap();
            assert_eq!(Contents::File(path.clone()).bytes(&floats).unwrap(), bytes);
            let Err(ValueError::Contents(_, reason)) =
                Contents::File(path).bytes(&buffer(floats.element, 7))
            else {
                panic!("another length")
            };
            assert!(reason.contains("12 bytes") && reason.contains("14 (7 bf16)"), "{reason}");
        }
        let path = folder.path().join("x.npy");
        let Err(ValueError::Contents(_, reason)) =
            Contents::File(path).bytes(&buffer(Element::of_integer(32, false), 3))
        else {
            panic!("another type")
        };
        assert_eq!(reason, "it holds <V2 where the design wants i32 (<i4)");
    }

    #[test]
    fn differences_are_counted_beyond_the_tolerance() {
        let element = Element::Float(Float::F32);
        let bytes =
            |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
        let expected = bytes(&[1.0, 100.0, f32::NAN, 0.0]);
        assert_eq!(difference(element, &expected, &expected, 0.0), None);
        let got = bytes(&[1.005, 100.5, f32::NAN, -0.0]);
        assert_eq!(difference(element, &got, &expected, 0.01), None);
        let difference = difference(element, &got, &expected, 0.0).unwrap();
        assert_eq!((difference.count, difference.first, difference.elements), (2, 0, 4));
        assert!((difference.largest - 0.5).abs() < 1e-6);
    }
}
