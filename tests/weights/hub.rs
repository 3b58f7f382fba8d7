//! The hub, as a server on this machine plays it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use safetensors::Dtype;
use serde_json::json;
use tilewright::weights::{Options, Weights, WeightsError};

use crate::checkpoint::{Folder, MINI, config, file_of, tensors};

/// Serves files as the hub does: their list, then each with its etag and commit, in ranges.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = answer(stream.unwrap(), &files);
            }
        });
        Self { url, requests }
    }
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap()?;
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let mut range = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            let (start, end) = bytes.split_once('-').unwrap();
            range = Some((start.parse::<usize>().unwrap(), end.parse::<usize>().ok()));
        }
    }
    let mut send = |status: &str, headers: &str, body: &[u8]| {
        write!(
            stream,
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        )?;
        stream.write_all(body)
    };
    if path.starts_with("/api/models/openai/whisper-mini") {
        let siblings: Vec<_> = files.keys().map(|name| json!({"rfilename": name})).collect();
        let info = json!({"siblings": siblings, "sha": "c0ffee"}).to_string();
        return send("200 OK", "Content-Type: application/json\r\n", info.as_bytes());
    }
    let file = path.strip_prefix("/openai/whisper-mini/resolve/main/");
    let Some(bytes) = file.and_then(|file| files.get(file)) else {
        return send("404 Not Found", "", b"");
    };
    let (start, end) = range.unwrap_or((0, None));
    let end = end.map_or(bytes.len(), |end| (end + 1).min(bytes.len()));
    let etag = blake3::hash(bytes).to_hex();
    let headers = format!(
        "ETag: \"{etag}\"\r\nX-Repo-Commit: c0ffee\r\nContent-Range: bytes {start}-{}/{}\r\n",
        end.max(1) - 1,
        bytes.len()
    );
    send("206 Partial Content", &headers, &bytes[start..end])
}

fn options(folder: &Folder, url: &str) -> Options {
    let mut options = Options::new();
    options
        .cache(folder.path().join("cache"))
        .hub_cache(folder.path().join("hub"))
        .hub_endpoint(url);
    options
}

fn model() -> BTreeMap<String, Vec<u8>> {
    [
        ("config.json".to_owned(), config(&MINI).to_string().into_bytes()),
        ("model.safetensors".to_owned(), file_of(&tensors(&MINI, Dtype::F16))),
        ("README.md".to_owned(), Vec::new()),
    ]
    .into()
}

#[test]
fn an_id_is_downloaded_once() {
    let server = Server::start(model());
    let folder = Folder::new();
    let open = |options: &Options| -> Result<Weights, WeightsError> {
        let weights = options.open("openai/whisper-mini")?;
        weights.check(&MINI)?;
        Ok(weights)
    };
    let weights = open(&options(&folder, &server.url)).unwrap();
    assert_eq!(weights.dimensions(), Some(MINI));
    let requests = server.requests.load(Ordering::SeqCst);
    assert!(requests > 0);
    open(&options(&folder, &server.url)).unwrap();
    open(options(&folder, "http://127.0.0.1:1").offline(true)).unwrap();
    assert_eq!(server.requests.load(Ordering::SeqCst), requests);
    // Hugging Face's folder stays Hugging Face's.
    let cache = Options::new().hub_cache(folder.path().join("hub")).offline(true).clone();
    let folders = cache.open("openai/whisper-mini").unwrap().pack_cache().unwrap();
    assert!(!folders.folders().iter().any(|place| place.starts_with(folder.path())));
}

#[test]
fn shards_are_downloaded_through_their_index() {
    let mut files = model();
    let whole = files.remove("model.safetensors").unwrap();
    let names: serde_json::Map<_, _> = tensors(&MINI, Dtype::F16)
        .into_keys()
        .map(|name| (name, json!("model-00001-of-00001.safetensors")))
        .collect();
    files.insert("model-00001-of-00001.safetensors".to_owned(), whole);
    let index = json!({"weight_map": names}).to_string().into_bytes();
    files.insert("model.safetensors.index.json".to_owned(), index);
    let server = Server::start(files);
    let folder = Folder::new();
    for url in [&server.url, "http://127.0.0.1:1"] {
        let weights = options(&folder, url).open("openai/whisper-mini").unwrap();
        weights.check(&MINI).unwrap();
    }
}

#[test]
fn an_index_of_the_hub_cannot_write_elsewhere() {
    let mut files = model();
    files.remove("model.safetensors");
    let index = json!({"weight_map": {"x": "../../../evil"}}).to_string().into_bytes();
    files.insert("model.safetensors.index.json".to_owned(), index);
    let server = Server::start(files);
    let folder = Folder::new();
    let error = options(&folder, &server.url).open("openai/whisper-mini").unwrap_err();
    assert!(error.to_string().contains("is not inside of the index's folder"), "{error}");
}

#[test]
fn offline_it_is_said_what_to_download() {
    let folder = Folder::new();
    let error =
        options(&folder, "https://huggingface.co").offline(true).open("openai/whisper-mini");
    insta::assert_snapshot!(folder.message(error.unwrap_err()), @r"
    there is no file or folder openai/whisper-mini, and the hub's openai/whisper-mini is not in DIR/hub: downloads are switched off
      = help: download by hand into a folder and name it with --weights FOLDER:
          https://huggingface.co/openai/whisper-mini/resolve/main/config.json
          https://huggingface.co/openai/whisper-mini/resolve/main/model.safetensors
    ");
}

#[test]
fn a_hub_that_does_not_answer_or_lacks_the_model_is_said() {
    let folder = Folder::new();
    let error = options(&folder, "http://127.0.0.1:1").open("openai/whisper-mini").unwrap_err();
    let error = folder.message(error);
    assert!(error.contains("request error"), "{error}");
    assert!(error.contains("http://127.0.0.1:1/openai/whisper-mini/resolve/main/config.json"));

    let server = Server::start(BTreeMap::new());
    let error = options(&folder, &server.url).open("openai/whisper-mini").unwrap_err();
    assert!(error.to_string().contains("has no config.json and model.safetensors"), "{error}");
    let error = options(&folder, &server.url).open("openai/unknown").unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
}

#[test]
fn a_path_that_exists_is_no_hub_id() {
    let folder = Folder::new();
    folder.write("openai/whisper-mini/model.safetensors", file_of(&tensors(&MINI, Dtype::F32)));
    let weights = Options::new().offline(true).open(folder.path().join("openai/whisper-mini"));
    weights.unwrap().check(&MINI).unwrap();
}
