//! The tail of the log that a replica keeps in memory: what is not yet durable, committed or
//! applied, and some more for members that lag. Older entries come from the disk.

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
};

use weald_core::{Epoch, LogIndex, Time};

use super::{LogEnd, LogEntry, Persist, PersistTicket, Point, Stored};

/// See the module's page.
///
/// **Invariant:** entries follow each other by hash from `before` on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Log {
    /// The point right before the first entry in memory.
    before: Point,
    /// The log time of the entry there.
    before_time: Time,
    entries: VecDeque<LogEntry>,
    bytes: usize,
    /// All up to here is durable.
    synced: LogIndex,
    /// The highest promise that is durable.
    promised: Epoch,
    /// What is not yet handed to the log.
    next: Next,
    /// What was handed over and is not yet durable, oldest first.
    under_way: VecDeque<UnderWay>,
    last_ticket: PersistTicket,
    /// Bytes of entries that were appended since the member's state was handed over.
    bytes_since_state: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Next {
    restart_at: Option<Point>,
    cut_from: Option<LogIndex>,
    /// Entries from here on are new; zero for none.
    entries_from: LogIndex,
    is_state_wanted: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct UnderWay {
    ticket: PersistTicket,
    last: LogIndex,
    promised: Option<Epoch>,
}

/// Tickets count only against each other, so how many were given before does not enter the hash, nor
/// what decides about nothing but when the state goes along: an exploration meets fewer states.
impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.before, &self.entries, self.synced, self.promised, &self.next).hash(state);
        self.under_way.len().hash(state);
        for write in &self.under_way {
            (self.last_ticket.0 - write.ticket.0, write.last, write.promised).hash(state);
        }
    }
}

impl Log {
    /// A log of which everything that is given is durable, with the log time at the point before.
    pub(super) fn new(
        (before, before_time): (Point, Time),
        entries: Vec<LogEntry>,
        promised: Epoch,
    ) -> Self {
        let bytes = entries.iter().map(LogEntry::len).sum();
        let synced = entries.last().map_or(before.index, LogEntry::index);
        Self {
            before,
            before_time,
            entries: entries.into(),
            bytes,
            synced,
            promised,
            next: Next::default(),
            under_way: VecDeque::new(),
            last_ticket: PersistTicket::default(),
            bytes_since_state: 0,
        }
    }

    /// The point of the last entry.
    pub(super) fn last(&self) -> &Point {
        self.entries.back().map_or(&self.before, LogEntry::point)
    }

    /// The log time of the last entry.
    pub(super) fn last_time(&self) -> Time {
        self.entries.back().map_or(self.before_time, LogEntry::time)
    }

    /// The log time of the entry at `index`, if that is in memory or right before what is.
    pub(super) fn time_at(&self, index: LogIndex) -> Option<Time> {
        let is_before = index == self.before.index;
        is_before.then_some(self.before_time).or_else(|| self.entry(index).map(LogEntry::time))
    }

    /// The index of the last entry.
    pub(super) fn last_index(&self) -> LogIndex {
        self.last().index
    }

    /// Where the log ends.
    pub(super) fn end(&self) -> LogEnd {
        LogEnd { epoch: self.last().epoch, index: self.last().index }
    }

    /// All up to here is durable.
    pub(super) fn synced(&self) -> LogIndex {
        self.synced
    }

    /// The highest promise that is durable.
    pub(super) fn durable_promise(&self) -> Epoch {
        self.promised
    }

    /// Bytes of entries in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The point right before the first entry in memory.
    pub(super) fn before(&self) -> &Point {
        &self.before
    }

    /// The point at `index`, if it is in memory.
    pub(super) fn point(&self, index: LogIndex) -> Option<&Point> {
        if index == self.before.index {
            return Some(&self.before);
        }
        self.entry(index).map(LogEntry::point)
    }

