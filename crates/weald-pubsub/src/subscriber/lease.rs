//! The subscription itself: begun, renewed at two thirds of its time, begun anew when it was lost.

use std::time::Duration;

use weald_core::Time;

use crate::{LeaseAction, LeaseAnswer, LeaseRequest, TopicPosition, TopicRefusal};

/// How long an answer is waited for before the request is made again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// When to ask what of the topic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LeaseKeeper {
    stream: u64,
    lasts: Duration,
    /// The last nonce; the next is the time, or one more.
    nonce: u64,
    action: LeaseAction,
    due: Time,
}

impl LeaseKeeper {
    pub(super) const fn new(stream: u64, lasts: Duration, now: Time) -> Self {
        Self { stream, lasts, nonce: 0, action: LeaseAction::Subscribe, due: now }
    }

    pub(super) const fn nonce(&self) -> u64 {
        self.nonce
    }

    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Makes the next request due.
    pub(super) fn hurry(&mut self, now: Time) {
        self.due = self.due.min(now);
    }

    /// The request that is due; asked again, with another nonce, until it is answered.
    pub(super) fn poll_request(
        &mut self,
        now: Time,
        last_seen: TopicPosition,
    ) -> Option<LeaseRequest> {
        if now < self.due {
            return None;
        }
        self.due = now.after(ANSWER_TIMEOUT);
        Some(self.request(now, self.action, last_seen))
    }

    /// The request that ends the subscription.
    pub(super) fn ending(&mut self, now: Time, last_seen: TopicPosition) -> LeaseRequest {
        self.request(now, LeaseAction::Unsubscribe, last_seen)
    }

    pub(super) fn handle_answer(&mut self, now: Time, answer: &LeaseAnswer) {
        self.action = LeaseAction::Renew;
        self.due = now.after(answer.expires_at.since(now) * 2 / 3);
    }

    pub(super) fn handle_refusal(&mut self, now: Time, refusal: &TopicRefusal) {
        match refusal {
            TopicRefusal::NotSubscribed => {
                self.action = LeaseAction::Subscribe;
                self.due = now;
            }
            TopicRefusal::StaleNonce { highest } => {
                self.nonce = self.nonce.max(*highest);
                self.due = now;
            }
            _ => self.due = now.after(ANSWER_TIMEOUT),
        }
    }

    fn request(
        &mut self,
        now: Time,
        action: LeaseAction,
        last_seen: TopicPosition,
    ) -> LeaseRequest {
        self.nonce = now.as_millis().max(self.nonce.saturating_add(1));
        let (stream, nonce, expires_at) = (self.stream, self.nonce, now.after(self.lasts));
        LeaseRequest { action, stream, nonce, signed_at: now, expires_at, last_seen }
    }
}
