//! The map: newer knowledge wins, whatever the order it comes in.

use proptest::prelude::*;
use weald_core::Digest;

use super::*;
use crate::placement::{Node, Placement};

fn peer(i: u8) -> PeerId {
    PeerId::from_digest(Digest::from_bytes([i; 32]))
}

fn key(key: u64) -> PlacementKey {
    PlacementKey::from_u64(key)
}

fn version(index: u64) -> Version {
    Version { generation: 0, index: LogIndex(index) }
}

fn reign(number: u64, campaigner: u8) -> Reign {
    later(0, number, campaigner)
}

fn later(generation: u32, number: u64, campaigner: u8) -> Reign {
    Reign { generation, epoch: Epoch { number, campaigner: Some(peer(campaigner)) } }
}

fn members(voters: &[u8]) -> Members {
    let voters = voters.iter().map(|i| peer(*i)).collect();
    Placement { voters, learners: Vec::new() }.members()
}

fn part(index: u64, partition: u32, keys: (u64, u64), voters: &[u8]) -> Part {
    Part {
        version: version(index),
        partition: PartitionId(partition),
        range: keys.try_into().unwrap(),
        members: members(voters),
        reign: Reign::default(),
    }
}

/// Four nodes, two partitions of one voter.
fn small() -> Map {
    let nodes = (1..=4).map(|i| (peer(i), Node::new(weald_core::StoreId([i; 16]))));
    let nodes = Nodes::new(nodes).unwrap();
    Map::computed(version(5), &Ranges::founded(2).unwrap(), &nodes, ResponsibilityK::default())
}

#[test]
fn only_newer_hints_count() {
    let mut map = small();
    let id = PartitionId(1);
    assert_eq!(map.coordinator(id), None);
    assert!(map.hint(id, reign(3, 1)));
    assert!(!map.hint(id, reign(2, 9)) && !map.hint(id, reign(3, 1)));
    assert!(!map.hint(id, Reign { epoch: Epoch { number: 3, campaigner: None }, ..reign(0, 0) }));
    assert_eq!(map.coordinator(id), Some(peer(1)));
    assert!(map.hint(id, reign(4, 2)));
    assert_eq!((map.coordinator(id), map.reign(id)), (Some(peer(2)), reign(4, 2)));
}

#[test]
fn a_part_changes_what_is_older_and_nothing_else() {
    let mut map = small();
    let before = map.clone();
    assert!(!map.learn(&part(4, 7, (0, 99), &[1])) || map.partition(key(50)) == PartitionId(0));
    assert_eq!(map.partition(key(50)), before.partition(key(50)));
    assert!(map.learn(&part(6, 7, (0, 99), &[9])));
    assert_eq!(map.partition(key(50)), PartitionId(7));
    assert_eq!(map.members(PartitionId(7)), Some(&members(&[9])));
    assert_eq!(map.partition(key(100)), PartitionId(0));
    assert_eq!(map.version(), version(6));
    assert!(!map.learn(&part(6, 7, (0, 99), &[9])), "nothing new");
}

#[test]
fn an_epoch_counts_within_its_generation() {
    let (mut map, id) = (Map::default(), PartitionId(0));
    assert!(map.hint(id, later(0, 9, 1)));
    assert!(map.hint(id, later(1, 1, 2)), "a forced recovery begins epochs anew");
    assert!(!map.hint(id, later(0, 10, 1)), "who has not heard of it tells nothing new");
    assert!(map.learn(&Part { reign: later(1, 2, 3), ..part(0, 0, (0, 0), &[]) }));
    assert_eq!(map.coordinator(id), Some(peer(3)));
}

#[test]
fn a_whole_map_overrules_a_lie_and_keeps_newer_epochs() {
    let mut map = small();
    map.learn(&part(u64::MAX, 66, (0, u64::MAX), &[9]));
    map.hint(PartitionId(1), reign(8, 3));
    assert_eq!(map.partition(key(0)), PartitionId(66));
    assert!(map.adopt(small()));
    assert_eq!(map.partition(key(0)), PartitionId(0));
    assert_eq!(map.reign(PartitionId(1)), reign(8, 3));
    assert!(!map.adopt(Map::default()), "older state is not adopted");
}

