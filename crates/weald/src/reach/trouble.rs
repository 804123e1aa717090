//! What routing and members refuse, as the facade's errors.

use std::time::Duration;

use weald_cluster::routing::RouteError;

use super::{PAUSE, limits::ATTEMPT_MAX};
use crate::{
    Error, ErrorKind,
    backend::{Reading, behind},
    members::{Hosted, ReadRefused},
};

/// The error of a read that no member could answer.
pub(super) fn route_error(error: &RouteError) -> Error {
    let kind = match error {
        RouteError::Busy { .. } => ErrorKind::Busy,
        RouteError::TooLarge { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    let facade = Error::caused(kind, error.to_string(), error.clone());
    match error {
        RouteError::Unavailable { retry_after_ms, .. } => {
            facade.with_retry_after(Duration::from_millis(*retry_after_ms))
        }
        error if error.is_retryable() => facade.with_retry_after(PAUSE),
        _ => facade,
    }
}

/// The error of a read that the member here has refused.
pub(super) fn refused_error(refused: &ReadRefused, reading: &Reading, hosted: &Hosted) -> Error {
    let applied = hosted.with_status(|status| status.applied);
    match (refused, reading.at_least) {
        (ReadRefused::Behind { .. }, Some(wanted)) if applied < wanted.index => {
            behind(wanted.index, applied)
        }
        (ReadRefused::Behind { .. }, _) => {
            Error::caused(ErrorKind::Behind, refused.to_string(), *refused)
        }
        (ReadRefused::Busy, _) => Error::caused(ErrorKind::Busy, refused.to_string(), *refused),
        _ => Error::caused(ErrorKind::Unavailable, refused.to_string(), *refused)
            .with_retry_after(ATTEMPT_MAX),
    }
}
