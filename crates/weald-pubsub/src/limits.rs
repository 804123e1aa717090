//! Every bound of topics, by name. What is over a bound is refused with a typed error.

use std::time::Duration;

/// Bytes of an encoded head.
pub const HEAD_BYTES_MAX: usize = 1024;
/// Bytes of an encoded page, a snapshot among them.
pub const PAGE_BYTES_MAX: usize = 8 * 1024;
/// Entries of each history in a head, at most.
pub const HISTORY_MAX: usize = 14;
/// Entries of each history that stay in a head when it is pruned.
pub const HISTORY_KEPT: usize = 10;
/// Entries of a snapshot, both histories together.
pub const SNAPSHOT_ENTRIES_MAX: usize = 150;
/// Snapshots that a topic keeps.
pub const SNAPSHOTS_MAX: usize = 32;
/// How long a snapshot is kept.
pub const SNAPSHOT_TTL: Duration = Duration::from_secs(60 * 60);
/// How long a container outlives its contents.
pub const CONTENT_GRACE: Duration = Duration::from_secs(60 * 60);
/// Children of an inner page, and positions that a leaf of messages covers.
pub const PAGE_FANOUT: u64 = 64;
/// Subscribers in one leaf.
pub const SUBSCRIBER_LEAF_MAX: usize = 40;
/// Leases of one peer in a topic; below [`SUBSCRIBER_LEAF_MAX`], so that a leaf can hold them.
pub const PEER_LEASES_MAX: usize = 16;
/// Bytes of a message's body, whatever a policy allows.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Peers that an access list names.
pub const ACCESS_PEERS_MAX: usize = 256;
/// Bits of work that a policy may ask for.
pub const WORK_BITS_MAX: u8 = 32;
