//! One request under way: what was tried, what is unanswered, what comes next.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weald_core::{PartitionId, PeerId, Time};

use super::{
    super::{
        limits::{TRIED_MAX, UNANSWERED_MAX},
        map::Reign,
        message::{Purpose, Ticket},
    },
    Submit,
};

/// What a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Phase {
    /// The answer to the last attempt.
    Asked { peer: PeerId, partition: PartitionId, attempt: u32 },
    /// The time to try again.
    Paused,
}

/// A request under way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    pub(super) purpose: Purpose,
    pub(super) payload: Bytes,
    pub(super) deadline: Time,
    pub(super) phase: Phase,
    /// When the phase ends by itself; what the timer is set to.
    pub(super) due: Time,
    /// Attempts so far.
    pub(super) attempt_count: u32,
    /// Failures so far, for the length of pauses.
    pub(super) failure_count: u32,
    /// Times that it was forwarded. Never falls.
    pub(super) hops: u8,
    /// Who was asked in this round; a round ends when nobody is left.
    pub(super) tried: BTreeSet<PeerId>,
    /// Who is asked next, whatever the map says.
    pub(super) next: Option<PeerId>,
    /// Whose coordinator failed this request in this round: who names it knows no more.
    pub(super) failed: Option<Reign>,
    /// Attempts that nobody answered: each may have been taken.
    unanswered: BTreeMap<u32, PeerId>,
    /// Somebody may have taken it, and it is no longer known which attempt that was.
    taken_by: Option<PeerId>,
}

impl Pending {
    pub(super) fn new(submit: Submit, now: Time) -> Self {
        Self {
            ticket: submit.ticket,
            purpose: submit.purpose,
            payload: submit.payload,
            deadline: submit.deadline,
            phase: Phase::Paused,
            due: now,
            attempt_count: 0,
            failure_count: 0,
            hops: submit.hops,
            tried: submit.tried.into_iter().take(TRIED_MAX).collect(),
            next: None,
            failed: None,
            unanswered: BTreeMap::new(),
            taken_by: None,
        }
    }

    /// Notes that an attempt leaves for `peer` and returns its number.
    pub(super) fn ask(&mut self, peer: PeerId, partition: PartitionId) -> u32 {
        self.attempt_count = self.attempt_count.saturating_add(1);
        let attempt = self.attempt_count;
        if self.tried.len() < TRIED_MAX {
            self.tried.insert(peer);
        }
        self.next = None;
        self.unanswered.insert(attempt, peer);
        if self.unanswered.len() > UNANSWERED_MAX {
            self.taken_by = self.unanswered.pop_first().map(|(_, peer)| peer);
        }
        self.phase = Phase::Asked { peer, partition, attempt };
        attempt
    }

    /// Whether `peer` was asked by `attempt` and has not answered it yet.
    pub(super) fn is_unanswered(&self, attempt: u32, peer: &PeerId) -> bool {
        self.unanswered.get(&attempt) == Some(peer)
    }

    /// The peer did not take this attempt and will not.
    pub(super) fn refuse(&mut self, attempt: u32) {
        self.unanswered.remove(&attempt);
    }

    /// The peer took this attempt and cannot tell.
    pub(super) fn take(&mut self, attempt: u32) {
        self.taken_by = self.unanswered.remove(&attempt).or(self.taken_by);
    }

    /// Who may have taken the request, the last one asked first; `None` when nobody has.
    pub(super) fn taker(&self) -> Option<PeerId> {
        self.unanswered.last_key_value().map(|(_, peer)| *peer).or(self.taken_by)
    }

    /// Whether the answer to `attempt` is the one that is waited for.
    pub(super) fn is_current(&self, attempt: u32) -> bool {
        matches!(self.phase, Phase::Asked { attempt: current, .. } if current == attempt)
    }

    /// Everybody may be asked again.
    pub(super) fn begin_round(&mut self) {
        self.tried.clear();
        self.failed = None;
    }
}
