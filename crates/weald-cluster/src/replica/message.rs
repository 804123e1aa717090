//! What members of one partition's log say to each other.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, Epoch, LogIndex, PartitionId,
    codec::{self, CodecError},
};

use super::{Attestation, CertifiedConfiguration, LogEntry, Point, ReadId, run};
use crate::{
    configuration::{ConfigurationId, Member},
    kinds,
    recovery::Recovery,
};

/// Indexes and numbers of epochs stay below this: a member that makes a million a second reaches it
/// after a hundred thousand years.
const COUNTER_MAX: u64 = 1 << 62;
/// Bytes of most messages without entries.
const ENVELOPE_BYTES_EXPECTED: usize = 384;

/// A message with what every receiver checks first: who says it to whom, in which run.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The partition.
    pub partition: PartitionId,
    /// Raised by a forced recovery; members of another generation do not talk (rule C16).
    pub generation: u32,
    /// Who says it. The channel vouches for the peer; store and life are compared with the
    /// configuration.
    pub from: Member,
    /// The run of the sender: what an earlier run said is refused (rule C11).
    pub run: Run,
    /// Whom it is said to. What was meant for an earlier life is not for this one.
    pub to: Member,
    /// The latest configuration that the sender knows; a hint.
    pub configuration: ConfigurationId,
    /// What is said.
    pub message: Message,
}

/// One run of a node.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Run {
    /// A fsynced counter of the store.
    pub incarnation: u64,
    /// Drawn for the run: two runs of one incarnation are those of a disk that was copied or
    /// rolled back.
    pub nonce: u64,
}

/// Where a log ends. The greater one is the more up to date (rule C2).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LogEnd {
    /// The epoch of the last entry.
    pub epoch: Epoch,
    /// The last entry.
    pub index: LogIndex,
}

/// The effect hash right after an entry; members that differ at one index have diverged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Effect {
    /// The entry.
    pub index: LogIndex,
    /// The hash of everything applied up to it.
    pub hash: Digest,
}

/// A coordinator's entries for one member.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ReplicateWrite {
    /// The coordinator's epoch. Entries may be of earlier ones.
    pub epoch: Epoch,
    /// Where they begin: the point right before the first.
    pub before: Point,
    /// The entries, in order, without a gap.
    #[serde(with = "run")]
    pub entries: Vec<LogEntry>,
    /// All up to here is committed.
    pub watermark: LogIndex,
    /// The confirmation round that an answer confirms (rule C7).
    pub round: u64,
}

/// A member's answer to entries and heartbeats.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ReplicateAck {
    /// The epoch that is answered. The acknowledgement counts in this epoch only (rule C4).
    pub epoch: Epoch,
    /// Up to here the member's log is synced and agrees by hash with the coordinator's.
    pub matched: LogIndex,
    /// The next entry that the member lacks, synced or not.
    pub wants: LogIndex,
    /// The last confirmation round that the member has heard of.
    pub round: u64,
    /// Why entries were not taken, if they were not.
    pub refusal: Option<AckRefusal>,
    /// The member's effect hash at the index that the heartbeat named.
    pub effect: Option<Effect>,
}

/// Why a member did not take entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AckRefusal {
    /// They begin beyond the end of the member's log, or on another history: send from `wants`.
    Gap,
    /// They were buffered and evicted again: send from `wants`.
    Evicted,
    /// Their time is too far ahead of the member's clock (rule C14).
    Clock,
    /// The member has no memory for more before some of what it holds is committed and synced.
    Full,
}

/// A coordinator's sign of life.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The coordinator's epoch.
    pub epoch: Epoch,
    /// The end of its log.
    pub last: LogIndex,
    /// All up to here is committed.
    pub watermark: LogIndex,
    /// The confirmation round that an answer confirms.
    pub round: u64,
    /// Which answer of the receiver had arrived when the last round began that a quorum has
    /// confirmed: what was acknowledged before that answer left is at or below `watermark` (rule C7).
    pub heard: Option<Heard>,
    /// The coordinator's last applied entry with its effect hash.
    pub effect: Option<Effect>,
    /// The last effect hash on which a majority agrees.
    pub settled: Option<Effect>,
}

