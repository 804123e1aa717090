//! What one replica hands to the log, and what of it is durable.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_cluster::{
    configuration::Placed,
    replica::{
        CertifiedConfiguration, EntryKind, LogEntry, Persist, PersistTicket, Point, SnapshotMeta,
        Stored,
    },
};
use weald_core::{
    Digest, LogBatch, LogError, LogIndex, LogPoint, LogStore, PartitionHealth, PartitionId,
    SyncTicket, Time,
    codec::{self, CodecError},
};

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
    /// Whether the log has entries missing that are to be filled in (rule C11).
    is_damaged: bool,
    /// What the log has not taken yet, oldest first.
    waiting: VecDeque<(PersistTicket, LogBatch)>,
    /// What it has taken and is not durable, oldest first.
    under_way: VecDeque<(SyncTicket, PersistTicket)>,
    /// Why the log did not take the last one.
    trouble: Option<LogError>,
}

impl Desk {
    /// A desk of a member that has kept `kept`; `is_damaged` tells that its log has gaps.
    pub(super) fn new(partition: PartitionId, kept: Kept, is_damaged: bool) -> Self {
        Self {
            partition,
            kept,
            is_damaged,
            waiting: VecDeque::new(),
            under_way: VecDeque::new(),
            trouble: None,
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

    /// Keeps that what was promised is lost.
    ///
    /// # Errors
    /// When the log does not take it.
    pub(super) fn note_loss(&mut self, log: &dyn LogStore) -> Result<SyncTicket, LogError> {
        self.keep(log, |kept| kept.is_lost = true)
    }

    /// Keeps something beside what the replica hands over. What waits before it goes first, or
    /// nothing does.
    fn keep(
        &mut self,
        log: &dyn LogStore,
        change: impl FnOnce(&mut Kept),
    ) -> Result<SyncTicket, LogError> {
        if self.is_waiting() {
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
        self.waiting.push_back((ticket, batch));
    }

    /// Hands over what the log takes. Whether the log is of no more use to the replica.
    pub(super) fn submit(&mut self, log: &dyn LogStore) -> bool {
        self.trouble = None;
        while let Some((ticket, batch)) = self.waiting.front_mut() {
            let handed = match self.is_damaged {
                true => fill_in(log, batch),
                false => hand_over(log, batch),
            };
            match handed {
                Ok(sync) => {
                    self.under_way.push_back((sync, *ticket));
                    self.waiting.pop_front();
                }
                Err(error) => {
                    // What lies beyond the gaps waits until they are filled in.
                    let awaits_fill = self.is_damaged && matches!(error, LogError::Damaged(_));
                    let is_final = !error.is_retryable() && !awaits_fill;
                    self.trouble = Some(error);
                    return is_final;
                }
            }
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
            durable = self.under_way.pop_front().map(|(_, ticket)| ticket);
        }
        if self.is_damaged {
            self.is_damaged = !log.missing(self.partition).is_empty();
        }
        durable
    }

    /// Why the log takes nothing at the moment.
    pub(super) fn trouble(&self) -> Option<&LogError> {
        self.trouble.as_ref()
    }

    /// Whether something waits for the log to have room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }
}

/// Hands one batch over. A partition that the log holds for lost begins its new life by it.
fn hand_over(log: &dyn LogStore, batch: &LogBatch) -> Result<SyncTicket, LogError> {
    let is_new_life = batch.restart_at == Some(LogPoint::default());
    let health = log.status(batch.partition).map(|status| status.health);
    match &batch.state {
        Some(state) if is_new_life && health == Some(PartitionHealth::Amnesiac) => {
            let begun = log.begin_anew(batch.partition, state.clone())?;
            if batch.entries.is_empty() {
                return Ok(begun);
            }
            log.submit(LogBatch { restart_at: None, state: None, ..batch.clone() })
        }
        _ => log.submit(batch.clone()),
    }
}

/// Hands one batch over to a log that has entries missing: those at or below its known end are
/// filled in, the others wait until none is missing. What was handed over leaves the batch.
fn fill_in(log: &dyn LogStore, batch: &mut LogBatch) -> Result<SyncTicket, LogError> {
    let known_end = log.status(batch.partition).map_or(LogIndex::ZERO, |status| status.last.index);
    let is_plain = batch.restart_at.is_none() && batch.cut_from.is_none();
    let is_fill = batch.entries.first().is_some_and(|entry| entry.index <= known_end);
    if !is_plain || !is_fill {
        return log.submit(batch.clone());
    }
    if let Some(state) = batch.state.take() {
        let partition = batch.partition;
        log.submit(LogBatch { partition, state: Some(state), ..LogBatch::default() })?;
    }
    let split = batch.entries.partition_point(|entry| entry.index <= known_end);
    let rest = batch.entries.split_off(split);
    let fill = std::mem::replace(&mut batch.entries, rest);
    let ticket = log.repair(batch.partition, fill)?;
    if batch.entries.is_empty() { Ok(ticket) } else { log.submit(batch.clone()) }
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
