//! Weights in files: where they are, and which tensors they hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::{Deref, Range};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::config::Config;
use super::dimensions::{self, DecoderDimensions, Dimensions};
use super::error::{SizeMismatch, TensorProblem, WeightsError};
use super::hash::{self, ContentHash, Identity};
use super::header::{self, Entry};
use super::map::Map;

const MODEL: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Real ones have 100 kB.
const INDEX_LIMIT: u64 = 8 << 20;

/// Tensors in one or several safetensors files.
#[derive(Debug)]
pub(super) struct Files {
    /// The file or index, as errors call it.
    pub(super) label: String,
    shards: Vec<Shard>,
    tensors: BTreeMap<String, (usize, Entry)>,
    config: Option<(PathBuf, Config)>,
}

#[derive(Debug)]
struct Shard {
    bytes: Bytes,
    identity: Option<Identity>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Map),
    Owned(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A tensor as it lies in a file.
pub(super) struct Raw<'a> {
    pub(super) entry: &'a Entry,
    pub(super) bytes: &'a [u8],
    map: Option<&'a Map>,
}

impl<'a> Raw<'a> {
    /// What to give back to the system when the bytes have been read.
    pub(super) fn pages(&self) -> Pages<'a> {
        Pages { map: self.map, range: self.entry.start..self.entry.end }
    }
}

/// Gives the pages of a tensor back to the system when dropped.
#[derive(Debug)]
pub(super) struct Pages<'a> {
    map: Option<&'a Map>,
    range: Range<usize>,
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        /// Less is not worth a system call.
        const WORTH: usize = 1 << 20;
        if let Some(map) = self.map
            && self.range.len() >= WORTH
        {
            map.release(self.range.clone());
        }
    }
}

