//! Runs a tool to its end or to a time limit, and keeps what it printed.
//!
//! Both pipes are drained while the tool runs, by one thread each, so that no amount of output
//! stops it. Only the beginning and the end of long output are kept. A tool that exceeds its limit
//! is killed with everything that it started: on Unix it runs in a process group of its own, on
//! other systems only the tool itself can be killed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest pause between two looks at a running tool.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a pipe may stay open after everything that should hold it was killed.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes kept of the beginning of a tool's output.
const HEAD: usize = 16 << 10;
/// Bytes kept of its end.
const TAIL: usize = 48 << 10;

/// A command line, with all that matters to run it again.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) directory: PathBuf,
    /// Directories at the end of PATH, besides those of this process.
    pub(super) search: Vec<PathBuf>,
}

/// What came of a command.
#[derive(Debug)]
pub(super) struct Finished {
    /// None when the time limit was exceeded.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Command {
    /// Runs the command for at most `limit`.
    pub(super) fn run(&self, limit: Duration) -> io::Result<Finished> {
        let mut child = self.spawn()?;
        let (open, closed) = channel();
        let stdout = drain(child.stdout.take(), open.clone());
        let stderr = drain(child.stderr.take(), open);
        let status = finish(&mut child, &closed, Instant::now() + limit)?;
        Ok(Finished { status, stdout: text(&stdout), stderr: text(&stderr) })
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = self.path() {
            command.env("PATH", path);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }

    /// PATH for the tool; None when that of this process will do.
    fn path(&self) -> Option<OsString> {
        if self.search.is_empty() {
            return None;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::env::split_paths(&path).chain(self.search.iter().cloned());
        std::env::join_paths(dirs).ok()
    }
}

/// The line to paste into a shell.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cd {} && ", quote(self.directory.as_os_str()))?;
        if !self.search.is_empty() {
            f.write_str("PATH=\"$PATH\"")?;
            self.search.iter().try_for_each(|dir| write!(f, ":{}", quote(dir.as_os_str())))?;
            f.write_str(" ")?;
        }
        write!(f, "{}", quote(self.program.as_os_str()))?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quote(argument)))
    }
}

/// An argument as a POSIX shell reads it back.
fn quote(argument: &OsStr) -> String {
    let argument = argument.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.into_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Waits until the tool has exited and both its pipes are closed; kills it at the deadline.
fn finish(
    child: &mut Child,
    closed: &Receiver<Infallible>,
    deadline: Instant,
) -> io::Result<Option<ExitStatus>> {
    let status = wait(child, deadline);
    if let Ok(Some(_)) = status {
        // Something that the tool left behind may still hold the pipes.
        if all_closed(closed, deadline.saturating_duration_since(Instant::now())) {
            return status;
        }
    }
    kill(child);
    all_closed(closed, GRACE);
    status.map(|_| None)
}

/// None at the deadline.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(PAUSE);
    }
}

/// Whether every drain has ended, and with it dropped its sender, within `limit`.
fn all_closed(closed: &Receiver<Infallible>, limit: Duration) -> bool {
    matches!(closed.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
}

/// Kills the tool and, on Unix, all of its process group. Errors mean that nothing is left to kill.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(id) = i32::try_from(child.id())
        && let Some(group) = rustix::process::Pid::from_raw(id)
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The beginning and the end of what a tool printed.
#[derive(Debug, Default)]
struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: usize,
}

impl Captured {
    fn push(&mut self, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(HEAD - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.left_out += excess;
    }
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, tail) = (self.head.as_slice(), self.tail.iter().copied());
        if self.left_out == 0 {
            let all: Vec<u8> = head.iter().copied().chain(tail).collect();
            return f.write_str(&String::from_utf8_lossy(&all));
        }
        f.write_str(&String::from_utf8_lossy(head))?;
        write!(f, "\n[... {} bytes left out ...]\n", self.left_out)?;
        f.write_str(&String::from_utf8_lossy(&tail.collect::<Vec<_>>()))
    }
}

/// Reads a pipe to its end in a thread of its own, which drops `open` when it is done.
fn drain(
    pipe: Option<impl Read + Send + 'static>,
    open: Sender<Infallible>,
) -> Arc<Mutex<Captured>> {
    let captured = Arc::new(Mutex::new(Captured::default()));
    let (mut pipe, sink) = (pipe, Arc::clone(&captured));
    thread::spawn(move || {
        let mut buffer = [0; 8 << 10];
        while let Some(pipe) = &mut pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => lock(&sink).push(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(open);
    });
    captured
}

fn lock(captured: &Mutex<Captured>) -> std::sync::MutexGuard<'_, Captured> {
    captured.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(captured: &Mutex<Captured>) -> String {
    lock(captured).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let command = Command {
            program: "/opt/my tools/aiecc".into(),
            arguments: vec!["--npu-insts-name={1}.bin".into(), "".into(), "it's".into()],
            directory: "/tmp/x".into(),
            search: vec!["/opt/xrt/bin".into(), "/opt/my tools".into()],
        };
        let line = command.to_string();
        assert_eq!(
            line,
            r#"cd /tmp/x && PATH="$PATH":/opt/xrt/bin:'/opt/my tools' '/opt/my tools/aiecc' '--npu-insts-name={1}.bin' '' 'it'\''s'"#
        );
    }

    #[test]
    fn long_output_keeps_its_beginning_and_its_end() {
        let mut captured = Captured::default();
        captured.push(b"first");
        (0..100).for_each(|_| captured.push(&[b'.'; 4096]));
        captured.push(b"last");
        let text = captured.to_string();
        assert!(text.starts_with("first...."), "{}", &text[..20]);
        assert!(text.ends_with("....last"));
        let left_out = 9 + 100 * 4096 - HEAD - TAIL;
        assert!(text.contains(&format!("\n[... {left_out} bytes left out ...]\n")));
    }

    #[test]
    fn short_output_is_whole_across_the_seam() {
        let mut captured = Captured::default();
        let text: String = "äöü".repeat(HEAD / 4);
        captured.push(text.as_bytes());
        assert_eq!(captured.to_string(), text);
    }
}
