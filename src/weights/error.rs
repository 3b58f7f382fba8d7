//! Why there are no weights, or not the right ones.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::dimensions::{self, Dimensions};
use super::header::Malformed;

/// Why weights could not be opened, do not fit, or could not be read.
///
/// Displays as the file, what is wrong with it and, where there is one, a remedy on a line
/// `  = help: …`. `Debug` prints the same.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A file or folder could not be read.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried: "open", "read", "map".
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file, and the words are no hub id either.
    #[error(
        "there are no weights at {}\n  = help: name a folder with model.safetensors, a *.safetensors file, or a hub id such as openai/whisper-base", .0.display()
    )]
    NotFound(PathBuf),
    /// A pipe, a device or something else that cannot be mapped.
    #[error(
        "{} is neither a file nor a folder\n  = help: name a folder with model.safetensors or a *.safetensors file", .0.display()
    )]
    NotAFile(PathBuf),
    /// A folder without weights that Tilewright reads.
    #[error("{} has no model.safetensors{}", .folder.display(), other_weights(.found))]
    NoModel {
        /// The folder.
        folder: PathBuf,
        /// Files in it that may be weights of another kind or name, sorted.
        found: Vec<String>,
    },
    /// A file that is not a safetensors file, or a broken one.
    #[error("{}: {reason}{}", .path.display(), other_format(.path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// A `config.json` or an index that is not what it should be.
    #[error("{}: {source}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        source: serde_json::Error,
    },
    /// A `config.json`, a `tokenizer.json` or the like, or an index, of an absurd size.
    #[error("{} has {length} bytes, more than the {limit} that make sense", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
        /// What is accepted.
        limit: u64,
    },
    /// An index that names shards which do not exist, do not hold what it says, or lie elsewhere.
    #[error("{}: {}", .index.display(), .problems.join("; "))]
    Shards {
        /// The index.
        index: PathBuf,
        /// Everything that is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// A checkpoint of something else.
    #[error(
        "{} is of a `{}` model, not of Whisper", .config.display(), .model_type.escape_debug()
    )]
    NotWhisper {
        /// The `config.json`.
        config: PathBuf,
        /// Its `model_type`.
        model_type: String,
    },
    /// Weights of another size than this build has kernels for.
    #[error("{0}")]
    Size(Box<SizeMismatch>),
    /// Tensors that are missing, of another shape or type, or not numbers: all of them.
    #[error("{}", tensor_report(.weights, .problems))]
    Tensors {
        /// The file or index.
        weights: String,
        /// What is wrong, in the order of the model.
        problems: Vec<TensorProblem>,
    },
    /// Weights of the hub that are not on this machine and could not be downloaded.
    #[error("{0}")]
    Hub(Box<HubError>),
    /// The file changed after it was opened.
    #[error("{} changed while it was in use\n  = help: start again", .0.display())]
    Changed(PathBuf),
}

impl WeightsError {
    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

impl fmt::Debug for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Weights of another size than this build has kernels for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeMismatch {
    /// Where the size comes from: a `config.json`, or the file whose shapes tell it.
    pub from: String,
    /// The size of the weights.
    pub found: Dimensions,
    /// The size that this build has kernels for.
    pub compiled: Dimensions,
    /// The preset under `models/` for the weights, where there is one: `whisper-small`.
    pub preset: Option<&'static str>,
}

impl fmt::Display for SizeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.found.fields().into_iter().zip(self.compiled.fields());
        let different: Vec<_> = pairs.filter(|(found, compiled)| found != compiled).collect();
        let list = |fields: Vec<(&str, usize)>| {
            let fields: Vec<_> =
                fields.into_iter().map(|(field, size)| format!("{field} {size}")).collect();
            fields.join(", ")
        };
        let found = list(different.iter().map(|(found, _)| *found).collect());
        let compiled = list(different.iter().map(|(_, compiled)| *compiled).collect());
        write!(f, "{} says {}", self.from, named(self.preset, &found))?;
        let preset = dimensions::preset(&self.compiled, None);
        write!(f, ", this build has kernels for {}", named(preset, &compiled))?;
        write!(f, "\n  = help: build for it: ")?;
        match self.preset {
            Some(name) => write!(f, "TILEWRIGHT_MODEL=models/{name}.toml cargo build --release"),
            None => write!(
                f,
                "write these sizes into the [[model]] of a copy of model.toml, then \
                 TILEWRIGHT_MODEL=that.toml cargo build --release"
            ),
        }
    }
}

