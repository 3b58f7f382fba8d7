//! What all requests share.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::metrics::{Metrics, Now};
use super::page::Page;
use super::{Config, Engine, Limits, Refusal};

/// How far the server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// It takes nothing new, and finishes what it has.
    Draining,
    /// It gives up what it has.
    Stopping,
}

/// When a request is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

/// What all requests share.
pub(super) struct App {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) config: Config,
    pub(super) metrics: Metrics,
    pub(super) page: Page,
    pub(super) phase: watch::Sender<Phase>,
    /// Whether only this machine can ask.
    pub(super) is_local: bool,
    /// When the server was started, in seconds since 1970.
    pub(super) since: u64,
    /// Recordings that are transcribed or wait.
    places: Arc<Semaphore>,
    /// Recordings that are transcribed.
    workers: Arc<Semaphore>,
}

impl App {
    pub(super) fn new(engine: Arc<dyn Engine>, config: Config, is_local: bool) -> Self {
        let Limits { concurrency, queue, .. } = config.limits;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            engine,
            config,
            metrics: Metrics::default(),
            page: Page::new(),
            phase: watch::Sender::new(Phase::Serving),
            is_local,
            since,
            places: Arc::new(Semaphore::new(concurrency + queue)),
            workers: Arc::new(Semaphore::new(concurrency)),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// A place for a recording, from before its body is read.
    pub(super) fn admit(&self) -> Result<(OwnedSemaphorePermit, Deadline), Refusal> {
        if *self.phase.borrow() > Phase::Serving {
            return Err(Refusal::ShuttingDown);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let places = self.limits().concurrency + self.limits().queue;
            return Err(Refusal::Busy { places, seconds: self.metrics.seconds_each() });
        };
        Ok((place, Deadline(Instant::now() + self.limits().request)))
    }

    /// A thread to work on, in the order in which they are asked for.
    pub(super) async fn worker(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let begun = Instant::now();
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        self.metrics.waited(begun.elapsed());
        // It is never closed.
        permit.map_err(|_| Refusal::ShuttingDown)
    }

    /// What becomes of something before its deadline and the end of the server.
    pub(super) async fn within<T>(
        &self,
        deadline: Deadline,
        work: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let mut phase = self.phase.subscribe();
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = sleep_until(deadline.0) => {
                Err(Refusal::Late { seconds: self.limits().request.as_secs() })
            }
            _ = phase.wait_for(|phase| *phase == Phase::Stopping) => Err(Refusal::ShuttingDown),
        }
    }

    /// How things stand.
    pub(super) fn now(&self) -> Now {
        let Limits { concurrency, queue, .. } = *self.limits();
        let admitted = concurrency + queue - self.places.available_permits();
        let running = concurrency - self.workers.available_permits();
        Now { running, waiting: admitted.saturating_sub(running), engine: self.engine.counters() }
    }

    /// A step further to the end: what is under way is finished, and given up the second time.
    pub(super) fn shut_down(&self) {
        self.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Serving { Phase::Draining } else { Phase::Stopping };
        });
    }

    /// Gives up what is under way.
    pub(super) fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    pub(super) fn patience(&self) -> Duration {
        self.limits().patience
    }
}
