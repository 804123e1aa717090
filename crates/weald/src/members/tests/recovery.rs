//! Forced recovery of real members: one goes on alone from its directory, others join it anew.

use std::{collections::BTreeSet, time::Duration};

use weald_cluster::{
    configuration::{Configuration, Member},
    recovery::{Authority, RecoveryError},
    replica::{self, Change},
};
use weald_collections::RawTree;
use weald_core::{
    Digest, LogIndex, Payload, SeededEntropy,
    identity::{Identity, KeyStore},
};

use super::{
    PARTITION,
    rig::{Cluster, put, put_into, store_of, transaction, wait},
};
use crate::{
    backend::Plight,
    members::{Answer, BeginError, MemberHealth, MembersConfig, PartitionStatus},
};

fn administrator() -> Identity {
    Identity::generate(&mut SeededEntropy::new(77))
}

fn authority() -> Authority {
    let administrators = [administrator().public().peer_id()].into();
    Authority { network: Digest::of("network", &[]), administrators }
}

fn config() -> MembersConfig {
    let replica = replica::Config { authority: authority(), ..replica::Config::default() };
    MembersConfig { replica, ..MembersConfig::default() }
}

/// Three nodes that have applied five entries; then all processes end.
fn stopped() -> Cluster {
    let mut cluster = Cluster::on_disks_with(3, config());
    cluster.found(PARTITION, 3);
    (0..5).for_each(|number| cluster.write(PARTITION, put(number)));
    cluster.wait_equal(PARTITION);
    (0..3).for_each(|node| cluster.kill(node));
    cluster
}

/// A node joins as it would by the network's growth: under a life above all that were given.
fn join(cluster: &Cluster, node: usize, root: usize) -> Member {
    let status = cluster.node(cluster.coordinator(PARTITION)).status(PARTITION).unwrap();
    let life = u32::try_from(status.configuration.id.0 + 1).unwrap();
    let member = Member { life, ..cluster.node(node).member() };
    cluster.change(PARTITION, &Change::AddLearner(member));
    let founding = (0..3).map(|other| match other == root {
        true => cluster.node(other).member(),
        // What a lost disk was called.
        false => Member {
            store: store_of(u64::try_from(other).unwrap(), 0),
            ..cluster.node(other).member()
        },
    });
    let founding = Configuration::founding(founding, []).unwrap();
    let adopted = cluster.node(node).members().adopt(PARTITION, founding, member);
    adopted.blocking_recv().unwrap().unwrap();
    member
}

#[test]
fn w29_d65_a_survivor_goes_on_alone_and_fresh_nodes_become_voters() {
    let mut cluster = stopped();
    cluster.start(0);
    let refused = cluster.node(0).write_within(PARTITION, put(5), Duration::from_millis(300));
    assert!(!matches!(refused, Answer::Settled(_)), "{refused:?}");
    cluster.kill(0);
    let act = cluster.recover(0, PARTITION, (&authority(), &administrator())).unwrap();
    assert_eq!((act.generation, act.beginner), (1, cluster.node(0).member()));
    cluster.start(0);
    assert_eq!(cluster.coordinator(PARTITION), 0);
    (5..8).for_each(|number| cluster.write(PARTITION, put(number)));
    // Disks of the others are new.
    (1..3).for_each(|node| cluster.replace_disk(node));
    (1..3).for_each(|node| cluster.start(node));
    let joined = [1, 2].map(|node| join(&cluster, node, 0));
    cluster.wait_equal(PARTITION);
    let voters: BTreeSet<_> = joined.into_iter().chain([cluster.node(0).member()]).collect();
    cluster.change(PARTITION, &Change::SetVoters(voters));
    // They go on without the one that began, and remember over a restart.
    cluster.kill(0);
    let next = cluster.coordinator(PARTITION);
    cluster.write(PARTITION, put(8));
    cluster.kill(next);
    cluster.start(next);
    cluster.start(0);
    cluster.write(PARTITION, put(9));
    cluster.wait_equal(PARTITION);
    for node in 0..3 {
        assert_eq!(cluster.node(node).count(PARTITION), 10);
        let status = cluster.node(node).status(PARTITION).unwrap();
        assert_eq!(status.recovery.map(|act| act.generation), Some(1), "{node}");
    }
}

#[test]
fn w29_an_old_directory_that_comes_back_is_emptied_and_only_learns() {
    let mut cluster = stopped();
    cluster.recover(0, PARTITION, (&authority(), &administrator())).unwrap();
    cluster.start(0);
    cluster.write(PARTITION, put(5));
    cluster.start(1);
    cluster.start(2);
    wait(|| {
        [1, 2].into_iter().all(|node| {
            let status = cluster.node(node).status(PARTITION);
            status.is_some_and(|status| {
                status.health == MemberHealth::Well && status.recovery.is_some()
            })
        })
    });
    cluster.write(PARTITION, put(6));
    cluster.wait_equal(PARTITION);
    let status = cluster.node(0).status(PARTITION).unwrap();
    assert_eq!(status.configuration.voters, [cluster.node(0).member()].into());
    assert_eq!(status.configuration.learners.len(), 2);
    for node in 1..3 {
        let member = cluster.node(node).status(PARTITION).unwrap().member;
        assert!(
            member.life > cluster.node(node).member().life
                && cluster.node(node).count(PARTITION) == 7
        );
    }
}

