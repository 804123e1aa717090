//! Rules that can be left out, one at a time, to show that the checks would notice.
//!
//! Without the feature `mutations` nothing here has an effect: `Config::breaks` is a constant.

use crate::{
    partition::coordination::{Config as CoordinationConfig, reading::Reading},
    replica::Config,
};

/// A rule that is left out. Each is named by what the replica, or the coordinator of transactions
/// over several partitions, then does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mutation {
    /// C1: messages of a lower epoch are served.
    ServeLowerEpochs,
    /// C1: answers leave before the promise is durable.
    AnswerBeforePromiseIsDurable,
    /// C1: a campaign may use a number that was used before.
    ReuseEpochNumber,
    /// C2: a campaigner whose log is behind is promised.
    PromiseToStaleLogs,
    /// C2: a minority of promises is enough.
    CoordinateByMinority,
    /// C2: a campaigner is promised while a coordinator is alive.
    PromiseWhileCoordinated,
    /// C3: a coordinator cuts entries of its own epoch.
    CutEqualEpochs,
    /// C3: a coordinator that resigns for its clock cuts entries of earlier epochs, too.
    CutEarlierEpochs,
    /// C4: entries count as acknowledged before they are synced.
    AcknowledgeUnsynced,
    /// C4: the coordinator counts itself before its own sync.
    CountSelfUnsynced,
    /// C4: entries of earlier epochs are committed by counting acknowledgements.
    CommitEarlierEpochs,
    /// C4: one acknowledgement less than a majority is enough.
    CommitByMinority,
    /// C4: a follower takes the watermark for its whole log.
    CommitWithoutAgreement,
    /// C7: a read is answered without asking a quorum.
    ReadWithoutRound,
    /// C7: a read is answered before an entry of the own epoch is committed.
    ReadBeforeOwnEntry,
    /// C7: an answer to an earlier round confirms a later one.
    ReadByEarlierRound,
    /// C8: a majority of the incoming voters is enough in a joint configuration.
    IgnoreOutgoingVoters,
    /// C8: a configuration counts only once it is committed.
    ConfigureAtCommit,
    /// C9: a coordinator that hears no quorum goes on.
    CoordinateUnheard,
    /// C11: a member that has lost its promises takes part as before.
    ForgetAmnesia,
    /// C15: a state is kept and handed on before a quorum has confirmed its effects.
    KeepUnconfirmed,
    /// T8: a participant drops a part past its deadline without asking the primary.
    DropOverdueParts,
    /// T8: a participant never asks what became of a part.
    NeverAskForDecisions,
    /// T10: a reading of several partitions ends with its first round.
    ReadPartitionsOnce,
    /// T10: a reading of several partitions does not look at locks.
    ReadPastLocks,
}

impl Config {
    /// Whether the rule is left out.
    #[cfg(feature = "mutations")]
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Whether the rule is left out: never.
    #[cfg(not(feature = "mutations"))]
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(crate) const fn breaks(&self, _: Mutation) -> bool {
        false
    }
}

impl CoordinationConfig {
    /// Whether the rule is left out.
    #[cfg(feature = "mutations")]
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Whether the rule is left out: never.
    #[cfg(not(feature = "mutations"))]
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(crate) const fn breaks(&self, _: Mutation) -> bool {
        false
    }
}

impl Reading {
    /// Whether the rule is left out.
    #[cfg(feature = "mutations")]
    pub(crate) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Whether the rule is left out: never.
    #[cfg(not(feature = "mutations"))]
    #[expect(clippy::unused_self, reason = "the same signature as with the feature")]
    pub(crate) const fn breaks(&self, _: Mutation) -> bool {
        false
    }
}
