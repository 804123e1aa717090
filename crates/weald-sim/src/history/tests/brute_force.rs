//! Both checks against a search through all orders, on thousands of tiny histories.

use super::super::{
    History, Level, LinearizabilityError, Object, Operation, Seen, Step, check_linearizable,
    check_serializable,
};
use super::generated::{Random, Shape, generate, mutate};
use super::script::Truth;

/// Whether some order of the operations, without any number of the unknown ones, explains all answers and
/// keeps real time.
fn has_order(operations: &[&Operation], is_realtime: bool) -> bool {
    let mut done = vec![false; operations.len()];
    extend(operations, is_realtime, &mut done, &Truth::default())
}

fn extend(all: &[&Operation], is_realtime: bool, done: &mut [bool], truth: &Truth) -> bool {
    let is_needed = |place: usize| all[place].completed().is_some();
    if (0..all.len()).all(|place| done[place] || !is_needed(place)) {
        return true;
    }
    (0..all.len()).any(|place| {
        let is_early = (0..all.len())
            .any(|other| is_realtime && !done[other] && all[other].precedes(all[place]));
        if done[place] || is_early || all[place].is_rejected() {
            return false;
        }
        let Some(next) = truth.explained(&all[place].steps) else { return false };
        done[place] = true;
        let found = extend(all, is_realtime, done, &next);
        done[place] = false;
        found
    })
}

fn all(history: &History) -> Vec<&Operation> {
    history.operations().iter().collect()
}

/// Without what the linearizability check does not look at.
fn without_revisions(history: &History) -> History {
    let mut operations = history.operations().to_vec();
    for step in operations.iter_mut().flat_map(|operation| &mut operation.steps) {
        if let Step::Read { revision, .. } | Step::Write { revision, .. } = step {
            *revision = None;
        }
    }
    History::new(operations)
}

const TINY: Shape = Shape {
    operation_count: 6,
    client_count: 3,
    register_count: 1,
    diary_count: 0,
    step_count_max: 1,
    unknown_one_of: 4,
    rejected_one_of: 8,
    value_bound: 3,
    has_all_steps: true,
    delay_max: 8,
};

/// Judges tiny histories, sound and mutated, and returns how many were accepted and refused.
fn compare_linearizability(shape: Shape, seeds: std::ops::Range<u64>) -> (usize, usize) {
    let mut counts = (0, 0);
    for seed in seeds {
        let mut random = Random(seed);
        let operation_count = 2 + random.below(5);
        let mut history = generate(&mut random, Shape { operation_count, ..shape });
        for _ in 0..4 {
            let plain = without_revisions(&history);
            let judged = check_linearizable(&plain);
            let expected = has_order(&all(&plain), true);
            assert_eq!(
                judged.is_ok(),
                expected,
                "seed {seed}: {judged:?}\n{}",
                plain.to_json_lines()
            );
            if expected {
                counts.0 += 1
            } else {
                counts.1 += 1
            }
            if history.operations().len() < 2 {
                break;
            }
            history = mutate(&mut random, &history, shape.value_bound.max(60));
        }
    }
    counts
}

#[test]
fn registers_are_judged_as_by_all_orders() {
    let (accepted, refused) = compare_linearizability(TINY, 0..6000);
    assert!(accepted > 3000 && refused > 1000, "{accepted} {refused}");
}

#[test]
fn registers_of_distinct_values_are_judged_as_by_all_orders() {
    let shape = Shape { value_bound: 0, step_count_max: 2, ..TINY };
    let (accepted, refused) = compare_linearizability(shape, 10_000..14_000);
    assert!(accepted > 2000 && refused > 500, "{accepted} {refused}");
}

#[test]
fn diaries_are_judged_as_by_all_orders() {
    for (value_bound, seeds) in [(0, 20_000..24_000), (3, 30_000..34_000)] {
        let shape =
            Shape { register_count: 0, diary_count: 1, value_bound, step_count_max: 2, ..TINY };
        let (accepted, refused) = compare_linearizability(shape, seeds);
        assert!(accepted > 2000 && refused > 500, "{accepted} {refused}");
    }
}

