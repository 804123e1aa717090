//! The state machine of one partition: applies the entries of its log in order.
//!
//! Everything it decides follows from the entries, from the blocks and from its own rows; so every
//! member, and every restart, comes to the same effects and the same answers. Its tables are kept
//! as rows beside the blocks ([`Effects::rows`](weald_core::Effects::rows)) and restored from
//! there. Bounds, registered types and the feature level are such rows, too: a member's own
//! configuration acts at [`Partition::admit`] and nowhere else.
//!
//! The driver's loop: [`Partition::apply`] each committed entry on a view of the store, commit the
//! [`Applied::effects`] at that index, answer what it settled. On [`Halt::Need`] load the blocks
//! and apply again; on [`Halt::Fault`] stop this partition here. A halt changes nothing.
//!
//! Transactions over several partitions are entries here ([`Payload::Pend`], [`Payload::Commit`]
//! and what follows them); [`coordination`] is what drives them between partitions.

pub mod coordination;
mod decisions;
mod dissolution;
mod execution;
mod locks;
mod results;
mod rows;
mod sessions;
mod settings;
mod single;
mod spanning;
mod speculation;
mod step;
mod system;

use std::time::Duration;

use bytes::Bytes;
use weald_core::{
    BlockId, BlockSource, Digest, Entry, Executor, Halt, Lock, LogIndex, Outcome, PartId,
    PartitionId, Payload, PendAnswer, PlacementKey, Rejection, SessionStamp, Settings, SystemState,
    Time, TransactionId, TransactionRequest, Verdict,
    limits::{RESULTS_MAX, SESSIONS_MAX, TransactionLimits},
};

use decisions::Decisions;
use execution::Place;
use locks::{Locks, RestoredParts};
use results::Results;
use rows::Row;
use sessions::Sessions;
use step::Step;

pub use decisions::Decision;
pub use dissolution::Dissolution;
pub use rows::{
    DISSOLUTION_PREFIX, RowError, SYSTEM_PREFIXES, collection_of, collections_prefix,
    dissolution_of, lock_key, lock_of, locks_prefix, system_of,
};
pub use speculation::Speculation;
pub use step::Applied;

/// How far ahead of log time an expiry may lie (rule C10).
pub const EXPIRY_AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// How long a result without a session is kept, log time: retries begun within 10 minutes, each
/// with a stamp of 30 seconds, are one.
pub const RESULT_KEPT: Duration = Duration::from_secs(11 * 60);

/// A member's own bounds. They act before a request is logged ([`Partition::admit`]), so that
/// members which are configured differently still apply alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionLimits {
    /// Results kept, default [`RESULTS_MAX`].
    pub results_max: usize,
    /// Sessions kept, default [`SESSIONS_MAX`].
    pub sessions_max: usize,
    /// What one transaction may carry: its transforms and their bytes.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Partition {
    id: PartitionId,
    applied: LogIndex,
    time: Time,
    effect_hash: Digest,
    settings: Settings,
    results: Results,
    sessions: Sessions,
    locks: Locks,
    decisions: Decisions,
    system: SystemState,
    dissolution: Dissolution,
}

/// A part that waits here, as who drives it needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Waiting {
    /// Who holds what.
    pub lock: Lock,
    /// Whether this partition is the primary.
    pub is_primary: bool,
    /// A placement key of what it holds, for messages to this partition.
    pub key: PlacementKey,
    /// The placement keys of the locked collections.
    pub keys: Vec<PlacementKey>,
}

impl Partition {
    /// The state before the first entry: the same for all time and on every member.
    pub fn new(id: PartitionId) -> Self {
        Self {
            id,
            applied: LogIndex::ZERO,
            time: Time::ZERO,
            effect_hash: Digest::of("weald effects", &[&id.0.to_le_bytes()]),
            settings: Settings::default(),
            results: Results::default(),
            sessions: Sessions::default(),
            locks: Locks::default(),
            decisions: Decisions::default(),
            system: SystemState::default(),
            dissolution: Dissolution::default(),
        }
    }

