//! Features on disk: safetensors or npy, whole or not at all.
//!
//! Windows are written as they come, so that hours of audio need no more memory than one window. The
//! number of windows, which stands in front of them, is filled in at the end.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Bytes in front of the data: enough for either header, and a multiple of 64 as npy wants it.
const HEADER: usize = 256;
/// Name of the tensor in a safetensors file.
pub const TENSOR: &str = "features";

/// The layout of a file of features: one f32 tensor of windows × positions × width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Hugging Face's format, with the tensor [`TENSOR`].
    Safetensors,
    /// NumPy's format, version 1.0.
    Npy,
}

impl Format {
    /// The usual ending of a file name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npy => "npy",
        }
    }

    /// What stands in front of the data, of exactly [`HEADER`] bytes.
    fn header(self, shape: [usize; 3]) -> Vec<u8> {
        let [windows, positions, width] = shape;
        let (mut header, fields) = match self {
            Self::Safetensors => {
                let bytes = windows * positions * width * size_of::<f32>();
                let fields = format!(
                    r#"{{"{TENSOR}":{{"dtype":"F32","shape":[{windows},{positions},{width}],"data_offsets":[0,{bytes}]}}}}"#
                );
                (((HEADER - 8) as u64).to_le_bytes().to_vec(), fields)
            }
            Self::Npy => {
                let mut magic = b"\x93NUMPY\x01\x00".to_vec();
                magic.extend(((HEADER - 10) as u16).to_le_bytes());
                let fields = format!(
                    "{{'descr': '<f4', 'fortran_order': False, 'shape': ({windows}, {positions}, {width}), }}"
                );
                (magic, fields)
            }
        };
        header.extend(fields.bytes());
        header.resize(HEADER - 1, b' ');
        // Both formats allow spaces; npy wants a line feed at the end.
        header.push(if self == Self::Npy { b'\n' } else { b' ' });
        header
    }
}

/// Writes features beside their final place, where they appear when they are complete.
#[derive(Debug)]
pub struct FeatureWriter {
    path: PathBuf,
    format: Format,
    window: [usize; 2],
    windows: usize,
    file: BufWriter<NamedTempFile>,
}

impl FeatureWriter {
    /// Starts a file of windows of so many positions × width.
    ///
    /// # Errors
    /// When its folder cannot be written to, or a folder stands in its place.
    pub fn create(path: &Path, format: Format, window: [usize; 2]) -> io::Result<Self> {
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::with_prefix_in(".features-", folder.unwrap_or(Path::new(".")))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&format.header([0, window[0], window[1]]))?;
        Ok(Self { path: path.to_owned(), format, window, windows: 0, file })
    }

    /// Appends whole windows.
    ///
    /// # Errors
    /// When they cannot be written, or `features` is no whole number of windows.
    pub fn write(&mut self, features: &[f32]) -> io::Result<()> {
        let window = self.window[0] * self.window[1];
        if window == 0 || !features.len().is_multiple_of(window) {
            return Err(io::Error::other("features are no whole number of windows"));
        }
        for value in features {
            self.file.write_all(&value.to_le_bytes())?;
        }
        self.windows += features.len() / window;
        Ok(())
    }

    /// Fills in the header and puts the file into its place. Gives the shape of the tensor.
    ///
    /// # Errors
    /// When it cannot be written; there is no file then, or the one that was there before.
    pub fn finish(mut self) -> io::Result<[usize; 3]> {
        let shape = [self.windows, self.window[0], self.window[1]];
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.format.header(shape))?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        // A temporary file is private; results are as readable as other files.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut writer = FeatureWriter::create(&path, format, [2, 3]).unwrap();
        writer.write(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!(!path.exists(), "nothing is seen before it is complete");
        writer.write(&[6.0; 12]).unwrap();
        assert_eq!(writer.finish().unwrap(), [3, 2, 3]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::read(path).unwrap()
    }

    #[test]
    fn safetensors_reads_what_was_written() {
        let bytes = written(Format::Safetensors);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = tensors.tensor(TENSOR).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (safetensors::Dtype::F32, &[3, 2, 3][..]));
        assert_eq!(tensor.data()[20..24], 5.0_f32.to_le_bytes());
    }

    #[test]
    fn npy_has_the_header_that_numpy_describes() {
        // https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
        let bytes = written(Format::Npy);
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        assert!(
            header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 3), }")
        );
        assert!(header.ends_with(" \n"));
        assert_eq!(bytes.len(), 10 + length + 18 * 4);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut writer = FeatureWriter::create(&path, Format::Npy, [2, 3]).unwrap();
        writer.write(&[0.0; 6]).unwrap();
        assert!(writer.write(&[0.0; 5]).is_err());
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(FeatureWriter::create(folder.path(), Format::Npy, [2, 3]).is_err());
    }
}
