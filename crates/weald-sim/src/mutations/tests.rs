//! Rules whose absence random runs notice, each from a seed near the first that does.

use super::*;
use crate::{
    command::Command, invariants::Violation, name::Name, schedule::Instant, script, world::World,
};

/// A rule, and where to begin to look.
const CAUGHT: [(Mutation, u64); 6] = [
    (Mutation::ServeLowerEpochs, 162),
    (Mutation::PromiseToStaleLogs, 2),
    (Mutation::CoordinateByMinority, 0),
    (Mutation::CountSelfUnsynced, 43),
    (Mutation::CommitByMinority, 36),
    (Mutation::CommitWithoutAgreement, 36),
];
/// Seeds that are looked at for each.
const SEEDS: u64 = 40;

#[test]
fn random_runs_notice_that_a_rule_is_left_out() {
    for (mutation, from) in CAUGHT {
        let caught = caught(mutation, from..from + SEEDS);
        assert!(caught.is_some(), "{mutation:?} is left out and nobody notices");
    }
}

/// Rules of transactions over several partitions that runs of a bank show, with where to begin.
const CAUGHT_IN_BANK: [(Mutation, u64); 4] = [
    (Mutation::DropOverdueParts, 0),
    (Mutation::NeverAskForDecisions, 180),
    (Mutation::ReadPartitionsOnce, 0),
    (Mutation::ReadPastLocks, 0),
];

#[test]
fn runs_of_a_bank_notice_that_a_rule_of_transactions_is_left_out() {
    for (mutation, from) in CAUGHT_IN_BANK {
        let caught = caught_in_bank(mutation, from..from + SEEDS);
        assert!(caught.is_some(), "{mutation:?} is left out and nobody notices");
    }
}

/// The state of a member is damaged while another one is away, and it takes over: then the third one
/// comes back.
fn damage_before_a_takeover(mutation: Option<Mutation>) -> Option<Violation> {
    let mut settings = script::settings(3);
    settings.config.mutation = mutation;
    // What the log has let go of is not in memory either.
    settings.config.tail_bytes_max = 0;
    let mut world = World::new(settings, 1);
    world.boot();
    world.run_until(Instant::from_millis(1_500));
    let (damaged, away) = (Name(1), Name(2));
    let checkpoint = |node| Command::Checkpoint(node, 0);
    for (command, millis) in [
        (Command::Load(2), 300),
        (Command::Isolate(away), 0),
        (Command::Corrupt(damaged), 50),
        (Command::Transfer(damaged), 200),
        (checkpoint(damaged), 0),
        (checkpoint(Name(0)), 300),
        (Command::Heal, 2_000),
    ] {
        world.command(&command);
        world.run_until(world.now.after(millis * 1_000));
    }
    world.mend_all();
    world.expect_progress(20_000_000);
    world.violation
}

#[test]
fn a_story_of_damage_notices_that_what_is_unconfirmed_is_kept() {
    assert_eq!(damage_before_a_takeover(None), None);
    let noticed = damage_before_a_takeover(Some(Mutation::KeepUnconfirmed));
    let noticed = noticed.map(|violation| violation.invariant);
    assert_eq!(noticed, Some("INV3 one value per index"));
}
