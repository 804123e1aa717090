//! Three nodes in one process, with real logs and engines, over a network within the process.

mod rig;

use std::time::Duration;

use rig::{Cluster, put};
use weald_core::{Outcome, PartitionId};

use super::Answer;

const PARTITION: PartitionId = PartitionId(3);

#[test]
fn three_members_commit_and_apply_alike() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let coordinator = cluster.coordinator(PARTITION);
    for number in 0..20 {
        let answer = cluster.node(coordinator).write(PARTITION, put(number));
        assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    }
    cluster.wait_equal(PARTITION);
    assert!(cluster.node(coordinator).members().figures().proposed >= 20);
}

#[test]
fn w59_w125_another_member_takes_over_and_the_first_catches_up_after_its_restart() {
    let mut cluster = Cluster::on_disks(3);
    cluster.found(PARTITION, 3);
    let first = cluster.coordinator(PARTITION);
    for number in 0..5 {
        cluster.write(PARTITION, put(number));
    }
    cluster.kill(first);
    let second = cluster.coordinator(PARTITION);
    assert_ne!(first, second);
    for number in 5..10 {
        cluster.write(PARTITION, put(number));
    }
    cluster.start(first);
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(first).count(PARTITION), 10);
}

#[test]
fn w26_what_was_acknowledged_outlives_a_crash_of_all() {
    let mut cluster = Cluster::on_disks(3);
    cluster.found(PARTITION, 3);
    for number in 0..5 {
        cluster.write(PARTITION, put(number));
    }
    (0..3).for_each(|node| cluster.kill(node));
    (0..3).for_each(|node| cluster.start(node));
    cluster.write(PARTITION, put(5));
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(0).count(PARTITION), 6);
}

#[test]
fn a_linearizable_read_at_a_follower_sees_what_was_acknowledged_before() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let coordinator = cluster.coordinator(PARTITION);
    let follower = (coordinator + 1) % 3;
    for number in 0..10 {
        cluster.write(PARTITION, put(number));
        let index = cluster.node(follower).read_point(PARTITION).unwrap();
        assert!(index.0 > 0);
        assert_eq!(cluster.node(follower).count(PARTITION), number + 1);
    }
}

#[test]
fn w64_a_minority_refuses_and_a_majority_goes_on() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let alone = cluster.coordinator(PARTITION);
    cluster.write(PARTITION, put(0));
    cluster.isolate(alone);
    let other = cluster.wait_coordinator_but(PARTITION, alone);
    assert_ne!(other, alone);
    let answer = cluster.node(other).write(PARTITION, put(1));
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    let refused = cluster.node(alone).read_point_within(PARTITION, Duration::from_millis(300));
    assert!(refused.is_err(), "a read in the minority is not answered: {refused:?}");
    cluster.heal();
    cluster.wait_equal(PARTITION);
}
