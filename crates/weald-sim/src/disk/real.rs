//! The log that nodes really have, on a simulated disk: its own recovery decides what a restart finds
//! (rule C11). A sync writes what was submitted when it ends; a crash before stops the disk somewhere
//! in the middle of that and tears what was not synced.
//!
//! A log in which entries are missing holds others behind them that the member knows nothing of: the
//! *shadow*. The member is sent all of that again, as if it had never had it. What it hands over then
//! fills gaps, repeats what is there, or, where it differs, takes the shadow's place.

use std::{collections::VecDeque, fmt, sync::Arc};

use weald_cluster::replica::{EntryKind, Health, LogEntry, Persist, PersistTicket, Point, Stored};
use weald_core::{
    LogBatch, LogError, LogIndex, LogPoint, LogRecord, LogStore, PartitionHealth, PartitionStatus,
    SeededEntropy, StoreId, SyncTicket, Synced,
};
use weald_storage::log::{
    DiskLog, LogHome, LogOptions,
    testing::{PowerCut, SimDisk},
};

use super::{MemberLog, Recovered, SyncFailed};
use crate::{node::PARTITION, random::Random};

/// Small segments, so that they are switched often; a member's state fits an eighth of half of one.
const SEGMENT_BYTES: u64 = 512 * 1024;
/// Bytes of entries submitted at once, so that a large append fits such a segment.
const SUBMIT_BYTES: usize = 16 * 1024;
/// Bytes read at once.
const PAGE_BYTES: usize = 256 * 1024;
/// Changes of a disk within which a crash stops it.
const CHANGES_MAX: u64 = 12;

/// See the module's page.
pub(crate) struct RealLog {
    disk: SimDisk,
    store: StoreId,
    /// Open while its node runs, and whenever something has to be looked up.
    log: Option<DiskLog>,
    /// It was made once: an empty folder is a loss from then on.
    was_made: bool,
    gathered: VecDeque<Persist>,
    /// Submitted, with the tickets by which the log and the member name it.
    syncing: VecDeque<(SyncTicket, PersistTicket)>,
    synced: PersistTicket,
    is_under_way: bool,
    /// The last entry that the member knows of.
    known: LogIndex,
    /// The last one that is there or on its way; behind `known` is the shadow.
    last: LogIndex,
}

