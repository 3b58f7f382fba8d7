//! `tilewright serve`, as a user runs it, on synthetic weights.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Outcome, Sandbox};

fn serve(sandbox: &Sandbox, arguments: &[&str]) -> (Child, String) {
    let mut command = sandbox.command(&["serve", "--port", "0", "--max-tokens", "4"]);
    let mut child = command
        .args(arguments)
        .env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let address = line.trim().strip_prefix("listening on http://");
    (child, address.expect("an address").to_owned())
}

fn get(address: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let end = "Connection: close\r\n\r\n";
    write!(stream, "GET /v1/models HTTP/1.1\r\nHost: {address}\r\n{headers}{end}").expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("an answer");
    reply
}

fn end(child: Child) -> Outcome {
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

#[test]
fn help_has_examples_and_every_limit_with_its_default() {
    let help = Sandbox::new().run(&["serve", "--help"]).success();
    assert!(help.contains("Examples:\n  tilewright serve "), "{help}");
    for limit in ["concurrency", "queue", "connections", "max-body", "max-duration", "timeout"] {
        let at = help.find(&format!("--{limit} <")).expect(limit);
        assert!(help[at..].lines().take(6).any(|line| line.contains("[default: ")), "{limit}");
    }
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    let sandbox = Sandbox::new();
    let (child, address) = serve(&sandbox, &[]);
    let reply = get(&address, "");
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    let outcome = end(child);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the text means nothing"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("no token"), "{}", outcome.stderr);
}

#[test]
fn it_can_be_told_to_end_as_soon_as_it_says_where_it_listens() {
    let sandbox = Sandbox::new();
    for _ in 0..5 {
        let outcome = end(serve(&sandbox, &[]).0);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    }
}

#[test]
fn a_token_comes_from_a_file_and_the_name_from_the_command_line() {
    let sandbox = Sandbox::new();
    sandbox.write("token", "secret\n");
    let (child, address) = serve(&sandbox, &["--token-file", "token", "--model-id", "mine"]);
    assert!(get(&address, "").starts_with("HTTP/1.1 401 "));
    let reply = get(&address, "Authorization: Bearer secret\r\n");
    assert!(reply.contains(r#""id":"mine""#), "{reply}");
    assert_eq!(end(child).status, Some(0));
}

#[test]
fn an_open_server_is_warned_of() {
    let sandbox = Sandbox::new();
    let (child, address) = serve(&sandbox, &["--host", "0.0.0.0"]);
    assert!(get(&address.replace("0.0.0.0", "127.0.0.1"), "").starts_with("HTTP/1.1 200 "));
    let outcome = end(child);
    assert!(outcome.stderr.contains("there is no token"), "{}", outcome.stderr);
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_loaded() {
    let sandbox = Sandbox::new();
    sandbox.write("empty", " \n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for (arguments, words) in [
        (&["--token-file", "missing"][..], "cannot read missing"),
        (&["--token-file", "empty"], "there is no token in empty"),
        (&["--port", &port], "--port N"),
    ] {
        let stderr = sandbox.run(&[&["serve"], arguments].concat()).failure(1);
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("synthetic"), "{stderr}");
    }
    let mut command = sandbox.command(&["serve", "--port", "0"]);
    let stderr = Outcome::of(command.env("TILEWRIGHT_TOKEN", "")).failure(1);
    assert!(stderr.contains("there is no token in TILEWRIGHT_TOKEN"), "{stderr}");
    for arguments in [&["--concurrency", "0"][..], &["--host", "nowhere"], &["--max-body", "0"]] {
        sandbox.run(&[&["serve"], arguments].concat()).failure(2);
    }
    // Of options that make no sense for the checkpoint it is said at the start, not at each request.
    let mut command = sandbox.command(&["serve", "--port", "0", "--temperature", "20"]);
    let outcome = Outcome::of(command.env("TILEWRIGHT_CACHE_DIR", sandbox.path("cache")));
    assert!(outcome.failure(1).contains("temperature"));
}
