//! How a server ends.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tilewright::server::{Config, Limits, Server};

use crate::client::{Form, Reply};
use crate::engine::Played;
use crate::{Running, config, eventually, limits};

const PATH: &str = "/v1/audio/transcriptions";

/// A request that the engine is in the midst of.
fn waiting(server: &Running, engine: &Played) -> TcpStream {
    let stream = Form::new().field("prompt", "wait").send(server.address, PATH);
    eventually(|| engine.midway.load(Ordering::SeqCst) == 1);
    stream
}

#[test]
fn what_is_under_way_is_finished_and_nothing_else_begun() {
    let (mut server, engine) = Running::with_limits(limits());
    let mut stream = waiting(&server, &engine);
    // A request that is half there when the end is announced.
    let mut late = TcpStream::connect(server.address).unwrap();
    let form = Form::new();
    let body = form.closed();
    let head = format!("{}Connection: close\r\n\r\n", form.head(PATH, body.len()));
    late.write_all(&head.as_bytes()[..40]).unwrap();
    server.wait_for("tilewright_connections", 3.0);
    server.handle.shut_down();
    eventually(|| TcpStream::connect(server.address).is_err());
    late.write_all(&head.as_bytes()[40..]).unwrap();
    late.write_all(&body).unwrap();
    let reply = Reply::read(&mut late);
    reply.is_refusal(503, None);
    assert_eq!(reply.json()["error"]["code"], "shutting_down");
    engine.released.store(true, Ordering::SeqCst);
    assert_eq!(Reply::read(&mut stream).status, 200);
    server.ended();
    assert_eq!(engine.begun.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_not_done_within_the_grace_is_given_up() {
    let (mut server, engine) = Running::with_limits(Limits { grace: Duration::ZERO, ..limits() });
    let mut stream = waiting(&server, &engine);
    server.handle.shut_down();
    Reply::read(&mut stream).is_refusal(503, None);
    server.ended();
    // It waits for threads, but not for long.
    eventually(|| engine.stopped.load(Ordering::SeqCst) == 1);
}

#[test]
fn the_second_call_ends_it_at_once() {
    let (mut server, engine) = Running::with_limits(limits());
    let mut stream = waiting(&server, &engine);
    let streamed = Form::new().field("prompt", "wait").field("stream", "true");
    let mut streamed = streamed.send(server.address, PATH);
    eventually(|| engine.midway.load(Ordering::SeqCst) == 2);
    // What has not been answered would be refused.
    streamed.peek(&mut [0]).unwrap();
    server.handle.shut_down();
    server.handle.shut_down();
    Reply::read(&mut stream).is_refusal(503, None);
    let events = Reply::read(&mut streamed).events();
    assert_eq!(events.last().unwrap()["error"]["code"], "shutting_down");
    server.ended();
    eventually(|| engine.stopped.load(Ordering::SeqCst) == 2);
}

#[test]
fn connections_that_are_idle_do_not_hold_the_end_up() {
    let (mut server, _) = Running::with_limits(limits());
    let idle: Vec<_> = (0..4).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    server.wait_for("tilewright_connections", 5.0);
    server.handle.shut_down();
    server.ended();
    drop(idle);
}

#[test]
#[cfg(unix)]
fn a_signal_that_comes_before_it_runs_ends_it() {
    use rustix::process::{Signal, getpid, kill_process};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new(listener, Arc::new(Played::default()), config()).unwrap();
    server.end_on_signals();
    kill_process(getpid(), Signal::TERM).unwrap();
    server.run().unwrap();
}

#[test]
fn limits_may_be_none() {
    let [concurrency, queue, connections, body] = [usize::MAX; 4];
    let [audio, request, patience, grace] = [Duration::MAX; 4];
    let limits = Limits { concurrency, queue, connections, body, audio, request, patience, grace };
    let (mut server, _) = Running::with_limits(limits);
    assert_eq!(server.transcribe(&Form::new()).status, 200);
    server.handle.shut_down();
    server.ended();
}

#[test]
fn limits_that_leave_nothing_are_refused() {
    for limits in [Limits { concurrency: 0, ..limits() }, Limits { connections: 0, ..limits() }] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = Config { limits, ..config() };
        assert!(Server::new(listener, Arc::new(Played::default()), config).is_err());
    }
}
