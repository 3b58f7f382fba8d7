//! The header of a safetensors file, with every reason to refuse one said in full.
//!
//! A file is an 8-byte little-endian length, that many bytes of JSON, then the tensors. The crate
//! `safetensors` reads this safely, but keeps the last of two tensors of one name and says of most
//! mistakes that there is one, not where. The tests hold this reader against it: both accept the
//! same files, but for doubled names.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

/// Longer headers are refused before they are read, as the format demands.
const LIMIT: u64 = 100_000_000;
const PREFIX: usize = 8;

/// Where a tensor lies in its file, checked: the range is inside of the file and as long as the
/// shape and element type need.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Why a file is not a safetensors file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Fewer bytes than the length of the header takes.
    #[error("the file has {0} bytes, too few for a safetensors header")]
    TooShort(usize),
    /// A header longer than the format allows.
    #[error(
        "the header claims {0} bytes, more than the 100,000,000 that a safetensors file may have"
    )]
    HeaderTooLong(u64),
    /// A header that ends after the file.
    #[error(
        "the header claims {header} bytes and the file has {rest} after its length: it is cut off or not a safetensors file"
    )]
    HeaderBeyondFile {
        /// The length that the first eight bytes give.
        header: u64,
        /// What is left of the file.
        rest: usize,
    },
    /// Bytes that are no text.
    #[error("the header is not UTF-8 text: {0}")]
    NotText(#[from] std::str::Utf8Error),
    /// Text that is not the JSON of a header.
    #[error("the header is not what safetensors headers are: {0}")]
    Json(#[from] serde_json::Error),
    /// Two tensors of one name.
    #[error("tensor `{}` is listed twice", .0.escape_debug())]
    Duplicate(String),
    /// A size that no memory holds.
    #[error("tensor `{}` has the shape {shape:?}, whose size overflows", .name.escape_debug())]
    Overflow {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A range that its shape and element type contradict.
    #[error(
        "tensor `{}` is {dtype} {shape:?}, which takes {bits} bits, but its data_offsets {offsets:?} are not {} bytes apart",
        .name.escape_debug(), .bits.div_ceil(8)
    )]
    Size {
        /// The tensor.
        name: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
        /// What the elements take.
        bits: usize,
        /// Where the header says that they are.
        offsets: (usize, usize),
    },
    /// Two tensors in the same bytes.
    #[error("tensors `{}` and `{}` overlap", .first.escape_debug(), .second.escape_debug())]
    Overlap {
        /// The tensor that begins first.
        first: String,
        /// The tensor that begins before the first ends.
        second: String,
    },
    /// Bytes between tensors that belong to none.
    #[error(
        "tensor `{}` begins at {start}, but the one before it ends at {expected}: safetensors files have no holes", .name.escape_debug()
    )]
    Hole {
        /// The tensor after the hole.
        name: String,
        /// Where it begins.
        start: usize,
        /// Where it should.
        expected: usize,
    },
    /// A tensor after the end of the file.
    #[error(
        "tensor `{}` ends at byte {end} of the data, but the file has only {available} bytes of it: it is cut off", .name.escape_debug()
    )]
    BeyondFile {
        /// The first tensor that is not all there.
        name: String,
        /// Where it ends.
        end: usize,
        /// How many bytes there are.
        available: usize,
    },
    /// Bytes after the last tensor.
    #[error("the file has {0} bytes after its last tensor")]
    Trailing(usize),
}

/// Reads the header of a file and checks it against the file's length.
pub(super) fn parse(file: &[u8]) -> Result<BTreeMap<String, Entry>, Malformed> {
    let (header, data) = split(file)?;
    let Listed(mut tensors) = serde_json::from_str(std::str::from_utf8(header)?)?;
    tensors.sort_by(|(a, a_info), (b, b_info)| {
        (a_info.data_offsets, a).cmp(&(b_info.data_offsets, b))
    });
    check_names(&tensors)?;
    check_ranges(&tensors, data.len())?;
    let base = PREFIX + header.len();
    let entry = |info: TensorInfo| Entry {
        dtype: info.dtype,
        shape: info.shape,
        start: base + info.data_offsets.0,
        end: base + info.data_offsets.1,
    };
    Ok(tensors.into_iter().map(|(name, info)| (name, entry(info))).collect())
}

fn split(file: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let Some((length, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(match file.len() {
            0 => Malformed::Empty,
            length => Malformed::TooShort(length),
        });
    };
    let header = u64::from_le_bytes(*length);
    if header > LIMIT && header <= rest.len() as u64 {
        return Err(Malformed::HeaderTooLong(header));
    }
    usize::try_from(header)
        .ok()
        .and_then(|header| rest.split_at_checked(header))
        .ok_or(Malformed::HeaderBeyondFile { header, rest: rest.len() })
}

fn check_names(tensors: &[(String, TensorInfo)]) -> Result<(), Malformed> {
    let mut names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    twice.map_or(Ok(()), |pair| Err(Malformed::Duplicate(pair[0].to_owned())))
}

/// Tensors, in the order of their bytes, cover the data without holes or overlaps.
fn check_ranges(tensors: &[(String, TensorInfo)], available: usize) -> Result<(), Malformed> {
    let mut covered = 0;
    let mut before = "";
    for (name, info) in tensors {
        check_size(name, info)?;
        let (start, end) = info.data_offsets;
        if start < covered {
            return Err(Malformed::Overlap { first: before.to_owned(), second: name.clone() });
        }
        if start > covered {
            return Err(Malformed::Hole { name: name.clone(), start, expected: covered });
        }
        if end > available {
            return Err(Malformed::BeyondFile { name: name.clone(), end, available });
        }
        covered = end;
        before = name;
    }
    match available - covered {
        0 => Ok(()),
        trailing => Err(Malformed::Trailing(trailing)),
    }
}

fn check_size(name: &str, info: &TensorInfo) -> Result<(), Malformed> {
    let elements = info.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let bits = elements
        .and_then(|elements| elements.checked_mul(info.dtype.bitsize()))
        .ok_or_else(|| Malformed::Overflow { name: name.to_owned(), shape: info.shape.clone() })?;
    let (start, end) = info.data_offsets;
    if bits % 8 == 0 && start.checked_add(bits / 8) == Some(end) {
        return Ok(());
    }
    Err(Malformed::Size {
        name: name.to_owned(),
        dtype: info.dtype,
        shape: info.shape.clone(),
        bits,
        offsets: info.data_offsets,
    })
}

/// The tensors in the order of the header, doubled names included.
struct Listed(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Header;

        impl<'de> Visitor<'de> for Header {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
                let mut tensors = Vec::new();
                let mut metadata = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name != "__metadata__" {
                        let info = map.next_value().map_err(|error| {
                            A::Error::custom(format_args!(
                                "tensor `{}`: {error}",
                                name.escape_debug()
                            ))
                        })?;
                        tensors.push((name, info));
                    } else if std::mem::replace(&mut metadata, true) {
                        return Err(A::Error::custom("`__metadata__` is listed twice"));
                    } else {
                        map.next_value::<Option<HashMap<String, IgnoredText>>>()?;
                    }
                }
                Ok(Listed(tensors))
            }
        }

        deserializer.deserialize_map(Header)
    }
}

/// Text that is checked to be text and then dropped.
struct IgnoredText;

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = IgnoredText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "text")
            }

            fn visit_str<E>(self, _: &str) -> Result<IgnoredText, E> {
                Ok(IgnoredText)
            }
        }

        deserializer.deserialize_str(Text)
    }
}
