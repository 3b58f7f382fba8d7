//! What there is to ask for.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::access::check_site;
use super::app::{App, Deadline, Phase};
use super::body::{Courteous, Upload};
use super::work::{Progress, Work};
use super::{Form, Params, Refusal, reply};
use crate::decoding::TaskKind;

type Shared = State<Arc<App>>;

/// All routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(page).fallback(get_only))
        .route("/health", get(health).fallback(get_only))
        .route("/metrics", get(metrics).fallback(get_only))
        .route("/v1/models", get(models).fallback(get_only))
        .route("/v1/models/{*id}", get(model).fallback(get_only))
        .route("/v1/audio/transcriptions", post(transcribe).fallback(post_only))
        .route("/v1/audio/translations", post(translate).fallback(post_only))
        .fallback(nothing)
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// What is the same for all: whether they may ask, what is counted, and headers.
async fn around(State(app): Shared, request: Request, next: Next) -> Response {
    let pending = app.metrics.request();
    let begun = Instant::now();
    let method = method_name(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let route = path.as_ref().map_or("other", MatchedPath::as_str);
    let (parts, body) = request.into_parts();
    let waits = parts.headers.contains_key(EXPECT);
    let body = Body::new(Courteous::new(body, waits, app.patience()));
    let mut response = match may_ask(&app, route, &parts.headers) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    let nosniff = HeaderName::from_static("x-content-type-options");
    headers.insert(nosniff, HeaderValue::from_static("nosniff"));
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    app.metrics.answered(route, method, status, took);
    tracing::debug!("{method} {route}: {status} after {:.3} s", took.as_secs_f64());
    drop(pending);
    response
}

/// The page, which asks for a token, and whether the server is alive may be seen by all.
fn may_ask(app: &App, route: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = app.config.token.as_ref();
    check_site(headers, app.is_local && token.is_none())?;
    match token {
        Some(token) if !matches!(route, "/" | "/health") => token.check(headers),
        _ => Ok(()),
    }
}

/// The method, of a known few: names go into metrics, where there must not be any number of them.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    }
}

async fn nothing(uri: Uri) -> Refusal {
    Refusal::Path(uri.path().to_owned())
}

async fn get_only(method: Method) -> Refusal {
    Refusal::Method { method: method.to_string(), allowed: "GET" }
}

async fn post_only(method: Method) -> Refusal {
    Refusal::Method { method: method.to_string(), allowed: "POST" }
}

async fn page(State(app): Shared) -> Response {
    app.page.response()
}

async fn health(State(app): Shared) -> Response {
    if *app.phase.borrow() > Phase::Serving {
        return Refusal::ShuttingDown.into_response();
    }
    reply::with_type("application/json", r#"{"status":"ok"}"#)
}

async fn metrics(State(app): Shared) -> Response {
    reply::with_type("text/plain; version=0.0.4; charset=utf-8", app.metrics.render(&app.now()))
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

#[derive(Serialize)]
struct List<T> {
    object: &'static str,
    data: [T; 1],
}

fn served(app: &App) -> Model<'_> {
    Model { id: &app.config.model, object: "model", created: app.since, owned_by: "tilewright" }
}

async fn models(State(app): Shared) -> Response {
    let list = List { object: "list", data: [served(&app)] };
    reply::with_type("application/json", reply::json(&list))
}

async fn model(
    State(app): Shared,
    uri: Uri,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    // It is not UTF-8.
    let Ok(Path(name)) = name else { return Err(Refusal::Path(uri.path().to_owned())) };
    if name != app.config.model {
        return Err(Refusal::Model { name, served: app.config.model.clone() });
    }
    Ok(reply::with_type("application/json", reply::json(&served(&app))))
}

async fn transcribe(State(app): Shared, request: Request) -> Result<Response, Refusal> {
    answer(&app, TaskKind::Transcribe, request).await
}

async fn translate(State(app): Shared, request: Request) -> Result<Response, Refusal> {
    answer(&app, TaskKind::Translate, request).await
}

async fn answer(app: &Arc<App>, task: TaskKind, request: Request) -> Result<Response, Refusal> {
    let (place, deadline) = app.admit()?;
    let begin = begin(app, task, request, place, deadline);
    let (mut work, params) = app.within(deadline, begin).await??;
    loop {
        match work.next().await? {
            Progress::Begun if params.stream => return Ok(reply::streamed(work, &params)),
            Progress::Begun | Progress::Segment(_) => {}
            Progress::Done(transcript) => return Ok(reply::whole(&transcript, &params)),
        }
    }
}

/// Reads what is asked for, and waits for a thread to do it.
async fn begin(
    app: &Arc<App>,
    task: TaskKind,
    request: Request,
    place: OwnedSemaphorePermit,
    deadline: Deadline,
) -> Result<(Work, Params), Refusal> {
    let limit = app.limits().body;
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Refusal::BodySize { limit });
    }
    let upload = Upload::new(body, limit, app.patience());
    let form = Form::read(text(CONTENT_TYPE).unwrap_or_default(), upload).await?;
    let params = Params::of(&form, task, &app.config.settings, &app.config.model)?;
    app.engine.check(&params.settings).map_err(Refusal::Settings)?;
    let missing = || Refusal::field("file", "there is none: send the recording in it");
    let recording = form.file.ok_or_else(missing)?;
    let worker = app.worker().await?;
    Ok((Work::begin(app, deadline, recording, params.clone(), [place, worker]), params))
}
