//! Weights: from files, from the hub, or made of nothing.
//!
//! [`Weights::open`] takes what a user says after `--weights`:
//!
//! - a folder, with `model.safetensors` or `model.safetensors.index.json` and its shards, and
//!   `config.json`;
//! - a `*.safetensors` file, or an `*.index.json`;
//! - a hub id, `openai/whisper-base` or `openai/whisper-base@revision`.
//!
//! What exists as a path is a path. Anything else that consists of two words with one `/` between
//! them is a hub id; to be told that a path does not exist instead, write `./` before it.
//!
//! Files are mapped, not read. [`Weights::check`] says everything that does not fit a model before
//! anything is computed; [`Weights::tensor`] hands out the tensors, which stay where they are if
//! they are `f32` and become `f32` if they are `f16` or `bf16`. Names have the prefix `model.` or
//! not, in files as in questions.
//!
//! [`Weights::synthetic`] are seeded weights for any model, for programs and tests without a
//! checkpoint.
//!
//! ```
//! use tilewright::weights::{Dimensions, Weights};
//!
//! let tiny =
//!     Dimensions { mel_bins: 80, d_model: 384, heads: 6, layers: 4, ffn: 1536, positions: 1500 };
//! let weights = Weights::synthetic();
//! weights.check(&tiny)?;
//! let bias = weights.tensor("model.encoder.conv1.bias", &[tiny.d_model])?;
//! assert_eq!(bias.shape(), [384]);
//! # Ok::<_, tilewright::weights::WeightsError>(())
//! ```
//!
//! # Limits
//! The file must not be shortened or rewritten in place while it is open. Values are looked at when
//! a tensor is read, not when it is checked.

pub mod cache;
mod config;
mod convert;
mod dimensions;
mod error;
mod files;
mod hash;
mod header;
mod hub;
mod map;
pub mod synthetic;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use cache::{PackCache, Packed};
pub use dimensions::{DecoderDimensions, Dimensions, decoder_tensors, encoder_tensors};
pub use error::{HubError, SizeMismatch, TensorProblem, WeightsError};
pub use hash::ContentHash;
pub use header::Malformed;

use files::{Files, Pages};
use hub::HubId;

