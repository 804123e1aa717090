//! Three nodes in one process, with real logs and engines, over a network within the process.

mod diverging;
mod faults;
mod interrupted;
mod order;
mod recovery;
mod rig;
mod spanning;
mod speculation;

use std::time::Duration;

use rig::{Cluster, put, wait};
use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{self, Change},
};
use weald_core::{Outcome, PartitionId, Payload, UnknownCause};

use super::{
    Answer, MembersConfig, PartitionStatus, ProposeError, ReadRefused, Standing, TransferRefused,
};
use crate::consistency::Consistency;

const PARTITION: PartitionId = PartitionId(3);

#[test]
fn w7_d17_three_members_commit_and_apply_alike() {
    let cluster = Cluster::in_memory(3);
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
fn what_a_start_applied_anew_is_checkpointed_long_before_the_interval_is_over() {
    let mut cluster = Cluster::on_disks(3);
    cluster.found(PARTITION, 3);
    for number in 0..5 {
        cluster.write(PARTITION, put(number));
    }
    cluster.kill(0);
    cluster.start(0);
    cluster.wait_equal(PARTITION);
    let covers_all = |status: PartitionStatus| status.checkpointed == status.applied;
    wait(|| cluster.node(0).status(PARTITION).is_some_and(covers_all));
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

/// Settings under which a member that was away soon needs a snapshot.
fn short_logs() -> MembersConfig {
    MembersConfig {
        replica: replica::Config { tail_bytes_max: 1024, ..Default::default() },
        checkpoint_log_bytes: 2048,
        log_entries_kept: 2,
        ..Default::default()
    }
}

#[test]
fn w84_w114_a_member_that_was_away_too_long_installs_a_snapshot() {
    let mut cluster = Cluster::on_disks_with(3, short_logs());
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    cluster.wait_equal(PARTITION);
    let away = (cluster.coordinator(PARTITION) + 1) % 3;
    cluster.kill(away);
    for number in 1..60 {
        cluster.write(PARTITION, put(number));
    }
    for node in (0..3).filter(|node| *node != away) {
        cluster.node(node).members().checkpoint().blocking_recv().unwrap().unwrap();
    }
    cluster.start(away);
    cluster.wait_equal(PARTITION);
    assert!(cluster.node(away).members().figures().snapshots_installed > 0);
    assert_eq!(cluster.node(away).count(PARTITION), 60);
    cluster.kill(away);
    cluster.start(away);
    cluster.write(PARTITION, put(60));
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(away).count(PARTITION), 61);
}

#[test]
fn r16_a_member_whose_disk_was_replaced_comes_back_with_another_life() {
    let mut cluster = Cluster::on_disks(3);
    cluster.found(PARTITION, 3);
    for number in 0..10 {
        cluster.write(PARTITION, put(number));
    }
    let coordinator = cluster.coordinator(PARTITION);
    let replaced = (coordinator + 1) % 3;
    cluster.kill(replaced);
    cluster.replace_disk(replaced);
    cluster.start(replaced);
    let known = cluster.node(coordinator).status(PARTITION).unwrap().configuration;
    let reborn = Member { life: 1, ..cluster.node(replaced).member() };
    cluster.change(PARTITION, &Change::AddLearner(reborn));
    let adopted = cluster.node(replaced).members().adopt(PARTITION, known, reborn);
    adopted.blocking_recv().unwrap().unwrap();
    wait(|| {
        let status = cluster.node(coordinator).status(PARTITION).unwrap();
        status.configuration.voters.contains(&reborn) && !status.configuration.is_joint()
    });
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(replaced).count(PARTITION), 10);
    // Its vote counts: without it there is no majority now.
    let third = (coordinator + 2) % 3;
    cluster.kill(third);
    cluster.write(PARTITION, put(10));
    cluster.kill(replaced);
    cluster.start(replaced);
    cluster.write(PARTITION, put(11));
    assert_eq!(cluster.node(replaced).status(PARTITION).unwrap().member, reborn);
}