impl RealLog {
    /// A log on an empty disk.
    pub(crate) fn new(store: StoreId) -> Self {
        let seed = store.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            disk: SimDisk::new(seed),
            store,
            log: None,
            was_made: false,
            gathered: VecDeque::new(),
            syncing: VecDeque::new(),
            synced: PersistTicket::default(),
            is_under_way: false,
            known: LogIndex::ZERO,
            last: LogIndex::ZERO,
        }
    }

    fn home(&self) -> LogHome {
        LogHome {
            disk: Arc::new(self.disk.clone()),
            store: self.store,
            entropy: Box::new(SeededEntropy::new(self.disk.counts().writes)),
            notifier: Arc::new(|| {}),
        }
    }

    fn options(&self) -> LogOptions {
        LogOptions {
            segment_bytes: SEGMENT_BYTES,
            cache_bytes: 0,
            must_exist: self.was_made,
            ..LogOptions::default()
        }
    }

    /// Opens the log as a restart does; `None` when there is no space for it.
    fn open(&mut self) -> Option<&DiskLog> {
        self.log = None;
        let log = DiskLog::open_without_threads(self.home(), self.options()).ok()?;
        log.run();
        self.was_made = true;
        Some(self.log.insert(log))
    }

    /// How the partition is.
    fn health(&self) -> Option<PartitionHealth> {
        Some(self.log.as_ref()?.status(PARTITION)?.health)
    }

    /// Hands `persist` to the log.
    fn hand_over(&mut self, persist: &Persist) -> Result<SyncTicket, LogError> {
        let is_new_life = persist.restart_at == Some(Point::default());
        match self.health() {
            Some(PartitionHealth::Damaged { .. }) if is_new_life => self.begin_anew(persist)?,
            Some(PartitionHealth::Amnesiac) => self.begin_anew(persist)?,
            _ => return self.hand_over_more(persist),
        }
        self.put(with_entries(LogBatch::default(), &persist.entries))
    }

    /// As [`RealLog::hand_over`], of a log that has its promises.
    fn hand_over_more(&mut self, persist: &Persist) -> Result<SyncTicket, LogError> {
        let head = LogBatch {
            partition: PARTITION,
            restart_at: persist.restart_at.map(log_point),
            cut_from: persist.cut_from,
            state: persist.state.as_ref().map(Stored::encode),
            ..LogBatch::default()
        };
        if self.last > self.known && !persist.entries.is_empty() {
            self.put(head)?;
            return self.overwrite_shadow(&persist.entries);
        }
        self.put(with_entries(head, &persist.entries))
    }

    fn put(&mut self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        let batch = LogBatch { partition: PARTITION, ..batch };
        let (restart_at, cut_from) = (batch.restart_at, batch.cut_from);
        let last = batch.entries.last().map(|entry| entry.index);
        let log = self.log.as_ref().expect("a running node's log is open");
        let ticket = match log.submit(batch.clone()) {
            Err(error) if error.is_retryable() => {
                // What waits is written first, and a segment prepared.
                log.run();
                log.submit(batch)?
            }
            submitted => submitted?,
        };
        if let Some(LogPoint { index, .. }) = restart_at {
            (self.known, self.last) = (index, index);
        }
        if let Some(from) = cut_from {
            let kept = LogIndex(from.0 - 1);
            (self.known, self.last) = (self.known.min(kept), self.last.min(kept));
        }
        if let Some(last) = last {
            (self.known, self.last) = (last, self.last.max(last));
        }
        Ok(ticket)
    }

    /// What was lost is handed over again: it fills gaps up to where it differs from what is held.
    fn overwrite_shadow(&mut self, entries: &[LogEntry]) -> Result<SyncTicket, LogError> {
        let log = self.log.as_ref().expect("a running node's log is open");
        let held =
            |entry: &LogEntry| log.read(PARTITION, entry.index(), 1).ok()?.into_iter().next();
        let last = self.last;
        let end = log.status(PARTITION).map_or(LogPoint::default(), |status| status.last);
        // One of a later epoch differs from whatever was there.
        let differs = |entry: &LogEntry| match held(entry) {
            _ if entry.point().epoch > end.epoch => true,
            Some(record) => record.index == entry.index() && record != entry.record(),
            None => false,
        };
        let is_new = |entry: &LogEntry| entry.index() > last || differs(entry);
        let old_count = entries.iter().position(is_new).unwrap_or(entries.len());
        let (old, new) = entries.split_at(old_count);
        let mut ticket = SyncTicket::default();
        if !old.is_empty() {
            ticket = log.repair(PARTITION, old.iter().map(LogEntry::record).collect())?;
            // A cut behind them is taken only once nothing before it is missing.
            log.run();
        }
        self.known = old.last().map_or(self.known, LogEntry::index);
        let Some(first) = new.first().map(LogEntry::index) else { return Ok(ticket) };
        let cut_from = (first <= last).then_some(first);
        self.put(with_entries(LogBatch { cut_from, ..LogBatch::default() }, new))
    }

    /// Begins a new life (rule C11): nothing of an earlier one counts.
    fn begin_anew(&mut self, persist: &Persist) -> Result<(), LogError> {
        let log = self.log.as_ref().expect("a running node's log is open");
        let state = new_life(persist).encode();
        let begin = || {
            let (partition, state) = (PARTITION, Some(state.clone()));
            log.begin_anew(LogBatch { partition, state, ..LogBatch::default() })
        };
        match begin() {
            Err(error) if error.is_retryable() => {
                // A segment is prepared first.
                log.run();
                begin()?
            }
            begun => begun?,
        };
        (self.known, self.last) = (LogIndex::ZERO, LogIndex::ZERO);
        Ok(())
    }

    /// Of some logs, as the number of their writes falls out, the last files are gone, or all. Returns
    /// whether they are.
    fn lose_files(&mut self) -> bool {
        let writes = usize::try_from(self.disk.counts().writes).unwrap_or(usize::MAX);
        let names = weald_storage::log::Disk::list(&self.disk).unwrap_or_default();
        let is_struck = writes % 3 == 0 && !names.is_empty();
        if is_struck {
            self.log = None;
            let kept = writes / 3 % names.len();
            names.iter().skip(kept).for_each(|name| self.disk.lose_file(name));
        }
        is_struck
    }

    /// What is missing at or below the state that is kept is not needed any more.
    fn forget_covered(&self, covered: Point) {
        let Some(log) = &self.log else { return };
        let first = log.missing(PARTITION).first().map(|range| *range.start());
        if first.is_some_and(|first| first <= covered.index) {
            // A log that takes nothing any more says so itself.
            log.release(PARTITION, covered.index.next()).ok();
            log.run();
        }
    }

    /// The entries that follow each other from `before` on, up to the first that is missing.
    fn chain(&self, before: &mut Option<Point>, status: &PartitionStatus) -> Vec<LogEntry> {
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut next = status.base.index.next();
        let Some(log) = &self.log else { return entries };
        loop {
            let page = log.read(PARTITION, next, PAGE_BYTES).unwrap_or_default();
            if page.is_empty() {
                return entries;
            }
            for LogRecord { index, epoch, bytes } in page {
                let Ok(entry) = LogEntry::parse(index, epoch, bytes) else { return entries };
                let first = || previous(status.base, &entry);
                let last = entries.last().map_or(*before.get_or_insert_with(first), |e| *e.point());
                if !entry.continues(&last) {
                    return entries;
                }
                next = index.next();
                entries.push(entry);
            }
        }
    }
}

