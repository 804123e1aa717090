//! Small bounds hold, and leave no room for a rule that is left out.

use std::time::Duration;

use super::*;

/// No exploration here takes as long; one that does has grown past what a test may explore.
const LIMIT: Duration = Duration::from_secs(600);
/// States that are met at most until a rule that is left out shows.
const MET_MAX: usize = 1_000_000;

fn holds(bounds: Bounds) {
    let explored = check(bounds, 2, LIMIT);
    assert!(explored.failures.is_empty(), "{explored}");
    assert!(explored.is_complete, "{explored}");
}

/// Without the rule something that must hold does not.
fn is_caught(mutation: Mutation, bounds: Bounds, property: &str) {
    let explored = search(Bounds { mutation: Some(mutation), ..bounds }, MET_MAX);
    let found = explored.failures.iter().find(|(_, steps)| !steps.is_empty());
    let Some((name, _)) = found else { panic!("{mutation:?} is not caught: {explored}") };
    assert_eq!(*name, property, "{mutation:?}: {explored}");
}

#[test]
fn any_order_of_a_takeover_keeps_what_is_committed() {
    holds(Bounds::takeover());
}

#[test]
fn any_crash_keeps_what_is_committed() {
    holds(Bounds::crash());
}

#[test]
fn any_lost_disk_keeps_what_is_committed() {
    holds(Bounds::wipe());
}

#[test]
fn any_change_of_members_keeps_what_is_committed() {
    holds(Bounds::change());
}

#[test]
fn any_campaign_while_members_change_keeps_what_is_committed() {
    holds(Bounds::contested_change());
}

#[test]
fn any_resignation_for_a_clock_keeps_what_is_committed() {
    holds(Bounds::resignation());
}

#[test]
fn any_resignation_after_a_second_election_keeps_what_is_committed() {
    holds(Bounds::resignation_again());
}

#[test]
fn the_model_catches_a_resignation_that_cuts_what_an_earlier_epoch_made() {
    is_caught(
        Mutation::CutEarlierEpochs,
        Bounds::resignation(),
        "what is committed is on a quorum's disks",
    );
}

#[test]
fn the_model_catches_lower_epochs_that_are_served() {
    is_caught(Mutation::ServeLowerEpochs, Bounds::takeover(), "no member is shown two histories");
}

#[test]
fn the_model_catches_answers_before_the_promise_is_durable() {
    is_caught(
        Mutation::AnswerBeforePromiseIsDurable,
        Bounds::crash(),
        "nothing is said before it is durable",
    );
}

#[test]
fn the_model_catches_epoch_numbers_that_are_used_again() {
    is_caught(
        Mutation::ReuseEpochNumber,
        Bounds::takeover(),
        "nothing is said before it is durable",
    );
}

#[test]
fn the_model_catches_promises_to_logs_that_are_behind() {
    is_caught(Mutation::PromiseToStaleLogs, Bounds::takeover(), "no member is shown two histories");
}

#[test]
fn the_model_catches_coordination_by_a_minority() {
    is_caught(
        Mutation::CoordinateByMinority,
        Bounds::takeover(),
        "members agree up to their watermarks",
    );
}

#[test]
fn the_model_catches_acknowledgements_before_the_sync() {
    is_caught(
        Mutation::AcknowledgeUnsynced,
        Bounds::crash(),
        "nothing is said before it is durable",
    );
}

#[test]
fn the_model_catches_a_coordinator_that_counts_itself_before_its_sync() {
    is_caught(
        Mutation::CountSelfUnsynced,
        Bounds::crash(),
        "what is committed is on a quorum's disks",
    );
}

#[test]
fn the_model_catches_commits_by_a_minority() {
    is_caught(
        Mutation::CommitByMinority,
        Bounds::takeover(),
        "members agree up to their watermarks",
    );
}

#[test]
fn the_model_catches_watermarks_taken_without_agreement() {
    let bounds = Bounds { beats: 1, proposals: 0, ..Bounds::takeover() };
    is_caught(Mutation::CommitWithoutAgreement, bounds, "members agree up to their watermarks");
}

#[test]
fn the_model_catches_an_amnesiac_that_takes_part() {
    is_caught(Mutation::ForgetAmnesia, Bounds::wipe(), "one coordination of an epoch");
}

#[test]
fn the_model_catches_a_joint_configuration_without_the_outgoing_voters() {
    is_caught(
        Mutation::IgnoreOutgoingVoters,
        Bounds { campaigns: 1, ..Bounds::change() },
        "members agree up to their watermarks",
    );
}

#[test]
fn the_model_catches_configurations_that_count_only_once_committed() {
    is_caught(
        Mutation::ConfigureAtCommit,
        Bounds { campaigns: 1, ..Bounds::change() },
        "what is committed is on a quorum's disks",
    );
}
