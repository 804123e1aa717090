//! How fast an application takes the messages of a group: what it is given ahead follows from that.

use std::{collections::VecDeque, time::Duration};

use weald_core::Time;

use crate::topic::limits::GROUP_CREDIT_MAX;

/// What part of a deadline the messages may wait that are there before the application asks. What is
/// left is for the one that it works on then, and for the message itself.
const PART: u32 = 4;

/// When an application has taken messages.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long a message may wait for the application.
    wait: Duration,
    taken: VecDeque<Time>,
}

impl Pace {
    /// The pace of an application that has taken nothing, of messages that have to be done `within`.
    pub(super) fn new(within: Duration) -> Self {
        Self { wait: within / PART, taken: VecDeque::new() }
    }

    /// The application takes a message.
    pub(super) fn note(&mut self, now: Time) {
        if self.taken.back().is_some_and(|last| now < *last) {
            // The clock was set back.
            self.taken.clear();
        }
        if self.taken.len() > GROUP_CREDIT_MAX {
            self.taken.pop_front();
        }
        self.taken.push_back(now);
    }

    /// How many messages may wait for the application: as many as it takes at its pace before the last
    /// of them has waited too long. None for one that takes less than one in that time: what it asks for
    /// is fetched then.
    pub(super) fn ahead(&self, now: Time) -> usize {
        let lately = self.taken.iter().rev().take_while(|taken| now.since(**taken) <= self.wait);
        // Between so many there is one pause less.
        lately.count().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(1_000_000 + millis)
    }

    /// What is given ahead, at most, to an application that takes a message in each `pause`.
    fn steady(within: u64, pause: u64) -> usize {
        let mut pace = Pace::new(Duration::from_millis(within));
        let most = (0..2_000).map(|nth| {
            pace.note(at(nth * pause));
            pace.ahead(at(nth * pause))
        });
        most.max().expect("there are some")
    }

    #[test]
    fn what_waits_is_worked_off_at_a_steady_pace_before_it_is_due() {
        for (within, pause, ahead) in [
            (30_000, 1_000, 7),
            (30_000, 7_500, 1),
            (30_000, 10_000, 0),
            (30_000, 1, GROUP_CREDIT_MAX),
            (100, 10, 2),
        ] {
            assert_eq!(steady(within, pause), ahead, "within {within} ms, each {pause} ms");
            let last_is_done = (ahead as u64 + 2) * pause;
            assert!(ahead == 0 || last_is_done <= within, "within {within} ms, each {pause} ms");
        }
    }

    #[test]
    fn nothing_is_given_ahead_before_the_pace_is_known_nor_to_one_that_has_stopped() {
        let mut pace = Pace::new(Duration::from_secs(30));
        assert_eq!(pace.ahead(at(0)), 0);
        let ahead: Vec<_> = (0..5)
            .map(|_| {
                pace.note(at(0));
                pace.ahead(at(0))
            })
            .collect();
        assert_eq!(ahead, [0, 1, 2, 3, 4]);
        assert_eq!(pace.ahead(at(7_500)), 4);
        assert_eq!(pace.ahead(at(7_501)), 0);
    }

    #[test]
    fn what_was_taken_before_the_clock_was_set_back_says_nothing() {
        let mut pace = Pace::new(Duration::from_secs(30));
        (0..5).for_each(|_| pace.note(at(9_000)));
        pace.note(at(1_000));
        assert_eq!(pace.ahead(at(1_000)), 0);
    }
}
