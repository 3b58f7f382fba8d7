//! NumPy's files, as far as host buffers need them: one array of numbers, in C order.
//!
//! bf16 is a void type of two bytes, `<V2`, as the package `ml_dtypes` writes it; `<u2` is read too.

use std::fmt::Write;

use super::element::Element;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// An array as it is in a file.
#[derive(Debug, PartialEq)]
pub(super) struct Array<'a> {
    /// NumPy's name of the element type: `<i4`.
    pub(super) descr: String,
    pub(super) data: &'a [u8],
}

/// Reads a file of version 1, 2 or 3.
pub(super) fn read(file: &[u8]) -> Result<Array<'_>, String> {
    let (magic, rest) = file.split_at_checked(8).ok_or("it is shorter than a header")?;
    if &magic[..6] != MAGIC {
        return Err("it does not begin as an .npy file does".to_owned());
    }
    let (length, rest) = match magic[6] {
        1 => {
            let (length, rest) = rest.split_at_checked(2).ok_or("its header is cut off")?;
            (usize::from(u16::from_le_bytes([length[0], length[1]])), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_at_checked(4).ok_or("its header is cut off")?;
            (u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize, rest)
        }
        version => return Err(format!("it is of version {version}; 1 to 3 are known")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or("its header is cut off")?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    let descr = after(header, "descr").and_then(quoted).ok_or("its header has no descr")?;
    let order = after(header, "fortran_order").ok_or("its header has no fortran_order")?;
    if order.starts_with("True") {
        return Err("it is in Fortran order; save it with numpy.ascontiguousarray".to_owned());
    }
    if descr.starts_with('>') {
        return Err(format!("it is big-endian ({descr})"));
    }
    Ok(Array { descr: descr.to_owned(), data })
}

/// What follows `'key':` in the header's dictionary.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let place = ['\'', '"'].into_iter().find_map(|quote| {
        let key = format!("{quote}{key}{quote}");
        Some(header.find(&key)? + key.len())
    })?;
    Some(header[place..].trim_start().strip_prefix(':')?.trim_start())
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split(quote).next()
}

/// A file of a buffer with this shape.
pub(super) fn write(element: Element, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let mut sizes = String::new();
    for size in shape {
        // Writing to a string cannot fail. A tuple of one has a comma.
        let _ = write!(sizes, "{size}, ");
    }
    let fields = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
        element.descr(),
        sizes.trim_end()
    );
    // Data begin on a multiple of 64, behind a line feed.
    let length = (10 + fields.len() + 1).next_multiple_of(64) - 10;
    let mut file = MAGIC.to_vec();
    file.extend([1, 0]);
    // A memref has a handful of dimensions.
    file.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    file.extend(fields.bytes());
    file.resize(10 + length - 1, b' ');
    file.push(b'\n');
    file.extend_from_slice(data);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let file = write(Element::of_integer(32, false), &[2, 3], &[7; 24]);
        let array = read(&file).unwrap();
        assert_eq!(array, Array { descr: "<i4".to_owned(), data: &[7; 24] });
        assert_eq!((file.len() - 24) % 64, 0);
        let header = String::from_utf8_lossy(&file[10..file.len() - 24]).into_owned();
        assert!(
            header.starts_with("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3,), }"),
            "{header}"
        );
        assert!(header.ends_with(" \n"));
    }

    #[test]
    fn what_is_no_array_of_numbers_in_c_order_is_refused() {
        let header = |fields: &str| {
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((fields.len() as u16).to_le_bytes());
            file.extend(fields.bytes());
            file
        };
        for (file, words) in [
            (b"NUMPY".to_vec(), "shorter than a header"),
            (b"\x00NUMPY\x01\x00\x00\x00".to_vec(), "does not begin"),
            (b"\x93NUMPY\x09\x00\x00\x00".to_vec(), "version 9"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "cut off"),
            (header("{'shape': (1,)}"), "no descr"),
            (header("{'descr': '<f4', 'fortran_order': True, }"), "Fortran order"),
            (header("{'descr': '>f4', 'fortran_order': False, }"), "big-endian"),
        ] {
            let error = read(&file).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
