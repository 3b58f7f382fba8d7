//! A client that can also behave badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(super) const BOUNDARY: &str = "a-boundary";

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// All that comes until the connection ends.
    pub(super) fn read(stream: &mut TcpStream) -> Self {
        Self::if_any(stream).expect("an answer")
    }

    /// The same; none if the connection ends without.
    pub(super) fn if_any(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        // Of a connection that is reset, what came before counts.
        let _ = stream.read_to_end(&mut bytes);
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..at].to_vec()).ok()?.to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        let mut body = bytes[at + 4..].to_vec();
        if status == 100 {
            return Self::parse(&body);
        }
        if head.contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Some(Self { status, head, body })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The data of server-sent events.
    pub(super) fn events(&self) -> Vec<serde_json::Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
    }

    /// That it is the JSON of an error about some parameter.
    #[track_caller]
    pub(super) fn is_refusal(&self, status: u16, param: Option<&str>) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let error = &self.json()["error"];
        assert_eq!(error["param"].as_str(), param, "{error}");
        for field in ["message", "type", "param", "code"] {
            assert!(error.get(field).is_some(), "{field}: {error}");
        }
        error["message"].as_str().expect("a message").to_owned()
    }
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&bytes[..at]).expect("a length");
        let length = usize::from_str_radix(length, 16).expect("a length");
        let Some(chunk) = bytes.get(at + 2..at + 2 + length) else { break };
        body.extend_from_slice(chunk);
        bytes = bytes.get(at + 4 + length..).unwrap_or_default();
    }
    body
}

/// Sends a request on a connection of its own; the head has no empty line yet.
pub(super) fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Reply {
    let mut stream = send(address, head, body);
    Reply::read(&mut stream)
}

/// The same, and does not wait.
pub(super) fn send(address: SocketAddr, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    // Who is refused early may not be listened to until the end.
    let _ = write!(stream, "{head}Connection: close\r\n\r\n");
    let _ = stream.write_all(body);
    stream
}

/// A form.
#[derive(Clone, Default)]
pub(super) struct Form {
    pub(super) body: Vec<u8>,
    /// Lines of the head, with their ends.
    pub(super) headers: String,
}

impl Form {
    /// With a second of sound.
    pub(super) fn new() -> Self {
        Self::default().file(&wav(16_000))
    }

    pub(super) fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }

    pub(super) fn file(self, bytes: &[u8]) -> Self {
        self.part("name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav", bytes)
    }

    pub(super) fn part(mut self, disposition: &str, bytes: &[u8]) -> Self {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(bytes);
        self.body.extend_from_slice(b"\r\n");
        self
    }

    pub(super) fn header(mut self, line: &str) -> Self {
        self.headers += line;
        self.headers += "\r\n";
        self
    }

    /// The whole body.
    pub(super) fn closed(&self) -> Vec<u8> {
        [&self.body[..], format!("--{BOUNDARY}--\r\n").as_bytes()].concat()
    }

    /// The head for so many bytes.
    pub(super) fn head(&self, path: &str, length: usize) -> String {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n{}",
            self.headers
        )
    }

    pub(super) fn post(&self, address: SocketAddr, path: &str) -> Reply {
        Reply::read(&mut self.send(address, path))
    }

    /// The same, and does not wait.
    pub(super) fn send(&self, address: SocketAddr, path: &str) -> TcpStream {
        let body = self.closed();
        send(address, &self.head(path, body.len()), &body)
    }
}

/// So many samples of 16 bits at 16 kHz.
pub(super) fn wav(samples: u32) -> Vec<u8> {
    let mut bytes = wav_header(2 * samples);
    bytes.extend((0..samples).flat_map(|i| ((i % 64) as i16 * 100).to_le_bytes()));
    bytes
}

/// A header that announces so many bytes.
pub(super) fn wav_header(bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend((bytes + 36).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    header.extend(16_000u32.to_le_bytes());
    header.extend(32_000u32.to_le_bytes());
    header.extend(b"\x02\0\x10\0data");
    header.extend(bytes.to_le_bytes());
    header
}
