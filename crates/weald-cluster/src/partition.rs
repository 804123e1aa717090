//! The state machine of one partition: applies the entries of its log in order.
//!
//! Everything it decides follows from the entries, from the blocks and from its own rows; so every
//! member, and every restart, comes to the same effects and the same answers. Its tables are kept
//! as rows beside the blocks ([`Effects::rows`]) and restored from there.
//!
//! The driver's loop: [`Partition::apply`] each committed entry on a view of the store, commit the
//! [`Applied::effects`] at that index, answer [`Applied::settled`]. On [`Halt::Need`] load the
//! blocks and apply again; on [`Halt::Fault`] stop this partition here. A halt changes nothing.

mod execution;
mod results;
mod rows;
mod sessions;

use std::time::Duration;

use bytes::Bytes;
use weald_core::{
    BlockId, BlockSource, Digest, DigestBuilder, Effects, Entry, Executor, Halt, LogIndex, Outcome,
    PartitionId, Payload, Rejection, Revision, SessionStamp, Time, TransactionId,
    TransactionRequest, codec,
    limits::{RESULTS_MAX, SESSIONS_MAX, TransactionLimits},
};

use execution::{Execution, Place};
use results::{Kept, Results};
use rows::{MachineRow, Row};
use sessions::Sessions;

pub use rows::{RowError, collection_of, collections_prefix};

/// How far ahead of log time an expiry may lie (rule C10).
pub const EXPIRY_AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// How long a result without a session is kept, log time: retries begun within 10 minutes, each
/// with a stamp of 30 seconds, are one.
pub const RESULT_KEPT: Duration = Duration::from_secs(11 * 60);
/// Expired rows dropped by one entry, at most, so that no entry takes long.
const SWEEP_MAX: usize = 256;

/// Bounds of a partition's tables. A full table answers `Busy`; nothing is evicted early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLimits {
    /// Results kept, default [`RESULTS_MAX`].
    pub results_max: usize,
    /// Sessions kept, default [`SESSIONS_MAX`].
    pub sessions_max: usize,
    /// What one transaction may touch.
    pub transaction: TransactionLimits,
}

impl Default for PartitionLimits {
    fn default() -> Self {
        Self {
            results_max: RESULTS_MAX,
            sessions_max: SESSIONS_MAX,
            transaction: TransactionLimits::default(),
        }
    }
}

/// The state of one partition besides its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    id: PartitionId,
    limits: PartitionLimits,
    applied: LogIndex,
    time: Time,
    effect_hash: Digest,
    results: Results,
    sessions: Sessions,
}

/// What one entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// To be committed to the store at the entry's index.
    pub effects: Effects,
    /// The transaction that the entry carried or resolved, with its outcome.
    pub settled: Option<(TransactionId, Outcome)>,
    /// The collections that changed, by the id of their header block.
    pub changed: Vec<(BlockId, Revision)>,
}

/// What an entry comes to before the tables are touched.
#[derive(Debug, Default)]
struct Decision {
    settled: Option<(TransactionId, Outcome)>,
    execution: Execution,
    record: Option<Kept>,
    /// The stamp of a request that counts in its session, and the request's expiry.
    session: Option<(SessionStamp, Time)>,
}

impl Partition {
    /// The state before the first entry.
    pub fn new(id: PartitionId, limits: PartitionLimits) -> Self {
        Self {
            id,
            limits,
            applied: LogIndex::ZERO,
            time: Time::ZERO,
            effect_hash: Digest::of("weald effects", &[&id.0.to_le_bytes()]),
            results: Results::default(),
            sessions: Sessions::default(),
        }
    }

