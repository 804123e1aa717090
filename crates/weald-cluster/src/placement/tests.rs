//! Placement: spread, balance, movement, and one answer for all.

use proptest::prelude::*;
use weald_core::{Digest, PlacementKey, StoreId, Time, codec};

use super::{limits::NODES_MAX, preference::Seniority, *};
use crate::routing::{Map, Version};

/// A kind for round trips only.
const KIND: codec::Kind = codec::Kind(127);

fn peer(i: u64) -> PeerId {
    PeerId::from_digest(Digest::of("test peer", &[&i.to_le_bytes()]))
}

fn node(weight: u16, domain: &str) -> Node {
    let weight = Weight::new(weight).unwrap();
    Node { weight, domain: domain.parse().unwrap(), ..Node::new(StoreId([1; 16])) }
}

/// Nodes 0..count with the default weight and no domain.
fn equal(count: u64) -> Nodes {
    Nodes::new((0..count).map(|i| (peer(i), node(100, "")))).unwrap()
}

fn k(count: u8) -> ResponsibilityK {
    count.try_into().unwrap()
}

fn partitions(count: u32) -> impl Iterator<Item = PartitionId> {
    (0..count).map(PartitionId)
}

/// Voters held by each node over `count` partitions.
fn shares(nodes: &Nodes, count: u32, k: ResponsibilityK) -> BTreeMap<PeerId, usize> {
    let mut shares: BTreeMap<_, _> = nodes.iter().map(|(peer, _)| (*peer, 0)).collect();
    for partition in partitions(count) {
        for voter in place(nodes, partition, k).voters {
            *shares.get_mut(&voter).unwrap() += 1;
        }
    }
    shares
}

/// Members that `after` has and `before` has not.
fn arrivals(before: &Placement, after: &Placement) -> Vec<PeerId> {
    let before: BTreeSet<_> = before.iter().collect();
    after.iter().filter(|peer| !before.contains(peer)).collect()
}

#[test]
fn w12_voters_are_odd_and_the_rest_learn() {
    let check = |up: u64, draining: u64, wanted: u8, voters: usize, learners: usize| {
        let mut nodes = equal(up + draining);
        (up..up + draining).for_each(|i| nodes.set_state(peer(i), NodeState::Draining).unwrap());
        for partition in partitions(16) {
            let placement = place(&nodes, partition, k(wanted));
            let counts = (placement.voters.len(), placement.learners.len());
            assert_eq!(counts, (voters, learners), "up={up} draining={draining} k={wanted}");
            assert_eq!(placement.members().count(), voters + learners, "nobody twice");
        }
    };
    check(0, 0, 3, 0, 0);
    check(1, 0, 3, 1, 0);
    check(2, 0, 3, 1, 1);
    check(3, 0, 3, 3, 0);
    check(7, 0, 3, 3, 0);
    check(7, 0, 1, 1, 0);
    check(3, 0, 5, 3, 0);
    check(4, 0, 5, 3, 1);
    check(5, 0, 5, 5, 0);
    check(1, 1, 3, 1, 0);
    check(2, 1, 3, 3, 0);
    check(3, 2, 5, 3, 0);
    check(0, 2, 3, 1, 0);
}

/// Majorities as sets: with voters 1, 3, 5 and in a joint change from any to any placement, two
/// quorums always share a member.
#[test]
fn w12_any_two_quorums_of_placements_and_their_joint_changes_intersect() {
    let is_majority = |set: &BTreeSet<PeerId>, voters: &BTreeSet<PeerId>| {
        set.intersection(voters).count() > voters.len() / 2
    };
    for (few, many) in [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (3, 6)] {
        let voters = |count| place(&equal(count), PartitionId(3), k(5)).members().voters;
        let (old, new) = (voters(few), voters(many));
        let all: Vec<_> = old.union(&new).copied().collect();
        let sets: Vec<BTreeSet<_>> = (0..1_u32 << all.len())
            .map(|bits| (0..all.len()).filter(|i| bits >> i & 1 == 1).map(|i| all[i]).collect())
            .collect();
        let joint = sets.iter().filter(|set| is_majority(set, &old) && is_majority(set, &new));
        for quorum in joint {
            for other in sets.iter().filter(|set| is_majority(set, &old) || is_majority(set, &new))
            {
                assert!(!quorum.is_disjoint(other), "{few} -> {many}");
            }
        }
    }
}

