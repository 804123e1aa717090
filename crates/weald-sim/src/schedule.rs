//! What will happen, ordered by time and, within one moment, by when it was planned.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// Microseconds of virtual time since the world began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Instant(pub(crate) u64);

impl Instant {
    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    pub(crate) const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    pub(crate) const fn after(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The queue of events.
#[derive(Debug)]
pub(crate) struct Schedule<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Instant,
    sequence: u64,
    event: E,
}

impl<E> Schedule<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }

    pub(crate) fn add(&mut self, at: Instant, event: E) {
        self.sequence += 1;
        self.heap.push(Reverse(Planned { at, sequence: self.sequence, event }));
    }

    /// When the next event is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(planned)| planned.at)
    }

    /// The next event, if it is due at or before `until`.
    pub(crate) fn pop(&mut self, until: Instant) -> Option<(Instant, E)> {
        if self.heap.peek()?.0.at > until {
            return None;
        }
        self.heap.pop().map(|Reverse(planned)| (planned.at, planned.event))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_as_they_were_planned() {
        let mut schedule = Schedule::new();
        for (at, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            schedule.add(Instant(at), event);
        }
        let mut come = Vec::new();
        while let Some((_, event)) = schedule.pop(Instant(5)) {
            come.push(event);
        }
        assert_eq!(come, ['a', 'b', 'c', 'd']);
        schedule.add(Instant(7), 'e');
        assert_eq!(schedule.pop(Instant(6)), None);
    }
}
