//! Histories that are not linearizable, one for each fault, and what makes them so.

use super::super::limits::OPERATIONS_MAX;
use super::super::{
    AnomalyKind, History, HistoryError, Level, LinearizabilityError, Operation, ProcessId,
    Recorder, Step, Witness, check_linearizable, check_serializable,
};
use super::script::{committed, concurrent, rejected, serial, unknown};

fn accept(history: &History) {
    check_linearizable(history).unwrap_or_else(|error| panic!("{error}"));
}

fn refuse(history: &History) -> Witness {
    match check_linearizable(history) {
        Err(LinearizabilityError::Impossible(witness)) => *witness,
        other => panic!("{other:?}"),
    }
}

fn without_last(history: &History) -> History {
    let operations = history.operations();
    History::new(operations[..operations.len() - 1].to_vec())
}

fn has(history: &History, level: Level, kind: AnomalyKind) -> bool {
    check_serializable(history, level).is_err_and(|found| found.counts().contains_key(&kind))
}

#[test]
fn w219_a_stale_read_is_refused_and_serializable() {
    let history = serial(vec![
        vec![Step::write("x", 1).at_revision(1)],
        vec![Step::write("x", 2).at_revision(2)],
        vec![Step::seen("x", Some(1)).at_revision(1)],
    ]);
    accept(&without_last(&history));
    let witness = refuse(&history);
    assert_eq!(
        witness.to_string(),
        "register x is not linearizable: no order explains\n  \
         process 2 [20, 25] committed: read x = 1\n\
         the register x may have been: a value that no answer names\n\
         operations around it:\n  \
         process 0 [0, 5] committed: write x = 1"
    );
    assert!(check_serializable(&history, Level::Serializable).is_ok());
    assert!(has(&history, Level::StrictSerializable, AnomalyKind::GSingleRealtime));
}

#[test]
fn a_lost_write_is_refused_and_serializable() {
    let history = serial(vec![vec![Step::write("x", 1)], vec![Step::seen("x", None)]]);
    let witness = refuse(&history);
    assert_eq!(witness.misfit, history.operations()[1]);
    assert!(check_serializable(&history, Level::Serializable).is_ok());
    assert!(has(&history, Level::StrictSerializable, AnomalyKind::GSingleRealtime));
}

#[test]
fn a_doubled_write_is_refused_and_not_seen_without_revisions() {
    let steps = [
        Step::write("x", 1),
        Step::seen("x", Some(1)),
        Step::write("x", 2),
        Step::seen("x", Some(2)),
        Step::seen("x", Some(1)),
    ];
    let history = serial(steps.map(|step| vec![step]).to_vec());
    accept(&without_last(&history));
    assert_eq!(refuse(&history).misfit, history.operations()[4]);
    assert!(check_serializable(&history, Level::StrictSerializable).is_ok());
}

#[test]
fn a_doubled_unknown_write_is_refused() {
    let history = History::new(vec![
        unknown(0, 0, vec![Step::write("x", 1)]),
        committed(1, (1, 2), vec![Step::seen("x", Some(1))]),
        committed(1, (3, 4), vec![Step::write("x", 2)]),
        committed(1, (5, 6), vec![Step::seen("x", Some(1))]),
    ]);
    accept(&without_last(&history));
    refuse(&history);
}

#[test]
fn a_read_that_goes_back_is_refused_though_each_read_alone_is_right() {
    let history = History::new(vec![
        committed(0, (0, 5), vec![Step::write("x", 1)]),
        committed(1, (6, 90), vec![Step::write("x", 2)]),
        committed(2, (10, 15), vec![Step::seen("x", Some(2))]),
        committed(3, (20, 25), vec![Step::seen("x", Some(1))]),
    ]);
    assert_eq!(refuse(&history).misfit, history.operations()[3]);
    for dropped in [2, 3] {
        let mut operations = history.operations().to_vec();
        operations.remove(dropped);
        accept(&History::new(operations));
    }
}

#[test]
fn a_read_of_a_rejected_write_is_refused() {
    let history = History::new(vec![
        rejected(0, (0, 5), vec![Step::write("x", 1)]),
        committed(1, (10, 15), vec![Step::seen("x", Some(1))]),
    ]);
    refuse(&history);
    assert!(has(&history, Level::ReadCommitted, AnomalyKind::AbortedRead));
}

#[test]
fn w132_an_unknown_write_may_appear_late_and_not_disappear_again() {
    let observed = |seen: [i64; 3]| {
        let mut operations = vec![
            committed(0, (0, 5), vec![Step::write("x", 1)]),
            unknown(1, 6, vec![Step::write("x", 2)]),
        ];
        for (start, value) in (1..).zip(seen) {
            let interval = (start * 10, start * 10 + 5);
            operations.push(committed(2, interval, vec![Step::seen("x", Some(value))]));
        }
        History::new(operations)
    };
    for possible in [[1, 1, 1], [1, 1, 2], [1, 2, 2], [2, 2, 2]] {
        accept(&observed(possible));
    }
    for impossible in [[1, 2, 1], [2, 1, 1], [2, 1, 2]] {
        refuse(&observed(impossible));
    }
}