#[test]
fn an_even_number_of_voters_cannot_be_asked_for() {
    for count in 0..=u8::MAX {
        let is_allowed = [1, 3, 5].contains(&count);
        assert_eq!(ResponsibilityK::try_from(count).is_ok(), is_allowed, "{count}");
        let bytes = codec::encode(KIND, &count);
        assert_eq!(codec::decode::<ResponsibilityK>(KIND, &bytes).is_ok(), is_allowed);
    }
    assert_eq!(ResponsibilityK::default().count(), 3);
}

/// What another build, machine or version must come to as well. A change of these lines moves data
/// in every network.
#[test]
fn ps281_placements_are_fixed_for_all_time() {
    let nodes =
        Nodes::new((0..6).map(|i| (peer(i), node(50 * (u16::try_from(i).unwrap() + 1), ""))))
            .unwrap();
    let voters = |partition| -> Vec<u64> {
        let placement = place(&nodes, PartitionId(partition), k(3));
        let index = |id: &PeerId| (0..6).find(|i| peer(*i) == *id).unwrap();
        placement.voters.iter().map(index).collect()
    };
    assert_eq!((0..8).map(voters).collect::<Vec<_>>(), GOLDEN);
}

const GOLDEN: [[u64; 3]; 8] =
    [[5, 3, 4], [5, 4, 2], [4, 5, 2], [5, 4, 0], [5, 3, 4], [1, 3, 5], [5, 2, 4], [4, 5, 2]];

#[test]
fn copies_are_spread_over_domains_first() {
    let list =
        (0..9).map(|i| (peer(i), node(100, ["a", "b", "c"][usize::try_from(i % 3).unwrap()])));
    let mut nodes = Nodes::new(list).unwrap();
    let domains = |nodes: &Nodes, placement: &Placement| -> BTreeSet<Domain> {
        placement.iter().map(|peer| nodes.node(&peer).unwrap().domain.clone()).collect()
    };
    for partition in partitions(256) {
        assert_eq!(domains(&nodes, &place(&nodes, partition, k(3))).len(), 3);
        assert_eq!(domains(&nodes, &place(&nodes, partition, k(5))).len(), 3);
    }
    // A domain with much weight does not get a second copy while another has none.
    nodes.put(peer(20), node(u16::MAX, "a")).unwrap();
    for partition in partitions(256) {
        assert_eq!(domains(&nodes, &place(&nodes, partition, k(3))).len(), 3);
    }
}

#[test]
fn a_draining_node_keeps_only_what_would_fall_below_three_voters() {
    let mut nodes = equal(4);
    nodes.set_state(peer(0), NodeState::Draining).unwrap();
    nodes.set_state(peer(1), NodeState::Gone).unwrap();
    for partition in partitions(64) {
        let placement = place(&nodes, partition, k(3));
        assert_eq!(placement.voters.last(), Some(&peer(0)), "taken last, to have three");
        assert!(!placement.iter().any(|id| id == peer(1)), "what is gone holds nothing");
    }
    nodes.put(peer(9), node(1, "")).unwrap();
    for partition in partitions(64) {
        assert!(!place(&nodes, partition, k(3)).iter().any(|id| id == peer(0)));
    }
}

#[test]
fn shares_of_equal_nodes_are_equal_within_the_stated_bound() {
    for (count, partition_count, voters) in [(4, 16, 3), (7, 64, 3), (9, 256, 5), (20, 4096, 3)] {
        let total = u64::from(partition_count) * u64::from(voters);
        for (peer, share) in shares(&equal(count), partition_count, k(voters)) {
            let difference = (share as u64 * count).abs_diff(total); // times `count`
            let is_within = difference * difference <= 25 * total * count;
            assert!(is_within, "nodes={count} peer={peer} share={share} total={total}");
        }
    }
}

#[test]
fn shares_follow_weights() {
    let weights = [50_u16, 100, 100, 200, 400];
    let nodes =
        Nodes::new((0..5).map(|i| (peer(i), node(weights[usize::try_from(i).unwrap()], ""))));
    let nodes = nodes.unwrap();
    let shares = shares(&nodes, 4096, k(1));
    for (i, weight) in weights.iter().enumerate() {
        let share = shares[&peer(i as u64)];
        let expect = 4096 * usize::from(*weight) / 850;
        assert!(share.abs_diff(expect) * 10 <= expect, "weight={weight} {share} {expect}");
    }
}

