//! Every bound of the core, by name. A value over a bound is refused with a typed error; nothing is
//! truncated.

/// Bytes of a collection's name.
pub const COLLECTION_NAME_BYTES_MAX: usize = 512;
/// Bytes of a collection type's name.
pub const TYPE_NAME_BYTES_MAX: usize = 32;
/// Bytes of one log entry, encoded (rule C6).
pub const ENTRY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that the codec reads from one envelope: an entry with room for what surrounds it.
pub const DECODE_BYTES_MAX: usize = ENTRY_BYTES_MAX + 64 * 1024;
/// Bytes of one block's payload.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Blocks that one transaction may write.
pub const TRANSACTION_BLOCKS_MAX: usize = 1024;
/// Bytes that one transaction may write into blocks.
pub const TRANSACTION_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Actions in one transaction.
pub const TRANSACTION_ACTIONS_MAX: usize = 4096;
/// Bytes of an encoded tree key.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of a tree's value or a diary's entry.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Results of transactions that a partition keeps for retries.
pub const RESULTS_MAX: usize = 1_000_000;
/// Client sessions that a partition keeps.
pub const SESSIONS_MAX: usize = 100_000;
/// Transactions over several partitions that hold locks in a partition, with the ids kept after.
pub const PENDS_MAX: usize = 100_000;
/// Bytes of changes that wait in a partition for their decision.
pub const INTENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Decisions that a partition keeps for participants that have not carried them out.
pub const DECISIONS_MAX: usize = 100_000;
/// Collection types that a partition's log may register.
pub const TYPES_MAX: usize = 1024;
/// Policies in a partition's settings.
pub const POLICIES_MAX: usize = 256;
/// Bytes of a policy, name and content.
pub const POLICY_BYTES_MAX: usize = 64 * 1024;
/// Nodes of a network.
pub const NODES_MAX: usize = 10_000;
/// Partitions of a network.
pub const PARTITIONS_MAX: usize = 4096;
/// Bytes of a refusal's text, as a peer is told.
pub const REFUSAL_TEXT_BYTES_MAX: usize = 1024;
/// Bytes of a node's record: its domain and its key.
pub const NODE_BYTES_MAX: usize = 1024;

/// What one transaction may touch. The executor counts and refuses with
/// [`Rejection::TooLarge`](crate::Rejection::TooLarge).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransactionLimits {
    /// Blocks written, default [`TRANSACTION_BLOCKS_MAX`].
    pub blocks_max: usize,
    /// Bytes written into blocks, default [`TRANSACTION_BYTES_MAX`].
    pub bytes_max: usize,
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self { blocks_max: TRANSACTION_BLOCKS_MAX, bytes_max: TRANSACTION_BYTES_MAX }
    }
}
