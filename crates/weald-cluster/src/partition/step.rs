//! What an entry comes to, and how the tables take it in.

use bytes::Bytes;
use weald_core::{
    BlockId, DigestBuilder, Effects, Outcome, PartId, PendAnswer, PlacementKey, Rejection,
    Revision, SessionStamp, Settings, SystemState, Time, TransactionId, codec,
};

use super::{
    Decision, Dissolution, Partition,
    execution::{Execution, Place},
    locks::Part,
    results::Kept,
    rows::{self, MachineRow},
};

/// Expired rows dropped by one entry, at most, so that no entry takes long.
const SWEEP_MAX: usize = 256;

/// What one entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// To be committed to the store at the entry's index.
    pub effects: Effects,
    /// The transaction that the entry carried, decided or resolved, with its outcome.
    pub settled: Option<(TransactionId, Outcome)>,
    /// The transaction whose part the entry carried, with what is told its primary.
    pub pended: Option<(TransactionId, PendAnswer)>,
    /// The part of a decision that the entry noted as carried out.
    pub carried_out: Option<(PartId, Vec<PlacementKey>)>,
    /// Why an entry that names no transaction had no effect.
    pub refusal: Option<Rejection>,
    /// The part that the entry resolved here, or found resolved; the primary is to be told.
    pub resolved: Option<(PartId, Vec<PlacementKey>)>,
    /// The collections that changed, by the id of their header block.
    pub changed: Vec<(BlockId, Revision)>,
    /// The collections that were locked.
    pub locked: Vec<BlockId>,
    /// The collections that no transaction over several partitions holds any more.
    pub unlocked: Vec<BlockId>,
}

/// What an entry comes to before the tables are touched.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) settled: Option<(TransactionId, Outcome)>,
    pub(super) execution: Execution,
    pub(super) record: Option<Kept>,
    /// The stamp of a request that counts in its session, and the request's expiry.
    pub(super) session: Option<(SessionStamp, Time)>,
    pub(super) pended: Option<(TransactionId, PendAnswer)>,
    pub(super) hold: Option<(TransactionId, Part)>,
    /// The part to let go, and whether it was carried out.
    pub(super) release: Option<(TransactionId, bool)>,
    pub(super) resolved: Option<(PartId, Vec<PlacementKey>)>,
    pub(super) decision: Option<(TransactionId, Decision)>,
    pub(super) carried_out: Option<(PartId, Vec<PlacementKey>)>,
    pub(super) settings: Option<Settings>,
    pub(super) system: Option<SystemState>,
    pub(super) dissolution: Option<Dissolution>,
    pub(super) refusal: Option<Rejection>,
}

impl Step {
    pub(super) fn settled(id: TransactionId, outcome: Outcome) -> Self {
        Self { settled: Some((id, outcome)), ..Self::default() }
    }

    pub(super) fn rejected(id: TransactionId, rejection: Rejection) -> Self {
        Self::settled(id, Outcome::Rejected(rejection))
    }

    pub(super) fn pended(id: TransactionId, answer: PendAnswer) -> Self {
        Self { pended: Some((id, answer)), ..Self::default() }
    }

    pub(super) fn refused(rejection: Rejection) -> Self {
        Self { refusal: Some(rejection), ..Self::default() }
    }
}