/// One of ten equal nodes holds 3/10 of the partitions; only those may move, each by one member.
#[test]
fn a_join_or_a_leave_moves_only_what_the_node_holds() {
    let (nine, ten) = (equal(9), equal(10));
    let mut moved = 0;
    for partition in partitions(1024) {
        let (before, after) = (place(&nine, partition, k(3)), place(&ten, partition, k(3)));
        let joined = arrivals(&before, &after);
        assert!(joined.iter().all(|id| *id == peer(9)), "only the new node gains");
        assert!(arrivals(&after, &before).len() == joined.len(), "one for one");
        moved += joined.len();
    }
    let fair = 1024 * 3 / 10;
    assert!(moved.abs_diff(fair) * 5 <= fair, "moved={moved} fair={fair}");
}

#[test]
fn w37_w56_seniority_is_a_total_order_with_ties_by_peer_id() {
    let at = |started, i| Seniority { started: Time::from_millis(started), peer: peer(i) };
    let first = |a: u64, b: u64| if peer(a) < peer(b) { a } else { b };
    assert_eq!(preference::rank([at(5, 1), at(4, 2)], &peer(2)), Some(0));
    assert_eq!(preference::rank([at(5, 1), at(5, 2)], &peer(first(1, 2))), Some(0));
    assert_eq!(preference::rank([at(5, 1)], &peer(2)), None);
    // An old identity that is still gossiped gives a restarted node no seniority.
    assert_eq!(preference::order([at(1, 1), at(5, 2), at(9, 1)]), [peer(2), peer(1)]);
}

/// The identity behind a peer may change, by a new disk, a restart or another place in the list;
/// what it should hold does not, and no second entry of it can take a share.
#[test]
fn r11_a_new_identity_of_a_known_peer_changes_no_placement() {
    let mut nodes = equal(5);
    let before: Vec<_> = partitions(64).map(|p| place(&nodes, p, k(3))).collect();
    let old = nodes.put(peer(2), Node { store: StoreId([9; 16]), ..node(100, "") }).unwrap();
    assert_eq!(old.unwrap().store, StoreId([1; 16]), "the new identity replaced the old one");
    assert_eq!(nodes.count(), 5);
    assert_eq!(partitions(64).map(|p| place(&nodes, p, k(3))).collect::<Vec<_>>(), before);
    let twice = [(peer(2), node(100, "")), (peer(2), node(1, ""))];
    assert_eq!(Nodes::new(twice), Err(NodesError::Duplicate(peer(2))));
}

#[test]
fn the_list_of_nodes_is_bounded_and_checked() {
    let mut nodes = equal(NODES_MAX as u64);
    assert_eq!(nodes.put(peer(u64::MAX), node(1, "")), Err(NodesError::Full));
    assert!(nodes.put(peer(0), node(1, "")).unwrap().is_some(), "replacing needs no room");
    assert_eq!(
        nodes.set_weight(peer(u64::MAX), Weight::DEFAULT),
        Err(NodesError::NoSuchNode(peer(u64::MAX)))
    );
    assert!(nodes.remove(&peer(0)).is_some() && nodes.node(&peer(0)).is_none());
    assert_eq!("a".repeat(65).parse::<Domain>(), Err(NodesError::Domain { bytes: 65 }));
    assert!("a\n".parse::<Domain>().is_err());
    assert_eq!(Weight::new(0), None);
}

/// All sizes of the row: up to 7 nodes, 64 partitions, 5 voters. The storage side asks [`place`]
/// with the committed lists; the router holds a map that another machine computed from the same
/// lists in another order and sent.
#[test]
fn r14_router_and_storage_agree() {
    for (count, voters) in (1..=7).flat_map(|n| [1, 3, 5].map(|k| (n, k))) {
        let storage = equal(count);
        let reversed = Nodes::new((0..count).rev().map(|i| (peer(i), node(100, "")))).unwrap();
        for partition_count in 1..=64 {
            let ranges = Ranges::founded(partition_count).unwrap();
            let computed = Map::computed(Version::default(), &ranges, &reversed, k(voters));
            let router: Map = codec::decode(KIND, &codec::encode(KIND, &computed)).unwrap();
            for i in 0..2 * u64::from(partition_count) {
                let key = PlacementKey::from_u64(i * (u64::MAX / (2 * u64::from(partition_count))));
                let partition = ranges.partition(key);
                assert_eq!(router.partition(key), partition);
                let members = place(&storage, partition, k(voters)).members();
                assert_eq!(router.members(partition), Some(&members));
            }
        }
    }
}

