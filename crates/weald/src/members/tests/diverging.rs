//! A member whose state differs from the majority's: it shows nothing, and is given another state.

use std::time::Duration;

use weald_cluster::replica;
use weald_core::At;

use super::{
    PARTITION,
    rig::{Cluster, put, wait},
};
use crate::{
    consistency::Consistency,
    members::{MemberHealth, MembersConfig, ReadRefused},
};

/// Lets a follower come to something else for the entry that `number` is put with, while it can fetch no
/// state. Returns it once it has stopped.
fn diverge(cluster: &mut Cluster, ill: usize, number: u64) {
    cluster.network.refuse_calls(true);
    cluster.node(ill).skew(true);
    cluster.write(PARTITION, put(number));
    let is_stopped = |health| matches!(health, MemberHealth::Stopped(_));
    wait(|| is_stopped(cluster.node(ill).status(PARTITION).unwrap().health));
    cluster.node(ill).skew(false);
}

fn is_mended(cluster: &Cluster, ill: usize) {
    cluster.network.refuse_calls(false);
    wait(|| cluster.node(ill).status(PARTITION).unwrap().health == MemberHealth::Well);
    cluster.wait_equal(PARTITION);
}

#[test]
fn c7_a_member_that_has_diverged_answers_no_reader_until_it_is_mended() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    (0..5).for_each(|number| cluster.write(PARTITION, put(number)));
    cluster.wait_equal(PARTITION);
    let ill = (cluster.coordinator(PARTITION) + 1) % 3;
    let soon = Duration::from_secs(5);
    assert!(cluster.node(ill).read_as(PARTITION, Consistency::Local, soon).is_ok());
    diverge(&mut cluster, ill, 5);
    // It hears its coordinator again.
    wait(|| cluster.node(ill).status(PARTITION).unwrap().coordinator.is_some());
    let stale = Consistency::Stale(Duration::from_secs(600));
    for consistency in [Consistency::Linearizable, Consistency::Local, stale] {
        let read = cluster.node(ill).read_as(PARTITION, consistency, soon);
        assert_eq!(read, Err(ReadRefused::Stopped), "{consistency:?}");
    }
    let hosted = cluster.node(ill).members().hosted(PARTITION).unwrap();
    assert!(hosted.view(At::Latest).is_err(), "nor is anything shown to who does not ask");
    is_mended(&cluster, ill);
    for consistency in [Consistency::Linearizable, Consistency::Local, stale] {
        assert!(cluster.node(ill).read_as(PARTITION, consistency, soon).is_ok());
    }
    assert_eq!(cluster.node(ill).count(PARTITION), 6);
}

#[test]
fn c15_a_member_that_has_diverged_takes_no_state_that_its_log_does_not_reach() {
    let config = MembersConfig {
        replica: replica::Config { tail_bytes_max: 1024, ..Default::default() },
        log_entries_kept: 2,
        ..Default::default()
    };
    let mut cluster = Cluster::in_memory_with(3, config);
    cluster.found(PARTITION, 3);
    let checkpoint = |cluster: &Cluster, node: usize| {
        cluster.node(node).members().checkpoint().blocking_recv().unwrap().unwrap();
    };
    (0..5).for_each(|number| cluster.write(PARTITION, put(number)));
    cluster.wait_equal(PARTITION);
    (0..3).for_each(|node| checkpoint(&cluster, node));
    (5..30).for_each(|number| cluster.write(PARTITION, put(number)));
    cluster.wait_equal(PARTITION);
    let ill = (cluster.coordinator(PARTITION) + 1) % 3;
    // The others could hand out what they had long before.
    let checkpointed = || cluster.node(ill).status(PARTITION).unwrap().checkpointed;
    wait(|| {
        checkpoint(&cluster, ill);
        checkpointed().0 > 20
    });
    let least = checkpointed();
    diverge(&mut cluster, ill, 30);
    is_mended(&cluster, ill);
    assert!(cluster.node(ill).status(PARTITION).unwrap().checkpointed >= least);
    cluster.write(PARTITION, put(31));
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(ill).count(PARTITION), 32);
}
