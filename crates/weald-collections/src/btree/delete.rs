//! Deleting entries: a node that gets low joins a sibling or borrows from it.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{BlockId, Halt, Splice, StoredBlock};

use super::{
    BTree, BTreeError, Conditional, Entry, Expected, NodeCapacity,
    content::Content,
    inner::{Child, Inner},
    leaf::{Found, Leaf},
    partition::Fill,
    path::{self, Aim, Path, Step},
    write::{rewrite, spread},
};
use crate::{BlockReader, BlockWriter};

/// What a deletion writes; made by reading alone.
struct Plan {
    edits: Vec<Edit>,
    /// A parent whose separator changed: it may overflow.
    parent: Option<(Path, Content)>,
}

enum Edit {
    Rewrite(Arc<StoredBlock>, Content),
    Delete(BlockId),
}

/// A node, what it is to hold, and the way to it.
struct Shrunk {
    path: Path,
    content: Content,
}

impl BTree {
    /// Removes an entry and returns it.
    ///
    /// # Errors
    /// [`BTreeError::Halt`].
    pub fn delete(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        key: &[u8],
    ) -> Result<Option<Entry>, BTreeError> {
        match self.delete_if(writer, key, Expected::Anything)? {
            Conditional::Written(previous) | Conditional::Refused(previous) => Ok(previous),
        }
    }

    /// Removes an entry, if there is one, if the expectation holds.
    ///
    /// # Errors
    /// As [`BTree::delete`].
    pub fn delete_if(
        &mut self,
        writer: &mut (impl BlockWriter + ?Sized),
        key: &[u8],
        expected: Expected<'_>,
    ) -> Result<Conditional, BTreeError> {
        let path = path::descend(writer, self.root, Aim::Key(key))?;
        let leaf = Leaf::of(&path.node);
        let Found::At(slot) = leaf.find(key)? else {
            let holds = expected.holds(None);
            return Ok(if holds { Conditional::Written(None) } else { Conditional::Refused(None) });
        };
        let previous = Some(leaf.entry(&slot));
        if !expected.holds(previous.as_ref()) {
            return Ok(Conditional::Refused(previous));
        }
        let (start, len) = (slot.start, slot.end() - slot.start);
        if path.steps.is_empty() || leaf.len() - len >= self.capacity.low() {
            self.changed();
            let splice = Splice::new(start, len, Bytes::new());
            writer.splice(path.node.block.id, vec![splice])?;
            return Ok(Conditional::Written(previous));
        }
        let mut content = Content::of(&path.node)?;
        if let Content::Leaf(items) = &mut content {
            items.retain(|item| item.key != key);
        }
        let plan = plan(writer, self.capacity, Shrunk { path, content })?;
        self.changed();
        plan.carry_out(writer, self.capacity)?;
        Ok(Conditional::Written(previous))
    }
}

/// Decides, from the shrunk node upwards, who joins whom.
fn plan(
    reader: &mut (impl BlockReader + ?Sized),
    capacity: NodeCapacity,
    mut shrunk: Shrunk,
) -> Result<Plan, Halt> {
    let mut edits = Vec::new();
    loop {
        let step = match shrunk.path.steps.pop() {
            Some(step) if shrunk.content.is_low(capacity) => step,
            _ => {
                edits.push(Edit::Rewrite(shrunk.path.node, shrunk.content));
                return Ok(Plan { edits, parent: None });
            }
        };
        let mut pair = Pair::read(reader, &step, &shrunk)?;
        shrunk.path.node = step.stored;
        if !pair.joined.is_joinable(capacity) {
            let right = pair.joined.halve();
            pair.siblings[pair.right].key = right.low;
            edits.push(Edit::Rewrite(pair.left_node, pair.joined));
            edits.push(Edit::Rewrite(pair.right_node, right.content));
            let parent = (shrunk.path, Content::Inner(pair.siblings));
            return Ok(Plan { edits, parent: Some(parent) });
        }
        pair.siblings.remove(pair.right);
        edits.push(Edit::Delete(pair.right_node.block.id));
        if shrunk.path.steps.is_empty() && pair.siblings.len() == 1 {
            // The root takes the content of its last child.
            edits.push(Edit::Delete(pair.left_node.block.id));
            edits.push(Edit::Rewrite(shrunk.path.node, pair.joined));
            return Ok(Plan { edits, parent: None });
        }
        edits.push(Edit::Rewrite(pair.left_node, pair.joined));
        shrunk.content = Content::Inner(pair.siblings);
    }
}

/// The shrunk node and a sibling: the left one, or the right one of the first child.
struct Pair {
    left_node: Arc<StoredBlock>,
    right_node: Arc<StoredBlock>,
    /// The items of both.
    joined: Content,
    /// The parent's children.
    siblings: Vec<Child>,
    /// The position of the right one of the two.
    right: usize,
}

impl Pair {
    fn read(
        reader: &mut (impl BlockReader + ?Sized),
        step: &Step,
        shrunk: &Shrunk,
    ) -> Result<Self, Halt> {
        let siblings = Inner::of(&step.stored)?.children()?;
        let right = step.child.max(1);
        let at = if step.child == 0 { 1 } else { step.child - 1 };
        let id = step.stored.block.id;
        let only = || super::damaged(id, "an inner node has one child");
        let sibling = path::node(reader, siblings.get(at).ok_or_else(only)?.id)?;
        let (node, content) = (shrunk.path.node.clone(), shrunk.content.clone());
        let other = Content::of(&sibling)?;
        let (left_node, right_node, mut joined, next) = if step.child == 0 {
            (node, sibling, content, other)
        } else {
            (sibling, node, other, content)
        };
        joined.join(siblings[right].key.clone(), next, id)?;
        Ok(Self { left_node, right_node, joined, siblings, right })
    }
}

impl Plan {
    fn carry_out(
        self,
        writer: &mut (impl BlockWriter + ?Sized),
        capacity: NodeCapacity,
    ) -> Result<(), Halt> {
        for edit in self.edits {
            match edit {
                Edit::Rewrite(stored, content) => rewrite(writer, &stored, &content)?,
                Edit::Delete(id) => writer.delete(id)?,
            }
        }
        match self.parent {
            Some((path, content)) => spread(writer, capacity, path, content, Fill::Even),
            None => Ok(()),
        }
    }
}
