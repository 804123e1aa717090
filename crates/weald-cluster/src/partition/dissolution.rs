//! Whether a network that this partition belongs to may still join another: only while nobody has
//! used it. What decides is in the log, so a crash in the middle changes no decision.

use serde::{Deserialize, Serialize};
use weald_core::{Digest, Payload, PendAnswer, Rejection, SpanningCommit};

use super::{Partition, execution::Place, single::Refused, step::Step};

/// How a partition stands to the end of its network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Dissolution {
    /// A user's entry was taken. Stays so.
    pub is_used: bool,
    /// A second node was let in; in the system partition. Stays so.
    pub has_company: bool,
    /// The network that is joined instead: no user's entry is taken.
    pub into: Option<Digest>,
}

impl Dissolution {
    /// Whether nothing stands against the network's end.
    pub const fn is_pristine(&self) -> bool {
        !self.is_used && !self.has_company
    }
}

impl Partition {
    /// Whether this partition's network may still join another, or has.
    pub fn dissolution(&self) -> &Dissolution {
        &self.dissolution
    }

    /// What an entry comes to that is refused since the network has joined another.
    pub(super) fn dissolved(&self, place: Place, payload: &Payload) -> Option<Step> {
        let why = Rejection::Dissolved { into: self.dissolution.into? };
        match payload {
            Payload::Transaction(request) => {
                let (id, digest) = (request.id, request.digest());
                if let Some(outcome) = self.known(&id, digest, place.time) {
                    return Some(Step::settled(id, outcome));
                }
                let (expiry, session) = (request.expiry, request.session);
                let refused = Refused { id, digest: Some(digest), expiry, session, why };
                Some(self.reject(place.time, refused))
            }
            Payload::Pend(pend) => Some(Step::pended(pend.id, PendAnswer::Refused(why))),
            Payload::Commit(commit) => {
                let &SpanningCommit { id, expiry, session, digest, .. } = commit;
                let refused = Refused { id, digest: Some(digest), expiry, session, why };
                Some(self.reject(place.time, refused))
            }
            Payload::System(_) => Some(Step::refused(why)),
            _ => None,
        }
    }

    pub(super) fn dissolve(&self, into: Option<Digest>) -> Step {
        match into {
            Some(_) if !self.dissolution.is_pristine() => Step::refused(Rejection::InUse),
            _ => Step::default(),
        }
    }

    /// The standing after an entry that comes to `step`, if it is another one.
    pub(super) fn dissolution_after(&self, payload: &Payload, step: &Step) -> Option<Dissolution> {
        let mut after = self.dissolution;
        after.is_used |= payload.is_users() && after.into.is_none();
        after.has_company |= step.system.as_ref().is_some_and(|system| system.nodes.len() > 1);
        if let (Payload::Dissolve { into }, None) = (payload, &step.refusal) {
            after.into = *into;
        }
        (after != self.dissolution).then_some(after)
    }
}