/// What a member keeps that begins anew.
fn new_life(persist: &Persist) -> &Stored {
    let state = persist.state.as_ref().filter(|_| persist.restart_at.is_some());
    state.expect("who has lost its promises keeps nothing but a new life")
}

impl MemberLog for RealLog {
    fn submit(&mut self, mut persist: Persist) {
        // In pieces, so that one that is refused for now can be handed over again as it is. When all
        // but the last are durable, so is what came before.
        let entries = std::mem::take(&mut persist.entries);
        let before = PersistTicket(persist.ticket.0 - 1);
        let nothing = Persist { restart_at: None, cut_from: None, state: None, ..persist.clone() };
        for (number, piece) in chunks(&entries).into_iter().enumerate() {
            let head = if number == 0 { &persist } else { &nothing };
            let entries = piece.to_vec();
            self.gathered.push_back(Persist { ticket: before, entries, ..head.clone() });
        }
        self.gathered.back_mut().into_iter().for_each(|last| last.ticket = persist.ticket);
    }

    fn begin_sync(&mut self) -> bool {
        if self.is_under_way || self.log.is_none() {
            return false;
        }
        while let Some(persist) = self.gathered.pop_front() {
            match self.hand_over(&persist) {
                Ok(ticket) => self.syncing.push_back((ticket, persist.ticket)),
                Err(error) if error.is_retryable() => {
                    self.gathered.push_front(persist);
                    break;
                }
                Err(error) => panic!("the log refuses what a member hands over: {error}"),
            }
        }
        self.is_under_way = !self.syncing.is_empty();
        self.is_under_way
    }

    fn finish_sync(&mut self) -> Result<PersistTicket, SyncFailed> {
        self.is_under_way = false;
        let log = self.log.as_ref().expect("a running node's log is open");
        log.run();
        let Synced::UpTo(_) = log.poll_synced() else { return Err(SyncFailed) };
        let synced = log.status(PARTITION).map_or(SyncTicket::default(), |status| status.synced);
        while let Some((_, ticket)) = self.syncing.front().filter(|(ticket, _)| *ticket <= synced) {
            self.synced = *ticket;
            self.syncing.pop_front();
        }
        Ok(self.synced)
    }

    fn fail_sync(&mut self, _: &mut Random) {
        self.is_under_way = false;
        self.disk.fail_sync_after(0);
        if let Some(log) = &self.log {
            log.run();
        }
        self.gathered.clear();
        self.syncing.clear();
    }

    fn set_full(&mut self, is_full: bool) {
        let capacity = if is_full { self.disk.used() } else { u64::MAX };
        self.disk.set_capacity(capacity);
    }

    fn crash(&mut self, random: &mut Random) {
        if let Some(log) = self.log.take().filter(|_| self.is_under_way) {
            self.disk.stop_after(random.below(CHANGES_MAX));
            log.run();
        }
        let cut = *random.pick(&[PowerCut::LoseAll, PowerCut::KeepAll, PowerCut::Tear]);
        self.disk.power_cut(cut);
        self.gathered.clear();
        self.syncing.clear();
        self.is_under_way = false;
        self.synced = PersistTicket::default();
    }

    fn recover(&mut self, covered: Option<Point>) -> Option<Recovered> {
        self.open()?;
        if let Some(covered) = covered {
            self.forget_covered(covered);
        }
        let log = self.log.as_ref()?;
        let found = log.recovered().remove(&PARTITION);
        let stored = found.and_then(|found| found.state);
        let stored = stored.map(|bytes| Stored::decode(&bytes).expect("the log has checked it"));
        let Some(status) = log.status(PARTITION) else {
            (self.known, self.last) = (LogIndex::ZERO, LogIndex::ZERO);
            let (health, before) = (Health::Whole, Point::default());
            return Some(Recovered { health, stored, before, entries: Vec::new() });
        };
        let mut before = covered.filter(|covered| covered.index == status.base.index);
        let entries = self.chain(&mut before, &status);
        let base = stored.as_ref().map(|stored| stored.base).unwrap_or_default();
        let before = before.unwrap_or(base);
        self.known = entries.last().map_or(before.index, LogEntry::index);
        self.last = status.last.index;
        let health = match status.health {
            PartitionHealth::Amnesiac => Health::Amnesiac,
            PartitionHealth::Damaged { .. } => {
                let stored = stored.as_ref().expect("without its promises it would be amnesiac");
                Health::damaged(status.last, stored)
            }
            PartitionHealth::Intact | PartitionHealth::Torn => Health::Whole,
        };
        Some(Recovered { health, stored, before, entries })
    }

