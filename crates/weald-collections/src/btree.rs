//! The B+tree: byte keys to byte values over blocks, each entry with the revision that last wrote
//! it.
//!
//! **Shape.** The root block keeps its id for the tree's life: when it overflows its content moves
//! into new children, and when one child is left that child's content moves back. A leaf is its
//! entries in key order and nothing else, so that a put is one splice. Leaves have no sibling
//! links: a scan goes through its stack of inner nodes, which keeps splits and read dependencies
//! small. `docs/format.md` describes the bytes.
//!
//! **Faults.** Every operation reads all it needs before it writes; one that halts while reading
//! has changed nothing. A fault while writing leaves a part behind, which the caller takes back
//! with the overlay's savepoint.

use std::ops::Bound;

use bytes::Bytes;
use weald_core::{
    BlockId, Fault, Halt, Revision,
    limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX},
};

use crate::{BlockReader, BlockWriter};

mod capacity;
mod content;
mod cursor;
mod delete;
mod inner;
mod leaf;
mod node;
mod partition;
mod path;
mod put;
mod scan;
mod verify;
mod walk;
mod write;

pub use capacity::{CapacityError, NodeCapacity};
pub use cursor::Cursor;
pub use node::{INNER_KIND, LEAF_KIND, check_node};
pub use scan::{Direction, Scan};
pub use verify::Survey;

use leaf::{Found, Leaf};

/// Bytes of an entry's value: a tree's value with room for what stands beside it.
pub const ENTRY_VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX + 64 * 1024;

/// An entry. Key and value are slices of the node's payload: cheap to clone, and they keep the
/// whole node alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The revision of the collection that last wrote the entry.
    pub revision: Revision,
}

/// What must hold for a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Nothing.
    Anything,
    /// There is no entry.
    Absent,
    /// There is one.
    Present,
    /// There is one, last written by this revision.
    At(Revision),
    /// There is one with this value.
    Value(&'a [u8]),
}

impl Expected<'_> {
    /// Whether `found` is what is expected.
    pub fn holds(&self, found: Option<&Entry>) -> bool {
        match (self, found) {
            (Self::Anything, _) | (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::At(revision), Some(entry)) => entry.revision == *revision,
            (Self::Value(value), Some(entry)) => entry.value == *value,
            _ => false,
        }
    }
}

/// What became of a conditional write, with the entry that stood there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditional {
    /// The expectation held and the write took place.
    Written(Option<Entry>),
    /// It did not, and nothing changed.
    Refused(Option<Entry>),
}

/// Why an operation on a B+tree failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BTreeError {
    /// Blocks are not in memory, or this member is in trouble.
    #[error(transparent)]
    Halt(#[from] Halt),
    /// The tree has changed since the cursor was placed; place it again.
    #[error("the tree has changed since the cursor was placed")]
    StaleCursor,
    /// The cursor is on no entry.
    #[error("the cursor is on no entry")]
    OffEntry,
    /// The key is longer than allowed.
    #[error("the key is too long: bytes={bytes} max={KEY_BYTES_MAX}")]
    KeyTooLong {
        /// Bytes of the key.
        bytes: usize,
    },
    /// The value is larger than allowed.
    #[error("the value is too large: bytes={bytes} max={ENTRY_VALUE_BYTES_MAX}")]
    ValueTooLarge {
        /// Bytes of the value.
        bytes: usize,
    },
}

impl From<Fault> for BTreeError {
    fn from(fault: Fault) -> Self {
        Self::Halt(fault.into())
    }
}

/// A B+tree by the id of its root block.
///
/// The value counts the changes made through it, by which its [`Cursor`]s know that they are stale.
/// Two values over two views of one tree are independent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BTree {
    root: BlockId,
    capacity: NodeCapacity,
    stamp: u64,
}

impl BTree {
    /// Makes an empty tree.
    ///
    /// # Errors
    /// As [`BlockWriter::insert`].
    pub fn create(
        writer: &mut (impl BlockWriter + ?Sized),
        capacity: NodeCapacity,
    ) -> Result<Self, Halt> {
        let root = writer.insert(LEAF_KIND, Bytes::new())?;
        Ok(Self::open(root, capacity))
    }

    /// The tree whose root block is `root`, which was made with `capacity`.
    pub const fn open(root: BlockId, capacity: NodeCapacity) -> Self {
        Self { root, capacity, stamp: 0 }
    }

    /// The id of the root block, the same for the tree's life.
    pub const fn root(&self) -> BlockId {
        self.root
    }

    /// Bytes of a node.
    pub const fn capacity(&self) -> NodeCapacity {
        self.capacity
    }

    /// The entry of `key`.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn get(
        &self,
        reader: &mut (impl BlockReader + ?Sized),
        key: &[u8],
    ) -> Result<Option<Entry>, Halt> {
        let stored = path::leaf_of(reader, self.root, key)?;
        let leaf = Leaf::of(&stored);
        Ok(match leaf.find(key)? {
            Found::At(slot) => Some(leaf.entry(&slot)),
            Found::Missing(_) => None,
        })
    }

    /// The entries between two bounds, in the order of `direction`.
    pub fn range<'r, R: BlockReader + ?Sized>(
        &self,
        reader: &'r mut R,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Scan<'r, R> {
        Scan::new(self.root, reader, bounds, direction)
    }

    /// The entry with the least key.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn first(&self, reader: &mut (impl BlockReader + ?Sized)) -> Result<Option<Entry>, Halt> {
        self.range(reader, EVERYTHING, Direction::Forward).next().transpose()
    }

    /// The entry with the greatest key.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn last(&self, reader: &mut (impl BlockReader + ?Sized)) -> Result<Option<Entry>, Halt> {
        self.range(reader, EVERYTHING, Direction::Backward).next().transpose()
    }

    /// The entry with the least key above `key`, which need not be there.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn after(
        &self,
        reader: &mut (impl BlockReader + ?Sized),
        key: &[u8],
    ) -> Result<Option<Entry>, Halt> {
        let bounds = (Bound::Excluded(key), Bound::Unbounded);
        self.range(reader, bounds, Direction::Forward).next().transpose()
    }

    /// The entry with the greatest key below `key`, which need not be there.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn before(
        &self,
        reader: &mut (impl BlockReader + ?Sized),
        key: &[u8],
    ) -> Result<Option<Entry>, Halt> {
        let bounds = (Bound::Unbounded, Bound::Excluded(key));
        self.range(reader, bounds, Direction::Backward).next().transpose()
    }

    /// Counts the entries by walking all leaves. Collections keep a count; this checks it.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn recount(&self, reader: &mut (impl BlockReader + ?Sized)) -> Result<u64, Halt> {
        let mut count = 0;
        for entry in self.range(reader, EVERYTHING, Direction::Forward) {
            entry?;
            count += 1;
        }
        Ok(count)
    }

    fn changed(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
    }
}

/// Bounds of a range that holds every key.
pub const EVERYTHING: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

/// Levels that a tree may have; more are damage, such as a cycle.
const DEPTH_MAX: usize = 48;

fn damaged(id: BlockId, detail: impl Into<String>) -> Fault {
    Fault::Damaged { id, detail: detail.into() }
}

#[cfg(test)]
mod tests;
