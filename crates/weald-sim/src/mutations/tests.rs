//! Rules whose absence random runs notice, each from a seed near the first that does.

use super::*;

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
