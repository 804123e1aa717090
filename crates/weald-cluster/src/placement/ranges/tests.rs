//! Ranges: every key has one partition, whatever is built, split or decoded.

use proptest::prelude::*;
use weald_core::codec;

use super::*;

/// A kind for round trips only.
const KIND: codec::Kind = codec::Kind(127);

fn key(key: u64) -> PlacementKey {
    PlacementKey::from_u64(key)
}

fn ranges(list: &[(u32, u64, u64)]) -> Result<Ranges, RangesError> {
    let range = |&(id, first, last): &(u32, u64, u64)| {
        Ok((PartitionId(id), KeyRange::new(key(first), key(last))?))
    };
    Ranges::new(list.iter().map(range).collect::<Result<Vec<_>, _>>()?)
}

#[test]
fn ranges_cover_every_key_once_or_are_refused() {
    let check = |list: &[(u32, u64, u64)], expect: Result<(), RangesError>| {
        assert_eq!(ranges(list).map(|_| ()), expect, "{list:?}");
    };
    check(&[(0, 0, u64::MAX)], Ok(()));
    check(&[(3, 8, u64::MAX), (7, 0, 7)], Ok(()));
    check(&[], Err(RangesError::Count(0)));
    check(&[(0, 5, 4)], Err(RangesError::Backward { first: 5, last: 4 }));
    check(&[(0, 1, u64::MAX)], Err(RangesError::Gap(0)));
    check(&[(0, 0, 6), (1, 8, u64::MAX)], Err(RangesError::Gap(7)));
    check(&[(0, 0, u64::MAX - 1)], Err(RangesError::Gap(u64::MAX)));
    check(&[(0, 0, 8), (1, 8, u64::MAX)], Err(RangesError::Overlap(8)));
    check(&[(0, 0, u64::MAX), (1, u64::MAX, u64::MAX)], Err(RangesError::Overlap(u64::MAX)));
    check(&[(0, 0, 7), (0, 8, u64::MAX)], Err(RangesError::Duplicate(PartitionId(0))));
}

#[test]
fn too_many_partitions_are_refused() {
    let most = u32::try_from(PARTITIONS_MAX).unwrap();
    assert_eq!(Ranges::founded(most).unwrap().count(), PARTITIONS_MAX);
    let over = Err(RangesError::Count(PARTITIONS_MAX + 1));
    assert_eq!(Ranges::founded(most + 1), over);
    let mut full = Ranges::founded(most).unwrap();
    let refused = full.split(PartitionId(0), key(1), PartitionId(most));
    assert_eq!(refused.map(|()| unreachable!("a full network was split")), over);
    assert_eq!(Ranges::founded(0), Err(RangesError::Count(0)));
}

#[test]
fn founded_ranges_are_equal() {
    for count in (1..=64).chain([100, 1000, 4096]) {
        let founded = Ranges::founded(count).unwrap();
        let width = |range: KeyRange| u128::from(range.last - range.first) + 1;
        let widths: Vec<_> = founded.iter().map(|(_, range)| width(range)).collect();
        let (least, most) = (widths.iter().min().unwrap(), widths.iter().max().unwrap());
        assert!(most - least <= 1, "count={count}");
        assert_eq!(widths.iter().sum::<u128>(), 1 << 64, "count={count}");
        assert_eq!(founded.partition(key(u64::MAX)), PartitionId(count - 1));
    }
}

#[test]
fn a_split_moves_the_upper_keys_and_nothing_else() {
    let before = Ranges::founded(4).unwrap();
    let parent = before.range(PartitionId(1)).unwrap();
    let at = parent.first().as_u64() + 10;
    let mut after = before.clone();
    after.split(PartitionId(1), key(at), PartitionId(4)).unwrap();
    assert_eq!(after.partition(key(at - 1)), PartitionId(1));
    assert_eq!(after.partition(key(at)), PartitionId(4));
    assert_eq!(after.range(PartitionId(4)), KeyRange::new(key(at), parent.last()).ok());
    assert_eq!(after.range(PartitionId(0)), before.range(PartitionId(0)));
    assert_eq!(Ranges::new(after.iter()), Ok(after.clone()), "still a total cover");
}

#[test]
fn a_split_that_makes_no_sense_changes_nothing() {
    let mut ranges = ranges(&[(0, 0, 9), (1, 10, u64::MAX)]).unwrap();
    let before = ranges.clone();
    let mut check = |parent, at, child, expect| {
        assert_eq!(ranges.split(PartitionId(parent), key(at), PartitionId(child)), Err(expect));
        assert_eq!(ranges, before);
    };
    let outside = |at| RangesError::SplitOutside { partition: PartitionId(0), at };
    check(0, 0, 2, outside(0));
    check(0, 10, 2, outside(10));
    check(0, 5, 1, RangesError::Duplicate(PartitionId(1)));
    check(5, 5, 6, RangesError::NoSuchPartition(PartitionId(5)));
}

#[test]
fn decoded_ranges_are_checked_again() {
    let good = Ranges::founded(3).unwrap();
    let bytes = codec::encode(KIND, &good);
    assert_eq!(codec::decode::<Ranges>(KIND, &bytes), Ok(good));
    let gap = vec![(PartitionId(0), (1_u64, u64::MAX))];
    assert!(codec::decode::<Ranges>(KIND, &codec::encode(KIND, &gap)).is_err());
    let backward = (2_u64, 1_u64);
    assert!(codec::decode::<KeyRange>(KIND, &codec::encode(KIND, &backward)).is_err());
}

proptest! {
    #[test]
    fn any_splits_leave_one_partition_for_each_key(
        splits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..40),
        probes in proptest::collection::vec(any::<u64>(), 1..20),
    ) {
        let mut ranges = Ranges::founded(2).unwrap();
        for (i, (parent, at)) in splits.iter().enumerate() {
            let ids: Vec<_> = ranges.iter().map(|(id, _)| id).collect();
            let child = PartitionId(100 + u32::try_from(i).unwrap());
            let parent = ids[parent.index(ids.len())];
            let is_inside = ranges.range(parent).unwrap().contains(key(*at))
                && ranges.range(parent).unwrap().first() != key(*at);
            prop_assert_eq!(ranges.split(parent, key(*at), child).is_ok(), is_inside);
        }
        for probe in probes {
            let owners: Vec<_> =
                ranges.iter().filter(|(_, range)| range.contains(key(probe))).collect();
            prop_assert_eq!(owners.len(), 1);
            prop_assert_eq!(owners[0].0, ranges.partition(key(probe)));
        }
    }
}
