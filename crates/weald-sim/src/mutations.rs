//! Rules left out one at a time, to show that the invariants notice.

use weald_cluster::mutation::Mutation;

use crate::{plan::Plan, run};

/// Every rule that can be left out.
pub(crate) const ALL: [Mutation; 25] = [
    Mutation::ServeLowerEpochs,
    Mutation::AnswerBeforePromiseIsDurable,
    Mutation::ReuseEpochNumber,
    Mutation::PromiseToStaleLogs,
    Mutation::CoordinateByMinority,
    Mutation::PromiseWhileCoordinated,
    Mutation::CutEqualEpochs,
    Mutation::CutEarlierEpochs,
    Mutation::AcknowledgeUnsynced,
    Mutation::CountSelfUnsynced,
    Mutation::CommitEarlierEpochs,
    Mutation::CommitByMinority,
    Mutation::CommitWithoutAgreement,
    Mutation::ReadWithoutRound,
    Mutation::ReadBeforeOwnEntry,
    Mutation::ReadByEarlierRound,
    Mutation::IgnoreOutgoingVoters,
    Mutation::ConfigureAtCommit,
    Mutation::CoordinateUnheard,
    Mutation::ForgetAmnesia,
    Mutation::KeepUnconfirmed,
    Mutation::DropOverdueParts,
    Mutation::NeverAskForDecisions,
    Mutation::ReadPartitionsOnce,
    Mutation::ReadPastLocks,
];

/// The first of `seeds` whose run shows that a rule is missing, with the invariant that shows it.
/// A run without progress shows nothing by itself: many rules are there for safety.
pub(crate) fn caught(
    mutation: Mutation,
    seeds: std::ops::Range<u64>,
) -> Option<(u64, &'static str)> {
    seeds.into_iter().find_map(|seed| broken_by(seed, &Plan::draw(seed, Some(mutation))))
}

/// The same for transactions over several partitions, by runs of a bank.
pub(crate) fn caught_in_bank(
    mutation: Mutation,
    seeds: std::ops::Range<u64>,
) -> Option<(u64, &'static str)> {
    seeds.into_iter().find_map(|seed| broken_by(seed, &Plan::draw_bank(seed, Some(mutation))))
}

fn broken_by(seed: u64, plan: &Plan) -> Option<(u64, &'static str)> {
    let violation = run::run(plan).violation?;
    (violation.invariant != "liveness").then_some((seed, violation.invariant))
}

#[cfg(test)]
mod tests;