    /// The entry at `index`, if it is in memory.
    pub(super) fn entry(&self, index: LogIndex) -> Option<&LogEntry> {
        let offset = index.0.checked_sub(self.before.index.0 + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// Entries from `from` on, which must be in memory: as many as fit `max_bytes`, at least one.
    pub(super) fn run(&self, from: LogIndex, max_bytes: usize) -> Vec<LogEntry> {
        let mut left = max_bytes;
        let mut index = from;
        let mut run = Vec::new();
        while let Some(entry) = self.entry(index) {
            if entry.len() > left && !run.is_empty() {
                break;
            }
            left = left.saturating_sub(entry.len());
            run.push(entry.clone());
            index = index.next();
        }
        run
    }

    /// Appends an entry, to be handed to the log with the next [`Log::persist`].
    ///
    /// # Panics
    /// When it does not continue the log: callers have compared the hashes.
    pub(super) fn push(&mut self, entry: LogEntry) {
        assert!(entry.continues(self.last()), "an entry continues the log by hash");
        if self.next.entries_from == LogIndex::ZERO {
            self.next.entries_from = entry.index();
        }
        self.bytes += entry.len();
        self.bytes_since_state += entry.len();
        self.entries.push_back(entry);
    }

    /// Cuts the entries from `from` on.
    pub(super) fn cut(&mut self, from: LogIndex) {
        assert!(from > self.before.index, "what is not in memory is committed and never cut");
        while self.entries.back().is_some_and(|entry| entry.index() >= from) {
            let gone = self.entries.pop_back().expect("it was looked at");
            self.bytes -= gone.len();
        }
        let kept = self.last_index();
        self.synced = self.synced.min(kept);
        for write in &mut self.under_way {
            write.last = write.last.min(kept);
        }
        let new_from = self.next.entries_from;
        if new_from == LogIndex::ZERO || from < new_from {
            let cut_before = self.next.cut_from.unwrap_or(from);
            self.next.cut_from = Some(cut_before.min(from));
        }
        if new_from > kept {
            self.next.entries_from = LogIndex::ZERO;
        }
    }

    /// Empties the log; it goes on after `point`, which a snapshot covers.
    pub(super) fn restart(&mut self, point: Point, time: Time) {
        self.entries.clear();
        self.bytes = 0;
        (self.before, self.before_time) = (point, time);
        self.next = Next { restart_at: Some(point), is_state_wanted: true, ..Next::default() };
        self.synced = LogIndex::ZERO;
        for write in &mut self.under_way {
            write.last = LogIndex::ZERO;
        }
    }

    /// Promises of an earlier life do not count in this one.
    pub(super) fn forget_promises(&mut self) {
        self.promised = Epoch::default();
        for write in &mut self.under_way {
            write.promised = None;
        }
    }

    /// Hands the member's state to the log with the next [`Log::persist`].
    pub(super) fn want_state(&mut self) {
        self.next.is_state_wanted = true;
    }

    /// What is to be handed to the log now, if anything is. The state, and the watermark with it, goes
    /// along once in so many bytes of entries: what is above it fits into memory after a restart, when nobody
    /// may know any more what of it is committed.
    pub(super) fn persist(
        &mut self,
        bytes_a_state: usize,
        state: impl FnOnce() -> Stored,
    ) -> Option<Persist> {
        let mut next = std::mem::take(&mut self.next);
        if next == Next::default() {
            return None;
        }
        self.last_ticket.0 += 1;
        next.is_state_wanted |= self.bytes_since_state >= bytes_a_state;
        if next.is_state_wanted {
            self.bytes_since_state = 0;
        }
        let state = next.is_state_wanted.then(state);
        self.under_way.push_back(UnderWay {
            ticket: self.last_ticket,
            last: self.last_index(),
            promised: state.as_ref().map(|stored| stored.promised),
        });
        let entries = match next.entries_from {
            LogIndex::ZERO => Vec::new(),
            from => self.run(from, usize::MAX),
        };
        let Next { restart_at, cut_from, .. } = next;
        Some(Persist { ticket: self.last_ticket, restart_at, cut_from, entries, state })
    }

    /// Notes that everything up to `ticket` is durable.
    pub(super) fn handle_persisted(&mut self, ticket: PersistTicket) {
        while self.under_way.front().is_some_and(|write| write.ticket <= ticket) {
            let write = self.under_way.pop_front().expect("it was looked at");
            self.synced = self.synced.max(write.last);
            self.promised = self.promised.max(write.promised.unwrap_or_default());
        }
    }

    /// Lets go of durable entries up to `upto` while more than `max_bytes` are in memory.
    pub(super) fn trim(&mut self, upto: LogIndex, max_bytes: usize) {
        let upto = upto.min(self.synced);
        while self.bytes > max_bytes {
            let Some(first) = self.entries.front().filter(|first| first.index() <= upto) else {
                return;
            };
            self.bytes -= first.len();
            (self.before, self.before_time) = (*first.point(), first.time());
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::EntryKind;

    fn epoch(number: u64) -> Epoch {
        Epoch { number, campaigner: None }
    }

    fn push(log: &mut Log, number: u64, payload: &[u8]) {
        let entry =
            LogEntry::new(log.last(), epoch(number), Time::ZERO, (EntryKind::Command, payload));
        log.push(entry);
    }

    const BYTES_A_STATE: usize = 1000;

    fn stored() -> Stored {
        unreachable!("no state was wanted")
    }

    fn log_of(count: u64) -> Log {
        let before = (Point::default(), Time::ZERO);
        let mut log = Log::new(before, Vec::new(), Epoch::default());
        for n in 1..=count {
            push(&mut log, 1, &n.to_le_bytes());
        }
        log
    }

    #[test]
    fn what_is_cut_before_it_was_handed_over_is_not_heard_of() {
        let mut log = log_of(3);
        log.cut(LogIndex(3));
        let persist = log.persist(BYTES_A_STATE, stored).unwrap();
        assert_eq!((persist.cut_from, persist.entries.len()), (None, 2));
        log.cut(LogIndex(2));
        push(&mut log, 2, b"other");
        let persist = log.persist(BYTES_A_STATE, stored).unwrap();
        assert_eq!((persist.cut_from, persist.entries.len()), (Some(LogIndex(2)), 1));
        assert_eq!(log.persist(BYTES_A_STATE, stored), None);
    }

    #[test]
    fn a_cut_takes_back_what_was_durable_and_what_is_on_its_way() {
        let mut log = log_of(3);
        let first = log.persist(BYTES_A_STATE, stored).unwrap().ticket;
        push(&mut log, 1, b"fourth");
        let second = log.persist(BYTES_A_STATE, stored).unwrap().ticket;
        log.handle_persisted(first);
        assert_eq!(log.synced(), LogIndex(3));
        log.cut(LogIndex(2));
        assert_eq!(log.synced(), LogIndex(1));
        push(&mut log, 2, b"other");
        log.handle_persisted(second);
        assert_eq!(log.synced(), LogIndex(1), "what was on its way when the log was cut is gone");
        let third = log.persist(BYTES_A_STATE, stored).unwrap().ticket;
        log.handle_persisted(third);
        assert_eq!(log.synced(), LogIndex(2));
    }

    #[test]
    fn only_durable_entries_are_let_go_and_the_point_before_stays() {
        let mut log = log_of(4);
        let ticket = log.persist(BYTES_A_STATE, stored).unwrap().ticket;
        log.trim(LogIndex(4), 0);
        assert_eq!(log.before().index, LogIndex(0));
        log.handle_persisted(ticket);
        log.trim(LogIndex(3), 0);
        assert_eq!((log.before().index, log.last_index()), (LogIndex(3), LogIndex(4)));
        assert!(log.point(LogIndex(3)).is_some() && log.point(LogIndex(2)).is_none());
    }
}
