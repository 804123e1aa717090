//! What a replica asks of its driver.

use weald_core::{Digest, Epoch, LogIndex, Time};

use super::{
    Attestation, CertifiedConfiguration, Envelope, Evidence, LogEntry, PersistTicket, Point,
    ReadId, Stored,
};
use crate::{
    configuration::{Configuration, Member},
    recovery::Recovery,
};

/// What is to be made durable. Later ones continue earlier ones; none may be left out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Persist {
    /// Named when it is durable, or a later one.
    pub ticket: PersistTicket,
    /// The log is emptied and begins after this point.
    pub restart_at: Option<Point>,
    /// Entries from this index on are cut first.
    pub cut_from: Option<LogIndex>,
    /// Entries that continue the log.
    pub entries: Vec<LogEntry>,
    /// What is kept beside the entries, replacing what was.
    pub state: Option<Stored>,
}

/// A snapshot that stands for the log up to its point (rule C15).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SnapshotMeta {
    /// The last entry that it covers.
    pub point: Point,
    /// Log time at that entry.
    pub time: Time,
    /// The configurations up to there, from the founding one, each certified.
    pub configurations: Vec<CertifiedConfiguration>,
    /// The configuration that holds at the point, with the index of its entry.
    pub configuration: crate::configuration::Placed,
    /// The effect hash at the point.
    pub effect: Digest,
}

/// What this member is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// It follows, or knows nobody to follow.
    Follower,
    /// It asks whether it would be promised.
    PreCandidate,
    /// It campaigns.
    Candidate,
    /// It coordinates.
    Coordinator,
}

/// What a replica asks of its driver. Outputs are carried out in order; messages may leave before
/// what stands earlier is durable, since those that may not are held back until
/// [`Input::Persisted`](super::Input::Persisted).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// Hand this to the log.
    Persist(Box<Persist>),
    /// Send this. It may be lost.
    Send(Box<Envelope>),
    /// Everything up to here is committed: apply it.
    Committed {
        /// The watermark.
        watermark: LogIndex,
    },
    /// Entries from here on were cut. Whoever waits for one of them is told `Unknown`.
    Cut {
        /// The first entry that is gone.
        from: LogIndex,
    },
    /// Read entries from the log for a member that lags, and answer with
    /// [`Input::Entries`](super::Input::Entries); without any if the log does not hold the first.
    Fetch {
        /// For whom.
        to: Member,
        /// The first entry.
        from: LogIndex,
        /// About how many bytes.
        max_bytes: usize,
    },
    /// Fetch a snapshot that covers at least this entry from this member, install it and answer
    /// with [`Input::Installed`](super::Input::Installed).
    Install {
        /// Who has it, or can make it.
        from: Member,
        /// What it covers at least.
        at_least: LogIndex,
    },
    /// These reads may be answered once `index` is applied.
    ReadReady {
        /// The reads.
        ids: Vec<ReadId>,
        /// What they must see.
        index: LogIndex,
    },
    /// These reads cannot be answered now; they may be tried again.
    ReadFailed {
        /// The reads.
        ids: Vec<ReadId>,
    },
    /// This member's role, or whom it follows, has changed.
    Became {
        /// What it is.
        role: Role,
        /// The epoch of it.
        epoch: Epoch,
        /// Who coordinates, as far as it is known.
        coordinator: Option<Member>,
    },
    /// Another configuration holds, committed or not.
    Configured {
        /// The configuration.
        configuration: Configuration,
        /// Whether its entry is committed.
        is_committed: bool,
    },
    /// Sign `attested` with the node's key and answer with
    /// [`Input::Signed`](super::Input::Signed).
    Sign {
        /// The entry.
        index: LogIndex,
        /// What is signed, under [`Attestation::DOMAIN`].
        attested: bytes::Bytes,
    },
    /// A configuration has its certificate; for whoever keeps a record of members.
    Certified(CertifiedConfiguration),
    /// This member has begun a new life, with nothing: its state is to be emptied, too.
    Reborn {
        /// Who it is from now on.
        member: Member,
    },
    /// A forced recovery has begun a new generation: this member has left the one before, in which
    /// its log ended at `held`. Nothing of that log counts any more.
    Recovered {
        /// The recovery.
        recovery: Box<Recovery>,
        /// What this member held.
        held: Point,
    },
    /// This member takes no more part until it is repaired.
    Stopped(Stop),
    /// Something that operators want to know.
    Report(Report),
}

/// Why a member takes no more part.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stop {
    /// A coordinator has shown two histories (rule C3).
    Equivocation(Evidence),
    /// This member's state differs from the majority's at an index: it reloads a snapshot.
    Diverged(super::Effect),
    /// A sync failed; a restart finds out what is durable (rule C12).
    SyncFailed,
    /// What was promised is lost: the member asks for a new life (rule C11).
    Amnesiac,
}

/// Something that operators want to know.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Report {
    /// A message was refused.
    Refused {
        /// Whose.
        from: Member,
        /// Why.
        reason: RefusedReason,
    },
    /// A member's state differs from the majority's.
    Diverged {
        /// The member.
        member: Member,
        /// What the majority has.
        settled: super::Effect,
    },
    /// Two attestations of one member that cannot both be honest.
    Evidence(Evidence),
    /// An attestation, given to whoever collects certificates.
    Attested(Attestation),
}

/// Why a message was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RefusedReason {
    /// The sender is no member.
    NotMember,
    /// It is for another partition or member.
    NotForMe,
    /// It was said in another generation.
    OtherGeneration,
    /// It names an index or an epoch that nobody can have reached.
    OutOfRange,
    /// An earlier run of the sender said it.
    EarlierRun,
    /// An earlier epoch.
    LowerEpoch,
    /// This member has stopped.
    Stopped,
    /// The sender speaks as coordinator of an epoch that is not its own.
    ForeignEpoch,
    /// Entries that do not form a chain.
    BrokenChain,
    /// A certificate or an attestation that does not hold.
    BadCertificate,
    /// A forced recovery that is not to be believed.
    BadRecovery,
}

impl RefusedReason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NotMember,
        Self::NotForMe,
        Self::OtherGeneration,
        Self::OutOfRange,
        Self::EarlierRun,
        Self::LowerEpoch,
        Self::Stopped,
        Self::ForeignEpoch,
        Self::BrokenChain,
        Self::BadCertificate,
        Self::BadRecovery,
    ];

    /// The reason in one word, for counters and logs. It never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotMember => "not_member",
            Self::NotForMe => "not_for_me",
            Self::OtherGeneration => "other_generation",
            Self::OutOfRange => "out_of_range",
            Self::EarlierRun => "earlier_run",
            Self::LowerEpoch => "lower_epoch",
            Self::Stopped => "stopped",
            Self::ForeignEpoch => "foreign_epoch",
            Self::BrokenChain => "broken_chain",
            Self::BadCertificate => "bad_certificate",
            Self::BadRecovery => "bad_recovery",
        }
    }
}
