//! Answers that went well.

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use serde_json::Value;

use super::{headers, problem::Problem};
use crate::{Position, Revision, Written};

/// What a handler gives.
pub(crate) type Answer = Result<Response<Body>, Problem>;

/// Says what the body is.
pub(crate) fn kind(response: &mut Response<Body>, kind: &'static str) {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
}

/// One JSON value.
pub(crate) fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{value}\n")));
    kind(&mut response, "application/json");
    response
}

/// The answer to a write.
pub(crate) fn written(written: &Written, body: &Value) -> Response<Body> {
    let mut response = json(body);
    headers::put(&mut response, headers::REVISION, &written.revision.to_string());
    headers::put(&mut response, headers::POSITION, &headers::position_text(written.position));
    headers::put(&mut response, headers::TRANSACTION, &written.transaction.to_string());
    response
}

/// One page of JSON lines.
#[derive(Debug)]
pub(crate) struct Page {
    /// The lines.
    pub(crate) lines: String,
    /// The collection's revision that the page shows.
    pub(crate) revision: Revision,
    /// Where in the log that is.
    pub(crate) position: Position,
    /// The token of the next page, if there is one.
    pub(crate) next: Option<String>,
}

impl Page {
    /// The page as an answer.
    pub(crate) fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.lines));
        kind(&mut response, "application/x-ndjson");
        headers::put(&mut response, headers::REVISION, &self.revision.to_string());
        headers::put(&mut response, headers::POSITION, &headers::position_text(self.position));
        if let Some(next) = &self.next {
            headers::put(&mut response, headers::NEXT, next);
        }
        response
    }
}
