//! Who may call: whoever knows the token, or, without one, programs of this machine.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use weald_core::Digest;

use super::{Gateway, problem::Problem};

/// What is compared with what a caller sends.
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// Callers name this token, kept as its digest: comparing digests tells nothing by its time.
    Token(Digest),
    /// The address is a loopback one. A web page in a browser of this machine is kept out: what it
    /// sends names another host or another origin.
    Loopback,
}

impl Gate {
    /// The gate of a gateway that listens at `address`.
    ///
    /// # Errors
    /// When others than this machine could call without a token.
    pub(crate) fn new(address: SocketAddr, token: Option<&str>) -> Result<Self, String> {
        match token {
            Some("") => Err("the token of the HTTP gateway is empty".to_owned()),
            Some(token) => Ok(Self::Token(digest(token))),
            None if address.ip().is_loopback() => Ok(Self::Loopback),
            None => Err(format!(
                "HTTP at {address} can be reached by others: it needs a token, or a loopback address"
            )),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::Token(token) => {
                let sent = bearer(headers).ok_or_else(|| unauthorized("a token is needed"))?;
                let is_known = digest(sent) == *token;
                is_known.then_some(()).ok_or_else(|| unauthorized("the token is another"))
            }
            Self::Loopback => check_local(headers),
        }
    }
}

/// Lets a request pass, or answers it.
pub(crate) async fn admit(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    match gateway.gate.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn digest(token: &str) -> Digest {
    Digest::of("weald http token", &[token.as_bytes()])
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized(detail: &str) -> Problem {
    let next = "send `Authorization: Bearer TOKEN` with the node's token";
    Problem::refused(StatusCode::UNAUTHORIZED, "unauthorized", detail, next)
}

fn check_local(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).is_none_or(is_local);
    let origin = text(header::ORIGIN)
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| is_local(host)));
    if host && origin {
        return Ok(());
    }
    let next = "call by a loopback address, or start the node with a token";
    let detail = "the request comes from another host's page";
    Err(Problem::refused(StatusCode::FORBIDDEN, "forbidden", detail, next))
}

/// Whether `host`, with or without a port, is this machine by a name that nobody else can claim.
fn is_local(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_a_token() {
        let gate = |address: &str, token| Gate::new(address.parse().unwrap(), token).is_ok();
        assert!(gate("127.0.0.1:80", None));
        assert!(gate("[::1]:80", None));
        assert!(!gate("0.0.0.0:80", None));
        assert!(!gate("192.168.0.1:80", None));
        assert!(gate("0.0.0.0:80", Some("secret")));
        assert!(!gate("127.0.0.1:80", Some("")));
    }

    #[test]
    fn a_token_is_sent_as_bearer() {
        let gate = Gate::new("0.0.0.0:80".parse().unwrap(), Some("secret")).unwrap();
        let check = |value: Option<&str>, is_let_in: bool| {
            let value = value.map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
            assert_eq!(gate.check(&value.clone().into_iter().collect()).is_ok(), is_let_in, "{value:?}");
        };
        check(Some("Bearer secret"), true);
        check(Some("bearer  secret "), true);
        check(Some("Bearer secre"), false);
        check(Some("Basic secret"), false);
        check(Some("secret"), false);
        check(None, false);
    }

    #[test]
    fn pages_of_other_hosts_are_kept_out() {
        for local in ["localhost", "localhost:80", "127.0.0.1:9", "[::1]:9", "[::1]", "127.9.9.9"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["", "example.org", "localhost.example.org:80", "10.0.0.1:80", "127.0.0.1.nip.io"] {
            assert!(!is_local(other), "{other}");
        }
        let gate = Gate::Loopback;
        let check = |pairs: &[(header::HeaderName, &'static str)], is_let_in: bool| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            assert_eq!(gate.check(&headers.collect()).is_ok(), is_let_in, "{pairs:?}");
        };
        check(&[], true);
        check(&[(header::HOST, "127.0.0.1:80")], true);
        check(&[(header::HOST, "127.0.0.1:80"), (header::ORIGIN, "http://localhost:80")], true);
        check(&[(header::HOST, "evil.example")], false);
        check(&[(header::HOST, "127.0.0.1"), (header::ORIGIN, "https://evil.example")], false);
        check(&[(header::HOST, "127.0.0.1"), (header::ORIGIN, "null")], false);
    }
}
