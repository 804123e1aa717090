//! What a handler needs of a request: the names in its path, its body.

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, rejection::BytesRejection},
    http::{StatusCode, Uri, header},
};

use super::{Gateway, limits, percent, problem::Problem};
use crate::CollectionName;

/// The bytes of segment `index` of the path, counted from 0 behind the first `/`.
///
/// # Errors
/// When it is not percent-encoded.
pub(crate) fn segment(uri: &Uri, index: usize) -> Result<Vec<u8>, Problem> {
    let segment = uri.path().split('/').nth(index + 1).unwrap_or_default();
    percent::decode(segment).map_err(|error| {
        Problem::invalid(format!("the path: {error}"), "percent-encode bytes as %XX")
    })
}

/// The collection's name in segment `index` of the path.
///
/// # Errors
/// When it is no name.
pub(crate) fn name(uri: &Uri, index: usize) -> Result<CollectionName, Problem> {
    name_of(segment(uri, index)?)
}

/// The name that these bytes are.
///
/// # Errors
/// When they are none.
pub(crate) fn name_of(bytes: Vec<u8>) -> Result<CollectionName, Problem> {
    let next = "a name has 1 to 512 bytes of UTF-8; `/` in it is written %2F";
    let text = String::from_utf8(bytes)
        .map_err(|_| Problem::invalid("the collection's name is not UTF-8", next))?;
    text.parse().map_err(|error: weald_core::NameError| Problem::invalid(error.to_string(), next))
}

/// A body of at most `MAX` bytes. One that says that it is larger is refused before it arrives.
#[derive(Debug)]
pub(crate) struct Content<const MAX: usize = { limits::VALUE_BODY_BYTES_MAX }>(pub(crate) Bytes);

impl<const MAX: usize> FromRequest<Gateway> for Content<MAX> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &Gateway) -> Result<Self, Problem> {
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > MAX) {
            return Err(too_large());
        }
        DefaultBodyLimit::max(MAX).apply(&mut request);
        let arriving = Bytes::from_request(request, state);
        match tokio::time::timeout(state.bounds.body, arriving).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(rejection)) => Err(unreadable(&rejection)),
            Err(_) => {
                let detail = "the body did not arrive in time";
                let next = "send it again over a better connection";
                Err(Problem::refused(StatusCode::REQUEST_TIMEOUT, "timeout", detail, next))
            }
        }
    }
}

fn too_large() -> Problem {
    let detail = "the body is larger than this call takes";
    let next = "split the value, or store a reference to it";
    Problem::refused(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail, next)
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::invalid(format!("the body cannot be read: {rejection}"), "send it again")
}
