//! A stretch of keys, and how it is gone through.

use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use weald_collections::btree::Direction;

/// Keys between two bounds, from one end or the other, so many at most.
#[derive(Clone, Debug)]
pub(super) struct Span {
    low: Bound<Bytes>,
    high: Bound<Bytes>,
    direction: Direction,
    limit: usize,
}

impl Span {
    /// All keys within `bounds`, from the lowest.
    pub(super) fn new<B: AsRef<[u8]>>(bounds: &impl RangeBounds<B>) -> Self {
        let bytes = |bound: Bound<&B>| bound.map(|key| Bytes::copy_from_slice(key.as_ref()));
        Self {
            low: bytes(bounds.start_bound()),
            high: bytes(bounds.end_bound()),
            direction: Direction::Forward,
            limit: usize::MAX,
        }
    }

    /// The other way.
    pub(super) fn reversed(self) -> Self {
        let direction = match self.direction {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
        };
        Self { direction, ..self }
    }

    /// At most `count` keys.
    pub(super) fn limited(self, count: usize) -> Self {
        Self { limit: count, ..self }
    }

    /// Its ends.
    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (as_slice(&self.low), as_slice(&self.high))
    }

    /// Which way.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// How many keys are wanted yet.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Goes on behind `last`, the last of `count` keys that were taken.
    pub(super) fn take(&mut self, last: &Bytes, count: usize) {
        let past = Bound::Excluded(last.clone());
        match self.direction {
            Direction::Forward => self.low = past,
            Direction::Backward => self.high = past,
        }
        self.limit = self.limit.saturating_sub(count);
    }
}

fn as_slice(bound: &Bound<Bytes>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &key[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_was_taken_is_not_taken_again_from_either_end() {
        let mut span = Span::new::<&str>(&("b".."m")).limited(3);
        span.take(&key("d"), 2);
        assert_eq!(span.bounds(), (Bound::Excluded(&b"d"[..]), Bound::Excluded(&b"m"[..])));
        assert_eq!(span.limit(), 1);
        let mut span = span.reversed();
        span.take(&key("k"), 1);
        assert_eq!(span.bounds(), (Bound::Excluded(&b"d"[..]), Bound::Excluded(&b"k"[..])));
        assert_eq!((span.limit(), span.reversed().direction()), (0, Direction::Forward));
    }
}