/// An answer of a member to a confirmation round.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Heard {
    /// The run of the member that answered: another run cannot know when.
    pub run: Run,
    /// The round.
    pub round: u64,
}

/// What members say.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Would you promise? Changes nothing.
    PreVote {
        /// The number of the epoch that the sender would campaign in.
        number: u64,
        /// The end of its log.
        last: LogEnd,
    },
    /// Yes or no to [`Message::PreVote`].
    PreVoteReply {
        /// The number that was asked for.
        number: u64,
        /// Whether the sender would promise.
        is_granted: bool,
        /// What the sender has promised.
        promised: Epoch,
    },
    /// Promise to follow nobody of a lower epoch.
    Prepare {
        /// The epoch of the campaign.
        epoch: Epoch,
        /// The end of the campaigner's log.
        last: LogEnd,
        /// The coordination that was handed over to the campaigner, if one was.
        releasing: Option<Epoch>,
    },
    /// The sender's promise, durable.
    Promise {
        /// The epoch promised.
        epoch: Epoch,
    },
    /// Your epoch is behind.
    Refuse {
        /// The higher epoch that the sender has promised.
        promised: Epoch,
    },
    /// Entries.
    ReplicateWrite(ReplicateWrite),
    /// The answer to entries and heartbeats.
    ReplicateAck(ReplicateAck),
    /// The watermark, sent at once when no append carries it.
    ConfirmTransaction {
        /// The coordinator's epoch.
        epoch: Epoch,
        /// All up to here is committed.
        watermark: LogIndex,
    },
    /// A sign of life.
    Heartbeat(Heartbeat),
    /// Take over: you have everything.
    TransferCoordinator {
        /// The epoch that is released.
        epoch: Epoch,
    },
    /// Asks the coordinator for read indexes.
    ReadIndex {
        /// The reads.
        ids: Vec<ReadId>,
    },
    /// Answers [`Message::ReadIndex`].
    ReadIndexReply {
        /// The run that asked.
        run: Run,
        /// The reads.
        ids: Vec<ReadId>,
        /// The index that the reader must have applied; `None` when there is no answer.
        index: Option<LogIndex>,
    },
    /// The sender does not know you; say by which configurations you are a member.
    NeedConfiguration {
        /// The last configuration that the sender knows to be committed.
        have: ConfigurationId,
    },
    /// The chain of configurations after the one asked from, each with its certificate (rule C8).
    Configurations {
        /// The chain, oldest first.
        chain: Vec<CertifiedConfiguration>,
    },
    /// Your log begins below what I hold: fetch a snapshot at this point.
    SnapshotOffer {
        /// The coordinator's epoch.
        epoch: Epoch,
        /// Where the snapshot stands.
        point: Point,
    },
    /// Asks for a signature on the entry at `index` (rule C16), or for its certificate.
    Attest {
        /// The coordinator's epoch.
        epoch: Epoch,
        /// The entry.
        index: LogIndex,
    },
    /// A signature.
    Attested(Attestation),
    /// The sender has lost what it promised and asks for a new life (rule C11).
    Amnesiac {
        /// Drawn for this run, so that an old welcome is not taken for the answer.
        nonce: u64,
    },
    /// The life under which the amnesiac peer is a learner.
    Welcome {
        /// The member that it is.
        member: Member,
        /// The nonce of the question.
        nonce: u64,
        /// The certified configurations, by which the peer knows who answers.
        chain: Vec<CertifiedConfiguration>,
    },
    /// The sender has heard another run of you that is not earlier: if you have just begun, your
    /// disk was rolled back or copied.
    Outlived {
        /// The run that was refused.
        refused: Run,
    },
    /// Your generation is over: these forced recoveries have begun those after it (rule C16).
    Recovered {
        /// The recoveries, oldest first.
        recoveries: Vec<Recovery>,
    },
}

impl Envelope {
    /// The bytes that are sent.
    pub fn encode(&self) -> Bytes {
        codec::encode_sized(kinds::MESSAGE, self, self.message.size_expected())
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// When the bytes are no envelope.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kinds::MESSAGE, bytes)
    }
}

