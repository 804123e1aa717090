//! Quorums over every small configuration, and what may be one.

use std::collections::BTreeSet;

use super::*;

fn member(n: u8) -> Member {
    Member {
        peer: PeerId::from_digest(Digest::from_bytes([n; 32])),
        store: StoreId([n; 16]),
        life: 1,
    }
}

fn members(range: std::ops::Range<u8>) -> BTreeSet<Member> {
    range.map(member).collect()
}

fn voters(range: std::ops::Range<u8>) -> Configuration {
    Configuration::founding(members(range), []).unwrap()
}

/// All subsets of the voters that are quorums, as bit sets over the members 0..12.
fn quorums(configuration: &Configuration) -> Vec<u16> {
    let is_in = |set: u16, member: &Member| {
        let n = member.peer.digest().as_bytes()[0];
        set & (1 << n) != 0
    };
    (0..1 << 8).filter(|set| configuration.is_quorum(|m| is_in(*set, m))).collect()
}

#[test]
fn w12_w217_any_two_quorums_meet_also_over_a_joint_change() {
    let sizes = [1u8, 3, 5];
    for (from, to, shift) in sizes
        .iter()
        .flat_map(|a| sizes.iter().map(move |b| (*a, *b)))
        .flat_map(|(a, b)| (0..4u8).map(move |s| (a, b, s)))
    {
        let old = voters(0..from);
        let joint = old.joint(members(shift..shift + to));
        let new = joint.settled();
        for (one, other) in
            [(&old, &old), (&old, &joint), (&joint, &joint), (&joint, &new), (&new, &new)]
        {
            let (one, other) = (quorums(one), quorums(other));
            assert!(!one.is_empty() && one.iter().all(|a| other.iter().all(|b| a & b != 0)));
        }
    }
}

#[test]
fn w10_w131_a_quorum_value_is_what_a_majority_of_each_side_has_reached() {
    let value = |configuration: &Configuration, reached: [u64; 5]| {
        configuration.quorum_value(|m| reached[usize::from(m.peer.digest().as_bytes()[0])])
    };
    assert_eq!(value(&voters(0..1), [7, 0, 0, 0, 0]), 7);
    assert_eq!(value(&voters(0..3), [7, 5, 0, 0, 0]), 5);
    assert_eq!(value(&voters(0..3), [7, 0, 0, 9, 9]), 0);
    assert_eq!(value(&voters(0..5), [1, 2, 3, 4, 5]), 3);
    let joint = voters(0..3).joint(members(2..5));
    assert_eq!(value(&joint, [9, 9, 0, 4, 3]), 3, "a majority of the old and one of the new");
    assert_eq!(value(&joint, [9, 0, 2, 4, 3]), 2);
}

#[test]
fn voters_are_odd_and_nobody_is_named_twice() {
    let even = Configuration::founding(members(0..2), []);
    assert_eq!(even, Err(ConfigurationError::VoterCount { count: 2 }));
    assert_eq!(Configuration::founding([], []), Err(ConfigurationError::VoterCount { count: 0 }));
    let both = Configuration::founding(members(0..3), members(2..4));
    assert_eq!(both, Err(ConfigurationError::NamedTwice));
    let second_life = Member { life: 2, ..member(0) };
    let lives = Configuration::founding([member(0), second_life, member(1)], []);
    assert_eq!(lives, Err(ConfigurationError::NamedTwice));
    assert!(Configuration::founding(members(0..3), [second_life]).is_ok());
}

#[test]
fn a_joint_change_promotes_learners_and_settles_on_the_new_voters() {
    let start = Configuration::founding(members(0..3), [member(3)]).unwrap();
    let joint = start.joint([member(0), member(1), member(3)].into());
    assert!(joint.is_joint() && joint.is_voter(&member(2)) && joint.learners.is_empty());
    assert_eq!(joint.check(), Ok(()));
    let settled = joint.settled();
    assert!(!settled.is_joint() && !settled.contains(&member(2)));
    assert_eq!((start.id.0, joint.id.0, settled.id.0), (0, 1, 2));
}
