//! The hash-linked chain that every collection has.
//!
//! Entries lie in blocks that are doubly linked; each block also keeps one pointer further back (a
//! skew-binary jump pointer), so that any entry is found in O(log n) blocks. The running hash
//! through entry n is `h_n = H(h_{n-1}, n, entry bytes)`, beginning with [`Digest::ZERO`]; a block
//! stores the hash before its first entry and the state block the hash through the newest, so that
//! the retained part can be verified when older blocks are gone.
//!
//! [`Digest::ZERO`]: weald_core::Digest::ZERO

mod block;
mod cursor;
mod grow;
mod seek;
mod shrink;
mod verify;

pub use block::ChainEntry;
pub use cursor::{ChainCursor, ReadLimit, read_backward, read_forward};
pub use grow::{EntryStamp, append};
pub use seek::seek_revision;
pub use shrink::{dequeue, pop, retain};
pub use verify::{ChainDamage, ChainVerifier};

/// Entries in one block.
pub const CHAIN_BLOCK_ENTRIES_MAX: usize = 32;
/// Payload bytes from which a block takes no further entry. One entry alone may be larger.
pub const CHAIN_BLOCK_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
