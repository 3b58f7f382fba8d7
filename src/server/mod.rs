//! Transcription over HTTP, with the API of OpenAI.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use std::sync::Arc;
//!
//! use tilewright::server::{Config, Server};
//! # use tilewright::transcribe::Transcriber;
//!
//! # fn serve(transcriber: Transcriber) -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:8080")?;
//! let server = Server::new(listener, Arc::new(transcriber), Config::new("whisper-base"))?;
//! server.run()
//! # }
//! ```
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v1/audio/transcriptions` | what is said, as JSON, text, SRT or WebVTT, or as it comes |
//! | `POST /v1/audio/translations` | the same in English |
//! | `GET /v1/models`, `/v1/models/{id}` | the model |
//! | `GET /metrics` | numbers for Prometheus |
//! | `GET /health` | whether the server takes requests |
//! | `GET /` | a page |
//!
//! # How a request is answered
//! One thread moves bytes for all connections. A request gets a place before its body is read, or is
//! refused; the body is read into memory, of which [`Limits::body`] × ([`Limits::concurrency`] +
//! [`Limits::queue`]) bytes are so used at most. Then it waits for one of [`Limits::concurrency`]
//! threads to transcribe it. They share one [`Engine`], whose encoder takes windows of all of them in
//! one call. Nothing is taken from names or types that a client gives: what a recording is shows when
//! it is read.
//!
//! A client that sends slowly, but not too slowly, has its place all the while: where clients are not
//! trusted, put a proxy before the server that reads requests whole.
//!
//! A transcription ends at its next token when the client goes away, when [`Limits::request`] has
//! passed or the server ends.
//!
//! # What is different from OpenAI's API
//! - `model` may be absent, and is that which is served or `whisper-1`.
//! - `stream` is there for every model and for translations: a delta is a segment. With
//!   `response_format=verbose_json` each delta also has its `segment`, and the last event all fields
//!   of `verbose_json`.
//! - Translations have a `language`, which is that of the recording.
//! - Parameters of other models (`include`, `keywords`, speakers) are refused.

mod access;
mod app;
mod body;
mod engine;
mod error;
mod form;
mod listen;
mod metrics;
mod page;
mod params;
mod patience;
mod reply;
mod routes;
mod signals;
mod work;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::transcribe::Settings;
pub use access::Token;
use app::App;
pub use engine::{Counters, Engine};
pub use error::Refusal;
pub use form::Form;
pub use params::{Params, ResponseFormat};
use signals::Signals;

/// How long threads that were told to stop are waited for.
const LAST_TOKEN: Duration = Duration::from_secs(2);

/// What a server takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Recordings that are transcribed at the same time.
    pub concurrency: usize,
    /// Recordings that wait for that, or are being read. Further ones are refused.
    pub queue: usize,
    /// Open connections. Further ones wait.
    pub connections: usize,
    /// Bytes of a body.
    pub body: usize,
    /// How long a recording may be.
    pub audio: Duration,
    /// How long a request may take from its head to its answer's end.
    pub request: Duration,
    /// How long a client is waited for: the head of its next request, 16 KiB of a body, or that it
    /// reads.
    pub patience: Duration,
    /// How long what is under way may go on after the server was told to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 4,
            queue: 16,
            connections: 256,
            body: 25 << 20,
            audio: Duration::from_secs(2 * 60 * 60),
            request: Duration::from_secs(10 * 60),
            patience: Duration::from_secs(20),
            grace: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The same, with none so high that there is no sum or product of it.
    fn within_reach(self) -> Self {
        let count = |limit: usize| limit.min(1 << 24);
        let time = |limit: Duration| limit.min(Duration::from_secs(u32::MAX.into()));
        Self {
            concurrency: count(self.concurrency),
            queue: count(self.queue),
            connections: count(self.connections),
            body: self.body,
            audio: time(self.audio),
            request: time(self.request),
            patience: time(self.patience),
            grace: time(self.grace),
        }
    }
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the model is called.
    pub model: String,
    /// How to transcribe, where a request does not say it.
    pub settings: Settings,
    /// What clients must know; nothing unless given.
    pub token: Option<Token>,
    /// What is taken on.
    pub limits: Limits,
}

impl Config {
    /// For a model of that name, with default settings and limits and no token.
    pub fn new(model: impl Into<String>) -> Self {
        let (settings, limits) = (Settings::default(), Limits::default());
        Self { model: model.into(), settings, token: None, limits }
    }
}

/// A server that is ready.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    runtime: Runtime,
    address: SocketAddr,
}

/// Ends a server, from any thread.
#[derive(Clone)]
pub struct Handle(Arc<App>);

impl Handle {
    /// Takes no more requests, and ends when those that there are have been answered, or at the end of
    /// [`Limits::grace`]. When called again, gives them up.
    pub fn shut_down(&self) {
        self.0.shut_down();
    }
}

impl Server {
    /// Serves an engine to those who connect.
    ///
    /// # Errors
    /// When a limit leaves nothing to serve with, or the system does not give what it takes.
    pub fn new(listener: TcpListener, engine: Arc<dyn Engine>, config: Config) -> io::Result<Self> {
        let config = Config { limits: config.limits.within_reach(), ..config };
        if config.limits.concurrency == 0 || config.limits.connections == 0 {
            let reason = "a server needs a connection and a transcription at a time, at least";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // Threads that transcribe are kept: each has memory of its own from the allocator.
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(config.limits.concurrency)
            .thread_keep_alive(Duration::from_secs(u32::MAX.into()))
            .thread_name("transcriber")
            .build()?;
        let app = Arc::new(App::new(engine, config, address.ip().is_loopback()));
        Ok(Self { app, listener, runtime, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What ends it.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.app))
    }

    /// Lets Ctrl-C and SIGTERM end it from now on, even if they come before it runs, and at once when
    /// they come twice.
    pub fn end_on_signals(&self) {
        let _context = self.runtime.enter();
        match Signals::new() {
            Ok(signals) => drop(self.runtime.spawn(signals::shut_down(signals, self.handle()))),
            Err(error) => tracing::warn!("cannot listen to signals: {error}"),
        }
    }

    /// Serves until it is told to end.
    ///
    /// # Errors
    /// When the system does not let it listen.
    pub fn run(self) -> io::Result<()> {
        let Self { app, listener, runtime, .. } = self;
        let served = runtime.block_on(async {
            listen::serve(app, tokio::net::TcpListener::from_std(listener)?).await;
            Ok(())
        });
        runtime.shutdown_timeout(LAST_TOKEN);
        served
    }
}
