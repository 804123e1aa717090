//! Walking the entries in either direction from a gap between two of them.

use std::sync::Arc;

use weald_core::{BlockId, Halt, StoredBlock};

use super::{
    DEPTH_MAX, Entry,
    inner::Inner,
    leaf::Leaf,
    path::{self, Aim, Step},
};
use crate::BlockReader;

/// A gap between entries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gap<'k> {
    /// Before all.
    Start,
    /// Before the first entry with this key or a greater one.
    Before(&'k [u8]),
    /// Before the first entry with a greater key.
    After(&'k [u8]),
    /// After all.
    End,
}

/// A place between two entries of a leaf, and the way there. An error leaves it where it was.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    steps: Vec<Step>,
    leaf: Arc<StoredBlock>,
    /// Where the leaf's entries begin.
    starts: Vec<usize>,
    /// The entry after the gap.
    index: usize,
}

impl Walk {
    pub(crate) fn seek(
        reader: &mut (impl BlockReader + ?Sized),
        root: BlockId,
        gap: Gap<'_>,
    ) -> Result<Self, Halt> {
        let aim = match gap {
            Gap::Start => Aim::First,
            Gap::Before(key) | Gap::After(key) => Aim::Key(key),
            Gap::End => Aim::Last,
        };
        let path = path::descend(reader, root, aim)?;
        let mut starts = Vec::new();
        let leaf = Leaf::of(&path.node);
        leaf.index(&mut starts)?;
        let key_at = |start: usize| leaf.slot(start).map(|slot| leaf.key(&slot));
        let index = match gap {
            Gap::Start => 0,
            Gap::Before(key) => starts.partition_point(|&at| key_at(at).is_ok_and(|at| at < key)),
            Gap::After(key) => starts.partition_point(|&at| key_at(at).is_ok_and(|at| at <= key)),
            Gap::End => starts.len(),
        };
        Ok(Self { steps: path.steps, leaf: path.node, starts, index })
    }

    /// The entry after the gap; the gap moves behind it.
    pub(crate) fn next(
        &mut self,
        reader: &mut (impl BlockReader + ?Sized),
    ) -> Result<Option<Entry>, Halt> {
        while self.index == self.starts.len() {
            if !self.enter_neighbour(reader, Aim::First)? {
                return Ok(None);
            }
        }
        let entry = self.entry(self.index)?;
        self.index += 1;
        Ok(Some(entry))
    }

    /// The entry before the gap; the gap moves before it.
    pub(crate) fn prev(
        &mut self,
        reader: &mut (impl BlockReader + ?Sized),
    ) -> Result<Option<Entry>, Halt> {
        while self.index == 0 {
            if !self.enter_neighbour(reader, Aim::Last)? {
                return Ok(None);
            }
        }
        let entry = self.entry(self.index - 1)?;
        self.index -= 1;
        Ok(Some(entry))
    }

    /// The entry after the gap, if it is in the same leaf.
    pub(crate) fn peek(&self) -> Result<Option<Entry>, Halt> {
        if self.index == self.starts.len() { Ok(None) } else { self.entry(self.index).map(Some) }
    }

    /// Moves over the entry after the gap, which [`Walk::peek`] or [`Walk::prev`] returned.
    pub(crate) fn pass_next(&mut self) {
        self.index = self.starts.len().min(self.index + 1);
    }

    /// Moves over the entry before the gap, which [`Walk::next`] returned.
    pub(crate) fn pass_prev(&mut self) {
        self.index = self.index.saturating_sub(1);
    }

    fn entry(&self, index: usize) -> Result<Entry, Halt> {
        let leaf = Leaf::of(&self.leaf);
        Ok(leaf.entry(&leaf.slot(self.starts[index])?))
    }

    /// Goes to the next leaf (`Aim::First`) or to the previous one (`Aim::Last`).
    fn enter_neighbour(
        &mut self,
        reader: &mut (impl BlockReader + ?Sized),
        aim: Aim<'_>,
    ) -> Result<bool, Halt> {
        let forward = matches!(aim, Aim::First);
        let has_more =
            |step: &Step| if forward { step.child + 1 < step.count } else { step.child > 0 };
        let Some(level) = self.steps.iter().rposition(has_more) else {
            return Ok(false);
        };
        let step = &self.steps[level];
        let child = if forward { step.child + 1 } else { step.child - 1 };
        let id = Inner::of(&step.stored)?.child(child)?;
        let path = path::descend(reader, id, aim)?;
        if level + path.steps.len() >= DEPTH_MAX {
            return Err(super::damaged(id, "a tree has too many levels").into());
        }
        let mut starts = Vec::with_capacity(self.starts.len());
        Leaf::of(&path.node).index(&mut starts)?;
        self.index = if forward { 0 } else { starts.len() };
        self.starts = starts;
        self.steps.truncate(level + 1);
        self.steps[level].child = child;
        self.steps.extend(path.steps);
        self.leaf = path.node;
        Ok(true)
    }
}