    /// The state right after `applied`, from the rows that were committed up to there.
    ///
    /// # Errors
    /// When a row does not parse.
    pub fn restore(
        id: PartitionId,
        applied: LogIndex,
        rows: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<Self, RowError> {
        let mut partition = Self { applied, ..Self::new(id) };
        let mut parts = RestoredParts::default();
        for (key, value) in rows {
            match Row::parse(&key, &value)? {
                Row::Intent(collection, row) => parts.intent(collection, *row),
                Row::Transform(row) => parts.transform(*row),
                Row::Part(id, row) => parts.part(id, *row),
                row => partition.restore_row(row),
            }
        }
        parts.finish(&mut partition.locks);
        Ok(partition)
    }

    fn restore_row(&mut self, row: Row) {
        match row {
            Row::Machine(row) => {
                self.time = row.time;
                self.effect_hash = row.effect_hash;
            }
            Row::Result(id, kept) => {
                if let Some(stamp) = kept.session {
                    self.sessions.note(stamp, id);
                }
                self.results.insert(id, *kept);
            }
            Row::Session(session, row) => self.sessions.restore(session, row),
            Row::Tombstone(key, id, row) => self.locks.restore_tombstone(key, id, row),
            Row::Decision(id, decision) => self.decisions.restore(id, decision),
            Row::Settings(settings) => self.settings = *settings,
            Row::Dissolution(dissolution) => self.dissolution = dissolution,
            Row::System(row) => row.restore(&mut self.system),
            Row::Node(peer, record) => drop(self.system.nodes.insert(peer, *record)),
            Row::Range(partition, bounds) => drop(self.system.ranges.insert(partition, bounds)),
            Row::Intent(..) | Row::Transform(_) | Row::Part(..) | Row::Collection => {}
        }
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
        let speculation = self.speculate(entry, view, executor)?;
        Ok(self.apply_speculation(speculation).expect("nothing was applied in between"))
    }

    fn step(
        &self,
        place: Place,
        payload: &Payload,
        view: &dyn BlockSource,
        executor: &dyn Executor,
    ) -> Result<Step, Halt> {
        Ok(match payload {
            Payload::Noop | Payload::Tick => Step::default(),
            Payload::Transaction(request) => self.single(place, request, view, executor)?,
            Payload::Resolve { id, expiry, session } => {
                self.resolve(place.time, *id, *expiry, *session)
            }
            Payload::Settings(entry) => match settings::changed(&self.settings, entry) {
                Ok(settings) => Step { settings: Some(settings), ..Step::default() },
                Err(rejection) => Step::refused(rejection),
            },
            Payload::System(entry) => self.change_system(place, entry),
            Payload::Dissolve { into } => self.dissolve(*into),
            Payload::Pend(pend) => self.pend(place, pend, view, executor)?,
            Payload::Commit(commit) => self.commit(place, commit, view, executor)?,
            Payload::Abort(abort) => self.abort(place, abort),
            Payload::ResolvePart { part, is_committed } => {
                self.resolve_part(*part, *is_committed, view)?
            }
            Payload::PartResolved { part, keys } => {
                Step { carried_out: Some((*part, keys.clone())), ..Step::default() }
            }
        })
    }

    fn change_system(&self, place: Place, entry: &weald_core::SystemEntry) -> Step {
        if self.id != system::SYSTEM {
            let detail = "only the system partition holds the network's state".to_owned();
            return Step::refused(Rejection::Invalid { detail });
        }
        match system::changed(&self.system, entry, place.index) {
            Ok(state) => Step { system: Some(state), ..Step::default() },
            Err(rejection) => Step::refused(rejection),
        }
    }

    /// The refusal of an entry whose kind the partition's feature level does not allow.
    fn level_refusal(&self, payload: &Payload) -> Option<Step> {
        let (needed, level) = (payload.level(), self.settings.level);
        if needed <= level {
            return None;
        }
        let rejection = Rejection::Level { needed, level };
        Some(match payload {
            Payload::Pend(pend) => Step::pended(pend.id, PendAnswer::Refused(rejection)),
            Payload::Commit(commit) => Step::rejected(commit.id, rejection),
            Payload::Abort(abort) => Step::rejected(abort.id, rejection),
            _ => Step::refused(rejection),
        })
    }

    /// Why this member does not log a request, by its own bounds. What is kept here already is
    /// always admitted: it is answered and not executed.
    ///
    /// # Errors
    /// The refusal; nothing is recorded of it.
    pub fn admit(
        &self,
        request: &TransactionRequest,
        limits: &PartitionLimits,
    ) -> Result<(), Rejection> {
        if self.results.live(&request.id, self.time).is_some() {
            return Ok(());
        }
        if self.results.len() >= limits.results_max {
            return Err(busy("results", wide(limits.results_max)));
        }
        let is_full =
            |stamp: SessionStamp| self.sessions.is_full(&stamp.session, limits.sessions_max);
        if request.session.is_some_and(is_full) {
            return Err(busy("sessions", wide(limits.sessions_max)));
        }
        let transforms = &request.body.transforms;
        settings::check("blocks", transforms.len(), limits.transaction.blocks_max)?;
        let bytes = transforms.iter().map(|transform| transform.change.payload_bytes()).sum();
        settings::check("bytes", bytes, limits.transaction.bytes_max)
    }
}

/// What can be asked of the state.
impl Partition {
    /// The kept outcome of a transaction; `None` when there is none (yet, or any more).
    pub fn outcome(&self, id: &TransactionId) -> Option<&Outcome> {
        self.results.live(id, self.time).map(|kept| &kept.outcome)
    }

