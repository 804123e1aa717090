//! Why a topic refuses.

use serde::{Deserialize, Serialize};
use weald_core::{Rejection, Time};

use crate::PublisherSequence;

/// A definite refusal of a topic, the same at every member: nothing has happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum TopicRefusal {
    /// The topic has ended.
    #[error("the topic has ended")]
    Deleted,
    /// The topic is under repair, or lost.
    #[error("the topic is not active")]
    NotActive,
    /// The policy does not let this peer do it.
    #[error("not allowed")]
    Denied,
    /// A signature is wrong, or made for another topic or network.
    #[error("the signature is not right")]
    BadSignature,
    /// Something is larger than allowed.
    #[error("too large: bytes={bytes} max={max}")]
    TooLarge {
        /// How large.
        bytes: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// It has expired, or lasts longer than allowed.
    #[error("expires outside of what is allowed: expires_at={expires_at} from={from} to={to}")]
    Expiry {
        /// Its expiry.
        expires_at: Time,
        /// It must be after this.
        from: Time,
        /// It must not be after this.
        to: Time,
    },
    /// A message of this publisher is missing before it.
    #[error("a message is missing before it: expected={expected}")]
    SequenceGap {
        /// The sequence that the topic expects.
        expected: PublisherSequence,
    },
    /// The sequence was used for another message.
    #[error("the sequence was used for another message")]
    IdReused,
    /// The sequence was passed, and its message is no longer retained: nothing happens again.
    #[error("the sequence was passed and its message is no longer retained")]
    Forgotten,
    /// It comes too often.
    #[error("too often")]
    RateLimited,
    /// The message is large and not enough work was done for it.
    #[error("not enough work: bits={bits} needed={needed}")]
    Work {
        /// The work done.
        bits: u32,
        /// The work that is asked.
        needed: u32,
    },
    /// A table of the topic is full.
    #[error("full: {what} max={max}")]
    Full {
        /// Which.
        what: String,
        /// Its bound.
        max: u64,
    },
    /// It was signed too long ago, or in the future.
    #[error("not signed now: signed_at={signed_at} now={now}")]
    Stale {
        /// When it was signed.
        signed_at: Time,
        /// Log time.
        now: Time,
    },
    /// A request with this nonce or a higher one was there before.
    #[error("the nonce is not new: highest={highest}")]
    StaleNonce {
        /// The highest nonce so far.
        highest: u64,
    },
    /// There is no such subscription, or it has ended.
    #[error("not subscribed")]
    NotSubscribed,
    /// The topic was deleted and created again since the request was made.
    #[error("of another generation: generation={generation}")]
    Generation {
        /// The topic's generation.
        generation: u64,
    },
    /// The request asks for something that there is not.
    #[error("invalid: {0}")]
    Invalid(String),
}

/// The first code of topics in [`Rejection::Custom`].
const CODE_FIRST: u32 = Rejection::CODE_RESERVED + 256;

impl TopicRefusal {
    /// The code under which it appears in [`Rejection::Custom`].
    pub const fn code(&self) -> u32 {
        let nth = match self {
            Self::Deleted => 0,
            Self::NotActive => 1,
            Self::Denied => 2,
            Self::BadSignature => 3,
            Self::TooLarge { .. } => 4,
            Self::Expiry { .. } => 5,
            Self::SequenceGap { .. } => 6,
            Self::IdReused => 7,
            Self::Forgotten => 8,
            Self::RateLimited => 9,
            Self::Work { .. } => 10,
            Self::Full { .. } => 11,
            Self::Stale { .. } => 12,
            Self::StaleNonce { .. } => 13,
            Self::NotSubscribed => 14,
            Self::Generation { .. } => 15,
            Self::Invalid(_) => 16,
        };
        CODE_FIRST + nth
    }

    /// Whether the same may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::NotActive | Self::RateLimited | Self::Full { .. })
    }
}

impl From<TopicRefusal> for Rejection {
    fn from(refusal: TopicRefusal) -> Self {
        Self::Custom { code: refusal.code(), detail: refusal.to_string() }
    }
}