/// About half of the reads get an answer that has nothing to do with the execution.
fn with_random_answers(random: &mut Random, history: &History) -> History {
    let mut operations = history.operations().to_vec();
    for step in operations.iter_mut().flat_map(|operation| &mut operation.steps) {
        if let Step::Read { seen, .. } = step {
            let value = [None, Some(0), Some(1)][usize::try_from(random.below(3)).unwrap()];
            match random.below(5) {
                0 | 1 => *seen = Seen::Is(value),
                2 => *seen = Seen::IsNot(value),
                _ => {}
            }
        }
    }
    History::new(operations)
}

#[test]
fn random_answers_are_judged_as_by_all_orders() {
    let mut counts = (0, 0);
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let operation_count = 2 + random.below(5);
        let mut history = generate(&mut random, Shape { operation_count, value_bound: 2, ..TINY });
        history = with_random_answers(&mut random, &history);
        let plain = without_revisions(&history);
        let judged = check_linearizable(&plain);
        let expected = has_order(&all(&plain), true);
        assert_eq!(judged.is_ok(), expected, "seed {seed}: {judged:?}\n{}", plain.to_json_lines());
        if let Err(error) = &judged {
            assert!(matches!(error, LinearizabilityError::Impossible(_)), "{error}");
        }
        if expected { counts.0 += 1 } else { counts.1 += 1 }
    }
    assert!(counts.0 > 4000 && counts.1 > 4000, "{counts:?}");
}

/// A history whose last operation, after all others, reads everything.
fn with_last_read(history: &History, shape: Shape) -> History {
    let mut operations = history.operations().to_vec();
    let mut truth = Truth::default();
    let mut order: Vec<&Operation> = history.operations().iter().collect();
    order.sort_by_key(|operation| last_revision(operation));
    for operation in order {
        let blind: Vec<Step> =
            operation.steps.iter().filter(|step| step.is_change()).cloned().collect();
        truth.run(&blind, last_revision(operation)).unwrap();
    }
    let diaries = shape.register_count..shape.register_count + shape.diary_count;
    let reads: Vec<Step> = diaries
        .map(|object| Step::ReadRange {
            diary: format!("o{object}"),
            from: 0,
            limit: None,
            values: None,
        })
        .collect();
    let mut last = operations[0].clone();
    last.invoked = 10_000;
    last.outcome = super::super::Outcome::Committed { at: 10_001 };
    last.steps = truth.run(&reads, 0).unwrap();
    operations.push(last);
    History::new(operations)
}

fn last_revision(operation: &Operation) -> u64 {
    let revisions = operation.steps.iter().filter_map(|step| match step {
        Step::Write { revision, .. } => *revision,
        Step::Append { sequence, .. } => *sequence,
        Step::Read { .. } | Step::ReadRange { .. } => None,
    });
    revisions.max().unwrap_or(0)
}

/// Compares a level with all orders where versions are known, so that both must say the same.
fn compare_known_versions(shape: Shape, is_realtime: bool, has_last_read: bool) -> (usize, usize) {
    let level = if is_realtime { Level::StrictSerializable } else { Level::Serializable };
    let mut counts = (0, 0);
    for seed in 0..4000 {
        let mut random = Random(seed);
        let operation_count = 2 + random.below(4);
        let sound = generate(&mut random, Shape { operation_count, ..shape });
        let sound = if has_last_read { with_last_read(&sound, shape) } else { sound };
        let mut history = sound.clone();
        for _ in 0..5 {
            let judged = check_serializable(&history, level);
            let expected = has_order(&all(&history), is_realtime);
            assert_eq!(
                judged.is_ok(),
                expected,
                "seed {seed}: {judged:?}\n{}",
                history.to_json_lines()
            );
            if expected {
                counts.0 += 1
            } else {
                counts.1 += 1
            }
            history = shuffle_answers(&mut random, &sound);
        }
    }
    counts
}

