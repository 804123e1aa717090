//! What one replica hands to the log, and what of it is durable.

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_cluster::{
    configuration::Placed,
    replica::{
        CertifiedConfiguration, EntryKind, LogEnd, LogEntry, Persist, PersistTicket, Point,
        SnapshotMeta, Stored,
    },
};
use weald_core::{
    Digest, LogBatch, LogError, LogIndex, LogPoint, LogStore, PartitionHealth, PartitionId,
    SyncTicket, Time,
    codec::{self, CodecError},
};

use super::mending::Mending;
use crate::kinds;

/// What a member keeps beside its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Its promises and identity.
    pub(super) stored: Stored,
    /// What it promised is lost: a restart does not make up for that (rule C11).
    pub(super) is_lost: bool,
    /// The snapshot that is about to take the place of the state, if one is.
    pub(super) installing: Option<KeptSnapshot>,
}

/// What a snapshot stands for, as it is kept while it is switched in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptSnapshot {
    point: Point,
    time: Time,
    configurations: Vec<CertifiedConfiguration>,
    configuration: Placed,
    effect: Digest,
}

impl From<SnapshotMeta> for KeptSnapshot {
    fn from(meta: SnapshotMeta) -> Self {
        let SnapshotMeta { point, time, configurations, configuration, effect } = meta;
        Self { point, time, configurations, configuration, effect }
    }
}

impl From<KeptSnapshot> for SnapshotMeta {
    fn from(kept: KeptSnapshot) -> Self {
        let KeptSnapshot { point, time, configurations, configuration, effect } = kept;
        Self { point, time, configurations, configuration, effect }
    }
}

impl Kept {
    /// What a member keeps whose promises hold.
    pub(super) fn whole(stored: Stored) -> Self {
        Self { stored, is_lost: false, installing: None }
    }

    pub(super) fn encode(&self) -> Bytes {
        codec::encode(kinds::KEPT, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kinds::KEPT, bytes)
    }
}

/// See the module's page. What is handed over becomes durable in order; none is left out.
#[derive(Debug)]
pub(super) struct Desk {
    partition: PartitionId,
    /// What was handed over last to be kept beside the entries.
    kept: Kept,
    /// What the log holds that the replica does not know of, if it began with gaps (rule C11).
    mending: Option<Mending>,
    /// What the log has not taken yet, oldest first.
    waiting: VecDeque<(PersistTicket, LogBatch)>,
    /// What it has taken and is not durable, oldest first.
    under_way: VecDeque<(SyncTicket, PersistTicket)>,
    /// Why the log did not take the last one.
    trouble: Option<LogError>,
    /// So many of what waits, from the front, may be handed over; `None` for all of it.
    free: Option<usize>,
    /// The log takes nothing more in this run.
    is_over: bool,
}

impl Desk {
    /// A desk of a member that has kept `kept`. Where its log has gaps, `known_end` is the last entry
    /// that the log knows of; the replica begins before the first gap.
    pub(super) fn new(partition: PartitionId, kept: Kept, known_end: Option<LogEnd>) -> Self {
        Self {
            partition,
            kept,
            mending: known_end.map(Mending::new),
            waiting: VecDeque::new(),
            under_way: VecDeque::new(),
            trouble: None,
            free: None,
            is_over: false,
        }
    }

    /// The log is to begin after `point`, where a snapshot stands.
    pub(super) fn restart(&mut self, point: Point) {
        let batch = LogBatch {
            partition: self.partition,
            restart_at: Some(log_point(point)),
            state: Some(self.kept.encode()),
            ..LogBatch::default()
        };
        self.waiting.push_back((PersistTicket::default(), batch));
    }

    /// Notes something that was handed over elsewhere.
    pub(super) fn note(&mut self, sync: SyncTicket, ticket: PersistTicket) {
        self.under_way.push_back((sync, ticket));
    }

    /// Keeps that a snapshot is about to take the place of the state.
    ///
    /// # Errors
    /// When the log does not take it; nothing is kept then.
    pub(super) fn note_installing(
        &mut self,
        log: &dyn LogStore,
        meta: &SnapshotMeta,
    ) -> Result<SyncTicket, LogError> {
        self.keep(log, |kept| kept.installing = Some(meta.clone().into()))
    }

    /// The snapshot is in the state's place, and the log knows.
    pub(super) fn forget_installing(&mut self) {
        self.kept.installing = None;
    }

