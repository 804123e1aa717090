//! The key space in pieces of different age: newer knowledge is laid over older.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weald_core::{PartitionId, PlacementKey};

use super::{limits::SEGMENTS_MAX, map::Version};
use crate::placement::{KeyRange, Ranges};

/// Who has a piece, and as of which version that was said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
struct Owner {
    partition: PartitionId,
    version: Version,
}

/// A total cover of the key space: each piece begins at its key and ends before the next one's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<u64, Owner>", into = "BTreeMap<u64, Owner>")]
pub(super) struct Segments(BTreeMap<u64, Owner>);

/// A cover that does not begin at the first key, or is cut too finely.
#[derive(Debug, thiserror::Error)]
#[error("not a cover of the key space: segments={0}")]
pub(super) struct SegmentsError(usize);

impl TryFrom<BTreeMap<u64, Owner>> for Segments {
    type Error = SegmentsError;

    fn try_from(pieces: BTreeMap<u64, Owner>) -> Result<Self, SegmentsError> {
        if pieces.contains_key(&0) && pieces.len() <= SEGMENTS_MAX {
            Ok(Self(pieces))
        } else {
            Err(SegmentsError(pieces.len()))
        }
    }
}

impl From<Segments> for BTreeMap<u64, Owner> {
    fn from(segments: Segments) -> Self {
        segments.0
    }
}

impl Segments {
    /// One piece for all keys.
    pub(super) fn whole(partition: PartitionId, version: Version) -> Self {
        Self(BTreeMap::from([(0, Owner { partition, version })]))
    }

    /// The pieces of committed ranges.
    pub(super) fn of(ranges: &Ranges, version: Version) -> Self {
        let piece = |(partition, range): (PartitionId, KeyRange)| {
            (range.first().as_u64(), Owner { partition, version })
        };
        Self(ranges.iter().map(piece).collect())
    }

    pub(super) fn partition(&self, key: PlacementKey) -> PartitionId {
        self.0.range(..=key.as_u64()).next_back().expect("a total cover").1.partition
    }

    /// The first key of each piece, with who has it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PartitionId, PlacementKey)> {
        let piece = |(first, owner): (&u64, &Owner)| {
            (owner.partition, PlacementKey::from_u64(*first))
        };
        self.0.iter().map(piece)
    }

    /// The piece that holds `key`.
    pub(super) fn piece(&self, key: PlacementKey) -> KeyRange {
        let (first, _) = self.0.range(..=key.as_u64()).next_back().expect("a total cover");
        self.piece_at(*first)
    }

    /// Says that `range` belongs to `partition` as of `version`, wherever nothing newer is known.
    /// Says whether anything changed; a cover that would be cut too finely is left as it is.
    pub(super) fn lay(
        &mut self,
        range: KeyRange,
        partition: PartitionId,
        version: Version,
    ) -> bool {
        let new = Owner { partition, version };
        let older: Vec<_> = self
            .0
            .range(..=range.last().as_u64())
            .filter(|(_, owner)| owner.version < version)
            .filter_map(|(first, owner)| Some((self.piece_at(*first).intersection(range)?, *owner)))
            .collect();
        if older.is_empty() || self.0.len() + 2 > SEGMENTS_MAX {
            return false;
        }
        for (piece, old) in older {
            self.0.insert(piece.first().as_u64(), new);
            if let Some(after) = piece.last().as_u64().checked_add(1) {
                self.0.entry(after).or_insert(old);
            }
        }
        self.join();
        true
    }

    /// Joins neighbours that say the same.
    fn join(&mut self) {
        let mut before = None;
        self.0.retain(|_, owner| before.replace(*owner) != Some(*owner));
    }

    fn piece_at(&self, first: u64) -> KeyRange {
        let next = first.checked_add(1).and_then(|after| self.0.range(after..).next());
        let last = next.map_or(u64::MAX, |(next, _)| next - 1);
        KeyRange::new(PlacementKey::from_u64(first), PlacementKey::from_u64(last))
            .expect("a piece ends before the next begins")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weald_core::LogIndex;

    use super::*;

    fn range(first: u64, last: u64) -> KeyRange {
        KeyRange::new(PlacementKey::from_u64(first), PlacementKey::from_u64(last)).unwrap()
    }

    fn version(index: u64) -> Version {
        Version { generation: 0, index: LogIndex(index) }
    }

    #[test]
    fn a_newer_piece_is_cut_out_of_older_ones() {
        let mut segments = Segments::whole(PartitionId(0), version(1));
        assert!(segments.lay(range(10, 19), PartitionId(1), version(2)));
        let owner = |segments: &Segments, key| segments.partition(PlacementKey::from_u64(key)).0;
        assert_eq!([9, 10, 19, 20].map(|key| owner(&segments, key)), [0, 1, 1, 0]);
        assert!(!segments.lay(range(0, u64::MAX), PartitionId(7), version(1)), "older");
        assert!(segments.lay(range(0, 14), PartitionId(2), version(3)));
        assert_eq!([0, 14, 15, 20].map(|key| owner(&segments, key)), [2, 2, 1, 0]);
    }

    #[test]
    fn a_cover_is_never_cut_finer_than_its_bound() {
        let mut segments = Segments::whole(PartitionId(0), version(0));
        let mut refused_count = 0;
        for i in 0..SEGMENTS_MAX as u64 {
            let was_laid = segments.lay(range(4 * i + 2, 4 * i + 2), PartitionId(1), version(1));
            refused_count += usize::from(!was_laid);
        }
        assert!(refused_count > 0 && segments.0.len() <= SEGMENTS_MAX);
    }

    proptest! {
        /// The newest word about each key counts, in whatever order words come.
        #[test]
        fn each_key_has_the_newest_owner(
            words in proptest::collection::vec((0_u64..64, 0_u64..64), 0..20),
            order in any::<u64>(),
        ) {
            let words: Vec<_> = words.into_iter().enumerate().map(|(i, (a, b))| {
                (range(a.min(b), a.max(b)), u32::try_from(i + 1).unwrap())
            }).collect();
            let mut shuffled = words.clone();
            shuffled.sort_by_key(|(_, id)| (u64::from(*id)).wrapping_mul(order | 1));
            let mut segments = Segments::whole(PartitionId(0), version(0));
            for (range, id) in shuffled {
                segments.lay(range, PartitionId(id), version(u64::from(id)));
            }
            for key in (0..70).map(PlacementKey::from_u64) {
                let newest = words.iter().rev().find(|(range, _)| range.contains(key));
                prop_assert_eq!(segments.partition(key).0, newest.map_or(0, |(_, id)| *id));
            }
        }
    }
}
