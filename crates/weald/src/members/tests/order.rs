//! Writes that are under way together: how they are judged, in which order they are answered, and
//! who is known to lack them.

use bytes::Bytes;
use weald_collections::{ExpectedVersion, RawDiary};
use weald_core::{CollectionPolicy, CreateMode, LogIndex, Outcome, Payload, Rejection, Sequence};

use super::{
    PARTITION,
    rig::{Cluster, put, transaction, wait},
};
use crate::members::Answer;

fn index_of(answer: &Answer) -> LogIndex {
    match answer {
        Answer::Settled(Outcome::Committed(commit)) => commit.position.index,
        other => panic!("{other:?}"),
    }
}

#[test]
fn w157_writes_of_one_caller_are_committed_and_answered_in_the_order_of_asking() {
    let cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let node = cluster.node(cluster.coordinator(PARTITION));
    let mut answers = node.propose_all(PARTITION, (0..100).map(put).collect());
    let last = answers.pop().unwrap().blocking_recv().unwrap();
    let before = answers.iter_mut().map(|answer| answer.try_recv().expect("answered before"));
    let mut indexes: Vec<_> = before.map(|answer| index_of(&answer)).collect();
    indexes.push(index_of(&last));
    assert!(indexes.windows(2).all(|pair| pair[0] < pair[1]), "{indexes:?}");
}

/// Appends that each expect something of a diary, whether it holds, one after the other. `Exact`
/// names the last entry.
const EXPECTATIONS: [(ExpectedVersion, bool); 16] = {
    use ExpectedVersion::{Any, Empty, Exact, Exists};
    [
        (Exists, false),
        (Exact(Sequence(0)), false),
        (Empty, true),
        (Empty, false),
        (Exact(Sequence(0)), true),
        (Exact(Sequence(0)), false),
        (Exists, true),
        (Any, true),
        (Exact(Sequence(3)), true),
        (Exact(Sequence(5)), false),
        (Empty, false),
        (Any, true),
        (Exists, true),
        (Exact(Sequence(6)), true),
        (Any, true),
        (Exists, true),
    ]
};

#[test]
fn w94_expectations_are_judged_on_what_comes_before_though_none_of_it_is_committed() {
    let cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    let coordinator = cluster.node(cluster.coordinator(PARTITION));
    let diary = RawDiary::new("events".parse().unwrap());
    let append = |(expected, _): (ExpectedVersion, bool)| -> Payload {
        transaction("events", vec![diary.append(expected, vec![Bytes::from_static(b"entry")])])
    };
    let create = diary.create(CreateMode::Create, CollectionPolicy::default());
    let made = coordinator.write(PARTITION, transaction("events", vec![create]));
    index_of(&made);
    cluster.wait_equal(PARTITION);
    (0..3).for_each(|node| cluster.node(node).stall(true));
    let before = coordinator.status(PARTITION).unwrap().watermark;
    let answers = coordinator.propose_all(PARTITION, EXPECTATIONS.map(append).into());
    wait(|| coordinator.status(PARTITION).unwrap().last.0 >= before.0 + 16);
    assert_eq!(coordinator.status(PARTITION).unwrap().watermark, before, "nothing is committed");
    (0..3).for_each(|node| cluster.node(node).stall(false));
    for ((expected, holds), answer) in EXPECTATIONS.into_iter().zip(answers) {
        let answer = answer.blocking_recv().unwrap();
        let Answer::Settled(outcome) = answer else { panic!("{answer:?}") };
        let refused = matches!(outcome, Outcome::Rejected(Rejection::Expectation { .. }));
        let committed = matches!(outcome, Outcome::Committed(_));
        assert_eq!((committed, refused), (holds, !holds), "{expected:?} {outcome:?}");
    }
}

#[test]
fn w83_w116_a_member_that_lags_is_known_to_until_it_has_caught_up() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    let coordinator = cluster.coordinator(PARTITION);
    let away = (coordinator + 1) % 3;
    cluster.isolate(away);
    for number in 1..6 {
        cluster.write(PARTITION, put(number));
    }
    let member = cluster.node(away).member();
    let lag = |cluster: &Cluster| {
        let status = cluster.node(cluster.coordinator(PARTITION)).status(PARTITION).unwrap();
        status.last.0 - status.matched.get(&member).map_or(0, |matched| matched.0)
    };
    wait(|| lag(&cluster) >= 5);
    cluster.heal();
    wait(|| lag(&cluster) == 0);
    cluster.wait_equal(PARTITION);
}