#[test]
fn tables_of_the_map_are_bounded() {
    let mut map = Map::default();
    let voters: Vec<u8> = (0..=u8::try_from(MEMBERS_MAX).unwrap()).collect();
    assert!(!map.learn(&part(1, 1, (0, 9), &voters)), "too many members");
    let ids = (0..2 * u32::try_from(PARTITIONS_MAX).unwrap()).map(PartitionId);
    assert_eq!(ids.filter(|id| map.hint(*id, reign(1, 1))).count(), PARTITIONS_MAX);
    assert_eq!(map.known.len(), PARTITIONS_MAX);
}

#[test]
fn w18_only_the_coordinator_takes_a_request_and_a_stranger_never_does() {
    let mut map = small();
    let at = key(0);
    let partition = map.partition(at);
    let voters: Vec<_> = map.members(partition).unwrap().voters.iter().copied().collect();
    let stranger = (1..=4).map(peer).find(|peer| !voters.contains(peer)).unwrap();
    assert!(matches!(map.answer(&voters[0], at), Some(Answer::Unavailable { .. })));
    let named =
        |number, peer| Reign { generation: 0, epoch: Epoch { number, campaigner: Some(peer) } };
    let newest = named(2, voters[1]);
    map.hint(partition, newest);
    assert_eq!(map.answer(&voters[1], at), None);
    let redirect = Answer::Redirect { partition, reign: newest };
    assert_eq!(map.answer(&voters[0], at), Some(redirect));
    let not_mine = Answer::NotMine(Box::new(map.part(at)));
    assert_eq!(map.answer(&stranger, at), Some(not_mine.clone()));
    // Not even when a hint names it: members are who the map says.
    map.hint(partition, named(3, stranger));
    assert!(matches!(map.answer(&stranger, at), Some(Answer::NotMine(_))));
}

/// After a split, an old map learns the child from the answer to its first request there.
#[test]
fn w230_one_answer_tells_where_the_keys_have_gone() {
    let mut old = small();
    let mut ranges = Ranges::founded(2).unwrap();
    ranges.split(PartitionId(0), key(1000), PartitionId(2)).unwrap();
    let nodes = Nodes::new((1..=4).map(|i| (peer(i), Node::new(weald_core::StoreId([i; 16])))));
    let new = Map::computed(version(9), &ranges, &nodes.unwrap(), ResponsibilityK::default());
    assert_eq!(old.partition(key(2000)), PartitionId(0));
    assert!(old.learn(&new.part(key(2000))));
    for at in [0, 999, 1000, 1 << 62, u64::MAX] {
        assert_eq!(old.partition(key(at)), new.partition(key(at)), "{at}");
    }
    assert_eq!(old.members(PartitionId(2)), new.members(PartitionId(2)));
}

proptest! {
    /// Whoever has heard the same, in whatever order and however often, names the same coordinator:
    /// it follows from the newest epoch.
    #[test]
    fn w35_w38_w58_the_same_epochs_name_the_same_coordinator_everywhere(
        hints in proptest::collection::vec((0_u32..2, 0_u64..5, 1_u8..5), 1..20),
        order in any::<u64>(),
    ) {
        let mut shuffled: Vec<_> = hints.iter().chain(&hints).copied().collect();
        shuffled.sort_by_key(|(a, b, c)| Digest::of("order", &[&[
            order.to_le_bytes(), u64::from(*a).to_le_bytes(), b.to_le_bytes(),
            u64::from(*c).to_le_bytes(),
        ].concat()]));
        let (mut one, mut other) = (small(), small());
        for (id, number, campaigner) in &hints {
            one.hint(PartitionId(*id), reign(*number, *campaigner));
        }
        for (id, number, campaigner) in shuffled {
            let hint = Part { reign: reign(number, campaigner), ..part(0, id, (0, 0), &[]) };
            other.learn(&hint);
        }
        for id in [PartitionId(0), PartitionId(1)] {
            prop_assert_eq!(one.coordinator(id), other.coordinator(id));
            prop_assert_eq!(one.reign(id), other.reign(id));
        }
    }
}