impl Partition {
    /// Moves on to `place` by what its entry came to.
    pub(super) fn take(&mut self, place: Place, step: Step) -> Applied {
        self.time = place.time;
        self.applied = place.index;
        let Execution { blocks, floors, changed, created } = step.execution;
        let mut effects = Effects { blocks, floors, ..Effects::default() };
        for collection in created {
            effects.rows.insert(rows::collection_key(collection), Some(Bytes::new()));
        }
        self.sweep(&mut effects);
        if let Some((stamp, expiry)) = step.session {
            let settled = self.sessions.advance(stamp, expiry, &mut effects);
            settled.into_iter().for_each(|id| self.forget(id, &mut effects));
        }
        let is_recorded = step.record.is_some();
        if let (Some(kept), Some((id, _))) = (step.record, &step.settled) {
            self.record(*id, kept, &mut effects);
        }
        let unlocked = self.take_release(step.release, &mut effects);
        let locked = self.take_hold(step.hold, &mut effects);
        if let Some((id, decision)) = step.decision {
            self.decisions.make(id, decision, &mut effects);
        }
        if let Some((part, keys)) = &step.carried_out {
            self.decisions.resolved(*part, keys, &mut effects);
        }
        if let Some(settings) = step.settings {
            effects.rows.insert(rows::settings_key(), Some(rows::settings_value(&settings)));
            self.settings = settings;
        }
        if let Some(system) = step.system {
            super::system::store(&self.system, &system, &mut effects);
            self.system = system;
        }
        if let Some(dissolution) = step.dissolution {
            let row = rows::dissolution_value(&dissolution);
            effects.rows.insert(rows::dissolution_key(), Some(row));
            self.dissolution = dissolution;
        }
        let settled = step.settled.as_ref().filter(|_| !is_recorded);
        let outcome = settled.map(|(_, outcome)| outcome);
        let answers = (outcome, step.pended.as_ref(), step.refusal.as_ref());
        self.chain_effects(answers, &mut effects);
        Applied {
            effects,
            settled: step.settled,
            pended: step.pended,
            refusal: step.refusal,
            resolved: step.resolved,
            carried_out: step.carried_out,
            changed,
            locked,
            unlocked,
        }
    }

    fn take_hold(
        &mut self,
        hold: Option<(TransactionId, Part)>,
        effects: &mut Effects,
    ) -> Vec<BlockId> {
        let Some((id, part)) = hold else { return Vec::new() };
        let locked = part.intents.keys().copied().collect();
        self.locks.hold(id, part, effects);
        locked
    }

    fn take_release(
        &mut self,
        release: Option<(TransactionId, bool)>,
        effects: &mut Effects,
    ) -> Vec<BlockId> {
        let Some((id, is_committed)) = release else { return Vec::new() };
        let part = self.locks.release(&id, is_committed, effects);
        part.map(|part| part.intents.into_keys().collect()).unwrap_or_default()
    }

    fn record(&mut self, id: TransactionId, kept: Kept, effects: &mut Effects) {
        if let Some(stamp) = kept.session {
            self.sessions.note(stamp, id);
        }
        effects.rows.insert(rows::result_key(&id), Some(rows::result_value(&kept)));
        self.results.insert(id, kept);
    }

    fn forget(&mut self, id: TransactionId, effects: &mut Effects) {
        if self.results.remove(&id).is_some() {
            effects.rows.insert(rows::result_key(&id), None);
        }
    }

    fn sweep(&mut self, effects: &mut Effects) {
        for id in self.results.expired(self.time, SWEEP_MAX) {
            if let Some(stamp) = self.results.get(&id).and_then(|kept| kept.session) {
                self.sessions.unnote(&stamp);
            }
            self.forget(id, effects);
        }
        self.sessions.sweep(self.time, SWEEP_MAX, effects);
        self.locks.sweep(self.time, SWEEP_MAX, effects);
    }

    /// Extends the effect hash by the effects, and by the answers that no row keeps.
    fn chain_effects(
        &mut self,
        answers: (Option<&Outcome>, Option<&(TransactionId, PendAnswer)>, Option<&Rejection>),
        effects: &mut Effects,
    ) {
        let mut digest = DigestBuilder::new("weald effects");
        digest
            .part(self.effect_hash.as_bytes())
            .number(self.applied.0)
            .number(self.time.as_millis());
        effects.digest_into(&mut digest);
        let (outcome, pended, refusal) = answers;
        if let Some(outcome) = outcome {
            digest.part(&codec::encode(codec::Kind::OUTCOME, outcome));
        }
        if let Some((id, answer)) = pended {
            digest.part(&id.to_bytes()).part(&codec::encode(codec::Kind::PEND_ANSWER, answer));
        }
        if let Some(refusal) = refusal {
            let outcome = Outcome::Rejected(refusal.clone());
            digest.part(&codec::encode(codec::Kind::OUTCOME, &outcome));
        }
        self.effect_hash = digest.finish();
        let row = MachineRow { time: self.time, effect_hash: self.effect_hash };
        effects.rows.insert(rows::machine_key(), Some(row.encode()));
    }
}
