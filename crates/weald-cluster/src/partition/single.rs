//! Transactions on one partition, and the settling of ids (rule C10).

use weald_core::{
    BlockSource, Digest, Executor, Halt, Outcome, Rejection, SessionStamp, Time, TransactionId,
    TransactionRequest,
};

use super::{
    EXPIRY_AHEAD_MAX, Partition, RESULT_KEPT, busy,
    execution::{Job, Place, Runner},
    results::Kept,
    step::Step,
};

impl Partition {
    pub(super) fn runner<'a>(&'a self, place: Place, executor: &'a dyn Executor) -> Runner<'a> {
        let (settings, results, locks) = (&self.settings, &self.results, &self.locks);
        Runner { place, settings, executor, results, locks }
    }

    pub(super) fn single(
        &self,
        place: Place,
        request: &TransactionRequest,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Step, Halt> {
        let (id, digest) = (request.id, request.digest());
        if let Some(outcome) = self.known(&id, digest, place.time) {
            return Ok(Step::settled(id, outcome));
        }
        if let Some(rejection) = self.refusal(request.session, request.expiry, place.time) {
            return Ok(Step::rejected(id, rejection));
        }
        let job = Job { id, body: &request.body, marks: &[] };
        let (execution, outcome) = self.runner(place, executor).run(job, view)?;
        let (session, expiry) = (request.session, request.expiry);
        let kept = Kept {
            digest: Some(digest),
            outcome: outcome.clone(),
            keep_until: keep_until(place.time, session, expiry),
            session,
            changed: execution.changed.clone(),
        };
        let session = session.map(|stamp| (stamp, expiry));
        let release = self.own_part(&id).map(|id| (id, false));
        let record = Some(kept);
        Ok(Step { execution, record, session, release, ..Step::settled(id, outcome) })
    }

    /// What a request is answered that is no news here: its result, or that its id names another.
    pub(super) fn known(&self, id: &TransactionId, digest: Digest, time: Time) -> Option<Outcome> {
        if let Some(kept) = self.results.live(id, time) {
            return Some(kept.answer(digest));
        }
        let part = self.locks.part(id).map(|part| part.terms.digest);
        let other = part.or_else(|| Some(self.locks.tombstone(id, time)?.digest));
        other.filter(|other| *other != digest).map(|_| Outcome::Rejected(Rejection::IdReused))
    }

    /// The id, if this is its primary and a part of it waits here: what settles the id lets it go.
    pub(super) fn own_part(&self, id: &TransactionId) -> Option<TransactionId> {
        self.locks.part(id).filter(|part| part.terms.is_primary).map(|_| *id)
    }

    /// Why a request without a kept result is not executed. Of these refusals no result is kept.
    pub(super) fn refusal(
        &self,
        session: Option<SessionStamp>,
        expiry: Time,
        time: Time,
    ) -> Option<Rejection> {
        if let Some(stamp) = session {
            if let Some(rejection) = self.session_refusal(&stamp, time) {
                return Some(rejection);
            }
            let max = self.settings.limits.sessions_max;
            if self.sessions.is_full(&stamp.session, narrow(max)) {
                return Some(busy("sessions", max));
            }
        }
        self.expiry_refusal(expiry, time).or_else(|| {
            let max = self.settings.limits.results_max;
            (self.results.len() >= narrow(max)).then(|| busy("results", max))
        })
    }

    /// Why a request is not executed for its place in its client's session.
    pub(super) fn session_refusal(&self, stamp: &SessionStamp, time: Time) -> Option<Rejection> {
        if stamp.low_water > stamp.number {
            let detail = "a request below its own low-water mark".to_owned();
            return Some(Rejection::Invalid { detail });
        }
        self.sessions.is_settled(stamp, time).then_some(Rejection::Forgotten)
    }

    /// What is past its expiry may have been executed and forgotten; what lies too far ahead would
    /// be kept for too long.
    pub(super) fn expiry_refusal(&self, expiry: Time, time: Time) -> Option<Rejection> {
        if expiry < time {
            return Some(Rejection::Forgotten);
        }
        let is_ahead = expiry > time.after(EXPIRY_AHEAD_MAX);
        is_ahead.then_some(Rejection::Expired { expiry, log_time: time })
    }

    /// Settles an id: its result stands, or none will ever be.
    pub(super) fn resolve(
        &self,
        time: Time,
        id: TransactionId,
        expiry: Time,
        session: Option<SessionStamp>,
    ) -> Step {
        if let Some(kept) = self.results.live(&id, time) {
            return Step::settled(id, kept.outcome.clone());
        }
        self.reject(time, Refused { id, digest: None, expiry, session, why: Rejection::Fenced })
    }

    /// Records that a transaction without a result will never have another than this rejection.
    pub(super) fn reject(&self, time: Time, refused: Refused) -> Step {
        let Refused { id, digest, expiry, session, why } = refused;
        let release = self.own_part(&id).map(|id| (id, false));
        if let Some(rejection) = self.refusal(session, expiry, time) {
            // What is forgotten is never executed, so that nobody has to wait for it.
            let release = release.filter(|_| rejection == Rejection::Forgotten);
            return Step { release, ..Step::rejected(id, rejection) };
        }
        let outcome = Outcome::Rejected(why);
        let record = Kept {
            digest,
            outcome: outcome.clone(),
            keep_until: match digest {
                Some(_) => keep_until(time, session, expiry),
                None => expiry,
            },
            session,
            changed: Vec::new(),
        };
        let session = session.map(|stamp| (stamp, expiry));
        Step { record: Some(record), session, release, ..Step::settled(id, outcome) }
    }
}

/// A transaction that is to be refused for good.
pub(super) struct Refused {
    pub(super) id: TransactionId,
    /// `None` where the request is not known.
    pub(super) digest: Option<Digest>,
    pub(super) expiry: Time,
    pub(super) session: Option<SessionStamp>,
    pub(super) why: Rejection,
}

/// Until when a result is kept.
pub(super) fn keep_until(time: Time, session: Option<SessionStamp>, expiry: Time) -> Time {
    match session {
        Some(_) => expiry,
        None => expiry.max(time.after(RESULT_KEPT)),
    }
}

pub(super) fn narrow(max: u64) -> usize {
    usize::try_from(max).unwrap_or(usize::MAX)
}
