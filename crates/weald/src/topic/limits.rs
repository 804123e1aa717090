//! The bounds of a node's topics, by name.

use std::time::Duration;

/// Topics that a node publishes to at a time; one that has nothing to send makes room.
pub(crate) const PUBLISHERS_MAX: usize = 4096;
/// Messages that wait in a node for topics of the policy `Available`, whose fate is not certain.
pub(crate) const OUTBOX_NODE_MESSAGES_MAX: usize = 100_000;
/// Bytes of their bodies.
pub(crate) const OUTBOX_NODE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a file of the outbox that it may have before it is made anew of what waits.
pub(crate) const OUTBOX_COMPACT_BYTES: u64 = 4 * 1024 * 1024;
/// Topics that a node serves to subscribers at a time.
pub(crate) const SERVED_MAX: usize = 16_384;
/// How long one attempt to publish waits for its answer before the same bytes are sent again.
pub(crate) const ATTEMPT_MAX: Duration = Duration::from_secs(3);
/// Positions that a subscription asks for ahead of its application, at most.
pub(crate) const CREDIT_MAX: u64 = 65_536;
/// Messages of a group that a consumer holds at a time.
pub(crate) const GROUP_CREDIT_MAX: usize = weald_pubsub::limits::GROUP_GIVEN_MAX;
/// Groups of which a node has requests under way at a time.
pub(crate) const GROUP_TURNS_MAX: usize = 4096;
/// Bytes of the name of a durable subscription.
pub(crate) const DURABLE_NAME_BYTES_MAX: usize = 128;
/// The pause before a durable cursor that could not be kept is written again.
pub(crate) const CURSOR_PAUSE: Duration = Duration::from_millis(100);
/// The pause after a lease request that reached nobody.
pub(crate) const LEASE_PAUSE: Duration = Duration::from_millis(100);
/// How long a subscription that ends waits for its last words to be heard; as long as a takeover and
/// some attempts to find the new coordinator.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(10);
/// The longest sleep of a driver, whose clock may be set.
pub(crate) const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Messages of one read by a handle.
pub(crate) const READ_MAX: usize = 1024;
