//! Trees: ordered maps with secondary indexes, as a collection type and as views.
//!
//! [`TreeType`] executes operations; [`RawTree`] and [`Tree`] make the actions and read. A reader
//! of a key looks at the header, the root, inner nodes and a leaf, never at the state block, so
//! that it conflicts only with what really changed.
//!
//! **Indexes.** A client computes the index keys of an entry and ships them with its put; members
//! run no code of users. The tree keeps them beside the value, so that the next put or delete of
//! the key takes the old ones away in the same transaction.

use weald_core::{Rejection, TypeName, TypeVersion};

use crate::Stop;

mod change;
mod collection;
mod index;
mod operation;
mod options;
mod raw;
mod record;
#[cfg(test)]
mod tests;
mod typed;
mod view;

pub use change::{ChangedKey, Happened, changed_keys};
pub use index::{IndexHit, IndexScan, UnknownIndex};
pub use operation::{Expectation, IndexKey, KeyChange, TreeAnswer, TreeWrite};
pub use options::{IndexDefinition, TreeOptions};
pub use raw::RawTree;
pub use typed::{Tree, TreeEntry, TypedScan};
pub use view::{TreeScan, TreeView};

/// Secondary indexes of one tree.
pub const INDEXES_MAX: usize = 16;
/// Index keys of one entry, over all indexes.
pub const ENTRY_INDEX_KEYS_MAX: usize = 32;
/// Bytes of an index's name.
pub const INDEX_NAME_BYTES_MAX: usize = 64;

/// The code of [`Rejection::Custom`] for an insert of a key that is there.
pub const KEY_EXISTS: u32 = Rejection::CODE_RESERVED + 1;
/// The code of [`Rejection::Custom`] for an entry whose key in a unique index is another entry's.
pub const INDEX_KEY_TAKEN: u32 = Rejection::CODE_RESERVED + 2;

/// The collection type `tree`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeType;

impl TreeType {
    /// The version of the structure that this code implements.
    pub const VERSION: TypeVersion = TypeVersion(1);

    /// The name of the type.
    pub fn type_name() -> TypeName {
        "tree".parse().expect("a valid name")
    }
}

fn invalid(detail: impl Into<String>) -> Stop {
    Rejection::Invalid { detail: detail.into() }.into()
}
