//! Every bound of the gateway, by name.

use std::time::Duration;

/// What is bounded for the gateway as a whole, and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Connections held at once; more wait to be accepted.
    pub(crate) connections: usize,
    /// Requests served at once; more are answered `busy`.
    pub(crate) requests: usize,
    /// Watches, tails and subscriptions served at once; more are answered `busy`.
    pub(crate) streams: usize,
    /// A connection without a byte in either direction for this long is closed; so is one on which
    /// the head of a request is not complete so long after the answer before it.
    pub(crate) idle: Duration,
    /// How long a body may take to arrive.
    pub(crate) body: Duration,
    /// How long requests under way may take after the gateway was told to stop.
    pub(crate) drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 1024,
            streams: 2048,
            idle: Duration::from_secs(60),
            body: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// Bytes of the head of a request.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes of a body that is a value or an entry.
pub(crate) const VALUE_BODY_BYTES_MAX: usize = weald_core::limits::VALUE_BYTES_MAX;
/// Bytes of a body that lists operations: a log entry in base64.
pub(crate) const TRANSACTION_BODY_BYTES_MAX: usize = weald_core::limits::ENTRY_BYTES_MAX / 3 * 4;
/// Operations of one transaction.
pub(crate) const OPERATIONS_MAX: usize = weald_core::limits::TRANSACTION_ACTIONS_MAX;
/// How long the collections may take to be counted for `/v1/status`, which goes without then.
pub(crate) const COUNT_TIME_MAX: Duration = Duration::from_secs(1);
/// Entries of a page without a `limit`.
pub(crate) const PAGE_ENTRIES: usize = 1000;
/// Entries of a page, at most.
pub(crate) const PAGE_ENTRIES_MAX: usize = 10_000;
/// Bytes of keys and values after which a page ends.
pub(crate) const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Handles of collections that are kept open.
pub(crate) const HANDLES_MAX: usize = 4096;
/// A stream without news says that it lives this often.
pub(crate) const STREAM_SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Bytes of a correlation id that a caller brings.
pub(crate) const CORRELATION_BYTES_MAX: usize = 64;
/// How stale a `stale` read may be when it does not say.
pub(crate) const STALENESS_MS: u64 = 1000;
/// Messages that one call publishes.
pub(crate) const MESSAGES_MAX: usize = weald_pubsub::limits::BATCH_MAX;
/// Messages that one call fetches for a group when it does not say.
pub(crate) const GROUP_FETCH: u64 = 32;
/// How long messages that are fetched for a group are its own when the call does not say.
pub(crate) const GROUP_DEADLINE: Duration = Duration::from_secs(30);
/// Durable streams that have ended of which it is known how far they have told.
pub(crate) const CURSORS_ENDED_MAX: usize = 4096;
/// Positions that a subscription is sent ahead of what its client has taken.
pub(crate) const STREAM_CREDIT: u64 = 256;
