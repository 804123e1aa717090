//! Bounds of placement, by name.

/// Partitions of one network.
pub const PARTITIONS_MAX: usize = 4096;
/// Nodes in the committed node list.
pub const NODES_MAX: usize = 4096;
/// Bytes of a failure domain's name.
pub const DOMAIN_BYTES_MAX: usize = 64;
/// Members of one partition, voters and learners: five voters, five that replace them, spares.
pub const MEMBERS_MAX: usize = 16;