/// Gives one operation's reads the answers that the same reads got elsewhere, and moves another.
fn shuffle_answers(random: &mut Random, history: &History) -> History {
    let mut operations = history.operations().to_vec();
    let count = operations.len() as u64;
    let reads: Vec<Step> = operations
        .iter()
        .flat_map(|operation| &operation.steps)
        .filter(|step| !step.is_change())
        .cloned()
        .collect();
    let place = usize::try_from(random.below(count)).unwrap();
    for step in operations[place].steps.iter_mut().filter(|step| !step.is_change()) {
        let same: Vec<&Step> = reads.iter().filter(|read| read.object() == step.object()).collect();
        *step = same[usize::try_from(random.below(same.len() as u64)).unwrap()].clone();
    }
    let moved = usize::try_from(random.below(count)).unwrap();
    let by = random.below(30);
    if let super::super::Outcome::Committed { at } = &mut operations[moved].outcome {
        *at += by;
        operations[moved].invoked += by;
    }
    History::new(operations)
}

const TRANSACTIONS: Shape = Shape {
    operation_count: 5,
    client_count: 3,
    register_count: 2,
    diary_count: 0,
    step_count_max: 3,
    unknown_one_of: 0,
    rejected_one_of: 0,
    value_bound: 0,
    has_all_steps: false,
    delay_max: 10,
};

#[test]
fn w219_register_transactions_are_judged_as_by_all_orders() {
    for is_realtime in [true, false] {
        let (accepted, refused) = compare_known_versions(TRANSACTIONS, is_realtime, false);
        assert!(accepted > 4000 && refused > 1000, "{accepted} {refused}");
    }
}

#[test]
fn w219_append_transactions_are_judged_as_by_all_orders() {
    let shape = Shape { register_count: 0, diary_count: 2, ..TRANSACTIONS };
    for is_realtime in [true, false] {
        let (accepted, refused) = compare_known_versions(shape, is_realtime, true);
        assert!(accepted > 4000 && refused > 1000, "{accepted} {refused}");
    }
}

#[test]
fn w219_no_anomaly_is_found_where_an_order_explains_the_history() {
    let mut found_count = 0;
    for seed in 0..8000 {
        let mut random = Random(seed);
        let shape = Shape {
            operation_count: 2 + random.below(4),
            diary_count: 1,
            unknown_one_of: 4,
            rejected_one_of: 6,
            value_bound: random.below(2) * 4,
            has_all_steps: true,
            ..TRANSACTIONS
        };
        let mut history = generate(&mut random, shape);
        for _ in 0..3 {
            history = mutate(&mut random, &history, 60);
            if history.operations().len() < 2 {
                break;
            }
            for level in [Level::Serializable, Level::StrictSerializable] {
                let Err(anomalies) = check_serializable(&history, level) else { continue };
                found_count += 1;
                let is_realtime = level == Level::StrictSerializable;
                assert!(
                    !has_order(&all(&history), is_realtime),
                    "seed {seed}: {anomalies}\n{}",
                    history.to_json_lines()
                );
            }
        }
    }
    assert!(found_count > 2000, "{found_count}");
}

#[test]
fn an_entry_that_several_appended_is_not_taken_for_an_intermediate_one() {
    let append = |value, sequence| Step::appended("d", value, sequence);
    let history = super::script::concurrent(vec![
        vec![append(1, 0), append(3, 1)],
        vec![append(3, 2)],
        vec![Step::listed("d", [1, 3])],
    ]);
    assert!(has_order(&all(&history), true));
    check_serializable(&history, Level::StrictSerializable).unwrap();
}

#[test]
fn the_search_through_all_orders_knows_good_from_bad() {
    let [good, bad] = [1, 2].map(|seen| {
        super::script::serial(vec![vec![Step::write("x", 1)], vec![Step::seen("x", Some(seen))]])
    });
    assert!(has_order(&all(&good), true));
    assert!(!has_order(&all(&bad), true));
    let early =
        super::script::serial(vec![vec![Step::seen("x", Some(1))], vec![Step::write("x", 1)]]);
    assert!(!has_order(&all(&early), true));
    assert!(has_order(&all(&early), false));
    assert_eq!(good.operations()[0].steps[0].object(), Object::Register("x"));
}
