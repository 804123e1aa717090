//! What an entry comes to is worked out while it is replicated, and counts only if it is committed.

use tokio::sync::oneshot::Receiver;
use weald_core::{Outcome, UnknownCause};

use super::{
    PARTITION,
    rig::{Cluster, put, wait},
};
use crate::members::{Answer, Figures};

/// Entries that a cluster begins with here: writes that were alone one after the other.
const BEFORE: u64 = 3;

/// A cluster whose coordinator, that of this number, takes the next write to be alone, too.
fn cluster() -> (Cluster, usize) {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    (0..BEFORE).for_each(|number| cluster.write(PARTITION, put(number)));
    let coordinator = cluster.coordinator(PARTITION);
    (cluster, coordinator)
}

fn figures(cluster: &Cluster, node: usize) -> Figures {
    cluster.node(node).members().figures()
}

/// Proposes a write that cannot be committed for now, and waits until it was executed.
fn speculate(cluster: &Cluster, node: usize, number: u64) -> Receiver<Answer> {
    let before = figures(cluster, node).speculated;
    let mut answers = cluster.node(node).propose_all(PARTITION, vec![put(number)]);
    wait(|| figures(cluster, node).speculated > before);
    answers.pop().expect("one was proposed")
}

#[test]
fn a_write_that_is_alone_is_executed_while_it_is_replicated() {
    let (cluster, coordinator) = cluster();
    let before = figures(&cluster, coordinator).applied_speculated;
    (0..3).for_each(|node| cluster.node(node).stall(true));
    let answer = speculate(&cluster, coordinator, BEFORE);
    assert_eq!(cluster.node(coordinator).count(PARTITION), BEFORE, "nobody sees it yet");
    (0..3).for_each(|node| cluster.node(node).stall(false));
    let answer = answer.blocking_recv().unwrap();
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    assert_eq!(figures(&cluster, coordinator).applied_speculated, before + 1);
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(coordinator).count(PARTITION), BEFORE + 1);
}

#[test]
fn what_was_executed_and_not_committed_leaves_nothing_behind() {
    let (cluster, alone) = cluster();
    cluster.isolate(alone);
    let lost = speculate(&cluster, alone, 1_000_000);
    let other = cluster.wait_coordinator_but(PARTITION, alone);
    let answer = cluster.node(other).write(PARTITION, put(2_000_000));
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    let before = figures(&cluster, alone).applied_speculated;
    cluster.heal();
    cluster.wait_equal(PARTITION);
    let told = lost.blocking_recv().unwrap();
    assert_eq!(told, Answer::Settled(Outcome::Unknown(UnknownCause::TakenOver)));
    let after = figures(&cluster, alone).applied_speculated;
    assert_eq!(after, before, "the other's entries were executed as they came");
    assert_eq!(cluster.node(alone).count(PARTITION), BEFORE + 1);
}

#[test]
fn writes_that_are_under_way_together_are_executed_as_they_are_committed() {
    let (cluster, coordinator) = cluster();
    let before = figures(&cluster, coordinator).applied_speculated;
    (0..3).for_each(|node| cluster.node(node).stall(true));
    let payloads = (BEFORE..BEFORE + 10).map(put).collect();
    let answers = cluster.node(coordinator).propose_all(PARTITION, payloads);
    (0..3).for_each(|node| cluster.node(node).stall(false));
    for answer in answers {
        let answer = answer.blocking_recv().unwrap();
        assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    }
    let speculated = figures(&cluster, coordinator).applied_speculated - before;
    assert!(speculated <= 1, "of ten, the first at most: {speculated}");
}
