//! Ranges as iterators.

use std::ops::Bound;

use bytes::Bytes;
use weald_core::{BlockId, Halt};

use super::{
    Entry,
    walk::{Gap, Walk},
};
use crate::BlockReader;

/// The order in which a range is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Keys ascend.
    Forward,
    /// Keys descend.
    Backward,
}

/// The entries of a range. It borrows its reader, so that nothing changes under it.
///
/// An error is yielded as an item and leaves the scan where it was: after [`Halt::Need`] was met by
/// loading the blocks, the next call goes on.
#[derive(Debug)]
pub struct Scan<'r, R: ?Sized> {
    reader: &'r mut R,
    root: BlockId,
    bounds: (Bound<Bytes>, Bound<Bytes>),
    direction: Direction,
    walk: Option<Walk>,
    done: bool,
}

impl<'r, R: BlockReader + ?Sized> Scan<'r, R> {
    pub(crate) fn new(
        root: BlockId,
        reader: &'r mut R,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Self {
        let owned = |bound: Bound<&[u8]>| bound.map(Bytes::copy_from_slice);
        let bounds = (owned(bounds.0), owned(bounds.1));
        Self { reader, root, bounds, direction, walk: None, done: false }
    }

    fn step(&mut self) -> Result<Option<Entry>, Halt> {
        if self.walk.is_none() {
            let gap = first_gap(&self.bounds, self.direction);
            self.walk = Some(Walk::seek(self.reader, self.root, gap)?);
        }
        let walk = self.walk.as_mut().expect("the walk was just begun");
        let entry = match self.direction {
            Direction::Forward => walk.next(self.reader)?,
            Direction::Backward => walk.prev(self.reader)?,
        };
        Ok(entry.filter(|entry| self.is_within(&entry.key)))
    }

    /// Whether the far bound, towards which the scan goes, holds.
    fn is_within(&self, key: &Bytes) -> bool {
        match (self.direction, &self.bounds.0, &self.bounds.1) {
            (Direction::Forward, _, Bound::Included(far)) => key <= far,
            (Direction::Forward, _, Bound::Excluded(far)) => key < far,
            (Direction::Backward, Bound::Included(far), _) => key >= far,
            (Direction::Backward, Bound::Excluded(far), _) => key > far,
            _ => true,
        }
    }
}

impl<R: BlockReader + ?Sized> Iterator for Scan<'_, R> {
    type Item = Result<Entry, Halt>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = item.is_none();
        item
    }
}

fn first_gap(bounds: &(Bound<Bytes>, Bound<Bytes>), direction: Direction) -> Gap<'_> {
    match (direction, &bounds.0, &bounds.1) {
        (Direction::Forward, Bound::Unbounded, _) => Gap::Start,
        (Direction::Forward, Bound::Included(key), _) => Gap::Before(key),
        (Direction::Forward, Bound::Excluded(key), _) => Gap::After(key),
        (Direction::Backward, _, Bound::Unbounded) => Gap::End,
        (Direction::Backward, _, Bound::Included(key)) => Gap::After(key),
        (Direction::Backward, _, Bound::Excluded(key)) => Gap::Before(key),
    }
}
