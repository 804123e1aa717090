//! Putting entries.

use weald_core::{Halt, Splice, limits::KEY_BYTES_MAX};

use super::{
    BTree, BTreeError, Conditional, ENTRY_VALUE_BYTES_MAX, Entry, Expected,
    content::{Content, LeafItem},
    leaf::{Found, Leaf, encode_entry, encode_tail},
    partition::Fill,
    path::{self, Aim, Path},
    write::spread,
};
use crate::BlockWriter;

/// An entry to be.
#[derive(Clone, Copy, Debug)]
struct Pair<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

impl BTree {
    /// Writes an entry, new or not; returns the one that it replaces.
    ///
    /// # Errors
    /// [`BTreeError::Halt`], or when key or value are too large.
    pub fn put(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<Entry>, BTreeError> {
        match self.put_if(writer, key, value, Expected::Anything)? {
            Conditional::Written(previous) | Conditional::Refused(previous) => Ok(previous),
        }
    }

    /// Writes a new entry; one that is there already is left alone and returned as refused.
    ///
    /// # Errors
    /// As [`BTree::put`].
    pub fn insert(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        key: &[u8],
        value: &[u8],
    ) -> Result<Conditional, BTreeError> {
        self.put_if(writer, key, value, Expected::Absent)
    }

    /// Writes an entry if the expectation holds.
    ///
    /// # Errors
    /// As [`BTree::put`].
    pub fn put_if(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        key: &[u8],
        value: &[u8],
        expected: Expected<'_>,
    ) -> Result<Conditional, BTreeError> {
        check_sizes(key, value)?;
        let path = path::descend(writer, self.root, Aim::Key(key))?;
        let leaf = Leaf::of(&path.node);
        let found = leaf.find(key)?;
        let previous = match &found {
            Found::At(slot) => Some(leaf.entry(slot)),
            Found::Missing(_) => None,
        };
        if !expected.holds(previous.as_ref()) {
            return Ok(Conditional::Refused(previous));
        }
        self.changed();
        self.store(writer, path, found, Pair { key, value })?;
        Ok(Conditional::Written(previous))
    }

    /// Moves an entry to another key with a new value. Refused, with nothing changed, when `to` is
    /// taken; `Written(None)` when there was no entry at `from`, and then none is made.
    ///
    /// # Errors
    /// As [`BTree::put`]. The caller takes back what was done.
    pub fn rekey(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        from: &[u8],
        to: &[u8],
        value: &[u8],
    ) -> Result<Conditional, BTreeError> {
        check_sizes(to, value)?;
        if self.get(writer, from)?.is_none() {
            return Ok(Conditional::Written(None));
        }
        if from == to {
            return self.put_if(writer, to, value, Expected::Present);
        }
        if let taken @ Some(_) = self.get(writer, to)? {
            return Ok(Conditional::Refused(taken));
        }
        let previous = self.delete(writer, from)?;
        self.put(writer, to, value)?;
        Ok(Conditional::Written(previous))
    }

    fn store(
        &self,
        writer: &mut (impl BlockWriter + ?Sized),
        path: Path,
        found: Found,
        pair: Pair<'_>,
    ) -> Result<(), Halt> {
        let leaf_len = path.node.block.payload.len();
        // What goes, what comes, and whether it comes into a leaf that is or will be its own.
        let (start, end, bytes, alone) = match &found {
            Found::At(slot) => {
                let alone = slot.start == 0 && slot.end() == leaf_len;
                (slot.tail(), slot.end(), encode_tail(writer.revision(), pair.value), alone)
            }
            Found::Missing(at) => {
                let entry = encode_entry(pair.key, writer.revision(), pair.value);
                (*at, *at, entry, leaf_len == 0)
            }
        };
        if alone || leaf_len - (end - start) + bytes.len() <= self.capacity.bytes() {
            let splice = Splice::new(start, end - start, bytes);
            return writer.splice(path.node.block.id, vec![splice]);
        }
        let content = with_entry(writer, &path, pair)?;
        let appended = matches!(found, Found::Missing(at) if at == leaf_len);
        let fill = if appended && path.is_rightmost() { Fill::Append } else { Fill::Even };
        spread(writer, self.capacity, path, content, fill)
    }
}

/// The leaf's entries with `pair` in its place.
fn with_entry(
    writer: &(impl BlockWriter + ?Sized),
    path: &Path,
    pair: Pair<'_>,
) -> Result<Content, Halt> {
    let mut content = Content::of(&path.node)?;
    if let Content::Leaf(items) = &mut content {
        let bytes = encode_entry(pair.key, writer.revision(), pair.value);
        let item = LeafItem { key: bytes.slice(2..2 + pair.key.len()), bytes };
        // As `Leaf::find` has it, in damaged leaves too, whose keys may be in no order.
        let at = items.iter().position(|item| item.key >= pair.key).unwrap_or(items.len());
        let end = at + usize::from(items.get(at).is_some_and(|item| item.key == pair.key));
        items.splice(at..end, [item]);
    }
    Ok(content)
}

fn check_sizes(key: &[u8], value: &[u8]) -> Result<(), BTreeError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(BTreeError::KeyTooLong { bytes: key.len() });
    }
    if value.len() > ENTRY_VALUE_BYTES_MAX {
        return Err(BTreeError::ValueTooLarge { bytes: value.len() });
    }
    Ok(())
}
