//! Weights of the Hugging Face hub: from its cache on this machine, or downloaded into it.

use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::Options;
use super::error::{HubError, WeightsError};
use super::files;

const CONFIG: &str = "config.json";
const MODEL: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// What text needs besides weights.
const TEXT: [&str; 2] = ["tokenizer.json", "generation_config.json"];
const ENDPOINT: &str = "https://huggingface.co";

/// `owner/name`, with `@revision` behind it or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubId {
    name: String,
    revision: Option<String>,
}

impl HubId {
    /// Reads an id; `None` if it can only be a path.
    pub(super) fn parse(spec: &str) -> Option<Self> {
        let (name, revision) = match spec.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (spec, None),
        };
        let word = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty()
                && part.chars().all(plain)
                && !part.starts_with('.')
                && !part.contains("..")
        };
        let (owner, model) = name.split_once('/')?;
        let is_file = [".safetensors", ".json"].iter().any(|end| model.ends_with(end));
        let ok = word(owner) && word(model) && revision.is_none_or(word) && !is_file;
        ok.then(|| Self { name: name.to_owned(), revision: revision.map(str::to_owned) })
    }

    fn repo(&self) -> Repo {
        let revision = self.revision.clone().unwrap_or_else(|| "main".to_owned());
        Repo::with_revision(self.name.clone(), RepoType::Model, revision)
    }
}

/// The folder that holds the files of an id, after downloading what is missing.
pub(super) fn folder(id: &HubId, options: &Options) -> Result<PathBuf, WeightsError> {
    let hub = Hub::new(id, options);
    if let Some(folder) = hub.cached()? {
        return Ok(folder);
    }
    hub.download()
}

struct Hub<'a> {
    id: &'a HubId,
    options: &'a Options,
    cache: Option<PathBuf>,
    endpoint: String,
}

impl<'a> Hub<'a> {
    fn new(id: &'a HubId, options: &'a Options) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || {
            let home = std::env::home_dir().filter(|home| home.is_absolute())?;
            Some(home.join(".cache/huggingface/hub"))
        };
        let named = || {
            let hub = || set("HF_HUB_CACHE").map(PathBuf::from);
            hub().or_else(|| Some(Path::new(&set("HF_HOME")?).join("hub")))
        };
        // hf-hub makes links between folders and wants absolute paths.
        let cache = options.hub_cache.clone().or_else(named).or_else(home);
        let cache = cache.and_then(|cache| std::path::absolute(cache).ok());
        let endpoint = options.hub_endpoint.clone().or_else(|| set("HF_ENDPOINT"));
        let endpoint = endpoint.unwrap_or_else(|| ENDPOINT.to_owned());
        Self { id, options, cache, endpoint: endpoint.trim_end_matches('/').to_owned() }
    }

    /// The folder in the cache, if it holds all files.
    fn cached(&self) -> Result<Option<PathBuf>, WeightsError> {
        let Some(cache) = &self.cache else { return Ok(None) };
        let repo = Cache::new(cache.clone()).repo(self.id.repo());
        let without_text = self.options.tokenizer && repo.get(TEXT[0]).is_none();
        if repo.get(CONFIG).is_none() || (without_text && !self.is_offline()) {
            return Ok(None);
        }
        if let Some(model) = repo.get(MODEL) {
            return Ok(model.parent().map(Path::to_owned));
        }
        let Some(index) = repo.get(INDEX) else { return Ok(None) };
        let all = files::shards(&index)?.iter().all(|shard| repo.get(shard).is_some());
        Ok(index.parent().filter(|_| all).map(Path::to_owned))
    }

    fn is_offline(&self) -> bool {
        self.options.offline || offline_by_variable()
    }

    fn download(&self) -> Result<PathBuf, WeightsError> {
        if self.is_offline() {
            return Err(self.error("downloads are switched off".to_owned()));
        }
        let Some(cache) = &self.cache else {
            return Err(self.error("there is no home folder to download into".to_owned()));
        };
        let api = self.api(cache).map_err(|error| self.error(error.to_string()))?;
        let repo = api.repo(self.id.repo());
        let info = repo.info().map_err(|error| self.error(error.to_string()))?;
        let has = |name: &str| info.siblings.iter().any(|file| file.rfilename == name);
        let [model, index] = [has(MODEL), has(INDEX)];
        if !has(CONFIG) || !(model || index) {
            return Err(self.error(format!("it has no {CONFIG} and {MODEL}")));
        }
        let config = self.get(&repo, CONFIG)?;
        for file in TEXT.into_iter().filter(|file| self.options.tokenizer && has(file)) {
            self.get(&repo, file)?;
        }
        if model {
            self.get(&repo, MODEL)?;
        } else {
            for shard in files::shards(&self.get(&repo, INDEX)?)? {
                self.get(&repo, &shard)?;
            }
        }
        Ok(config.parent().map(Path::to_owned).unwrap_or_default())
    }

    fn api(&self, cache: &Path) -> Result<Api, hf_hub::api::sync::ApiError> {
        ApiBuilder::from_cache(Cache::new(cache.to_owned()))
            .with_endpoint(self.endpoint.clone())
            .with_progress(self.options.progress)
            .build()
    }

    fn get(&self, repo: &ApiRepo, file: &str) -> Result<PathBuf, WeightsError> {
        tracing::info!(id = self.id.name, file, "downloads");
        repo.get(file).map_err(|error| self.error(format!("{file}: {error}")))
    }

    fn error(&self, reason: String) -> WeightsError {
        let revision = self.id.revision.as_deref().unwrap_or("main");
        let url =
            |file: &str| format!("{}/{}/resolve/{revision}/{file}", self.endpoint, self.id.name);
        WeightsError::Hub(Box::new(HubError {
            id: self.id.name.clone(),
            reason,
            urls: [CONFIG, MODEL].map(url).into(),
            cache: self.cache.clone(),
        }))
    }
}

/// As in Hugging Face's own programs.
fn offline_by_variable() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| {
        matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_two_words_and_perhaps_a_revision() {
        for id in ["openai/whisper-base", "distil-whisper/distil-large-v3.5", "a/b@v1.0"] {
            assert!(HubId::parse(id).is_some(), "{id}");
        }
        for path in [
            "model.safetensors",
            "whisper",
            "./whisper-base",
            "../whisper-base",
            "/weights/base",
            "a/b/c",
            "a/b.safetensors",
            "a\\b",
            "C:/weights",
            "a/",
            "/b",
            "a/..b",
            "a/b@",
            "a/b@../c",
            "",
        ] {
            assert!(HubId::parse(path).is_none(), "{path}");
        }
    }
}