    fn read(&self, from: LogIndex, bytes_max: usize) -> Vec<LogEntry> {
        let Some(log) = &self.log else { return Vec::new() };
        let records = log.read(PARTITION, from, bytes_max).unwrap_or_default();
        let known = records.into_iter().take_while(|record| record.index <= self.known);
        known
            .map_while(|record| LogEntry::parse(record.index, record.epoch, record.bytes).ok())
            .collect()
    }

    fn release(&mut self, below: LogIndex) {
        // The last one stays: the next is known to continue it.
        let below = LogIndex(below.0.saturating_sub(1));
        if let Some(log) = self.log.as_ref().filter(|_| below.0 > 0) {
            // A full disk, or a log that failed, keeps them.
            log.release(PARTITION, below).ok();
        }
    }

    fn restart_at(&mut self, point: Point, stored: Stored) {
        let batch = LogBatch {
            restart_at: Some(log_point(point)),
            state: Some(stored.encode()),
            ..LogBatch::default()
        };
        self.put(batch).expect("a snapshot is at the known end or beyond it");
        self.log.iter().for_each(DiskLog::run);
    }

    fn rot(&mut self, back: u64, random: &mut Random) {
        if back == 0 && (self.lose_files() || self.disk.rot_last_synced().is_some()) {
            return;
        }
        let Some(last) = self.open().and_then(|log| log.status(PARTITION)).map(|s| s.last.index)
        else {
            return;
        };
        let damaged = LogIndex(last.0.saturating_sub(back));
        let found = self.log.as_ref().and_then(|log| log.read(PARTITION, damaged, 1).ok());
        self.log = None;
        let Some(record) = found.and_then(|found| found.into_iter().next()) else { return };
        let names = weald_storage::log::Disk::list(&self.disk).unwrap_or_default();
        for name in names.iter().filter(|name| name.ends_with(".seg")) {
            let bytes = self.disk.bytes(name).unwrap_or_default();
            let length = record.bytes.len();
            if let Some(place) = bytes.windows(length).position(|part| part == &record.bytes[..]) {
                self.disk.flip(name, place + random.index(length), 3);
            }
        }
    }

    fn note_repaired(&mut self) {
        if self.last <= self.known || self.health() == Some(PartitionHealth::Amnesiac) {
            return;
        }
        let cut_from = Some(self.known.next());
        // When there is no room, the shadow stays until something differs from it.
        self.put(LogBatch { cut_from, ..LogBatch::default() }).ok();
    }

    fn copy(&self) -> Box<dyn MemberLog> {
        let disk = self.disk.copy();
        disk.power_cut(PowerCut::KeepAll);
        Box::new(Self { disk, was_made: self.was_made, ..Self::new(self.store) })
    }
}

impl fmt::Debug for RealLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RealLog({} to {}, known to {})", self.store, self.last, self.known)
    }
}

fn log_point(point: Point) -> LogPoint {
    LogPoint { index: point.index, epoch: point.epoch }
}

/// The point before the first entry that is held: its hash stands in the entry.
fn previous(base: LogPoint, first: &LogEntry) -> Point {
    let bytes = first.record().bytes;
    let hash = *bytes.first_chunk().expect("an entry begins with the hash before it");
    Point { index: base.index, epoch: base.epoch, hash: weald_core::Digest::from_bytes(hash) }
}

fn with_entries(batch: LogBatch, entries: &[LogEntry]) -> LogBatch {
    let is_urgent = entries.iter().any(|entry| entry.kind() != EntryKind::Command);
    LogBatch { entries: entries.iter().map(LogEntry::record).collect(), is_urgent, ..batch }
}

/// Cuts entries into pieces of bounded size, one empty piece if there are none.
fn chunks(entries: &[LogEntry]) -> Vec<&[LogEntry]> {
    let mut pieces = Vec::new();
    let mut rest = entries;
    loop {
        let mut bytes = 0;
        let fits = |entry: &&LogEntry| {
            bytes += entry.len();
            bytes <= SUBMIT_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (piece, after) = rest.split_at(count);
        pieces.push(piece);
        if after.is_empty() {
            return pieces;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests;
