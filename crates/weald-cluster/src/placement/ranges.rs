//! The key space cut into partitions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weald_core::{PartitionId, PlacementKey};

use super::limits::PARTITIONS_MAX;

/// A range of placement keys, both ends included, so that the last key has a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "(u64, u64)", into = "(u64, u64)")]
pub struct KeyRange {
    first: u64,
    last: u64,
}

impl KeyRange {
    /// The whole key space.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// The keys from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`RangesError::Backward`] when `last` is below `first`.
    pub const fn new(first: PlacementKey, last: PlacementKey) -> Result<Self, RangesError> {
        let (first, last) = (first.as_u64(), last.as_u64());
        if last < first {
            return Err(RangesError::Backward { first, last });
        }
        Ok(Self { first, last })
    }

    /// The lowest key.
    pub const fn first(self) -> PlacementKey {
        PlacementKey::from_u64(self.first)
    }

    /// The highest key.
    pub const fn last(self) -> PlacementKey {
        PlacementKey::from_u64(self.last)
    }

    /// Whether `key` lies in the range.
    pub const fn contains(self, key: PlacementKey) -> bool {
        self.first <= key.as_u64() && key.as_u64() <= self.last
    }

    /// The keys that lie in both ranges.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }
}

impl TryFrom<(u64, u64)> for KeyRange {
    type Error = RangesError;

    fn try_from((first, last): (u64, u64)) -> Result<Self, RangesError> {
        Self::new(PlacementKey::from_u64(first), PlacementKey::from_u64(last))
    }
}

impl From<KeyRange> for (u64, u64) {
    fn from(range: KeyRange) -> Self {
        (range.first, range.last)
    }
}

/// Why ranges were refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RangesError {
    /// A range ends before it begins.
    #[error("a range ends before it begins: first={first:016x} last={last:016x}")]
    Backward {
        /// The first key.
        first: u64,
        /// The last key.
        last: u64,
    },
    /// No partition, or more than a network may have.
    #[error("a network has 1 to {PARTITIONS_MAX} partitions: count={0}")]
    Count(usize),
    /// A key belongs to no partition.
    #[error("no partition has the key {0:016x}")]
    Gap(u64),
    /// A key belongs to two partitions.
    #[error("two partitions have the key {0:016x}")]
    Overlap(u64),
    /// Two ranges carry one id, or the id of a child is taken.
    #[error("the partition exists already: id={0}")]
    Duplicate(PartitionId),
    /// There is no such partition.
    #[error("no such partition: id={0}")]
    NoSuchPartition(PartitionId),
    /// Both halves of a split keep at least one key.
    #[error("the partition cannot be split there: id={partition} at={at:016x}")]
    SplitOutside {
        /// The partition that was to be split.
        partition: PartitionId,
        /// The first key of the upper half.
        at: u64,
    },
}

/// Which partition has which keys. Every key belongs to exactly one partition, and every partition
/// has one range: no value of this type is otherwise.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<(PartitionId, KeyRange)>", into = "Vec<(PartitionId, KeyRange)>")]
pub struct Ranges {
    by_first: BTreeMap<u64, PartitionId>,
    by_id: BTreeMap<PartitionId, KeyRange>,
}

impl Ranges {
    /// The partitions of a new network: `count` ranges that differ by one key at most, with ids
    /// from 0 in the order of their keys. Partition 0, the system partition, has its range, too.
    ///
    /// # Errors
    /// [`RangesError::Count`] when `count` is 0 or over [`PARTITIONS_MAX`].
    pub fn founded(count: u32) -> Result<Self, RangesError> {
        let first_of = |i: u32| (u128::from(i) << 64) / u128::from(count.max(1));
        let range = |i: u32| {
            let (first, end) = (first_of(i), first_of(i + 1));
            let key = |wide| u64::try_from(wide).expect("keys below 2^64");
            (PartitionId(i), KeyRange { first: key(first), last: key(end - 1) })
        };
        let count_wide = usize::try_from(count).unwrap_or(usize::MAX);
        check_count(count_wide)?;
        Self::new((0..count).map(range))
    }