    /// The partition.
    pub fn id(&self) -> PartitionId {
        self.id
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

    /// Log time at which something expires; a driver logs a tick then if nothing else comes. The
    /// deadlines of locks are none of this: see [`Partition::first_deadline`].
    pub fn due(&self) -> Option<Time> {
        let of =
            [self.results.first_expiry(), self.sessions.first_expiry(), self.locks.first_expiry()];
        of.into_iter().flatten().min()
    }

    /// What apply looks at besides blocks and tables.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The network's state, in the system partition; elsewhere the state of no network.
    pub fn system(&self) -> &SystemState {
        &self.system
    }

    /// Results that are kept.
    pub fn result_count(&self) -> usize {
        self.results.len()
    }

    /// Sessions that are kept.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Transactions over several partitions that hold locks here.
    pub fn waiting_count(&self) -> usize {
        self.locks.part_count()
    }

    /// Decisions that not every participant has carried out.
    pub fn decision_count(&self) -> usize {
        self.decisions.len()
    }

    /// The lock on a collection, by the id of its header block: an unresolved intent. A reader
    /// resolves it first; an ordinary entry that meets it is refused.
    pub fn lock(&self, collection: &BlockId) -> Option<Lock> {
        self.locks.lock(collection)
    }

    /// All locks on collections, in the order of the collections.
    pub fn locks(&self) -> impl Iterator<Item = (BlockId, Lock)> {
        self.locks.iter()
    }

    /// The first lock that a request would meet: on a collection that its actions name.
    pub fn met_by(&self, request: &TransactionRequest) -> Option<(BlockId, Lock)> {
        let named = request.body.actions.iter().map(|a| BlockId::header(&a.collection));
        let mut locked = named.filter_map(|collection| Some((collection, self.lock(&collection)?)));
        locked.next()
    }

    /// Parts whose deadline is before `now`: their ids may be resolved.
    pub fn overdue(&self, now: Time) -> impl Iterator<Item = Waiting> {
        self.locks.overdue(now).map(|(id, part)| part.waiting(id))
    }

    /// All parts that wait here.
    pub fn all_waiting(&self) -> impl Iterator<Item = Waiting> {
        self.locks.parts().map(|(id, part)| part.waiting(*id))
    }

    /// The part of a transaction that waits here.
    pub fn waiting(&self, id: &TransactionId) -> Option<Waiting> {
        self.locks.part(id).map(|part| part.waiting(*id))
    }

    /// The earliest deadline of a part that waits.
    pub fn first_deadline(&self) -> Option<Time> {
        self.locks.first_deadline()
    }

    /// The decision to commit `id`, as long as a participant has not carried it out.
    pub fn decision(&self, id: &TransactionId) -> Option<&Decision> {
        self.decisions.get(id)
    }

    /// All such decisions.
    pub fn decisions(&self) -> impl Iterator<Item = (&TransactionId, &Decision)> {
        self.decisions.iter()
    }

    /// What this partition, the primary, has decided about a part. A commit is kept until its
    /// participants have carried it out; so where none is kept and the id cannot be committed any
    /// more, the part is to be dropped.
    pub fn verdict(&self, lock: &Lock) -> Verdict {
        let PartId { id, pend } = lock.holder;
        if self.decisions.get(&id).is_some_and(|decision| decision.commits(pend)) {
            return Verdict::Committed;
        }
        let is_past = lock.expiry < self.time;
        let is_settled = |stamp: SessionStamp| self.sessions.is_settled(&stamp, self.time);
        let is_over = is_past || lock.session.is_some_and(is_settled);
        if is_over || self.results.live(&id, self.time).is_some() {
            return Verdict::Aborted;
        }
        Verdict::Undecided
    }
}

impl locks::Part {
    fn waiting(&self, id: TransactionId) -> Waiting {
        let (lock, keys) = (self.lock(id), self.locked_keys());
        let mark = self.marks.first().map(BlockId::placement);
        let key = keys.first().copied().or(mark).expect("a part that waits holds something");
        Waiting { lock, is_primary: self.terms.is_primary, key, keys }
    }
}

fn busy(what: &str, max: u64) -> Rejection {
    Rejection::Busy { what: what.to_owned(), max }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
