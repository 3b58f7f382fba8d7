//! What is too much, too long, too slow or too many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tilewright::server::Limits;

use crate::client::{BOUNDARY, Form, Reply, ask, send, wav, wav_header};
use crate::{Running, eventually, limits};

const PATH: &str = "/v1/audio/transcriptions";
/// What a test waits for in vain.
const SHORT: Duration = Duration::from_millis(500);

#[test]
fn a_body_that_is_too_large_is_refused() {
    let (server, engine) = Running::with_limits(Limits { body: 1 << 20, ..limits() });
    // Clients that send all of it before they look see the answer as well.
    let large = Form::default().file(&wav(4 << 20));
    let reply = server.transcribe(&large);
    reply.is_refusal(413, None);
    assert_eq!(reply.json()["error"]["code"], "body_too_large");
    // One that says nothing of its length is found out on the way.
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    );
    let body = large.closed();
    let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    ask(server.address, &head, &chunk).is_refusal(413, None);
    assert_eq!(engine.begun.load(Ordering::SeqCst), 0);
    assert_eq!(server.transcribe(&Form::new()).status, 200);
}

#[test]
fn a_recording_that_is_too_long_is_refused() {
    let (server, engine) =
        Running::with_limits(Limits { audio: Duration::from_secs(2), ..limits() });
    let refused = |bytes: &[u8]| {
        let reply = server.transcribe(&Form::default().file(bytes));
        assert_eq!(reply.json()["error"]["code"], "audio_too_long", "{}", reply.text());
        reply.is_refusal(413, Some("file"))
    };
    // By what it announces, before any work.
    let message = refused(&wav(33_000));
    assert!(message.contains("announces 2 s"), "{message}");
    let lies = [wav_header(320_000), vec![0; 1000]].concat();
    assert!(refused(&lies).contains("announces 10 s"));
    assert_eq!(engine.begun.load(Ordering::SeqCst), 0);
    // By what it is: MP3 announces nothing, if its first frame does not.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tone.mp3");
    let mut mp3 = std::fs::read(path).unwrap();
    let at = mp3.windows(4).position(|four| matches!(four, b"Info" | b"Xing")).unwrap();
    mp3[at..at + 4].fill(0);
    refused(&mp3.repeat(20));
    assert_eq!(engine.begun.load(Ordering::SeqCst), 1);
    assert_eq!(server.transcribe(&Form::default().file(&wav(31_999))).status, 200);
}

/// Fills all places.
fn crowd(server: &Running, places: usize) -> Vec<TcpStream> {
    let form = Form::new().field("prompt", "wait");
    let crowd: Vec<_> = (0..places).map(|_| form.send(server.address, PATH)).collect();
    server.wait_for("tilewright_transcriptions_running", 2.0);
    server.wait_for("tilewright_transcriptions_waiting", places as f64 - 2.0);
    crowd
}

#[test]
fn those_who_find_no_place_are_told_when_to_come_again() {
    let (server, engine) = Running::with_limits(limits());
    let crowd = crowd(&server, 4);
    let reply = server.transcribe(&Form::new());
    let message = reply.is_refusal(429, None);
    assert!(message.starts_with("4 recordings"), "{message}");
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
    let seconds: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // Before the body is read: who waits to be asked for it never is.
    let head = Form::new().header("Expect: 100-continue").head(PATH, 1_000_000);
    assert_eq!(ask(server.address, &head, b"").status, 429);
    // All else goes on.
    assert_eq!(server.get("/health").status, 200);
    engine.released.store(true, Ordering::SeqCst);
    for mut stream in crowd {
        assert_eq!(Reply::read(&mut stream).status, 200);
    }
    assert_eq!(server.transcribe(&Form::new()).status, 200);
}

#[test]
fn clients_that_go_away_leave_nothing_running() {
    let (server, engine) = Running::with_limits(limits());
    for stream in ["false", "true"] {
        // Those of the clients before, who are gone.
        let before = engine.midway.load(Ordering::SeqCst);
        assert_eq!(engine.stopped.load(Ordering::SeqCst), before);
        let form = Form::new().field("prompt", "wait").field("stream", stream);
        let gone: Vec<_> = (0..4).map(|_| form.send(server.address, PATH)).collect();
        server.wait_for("tilewright_transcriptions_waiting", 2.0);
        eventually(|| engine.midway.load(Ordering::SeqCst) == before + 2);
        drop(gone);
        server.wait_for("tilewright_transcriptions_running", 0.0);
        server.wait_for("tilewright_transcriptions_waiting", 0.0);
        // This question is the only one.
        server.wait_for("tilewright_http_requests_in_flight", 1.0);
        server.wait_for("tilewright_connections", 1.0);
        assert!(engine.stopped.load(Ordering::SeqCst) >= before + 2);
        assert_eq!(engine.stopped.load(Ordering::SeqCst), engine.midway.load(Ordering::SeqCst));
    }
}

