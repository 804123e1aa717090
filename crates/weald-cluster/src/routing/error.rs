//! How a request can end without a result, with codes that stay.

use serde::{Deserialize, Serialize};
use weald_core::{PartitionId, PeerId};

/// What can be full.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Table {
    /// Requests under way.
    Requests,
    /// Bytes of their payloads.
    PayloadBytes,
    /// Writes that wait for the log.
    Log,
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Requests => "requests",
            Self::PayloadBytes => "payload bytes",
            Self::Log => "log",
        })
    }
}

/// What a caller knows after an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Class {
    /// Definite: no node took the request, so nothing of it happened.
    Rejected,
    /// It may or may not have happened; resolve it by its id.
    Unknown,
}

/// Why nobody knows.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
pub enum UnknownReason {
    /// The deadline passed and an attempt is unanswered.
    #[error("the deadline passed")]
    Deadline,
    /// The nodes send the request in circles and an earlier attempt is unanswered.
    #[error("it was forwarded too often")]
    Hops,
    /// No node can be asked any more and an earlier attempt is unanswered.
    #[error("no member can be asked")]
    Unreachable,
}

/// How a request ended without a result.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum RouteError {
    /// The router's own table is full; nothing was sent.
    #[error("busy: {what} max={max}")]
    Busy {
        /// The table.
        what: Table,
        /// Its bound.
        max: u64,
    },
    /// The payload is larger than a log entry can be; nothing was sent.
    #[error("the request is too large: bytes={bytes} max={max}")]
    TooLarge {
        /// Bytes of the payload.
        bytes: u64,
        /// The most that is sent.
        max: u64,
    },
    /// The deadline had passed before anything was sent.
    #[error("the deadline passed before the request was sent")]
    Expired,
    /// No peer is known that could be asked.
    #[error("no member is known: partition={partition}")]
    NoRoute {
        /// The partition.
        partition: PartitionId,
    },
    /// The nodes sent the request in circles, and each of them refused it.
    #[error("forwarded too often: partition={partition} hops={hops}")]
    TooManyHops {
        /// The partition.
        partition: PartitionId,
        /// How often it was forwarded.
        hops: u8,
        /// Who wanted it forwarded once more; `None` if it came with too many hops.
        last: Option<PeerId>,
    },
    /// No member could serve, and each that was asked said so.
    #[error("unavailable: partition={partition} retry_after={retry_after_ms}ms")]
    Unavailable {
        /// The partition.
        partition: PartitionId,
        /// When to come again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// It may or may not have happened.
    #[error("the outcome is unknown: {reason} partition={partition}")]
    Unknown {
        /// The partition.
        partition: PartitionId,
        /// Why.
        reason: UnknownReason,
        /// Who may have taken it; resolve through another.
        last: Option<PeerId>,
    },
}

impl RouteError {
    /// The error's code. It never changes and is never given to another error.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Busy { .. } => 1001,
            Self::TooLarge { .. } => 1002,
            Self::Expired => 1003,
            Self::NoRoute { .. } => 1004,
            Self::TooManyHops { .. } => 1005,
            Self::Unavailable { .. } => 1006,
            Self::Unknown { reason: UnknownReason::Deadline, .. } => 1101,
            Self::Unknown { reason: UnknownReason::Hops, .. } => 1102,
            Self::Unknown { reason: UnknownReason::Unreachable, .. } => 1103,
        }
    }

    /// Whether nothing happened for certain.
    pub const fn class(&self) -> Class {
        match self {
            Self::Busy { .. }
            | Self::TooLarge { .. }
            | Self::Expired
            | Self::NoRoute { .. }
            | Self::TooManyHops { .. }
            | Self::Unavailable { .. } => Class::Rejected,
            Self::Unknown { .. } => Class::Unknown,
        }
    }

    /// Whether the same intent, under a fresh id, may succeed later. An unknown one is resolved
    /// first.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Expired
            | Self::NoRoute { .. }
            | Self::TooManyHops { .. }
            | Self::Unavailable { .. } => true,
            Self::TooLarge { .. } | Self::Unknown { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use weald_core::{Digest, codec};

    use super::*;

    /// One of each code, in the order of the codes.
    fn all() -> Vec<(RouteError, u16, Class, bool)> {
        let (partition, last) = (PartitionId(3), PeerId::from_digest(Digest::from_bytes([7; 32])));
        let unknown = |reason| RouteError::Unknown { partition, reason, last: Some(last) };
        use Class::{Rejected, Unknown};
        vec![
            (RouteError::Busy { what: Table::Requests, max: 9 }, 1001, Rejected, true),
            (RouteError::TooLarge { bytes: 9, max: 8 }, 1002, Rejected, false),
            (RouteError::Expired, 1003, Rejected, true),
            (RouteError::NoRoute { partition }, 1004, Rejected, true),
            (
                RouteError::TooManyHops { partition, hops: 3, last: Some(last) },
                1005,
                Rejected,
                true,
            ),
            (RouteError::Unavailable { partition, retry_after_ms: 5 }, 1006, Rejected, true),
            (unknown(UnknownReason::Deadline), 1101, Unknown, false),
            (unknown(UnknownReason::Hops), 1102, Unknown, false),
            (unknown(UnknownReason::Unreachable), 1103, Unknown, false),
        ]
    }

    #[test]
    fn w22_d68_every_error_has_a_stable_code_and_a_class_and_round_trips() {
        let kind = codec::Kind(127);
        let mut codes = std::collections::BTreeSet::new();
        for (error, code, class, is_retryable) in all() {
            assert_eq!((error.code(), error.class()), (code, class), "{error}");
            assert_eq!(error.is_retryable(), is_retryable, "{error}");
            assert!(codes.insert(code), "a code is used once: {code}");
            let decoded = codec::decode::<RouteError>(kind, &codec::encode(kind, &error));
            assert_eq!(decoded, Ok(error));
        }
    }

    #[test]
    fn w22_the_encoded_form_of_an_error_does_not_change() {
        let kind = codec::Kind(127);
        let first_byte = |error: &RouteError| codec::encode(kind, error)[codec::ENVELOPE_LEN];
        let tags: Vec<_> = all().iter().map(|(error, ..)| first_byte(error)).collect();
        assert_eq!(tags, [0, 1, 2, 3, 4, 5, 6, 6, 6]);
    }
}