    /// Keeps that what was promised is lost, unless that is known from the log already: after all that
    /// waits, and whenever the log takes it.
    pub(super) fn note_loss(&mut self, log: &dyn LogStore) {
        let status = log.status(self.partition);
        let is_amnesiac = status.is_some_and(|s| s.health == PartitionHealth::Amnesiac);
        if self.kept.is_lost || is_amnesiac || self.is_over {
            return;
        }
        self.kept.is_lost = true;
        let (partition, state) = (self.partition, Some(self.kept.encode()));
        let batch = LogBatch { partition, state, ..LogBatch::default() };
        self.waiting.push_back((PersistTicket::default(), batch));
    }

    /// A new life begins, and what an earlier one has applied is still there. Until that is gone nothing
    /// is handed over but that the log begins anew: a log that reached the state of an earlier life
    /// would be gone on with from there after a crash.
    pub(super) fn hold(&mut self) {
        self.free = Some(self.waiting.len().min(self.free.unwrap_or(usize::MAX)));
    }

    /// What an earlier life has applied is gone.
    pub(super) fn release(&mut self) {
        self.free = None;
    }

    /// Keeps something beside what the replica hands over. What waits before it goes first, or
    /// nothing does.
    fn keep(
        &mut self,
        log: &dyn LogStore,
        change: impl FnOnce(&mut Kept),
    ) -> Result<SyncTicket, LogError> {
        if !self.waiting.is_empty() {
            return Err(LogError::Busy { queued_bytes: 0, max: 0 });
        }
        let mut kept = self.kept.clone();
        change(&mut kept);
        let (partition, state) = (self.partition, Some(kept.encode()));
        let ticket = log.submit(LogBatch { partition, state, ..LogBatch::default() })?;
        self.kept = kept;
        Ok(ticket)
    }

    /// Whether everything up to this ticket is durable.
    pub(super) fn is_durable(&self, log: &dyn LogStore, ticket: SyncTicket) -> bool {
        log.status(self.partition).is_some_and(|status| status.synced >= ticket)
    }

    /// Takes what a replica wants durable.
    pub(super) fn take(&mut self, persist: Persist) {
        if self.is_over {
            return;
        }
        let Persist { ticket, restart_at, cut_from, entries, state } = persist;
        let state = state.map(|stored| {
            let (is_lost, installing) = match restart_at {
                // A new life, or the snapshot itself.
                Some(_) => (false, None),
                None => (self.kept.is_lost, self.kept.installing.take()),
            };
            self.kept = Kept { stored, is_lost, installing };
            self.kept.encode()
        });
        let is_urgent = entries.iter().any(|entry| entry.kind() != EntryKind::Command);
        let batch = LogBatch {
            partition: self.partition,
            restart_at: restart_at.map(log_point),
            cut_from,
            state,
            entries: entries.iter().map(LogEntry::record).collect(),
            is_urgent,
        };
        if let (Some(free), Some(_)) = (self.free, batch.restart_at) {
            // Nothing of what was held is left in the log that begins anew.
            self.waiting.truncate(free);
            self.free = Some(free + 1);
        }
        self.waiting.push_back((ticket, batch));
    }

    /// Hands over what the log takes. Whether it has turned out that the log is of no more use to the
    /// replica: that is told once, and nothing is handed over any more.
    pub(super) fn submit(&mut self, log: &dyn LogStore) -> bool {
        if self.is_over {
            return false;
        }
        let before = self.trouble.take();
        while self.is_waiting() {
            let Some((ticket, batch)) = self.waiting.front_mut() else { break };
            // What an old life lacks is of no interest to a new one.
            self.mending.take_if(|_| is_new_life(batch));
            let handed = match &mut self.mending {
                Some(mending) => mending.hand_over(log, batch),
                None => hand_over(log, batch),
            };
            match handed {
                Ok(sync) => {
                    self.under_way.push_back((sync, *ticket));
                    self.waiting.pop_front();
                    self.free = self.free.map(|free| free - 1);
                }
                Err(error) => {
                    // What lies beyond the gaps waits until they are filled in.
                    let awaits_fill =
                        self.mending.is_some() && matches!(error, LogError::Damaged(_));
                    self.is_over = !error.is_retryable() && !awaits_fill;
                    tell_trouble(self.partition, before.as_ref(), &error);
                    self.trouble = Some(error);
                    if self.is_over {
                        self.waiting.clear();
                    }
                    return self.is_over;
                }
            }
        }
        if let Some(LogError::DiskFull(_)) = before {
            let partition = self.partition;
            tracing::warn!(target: "weald::storage", %partition, "the disk has room again");
        }
        false
    }

