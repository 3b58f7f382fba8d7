//! The page for those who have no program to ask with.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::reply;
use crate::tokenizer::LANGUAGES;

const PAGE: &str = include_str!("page.html");
/// Where the page lists the languages.
const OPTIONS: &str = "<!-- languages -->";

/// The page, and what it may do.
pub(super) struct Page {
    html: String,
    policy: Option<HeaderValue>,
}

impl Page {
    pub(super) fn new() -> Self {
        let html = PAGE.replace(OPTIONS, &languages());
        let [script, style] = ["script", "style"].map(|element| hash(&html, element));
        let policy = format!(
            "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self { html, policy: policy.parse().ok() }
    }

    pub(super) fn response(&self) -> Response {
        // Without a policy there is no page.
        let Some(policy) = &self.policy else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut response = reply::with_type("text/html; charset=utf-8", self.html.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// An option for each language, by name.
fn languages() -> String {
    let mut languages = LANGUAGES;
    languages.sort_unstable_by_key(|(_, name)| *name);
    let option = |(code, name)| format!("<option value=\"{code}\">{name}</option>");
    languages.map(option).concat()
}

/// What a policy calls the one script or style sheet of a page.
fn hash(html: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let from = html.split_once(&open).map_or("", |(_, from)| from);
    let text = from.split_once(&close).map_or("", |(text, _)| text);
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}
