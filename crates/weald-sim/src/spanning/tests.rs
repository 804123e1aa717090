//! Small bounds hold, and leave no room for a rule that is left out.

use super::*;

/// No exploration here takes as long.
const LIMIT: Duration = Duration::from_secs(600);

fn holds(bounds: Bounds) {
    let explored = check(bounds, 2, LIMIT);
    assert!(explored.failures.is_empty(), "{explored}");
    assert!(explored.is_complete, "{explored}");
}

#[test]
fn any_end_of_a_coordination_leaves_a_transfer_whole() {
    holds(Bounds::crash());
}

#[test]
fn w218_w219_any_reader_at_a_lock_learns_what_was_decided() {
    holds(Bounds::read());
}

#[test]
fn a_transfer_that_is_asked_for_twice_is_carried_out_once() {
    holds(Bounds::repetition());
}

/// Without the rule something that must hold does not.
fn is_caught(mutation: Mutation) {
    let explored = check(Bounds { mutation: Some(mutation), ..Bounds::crash() }, 1, LIMIT);
    let is_found = explored.failures.values().any(|steps| !steps.is_empty());
    assert!(is_found, "{mutation:?} is not caught: {explored}");
}

#[test]
fn the_model_catches_parts_that_are_dropped_when_overdue() {
    is_caught(Mutation::DropOverdueParts);
}

#[test]
fn the_model_catches_a_participant_that_never_asks() {
    is_caught(Mutation::NeverAskForDecisions);
}
