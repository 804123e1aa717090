//! A bounded batch for every change, and rules left out, one for each invariant and more.

use super::*;
use crate::{batch, run};

#[test]
fn ps1153_ps1512_ps1513_ps1776_a_topic_is_complete_and_exactly_once_under_faults() {
    let batch = batch::run(0..16, 2, |seed| Plan::draw_topics(seed, None));
    assert_eq!(batch.failures, [], "run one again with `cargo xtask sim topics --seed N`");
    let (published, shown) = batch.answered;
    assert!(published > 500 && shown > 1_000, "{published} published, {shown} shown");
}

#[test]
fn one_seed_gives_one_run_of_a_topic() {
    let hash = |seed| run::run(&Plan::draw_topics(seed, None)).hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// A rule, where to begin to look, and which invariant notices.
const CAUGHT: [(TopicMutation, u64, &str); 6] = [
    (TopicMutation::SignAgain, 0, "INV9"),
    (TopicMutation::KeepCursorEarly, 0, "INV9"),
    (TopicMutation::HideGaps, 0, "INV9"),
    (TopicMutation::MergeByPosition, 0, "INV10"),
    (TopicMutation::IgnoreCredit, 0, "INV11"),
    (TopicMutation::LogUnverified, 0, "INV12"),
];
/// Seeds that are looked at for each.
const SEEDS: u64 = 20;

#[test]
fn ps1577_runs_of_a_topic_notice_that_a_rule_is_left_out() {
    for (mutation, from, invariant) in CAUGHT {
        let noticed = (from..from + SEEDS).find_map(|seed| {
            let violation = run::run(&Plan::draw_topics(seed, Some(mutation))).violation?;
            violation.invariant.starts_with(invariant).then_some(seed)
        });
        assert!(noticed.is_some(), "{mutation:?} is left out and {invariant} holds");
    }
}
