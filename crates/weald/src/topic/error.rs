//! What the refusals of topics are in the facade.

use weald_core::Rejection;
use weald_pubsub::{TopicReadError, TopicRefusal};

use crate::{Error, ErrorKind, node::read_error};

/// The kind of a refusal by its code; `None` for one that is not a topic's.
pub(crate) fn refusal_kind(code: u32) -> Option<ErrorKind> {
    let is = |refusal: &TopicRefusal| refusal.code() == code;
    if [TopicRefusal::NotActive, TopicRefusal::RateLimited].iter().any(is) {
        return Some(ErrorKind::Busy);
    }
    let full = TopicRefusal::Full { what: String::new(), max: 0 };
    match code {
        code if code == TopicRefusal::Deleted.code() => Some(ErrorKind::NotFound),
        code if code == full.code() => Some(ErrorKind::Busy),
        code if code == TopicRefusal::Denied.code() => Some(ErrorKind::Invalid),
        _ => None,
    }
}

/// The refusal behind an error, as far as its code tells.
pub(crate) fn refusal_of(error: &Error) -> Option<TopicRefusal> {
    match error.rejection()? {
        Rejection::NoSuchCollection { .. } => Some(TopicRefusal::Deleted),
        Rejection::Custom { code, detail } => {
            let plain = [
                TopicRefusal::Deleted,
                TopicRefusal::NotActive,
                TopicRefusal::Denied,
                TopicRefusal::BadSignature,
                TopicRefusal::RateLimited,
                TopicRefusal::NotSubscribed,
            ];
            let known = plain.into_iter().find(|refusal| refusal.code() == *code);
            Some(known.unwrap_or_else(|| TopicRefusal::Invalid(detail.clone())))
        }
        rejection if rejection.is_retryable() => None,
        rejection => Some(TopicRefusal::Invalid(rejection.to_string())),
    }
}

/// Whether an error says that a topic was not reached, or not in time.
pub(super) fn is_unreached(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Behind | ErrorKind::Busy)
}

/// The facade's error for the refusal of one message of a batch.
pub(super) fn refused(refusal: TopicRefusal) -> Error {
    let kind = refusal_kind(refusal.code()).unwrap_or(ErrorKind::Invalid);
    Error::caused(kind, refusal.to_string(), refusal)
}

/// The facade's error for a topic that could not be read.
pub(crate) fn topic_read_error(error: TopicReadError) -> Error {
    match error {
        TopicReadError::Deleted => {
            Error::caused(ErrorKind::NotFound, error.to_string(), TopicReadError::Deleted)
        }
        TopicReadError::Read(error) => read_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_passes_is_busy_and_one_that_does_not_is_not() {
        let full = TopicRefusal::Full { what: "subscribers".into(), max: 10 };
        for refusal in [TopicRefusal::RateLimited, TopicRefusal::NotActive, full] {
            assert!(refusal.is_retryable());
            assert!(refused(refusal).is_retryable());
        }
        for refusal in [TopicRefusal::Denied, TopicRefusal::BadSignature, TopicRefusal::IdReused] {
            let error = refused(refusal);
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false));
        }
        assert_eq!(refused(TopicRefusal::Deleted).kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_rejection_of_the_log_keeps_what_its_code_says() {
        let rejected = |rejection: Rejection| {
            refusal_of(&Error::new(ErrorKind::Invalid, "").with_rejection(rejection))
        };
        assert_eq!(rejected(TopicRefusal::NotSubscribed.into()), Some(TopicRefusal::NotSubscribed));
        let stale = TopicRefusal::StaleNonce { highest: 9 };
        let told = rejected(stale.clone().into());
        assert_eq!(told, Some(TopicRefusal::Invalid(stale.to_string())));
        let busy = Rejection::Busy { what: "results".into(), max: 1 };
        assert_eq!(rejected(busy), None, "it passes by itself");
    }
}
