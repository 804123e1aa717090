//! A log in memory that behaves as a log on a disk does: a sync takes what has gathered, a crash
//! loses what is not synced or keeps the first part of it, rot takes an entry and what follows.

use weald_cluster::replica::{Health, LogEnd, LogEntry, Persist, PersistTicket, Point, Stored};
use weald_core::LogIndex;

use super::{MemberLog, Recovered, SyncFailed};
use crate::random::Random;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelLog {
    durable: Image,
    gathered: Vec<Persist>,
    syncing: Vec<Persist>,
    synced: PersistTicket,
    known_end: Option<LogEnd>,
    is_full: bool,
}

#[derive(Clone, Debug, Default)]
struct Image {
    before: Point,
    entries: Vec<LogEntry>,
    stored: Option<Stored>,
}

impl Image {
    fn take(&mut self, persist: Persist) {
        if let Some(point) = persist.restart_at {
            self.entries.clear();
            self.before = point;
        }
        if let Some(from) = persist.cut_from {
            self.entries.retain(|entry| entry.index() < from);
        }
        for entry in persist.entries {
            assert!(entry.continues(self.last()), "what is handed to the log continues it");
            self.entries.push(entry);
        }
        if let Some(stored) = persist.state {
            self.stored = Some(stored);
        }
    }

    fn last(&self) -> &Point {
        self.entries.last().map_or(&self.before, LogEntry::point)
    }

    fn offset(&self, index: LogIndex) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.before.index.0 + 1)?).ok()
    }
}

impl MemberLog for ModelLog {
    fn submit(&mut self, persist: Persist) {
        self.gathered.push(persist);
    }

    fn begin_sync(&mut self) -> bool {
        if self.gathered.is_empty() || !self.syncing.is_empty() || self.is_full {
            return false;
        }
        self.syncing = std::mem::take(&mut self.gathered);
        true
    }

    fn finish_sync(&mut self) -> Result<PersistTicket, SyncFailed> {
        for persist in std::mem::take(&mut self.syncing) {
            self.synced = persist.ticket;
            self.durable.take(persist);
        }
        Ok(self.synced)
    }

    fn fail_sync(&mut self, random: &mut Random) {
        self.crash(random);
    }

    fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    fn crash(&mut self, random: &mut Random) {
        let survivors = random.index(self.syncing.len() + 1);
        for persist in std::mem::take(&mut self.syncing).into_iter().take(survivors) {
            self.durable.take(persist);
        }
        self.gathered.clear();
        self.synced = PersistTicket::default();
    }

    fn recover(&mut self, _: Option<Point>) -> Option<Recovered> {
        let last = self.durable.last().index;
        let health = match self.known_end.filter(|known_end| known_end.index > last) {
            Some(known_end) => Health::Damaged { known_end },
            None => Health::Whole,
        };
        let Image { before, entries, stored } = self.durable.clone();
        Some(Recovered { health, stored, before, entries })
    }

    fn read(&self, from: LogIndex, bytes_max: usize) -> Vec<LogEntry> {
        let Some(offset) = self.durable.offset(from) else { return Vec::new() };
        let mut left = bytes_max;
        let mut run = Vec::new();
        for entry in self.durable.entries.iter().skip(offset) {
            if entry.len() > left && !run.is_empty() {
                break;
            }
            left = left.saturating_sub(entry.len());
            run.push(entry.clone());
        }
        run
    }

    fn release(&mut self, below: LogIndex) {
        let image = &mut self.durable;
        let count = image.offset(below).unwrap_or(0).min(image.entries.len());
        if let Some(last) = image.entries.drain(..count).next_back() {
            image.before = *last.point();
        }
    }

    fn restart_at(&mut self, point: Point, stored: Stored) {
        self.durable = Image { before: point, entries: Vec::new(), stored: Some(stored) };
    }

    fn rot(&mut self, back: u64, _: &mut Random) {
        let image = &mut self.durable;
        let Point { index: last, epoch, .. } = *image.last();
        let damaged = LogIndex(last.0.saturating_sub(back));
        if image.offset(damaged).is_some_and(|offset| offset < image.entries.len()) {
            image.entries.retain(|entry| entry.index() < damaged);
            let known = self.known_end.unwrap_or_default();
            // Of two that were there one after the other, the later epoch and the higher index.
            let known_end = LogEnd { epoch: epoch.max(known.epoch), index: last.max(known.index) };
            self.known_end = Some(known_end);
        }
    }

    fn note_repaired(&mut self) {
        self.known_end = None;
    }

    fn copy(&self) -> Box<dyn MemberLog> {
        Box::new(self.clone())
    }
}
