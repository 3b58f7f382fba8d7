//! Parameters that make no sense, each with its name in the answer.

use crate::client::{Form, ask};
use crate::{Running, config};

#[test]
fn every_bad_parameter_is_named() {
    let (server, engine) = Running::played(config());
    let long = "x".repeat(20_000);
    let nested = "[".repeat(15_000);
    for (name, value) in [
        ("response_format", "xml"),
        ("response_format", "diarized_json"),
        ("response_format", ""),
        ("language", "klingon"),
        ("language", "yue"),
        ("temperature", "hot"),
        ("temperature", "NaN"),
        ("temperature", "inf"),
        ("temperature", "1.1"),
        ("temperature", "-0.1"),
        ("temperature", ""),
        ("stream", "perhaps"),
        ("stream", ""),
        ("timestamp_granularities[]", "letter"),
        ("chunking_strategy", "server_vad"),
        ("chunking_strategy", "{\"type\":\"server_vad\"}"),
        ("chunking_strategy", &nested),
        ("include[]", "logprobs"),
        ("known_speaker_names[]", "me"),
        ("keywords[]", "word"),
        ("languages[]", "de"),
        ("prompt", &long),
        ("best_of", "5"),
        ("Model", "whisper-1"),
        ("модель", "whisper-1"),
    ] {
        let message =
            server.transcribe(&Form::new().field(name, value)).is_refusal(400, Some(name));
        assert!(message.len() < 200, "{message}");
    }
    let message = server.transcribe(&Form::new().field("model", "gpt-4o-transcribe"));
    let message = message.is_refusal(404, Some("model"));
    assert!(message.contains("played"), "{message}");
    assert_eq!(engine.begun.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[test]
fn parameters_that_contradict_each_other_are_refused() {
    let (server, _) = Running::played(config());
    for form in [
        Form::new().field("timestamp_granularities[]", "word"),
        Form::new().field("timestamp_granularities[]", "segment").field("response_format", "srt"),
    ] {
        server.transcribe(&form).is_refusal(400, Some("timestamp_granularities"));
    }
    let form = Form::new().field("stream", "true").field("response_format", "vtt");
    server.transcribe(&form).is_refusal(400, Some("stream"));
    let form = Form::new().field("language", "de").field("language", "fr");
    server.transcribe(&form).is_refusal(400, Some("language"));
    server.transcribe(&Form::new().file(b"again")).is_refusal(400, Some("file"));
    server.transcribe(&Form::default().field("model", "whisper-1")).is_refusal(400, Some("file"));
    server.transcribe(&Form::default()).is_refusal(400, Some("file"));
}

#[test]
fn other_paths_and_methods_are_said_to_be_so() {
    let (server, _) = Running::played(config());
    for path in ["/v1", "/v1/audio/speech", "/v1/models/", "/..%2f..%2fetc/passwd", "/index.html"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    server.get("/v1/models/%ff").is_refusal(404, None);
    for (method, path, allowed) in [
        ("GET", "/v1/audio/transcriptions", "post"),
        ("DELETE", "/v1/audio/translations", "post"),
        ("POST", "/v1/models", "get"),
        ("BREW", "/health", "get"),
        ("OPTIONS", "/", "get"),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        let reply = ask(server.address, &head, b"");
        reply.is_refusal(405, None);
        assert_eq!(reply.header("allow"), Some(allowed));
    }
    // Other methods are one in the metrics, as there can be any number of them.
    let metrics = server.get("/metrics").text();
    assert!(!metrics.contains("BREW"), "{metrics}");
    assert!(metrics.contains("method=\"other\",status=\"405\""), "{metrics}");
}
