//! What the bytes of this crate are: kinds of envelopes and of structure blocks, each given once.

use weald_core::codec::Kind;

const fn nth(offset: u8) -> Kind {
    Kind(Kind::COLLECTIONS_FIRST.0 + offset)
}

/// A [`CollectionHeader`](crate::CollectionHeader).
pub(crate) const HEADER: Kind = nth(0);
/// The answer to a `Create`.
pub(crate) const CREATE_ANSWER: Kind = nth(1);
/// One value of a user: a diary's entry, a tree's value.
pub(crate) const VALUE: Kind = nth(2);
/// An operation on a diary.
pub(crate) const DIARY_OPERATION: Kind = nth(3);
/// The answer of a diary.
pub(crate) const DIARY_ANSWER: Kind = nth(4);
/// What one transaction noted as changed.
pub(crate) const CHANGE_RECORD: Kind = nth(5);
/// The entries that one revision appended.
pub(crate) const APPENDED: Kind = nth(6);
/// An action, where a digest covers it.
pub(crate) const ACTION: Kind = nth(7);
/// The roots and definitions of a tree, in its header.
pub(crate) const TREE_ROOT: Kind = nth(8);
/// The settings of a new tree.
pub(crate) const TREE_OPTIONS: Kind = nth(9);
/// An operation on a tree.
pub(crate) const TREE_OPERATION: Kind = nth(10);
/// The answer of a tree.
pub(crate) const TREE_ANSWER: Kind = nth(11);
/// The keys that one operation changed.
pub(crate) const TREE_CHANGES: Kind = nth(12);