    /// Takes ranges in any order.
    ///
    /// # Errors
    /// When they leave a gap, overlap, repeat an id, or are too few or too many.
    pub fn new(
        ranges: impl IntoIterator<Item = (PartitionId, KeyRange)>,
    ) -> Result<Self, RangesError> {
        let mut by_id = BTreeMap::new();
        for (id, range) in ranges {
            if by_id.insert(id, range).is_some() {
                return Err(RangesError::Duplicate(id));
            }
            check_count(by_id.len())?;
        }
        check_count(by_id.len())?;
        let mut sorted: Vec<_> = by_id.iter().map(|(id, range)| (*range, *id)).collect();
        sorted.sort_unstable();
        check_cover(&sorted)?;
        let by_first = sorted.into_iter().map(|(range, id)| (range.first, id)).collect();
        Ok(Self { by_first, by_id })
    }

    /// Cuts `parent` in two: it keeps the keys below `at`, `child` gets the others.
    ///
    /// # Errors
    /// When there is no such parent, the child's id is taken, a half would be empty, or there are
    /// [`PARTITIONS_MAX`] partitions; nothing has changed then.
    pub fn split(
        &mut self,
        parent: PartitionId,
        at: PlacementKey,
        child: PartitionId,
    ) -> Result<(), RangesError> {
        let range = self.range(parent).ok_or(RangesError::NoSuchPartition(parent))?;
        let at = at.as_u64();
        if self.by_id.contains_key(&child) {
            return Err(RangesError::Duplicate(child));
        }
        if at <= range.first || range.last < at {
            return Err(RangesError::SplitOutside { partition: parent, at });
        }
        check_count(self.by_id.len() + 1)?;
        self.by_id.insert(parent, KeyRange { first: range.first, last: at - 1 });
        self.by_id.insert(child, KeyRange { first: at, last: range.last });
        self.by_first.insert(at, child);
        Ok(())
    }

    /// The partition that has `key`.
    pub fn partition(&self, key: PlacementKey) -> PartitionId {
        let (_, id) = self.by_first.range(..=key.as_u64()).next_back().expect("a total cover");
        *id
    }

    /// The keys of `partition`.
    pub fn range(&self, partition: PartitionId) -> Option<KeyRange> {
        self.by_id.get(&partition).copied()
    }

    /// All partitions with their keys, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, KeyRange)> {
        self.by_id.iter().map(|(id, range)| (*id, *range))
    }

    /// How many partitions there are; at least one.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }
}

impl TryFrom<Vec<(PartitionId, KeyRange)>> for Ranges {
    type Error = RangesError;

    fn try_from(ranges: Vec<(PartitionId, KeyRange)>) -> Result<Self, RangesError> {
        Self::new(ranges)
    }
}

impl From<Ranges> for Vec<(PartitionId, KeyRange)> {
    fn from(ranges: Ranges) -> Self {
        ranges.iter().collect()
    }
}

fn check_count(count: usize) -> Result<(), RangesError> {
    if (1..=PARTITIONS_MAX).contains(&count) { Ok(()) } else { Err(RangesError::Count(count)) }
}

/// Each range begins where the one before it ends, from the first key to the last.
fn check_cover(sorted: &[(KeyRange, PartitionId)]) -> Result<(), RangesError> {
    let mut next = Some(0);
    for (range, _) in sorted {
        match next {
            None => return Err(RangesError::Overlap(range.first)),
            Some(expected) if range.first < expected => {
                return Err(RangesError::Overlap(range.first));
            }
            Some(expected) if range.first > expected => return Err(RangesError::Gap(expected)),
            Some(_) => next = range.last.checked_add(1),
        }
    }
    next.map_or(Ok(()), |key| Err(RangesError::Gap(key)))
}

#[cfg(test)]
mod tests;