impl Files {
    /// Opens a folder, an index or a file.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let metadata = fs::metadata(path).map_err(|e| WeightsError::file("open", path, e))?;
        let is_index = path.as_os_str().as_encoded_bytes().ends_with(b".index.json");
        match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => Self::open_folder(path),
            (_, true) if is_index => {
                Self::open_index(path)?.with_config(&path.with_file_name("config.json"))
            }
            (_, true) => Ok(Self::open_file(path)?.with_neighbour(path)),
            _ => Err(WeightsError::NotAFile(path.to_owned())),
        }
    }

    /// The file that a buffer holds.
    pub(super) fn from_bytes(label: &str, bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let shard = Shard { bytes: Bytes::Owned(bytes), identity: None };
        Self::of_shard(Path::new(label), shard)
    }

    fn open_folder(folder: &Path) -> Result<Self, WeightsError> {
        let [model, index] = [MODEL, INDEX].map(|name| folder.join(name));
        let files = if exists(&model)? {
            Self::open_file(&model)?
        } else if exists(&index)? {
            Self::open_index(&index)?
        } else {
            let found = other_weights(folder)?;
            return Err(WeightsError::NoModel { folder: folder.to_owned(), found });
        };
        files.with_config(&folder.join("config.json"))
    }

    fn open_file(path: &Path) -> Result<Self, WeightsError> {
        Self::of_shard(path, Shard::open(path)?)
    }

    fn of_shard(path: &Path, shard: Shard) -> Result<Self, WeightsError> {
        let tensors = shard.tensors(path)?;
        let tensors = tensors.into_iter().map(|(name, entry)| (name, (0, entry))).collect();
        let label = path.display().to_string();
        Ok(Self { label, shards: vec![shard], tensors, config: None })
    }

    fn open_index(path: &Path) -> Result<Self, WeightsError> {
        let shards = read_index(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut problems = check_names(&shards);
        if problems.is_empty() {
            let missing = shards.keys().filter(|name| !folder.join(name).exists());
            problems.extend(missing.map(|name| format!("the shard {name} is missing")));
        }
        let mut files = Self {
            label: path.display().to_string(),
            shards: Vec::new(),
            tensors: BTreeMap::new(),
            config: None,
        };
        if problems.is_empty() {
            for (name, tensors) in &shards {
                files.add_shard(folder, name, tensors, &mut problems)?;
            }
        }
        match problems.is_empty() {
            true => Ok(files),
            false => Err(WeightsError::Shards { index: path.to_owned(), problems }),
        }
    }

    fn add_shard(
        &mut self,
        folder: &Path,
        name: &str,
        tensors: &[String],
        problems: &mut Vec<String>,
    ) -> Result<(), WeightsError> {
        let path = folder.join(name);
        let shard = Shard::open(&path)?;
        let mut found = shard.tensors(&path)?;
        for tensor in tensors {
            match found.remove(tensor) {
                Some(entry) => {
                    self.tensors.insert(tensor.clone(), (self.shards.len(), entry));
                }
                None => problems
                    .push(format!("the shard {name} has no tensor `{}`", tensor.escape_debug())),
            }
        }
        self.shards.push(shard);
        Ok(())
    }

    fn with_config(mut self, path: &Path) -> Result<Self, WeightsError> {
        self.config = Config::read(path)?.map(|config| (path.to_owned(), config));
        Ok(self)
    }

    /// A file was named, not a folder: the config.json next to it may be another model's.
    fn with_neighbour(mut self, path: &Path) -> Self {
        let path = path.with_file_name("config.json");
        let config = match Config::read(&path) {
            Ok(config) => config,
            Err(error) => {
                tracing::debug!(%error, "ignores a config.json");
                None
            }
        };
        self.config = config
            .filter(|config| {
                let said = config.dimensions();
                self.infer().is_some_and(|seen| Dimensions { heads: said.heads, ..seen } == said)
            })
            .map(|config| (path, config));
        self
    }

    /// The sizes that `config.json` says, or else the shapes.
    pub(super) fn dimensions(&self) -> Option<Dimensions> {
        self.config.as_ref().map(|(_, config)| config.dimensions()).or_else(|| self.infer())
    }

    fn infer(&self) -> Option<Dimensions> {
        let shape = |name: &str| self.find(name).map(|(_, entry)| &entry.shape[..]);
        dimensions::infer(self.names(), shape)
    }

    /// The sizes of the decoder that `config.json` says, or else the shapes.
    pub(super) fn decoder_dimensions(&self) -> Option<DecoderDimensions> {
        let said = self.config.as_ref().and_then(|(_, config)| config.decoder());
        let shape = |name: &str| self.find(name).map(|(_, entry)| &entry.shape[..]);
        said.or_else(|| dimensions::infer_decoder(self.names(), shape))
    }

    /// Whether the weights have the size that was compiled, as far as can be said.
    pub(super) fn check_size(&self, compiled: &Dimensions) -> Result<(), WeightsError> {
        let (from, found, preset) = match &self.config {
            Some((path, config)) => {
                (path.display().to_string(), config.dimensions(), config.preset())
            }
            None => {
                let Some(found) = self.infer() else { return Ok(()) };
                let decoder_layers = dimensions::layers(self.names(), "decoder.layers.");
                let preset = dimensions::preset(&found, Some(decoder_layers));
                // The shapes do not tell the heads.
                let same = Dimensions { heads: compiled.heads, ..found } == *compiled;
                (self.label.clone(), if same { *compiled } else { found }, preset)
            }
        };
        if found == *compiled {
            return Ok(());
        }
        Err(WeightsError::Size(Box::new(SizeMismatch { from, found, compiled: *compiled, preset })))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    fn find(&self, name: &str) -> Option<&(usize, Entry)> {
        let other = match name.strip_prefix("model.") {
            Some(short) => short.to_owned(),
            None => format!("model.{name}"),
        };
        self.tensors.get(name).or_else(|| self.tensors.get(&other))
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.find(name).map(|(_, entry)| &entry.shape[..])
    }

    /// A tensor that is there and has this shape and elements that are read.
    pub(super) fn get(&self, name: &str, shape: &[usize]) -> Result<Raw<'_>, TensorProblem> {
        let name_owned = || name.to_owned();
        let Some((shard, entry)) = self.find(name) else {
            return Err(TensorProblem::Missing { name: name_owned(), nearest: self.nearest(name) });
        };
        if entry.shape != shape {
            let (expected, found) = (shape.to_vec(), entry.shape.clone());
            return Err(TensorProblem::Shape { name: name_owned(), expected, found });
        }
        if !super::convert::is_supported(entry.dtype) {
            let dtype = entry.dtype.to_string();
            return Err(TensorProblem::Dtype { name: name_owned(), dtype });
        }
        let bytes = &self.shards[*shard].bytes;
        let map = if let Bytes::Mapped(map) = bytes { Some(map) } else { None };
        Ok(Raw { entry, bytes: &bytes[entry.start..entry.end], map })
    }

    /// Names that look like one that is missing.
    fn nearest(&self, missing: &str) -> Vec<String> {
        /// Real checkpoints have up to 1,600; a file made to waste time may have millions.
        const MANY: usize = 4096;
        const LONG: usize = 128;
        let short = missing.strip_prefix("model.").unwrap_or(missing);
        let distance = |name: &str| {
            let name = name.strip_prefix("model.").unwrap_or(name);
            strsim::damerau_levenshtein(name, short)
        };
        let candidates = self.names().take(MANY).filter(|name| name.len() <= LONG);
        let mut near: Vec<_> = candidates
            .map(|name| (distance(name), name))
            .filter(|(distance, _)| *distance <= short.len().min(LONG) / 4)
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
    }

    /// Of all files, in the order of their names.
    pub(super) fn content_hash(&self, folders: &[PathBuf]) -> Result<ContentHash, WeightsError> {
        let one = |shard: &Shard| match &shard.identity {
            Some(identity) => hash::of_file(identity, folders),
            None => Ok(ContentHash::of(&shard.bytes)),
        };
        let hashes: Vec<_> = self.shards.iter().map(one).collect::<Result<_, _>>()?;
        Ok(ContentHash::combine(&hashes))
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        let failed = |action| move |source| WeightsError::file(action, path, source);
        let metadata = fs::metadata(path).map_err(failed("open"))?;
        if !metadata.is_file() {
            return Err(WeightsError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).map_err(failed("open"))?;
        let metadata = file.metadata().map_err(failed("open"))?;
        let identity = Some(Identity::new(path, &metadata));
        let bytes = match metadata.len() {
            0 => Bytes::Owned(Vec::new()),
            _ => Bytes::Mapped(Map::new(&file).map_err(failed("map"))?),
        };
        Ok(Self { bytes, identity })
    }

    fn tensors(&self, path: &Path) -> Result<BTreeMap<String, Entry>, WeightsError> {
        header::parse(&self.bytes)
            .map_err(|reason| WeightsError::Malformed { path: path.to_owned(), reason })
    }
}

/// The shards of an index, sorted, each with its tensors.
fn read_index(path: &Path) -> Result<BTreeMap<String, Vec<String>>, WeightsError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }

    let Some(text) = read(path, INDEX_LIMIT)? else {
        return Err(WeightsError::file("open", path, io::ErrorKind::NotFound.into()));
    };
    let index: Index = serde_json::from_slice(&text)
        .map_err(|source| WeightsError::Json { path: path.to_owned(), source })?;
    let mut shards = BTreeMap::<_, Vec<_>>::new();
    for (tensor, shard) in index.weight_map {
        shards.entry(shard).or_default().push(tensor);
    }
    Ok(shards)
}