fn any_nodes() -> impl Strategy<Value = Nodes> {
    let entry = (0_u64..40, 1_u16..500, 0_usize..5, 0_usize..4);
    proptest::collection::vec(entry, 0..10).prop_map(|list| {
        let mut nodes = Nodes::default();
        for (id, weight, domain, state) in list {
            let states = [NodeState::Up, NodeState::Up, NodeState::Draining, NodeState::Gone];
            let domain = ["", "a", "b", "c", "d"][domain];
            nodes.put(peer(id), Node { state: states[state], ..node(weight, domain) }).unwrap();
        }
        nodes
    })
}

proptest! {
    /// A join, a leave and a change of weight each move at most one member of a partition, and
    /// nobody but the node itself gains by its joining or growing.
    #[test]
    fn one_change_moves_at_most_one_member(
        nodes in any_nodes(), id in 40_u64..50, weight in 1_u16..500, new_weight in 1_u16..500,
        domain in 0_usize..5, wanted in prop::sample::select(vec![1_u8, 3, 5]),
    ) {
        let up: Vec<_> = nodes.iter().filter(|(_, node)| node.state == NodeState::Up)
            .map(|(peer, node)| (*peer, node.clone())).collect();
        let without = Nodes::new(up).unwrap();
        let mut with = without.clone();
        with.put(peer(id), node(weight, ["", "a", "b", "c", "d"][domain])).unwrap();
        let mut changed = with.clone();
        changed.set_weight(peer(id), Weight::new(new_weight).unwrap()).unwrap();
        for partition in partitions(24) {
            let [a, b, c] = [&without, &with, &changed].map(|n| place(n, partition, k(wanted)));
            prop_assert!(arrivals(&a, &b).iter().all(|p| *p == peer(id)));
            prop_assert!(arrivals(&b, &a).len() <= 1);
            let grown = if new_weight >= weight { arrivals(&b, &c) } else { arrivals(&c, &b) };
            prop_assert!(grown.iter().all(|p| *p == peer(id)));
            prop_assert!(arrivals(&b, &c).len() <= 1);
        }
    }

    #[test]
    fn placement_is_sound_for_any_list(
        nodes in any_nodes(), wanted in prop::sample::select(vec![1_u8, 3, 5]),
        partition in any::<u32>(),
    ) {
        let placement = place(&nodes, PartitionId(partition), k(wanted));
        let members = placement.members();
        prop_assert_eq!(members.count(), placement.iter().count(), "nobody twice");
        prop_assert!(placement.iter().count() <= usize::from(wanted));
        prop_assert!(placement.voters.is_empty() || placement.voters.len() % 2 == 1);
        let state = |peer: &PeerId| nodes.node(peer).unwrap().state;
        prop_assert!(members.voters.iter().all(|peer| state(peer) != NodeState::Gone));
        prop_assert!(members.learners.iter().all(|peer| state(peer) == NodeState::Up));
        let is_empty = nodes.count_in(NodeState::Up) + nodes.count_in(NodeState::Draining) == 0;
        prop_assert_eq!(placement.voters.is_empty(), is_empty);
    }

    /// A clock that is an hour off changes who is preferred, never who there is to choose from.
    #[test]
    fn w56_w37_a_wrong_clock_changes_only_the_preference(
        stamps in proptest::collection::vec((0_u64..4, 0_u64..8), 1..8), skewed in 0_u64..8,
    ) {
        let hour = 3_600_000;
        let members = |skew: u64| stamps.iter().map(move |(started, id)| Seniority {
            started: Time::from_millis(hour + started + if *id == skewed { skew } else { 0 }),
            peer: peer(*id),
        });
        let (plain, fast) = (preference::order(members(0)), preference::order(members(hour)));
        let mut reversed: Vec<_> = members(0).collect();
        reversed.reverse();
        prop_assert_eq!(&preference::order(reversed), &plain, "the order of inputs is nothing");
        let without = |order: &[PeerId]| -> Vec<_> {
            order.iter().copied().filter(|id| *id != peer(skewed)).collect()
        };
        prop_assert_eq!(without(&plain), without(&fast), "nobody else moves");
        prop_assert_eq!(plain.len(), fast.len());
    }
}
