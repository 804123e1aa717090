//! Asks a node over HTTP, and what its refusals mean here.

use std::{io, time::Duration};

use serde_json::Value;
use ureq::{
    Agent, Body, Timeout,
    http::{Request, Response},
};

use crate::cli::failure::{Class, Failure};

/// How long a node may take to accept a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long it may say nothing; a stream without news has a sign of life more often.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer that is read at once.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// A node that is asked.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// One call.
pub(super) struct Call<'a> {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: &'a [u8],
}

/// What a node answered.
pub(super) struct Reply {
    response: Response<Body>,
    body: Vec<u8>,
}

impl<'a> Call<'a> {
    /// A call without a body.
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: &[] }
    }

    /// The same call with a header more.
    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The same call with a body.
    pub(super) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// Whether nothing can have happened if no answer comes.
    fn is_read(&self) -> bool {
        self.method == "GET"
    }
}

impl Client {
    /// The node at `url`, such as `http://127.0.0.1:7600`.
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let base = url.trim_end_matches('/');
        let host = base.strip_prefix("http://").filter(|host| !host.is_empty());
        if host.is_none_or(|host| host.contains(['/', '?', '#'])) {
            let message = format_args!("--node takes http://HOST:PORT, found {url:?}");
            return Err(Failure::usage(message));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .timeout_per_read(Some(SILENCE_MAX))
            .build();
        Ok(Self { agent: config.into(), base: base.to_owned(), token })
    }

    /// The node's address, for people.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// Makes a call and reads all of the answer.
    pub(super) fn call(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let mut response = self.open(call)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.silent(&error, call))?;
        Ok(Reply { response, body })
    }

    /// Makes a call whose answer has no end.
    pub(super) fn stream(&self, call: &Call<'_>) -> Result<Response<Body>, Failure> {
        let mut response = self.open(call)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let body = response.body_mut().read_to_vec();
        let body = body.map_err(|error| self.silent(&error, call))?;
        Err(Reply { response, body }.failure())
    }

    fn open(&self, call: &Call<'_>) -> Result<Response<Body>, Failure> {
        let url = format!("{}{}", self.base, call.path);
        let mut request = Request::builder().method(call.method).uri(url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let wrong = |error| Failure::usage(format_args!("the node cannot be asked this: {error}"));
        let sent = match call.body {
            [] if call.method != "POST" && call.method != "PUT" => {
                self.agent.run(request.body(()).map_err(wrong)?)
            }
            body => self.agent.run(request.body(body).map_err(wrong)?),
        };
        sent.map_err(|error| self.silent(&error, call))
    }

    /// No answer came. A write that was sent may have happened.
    fn silent(&self, error: &ureq::Error, call: &Call<'_>) -> Failure {
        let base = &self.base;
        if call.is_read() || is_unsent(error) {
            let message = format_args!("the node at {base} cannot be reached: {error}");
            return Failure::new(Class::Storage, message);
        }
        let id = call.headers.iter().find(|(name, _)| *name == super::there::ID);
        let id = id.map_or_else(String::new, |(_, id)| format!(" under the id {id}"));
        let message = format_args!(
            "the node at {base} gave no answer: {error}; the write{id} may or may not have happened"
        );
        Failure::new(Class::Unknown, message)
    }
}

/// Whether the request cannot have reached the node.
fn is_unsent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        ureq::Error::Timeout(timeout) => matches!(timeout, Timeout::Connect | Timeout::Resolve),
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_) => true,
        _ => false,
    }
}

impl Reply {
    /// Whether the answer says that nothing is there, which was proved.
    pub(super) fn is_absence(&self) -> bool {
        self.response.status() == 404
    }

    /// Whether what was asked for is no longer kept.
    pub(super) fn is_gone(&self) -> bool {
        self.response.status() == 410
    }

    /// The answer if the call went well.
    pub(super) fn done(self) -> Result<Self, Failure> {
        if self.response.status().is_success() { Ok(self) } else { Err(self.failure()) }
    }

    /// The text of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The bytes.
    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The answer as one JSON value.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| strange("no JSON"))
    }

    /// The answer as JSON lines.
    pub(super) fn lines(&self) -> Result<Vec<Value>, Failure> {
        let lines = self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(|_| strange("no JSON"))).collect()
    }

    /// What a refusal means here; the classes are those of the same refusal in this process.
    pub(super) fn failure(&self) -> Failure {
        let status = self.response.status().as_u16();
        let Ok(problem) = self.json() else {
            return Failure::internal(format_args!("the node answered {status} without a reason"));
        };
        let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
        Failure::new(
            class(status, &text("kind")),
            format_args!("{}; {}", text("detail"), text("next")),
        )
    }
}

fn class(status: u16, kind: &str) -> Class {
    match (status, kind) {
        (413, _) | (403, "invalid") => Class::Rejected,
        (412, _) | (_, "not_found" | "already_exists" | "gone") => Class::NotFound,
        (_, "invalid" | "method" | "unauthorized" | "forbidden") => Class::Usage,
        (_, "conflict" | "identity" | "busy" | "not_told") => Class::Rejected,
        (_, "unknown") => Class::Unknown,
        (_, "disk_full" | "unavailable" | "behind" | "damaged" | "not_ready") => Class::Storage,
        _ => Class::Internal,
    }
}

/// The answer of something that is no node, or of a node that is newer than this program.
pub(super) fn strange(what: &str) -> Failure {
    Failure::internal(format_args!("the node's answer is strange: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_scheme_host_and_port() {
        for right in ["http://127.0.0.1:80", "http://node.example:80/", "http://[::1]:80"] {
            assert!(Client::new(right, None).is_ok(), "{right}");
        }
        for wrong in ["", "http://", "127.0.0.1:80", "https://a:80", "http://a/b", "http://a?b"] {
            assert!(Client::new(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn refusals_have_the_classes_of_the_library() {
        assert_eq!(class(404, "not_found"), Class::NotFound);
        assert_eq!(class(412, "conflict"), Class::NotFound);
        assert_eq!(class(409, "conflict"), Class::Rejected);
        assert_eq!(class(400, "invalid"), Class::Usage);
        assert_eq!(class(413, "too_large"), Class::Rejected);
        assert_eq!(class(403, "invalid"), Class::Rejected);
        assert_eq!(class(403, "forbidden"), Class::Usage);
        assert_eq!(class(504, "unknown"), Class::Unknown);
        assert_eq!(class(503, "unavailable"), Class::Storage);
        assert_eq!(class(418, "teapot"), Class::Internal);
    }
}
