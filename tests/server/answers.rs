//! What is right is answered as OpenAI's API does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tilewright::audio;
use tilewright::backend::cpu::{Cpu, Numeric, Scaling};
use tilewright::decoding::Options;
use tilewright::decoding::fallback::Thresholds;
use tilewright::encoder;
use tilewright::kernels::TABLE;
use tilewright::server::{Config, Token};
use tilewright::transcribe::{Settings, Stop, Transcriber};
use tilewright::transcript::Format;
use tilewright::weights::Weights;

use crate::client::{Form, Reply, ask};
use crate::engine::transcript;
use crate::{Running, config};

#[test]
fn every_format_is_that_of_the_library() {
    let (server, _) = Running::played(config());
    let expected = transcript(&Settings::default(), 1.0);
    let answer = |format| server.transcribe(&Form::new().field("response_format", format));
    for (format, kind, library) in [
        ("text", "text/plain; charset=utf-8", Format::Text),
        ("srt", "application/x-subrip; charset=utf-8", Format::Srt),
        ("vtt", "text/vtt; charset=utf-8", Format::Vtt),
    ] {
        let reply = answer(format);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)));
        assert_eq!(reply.text(), expected.render(library));
    }
    let library: serde_json::Value =
        serde_json::from_str(&expected.render(Format::Json)).expect("JSON");
    assert_eq!(answer("verbose_json").json(), library);
    for reply in [answer("json"), server.transcribe(&Form::new())] {
        let usage = serde_json::json!({ "type": "duration", "seconds": 1.0 });
        assert_eq!(reply.json(), serde_json::json!({ "text": "Hello, you.", "usage": usage }));
    }
}

#[test]
fn granularities_are_what_was_asked_for() {
    let (server, _) = Running::played(config());
    let fields = |asked: &[&str]| {
        let form = Form::new().field("response_format", "verbose_json");
        let add = |form: Form, value: &&str| form.field("timestamp_granularities[]", value);
        let json = server.transcribe(&asked.iter().fold(form, add)).json();
        (json.get("segments").is_some(), json.get("words").is_some())
    };
    assert_eq!(fields(&[]), (true, false));
    assert_eq!(fields(&["segment"]), (true, false));
    assert_eq!(fields(&["word"]), (false, true));
    assert_eq!(fields(&["word", "segment"]), (true, true));
}

#[test]
fn text_comes_as_it_is_said() {
    let (server, engine) = Running::played(config());
    let form = Form::new().field("stream", "true").field("prompt", "wait");
    let mut stream = BufReader::new(form.send(server.address, "/v1/audio/transcriptions"));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).unwrap(), 0, "an event before the end");
    }
    let first: serde_json::Value = serde_json::from_str(&line["data: ".len()..]).unwrap();
    assert_eq!(first, serde_json::json!({ "type": "transcript.text.delta", "delta": "Hello," }));
    engine.released.store(true, Ordering::SeqCst);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains(r#"data: {"type":"transcript.text.delta","delta":" you."}"#), "{rest}");
    assert!(
        rest.contains(r#"data: {"type":"transcript.text.done","text":"Hello, you."}"#),
        "{rest}"
    );
}

#[test]
fn a_verbose_stream_has_segments_and_ends_with_all_fields() {
    let (server, _) = Running::played(config());
    let form = Form::new().field("stream", "TRUE").field("response_format", "verbose_json");
    let reply = server.transcribe(&form);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let events = reply.events();
    assert_eq!(events.len(), 3);
    assert_eq!(events[1]["segment"]["start"], 1.0);
    assert_eq!(events[2]["type"], "transcript.text.done");
    assert_eq!(events[2]["text"], "Hello, you.");
    assert_eq!(events[2]["segments"].as_array().unwrap().len(), 2);
    assert_eq!(events[2]["duration"], 1.0);
}

#[test]
fn what_fails_midway_is_the_last_event() {
    let (server, _) = Running::played(config());
    for prompt in ["fail", "panic"] {
        let form = Form::new().field("stream", "true").field("prompt", prompt);
        let events = server.transcribe(&form).events();
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(events[1]["error"]["type"], "server_error");
    }
}

#[test]
fn a_panic_is_the_servers_mistake_and_not_its_end() {
    let (server, _) = Running::played(config());
    for _ in 0..5 {
        let reply = server.transcribe(&Form::new().field("prompt", "panic"));
        reply.is_refusal(500, None);
    }
    assert_eq!(server.transcribe(&Form::new()).status, 200);
    server.transcribe(&Form::new().field("prompt", "fail")).is_refusal(500, None);
}

#[test]
fn parameters_of_openai_s_api_are_taken() {
    let (server, _) = Running::played(config());
    let form = Form::new()
        .field("model", "whisper-1")
        .field("language", "German")
        .field("temperature", "0.4")
        .field("prompt", "names")
        .field("chunking_strategy", "auto")
        .field("stream", "false")
        .field("response_format", "verbose_json");
    assert_eq!(server.transcribe(&form).json()["language"], "german");
    let form = Form::new().field("model", "played").field("language", "");
    assert_eq!(server.transcribe(&form).status, 200);
    let reply = Form::new().post(server.address, "/v1/audio/translations");
    assert_eq!(reply.json()["text"], "Hello, you.");
}

#[test]
fn the_model_is_listed() {
    let (server, _) = Running::played(Config { ..Config::new("openai/whisper base") });
    let list = server.get("/v1/models").json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["id"], "openai/whisper base");
    for path in ["/v1/models/openai/whisper%20base", "/v1/models/openai%2Fwhisper%20base"] {
        assert_eq!(server.get(path).json(), list["data"][0]);
    }
    server.get("/v1/models/other").is_refusal(404, Some("model"));
}

