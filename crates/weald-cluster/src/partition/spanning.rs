//! Transactions over several partitions (`docs/protocol.md`): a participant pends its part and
//! carries out what the primary decided; the primary's commit is the decision.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weald_core::{
    BlockSource, CollectionName, Commit, Executor, Halt, LOCK_HELD, Outcome, OwnPart, PartId, Pend,
    PendAnswer, PlacementKey, Position, Rejection, Revision, SpanningAbort, SpanningCommit,
    TransactionId,
    limits::{ENTRY_BYTES_MAX, TRANSACTION_ACTIONS_MAX},
};

use super::{
    Decision, Partition, busy,
    execution::{Execution, Job, Place, Stop, carry_out},
    locks::{Part, Terms},
    results::Kept,
    single::{Refused, keep_until, narrow},
    step::Step,
};

/// What the primary's own part comes to, with the part to let go.
struct Own {
    execution: Execution,
    outcome: Outcome,
}

impl Partition {
    /// Executes a part and keeps what it would change. Every refusal of a part happens here.
    pub(super) fn pend(
        &self,
        place: Place,
        pend: &Pend,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Step, Halt> {
        if let Some(answer) = self.pend_answer(place, pend) {
            return Ok(Step::pended(pend.id, answer));
        }
        let terms = Terms {
            digest: pend.digest,
            expiry: pend.expiry,
            session: pend.session,
            is_primary: pend.is_primary,
            deadline: place.time.after(LOCK_HELD),
            pend: place.position(),
        };
        let job = Job { id: pend.id, body: &pend.body, marks: &pend.marks };
        let part = match self.runner(place, executor).pend(job, terms, view) {
            Ok(part) => part,
            Err(Stop::Halt(halt)) => return Err(halt),
            Err(Stop::Refused(why)) => {
                return Ok(Step::pended(pend.id, PendAnswer::Refused(why)));
            }
        };
        let max = self.settings.limits.intent_bytes_max;
        if self.locks.bytes().saturating_add(part.bytes()) > max {
            let why = busy("bytes of intents", max);
            return Ok(Step::pended(pend.id, PendAnswer::Refused(why)));
        }
        let answer = PendAnswer::Pended(part.pended(pend.id));
        let hold = (!part.is_empty()).then_some((pend.id, part));
        Ok(Step { hold, ..Step::pended(pend.id, answer) })
    }

    /// The answer to a `Pend` that is not executed.
    fn pend_answer(&self, place: Place, pend: &Pend) -> Option<PendAnswer> {
        let (id, time) = (&pend.id, place.time);
        if let Some(Outcome::Rejected(Rejection::IdReused)) = self.known(id, pend.digest, time) {
            return Some(PendAnswer::Refused(Rejection::IdReused));
        }
        if let Some(part) = self.locks.part(id) {
            return Some(PendAnswer::Pended(part.pended(pend.id)));
        }
        if self.results.live(id, time).is_some() || self.locks.tombstone(id, time).is_some() {
            return Some(PendAnswer::Resolved);
        }
        let by_session = pend.session.and_then(|stamp| self.session_refusal(&stamp, time));
        let max = self.settings.limits.pends_max;
        let is_full = || (self.locks.len() >= narrow(max)).then(|| busy("pended", max));
        let refusal = by_session.or_else(|| self.expiry_refusal(pend.expiry, time));
        refusal.or_else(is_full).map(PendAnswer::Refused)
    }

    /// Decides to commit, if the primary's own part can.
    pub(super) fn commit(
        &self,
        place: Place,
        commit: &SpanningCommit,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Step, Halt> {
        let id = commit.id;
        if let Some(outcome) = self.known(&id, commit.digest, place.time) {
            return Ok(Step::settled(id, outcome));
        }
        if let Some(rejection) = self.commit_refusal(place, commit) {
            return Ok(Step::rejected(id, rejection));
        }
        if let Some(why) = self.lapsed(place, commit) {
            let &SpanningCommit { id, digest, expiry, session, .. } = commit;
            let refused = Refused { id, digest: Some(digest), expiry, session, why };
            return Ok(self.reject(place.time, refused));
        }
        let Own { execution, outcome } = self.own(place, commit, view, executor)?;
        let outcome = match outcome {
            Outcome::Committed(own) => whole(own, commit),
            refused => refused,
        };
        let is_committed = matches!(outcome, Outcome::Committed(_));
        let execution = if is_committed { execution } else { Execution::default() };
        let decision = Decision { time: place.time, outstanding: outstanding(commit) };
        let has_others = is_committed && !decision.outstanding.is_empty();
        let record = Kept {
            digest: Some(commit.digest),
            outcome: outcome.clone(),
            keep_until: keep_until(place.time, commit.session, commit.expiry),
            session: commit.session,
            changed: execution.changed.clone(),
        };
        Ok(Step {
            execution,
            record: Some(record),
            session: commit.session.map(|stamp| (stamp, commit.expiry)),
            release: self.own_part(&id).map(|id| (id, is_committed)),
            decision: has_others.then_some((id, decision)),
            ..Step::settled(id, outcome)
        })
    }

    /// Why a commit decides nothing. No result is kept of these refusals.
    fn commit_refusal(&self, place: Place, commit: &SpanningCommit) -> Option<Rejection> {
        let max = self.settings.limits.decisions_max;
        let is_full = || (self.decisions.len() >= narrow(max)).then(|| busy("decisions", max));
        let refusal = self.refusal(commit.session, commit.expiry, place.time);
        refusal.or_else(is_full)
    }

    /// Why a commit on these parts comes too late: on the terms of one of them it was given up, so
    /// that its partition may have dropped it.
    fn lapsed(&self, place: Place, commit: &SpanningCommit) -> Option<Rejection> {
        let mut locks = commit.participants.iter().map(|participant| &participant.pended.lock);
        locks.find_map(|lock| {
            if lock.holder.id != commit.id {
                let detail = "a commit on another transaction's part".to_owned();
                return Some(Rejection::Invalid { detail });
            }
            let is_settled = |stamp| self.sessions.is_settled(&stamp, place.time);
            let (expiry, log_time) = (lock.expiry, place.time);
            let is_over = expiry < log_time || lock.session.is_some_and(is_settled);
            is_over.then_some(Rejection::Expired { expiry, log_time })
        })
    }

    fn own(
        &self,
        place: Place,
        commit: &SpanningCommit,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Own, Halt> {
        match &commit.own {
            OwnPart::Execute(body) => {
                let job = Job { id: commit.id, body, marks: &[] };
                let (execution, outcome) = self.runner(place, executor).run(job, view)?;
                Ok(Own { execution, outcome })
            }
            OwnPart::Pended(pend) => self.own_pended(place, commit.id, *pend, view),
        }
    }

    fn own_pended(
        &self,
        place: Place,
        id: TransactionId,
        pend: Position,
        view: &dyn BlockSource,
    ) -> Result<Own, Halt> {
        let Some(part) = self.locks.part(&id).filter(|part| part.terms.pend == pend) else {
            let detail = "the primary's own part is not pended".to_owned();
            let outcome = Outcome::Rejected(Rejection::Invalid { detail });
            return Ok(Own { execution: Execution::default(), outcome });
        };
        let commit = Commit {
            position: place.position(),
            time: place.time,
            revisions: part.told.revisions.clone(),
            answers: part.told.answers.clone(),
        };
        let execution = carry_out(part, view)?;
        Ok(Own { execution, outcome: Outcome::Committed(commit) })
    }

    /// Decides not to commit.
    pub(super) fn abort(&self, place: Place, abort: &SpanningAbort) -> Step {
        let id = abort.id;
        if let Some(outcome) = self.known(&id, abort.digest, place.time) {
            return Step::settled(id, outcome);
        }
        let (digest, why) = (Some(abort.digest), abort.rejection.clone());
        let (expiry, session) = (abort.expiry, abort.session);
        self.reject(place.time, Refused { id, digest, expiry, session, why })
    }

    /// Carries out or drops a part. What is not here any more was resolved before. The primary's
    /// own part is not resolved so: its own entries decide.
    pub(super) fn resolve_part(
        &self,
        part: PartId,
        is_committed: bool,
        view: &dyn BlockSource,
    ) -> Result<Step, Halt> {
        let held = self.locks.part(&part.id);
        let is_this = |held: &&Part| held.terms.pend == part.pend && !held.terms.is_primary;
        let Some(held) = held.filter(is_this) else {
            return Ok(Step { resolved: Some((part, Vec::new())), ..Step::default() });
        };
        let execution = if is_committed { carry_out(held, view)? } else { Execution::default() };
        Ok(Step {
            execution,
            release: Some((part.id, is_committed)),
            resolved: Some((part, held.locked_keys())),
            ..Step::default()
        })
    }
}

/// The commit of all parts: the answers and revisions of the participants with the primary's.
fn whole(own: Commit, commit: &SpanningCommit) -> Outcome {
    let mut answers: BTreeMap<usize, Bytes> = BTreeMap::new();
    let mut revisions: BTreeMap<CollectionName, Revision> = own.revisions.into_iter().collect();
    let parts = commit.participants.iter().map(|p| (&p.actions, &p.pended.answers));
    let mut count = 0;
    for (actions, answered) in parts.chain([(&commit.actions, &own.answers)]) {
        if actions.len() != answered.len() {
            return invalid("as many answers as actions");
        }
        count += actions.len();
        let places = actions.iter().filter_map(|place| usize::try_from(*place).ok());
        answers.extend(places.zip(answered.iter().cloned()));
    }
    for participant in &commit.participants {
        revisions.extend(participant.pended.revisions.iter().cloned());
    }
    let is_dense = answers.len() == count && answers.keys().next_back().is_none_or(|l| *l < count);
    if !is_dense {
        return invalid("each action once");
    }
    let bytes: usize = answers.values().map(Bytes::len).sum();
    if let Some(rejection) = too_large(count, bytes) {
        return Outcome::Rejected(rejection);
    }
    let (answers, revisions) = (answers.into_values().collect(), revisions.into_iter().collect());
    Outcome::Committed(Commit { revisions, answers, ..own })
}

fn too_large(actions: usize, answer_bytes: usize) -> Option<Rejection> {
    let bounds = [
        ("actions", actions, TRANSACTION_ACTIONS_MAX),
        ("answer bytes", answer_bytes, ENTRY_BYTES_MAX),
    ];
    let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
    let (what, actual, max) = bounds.into_iter().find(|(_, actual, max)| actual > max)?;
    Some(Rejection::TooLarge { what: what.to_owned(), actual: wide(actual), max: wide(max) })
}

fn invalid(wanted: &str) -> Outcome {
    let detail = format!("a commit over several partitions needs {wanted}");
    Outcome::Rejected(Rejection::Invalid { detail })
}

fn outstanding(commit: &SpanningCommit) -> BTreeMap<PlacementKey, Position> {
    let keys = |pended: &weald_core::Pended| {
        let keys: BTreeSet<PlacementKey> = pended.keys.iter().copied().collect();
        let pend = pended.lock.holder.pend;
        keys.into_iter().map(move |key| (key, pend))
    };
    commit.participants.iter().flat_map(|participant| keys(&participant.pended)).collect()
}
