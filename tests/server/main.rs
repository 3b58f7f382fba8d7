//! The server, as clients meet it: over the loopback interface, mostly with an engine that is played.

#![allow(clippy::expect_used, clippy::panic)] // Helpers outside of test functions.

mod answers;
mod client;
mod endings;
mod engine;
mod limits;
mod malformed;
mod refusals;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tilewright::server::{Config, Engine, Handle, Limits, Server};

use client::{Form, Reply};
use engine::Played;

/// A server that ends with the test.
struct Running {
    address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

/// Few places, and times that no test waits for, however busy the machine is.
fn limits() -> Limits {
    let [request, patience, grace] = [Duration::from_secs(3600); 3];
    Limits { concurrency: 2, queue: 2, request, patience, grace, ..Limits::default() }
}

fn config() -> Config {
    Config { limits: limits(), ..Config::new("played") }
}

impl Running {
    fn start(engine: Arc<dyn Engine>, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server::new(listener, engine, config).expect("a server");
        let (address, handle) = (server.address(), server.handle());
        Self { address, handle, thread: Some(std::thread::spawn(|| server.run())) }
    }

    /// One with an engine that is played.
    fn played(config: Config) -> (Self, Arc<Played>) {
        let engine = Arc::new(Played::default());
        (Self::start(engine.clone(), config), engine)
    }

    fn with_limits(limits: Limits) -> (Self, Arc<Played>) {
        Self::played(Config { limits, ..config() })
    }

    /// Asks until there is an answer: a server of little patience may have none for a busy machine.
    fn get(&self, path: &str) -> Reply {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
        let ask = || Reply::if_any(&mut client::send(self.address, &head, b""));
        (0..100).find_map(|_| ask()).expect("an answer")
    }

    fn transcribe(&self, form: &Form) -> Reply {
        form.post(self.address, "/v1/audio/transcriptions")
    }

    /// A number that the server tells.
    fn metric(&self, name: &str) -> f64 {
        let metrics = self.get("/metrics").text();
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.and_then(|value| value.parse().ok()).expect("a metric")
    }

    /// Waits until a number is what it should become.
    #[track_caller]
    fn wait_for(&self, name: &str, value: f64) {
        eventually(|| self.metric(name) == value);
    }

    /// Waits until the server has ended.
    fn ended(&mut self) {
        let thread = self.thread.take().expect("it has not ended");
        thread.join().expect("no panic").expect("no error");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.handle.shut_down();
            self.handle.shut_down();
            let _ = thread.join();
        }
    }
}

/// Waits until something holds; a minute is never enough for something that does not.
#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came to be");
}
