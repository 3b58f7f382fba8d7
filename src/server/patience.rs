//! A connection that is given up when the client does not read, or is gone.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// How often it is looked whether the client is there.
const LOOK: Duration = Duration::from_secs(1);

/// A connection of which no write waits longer than some time for the client.
pub(super) struct Patience {
    stream: TcpStream,
    limit: Duration,
    /// When the write that waits is given up.
    waiting: Option<Pin<Box<Sleep>>>,
    /// When it is looked whether the client is there, if nobody reads until then.
    look: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, waiting: None, look: Box::pin(sleep(LOOK)) }
    }

    /// What a write has come to, which fails when it has waited for too long.
    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn look_later(&mut self) {
        self.look.as_mut().reset(Instant::now() + LOOK);
    }

    /// Fails when the client is gone.
    ///
    /// While a request is answered hyper reads only until something comes, the next request or a line
    /// end too many, and would not see the end behind it.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let ready = pin!(self.stream.ready(Interest::READABLE)).poll(context);
            if let Poll::Ready(Ok(ready)) = ready
                && ready.is_read_closed()
            {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.look_later();
        }
        Ok(())
    }
}

impl AsyncRead for Patience {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Who reads comes to the end by himself, and what is before it is still of use.
        self.look_later();
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patience {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Also called when there is nothing to write.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