#[test]
fn health_metrics_and_the_page_are_there() {
    let (server, _) = Running::played(config());
    assert_eq!(server.get("/health").json()["status"], "ok");
    server.transcribe(&Form::new());
    let metrics = server.get("/metrics").text();
    for line in [
        "tilewright_http_requests_total{route=\"/health\",method=\"GET\",status=\"200\"} 1",
        "tilewright_http_requests_total{route=\"/v1/audio/transcriptions\",method=\"POST\",status=\"200\"} 1",
        "tilewright_http_requests_in_flight 1",
        "tilewright_audio_seconds_total 1",
        "tilewright_encoder_windows_total 5",
        "tilewright_encoder_calls_total 2",
        "tilewright_transcription_seconds_bucket{le=\"+Inf\"} 1",
        "tilewright_transcriptions_running 0",
        "tilewright_transcriptions_waiting 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}\n{metrics}");
    }
    let page = server.get("/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert!(html.contains("<option value=\"de\">german</option>"), "{html}");
    // Nothing comes from elsewhere.
    assert!(!html.contains("http://") && !html.contains("https://"));
    // What the policy has hashes of is one script and one style sheet, as they stand there.
    assert_eq!(html.matches("<script").count() + html.matches("<style").count(), 2);
    assert!(html.contains("<script>") && html.contains("<style>"));
}

#[test]
fn a_connection_serves_several_requests() {
    let (server, _) = Running::played(config());
    let mut stream = TcpStream::connect(server.address).unwrap();
    let form = Form::new();
    let body = form.closed();
    for _ in 0..2 {
        let head = form.head("/v1/audio/transcriptions", body.len());
        stream.write_all(&[head.as_bytes(), b"\r\n", &body].concat()).unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        assert!(bytes.starts_with(b"HTTP/1.1 200 OK"));
    }
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert_eq!(Reply::read(&mut stream).status, 200);
}

#[test]
fn only_those_who_have_the_token_are_served() {
    let token = Token::new("secret");
    let (server, engine) = Running::played(Config { token, ..config() });
    for path in ["/v1/models", "/v1/models/played", "/metrics", "/other"] {
        let reply = server.get(path);
        reply.is_refusal(401, None);
        assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
        assert_eq!(reply.header("www-authenticate"), Some("bearer"));
    }
    server.transcribe(&Form::new()).is_refusal(401, None);
    server.transcribe(&Form::new().header("Authorization: Bearer wrong")).is_refusal(401, None);
    assert_eq!(engine.begun.load(Ordering::SeqCst), 0);
    let right = Form::new().header("Authorization: Bearer secret");
    assert_eq!(server.transcribe(&right).status, 200);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn pages_of_other_sites_are_not_served() {
    let (server, _) = Running::played(config());
    let evil = Form::new().header("Origin: http://evil.example");
    server.transcribe(&evil).is_refusal(403, None);
    let own = Form::new().header("Origin: http://localhost");
    assert_eq!(server.transcribe(&own).status, 200);
    let rebound = "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n";
    ask(server.address, rebound, b"").is_refusal(403, None);
}

/// Few tokens of synthetic weights.
fn quick() -> Settings {
    let thresholds = Thresholds { compression_ratio: None, log_probability: None, no_speech: None };
    let decoding = Options {
        timestamps: false,
        temperatures: vec![0.0],
        thresholds,
        max_tokens: Some(4),
        ..Options::default()
    };
    Settings { decoding, ..Settings::default() }
}

/// The encoder and the decoder, on synthetic weights.
fn transcriber() -> Transcriber {
    let (weights, cpu) = (Weights::synthetic(), Cpu::new().expect("a CPU"));
    let numeric = Numeric::I8 { activations: Scaling::PerRow };
    let kernels = TABLE.targets[0];
    let encoder = encoder::load(kernels, Some(1500), cpu, numeric, &weights, None);
    let encoder = encoder.expect("an encoder");
    Transcriber::new(encoder, cpu, numeric, &weights, None).expect("a transcriber")
}

#[test]
fn a_model_is_served_as_the_library_runs_it() {
    let transcriber = Arc::new(transcriber());
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/samples/speech.wav");
    let mut reader = audio::open(sample).unwrap();
    let settings = quick();
    let expected = transcriber.transcribe(&mut reader, &settings, &Stop::default(), &mut |_| {});
    let expected = expected.unwrap();
    assert!(!expected.text().trim().is_empty());

    let config = Config { settings, ..config() };
    let server = Running::start(transcriber.clone(), config);
    let form = Form::default().file(&std::fs::read(sample).unwrap());
    // All at the same time.
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let ask = |format| {
            let form = form.clone().field("response_format", format);
            let server = &server;
            scope.spawn(move || server.transcribe(&form))
        };
        let asked = ["srt", "vtt", "text", "verbose_json"].map(ask);
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(replies[0].text(), expected.render(Format::Srt));
    assert_eq!(replies[1].text(), expected.render(Format::Vtt));
    assert_eq!(replies[2].text(), expected.render(Format::Text));
    let library: serde_json::Value = serde_json::from_str(&expected.render(Format::Json)).unwrap();
    assert_eq!(replies[3].json(), library);
    let events = server.transcribe(&form.clone().field("stream", "true")).events();
    assert_eq!(events.last().unwrap()["text"], expected.text().trim());
    let form = form.field("response_format", "verbose_json");
    let translated = form.post(server.address, "/v1/audio/translations").json();
    assert_eq!(translated["task"], "translate");
    assert_eq!(server.metric("tilewright_encoder_windows_total"), 7.0);
    assert!(server.metric("tilewright_encoder_calls_total") <= 7.0);
    assert!(server.metric("tilewright_tokens_total") >= 6.0 * 4.0);
}
