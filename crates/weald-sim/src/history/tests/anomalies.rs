//! Histories that are not serializable, one for each anomaly, with the levels that allow it.

use super::super::limits::ANOMALIES_MAX;
use super::super::{AnomalyKind, History, Level, Step, check_linearizable, check_serializable};
use super::script::{committed, concurrent, rejected, serial, unknown};

use AnomalyKind::*;

/// The kinds that are found at a level.
fn kinds(history: &History, level: Level) -> Vec<AnomalyKind> {
    match check_serializable(history, level) {
        Ok(_) => Vec::new(),
        Err(anomalies) => anomalies.counts().keys().copied().collect(),
    }
}

/// At each level, from weak to strong, exactly these kinds.
#[track_caller]
fn check(history: &History, expected: [&[AnomalyKind]; 3]) {
    let levels = [Level::ReadCommitted, Level::Serializable, Level::StrictSerializable];
    for (level, expected) in levels.into_iter().zip(expected) {
        assert_eq!(kinds(history, level), expected, "{level:?}");
    }
}

/// At all levels exactly these kinds.
#[track_caller]
fn check_always(history: &History, expected: &[AnomalyKind]) {
    check(history, [expected; 3]);
}

fn append(diary: &str, value: i64, sequence: u64) -> Step {
    Step::appended(diary, value, sequence)
}

fn listed(diary: &str, values: &[i64]) -> Step {
    Step::listed(diary, values)
}

fn write(register: &str, value: i64, revision: u64) -> Step {
    Step::write(register, value).at_revision(revision)
}

#[test]
fn an_unwritten_read_is_found() {
    check_always(&serial(vec![vec![listed("d", &[9])]]), &[UnwrittenRead]);
    check_always(&serial(vec![vec![Step::seen("x", Some(9))]]), &[UnwrittenRead]);
}

#[test]
fn a_duplicate_append_is_found() {
    let history = serial(vec![vec![Step::append("d", 1)], vec![listed("d", &[1, 1])]]);
    check_always(&history, &[DuplicateAppend]);
    let twice = vec![Step::append("d", 1), Step::append("d", 1)];
    check_always(&serial(vec![twice, vec![listed("d", &[1, 1])]]), &[]);
}

#[test]
fn incompatible_orders_are_found() {
    let appends = || vec![vec![Step::append("d", 1)], vec![Step::append("d", 2)]];
    let reads = vec![vec![listed("d", &[1, 2])], vec![listed("d", &[2, 1])]];
    let history = concurrent(appends().into_iter().chain(reads).collect());
    check_always(&history, &[IncompatibleOrders]);
    let one_sequence = concurrent(vec![vec![append("d", 1, 0)], vec![append("d", 2, 0)]]);
    check_always(&one_sequence, &[IncompatibleOrders]);
    let one_revision = concurrent(vec![vec![write("x", 1, 1)], vec![write("x", 2, 1)]]);
    check_always(&one_revision, &[IncompatibleOrders]);
    let two_revisions =
        serial(vec![vec![write("x", 1, 1)], vec![Step::seen("x", Some(1)).at_revision(2)]]);
    check_always(&two_revisions, &[IncompatibleOrders]);
}

#[test]
fn a_lost_append_is_found_with_real_time_only() {
    let history = serial(vec![vec![Step::append("d", 1)], vec![listed("d", &[])]]);
    check(&history, [&[], &[], &[LostAppend, GSingleRealtime]]);
}

#[test]
fn a_transaction_that_contradicts_itself_is_found() {
    let other = vec![Step::write("x", 2)];
    let history = serial(vec![other, vec![Step::write("x", 1), Step::seen("x", Some(2))]]);
    check_always(&history, &[InternalInconsistency]);
    let twice = vec![Step::seen("x", None), Step::seen("x", Some(2))];
    let history = serial(vec![vec![Step::write("x", 2)], twice]);
    assert!(kinds(&history, Level::ReadCommitted).contains(&InternalInconsistency));
    let unseen = vec![Step::append("d", 1), listed("d", &[])];
    assert!(kinds(&serial(vec![unseen]), Level::ReadCommitted).contains(&InternalInconsistency));
    let early = vec![listed("d", &[1]), Step::append("d", 1)];
    check_always(&serial(vec![early]), &[InternalInconsistency]);
}

#[test]
fn g1a_a_read_of_a_rejected_transaction_is_found() {
    for (change, read) in
        [(Step::append("d", 1), listed("d", &[1])), (Step::write("x", 1), Step::seen("x", Some(1)))]
    {
        let history = History::new(vec![
            rejected(0, (0, 5), vec![change]),
            committed(1, (10, 15), vec![read]),
        ]);
        check_always(&history, &[AbortedRead]);
    }
}

#[test]
fn g1b_an_intermediate_read_is_found() {
    let writes = vec![Step::write("x", 1), Step::write("x", 2)];
    check_always(&serial(vec![writes, vec![Step::seen("x", Some(1))]]), &[IntermediateRead]);
    let appends = vec![append("d", 1, 0), append("d", 2, 1)];
    let history = concurrent(vec![appends.clone(), vec![listed("d", &[1])]]);
    let with_cycle: &[AnomalyKind] = &[IntermediateRead, GSingle];
    check(&history, [&[IntermediateRead], with_cycle, with_cycle]);
    let page = vec![Step::page("d", 0, 1, [1])];
    check_always(&serial(vec![appends, page]), &[]);
}

