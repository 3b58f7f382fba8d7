//! `tilewright serve`: transcription over HTTP.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tilewright::backend::cpu::Cpu;
use tilewright::server::{Config, Limits, Server, Token};
use tilewright::transcribe::Transcriber;

use super::decode::DecodeArgs;
use super::error::CliError;
use super::place::{PlaceArgs, Placed};
use super::{complain, output, weights};

/// What the token is read from if there is no file.
const TOKEN: &str = "TILEWRIGHT_TOKEN";

/// Serve transcriptions over HTTP, with the API of OpenAI and a page to drop recordings on
///
/// Without --weights it runs on synthetic weights: the work and its speed are real, the text means
/// nothing.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ServeArgs {
    /// Trained weights: a folder or file in Hugging Face's layout, or a hub id like
    /// openai/whisper-base
    #[arg(long, value_name = "DIR|FILE|ID")]
    weights: Option<String>,

    #[command(flatten)]
    place: PlaceArgs,

    /// The address to listen at; others than this machine's should go with a token
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    host: IpAddr,

    /// The port to listen at; 0 takes any that is free, and says which
    #[arg(long, default_value_t = 8080)]
    port: u16,

    /// A file with the token that clients must send [default: the variable TILEWRIGHT_TOKEN; none if
    /// that is not set]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// What the model is called [default: that of --weights]
    #[arg(long, value_name = "NAME")]
    model_id: Option<String>,

    /// Recordings to transcribe at the same time; their windows are encoded together
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,

    /// Recordings that may wait; further ones are refused with status 429
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(..=4096))]
    queue: u16,

    /// Connections that may be open; further ones wait
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// The largest request, in MiB. All are held in memory: so much × (concurrency + queue) at most
    #[arg(long, value_name = "MIB", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=4096))]
    max_body: u16,

    /// The longest recording, in seconds
    #[arg(long, value_name = "S", default_value_t = 7200, value_parser = clap::value_parser!(u32).range(1..))]
    max_duration: u32,

    /// How long a request may take, waiting included, in seconds; then it ends with status 504
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,

    /// How long a client is waited for, in seconds: its next request, each 16 KiB of a body, or that it
    /// reads
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    client_timeout: u16,

    /// How long what is under way may go on after SIGTERM or Ctrl-C, in seconds; a second signal ends
    /// it at once
    #[arg(long, value_name = "S", default_value_t = 30)]
    grace: u16,

    #[command(flatten)]
    decode: DecodeArgs,
}

const EXAMPLE: &str = "\
Examples:
  tilewright serve --weights openai/whisper-base
  TILEWRIGHT_TOKEN=secret tilewright serve --weights DIR --host 0.0.0.0 --concurrency 8
  curl http://127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3
  curl http://127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3 -F response_format=srt
  curl -N http://127.0.0.1:8080/v1/audio/translations -F file=@talk.mp3 -F stream=true

OpenAI's clients work with base_url = http://127.0.0.1:8080/v1. http://127.0.0.1:8080/ is a page,
/metrics is for Prometheus, /health for whoever watches; these two and the page:
  GET /  /health  /metrics  /v1/models  /v1/models/{id}
  POST /v1/audio/transcriptions  /v1/audio/translations";

impl ServeArgs {
    fn limits(&self) -> Limits {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Limits {
            concurrency: self.concurrency.into(),
            queue: self.queue.into(),
            connections: self.connections.into(),
            body: usize::from(self.max_body) << 20,
            audio: seconds(self.max_duration),
            request: seconds(self.timeout),
            patience: seconds(self.client_timeout.into()),
            grace: seconds(self.grace.into()),
        }
    }

    fn token(&self) -> Result<Option<Token>, CliError> {
        let (secret, from) = match &self.token_file {
            Some(path) => {
                let failed = |source| CliError::Read { path: path.clone(), source };
                (fs::read_to_string(path).map_err(failed)?, path.display().to_string())
            }
            None => match std::env::var(TOKEN) {
                Ok(secret) => (secret, TOKEN.to_owned()),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(_) => return Err(CliError::EmptyToken { from: TOKEN.to_owned() }),
            },
        };
        Token::new(&secret).map(Some).ok_or(CliError::EmptyToken { from })
    }

    /// A hub id stays what it is, of a path it is the last part; that of synthetic weights is the
    /// compiled model's.
    fn model(&self, compiled: &str) -> String {
        let named = self.model_id.clone();
        named.unwrap_or_else(|| match self.weights.as_deref().map(|spec| (spec, Path::new(spec))) {
            Some((_, path)) if path.exists() => {
                let name =
                    path.canonicalize().ok().and_then(|path| path.file_stem().map(Into::into));
                name.and_then(|name: std::ffi::OsString| name.into_string().ok())
                    .unwrap_or_else(|| compiled.to_owned())
            }
            Some((spec, _)) => spec.to_owned(),
            None => compiled.to_owned(),
        })
    }
}

/// Loads the model, and serves until a signal ends it.
pub(crate) fn run(args: &ServeArgs) -> Result<(), CliError> {
    // What is wrong with these is said before the weights are loaded.
    let (token, address) = (args.token()?, (args.host, args.port));
    let failed = |source| CliError::Listen { address: address.into(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    if token.is_none() && !args.host.is_loopback() {
        complain("warning: whoever reaches this machine can use the server, as there is no token");
    }
    let weights = Arc::new(weights(args.weights.as_deref())?);
    let cpu = Cpu::new()?;
    let placed = Placed::new(&args.place, cpu, &weights)?;
    let model = args.model(placed.target.model);
    let (numeric, cache) = (args.place.numeric(), weights.pack_cache()?);
    let encoder = placed.or_else_on_cpu(&args.place, cpu, &weights);
    let transcriber = Transcriber::new(encoder, cpu, numeric, &weights, Some(&cache))?;
    let settings = args.decode.settings();
    transcriber.check(&settings)?;
    let config = Config { settings, token, limits: args.limits(), ..Config::new(model) };
    let server = Server::new(listener, Arc::new(transcriber), config).map_err(failed)?;
    // Who reads where it listens may end it at once.
    server.end_on_signals();
    output::print(&format!("listening on http://{}\n", server.address()))?;
    server.run().map_err(failed)
}