#[test]
fn an_unknown_write_does_not_take_effect_before_it_was_asked_for() {
    let history = History::new(vec![
        committed(0, (0, 5), vec![Step::seen("x", Some(1))]),
        unknown(1, 6, vec![Step::write("x", 1)]),
    ]);
    refuse(&history);
}

#[test]
fn one_of_two_compare_and_puts_on_one_value_holds() {
    let first = Step::compare_and_put("x", None, 1);
    let second = Step::compare_and_put("x", None, 2);
    refuse(&concurrent(vec![first.clone(), second]));
    accept(&concurrent(vec![first.clone(), vec![Step::unlike("x", None)]]));
    refuse(&serial(vec![vec![Step::unlike("x", None)], first]));
}

#[test]
fn an_unknown_compare_and_put_takes_effect_where_it_holds() {
    let observed = |before: i64, after: i64| {
        History::new(vec![
            committed(0, (0, 5), vec![Step::write("x", before)]),
            unknown(1, 6, Step::compare_and_put("x", Some(1), 9)),
            committed(2, (10, 15), vec![Step::seen("x", Some(after))]),
        ])
    };
    accept(&observed(1, 9));
    accept(&observed(1, 1));
    accept(&observed(2, 2));
    refuse(&observed(2, 9));
}

#[test]
fn a_deleted_register_is_absent() {
    let read = |seen| {
        serial(vec![
            vec![Step::write("x", 1)],
            vec![Step::delete("x")],
            vec![Step::seen("x", seen)],
        ])
    };
    accept(&read(None));
    refuse(&read(Some(1)));
}

#[test]
fn w95_a_gap_in_a_diary_is_refused_unless_an_unknown_append_may_fill_it() {
    let first = committed(0, (0, 5), vec![Step::appended("d", 1, 0)]);
    let third = committed(0, (20, 25), vec![Step::appended("d", 3, 2)]);
    let second = unknown(1, 7, vec![Step::append("d", 2)]);
    refuse(&History::new(vec![first.clone(), third.clone()]));
    accept(&History::new(vec![first.clone(), second.clone(), third.clone()]));
    let late = Operation { invoked: 26, ..second.clone() };
    refuse(&History::new(vec![first.clone(), late, third.clone()]));
    let read = committed(2, (30, 35), vec![Step::listed("d", [1, 2, 3])]);
    accept(&History::new(vec![first.clone(), second.clone(), third.clone(), read]));
    let two = unknown(3, 7, vec![Step::append("d", 4)]);
    let fourth = committed(0, (40, 45), vec![Step::appended("d", 5, 4)]);
    refuse(&History::new(vec![first.clone(), second.clone(), third.clone(), fourth.clone()]));
    accept(&History::new(vec![first, second, two, third, fourth]));
}

#[test]
fn w219_diary_faults_are_refused() {
    let append = |value, sequence| vec![Step::appended("d", value, sequence)];
    let listed = |values: &[i64]| vec![Step::listed("d", values)];
    let two = || vec![append(1, 0), append(2, 1)];
    let with = |read: Vec<Step>| serial(two().into_iter().chain([read]).collect());
    accept(&with(listed(&[1, 2])));
    for (fault, history) in [
        ("one sequence twice", concurrent(vec![append(1, 0), append(2, 0)])),
        ("sequences against real time", serial(vec![append(1, 1), append(2, 0)])),
        ("an entry twice", with(listed(&[1, 2, 2]))),
        ("a lost append", with(listed(&[1]))),
        ("another order", with(listed(&[2, 1]))),
        ("an entry of nobody", with(listed(&[1, 2, 3]))),
        ("a page that ends early", with(vec![Step::page("d", 0, 2, [1])])),
        ("a page of another place", with(vec![Step::page("d", 1, 1, [1])])),
    ] {
        assert!(check_linearizable(&history).is_err(), "{fault}");
    }
    let witness = refuse(&with(listed(&[1])));
    assert_eq!(witness.possible, ["[1] and 1 that no answer names"]);
}

#[test]
fn w219_objects_are_judged_alone_so_write_skew_is_accepted_on_each() {
    let history = concurrent(vec![
        vec![Step::seen("x", None), Step::write("y", 1).at_revision(1)],
        vec![Step::seen("y", None), Step::write("x", 1).at_revision(1)],
    ]);
    accept(&history);
    assert!(has(&history, Level::Serializable, AnomalyKind::G2));
}

#[test]
fn too_many_possible_orders_are_neither_accepted_nor_refused() {
    let writes = (0..30).map(|value| vec![Step::write("x", value)]).collect();
    let error = check_linearizable(&concurrent(writes)).unwrap_err();
    let object = String::from("register x");
    assert_eq!(error, LinearizabilityError::Undecided { object });
}

#[test]
fn a_history_has_a_largest_length() {
    let mut recorder = Recorder::default();
    for _ in 0..OPERATIONS_MAX {
        recorder.invoke(ProcessId(0), 0, Vec::new()).unwrap();
    }
    assert_eq!(recorder.invoke(ProcessId(0), 0, Vec::new()), Err(HistoryError::TooLong));
}
