//! What a failed call is answered: `application/problem+json` (RFC 9457) with the fields that a
//! client acts on.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::headers;
use crate::{Effect, Error, ErrorKind, Position, Rejection, TopicRefusal, TransactionId};

/// Why a call failed.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Told>);

/// What is told of it.
#[derive(Clone, Debug)]
struct Told {
    status: StatusCode,
    kind: &'static str,
    is_retryable: bool,
    effect: Effect,
    detail: String,
    next: String,
    transaction: Option<TransactionId>,
    position: Option<Position>,
}

impl Problem {
    /// A call that makes no sense as it is.
    pub(crate) fn invalid(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, "invalid", detail, next)
    }

    /// A bound of the gateway was met.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::refused(status, "busy", detail, ErrorKind::Busy.advice()).for_now()
    }

    /// The same problem where the same request may succeed later.
    #[must_use]
    pub(crate) fn for_now(mut self) -> Self {
        self.0.is_retryable = true;
        self
    }

    /// A refusal of the gateway's own; nothing happened.
    pub(crate) fn refused(
        status: StatusCode,
        kind: &'static str,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (detail, next) = (detail.into(), next.into());
        let (is_retryable, effect, transaction, position) = (false, Effect::None, None, None);
        let told = Told { status, kind, is_retryable, effect, detail, next, transaction, position };
        Self(Box::new(told))
    }

    /// The same problem where a condition of the request (`If-Match`, `If-None-Match`) failed.
    #[must_use]
    pub(crate) fn of_condition(mut self) -> Self {
        if self.0.status == StatusCode::CONFLICT
            && matches!(self.0.kind, "conflict" | "already_exists")
        {
            self.0.status = StatusCode::PRECONDITION_FAILED;
        }
        self
    }

    /// Nothing is there, which was proved.
    pub(crate) fn absent(detail: impl Into<String>) -> Self {
        let next = "write it first; a write makes a collection that is not there";
        Self::refused(StatusCode::NOT_FOUND, ErrorKind::NotFound.as_str(), detail, next)
    }

    /// Whether it stands for proved absence.
    pub(crate) fn is_absence(&self) -> bool {
        self.0.status == StatusCode::NOT_FOUND
    }

    /// The same problem where it means that a condition of the request does not hold.
    #[must_use]
    pub(crate) fn precondition(mut self) -> Self {
        self.0.status = StatusCode::PRECONDITION_FAILED;
        self.0.kind = ErrorKind::Conflict.as_str();
        ErrorKind::Conflict.advice().clone_into(&mut self.0.next);
        self
    }

    /// The same problem, with something else to do about it.
    #[must_use]
    pub(crate) fn advise(mut self, next: &str) -> Self {
        next.clone_into(&mut self.0.next);
        self
    }

    /// The same problem, with the position that it was found at.
    #[must_use]
    pub(crate) fn at(mut self, position: Option<Position>) -> Self {
        self.0.position = self.0.position.or(position);
        self
    }

    /// The fields as JSON.
    pub(crate) fn json(&self) -> Value {
        let outcome = match self.0.effect {
            Effect::None => "rejected",
            Effect::Unknown => "unknown",
        };
        json!({
            "type": format!("urn:weald:{}", self.0.kind),
            "title": self.0.status.canonical_reason(),
            "status": self.0.status.as_u16(),
            "kind": self.0.kind,
            "retryable": self.0.is_retryable,
            "outcome": outcome,
            "detail": self.0.detail,
            "next": self.0.next,
            "transaction": self.0.transaction.map(|id| id.to_string()),
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(Box::new(Told {
            status: status_of(&error),
            kind: error.kind().as_str(),
            is_retryable: error.is_retryable(),
            effect: error.effect(),
            transaction: error.transaction(),
            next: error.advice().to_owned(),
            detail: error.to_string(),
            position: None,
        }))
    }
}

/// The status of an error of the facade. 404 stands for proved absence and for nothing else.
fn status_of(error: &Error) -> StatusCode {
    if let Some(Rejection::TooLarge { .. }) = error.rejection() {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    match topic_refusal(error) {
        Some(TopicRefusal::TooLarge { .. }) => return StatusCode::PAYLOAD_TOO_LARGE,
        Some(TopicRefusal::Denied) => return StatusCode::FORBIDDEN,
        _ => {}
    }
    match error.kind() {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::AlreadyExists
        | ErrorKind::Conflict
        | ErrorKind::Identity
        | ErrorKind::Aborted => StatusCode::CONFLICT,
        ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Behind => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unknown => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The refusal of a topic behind an error.
fn topic_refusal(error: &Error) -> Option<&TopicRefusal> {
    std::error::Error::source(error)?.downcast_ref()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.json().to_string()));
        *response.status_mut() = self.0.status;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.0.is_retryable {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(position) = self.0.position {
            headers::put(&mut response, headers::POSITION, &headers::position_text(position));
        }
        if let Some(id) = self.0.transaction {
            headers::put(&mut response, headers::TRANSACTION, &id.to_string());
        }
        response
    }
}
