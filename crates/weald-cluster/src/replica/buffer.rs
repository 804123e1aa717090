//! Entries that came before those that they continue: bounded in number, bytes and age; the
//! furthest is evicted first (rule C3).

use std::collections::BTreeMap;

use weald_core::{LogIndex, Time};

use super::{BufferLimits, LogEntry, Point};

/// The buffer. Entries of one epoch's coordinator only; cleared when the coordinator changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Buffer {
    entries: BTreeMap<LogIndex, (Time, LogEntry)>,
    bytes: usize,
}

impl Buffer {
    /// Keeps an entry. Whether something was evicted for it, the entry itself perhaps.
    pub(super) fn insert(&mut self, entry: LogEntry, now: Time, limits: &BufferLimits) -> bool {
        self.bytes += entry.len();
        let entry = entry.detached();
        if let Some((_, before)) = self.entries.insert(entry.index(), (now, entry)) {
            self.bytes -= before.len();
        }
        let mut has_evicted = false;
        while self.entries.len() > limits.entries_max || self.bytes > limits.bytes_max {
            let (_, (_, furthest)) = self.entries.pop_last().expect("it holds too much");
            self.bytes -= furthest.len();
            has_evicted = true;
        }
        has_evicted
    }

    /// The entry that continues `last`, if it has come. Entries at or before `last`, and one that
    /// stands at the next place on another history, are dropped.
    pub(super) fn next_after(&mut self, last: &Point) -> Option<LogEntry> {
        loop {
            let first = self.entries.first_entry()?;
            if *first.key() > last.index.next() {
                return None;
            }
            let (_, entry) = first.remove();
            self.bytes -= entry.len();
            if entry.continues(last) {
                return Some(entry);
            }
        }
    }

    /// Drops what has waited too long. Whether something was dropped.
    pub(super) fn expire(&mut self, now: Time, limits: &BufferLimits) -> bool {
        let before = self.entries.len();
        if before == 0 {
            return false;
        }
        let bytes = &mut self.bytes;
        self.entries.retain(|_, (came, entry)| {
            let is_kept = now.since(*came) < limits.age_max;
            if !is_kept {
                *bytes -= entry.len();
            }
            is_kept
        });
        self.entries.len() < before
    }

    /// When the oldest expires.
    pub(super) fn due(&self, limits: &BufferLimits) -> Option<Time> {
        self.entries.values().map(|(came, _)| came.after(limits.age_max)).min()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Entries that wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use weald_core::Epoch;

    use super::*;
    use crate::replica::EntryKind;

    fn chain(count: usize) -> Vec<LogEntry> {
        let mut last = Point::default();
        let next = |last: &mut Point| {
            let payload = last.index.0.to_le_bytes();
            let content = (EntryKind::Command, &payload[..]);
            let entry = LogEntry::new(last, Epoch::default(), Time::ZERO, content);
            *last = *entry.point();
            entry
        };
        (0..count).map(|_| next(&mut last)).collect()
    }

    fn drain(buffer: &mut Buffer, last: &mut Point) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(entry) = buffer.next_after(last) {
            *last = *entry.point();
            taken.push(entry.index().0);
        }
        taken
    }

    proptest! {
        #[test]
        fn w42_w78_w79_any_order_and_repetition_comes_out_in_order(
            order in prop::collection::vec(0..12usize, 0..60),
        ) {
            let entries = chain(12);
            let (mut buffer, mut last, mut taken) = (Buffer::default(), Point::default(), Vec::new());
            let mut arrived = std::collections::BTreeSet::new();
            for at in order {
                arrived.insert(at);
                buffer.insert(entries[at].clone(), Time::ZERO, &BufferLimits::default());
                taken.extend(drain(&mut buffer, &mut last));
                let reached = (0..12).take_while(|n| arrived.contains(n)).count() as u64;
                prop_assert_eq!(&taken, &(1..=reached).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn w81_w168_entries_expire_and_the_furthest_is_evicted_first() {
        let entries = chain(4);
        let limits = BufferLimits { entries_max: 2, ..BufferLimits::default() };
        let mut buffer = Buffer::default();
        assert!(!buffer.insert(entries[3].clone(), Time::ZERO, &limits));
        assert!(!buffer.insert(entries[2].clone(), Time::from_millis(1), &limits));
        assert!(buffer.insert(entries[1].clone(), Time::from_millis(2), &limits), "4 goes");
        let mut last = *entries[0].point();
        let mut other = buffer.clone();
        assert_eq!(drain(&mut other, &mut last), [2, 3]);
        assert_eq!(buffer.due(&limits), Some(Time::from_millis(1).after(limits.age_max)));
        assert!(!buffer.expire(Time::from_millis(1), &limits));
        assert!(buffer.expire(Time::from_millis(1).after(limits.age_max), &limits));
        assert!(buffer.expire(Time::from_millis(2).after(limits.age_max), &limits));
        assert_eq!((buffer.len(), buffer.bytes), (0, 0));
    }

    #[test]
    fn w166_bytes_are_bounded_too() {
        let entries = chain(3);
        let limits = BufferLimits {
            bytes_max: entries[0].len() * 2,
            age_max: Duration::from_secs(1),
            ..BufferLimits::default()
        };
        let mut buffer = Buffer::default();
        let evicted: Vec<bool> =
            entries.iter().map(|entry| buffer.insert(entry.clone(), Time::ZERO, &limits)).collect();
        assert_eq!(evicted, [false, false, true]);
    }

    #[test]
    fn an_entry_of_another_history_is_dropped() {
        let entries = chain(2);
        let other = LogEntry::new(
            &Point::default(),
            Epoch { number: 9, campaigner: None },
            Time::ZERO,
            (EntryKind::Noop, &[]),
        );
        let mut buffer = Buffer::default();
        buffer.insert(entries[1].clone(), Time::ZERO, &BufferLimits::default());
        assert_eq!(buffer.next_after(other.point()), None);
        assert_eq!(buffer.len(), 0);
    }
}