#[test]
fn clients_that_go_away_are_missed_whatever_else_they_sent() {
    let (server, engine) = Running::with_limits(limits());
    let form = Form::new().field("prompt", "wait");
    let body = form.closed();
    let next = b"\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // The next request, and a body that is longer than the form.
    for (length, rest) in [(body.len(), &next[..]), (body.len() + 100, b"")] {
        let before = engine.midway.load(Ordering::SeqCst);
        let head = format!("{}\r\n", form.head(PATH, length));
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&[head.as_bytes(), &body, rest].concat()).unwrap();
        eventually(|| engine.midway.load(Ordering::SeqCst) == before + 1);
        drop(stream);
        server.wait_for("tilewright_transcriptions_running", 0.0);
        server.wait_for("tilewright_connections", 1.0);
        assert_eq!(engine.stopped.load(Ordering::SeqCst), before + 1);
    }
}

#[test]
fn what_takes_too_long_is_given_up() {
    let request = Duration::from_secs(1);
    let (server, engine) = Running::with_limits(Limits { request, ..limits() });
    let form = Form::new().field("prompt", "wait");
    let reply = server.transcribe(&form);
    reply.is_refusal(504, None);
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    // A busy machine may not come to the first event in time.
    let form = form.field("stream", "true");
    let ask = || Some(server.transcribe(&form)).filter(|reply| reply.status == 200);
    let events = (0..100).find_map(|_| ask()).unwrap().events();
    assert_eq!(events.last().unwrap()["error"]["code"], "timeout", "{events:?}");
    server.wait_for("tilewright_transcriptions_running", 0.0);
    assert_eq!(engine.stopped.load(Ordering::SeqCst), engine.midway.load(Ordering::SeqCst));
}

#[test]
fn bodies_that_do_not_come_are_not_waited_for() {
    let (server, _) = Running::with_limits(Limits { patience: SHORT, ..limits() });
    let form = Form::new();
    let head = form.head(PATH, 1_000_000);
    // A busy machine may not even get the head there in time.
    let ask = || Reply::if_any(&mut send(server.address, &head, &form.body));
    (0..100).find_map(|_| ask()).unwrap().is_refusal(408, None);
    server.wait_for("tilewright_transcriptions_waiting", 0.0);
}

#[test]
fn bodies_that_come_byte_by_byte_are_not_waited_for() {
    let (server, _) = Running::with_limits(Limits { patience: SHORT, ..limits() });
    let head = Form::new().head(PATH, 1_000_000);
    // A busy machine may not even get the head there in time; who is not heard tries again.
    let refused = "route=\"/v1/audio/transcriptions\",method=\"POST\",status=\"408\"";
    eventually(|| {
        let mut stream = send(server.address, &head, b"");
        // It is closed on the way, so that writing fails in the end.
        while stream.write_all(b"-").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.get("/metrics").text().contains(refused)
    });
    server.wait_for("tilewright_transcriptions_waiting", 0.0);
    server.wait_for("tilewright_connections", 1.0);
}

#[test]
fn heads_that_do_not_come_are_not_waited_for() {
    let (server, _) = Running::with_limits(Limits { patience: SHORT, ..limits() });
    for begin in ["", "GET /health HT", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // It ends, whether with an answer or without.
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{begin}");
    }
    server.wait_for("tilewright_connections", 1.0);
}

#[test]
fn clients_that_do_not_read_are_not_waited_for() {
    let (server, engine) = Running::with_limits(Limits { patience: SHORT, ..limits() });
    let form = Form::new().field("prompt", "flood").field("stream", "true");
    let mut streams = Vec::new();
    // A busy machine may not get the form there in time; who hears nothing of it tries again.
    eventually(|| {
        let mut stream = form.send(server.address, PATH);
        let begins = matches!(stream.read(&mut [0]), Ok(1));
        streams.push(stream);
        begins && engine.midway.load(Ordering::SeqCst) > 0
    });
    server.wait_for("tilewright_transcriptions_running", 0.0);
    server.wait_for("tilewright_connections", 1.0);
    assert_eq!(engine.stopped.load(Ordering::SeqCst), engine.midway.load(Ordering::SeqCst));
    drop(streams);
}

#[test]
fn connections_are_limited() {
    let connect = |server: &Running| -> Vec<_> {
        (0..8).map(|_| TcpStream::connect(server.address).unwrap()).collect()
    };
    let (server, _) = Running::with_limits(Limits { connections: 2, ..limits() });
    let mut idle = connect(&server);
    let mut stream = send(server.address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n", b"");
    stream.set_read_timeout(Some(SHORT)).unwrap();
    stream.peek(&mut [0]).expect_err("it is not its turn");
    stream.set_read_timeout(None).unwrap();
    // It is behind the others, of which one stays.
    idle.truncate(1);
    let metrics = Reply::read(&mut stream).text();
    assert!(metrics.contains("\ntilewright_connections 2\n"), "{metrics}");
    // Those that say nothing are closed, and then it is the turn of others.
    let limits = Limits { connections: 2, patience: SHORT, ..limits() };
    let (server, _) = Running::with_limits(limits);
    let idle = connect(&server);
    assert_eq!(server.get("/health").status, 200);
    drop(idle);
}