/// How weights are opened.
///
/// ```no_run
/// use tilewright::weights::Options;
///
/// let weights = Options::new().offline(true).open("openai/whisper-base")?;
/// # Ok::<_, tilewright::weights::WeightsError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    cache: Option<Vec<PathBuf>>,
    offline: bool,
    progress: bool,
    tokenizer: bool,
    hub_cache: Option<PathBuf>,
    hub_endpoint: Option<String>,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps packed weights and hashes in this folder. Default: see [`cache`].
    pub fn cache(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.cache = Some(vec![folder.into()]);
        self
    }

    /// Never downloads. Default: downloads what is not there, unless `HF_HUB_OFFLINE` is set.
    pub fn offline(&mut self, offline: bool) -> &mut Self {
        self.offline = offline;
        self
    }

    /// Shows on standard error how far a download is. Default: no.
    pub fn progress(&mut self, progress: bool) -> &mut Self {
        self.progress = progress;
        self
    }

    /// Downloads from the hub also what text needs besides weights: `tokenizer.json` and
    /// `generation_config.json`. Default: no.
    pub fn tokenizer(&mut self, tokenizer: bool) -> &mut Self {
        self.tokenizer = tokenizer;
        self
    }

    /// The folder for downloads. Default: that of Hugging Face's programs: `HF_HUB_CACHE`,
    /// `HF_HOME/hub`, `~/.cache/huggingface/hub`.
    pub fn hub_cache(&mut self, folder: impl Into<PathBuf>) -> &mut Self {
        self.hub_cache = Some(folder.into());
        self
    }

    /// The hub. Default: `HF_ENDPOINT`, `https://huggingface.co`.
    pub fn hub_endpoint(&mut self, url: impl Into<String>) -> &mut Self {
        self.hub_endpoint = Some(url.into());
        self
    }

    /// Opens a folder, a file or a hub id.
    pub fn open(&self, spec: impl AsRef<OsStr>) -> Result<Weights, WeightsError> {
        let path = Path::new(spec.as_ref());
        match path.symlink_metadata() {
            Ok(_) => Ok(self.weights(Files::open(path)?, beside(path), beside(path))),
            Err(error) if is_absent(&error) => match path.to_str().and_then(HubId::parse) {
                Some(id) => {
                    let folder = hub::folder(&id, self)?;
                    Ok(self.weights(Files::open(&folder)?, None, Some(&folder)))
                }
                None => Err(WeightsError::NotFound(path.to_owned())),
            },
            Err(error) => Err(WeightsError::file("open", path, error)),
        }
    }

    /// Seeded weights for any model, see [`Weights::synthetic`].
    pub fn synthetic(&self) -> Weights {
        let folders = self.folders(None);
        Weights { source: Source::Synthetic, folders, place: None, hash: OnceLock::new() }
    }

    fn weights(&self, files: Files, cache: Option<&Path>, place: Option<&Path>) -> Weights {
        let (source, place) = (Source::Files(Box::new(files)), place.map(Path::to_owned));
        Weights { source, folders: self.folders(cache), place, hash: OnceLock::new() }
    }

    fn folders(&self, beside: Option<&Path>) -> Vec<PathBuf> {
        let default = || cache::folders(beside, |name| std::env::var_os(name));
        self.cache.clone().unwrap_or_else(default)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The folder of the weights.
fn beside(path: &Path) -> Option<&Path> {
    if path.is_dir() { Some(path) } else { path.parent() }
}

/// The tensors of a model.
#[derive(Debug)]
pub struct Weights {
    source: Source,
    folders: Vec<PathBuf>,
    /// The folder of the files.
    place: Option<PathBuf>,
    hash: OnceLock<ContentHash>,
}

#[derive(Debug)]
enum Source {
    Files(Box<Files>),
    Synthetic,
}

impl Weights {
    /// Opens a folder, a file or a hub id, see the [module](self).
    pub fn open(spec: impl AsRef<OsStr>) -> Result<Self, WeightsError> {
        Options::new().open(spec)
    }

    /// The weights in a buffer with the bytes of a safetensors file. Errors call it `label`.
    pub fn from_bytes(label: &str, bytes: Vec<u8>) -> Result<Self, WeightsError> {
        Ok(Options::new().weights(Files::from_bytes(label, bytes)?, None, None))
    }

    /// Seeded weights, the same everywhere: each value follows from the tensor's name and the
    /// value's index alone, by the rule in [`synthetic`]. They fit every model.
    pub fn synthetic() -> Self {
        Options::new().synthetic()
    }

    /// Whether these are no trained weights.
    pub fn is_synthetic(&self) -> bool {
        matches!(self.source, Source::Synthetic)
    }

    /// The sizes of the encoder that `config.json` says, or else the shapes of the tensors, as far
    /// as they tell.
    pub fn dimensions(&self) -> Option<Dimensions> {
        match &self.source {
            Source::Files(files) => files.dimensions(),
            Source::Synthetic => None,
        }
    }

    /// The sizes of the decoder that `config.json` says, or else the shapes of the tensors.
    pub fn decoder_dimensions(&self) -> Option<DecoderDimensions> {
        match &self.source {
            Source::Files(files) => files.decoder_dimensions(),
            Source::Synthetic => None,
        }
    }

    /// Another file of the checkpoint, such as `tokenizer.json`, whole, and its path; nothing where
    /// there is none. `limit` is the most bytes that make sense for it.
    ///
    /// # Errors
    /// When it cannot be read, or is larger.
    pub fn neighbour(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<(PathBuf, Vec<u8>)>, WeightsError> {
        let Some(path) = self.place.as_ref().map(|place| place.join(name)) else { return Ok(None) };
        Ok(files::read(&path, limit)?.map(|bytes| (path, bytes)))
    }

    /// The names of all tensors, sorted, as they are in the files. Synthetic weights have none
    /// until they are asked.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let files = if let Source::Files(files) = &self.source { Some(files) } else { None };
        files.into_iter().flat_map(|files| files.names())
    }

    /// The shape of a tensor in the files.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.source {
            Source::Files(files) => files.shape(name),
            Source::Synthetic => None,
        }
    }

    /// Whether all encoder tensors of a size are there with the right shape and elements that are
    /// read. Says everything that is wrong at once.
    ///
    /// Weights of another size of Whisper are an error that names the preset to build.
    pub fn check(&self, compiled: &Dimensions) -> Result<(), WeightsError> {
        let Source::Files(files) = &self.source else { return Ok(()) };
        files.check_size(compiled)?;
        check_tensors(files, encoder_tensors(compiled))
    }

    /// Whether all decoder tensors of a size are there, as [`Weights::check`] does for the encoder.
    pub fn check_decoder(&self, dimensions: &DecoderDimensions) -> Result<(), WeightsError> {
        match &self.source {
            Source::Files(files) => check_tensors(files, decoder_tensors(dimensions)),
            Source::Synthetic => Ok(()),
        }
    }

    /// A tensor, which must have this shape, and elements that are numbers.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor<'_>, WeightsError> {
        let tensor = match &self.source {
            Source::Files(files) => from_file(files, name, shape),
            Source::Synthetic => synthetic(name, shape),
        };
        let weights = || match &self.source {
            Source::Files(files) => files.label.clone(),
            Source::Synthetic => "synthetic weights".to_owned(),
        };
        tensor.map_err(|problem| WeightsError::Tensors {
            weights: weights(),
            problems: vec![problem],
        })
    }

    /// Identifies the contents: the BLAKE3 of the file, of several files that of their hashes, of
    /// synthetic weights that of their rule.
    ///
    /// Reads each file once. The hash is then remembered, for later processes in `hashes/` of the
    /// [cache folder](cache), as long as the file has the same path, length and times.
    pub fn content_hash(&self) -> Result<ContentHash, WeightsError> {
        if let Some(hash) = self.hash.get() {
            return Ok(*hash);
        }
        let hash = match &self.source {
            Source::Files(files) => files.content_hash(&self.folders)?,
            Source::Synthetic => ContentHash::of(synthetic::ID.as_bytes()),
        };
        Ok(*self.hash.get_or_init(|| hash))
    }

    /// The cache for what is packed of these weights.
    pub fn pack_cache(&self) -> Result<PackCache, WeightsError> {
        Ok(PackCache::new(self.folders.clone(), self.content_hash()?))
    }
}