    /// The state right after `applied`, from the rows that were committed up to there.
    ///
    /// # Errors
    /// When a row does not parse.
    pub fn restore(
        id: PartitionId,
        limits: PartitionLimits,
        applied: LogIndex,
        rows: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<Self, RowError> {
        let mut partition = Self { applied, ..Self::new(id, limits) };
        for (key, value) in rows {
            match Row::parse(&key, &value)? {
                Row::Machine(row) => {
                    partition.time = row.time;
                    partition.effect_hash = row.effect_hash;
                }
                Row::Result(id, kept) => {
                    if let Some(stamp) = kept.session {
                        partition.sessions.note(stamp, id);
                    }
                    partition.results.insert(id, *kept);
                }
                Row::Session(session, row) => partition.sessions.restore(session, row),
                Row::Collection => {}
            }
        }
        Ok(partition)
    }

    /// Applies the entry at `index` on the state that `view` shows.
    ///
    /// # Errors
    /// [`Halt`]; then nothing has changed and the same call may be made again.
    ///
    /// # Panics
    /// When `index` does not follow the last one: a log without its place is never applied.
    pub fn apply(
        &mut self,
        index: LogIndex,
        entry: &Entry,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Applied, Halt> {
        assert_eq!(index, self.applied.next(), "entries are applied in the order of the log");
        let time = self.time.max(entry.time);
        let decision = match &entry.payload {
            Payload::Noop | Payload::Tick => Decision::default(),
            Payload::Transaction(request) => {
                self.decide(Place { index, time, partition: self.id }, request, view, executor)?
            }
            Payload::Resolve { id, expiry } => self.resolve(time, *id, *expiry),
        };
        self.time = time;
        self.applied = index;
        let mut effects = Effects {
            blocks: decision.execution.blocks,
            floors: decision.execution.floors,
            ..Effects::default()
        };
        for collection in decision.execution.created {
            effects.rows.insert(rows::collection_key(collection), Some(Bytes::new()));
        }
        self.sweep(&mut effects);
        if let Some((stamp, expiry)) = decision.session {
            let settled = self.sessions.advance(stamp, expiry, &mut effects);
            settled.into_iter().for_each(|id| self.forget(id, &mut effects));
        }
        let unrecorded = decision.record.is_none();
        if let (Some(kept), Some((id, _))) = (decision.record, &decision.settled) {
            self.record(*id, kept, &mut effects);
        }
        let outcome = decision.settled.as_ref().filter(|_| unrecorded).map(|(_, outcome)| outcome);
        self.chain_effects(outcome, &mut effects);
        Ok(Applied { effects, settled: decision.settled, changed: decision.execution.changed })
    }

    /// The kept outcome of a transaction; `None` when there is none (yet, or any more).
    pub fn outcome(&self, id: &TransactionId) -> Option<&Outcome> {
        self.results.live(id, self.time).map(|kept| &kept.outcome)
    }

    /// The last applied index.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Log time: the only clock here.
    pub fn time(&self) -> Time {
        self.time
    }

    /// The digest of everything applied so far. Members that differ at one index have diverged.
    pub fn effect_hash(&self) -> Digest {
        self.effect_hash
    }

    /// Log time at which something expires; a driver logs a tick then if nothing else comes.
    pub fn due(&self) -> Option<Time> {
        let earliest = [self.results.first_expiry(), self.sessions.first_expiry()];
        earliest.into_iter().flatten().min()
    }

    /// Results that are kept.
    pub fn result_count(&self) -> usize {
        self.results.len()
    }

    /// Sessions that are kept.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    fn decide(
        &self,
        place: Place,
        request: &TransactionRequest,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Decision, Halt> {
        let digest = request.digest();
        let settle =
            |outcome| Decision { settled: Some((request.id, outcome)), ..Decision::default() };
        if let Some(kept) = self.results.live(&request.id, place.time) {
            return Ok(settle(kept.answer(digest)));
        }
        if let Some(rejection) = self.refusal(request, place.time) {
            return Ok(settle(Outcome::Rejected(rejection)));
        }
        let winners = |collection, revision| self.results.winner(collection, revision);
        let runner = execution::Runner { place, limits: self.limits.transaction, executor };
        let (execution, outcome) = runner.run(request, view, &winners)?;
        let keep_until = match request.session {
            Some(_) => request.expiry,
            None => request.expiry.max(place.time.after(RESULT_KEPT)),
        };
        let kept = Kept {
            digest: Some(digest),
            outcome: outcome.clone(),
            keep_until,
            session: request.session,
            changed: execution.changed.clone(),
        };
        let session = request.session.map(|stamp| (stamp, request.expiry));
        let settled = Some((request.id, outcome));
        Ok(Decision { settled, execution, record: Some(kept), session })
    }

    /// Why a request without a kept result is not executed. Of these refusals no result is kept.
    fn refusal(&self, request: &TransactionRequest, time: Time) -> Option<Rejection> {
        if let Some(stamp) = request.session {
            if stamp.low_water > stamp.number {
                let detail = "a request below its own low-water mark".to_owned();
                return Some(Rejection::Invalid { detail });
            }
            if self.sessions.is_settled(&stamp, time) {
                return Some(Rejection::Forgotten);
            }
            if self.sessions.is_full(&stamp.session, self.limits.sessions_max) {
                return Some(busy("sessions", self.limits.sessions_max));
            }
        }
        self.expiry_refusal(request.expiry, time)
    }

    /// What is past its expiry may have been executed and forgotten; what lies too far ahead would
    /// be kept for too long.
    fn expiry_refusal(&self, expiry: Time, time: Time) -> Option<Rejection> {
        if expiry < time {
            return Some(Rejection::Forgotten);
        }
        if expiry > time.after(EXPIRY_AHEAD_MAX) {
            return Some(Rejection::Expired { expiry, log_time: time });
        }
        let full = self.results.len() >= self.limits.results_max;
        full.then(|| busy("results", self.limits.results_max))
    }

    fn resolve(&self, time: Time, id: TransactionId, expiry: Time) -> Decision {
        let settle = |outcome| Decision { settled: Some((id, outcome)), ..Decision::default() };
        if let Some(kept) = self.results.live(&id, time) {
            return settle(kept.outcome.clone());
        }
        if let Some(rejection) = self.expiry_refusal(expiry, time) {
            return settle(Outcome::Rejected(rejection));
        }
        let outcome = Outcome::Rejected(Rejection::Fenced);
        let record = Kept {
            digest: None,
            outcome: outcome.clone(),
            keep_until: expiry,
            session: None,
            changed: Vec::new(),
        };
        Decision { record: Some(record), ..settle(outcome) }
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
    }

    fn chain_effects(&mut self, unrecorded: Option<&Outcome>, effects: &mut Effects) {
        let mut digest = DigestBuilder::new("weald effects");
        digest
            .part(self.effect_hash.as_bytes())
            .number(self.applied.0)
            .number(self.time.as_millis());
        effects.digest_into(&mut digest);
        if let Some(outcome) = unrecorded {
            digest.part(&codec::encode(codec::Kind::OUTCOME, outcome));
        }
        self.effect_hash = digest.finish();
        let row = MachineRow { time: self.time, effect_hash: self.effect_hash };
        effects.rows.insert(rows::machine_key(), Some(row.encode()));
    }
}

fn busy(what: &str, max: usize) -> Rejection {
    Rejection::Busy { what: what.to_owned(), max: u64::try_from(max).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests;
