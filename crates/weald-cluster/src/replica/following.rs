//! What a member that does not coordinate knows of whoever does.

use std::time::Duration;

use weald_core::{Epoch, LogIndex, Time};

use super::{AckRefusal, buffer::Buffer, freshness::Answers};
use crate::configuration::Member;

/// A member's view of its coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Following {
    /// Who coordinates, if anyone is known to.
    pub(super) coordinator: Option<Member>,
    /// When it was last heard.
    pub(super) heard: Option<Time>,
    /// The last coordinator that was heard, and its epoch: whom a transfer releases.
    pub(super) epoch: Epoch,
    /// Up to here the log is known to agree with the coordinator's.
    pub(super) agreed: LogIndex,
    /// The last confirmation round heard in the epoch.
    pub(super) round: u64,
    /// Entries that came too early.
    pub(super) buffer: Buffer,
    /// An answer is owed: something was heard since the last one.
    pub(super) is_answer_owed: bool,
    /// What the last answer said was matched.
    pub(super) matched_sent: LogIndex,
    /// Why entries were not taken since the last answer.
    pub(super) refusal: Option<AckRefusal>,
    /// Why the entry after the log's end is not taken though it came. Said with every answer until
    /// one is taken, so that the coordinator does not take what follows it for a gap.
    pub(super) standing_refusal: Option<AckRefusal>,
    /// The end of the log is of another history than the coordinator's.
    pub(super) is_tail_foreign: bool,
    /// The entry whose effect the coordinator wants to compare.
    pub(super) effect_wanted: Option<LogIndex>,
    /// Whom to promise, once the promise is durable.
    pub(super) promise_owed: Option<(Member, Epoch)>,
    /// A snapshot is being fetched.
    pub(super) is_installing: bool,
    /// What chance adds to the wait before a campaign.
    pub(super) jitter: Duration,
    /// When to campaign; `None` for who never does.
    campaign_due: Option<Time>,
    /// When what was answered; kept while the epoch is the same, whoever is followed in between.
    pub(super) answers: Answers,
}

impl Following {
    pub(super) fn new(watermark: LogIndex) -> Self {
        Self {
            coordinator: None,
            heard: None,
            epoch: Epoch::default(),
            agreed: watermark,
            round: 0,
            buffer: Buffer::default(),
            is_answer_owed: false,
            matched_sent: LogIndex::ZERO,
            refusal: None,
            standing_refusal: None,
            is_tail_foreign: false,
            effect_wanted: None,
            promise_owed: None,
            is_installing: false,
            jitter: Duration::ZERO,
            campaign_due: None,
            answers: Answers::default(),
        }
    }

    /// Begins to follow a coordinator, or nobody, in a new epoch. What is committed agrees with any
    /// coordinator's log.
    pub(super) fn follow(&mut self, coordinator: Option<Member>, epoch: Epoch, agreed: LogIndex) {
        self.coordinator = coordinator;
        if coordinator.is_some() {
            self.epoch = epoch;
        }
        self.agreed = agreed;
        self.round = 0;
        self.buffer.clear();
        self.is_answer_owed = false;
        self.matched_sent = LogIndex::ZERO;
        self.refusal = None;
        self.standing_refusal = None;
        self.is_tail_foreign = false;
        self.effect_wanted = None;
        self.is_installing = false;
    }

    /// Notes that the log agrees with the coordinator's up to `index`.
    pub(super) fn agree(&mut self, index: LogIndex) {
        self.agreed = self.agreed.max(index);
    }

    /// Whether the coordinator has been silent for `timeout`, or none was ever heard.
    pub(super) fn is_silent(&self, now: Time, timeout: Duration) -> bool {
        self.coordinator.is_none() || self.heard.is_none_or(|heard| now.since(heard) >= timeout)
    }

    pub(super) fn campaign_due(&self) -> Option<Time> {
        self.campaign_due
    }

    pub(super) fn set_campaign_due(&mut self, due: Option<Time>) {
        self.campaign_due = due;
    }

    /// Owes the coordinator an answer that entries were not taken.
    pub(super) fn owe_refusal(&mut self, refusal: AckRefusal) {
        self.is_answer_owed = true;
        self.refusal = Some(refusal);
    }

    /// Owes the coordinator an answer that the entry after the log's end is not taken.
    pub(super) fn owe_standing_refusal(&mut self, refusal: AckRefusal) {
        self.is_answer_owed = true;
        self.standing_refusal = Some(refusal);
    }

    /// What the next answer says about entries that were not taken.
    pub(super) fn take_refusal(&mut self) -> Option<AckRefusal> {
        let passing = self.refusal.take();
        self.standing_refusal.or(passing)
    }
}