/// What a user is told about where the weights come from.
impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Files(files) => write!(f, "{}", files.label),
            Source::Synthetic => write!(f, "synthetic weights"),
        }
    }
}

fn check_tensors(files: &Files, tensors: Vec<(String, Vec<usize>)>) -> Result<(), WeightsError> {
    let problems: Vec<_> =
        tensors.iter().filter_map(|(name, shape)| files.get(name, shape).err()).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(WeightsError::Tensors { weights: files.label.clone(), problems })
}

fn from_file<'a>(
    files: &'a Files,
    name: &str,
    shape: &[usize],
) -> Result<Tensor<'a>, TensorProblem> {
    let raw = files.get(name, shape)?;
    let values = convert::to_f32(raw.entry.dtype, raw.bytes).map_err(|(index, value)| {
        TensorProblem::NotFinite { name: name.to_owned(), index, value }
    })?;
    let pages = matches!(values, Cow::Borrowed(_)).then(|| raw.pages());
    if pages.is_none() {
        drop(raw.pages());
    }
    Ok(Tensor { shape: shape.to_vec(), values, _pages: pages })
}

fn synthetic(name: &str, shape: &[usize]) -> Result<Tensor<'static>, TensorProblem> {
    let is_short = ["encoder.", "decoder."].iter().any(|start| name.starts_with(start));
    let full = if is_short { &format!("model.{name}") } else { name };
    let values = synthetic::tensor(full, shape)
        .ok_or_else(|| TensorProblem::TooLarge { name: name.to_owned(), shape: shape.to_vec() })?;
    Ok(Tensor { shape: shape.to_vec(), values: Cow::Owned(values), _pages: None })
}

/// The values of a tensor, row by row.
///
/// Dropping it takes its pages out of this process's memory, if they are a file's.
#[derive(Debug)]
pub struct Tensor<'a> {
    shape: Vec<usize>,
    values: Cow<'a, [f32]>,
    _pages: Option<Pages<'a>>,
}

impl Tensor<'_> {
    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the values are those in the file, not converted or copied.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.values, Cow::Borrowed(_))
    }

    /// The values, copied if they are borrowed.
    pub fn into_vec(self) -> Vec<f32> {
        self.values.into_owned()
    }
}

impl Deref for Tensor<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}
