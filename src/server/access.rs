//! Who may ask.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};

use super::Refusal;

/// What a client must know.
///
/// Only its hash is kept, and hashes are compared: in constant time.
#[derive(Debug, Clone)]
pub struct Token(blake3::Hash);

impl Token {
    /// From the secret, which is not empty; space around it does not count.
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        (!secret.is_empty()).then(|| Self(blake3::hash(secret.as_bytes())))
    }

    /// Whether the headers have it.
    ///
    /// # Errors
    /// When they do not.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let (scheme, secret) = given.split_at_checked(b"Bearer ".len()).unwrap_or_default();
        let secret = blake3::hash(secret.trim_ascii());
        if scheme.eq_ignore_ascii_case(b"Bearer ") && secret == self.0 {
            return Ok(());
        }
        Err(Refusal::Token)
    }
}

/// Keeps the pages of other sites out: a browser lets any page send forms to this machine.
///
/// Where requests come from is told by `Origin`. A site may have its name point to this machine, so
/// that its pages are no strangers any more; then it stands in `Host`, where those who serve
/// themselves only (`local`) have an address or `localhost`.
///
/// # Errors
/// When a request is of such a page.
pub(super) fn check_site(headers: &HeaderMap, local: bool) -> Result<(), Refusal> {
    // Whatever cannot be read as text is somebody's name, too.
    let texts = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    let host = texts(HOST).next().unwrap_or_default();
    let is_host = |name: &str| name.eq_ignore_ascii_case(&host);
    let is_own = |origin: &str| is_host(origin.split_once("://").map_or(origin, |(_, of)| of));
    let is_clear = texts(HOST).all(|name| is_host(&name));
    if is_clear && texts(ORIGIN).all(|origin| is_own(&origin)) && (!local || is_this_machine(&host))
    {
        return Ok(());
    }
    Err(Refusal::Foreign)
}

/// Whether a `Host` is one that no other site can have. HTTP/1.0 has none.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
        pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn a_token_is_compared_whole() {
        let token = Token::new(" secret\n").unwrap();
        let given = |value| token.check(&headers(&[(AUTHORIZATION, value)])).is_ok();
        assert!(given("Bearer secret") && given("bearer secret ") && given("Bearer  secret"));
        for wrong in
            ["secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret"]
        {
            assert!(!given(wrong), "{wrong}");
        }
        assert!(token.check(&HeaderMap::new()).is_err());
        assert!(Token::new(" \n").is_none());
    }

    #[test]
    fn pages_of_other_sites_are_strangers() {
        let check = |local, pairs: &[_]| check_site(&headers(pairs), local).is_ok();
        assert!(check(true, &[(HOST, "127.0.0.1:8080")]) && check(true, &[(HOST, "[::1]:80")]));
        assert!(check(true, &[(HOST, "localhost:1")]) && check(true, &[(HOST, "[::1]")]));
        assert!(check(true, &[]) && check(false, &[(HOST, "asr.example")]));
        assert!(!check(true, &[(HOST, "evil.example:8080")]));
        // Neither what is no ASCII nor a second name is overlooked.
        assert!(!check(true, &[(HOST, "ëvil.example")]));
        assert!(!check(true, &[(HOST, "localhost"), (HOST, "evil.example")]));
        assert!(!check(true, &[(HOST, "localhost"), (ORIGIN, "http://ëvil.example")]));
        let origin = |host, origin| check(false, &[(HOST, host), (ORIGIN, origin)]);
        assert!(origin("asr.example", "https://asr.example"));
        assert!(origin("localhost:80", "http://LOCALHOST:80"));
        assert!(!origin("127.0.0.1:80", "http://evil.example"));
        assert!(!origin("127.0.0.1:80", "null") && !origin("127.0.0.1:80", "http://127.0.0.1:81"));
    }
}
