//! Ctrl-C while `tilewright transcribe -` listens.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Sandbox;
use crate::transcribe::{from_pipe, sample};

/// One that has told a window's text and waits for more sound.
fn listening(sandbox: &Sandbox) -> (Child, ChildStdin, Lines<BufReader<ChildStdout>>) {
    let wav = std::fs::read(sample()).expect("the sample");
    let mut child = from_pipe(sandbox).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let sound: Vec<u8> = wav[44..].iter().copied().cycle().take(35 * 32_000).collect();
    stdin.write_all(&sound).expect("the program reads");
    lines.next().expect("a line").expect("UTF-8");
    (child, stdin, lines)
}

fn interrupt(child: &Child) {
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::INT).expect("it runs");
}

/// Who records hears the same Ctrl-C, and may have a last word.
#[test]
fn an_interrupt_ends_the_recording_and_not_its_transcription() {
    let sandbox = Sandbox::new();
    let (child, mut stdin, lines) = listening(&sandbox);
    interrupt(&child);
    // Until it reads no more, whenever it hears of it.
    let more = |_| stdin.write_all(&[0; 3200]).is_err();
    assert!((0..10_000).any(more), "it reads on");
    assert!(lines.count() >= 1);
    let output = child.wait_with_output().expect("the program ends");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr.matches("interrupted: ").count(), 1, "{stderr}");
}

#[test]
fn the_second_interrupt_ends_the_program() {
    let sandbox = Sandbox::new();
    let (mut child, _stdin, _) = listening(&sandbox);
    // Several that come at the same time are one.
    let status = (0..6000).find_map(|_| {
        interrupt(&child);
        std::thread::sleep(Duration::from_millis(10));
        child.try_wait().expect("a status")
    });
    assert_eq!(status.and_then(|status| status.signal()), Some(2));
}