#[test]
fn sixteen_partitions_share_a_log_and_a_loop_and_outlive_a_restart_of_all() {
    let mut cluster = Cluster::on_disks(3);
    let partitions: Vec<_> = (0..16).map(PartitionId).collect();
    for partition in &partitions {
        cluster.found(*partition, 3);
    }
    for partition in &partitions {
        cluster.write(*partition, put(0));
    }
    (0..3).for_each(|node| cluster.kill(node));
    (0..3).for_each(|node| cluster.start(node));
    for partition in &partitions {
        cluster.write(*partition, put(1));
        cluster.wait_equal(*partition);
        assert_eq!(cluster.node(2).count(*partition), 2);
    }
    assert_eq!(cluster.node(0).members().partitions().len(), 16);
}

#[test]
fn a_partition_grows_from_one_voter_to_three() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 1);
    cluster.write(PARTITION, put(0));
    let known = cluster.node(0).status(PARTITION).unwrap().configuration;
    for node in [1, 2] {
        let member = cluster.node(node).member();
        let adopted = cluster.node(node).members().adopt(PARTITION, known.clone(), member);
        let member = adopted.blocking_recv().unwrap().unwrap();
        cluster.change(PARTITION, &Change::AddLearner(member));
    }
    let voters = (0..3).map(|node| cluster.node(node).member()).collect();
    cluster.change(PARTITION, &Change::SetVoters(voters));
    cluster.write(PARTITION, put(1));
    cluster.wait_equal(PARTITION);
    cluster.kill(0);
    cluster.write(PARTITION, put(2));
    assert_eq!(cluster.node(1).count(PARTITION).max(cluster.node(2).count(PARTITION)), 3);
}

#[test]
fn a_member_that_was_removed_lives_here_again_with_nothing_of_its_earlier_life() {
    // Its log still has all entries, or has let the first ones go.
    for config in [MembersConfig::default(), short_logs()] {
        let mut cluster = Cluster::on_disks_with(2, config);
        cluster.found(PARTITION, 1);
        let known = cluster.node(0).status(PARTITION).unwrap().configuration;
        let mut written = 0;
        for life in 0..3 {
            let member = Member { life, ..cluster.node(1).member() };
            let adopted = cluster.node(1).members().adopt(PARTITION, known.clone(), member);
            assert_eq!(adopted.blocking_recv().unwrap(), Ok(member));
            cluster.change(PARTITION, &Change::AddLearner(member));
            for _ in 0..30 {
                cluster.write(PARTITION, put(written));
                written += 1;
            }
            cluster.wait_equal(PARTITION);
            assert_eq!(cluster.node(1).count(PARTITION), written);
            cluster.node(1).members().checkpoint().blocking_recv().unwrap().unwrap();
            if life == 1 {
                cluster.kill(1);
                cluster.start(1);
                cluster.wait_equal(PARTITION);
            }
            cluster.change(PARTITION, &Change::RemoveLearner(member));
            cluster.node(1).members().retire(PARTITION).blocking_recv().unwrap();
            cluster.write(PARTITION, put(written));
            written += 1;
        }
    }
}

#[test]
fn w18_who_does_not_coordinate_says_who_does_and_logs_nothing() {
    let cluster = Cluster::in_memory(4);
    cluster.found(PARTITION, 3);
    let coordinator = cluster.coordinator(PARTITION);
    cluster.wait_equal_among(PARTITION, 3);
    let follower = (coordinator + 1) % 3;
    let hint = Some(cluster.node(coordinator).member());
    let answer = cluster.node(follower).write(PARTITION, put(0));
    assert_eq!(answer, Answer::Refused(ProposeError::NotCoordinator { hint }));
    let answer = cluster.node(3).write(PARTITION, put(0));
    assert_eq!(answer, Answer::Refused(ProposeError::NotMember));
    assert_eq!(cluster.node(3).read_point(PARTITION), Err(ReadRefused::NotMember));
}

