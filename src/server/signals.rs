//! Signals that ask for the end.

use std::io;

use super::Handle;

/// Ends a server at the first signal, and at once at the second.
pub(super) async fn shut_down(handle: Handle) {
    if let Err(error) = listen(handle).await {
        tracing::warn!("cannot listen to signals: {error}");
    }
}

#[cfg(unix)]
async fn listen(handle: Handle) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        handle.shut_down();
    }
}

#[cfg(not(unix))]
async fn listen(handle: Handle) -> io::Result<()> {
    loop {
        tokio::signal::ctrl_c().await?;
        handle.shut_down();
    }
}
