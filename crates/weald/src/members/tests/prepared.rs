//! What an entry comes to is worked out while it is replicated, and counts only if it is committed.

use std::{thread::sleep, time::Duration};

use tokio::sync::oneshot::Receiver;
use weald_core::{Outcome, UnknownCause};

use super::{
    PARTITION,
    rig::{Cluster, put, wait},
};
use crate::members::Answer;

/// Long enough for a loop to work out what an entry comes to; tests hold without, too.
const WHILE: Duration = Duration::from_millis(20);

fn propose(cluster: &Cluster, node: usize, number: u64) -> Receiver<Answer> {
    let mut answers = cluster.node(node).propose_all(PARTITION, vec![put(number)]);
    answers.pop().expect("one was proposed")
}

/// Writes alone, and has the logs wait for a while.
fn write_slowly(cluster: &Cluster, node: usize, number: u64) {
    (0..3).for_each(|node| cluster.node(node).stall(true));
    let answer = propose(cluster, node, number);
    sleep(WHILE);
    (0..3).for_each(|node| cluster.node(node).stall(false));
    let answer = answer.blocking_recv().unwrap();
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
}

fn prepared(cluster: &Cluster, node: usize) -> u64 {
    cluster.node(node).members().figures().applied_prepared
}

#[test]
fn writes_that_are_alone_are_executed_while_they_are_replicated() {
    let cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let coordinator = cluster.coordinator(PARTITION);
    let mut numbers = 0..;
    wait(|| {
        write_slowly(&cluster, coordinator, numbers.next().expect("there are enough"));
        prepared(&cluster, coordinator) > 1
    });
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(coordinator).count(PARTITION), numbers.start);
}

#[test]
fn what_was_executed_and_not_committed_leaves_nothing_behind() {
    let cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let alone = cluster.coordinator(PARTITION);
    let mut numbers = 0..;
    wait(|| {
        write_slowly(&cluster, alone, numbers.next().expect("there are enough"));
        prepared(&cluster, alone) > 0
    });
    cluster.isolate(alone);
    let lost = propose(&cluster, alone, 1_000_000);
    sleep(WHILE);
    let other = cluster.wait_coordinator_but(PARTITION, alone);
    let answer = cluster.node(other).write(PARTITION, put(2_000_000));
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    let before = prepared(&cluster, alone);
    cluster.heal();
    cluster.wait_equal(PARTITION);
    let told = lost.blocking_recv().unwrap();
    assert_eq!(told, Answer::Settled(Outcome::Unknown(UnknownCause::TakenOver)));
    assert_eq!(prepared(&cluster, alone), before, "the other's entries were executed as they came");
    assert_eq!(cluster.node(alone).count(PARTITION), numbers.start + 1);
}
