//! Bounds of routing, by name.

/// Pieces that a map's key space is cut into. While parts of different ages are known, a partition
/// can have more than one.
pub const SEGMENTS_MAX: usize = 8192;
/// Requests that a router has under way, by default.
pub const REQUESTS_MAX: usize = 4096;
/// Bytes of all payloads that a router has under way, by default.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pairs of peer and partition with a breaker. The failures of further pairs are not counted.
pub const BREAKERS_MAX: usize = 4096;
/// Peers that a request names as tried; later ones are not added.
pub const TRIED_MAX: usize = 32;
/// Unanswered attempts that a request remembers one by one; of earlier ones it only knows that
/// there were some.
pub const UNANSWERED_MAX: usize = 32;
/// Peers to ask when nothing is known, by configuration.
pub const SEEDS_MAX: usize = 64;
/// Nodes of the network that a map names besides the members of partitions.
pub const NODES_KNOWN_MAX: usize = 64;
/// Times that a request is forwarded (rule C13).
pub const HOPS_MAX: u8 = 3;
