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
/// Bytes of a chunk: a body that has more is kept and fetched in chunks of so many, the last of them
/// shorter.
pub const BODY_CHUNK_BYTES: usize = 64 * 1024;
/// Chunks of a body that are asked for at once.
pub const BODY_CHUNKS_MAX: u32 = 4;
/// Peers that an access list names.
pub const ACCESS_PEERS_MAX: usize = 256;
/// Bits of work that a policy may ask for.
pub const WORK_BITS_MAX: u8 = 32;
/// How far a signed request may be from log time, both ways.
pub const FRESHNESS: Duration = Duration::from_secs(5 * 60);
/// Entries that an operation removes by the way.
pub const PRUNE_STEP: usize = 64;
/// Entries that one prune removes, at most.
pub const PRUNE_MAX: usize = 512;
/// Leaves of the tree of bodies that one prune removes: large messages have some each, and all that a
/// transaction changes has to stay below what it may touch.
pub const PRUNE_LEAVES_MAX: u64 = 256;
/// Runs of one publisher that a topic remembers.
pub const PEER_INCARNATIONS_MAX: u32 = 16;
/// Messages of one publish or union.
pub const BATCH_MAX: usize = 1024;
/// Groups of a topic.
pub const GROUPS_MAX: u64 = 64;
/// Bytes of a group's name.
pub const GROUP_NAME_BYTES_MAX: usize = 64;
/// Messages that a group has given and nobody has acknowledged.
pub const GROUP_GIVEN_MAX: usize = 256;
/// Consumers of a group at a time.
pub const GROUP_CONSUMERS_MAX: usize = 256;
/// Dead letters that a group lists; the oldest leave the list first.
pub const GROUP_DEAD_MAX: usize = 256;
/// How long a consumer may keep a message without acknowledging it.
pub const GROUP_DEADLINE_MAX: Duration = Duration::from_secs(60 * 60);
/// How long a group is kept that nobody uses.
pub const GROUP_IDLE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Messages that one read of a topic delivers.
pub const DELIVERY_READ_MAX: usize = 256;
/// Bytes of bodies that one read of a topic delivers; one message goes however large it is. Bodies in
/// chunks are not delivered with their messages and do not count.
pub const DELIVERY_READ_BYTES_MAX: u64 = 512 * 1024;
/// Streams of one topic at one member.
pub const DELIVERY_STREAMS_MAX: usize = 10_000;
/// Reads that may be queued at a member beyond four for each stream, before those that no stream waits
/// for are dropped.
pub const DELIVERY_READS_SLACK: usize = 16;
/// Parts that a subscriber keeps before a hole is filled.
pub const SUBSCRIBER_PARTS_MAX: usize = 64;
/// Runs of publishers whose sequences a subscriber follows.
pub const SUBSCRIBER_PUBLISHERS_MAX: usize = 1024;
/// Messages that a publisher keeps until they are in the topic.
pub const OUTBOX_MESSAGES_MAX: usize = 10_000;
/// Bytes of bodies that a publisher keeps until they are in the topic.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages that a publisher sends at once.
pub const OUTBOX_BATCH_MAX: usize = 256;
/// Bytes of bodies that a publisher sends at once; one message goes however large it is.
pub const OUTBOX_BATCH_BYTES_MAX: usize = 1024 * 1024;
