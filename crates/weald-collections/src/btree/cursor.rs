//! Cursors: a place in a tree that does not borrow it, and knows when the tree has changed.

use weald_core::{BlockId, Halt};

use super::{
    BTree, BTreeError, Entry,
    walk::{Gap, Walk},
};
use crate::{BlockReader, BlockWriter};

/// A place in a tree: on an entry, or between two.
///
/// A change of the tree by anything but [`BTree::update_at`] and [`BTree::delete_at`] with this
/// cursor makes it stale: every later use is [`BTreeError::StaleCursor`]. Cursors over other views
/// of the tree are not concerned.
#[derive(Clone, Debug)]
pub struct Cursor {
    root: BlockId,
    stamp: u64,
    walk: Walk,
    current: Option<Entry>,
    /// Whether the walk's gap is before the current entry, not behind it.
    is_before: bool,
}

impl BTree {
    /// A cursor on the entry of `key`, or in the gap where it would be.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn seek(
        &self,
        reader: &mut (impl BlockReader + ?Sized),
        key: &[u8],
    ) -> Result<Cursor, Halt> {
        let walk = Walk::seek(reader, self.root, Gap::Before(key))?;
        let current = walk.peek()?.filter(|entry| entry.key == key);
        let is_before = current.is_some();
        Ok(Cursor { root: self.root, stamp: self.stamp, walk, current, is_before })
    }

    /// A cursor before all entries.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn seek_start(&self, reader: &mut (impl BlockReader + ?Sized)) -> Result<Cursor, Halt> {
        self.cursor(reader, Gap::Start)
    }

    /// A cursor after all entries.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn seek_end(&self, reader: &mut (impl BlockReader + ?Sized)) -> Result<Cursor, Halt> {
        self.cursor(reader, Gap::End)
    }

    /// Gives the entry under the cursor another value and returns what it was. The cursor stays
    /// valid and on it.
    ///
    /// # Errors
    /// [`BTreeError::StaleCursor`], [`BTreeError::OffEntry`], or as [`BTree::put`].
    pub fn update_at(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        cursor: &mut Cursor,
        value: &[u8],
    ) -> Result<Entry, BTreeError> {
        let entry = cursor.on_entry(self)?;
        self.put(writer, &entry.key, value)?;
        *cursor = self.seek(writer, &entry.key)?;
        Ok(entry)
    }

    /// Removes the entry under the cursor and returns it. The cursor stays valid, in the gap that
    /// the entry leaves.
    ///
    /// # Errors
    /// [`BTreeError::StaleCursor`], [`BTreeError::OffEntry`], or as [`BTree::delete`].
    pub fn delete_at(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        cursor: &mut Cursor,
    ) -> Result<Entry, BTreeError> {
        let entry = cursor.on_entry(self)?;
        self.delete(writer, &entry.key)?;
        *cursor = self.seek(writer, &entry.key)?;
        Ok(entry)
    }

    fn cursor(
        &self,
        reader: &mut (impl BlockReader + ?Sized),
        gap: Gap<'_>,
    ) -> Result<Cursor, Halt> {
        let walk = Walk::seek(reader, self.root, gap)?;
        Ok(Cursor { root: self.root, stamp: self.stamp, walk, current: None, is_before: false })
    }
}

impl Cursor {
    /// The entry under the cursor.
    ///
    /// # Errors
    /// [`BTreeError::StaleCursor`].
    pub fn entry(&self, tree: &BTree) -> Result<Option<&Entry>, BTreeError> {
        self.check(tree)?;
        Ok(self.current.as_ref())
    }

    /// Moves to the next entry; `None` past the last.
    ///
    /// # Errors
    /// [`BTreeError::StaleCursor`], or [`BTreeError::Halt`], which leaves the cursor on no entry
    /// but in its place, so that the call can be repeated.
    pub fn next(
        &mut self,
        tree: &BTree,
        reader: &mut (impl BlockReader + ?Sized),
    ) -> Result<Option<&Entry>, BTreeError> {
        self.check(tree)?;
        if self.current.take().is_some() && self.is_before {
            self.walk.pass_next();
        }
        self.current = self.walk.next(reader)?;
        self.is_before = false;
        Ok(self.current.as_ref())
    }

    /// Moves to the previous entry; `None` before the first.
    ///
    /// # Errors
    /// As [`Cursor::next`].
    pub fn prev(
        &mut self,
        tree: &BTree,
        reader: &mut (impl BlockReader + ?Sized),
    ) -> Result<Option<&Entry>, BTreeError> {
        self.check(tree)?;
        if self.current.take().is_some() && !self.is_before {
            self.walk.pass_prev();
        }
        self.current = self.walk.prev(reader)?;
        self.is_before = true;
        Ok(self.current.as_ref())
    }

    fn check(&self, tree: &BTree) -> Result<(), BTreeError> {
        let fresh = self.root == tree.root && self.stamp == tree.stamp;
        fresh.then_some(()).ok_or(BTreeError::StaleCursor)
    }

    fn on_entry(&self, tree: &BTree) -> Result<Entry, BTreeError> {
        self.entry(tree)?.cloned().ok_or(BTreeError::OffEntry)
    }
}
