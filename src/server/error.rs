//! Why a request is refused, in the words and the JSON of OpenAI's API.

use std::fmt::Display;

use axum::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::reply;
use crate::audio::AudioError;
use crate::decoding::DecodingError;
use crate::transcribe::TranscribeError;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing has this path.
    #[error("there is nothing at `{0}`")]
    Path(String),
    /// The path has no such method.
    #[error("`{method}` is no method of this path, {allowed} is")]
    Method {
        /// What was asked for.
        method: String,
        /// What is there.
        allowed: &'static str,
    },
    /// No token, or a wrong one.
    #[error("the token is missing or wrong: send the server's as `Authorization: Bearer TOKEN`")]
    Token,
    /// A page of another site, or another name of this machine.
    #[error("requests of the pages of other sites are not answered")]
    Foreign,
    /// All places are taken.
    #[error("{places} recordings are being transcribed or waiting: try again in {seconds} s")]
    Busy {
        /// How many there may be.
        places: usize,
        /// When there may be room again.
        seconds: u64,
    },
    /// The server is about to end.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The body is no form.
    #[error("the body must be multipart/form-data, with the recording in the field `file`")]
    NotMultipart,
    /// The form is malformed.
    #[error("the form is malformed: {0}")]
    Form(String),
    /// The connection broke off.
    #[error("the body ended too soon")]
    Broken,
    /// A field makes no sense.
    #[error("`{name}`: {reason}")]
    Field {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another model than that which is served.
    #[error("there is no model `{name}`, this server has `{served}`")]
    Model {
        /// What was asked for.
        name: String,
        /// What is there.
        served: String,
    },
    /// The body is too large.
    #[error("the body is larger than {limit} bytes, the most that this server takes")]
    BodySize {
        /// The most.
        limit: usize,
    },
    /// The recording is too long.
    #[error("the recording is longer than {limit} s, the most that this server takes{}", at_length(.announced))]
    Duration {
        /// The most.
        limit: u64,
        /// What it says itself, if it does.
        announced: Option<f64>,
    },
    /// The body comes too slowly.
    #[error("the body came too slowly: the server waits {seconds} s for each {bytes} bytes")]
    SlowBody {
        /// How long it was waited.
        seconds: u64,
        /// For how much.
        bytes: usize,
    },
    /// The request took too long.
    #[error(
        "the recording was not transcribed within {seconds} s, the most that a request may take"
    )]
    Late {
        /// The most.
        seconds: u64,
    },
    /// The recording cannot be used.
    #[error(transparent)]
    Audio(AudioError),
    /// What is asked for makes no sense for the checkpoint.
    #[error(transparent)]
    Settings(TranscribeError),
    /// Something failed.
    #[error("the transcription failed: {0}")]
    Failed(TranscribeError),
    /// Something is wrong with this program.
    #[error("the server made a mistake: its log says more")]
    Internal,
}

fn at_length(seconds: &Option<f64>) -> impl Display {
    seconds.map_or_else(String::new, |seconds| format!(": its header announces {seconds:.0} s"))
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: String,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl Refusal {
    pub(super) fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { name: name.into(), reason: reason.into() }
    }

    /// The status that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Form(_)
            | Self::Broken
            | Self::Field { .. }
            | Self::Audio(_)
            | Self::Settings(_) => StatusCode::BAD_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Path(_) | Self::Model { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodySize { .. } | Self::Duration { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotMultipart => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Late { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The field that is to blame.
    fn param(&self) -> Option<&str> {
        match self {
            Self::Field { name, .. } => Some(name),
            Self::Model { .. } => Some("model"),
            Self::Audio(_) | Self::Duration { .. } => Some("file"),
            Self::Settings(TranscribeError::Decoding(DecodingError::Language(_))) => {
                Some("language")
            }
            Self::Settings(TranscribeError::Decoding(DecodingError::Option { option, .. })) => {
                Some(option)
            }
            _ => None,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Token => Some("invalid_api_key"),
            Self::Model { .. } => Some("model_not_found"),
            Self::Busy { .. } => Some("rate_limit_exceeded"),
            Self::BodySize { .. } => Some("body_too_large"),
            Self::Duration { .. } => Some("audio_too_long"),
            Self::Audio(_) => Some("invalid_audio"),
            Self::ShuttingDown => Some("shutting_down"),
            Self::SlowBody { .. } | Self::Late { .. } => Some("timeout"),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self.status() {
            StatusCode::TOO_MANY_REQUESTS => "requests",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// The JSON that says why.
    pub(super) fn json(&self) -> String {
        let (r#type, param, code) = (self.kind(), self.param(), self.code());
        reply::json(&Body { error: Error { message: self.to_string(), r#type, param, code } })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = reply::with_type("application/json", self.json());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Busy { seconds, .. } => drop(headers.insert(RETRY_AFTER, seconds.into())),
            // OpenAI's clients would ask for all of it again.
            Self::Late { .. } => {
                let header = HeaderName::from_static("x-should-retry");
                headers.insert(header, HeaderValue::from_static("false"));
            }
            Self::Token => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method { allowed, .. } => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response
    }
}