impl Message {
    /// The epoch in which a coordinator or campaigner speaks; `None` for what does not depend on
    /// one. It is compared once, before anything else (rule C1).
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Prepare { epoch, .. }
            | Self::ConfirmTransaction { epoch, .. }
            | Self::TransferCoordinator { epoch }
            | Self::SnapshotOffer { epoch, .. }
            | Self::Attest { epoch, .. } => Some(*epoch),
            Self::ReplicateWrite(write) => Some(write.epoch),
            Self::Heartbeat(heartbeat) => Some(heartbeat.epoch),
            _ => None,
        }
    }

    /// Whether every counter that it names is one that a member can have reached, so that counting on
    /// from it is possible. Nobody reaches `COUNTER_MAX`; a message that names a higher one is
    /// made up.
    pub fn is_in_range(&self) -> bool {
        let index = |index: &LogIndex| index.0 <= COUNTER_MAX;
        let epoch = |epoch: &Epoch| epoch.number <= COUNTER_MAX;
        let end = |end: &LogEnd| epoch(&end.epoch) && index(&end.index);
        let point = |point: &Point| epoch(&point.epoch) && index(&point.index);
        let is_epoch_in_range = self.epoch().as_ref().is_none_or(epoch);
        let is_rest_in_range = match self {
            Self::PreVote { number, last } => *number <= COUNTER_MAX && end(last),
            Self::PreVoteReply { number, promised, .. } => {
                *number <= COUNTER_MAX && epoch(promised)
            }
            Self::Prepare { last, .. } => end(last),
            Self::Refuse { promised } | Self::Promise { epoch: promised } => epoch(promised),
            Self::ReplicateWrite(write) => {
                let entries = write.entries.iter().map(LogEntry::point);
                entries.chain([&write.before]).all(point) && index(&write.watermark)
            }
            Self::ReplicateAck(ack) => {
                epoch(&ack.epoch) && index(&ack.matched) && index(&ack.wants) && ack.wants.0 > 0
            }
            Self::ConfirmTransaction { watermark, .. } => index(watermark),
            Self::Heartbeat(heartbeat) => index(&heartbeat.last) && index(&heartbeat.watermark),
            Self::ReadIndexReply { index: answer, .. } => answer.as_ref().is_none_or(index),
            Self::SnapshotOffer { point: offered, .. } => point(offered),
            Self::Attest { index: asked, .. } => index(asked),
            Self::Configurations { chain } | Self::Welcome { chain, .. } => {
                chain.iter().all(|certified| point(certified.entry.point()))
            }
            Self::Recovered { recoveries } => {
                recoveries.iter().all(|recovery| point(&recovery.act.kept))
            }
            _ => true,
        };
        is_epoch_in_range && is_rest_in_range
    }

    /// Bytes that an envelope with it takes, about.
    fn size_expected(&self) -> usize {
        let entries: &[LogEntry] = match self {
            Self::ReplicateWrite(write) => &write.entries,
            _ => &[],
        };
        let bytes: usize = entries.iter().map(|entry| entry.len() + run::OVERHEAD_MAX).sum();
        ENVELOPE_BYTES_EXPECTED + bytes
    }

    /// The message's name, for traces and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PreVote { .. } => "PreVote",
            Self::PreVoteReply { .. } => "PreVoteReply",
            Self::Prepare { .. } => "Prepare",
            Self::Promise { .. } => "Promise",
            Self::Refuse { .. } => "Refuse",
            Self::ReplicateWrite(_) => "ReplicateWrite",
            Self::ReplicateAck(_) => "ReplicateAck",
            Self::ConfirmTransaction { .. } => "ConfirmTransaction",
            Self::Heartbeat(_) => "Heartbeat",
            Self::TransferCoordinator { .. } => "TransferCoordinator",
            Self::ReadIndex { .. } => "ReadIndex",
            Self::ReadIndexReply { .. } => "ReadIndexReply",
            Self::NeedConfiguration { .. } => "NeedConfiguration",
            Self::Configurations { .. } => "Configurations",
            Self::SnapshotOffer { .. } => "SnapshotOffer",
            Self::Attest { .. } => "Attest",
            Self::Attested(_) => "Attested",
            Self::Amnesiac { .. } => "Amnesiac",
            Self::Welcome { .. } => "Welcome",
            Self::Outlived { .. } => "Outlived",
            Self::Recovered { .. } => "Recovered",
        }
    }
}