    /// Up to which ticket everything is durable, if that is news.
    pub(super) fn news(&mut self, log: &dyn LogStore) -> Option<PersistTicket> {
        if self.under_way.is_empty() {
            return None;
        }
        let synced = log.status(self.partition).map_or_else(SyncTicket::default, |s| s.synced);
        let mut durable = None;
        while self.under_way.front().is_some_and(|(sync, _)| *sync <= synced) {
            // What is kept besides has no ticket.
            durable = durable.max(self.under_way.pop_front().map(|(_, ticket)| ticket));
        }
        let partition = self.partition;
        self.mending.take_if(|mending| mending.is_over(log, partition));
        durable
    }

    /// Why the log takes nothing at the moment.
    pub(super) fn trouble(&self) -> Option<&LogError> {
        self.trouble.as_ref()
    }

    /// Whether something waits for the log to have room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.free != Some(0)
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_waiting() && self.under_way.is_empty()
    }
}

/// Tells why the log takes nothing, once for each reason; that it is busy is no trouble.
fn tell_trouble(partition: PartitionId, before: Option<&LogError>, error: &LogError) {
    let is_same =
        before.is_some_and(|before| mem::discriminant(before) == mem::discriminant(error));
    if !is_same && !matches!(error, LogError::Busy { .. }) {
        tracing::warn!(target: "weald::storage", %partition, %error, "the log takes nothing");
    }
}

/// Hands one batch over. A new life begins by it whatever the log holds of an old one.
fn hand_over(log: &dyn LogStore, batch: &LogBatch) -> Result<SyncTicket, LogError> {
    match is_new_life(batch) {
        true => log.begin_anew(batch.clone()),
        false => log.submit(batch.clone()),
    }
}

fn is_new_life(batch: &LogBatch) -> bool {
    batch.restart_at == Some(LogPoint::default()) && batch.state.is_some()
}

/// A point as the log knows it.
pub(super) fn log_point(point: Point) -> LogPoint {
    LogPoint { index: point.index, epoch: point.epoch }
}

