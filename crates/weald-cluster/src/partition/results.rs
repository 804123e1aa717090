//! Results of transactions, kept so that a retry is answered and never applied twice (rule C10).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weald_core::{
    BlockId, Digest, Outcome, Rejection, Revision, SessionStamp, Time, TransactionId,
};

/// One kept result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What was asked; `None` for an id that was fenced before its request came.
    pub(super) digest: Option<Digest>,
    pub(super) outcome: Outcome,
    /// Kept while log time is not past this.
    pub(super) keep_until: Time,
    pub(super) session: Option<SessionStamp>,
    /// The collections that the transaction changed.
    pub(super) changed: Vec<(BlockId, Revision)>,
}

impl Kept {
    /// What a copy of the request is answered.
    pub(super) fn answer(&self, digest: Digest) -> Outcome {
        match self.digest {
            Some(kept) if kept != digest => Outcome::Rejected(Rejection::IdReused),
            _ => self.outcome.clone(),
        }
    }
}

/// The table of results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Results {
    /// Boxed, so that the nodes of the map are small.
    by_id: BTreeMap<TransactionId, Box<Kept>>,
    by_expiry: BTreeSet<(Time, TransactionId)>,
    /// Who wrote a revision, as long as its result is kept: a loser is told its winner.
    writers: BTreeMap<(BlockId, Revision), TransactionId>,
}

impl Results {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &TransactionId) -> Option<&Kept> {
        self.by_id.get(id).map(|kept| &**kept)
    }

    /// The result of `id` if it is kept at `time`, swept or not.
    pub(super) fn live(&self, id: &TransactionId, time: Time) -> Option<&Kept> {
        self.get(id).filter(|kept| kept.keep_until >= time)
    }

    /// The transaction that wrote `revision` of `collection`, where it is known.
    pub(super) fn winner(&self, collection: BlockId, revision: Revision) -> Option<TransactionId> {
        self.writers.get(&(collection, revision)).copied()
    }

    pub(super) fn first_expiry(&self) -> Option<Time> {
        self.by_expiry.first().map(|(time, _)| *time)
    }

    /// Up to `max` ids whose time is over, oldest first.
    pub(super) fn expired(&self, time: Time, max: usize) -> Vec<TransactionId> {
        let over = self.by_expiry.iter().take_while(|(keep_until, _)| *keep_until < time);
        over.take(max).map(|(_, id)| *id).collect()
    }

    /// Adds a result; one kept under the id before is past its time and goes.
    pub(super) fn insert(&mut self, id: TransactionId, kept: Kept) {
        self.remove(&id);
        self.by_expiry.insert((kept.keep_until, id));
        for &changed in &kept.changed {
            self.writers.insert(changed, id);
        }
        self.by_id.insert(id, Box::new(kept));
    }

    pub(super) fn remove(&mut self, id: &TransactionId) -> Option<Box<Kept>> {
        let kept = self.by_id.remove(id)?;
        self.by_expiry.remove(&(kept.keep_until, *id));
        for changed in &kept.changed {
            self.writers.remove(changed);
        }
        Some(kept)
    }
}