#[test]
fn w29_a_recovery_by_a_strangers_key_and_a_second_one_change_nothing() {
    let mut cluster = stopped();
    let stranger = Identity::generate(&mut SeededEntropy::new(78));
    let refused = cluster.recover(0, PARTITION, (&authority(), &stranger));
    let peer = stranger.public().peer_id();
    assert!(
        matches!(&refused, Err(BeginError::Recovery(RecoveryError::NotAdministrator(key))) if *key == peer),
        "{refused:?}"
    );
    cluster.recover(0, PARTITION, (&authority(), &administrator())).unwrap();
    let again = cluster.recover(0, PARTITION, (&authority(), &administrator()));
    assert!(
        matches!(again, Err(BeginError::Recovery(RecoveryError::MajorityLives { count: 1 }))),
        "{again:?}"
    );
    cluster.start(0);
    cluster.write(PARTITION, put(5));
    assert_eq!(cluster.node(0).count(PARTITION), 6);
}

#[test]
fn ps1554_a_member_is_mended_until_it_has_come_to_what_the_new_generation_has_committed() {
    let mut cluster = stopped();
    cluster.recover(0, PARTITION, (&authority(), &administrator())).unwrap();
    cluster.start(0);
    cluster.write(PARTITION, put(5));
    let status = cluster.node(0).status(PARTITION).unwrap();
    assert_eq!((status.recovery.is_some(), status.plight()), (true, None));
    let behind = PartitionStatus { applied: LogIndex::ZERO, ..status.clone() };
    assert_eq!(behind.plight(), Some(Plight::Mending));
    let begun = PartitionStatus { has_been_fresh: false, ..status.clone() };
    assert_eq!(begun.plight(), Some(Plight::Mending));
    let plain = PartitionStatus { recovery: None, ..behind };
    assert_eq!(plain.plight(), None, "a member that lags is none that is recovered");
    for (health, plight) in [
        (MemberHealth::Damaged, Plight::Mending),
        (MemberHealth::Amnesiac, Plight::Mending),
        (MemberHealth::Stopped("a block cannot be read".to_owned()), Plight::Broken),
    ] {
        let status = PartitionStatus { health, ..plain.clone() };
        assert_eq!(status.plight(), Some(plight), "{:?}", status.health);
    }
}

/// As [`put`], of 3000 bytes: a hundred are more than is written at once in a recovery.
fn put_large(number: u64) -> Payload {
    let tree = RawTree::new("stock".parse().unwrap());
    let mut actions = put_into("stock", number);
    actions.push(tree.put(number.to_be_bytes().to_vec(), vec![7; 3000]));
    transaction("stock", actions)
}

/// A node alone, with more entries than a segment of its log holds; its process has ended. The other one is
/// no member.
fn stopped_alone(is_checkpointed: bool) -> Cluster {
    let mut cluster = Cluster::on_disks_with(2, config());
    cluster.found(PARTITION, 1);
    cluster.kill(1);
    (0..300).for_each(|number| cluster.write(PARTITION, put_large(number)));
    if is_checkpointed {
        cluster.node(0).members().checkpoint().blocking_recv().unwrap().unwrap();
    }
    cluster.kill(0);
    cluster.lose_tail(0, 1);
    cluster
}

#[test]
fn c11_c16_a_member_alone_whose_log_has_lost_its_tail_goes_on_with_what_is_left() {
    for is_checkpointed in [false, true] {
        let mut cluster = stopped_alone(is_checkpointed);
        cluster.start(0);
        wait(|| cluster.node(0).status(PARTITION).unwrap().health == MemberHealth::Amnesiac);
        cluster.kill(0);
        let by = (&authority(), &administrator());
        let refused = cluster.recover(0, PARTITION, by);
        assert!(matches!(refused, Err(BeginError::Recovery(RecoveryError::Lossy))), "{refused:?}");
        let act = cluster.recover_accepting(0, PARTITION, by, true).unwrap();
        cluster.start(0);
        assert_eq!(cluster.coordinator(PARTITION), 0);
        // What is answered comes after all that is left.
        cluster.write(PARTITION, put(300));
        let left = cluster.node(0).count(PARTITION) - 1;
        match is_checkpointed {
            true => assert_eq!(left, 300, "the state has it all"),
            false => assert!((100..300).contains(&left), "{left} in what is left of the log"),
        }
        assert!(act.kept.index.0 >= left, "{act:?}");
        (301..310).for_each(|number| cluster.write(PARTITION, put(number)));
        cluster.kill(0);
        cluster.start(0);
        cluster.write(PARTITION, put(310));
        assert_eq!(cluster.node(0).count(PARTITION), left + 11);
        // Who joins learns it all.
        cluster.start(1);
        let status = cluster.node(0).status(PARTITION).unwrap();
        let life = u32::try_from(status.configuration.id.0 + 1).unwrap();
        let member = Member { life, ..cluster.node(1).member() };
        cluster.change(PARTITION, &Change::AddLearner(member));
        let founding = Configuration::founding([cluster.node(0).member()], []).unwrap();
        let adopted = cluster.node(1).members().adopt(PARTITION, founding, member);
        adopted.blocking_recv().unwrap().unwrap();
        cluster.wait_equal(PARTITION);
        assert_eq!(cluster.node(1).count(PARTITION), left + 11);
        cluster.kill(0);
        let again = cluster.recover(0, PARTITION, by);
        assert!(matches!(again, Err(BeginError::Recovery(RecoveryError::MajorityLives { .. }))));
    }
}