/// The first index that a log holds may be let go once a checkpoint covers `covered` and `kept`
/// entries before it are wanted. The entry at `covered` stays: the log is gone on with from there.
pub(super) fn release_below(covered: LogIndex, kept: u64) -> LogIndex {
    LogIndex(covered.0.saturating_sub(kept).max(1))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use parking_lot::Mutex;
    use weald_cluster::configuration::{Configuration, Member};
    use weald_core::{
        Epoch, LogRecord, PartitionStatus, PeerId, RecoveredPartition, StoreId, Synced,
    };

    use super::*;

    /// A log that does with batches what it is told to, and keeps those that it takes.
    #[derive(Default)]
    struct Scripted {
        batches: Mutex<Vec<LogBatch>>,
        offered: AtomicUsize,
        manner: Mutex<Manner>,
    }

    #[derive(Clone, Copy, Default)]
    enum Manner {
        #[default]
        Takes,
        IsBusy,
        Refuses,
    }

    impl Scripted {
        fn now(&self, manner: Manner) {
            *self.manner.lock() = manner;
        }

        /// What was kept last, and how many batches and entries were handed over so far.
        fn kept(&self) -> (Kept, (usize, usize)) {
            let batches = self.batches.lock();
            let last = batches.iter().rev().find_map(|batch| batch.state.clone()).unwrap();
            let entries = batches.iter().map(|batch| batch.entries.len()).sum();
            (Kept::decode(&last).unwrap(), (batches.len(), entries))
        }

        fn taken(&self) -> SyncTicket {
            SyncTicket(self.batches.lock().len() as u64)
        }
    }

    impl LogStore for Scripted {
        fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
            self.offered.fetch_add(1, Ordering::Relaxed);
            match *self.manner.lock() {
                Manner::Takes => self.batches.lock().push(batch),
                Manner::IsBusy => return Err(LogError::Busy { queued_bytes: 1, max: 1 }),
                Manner::Refuses => {
                    let (expected, found) = (LogIndex(9), LogIndex(7));
                    let partition = batch.partition;
                    return Err(LogError::NotContiguous { partition, expected, found });
                }
            }
            Ok(self.taken())
        }

        fn poll_synced(&self) -> Synced {
            Synced::UpTo(self.taken())
        }

        fn read(&self, _: PartitionId, _: LogIndex, _: usize) -> Result<Vec<LogRecord>, LogError> {
            Ok(Vec::new())
        }

        fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
            BTreeMap::new()
        }

        fn release(&self, _: PartitionId, _: LogIndex) -> Result<(), LogError> {
            Ok(())
        }

        fn status(&self, _: PartitionId) -> Option<PartitionStatus> {
            let (health, base) = (PartitionHealth::Intact, LogPoint::default());
            Some(PartitionStatus { health, base, last: base, synced: self.taken() })
        }
    }

    /// A desk of a whole member, and its log.
    fn begun() -> (Desk, Scripted) {
        (Desk::new(PartitionId(3), Kept::whole(stored()), None), Scripted::default())
    }

    fn stored() -> Stored {
        let peer = PeerId::from_digest(Digest::of("weald test", &[b"desk"]));
        let member = Member { peer, store: StoreId([1; 16]), life: 0 };
        Stored::founding(member, Configuration::founding([member], []).unwrap())
    }

    fn persist(ticket: u64, state: Option<Stored>) -> Persist {
        let content = (EntryKind::Command, &b"entry"[..]);
        let entry = LogEntry::new(&Point::default(), Epoch::default(), Time::ZERO, content);
        let (ticket, entries) = (PersistTicket(ticket), vec![entry]);
        Persist { ticket, restart_at: None, cut_from: None, entries, state }
    }

    #[test]
    fn c11_a_loss_is_kept_though_the_log_is_busy_when_it_is_learned() {
        let (mut desk, log) = begun();
        log.now(Manner::IsBusy);
        desk.take(persist(1, None));
        assert!(!desk.submit(&log));
        desk.note_loss(&log);
        desk.note_loss(&log);
        log.now(Manner::Takes);
        assert!(!desk.submit(&log) && !desk.is_waiting());
        assert_eq!(log.kept().1, (2, 1), "it is written once");
        assert!(log.kept().0.is_lost);
        assert_eq!(desk.news(&log), Some(PersistTicket(1)), "what was before is durable, too");
        // What is kept later says so as well, until a new life begins.
        desk.take(persist(2, Some(stored())));
        desk.submit(&log);
        assert!(log.kept().0.is_lost);
        desk.take(Persist { restart_at: Some(Point::default()), ..persist(3, Some(stored())) });
        desk.submit(&log);
        assert!(!log.kept().0.is_lost);
    }

    #[test]
    fn c15_a_log_begins_anew_and_holds_nothing_while_the_state_is_of_an_earlier_life() {
        let (mut desk, log) = begun();
        desk.take(persist(1, None));
        desk.hold();
        let anew = |ticket| Persist {
            restart_at: Some(Point::default()),
            entries: Vec::new(),
            ..persist(ticket, Some(stored()))
        };
        desk.take(anew(2));
        desk.take(persist(3, None));
        desk.submit(&log);
        assert_eq!(log.kept().1, (2, 1), "what came before, and that");
        assert!(!desk.is_waiting(), "the log is not waited for");
        assert_eq!(desk.news(&log), Some(PersistTicket(2)));
        // Another life begins before the first one's state is gone.
        desk.hold();
        desk.take(anew(4));
        desk.take(persist(5, None));
        desk.submit(&log);
        assert_eq!(log.kept().1, (3, 1));
        desk.release();
        desk.submit(&log);
        assert_eq!(log.kept().1, (4, 2));
        assert_eq!(desk.news(&log), Some(PersistTicket(5)));
    }

    #[test]
    fn a_log_that_refuses_for_good_is_told_of_once_and_asked_no_more() {
        let (mut desk, log) = begun();
        log.now(Manner::Refuses);
        let persist = || Persist {
            ticket: PersistTicket::default(),
            restart_at: None,
            cut_from: Some(LogIndex(7)),
            entries: Vec::new(),
            state: None,
        };
        desk.take(persist());
        desk.take(persist());
        assert!(desk.submit(&log), "the replica is told");
        for _ in 0..5 {
            desk.take(persist());
            assert!(!desk.submit(&log) && !desk.is_waiting());
        }
        assert_eq!(log.offered.load(Ordering::Relaxed), 1);
        assert!(matches!(desk.trouble(), Some(LogError::NotContiguous { .. })));
        assert!(desk.is_idle(), "a node that closes waits for nothing");
    }
}