#[test]
fn g0_interleaved_writes_are_found() {
    let history = concurrent(vec![
        vec![append("x", 1, 0), append("y", 1, 1)],
        vec![append("x", 2, 1), append("y", 2, 0)],
    ]);
    check_always(&history, &[G0]);
    let registers = concurrent(vec![
        vec![write("x", 1, 1), write("y", 1, 2)],
        vec![write("x", 2, 2), write("y", 2, 1)],
    ]);
    check_always(&registers, &[G0]);
}

#[test]
fn g1c_a_circle_of_information_is_found() {
    let history = concurrent(vec![
        vec![Step::append("x", 1), listed("y", &[1])],
        vec![Step::append("y", 1), listed("x", &[1])],
    ]);
    check_always(&history, &[G1c]);
}

#[test]
fn w221_g_single_half_a_transaction_seen_is_found_and_read_committed() {
    let history = concurrent(vec![
        vec![append("x", 1, 0), append("y", 1, 0)],
        vec![listed("x", &[]), listed("y", &[1])],
    ]);
    check(&history, [&[], &[GSingle], &[GSingle]]);
    check_linearizable(&history).unwrap();
    let registers = concurrent(vec![
        vec![write("x", 1, 1), write("y", 1, 1)],
        vec![Step::seen("x", None), Step::seen("y", Some(1))],
    ]);
    check(&registers, [&[], &[GSingle], &[GSingle]]);
}

#[test]
fn a_lost_update_is_found_with_revisions_and_without() {
    let update = |value| vec![Step::seen("x", None), Step::write("x", value)];
    check(&concurrent(vec![update(1), update(2)]), [&[], &[G2], &[G2]]);
    let told = |value, at| vec![Step::seen("x", None), write("x", value, at)];
    check(&concurrent(vec![told(1, 1), told(2, 2)]), [&[], &[GSingle], &[GSingle]]);
}

#[test]
fn w219_g2_write_skew_is_found_and_read_committed() {
    let history = concurrent(vec![
        vec![listed("x", &[]), Step::append("y", 1)],
        vec![listed("y", &[]), Step::append("x", 1)],
    ]);
    check(&history, [&[], &[G2], &[G2]]);
    check_linearizable(&history).unwrap();
    let anomalies = check_serializable(&history, Level::Serializable).unwrap_err();
    assert_eq!(
        anomalies.to_string(),
        "G2: 1\n\
         G2: a cycle of 2 transactions\n  \
         T0: process 0 [0, 100] committed: read x from 0 = [], append y 1\n  \
         T1: process 1 [0, 100] committed: read y from 0 = [], append x 1\n  \
         T0 -rw-> T1: saw diary x before its write\n  \
         T1 -rw-> T0: saw diary y before its write"
    );
}

#[test]
fn g2_a_long_fork_is_found() {
    let history = concurrent(vec![
        vec![append("x", 1, 0)],
        vec![append("y", 1, 0)],
        vec![listed("x", &[1]), listed("y", &[])],
        vec![listed("x", &[]), listed("y", &[1])],
    ]);
    check(&history, [&[], &[G2], &[G2]]);
}

#[test]
fn g0_realtime_writes_against_real_time_are_found() {
    let history = serial(vec![vec![append("x", 1, 1)], vec![append("x", 2, 0)]]);
    check(&history, [&[], &[], &[G0Realtime]]);
}

#[test]
fn g1c_realtime_a_read_of_the_future_is_found() {
    let history = serial(vec![vec![listed("x", &[1])], vec![append("x", 1, 0)]]);
    check(&history, [&[], &[], &[G1cRealtime]]);
}

#[test]
fn g_single_realtime_a_stale_read_is_found() {
    let history =
        serial(vec![vec![append("x", 1, 0)], vec![listed("x", &[1])], vec![listed("x", &[])]]);
    check(&history, [&[], &[], &[GSingleRealtime]]);
}

#[test]
fn g2_realtime_an_order_against_real_time_is_found() {
    let history = History::new(vec![
        committed(0, (10, 15), vec![listed("x", &[])]),
        committed(1, (0, 100), vec![listed("y", &[]), append("x", 1, 0)]),
        committed(2, (0, 5), vec![append("y", 1, 0)]),
    ]);
    check(&history, [&[], &[], &[G2Realtime]]);
    check_linearizable(&history).unwrap();
}

#[test]
fn an_unknown_transaction_that_was_seen_counts_with_all_its_writes() {
    let both = vec![Step::append("x", 1), Step::append("y", 1)];
    let read = |x: &[i64], y: &[i64]| {
        History::new(vec![
            unknown(0, 0, both.clone()),
            committed(1, (10, 15), vec![listed("x", x), listed("y", y)]),
        ])
    };
    check_always(&read(&[1], &[1]), &[]);
    check_always(&read(&[], &[]), &[]);
    check(&read(&[1], &[]), [&[], &[GSingle], &[GSingle]]);
}

#[test]
fn a_report_keeps_a_bounded_number_of_anomalies() {
    let mut operations = vec![rejected(0, (0, 5), vec![Step::write("x", 1)])];
    for start in 1..=u64::try_from(ANOMALIES_MAX).unwrap() + 4 {
        operations.push(committed(1, (start, start), vec![Step::seen("x", Some(1))]));
    }
    let anomalies =
        check_serializable(&History::new(operations), Level::ReadCommitted).unwrap_err();
    assert_eq!(anomalies.iter().count(), ANOMALIES_MAX);
    assert_eq!(anomalies.counts()[&AbortedRead], ANOMALIES_MAX + 4);
}