/// The files that an index names, to download them.
pub(super) fn shards(index: &Path) -> Result<Vec<String>, WeightsError> {
    let shards = read_index(index)?;
    let problems = check_names(&shards);
    match problems.is_empty() {
        true => Ok(shards.into_keys().collect()),
        false => Err(WeightsError::Shards { index: index.to_owned(), problems }),
    }
}

fn check_names(shards: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    if shards.is_empty() {
        return vec!["it names no shards".to_owned()];
    }
    let escapes = |name: &&String| {
        let mut parts = Path::new(name).components();
        let stays = parts.all(|part| matches!(part, Component::Normal(_)));
        name.is_empty() || !stays || name.contains(['\\', ':', '\0'])
    };
    let problem = |name: &String| {
        format!("the shard `{}` is not inside of the index's folder", name.escape_debug())
    };
    shards.keys().filter(escapes).map(problem).collect()
}

/// A small file whole; `None` where there is none.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, WeightsError> {
    let failed = |source| WeightsError::file("read", path, source);
    if !exists(path)? {
        return Ok(None);
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > limit {
        return Err(WeightsError::TooLarge { path: path.to_owned(), length, limit });
    }
    file.take(limit).read_to_end(&mut text).map_err(failed)?;
    Ok(Some(text))
}

/// Whether there is a file, which then is a regular one.
fn exists(path: &Path) -> Result<bool, WeightsError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(_) => Err(WeightsError::NotAFile(path.to_owned())),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(WeightsError::file("open", path, error)),
        },
    }
}

/// Files of a folder that look like weights, for an error message.
fn other_weights(folder: &Path) -> Result<Vec<String>, WeightsError> {
    const KINDS: [&str; 8] = ["safetensors", "bin", "pt", "pth", "h5", "msgpack", "onnx", "gguf"];
    let entries = fs::read_dir(folder).map_err(|e| WeightsError::file("read", folder, e))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_weights = |name: &String| {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| KINDS.contains(&extension))
    };
    let mut found: Vec<String> = names.filter(is_weights).take(8).collect();
    found.sort();
    Ok(found)
}
