//! Rules left out one at a time, to show that somebody notices.

use std::{
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};

use anyhow::Result;
use weald_cluster::mutation::Mutation;

use crate::{
    model::{Bounds, search},
    plan::Plan,
    run, script,
};

/// States that one exploration meets at most while it looks for something that does not hold.
const MET_MAX: usize = 1_000_000;

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
pub(crate) fn caught_in(
    seeds: Range<u64>,
    plan: impl Fn(u64) -> Plan,
) -> Option<(u64, &'static str)> {
    seeds.into_iter().find_map(|seed| {
        let violation = run::run(&plan(seed)).violation?;
        (violation.invariant != "liveness").then_some((seed, violation.invariant))
    })
}

/// The same for a rule of the replica, by random runs.
pub(crate) fn caught(mutation: Mutation, seeds: Range<u64>) -> Option<(u64, &'static str)> {
    caught_in(seeds, |seed| Plan::draw(seed, Some(mutation)))
}

/// The same for transactions over several partitions, by runs of a bank.
pub(crate) fn caught_in_bank(mutation: Mutation, seeds: Range<u64>) -> Option<(u64, &'static str)> {
    caught_in(seeds, |seed| Plan::draw_bank(seed, Some(mutation)))
}

/// Who notices that a rule is left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// An exploration within these bounds: what does not hold.
    Model(&'static str, &'static str),
    /// A script, which ends so.
    Script(String, String),
    /// A random run of this seed: the invariant.
    Random(u64, &'static str),
    /// A run of a bank of this seed: the invariant.
    Bank(u64, &'static str),
    /// A script, in which something else happens than what has to.
    Changed(String),
}

/// Who notices that a rule is left out, of all that the simulator has; random runs and banks of `seeds`.
///
/// # Errors
/// When the scripts cannot be read.
pub(crate) fn noticed(mutation: Mutation, seeds: Range<u64>) -> Result<Option<Notice>> {
    if let Some(notice) = noticed_by_model(mutation) {
        return Ok(Some(notice));
    }
    let by_script = noticed_by_scripts(mutation)?;
    if let Some(Notice::Script(..)) = by_script {
        return Ok(by_script);
    }
    let random = caught(mutation, seeds.clone()).map(|(seed, what)| Notice::Random(seed, what));
    let bank = || caught_in_bank(mutation, seeds).map(|(seed, what)| Notice::Bank(seed, what));
    Ok(random.or_else(bank).or(by_script))
}

fn noticed_by_model(mutation: Mutation) -> Option<Notice> {
    let watermarks = Bounds { beats: 1, proposals: 0, ..Bounds::takeover() };
    let change = Bounds { campaigns: 1, ..Bounds::change() };
    let all = [
        ("crash", Bounds::crash()),
        ("takeover with beats", watermarks),
        ("takeover", Bounds::takeover()),
        ("wipe", Bounds::wipe()),
        ("change", change),
        ("resignation", Bounds::resignation()),
    ];
    all.into_iter().find_map(|(name, bounds)| {
        let explored = search(Bounds { mutation: Some(mutation), ..bounds }, MET_MAX);
        let found = explored.failures.iter().find(|(_, steps)| !steps.is_empty());
        found.map(|(what, _)| Notice::Model(name, what))
    })
}

/// The first script that ends badly, or, where none does, the first in which something else happens.
fn noticed_by_scripts(mutation: Mutation) -> Result<Option<Notice>> {
    let mut changed = None;
    for name in script::names()? {
        let play = || script::play_named_without(Some(mutation), &name);
        let Ok(played) = catch_unwind(AssertUnwindSafe(play)) else {
            return Ok(Some(Notice::Script(name, String::from("a panic"))));
        };
        let (played, is_expected) = played?;
        let verdict = played.lines().last().unwrap_or_default();
        if verdict.starts_with("VIOLATED") {
            return Ok(Some(Notice::Script(name, verdict.to_owned())));
        }
        if !is_expected {
            changed.get_or_insert(Notice::Changed(name));
        }
    }
    Ok(changed)
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(bounds, what) => write!(f, "model ({bounds}): not always: {what}"),
            Self::Script(name, verdict) => write!(f, "script {name}: {verdict}"),
            Self::Random(seed, invariant) => write!(f, "random run, seed {seed}: {invariant}"),
            Self::Bank(seed, invariant) => write!(f, "bank, seed {seed}: {invariant}"),
            Self::Changed(name) => write!(f, "script {name}: not what has to happen"),
        }
    }
}

#[cfg(test)]
mod tests;
