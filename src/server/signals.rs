//! Signals that ask for the end.

use std::io;

use super::Handle;

/// Signals, from when this was made on.
#[cfg(unix)]
pub(super) struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let Self([interrupts, terminations]) = self;
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    }
}

/// Ctrl-C, from when it is waited for on.
#[cfg(not(unix))]
pub(super) struct Signals(());

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(()))
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!("cannot listen to signals: {error}");
            std::future::pending().await
        }
    }
}

/// Ends a server at the first signal, and at once at the second.
pub(super) async fn shut_down(mut signals: Signals, handle: Handle) {
    loop {
        signals.next().await;
        handle.shut_down();
    }
}
