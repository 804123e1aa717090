//! The numbers of this node's requests (rule C10).
//!
//! A request without an id of the caller's own has a number in the node's session. Every request
//! also says below which number all are settled here; results below it are forgotten by the
//! partitions. So the number of a write that may have happened stays open until its expiry, and
//! whoever asks what became of it is still answered.

use std::collections::BTreeMap;

use weald_core::{SessionStamp, Time, TransactionId};

use super::limits::NUMBERS_MAX;

/// Gives numbers and knows which are open.
#[derive(Debug)]
pub(super) struct Numbers {
    session: [u8; 16],
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    id: TransactionId,
    /// When the number is settled by itself; `None` while an answer is awaited.
    until: Option<Time>,
}

impl Numbers {
    /// The numbers of a session, from 1.
    pub(super) fn new(session: [u8; 16]) -> Self {
        Self { session, next: 1, open: BTreeMap::new() }
    }

    /// The stamp of a new request; `None` when too many are open.
    pub(super) fn begin(&mut self, id: TransactionId, now: Time) -> Option<SessionStamp> {
        while let Some(first) = self.open.first_entry() {
            if first.get().until.is_none_or(|until| now < until) {
                break;
            }
            first.remove();
        }
        if self.open.len() >= NUMBERS_MAX {
            return None;
        }
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Open { id, until: None });
        Some(self.stamp(number))
    }

    /// The caller knows the outcome.
    pub(super) fn settle(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// The caller does not know the outcome, and may ask for it until then.
    pub(super) fn leave_open(&mut self, number: u64, until: Time) {
        if let Some(open) = self.open.get_mut(&number) {
            open.until = Some(until);
        }
    }

    /// The stamp of a transaction whose number is open.
    pub(super) fn stamp_of(&self, id: &TransactionId) -> Option<SessionStamp> {
        let mut open = self.open.iter();
        let (number, _) = open.find(|(_, open)| open.id == *id)?;
        Some(self.stamp(*number))
    }

    fn stamp(&self, number: u64) -> SessionStamp {
        let low_water = self.open.keys().next().copied().unwrap_or(self.next);
        SessionStamp { session: self.session, number, low_water: low_water.min(number) }
    }
}

#[cfg(test)]
mod tests {
    use weald_core::PlacementKey;

    use super::*;

    fn id(number: u8) -> TransactionId {
        TransactionId::new(PlacementKey::from_u64(7), [number; 16])
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn the_mark_stays_below_what_is_open() {
        let mut numbers = Numbers::new([1; 16]);
        let marks = |stamp: SessionStamp| (stamp.number, stamp.low_water);
        assert_eq!(numbers.begin(id(1), at(0)).map(marks), Some((1, 1)));
        assert_eq!(numbers.begin(id(2), at(0)).map(marks), Some((2, 1)));
        numbers.settle(1);
        assert_eq!(numbers.begin(id(3), at(0)).map(marks), Some((3, 2)));
        assert_eq!(numbers.stamp_of(&id(2)).map(marks), Some((2, 2)));
        assert_eq!(numbers.stamp_of(&id(1)), None);
    }

    #[test]
    fn what_may_have_happened_can_be_asked_for_until_it_expires() {
        let mut numbers = Numbers::new([1; 16]);
        numbers.begin(id(1), at(0)).unwrap();
        numbers.leave_open(1, at(100));
        numbers.begin(id(2), at(99)).unwrap();
        assert!(numbers.stamp_of(&id(1)).is_some());
        let stamp = numbers.begin(id(3), at(100)).unwrap();
        assert_eq!((numbers.stamp_of(&id(1)), stamp.low_water), (None, 2));
    }

    #[test]
    fn only_so_many_numbers_are_open() {
        let mut numbers = Numbers::new([1; 16]);
        for _ in 0..NUMBERS_MAX {
            assert!(numbers.begin(id(1), at(0)).is_some());
        }
        assert!(numbers.begin(id(1), at(0)).is_none());
        numbers.settle(1);
        assert!(numbers.begin(id(1), at(0)).is_some());
    }
}
