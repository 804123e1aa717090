//! Rules left out one at a time, to show that the invariants notice.

use weald_cluster::mutation::Mutation;

/// Every rule that can be left out.
pub(crate) const ALL: [Mutation; 19] = [
    Mutation::ServeLowerEpochs,
    Mutation::AnswerBeforePromiseIsDurable,
    Mutation::ReuseEpochNumber,
    Mutation::PromiseToStaleLogs,
    Mutation::CoordinateByMinority,
    Mutation::PromiseWhileCoordinated,
    Mutation::CutEqualEpochs,
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
];
