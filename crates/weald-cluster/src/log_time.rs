//! Log time of a coordinator whose clock may jump (rule C14).

use weald_core::Time;

use crate::replica::Now;

/// Gives each entry its time: the clock's while that is ahead of log time; otherwise log time goes
/// on at half the steady clock's speed until they meet. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogTime {
    last: Time,
    /// When log time last moved, by the steady clock.
    moved: Time,
    /// Up to when, by the steady clock, what has passed is in log time.
    counted: Time,
}

impl LogTime {
    /// Goes on from `last`, the log time of the last entry.
    pub fn new(last: Time, now: Now) -> Self {
        Self { last, moved: now.steady, counted: now.steady }
    }

    /// The log time of the last entry.
    pub fn last(&self) -> Time {
        self.last
    }

    /// The time of an entry made now.
    pub fn stamp(&mut self, now: Now) -> Time {
        let half = now.steady.since(self.moved) / 2;
        if now.wall >= self.last {
            *self = Self::new(now.wall, now);
        } else if half.as_millis() > 0 {
            *self = Self::new(self.last.after(half), now);
        }
        self.last
    }

    /// Takes over the time of an entry that another coordinator made. What has passed here beyond that
    /// counts for the entries to come: they may have been late, and a member whose clock is wrong would
    /// be later with each of them.
    pub fn follow(&mut self, time: Time, now: Now) {
        if time > self.last {
            let counted = self.counted.after(time.since(self.last)).min(now.steady);
            *self = Self { last: time, moved: now.steady, counted };
        }
    }

    /// Whether a new entry's time is one that an honest coordinator could have given: not more
    /// than `bound` ahead of this clock, or not beyond the last entry's time plus what has passed.
    pub fn allows(&self, time: Time, now: Now, bound: std::time::Duration) -> bool {
        let passed = now.steady.since(self.counted);
        time <= now.wall.after(bound) || time <= self.last.after(passed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now(steady: u64, wall: u64) -> Now {
        Now { steady: Time::from_millis(steady), wall: Time::from_millis(wall) }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn log_time_follows_the_clock_and_never_goes_back() {
        let mut time = LogTime::new(at(0), now(0, 100));
        assert_eq!(time.stamp(now(0, 100)), at(100));
        assert_eq!(time.stamp(now(50, 150)), at(150));
        assert_eq!(time.stamp(now(60, 50)), at(155), "the clock jumped back: half speed");
        assert_eq!(time.stamp(now(61, 51)), at(155));
        assert_eq!(time.stamp(now(62, 52)), at(156), "small steps add up");
        assert_eq!(time.stamp(now(300, 400)), at(400), "they have met");
    }

    #[test]
    fn entries_that_come_late_and_at_once_are_taken_by_a_clock_that_is_behind() {
        let bound = Duration::from_secs(10);
        let mut behind = LogTime::new(at(3_600_000), now(0, 0));
        let late = now(1_000, 1_000);
        for time in [3_600_400, 3_600_900] {
            assert!(behind.allows(at(time), late, bound));
            behind.follow(at(time), late);
        }
        assert!(behind.allows(at(3_601_000), late, bound), "all that has passed");
        assert!(!behind.allows(at(3_601_001), late, bound), "and no more");
    }

    #[test]
    fn a_new_entry_may_not_be_far_ahead_of_both_clocks() {
        let bound = Duration::from_secs(10);
        let time = LogTime::new(at(1_000), now(0, 1_000));
        assert!(time.allows(at(11_000), now(0, 1_000), bound));
        assert!(!time.allows(at(11_001), now(0, 1_000), bound));
        let ahead = LogTime::new(at(3_600_000), now(0, 0));
        assert!(
            ahead.allows(at(3_600_500), now(500, 500), bound),
            "log time goes on from where it is"
        );
        assert!(!ahead.allows(at(3_600_501), now(500, 500), bound));
    }
}
