//! Connections: taken, limited, and ended in order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::app::{App, Phase};
use super::patience::Patience;
use super::routes;

/// The most bytes of a request's head, and of a body that is in hand.
const BUFFER: usize = 64 << 10;
/// How long to wait when no connection can be taken, as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it may take to tell clients that what they wait for was given up.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves until it is told to shut down, and what is under way is done or given up.
pub(super) async fn serve(app: Arc<App>, listener: TcpListener) {
    let router = routes::router(Arc::clone(&app));
    let most = app.limits().connections;
    let open = Arc::new(Semaphore::new(most));
    let mut phase = app.phase.subscribe();
    loop {
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase > Phase::Serving) => break,
            (stream, permit) = accept(&listener, &open) => {
                tokio::spawn(connection(Arc::clone(&app), router.clone(), stream, permit));
            }
        }
    }
    drop(listener);
    // Whoever holds all permits knows that nothing is open.
    let all = open.acquire_many(u32::try_from(most).unwrap_or(u32::MAX));
    let mut all = pin!(all);
    tokio::select! {
        _ = &mut all => return,
        () = sleep(app.limits().grace) => {}
        _ = phase.wait_for(|phase| *phase == Phase::Stopping) => {}
    }
    app.stop();
    let _ = timeout(FAREWELL, all).await;
}

/// The next connection, when there may be one more.
async fn accept(
    listener: &TcpListener,
    open: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        // It is never closed.
        let Ok(permit) = Arc::clone(open).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!("cannot take a connection: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    app: Arc<App>,
    router: Router,
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
) {
    let pending = app.metrics.connection();
    // Events are sent when they happen.
    let _ = stream.set_nodelay(true);
    let stream = TokioIo::new(Patience::new(stream, app.patience()));
    let mut phase = app.phase.subscribe();
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.patience())
        .max_buf_size(BUFFER)
        .serve_connection(stream, TowerToHyperService::new(router));
    let mut served = pin!(served);
    let mut is_last = false;
    loop {
        tokio::select! {
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!("a connection ended: {error}");
                }
                break;
            }
            _ = phase.wait_for(|phase| *phase > Phase::Serving), if !is_last => {
                is_last = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
    drop((pending, permit));
}
