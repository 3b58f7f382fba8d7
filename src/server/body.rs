//! Bodies of requests: those that must keep coming, and those that nobody wants.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures_util::Stream;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Refusal;

/// So many bytes must come within the time limit, again and again.
const STEP: usize = 16 << 10;

/// The bytes of a body, which must not be too many nor come too slowly.
pub(super) struct Upload {
    body: Body,
    /// How many may still come.
    room: usize,
    limit: usize,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    /// How many must still come until the deadline.
    due: usize,
    /// Whether it was the reader's turn last.
    rests: bool,
}

impl Upload {
    /// Of so many bytes at most, of which none are waited for longer.
    pub(super) fn new(body: Body, limit: usize, patience: Duration) -> Self {
        let deadline = Box::pin(sleep(patience));
        Self { body, room: limit, limit, patience, deadline, due: STEP, rests: false }
    }

    fn take(&mut self, bytes: &Bytes) -> Result<(), Refusal> {
        let too_large = Refusal::BodySize { limit: self.limit };
        self.room = self.room.checked_sub(bytes.len()).ok_or(too_large)?;
        self.due = self.due.saturating_sub(bytes.len());
        if self.due == 0 {
            self.due = STEP;
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        Ok(())
    }
}

impl Stream for Upload {
    type Item = Result<Bytes, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The reader of forms takes all that there is before it looks at it: let it look.
        if std::mem::take(&mut self.rests) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(Refusal::Broken))),
            Poll::Ready(Some(Ok(frame))) => {
                // What are no data are trailers, which say nothing here.
                let bytes = frame.into_data().unwrap_or_default();
                self.rests = true;
                Poll::Ready(Some(self.take(&bytes).map(|()| bytes)))
            }
            Poll::Pending => self.deadline.as_mut().poll(context).map(|()| {
                Some(Err(Refusal::SlowBody { seconds: self.patience.as_secs(), bytes: STEP }))
            }),
        }
    }
}

/// A body of which the rest is read when nobody wants it any more: clients send theirs before they
/// look for an answer, and those whose connection is closed meanwhile never see it.
pub(super) struct Courteous {
    body: Body,
    /// How long the rest is read.
    patience: Duration,
    /// Whether there may be something left that is on its way.
    is_coming: bool,
}

impl Courteous {
    /// Of a client that may `wait` until the body is asked for.
    pub(super) fn new(body: Body, waits: bool, patience: Duration) -> Self {
        let is_coming = !waits && !body.is_end_stream();
        Self { body, patience, is_coming }
    }
}

impl HttpBody for Courteous {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.is_coming = !matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Courteous {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.is_coming, Handle::try_current()) {
            let body = std::mem::take(&mut self.body);
            runtime.spawn(timeout(self.patience, read_on(body)));
        }
    }
}

async fn read_on(mut body: Body) {
    while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {}
}
