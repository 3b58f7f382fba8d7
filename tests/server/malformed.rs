//! Bodies and recordings that are not what they say.

use crate::client::{BOUNDARY, Form, Reply, ask, send, wav, wav_header};
use crate::{Running, config};

fn data(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("a file of the tests")
}

#[test]
fn what_a_recording_is_shows_when_it_is_read() {
    let (server, _) = Running::played(config());
    for name in ["tone.mp3", "tone.flac", "tone.ogg", "telephone.wav"] {
        for (said, kind) in [("a.exe", "text/html"), ("../../etc/passwd", "audio/wav"), ("", "")] {
            let part = format!("name=\"file\"; filename=\"{said}\"\r\nContent-Type: {kind}");
            let reply = server.transcribe(&Form::default().part(&part, &data(name)));
            assert_eq!(reply.status, 200, "{name} as {said}: {}", reply.text());
        }
    }
    // A file without a name is one as well.
    assert_eq!(server.transcribe(&Form::default().part("name=\"file\"", &wav(100))).status, 200);
}

#[test]
fn what_is_no_recording_is_refused_with_the_reason() {
    let (server, _) = Running::played(config());
    let wav = wav(100);
    let zip = b"PK\x03\x04\x14\0\0\0".repeat(100);
    let noise: Vec<u8> =
        (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (what, bytes) in [
        ("empty", &[][..]),
        ("zero samples", &wav_header(0)),
        ("half a header", &wav[..20]),
        ("text", b"this is no sound"),
        ("HTML", b"<html><script>alert(1)</script></html>"),
        ("an archive", &zip),
        ("noise", &noise),
        ("another coding", &data("opus.ogg")),
        ("what breaks a decoder", &data("breaks-assertion.ogg")),
    ] {
        let reply = server.transcribe(&Form::default().file(bytes));
        let message = reply.is_refusal(400, Some("file"));
        assert!(message.starts_with("`file` "), "{what}: {message}");
        assert_eq!(reply.json()["error"]["code"], "invalid_audio", "{what}");
    }
    // A recording that was cut off is used as far as it goes.
    let cut = server.transcribe(&Form::default().file(&data("tone.mp3")[..2000]));
    assert_eq!(cut.status, 200, "{}", cut.text());
    assert_eq!(server.transcribe(&Form::default().file(&wav[..144])).status, 200);
}

fn post(server: &Running, content_type: &str, body: &[u8]) -> Reply {
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{content_type}",
        body.len()
    );
    ask(server.address, &head, body)
}

#[test]
fn other_bodies_than_forms_are_refused() {
    let (server, _) = Running::played(config());
    for content_type in [
        "",
        "Content-Type: application/json\r\n",
        "Content-Type: nonsense\r\n",
        "Content-Type: multipart/mixed; boundary=x\r\n",
        "Content-Type: audio/wav\r\n",
    ] {
        post(&server, content_type, b"{\"file\": \"x\"}").is_refusal(415, None);
    }
}

#[test]
fn malformed_forms_are_refused() {
    let (server, _) = Running::played(config());
    let body = Form::new().closed();
    let long = format!("; boundary={}", "x".repeat(71));
    for parameter in
        ["", "; boundary=", "; boundary=\"\"", &long, "; ;", "; boundary=other", "; charset=utf-8"]
    {
        let content_type = format!("Content-Type: multipart/form-data{parameter}\r\n");
        post(&server, &content_type, &body).is_refusal(400, None);
    }
    let right = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
    let nameless = Form::default().part("filename=\"a.wav\"", b"x").closed();
    let long_name = Form::default().field(&"n".repeat(200), "x").closed();
    let many = (0..100).fold(Form::new(), |form, i| form.field(&format!("f{i}"), "")).closed();
    let headers = format!("--{BOUNDARY}\r\n{}", "X-A: b\r\n".repeat(100)).into_bytes();
    let no_end = [format!("--{BOUNDARY}\r\n").as_bytes(), &b"x".repeat(1 << 20)].concat();
    for body in [
        &b""[..],
        b"--",
        b"\r\n\r\n",
        &body[..body.len() / 2],
        &nameless,
        &long_name,
        &many,
        &headers,
        &no_end,
        &b"\0".repeat(1 << 20),
    ] {
        let message = post(&server, &right, body).is_refusal(400, None);
        assert!(message.len() < 300, "{message}");
    }
    let form = Form::new().part("name=\"prompt\"", b"\xff\xfe").closed();
    post(&server, &right, &form).is_refusal(400, Some("prompt"));
    // What comes before and behind a form does not count.
    let padded = [b"preamble\r\n", &Form::new().closed()[..], b"\r\nepilogue"].concat();
    assert_eq!(post(&server, &right, &padded).status, 200);
}

#[test]
fn heads_that_are_too_large_or_no_http_are_refused() {
    let (server, _) = Running::played(config());
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}");
    assert_eq!(ask(server.address, &head, b"").status, 431);
    // What never ends is answered before it does, for which its client may not have an ear.
    for flood in ["X: ".to_owned() + &"y".repeat(4 << 20), "X: y\r\n".repeat(1 << 20)] {
        let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{flood}");
        let reply = Reply::if_any(&mut send(server.address, &head, b""));
        assert!(reply.is_none_or(|reply| reply.status == 431));
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n", "x".repeat(60_000));
    assert_eq!(ask(server.address, &long, b"").status, 404);
    for nonsense in ["\0\0\0\0\r\n", "GET\r\n", "GET / HTTP/9.9\r\n", "\x16\x03\x01\x02\r\n"] {
        assert_eq!(ask(server.address, nonsense, b"").status, 400);
    }
    let twice = "Content-Length: 5\r\nContent-Length: 6\r\n";
    let head = format!("POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n{twice}");
    assert_eq!(ask(server.address, &head, b"12345").status, 400);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn a_body_in_chunks_is_one_too() {
    let (server, _) = Running::played(config());
    let chunks = |body: &[u8]| -> Vec<u8> {
        let chunk =
            |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        [&body.chunks(1000).flat_map(chunk).collect::<Vec<u8>>()[..], b"0\r\n\r\n"].concat()
    };
    let head = format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    );
    assert_eq!(ask(server.address, &head, &chunks(&Form::new().closed())).status, 200);
    let broken = ask(server.address, &head, b"zz\r\nnonsense\r\n");
    assert_eq!(broken.status, 400);
    // Half of it, and then nothing more.
    let stream = send(server.address, &head, &chunks(&Form::new().closed())[..500]);
    drop(stream);
    server.wait_for("tilewright_transcriptions_waiting", 0.0);
}