#[test]
fn w187_a_coordination_is_handed_over_without_a_write_lost() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let first = cluster.coordinator(PARTITION);
    cluster.write(PARTITION, put(0));
    let to = (first + 1) % 3;
    let member = cluster.node(to).member();
    wait(|| {
        let begun = cluster.node(first).members().transfer(PARTITION, member);
        !matches!(begun.blocking_recv().unwrap(), Err(TransferRefused::NotMember))
            && cluster.node(to).status(PARTITION).unwrap().is_coordinator()
    });
    cluster.write(PARTITION, put(1));
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(first).count(PARTITION), 2);
}

#[test]
fn a_member_that_closes_hands_over_and_leaves_nothing_to_replay() {
    let mut cluster = Cluster::on_disks(3);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    let first = cluster.coordinator(PARTITION);
    let applied = cluster.node(first).status(PARTITION).unwrap().applied;
    cluster.node(first).members().close().blocking_recv().unwrap().unwrap();
    cluster.kill(first);
    assert_ne!(cluster.coordinator(PARTITION), first);
    cluster.start(first);
    assert!(cluster.node(first).status(PARTITION).unwrap().checkpointed >= applied);
    cluster.wait_equal(PARTITION);
}

#[test]
fn w11_a_write_without_a_majority_is_unknown_by_its_deadline_and_told_when_it_is_resolved() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    let coordinator = cluster.coordinator(PARTITION);
    cluster.isolate(coordinator);
    let payload = put(1);
    let patience = Duration::from_millis(200);
    let answer = cluster.node(coordinator).write_within(PARTITION, payload.clone(), patience);
    assert_eq!(answer, Answer::Settled(Outcome::Unknown(UnknownCause::Deadline)));
    cluster.heal();
    cluster.write(PARTITION, payload.clone());
    let id = id_of(&payload);
    let settled = cluster.coordinator(PARTITION);
    let known = cluster.node(settled).members().standing(PARTITION, id).blocking_recv().unwrap();
    assert!(matches!(known, Standing::Settled(Outcome::Committed(_))), "{known:?}");
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(0).count(PARTITION), 2, "the retry was not applied twice");
}

fn id_of(payload: &Payload) -> weald_core::TransactionId {
    match payload {
        Payload::Transaction(request) => request.id,
        other => panic!("not a transaction: {other:?}"),
    }
}

#[test]
fn local_and_bounded_reads_are_answered_where_the_coordinator_is_heard() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    cluster.wait_equal(PARTITION);
    let alone = (cluster.coordinator(PARTITION) + 1) % 3;
    let (stale, long) = (Consistency::Stale(Duration::from_secs(2)), Duration::from_secs(20));
    assert!(cluster.node(alone).read_as(PARTITION, stale, long).is_ok());
    assert!(cluster.node(alone).read_as(PARTITION, Consistency::Local, long).is_ok());
    cluster.isolate(alone);
    let soon = Duration::from_millis(100);
    let fresh = Consistency::Stale(Duration::from_millis(1));
    assert!(cluster.node(alone).read_as(PARTITION, fresh, soon).is_err());
    assert!(cluster.node(alone).read_as(PARTITION, Consistency::Local, soon).is_ok());
}

#[test]
fn a_member_founded_twice_says_that_it_lives_here() {
    let cluster = Cluster::in_memory(1);
    cluster.found(PARTITION, 1);
    let member = cluster.node(0).member();
    let configuration = Configuration::founding([member], []).unwrap();
    let again = cluster.node(0).members().found(PARTITION, configuration).blocking_recv().unwrap();
    assert_eq!(again, Err(super::HostError::Hosted(member)));
    let members = cluster.node(0).members();
    members.retire(PARTITION).blocking_recv().unwrap();
    assert!(members.hosted(PARTITION).is_none());
}