fn named(preset: Option<&str>, sizes: &str) -> String {
    preset.map_or(sizes.to_owned(), |name| format!("{name} ({sizes})"))
}

/// What is wrong with one tensor.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TensorProblem {
    /// There is none of this name, with or without the prefix `model.`.
    Missing {
        /// The name asked for.
        name: String,
        /// Names that exist and look like it, the likeliest first.
        nearest: Vec<String>,
    },
    /// It has another shape.
    Shape {
        /// Its name.
        name: String,
        /// The shape of the model.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// Its elements are of a type that is not read.
    Dtype {
        /// Its name.
        name: String,
        /// The type in the file.
        dtype: String,
    },
    /// An element is NaN or infinite.
    NotFinite {
        /// Its name.
        name: String,
        /// The first such element, counted row by row.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// The shape asked for has more elements than memory has.
    TooLarge {
        /// Its name.
        name: String,
        /// The shape.
        shape: Vec<usize>,
    },
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name, nearest } => {
                write!(f, "there is no tensor `{}`", name.escape_debug())?;
                for (i, near) in nearest.iter().enumerate() {
                    let start = if i == 0 { "; like it are" } else { "," };
                    write!(f, "{start} `{}`", near.escape_debug())?;
                }
                Ok(())
            }
            Self::Shape { name, expected, found } => write!(
                f,
                "tensor `{}` has the shape {found:?}, the model needs {expected:?}",
                name.escape_debug()
            ),
            Self::Dtype { name, dtype } => write!(
                f,
                "tensor `{}` is of type {dtype}; F32, F16 and BF16 are read",
                name.escape_debug()
            ),
            Self::NotFinite { name, index, value } => {
                write!(f, "element {index} of tensor `{}` is {value}", name.escape_debug())
            }
            Self::TooLarge { name, shape } => write!(
                f,
                "tensor `{}` of shape {shape:?} is larger than memory",
                name.escape_debug()
            ),
        }
    }
}

/// Weights of the hub that are not on this machine and could not be downloaded.
#[derive(Debug)]
pub struct HubError {
    /// The hub id: `openai/whisper-base`.
    pub id: String,
    /// Why they could not be downloaded.
    pub reason: String,
    /// Pages to download by hand.
    pub urls: Vec<String>,
    /// The folder that was looked into.
    pub cache: Option<PathBuf>,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no file or folder {0}, and the hub's {0} is not ", self.id)?;
        match &self.cache {
            Some(cache) => write!(f, "in {}", cache.display())?,
            None => write!(f, "on this machine")?,
        }
        write!(f, ": {}", self.reason)?;
        write!(f, "\n  = help: download by hand into a folder and name it with --weights FOLDER:")?;
        self.urls.iter().try_for_each(|url| write!(f, "\n      {url}"))
    }
}

/// How many tensors a message lists before it counts the rest.
const LISTED: usize = 12;

fn tensor_report(weights: &str, problems: &[TensorProblem]) -> String {
    if let [problem] = problems {
        return format!("{weights}: {problem}");
    }
    let mut report = format!("{weights}: {} tensors do not fit:", problems.len());
    for problem in problems.iter().take(LISTED) {
        report.push_str(&format!("\n  - {problem}"));
    }
    if problems.len() > LISTED {
        report.push_str(&format!("\n  - and {} more", problems.len() - LISTED));
    }
    report
}

fn other_weights(found: &[String]) -> String {
    match found {
        [] => " and no other weights\n  = help: name the folder of a checkpoint".to_owned(),
        found => {
            let is_safe = |name: &&String| name.ends_with(".safetensors");
            let help = match found.iter().find(is_safe) {
                Some(name) => format!("name the file that is meant, for example {name}"),
                None => "only safetensors are read: most checkpoints on the hub have a \
                         model.safetensors to download, or convert them with \
                         `transformers`' save_pretrained"
                    .to_owned(),
            };
            format!(", but {}\n  = help: {help}", found.join(", "))
        }
    }
}

fn other_format(path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("safetensors") | None => String::new(),
        Some(other) => format!("\n  = help: weights are read from *.safetensors, not *.{other}"),
    }
}
